//! Comparing, id by id, what was generated with what the hub has stored and what the agent says of itself.

mod compare;
mod found;
mod hub;
mod ledgers;
mod verdict;

pub(crate) use compare::{Compared, Faults, Lines, compare};
pub(crate) use found::Found;
#[cfg(test)]
pub(crate) use found::{FoundExemplar, FoundLine, FoundTrace};
pub(crate) use hub::{Window, read_hub, red_calls, stored_lines, stored_points};
pub(crate) use ledgers::both_ledgers;
pub(crate) use verdict::{AgentResults, Verdict, judge};
