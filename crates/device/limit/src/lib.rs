//! What may come in of each kind: rates of log records, data points and traces, shares of traces, series of a metric (docs/limiting.md).
//! Sans-IO: bytes and time in, bytes and counts out; memory is bounded whatever comes.
//!
//! - [`Rule`]: which records, counted apart by which fields, and how many of them
//! - [`RecordLimits`]: log records and data points, by token buckets
//! - [`TraceLimits`]: whole traces, by a consistent probability
//! - `bucket`, `pace`: the arithmetic of both

mod bucket;
mod pace;
mod records;
mod rule;
#[cfg(test)]
mod tests;
mod traces;

pub use records::{Limited, RecordLimits};
pub use rule::{Most, Rule, Tally};
pub use traces::{TraceLimits, Word};
