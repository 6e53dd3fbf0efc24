//! One decision per trace (P4). Sans-IO: time is an argument, spans stay in the recorder, memory is counted in bytes.
//!
//! The sampler keeps an index only: for each undecided trace its earliest start, latest end, the statuses seen, and which
//! recorder entries hold parts of it. Decisions are remembered, for what arrives late.

mod decisions;
mod policy;
mod sampler;

pub use decisions::{NewDecisions, Remembered, Verdict};
pub use policy::{Evidence, Policy, PolicyRule, STATUS_MASK_ERROR, STATUS_MASK_OK, STATUS_MASK_UNSET};
pub use sampler::{Decided, EntryId, Options, Part, Route, Sampler, Stats};
