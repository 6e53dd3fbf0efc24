//! Comparing, id by id, what was generated with what the hub has stored and what the agent says of itself.

mod found;
mod hub;
mod verdict;

pub(crate) use hub::{Window, read_hub, red_calls, stored_points};
pub(crate) use verdict::{AgentFigures, Verdict, judge};
