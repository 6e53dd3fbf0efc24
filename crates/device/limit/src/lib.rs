//! What may come in of each kind: rates of log records, data points and traces, shares of traces, series of a metric (docs/limiting.md).
//! Sans-IO: bytes and time in, bytes and counts out; memory is bounded whatever comes.
//!
//! - [`Rule`]: which records, counted apart by which fields, and how many of them
//! - [`RecordLimits`]: log records and data points, by token buckets
//! - [`TraceLimits`]: whole traces, by a consistent probability
//! - [`SeriesLimit`], [`Overflow`]: series of a metric, and what becomes of those beyond it
//! - `bucket`, `pace`, `points`: the arithmetic, and metrics without some of their points

mod bucket;
mod overflow;
mod pace;
mod points;
mod records;
mod rule;
mod series;
#[cfg(test)]
mod tests;
mod traces;

pub use overflow::Overflow;
pub use records::{Limited, RecordLimits};
pub use rule::{Most, Rule, Tally};
pub use series::{Overflowed, SeriesLimit};
pub use traces::{TraceLimits, Word};
