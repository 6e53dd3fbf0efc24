//! What a query is evaluated with, and what it looked at.

pub use promql::Error;

use crate::source::SourceError;

/// The times of a query, in nanoseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Query {
    /// At one time.
    Instant(i64),
    /// From a time to a time, both inclusive, at steps. All are cut to milliseconds.
    Range {
        /// The first step.
        start: i64,
        /// The last step is not later.
        end: i64,
        /// The time between steps; more than 0.
        step: i64,
    },
}

/// How a query is evaluated, and what it may take.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Series of one range.
    pub max_series: usize,
    /// Cells (series times steps) of all intermediate matrices together.
    pub max_cells: usize,
    /// Steps of a range query.
    pub max_steps: usize,
    /// Told of bytes that the query holds from now on; whether it may go on.
    pub hold: &'a dyn Fn(usize) -> bool,
    /// Asked now and then: whether the query is to end, and why.
    pub stop: &'a dyn Fn() -> Option<Error>,
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("max_series", &self.max_series).finish_non_exhaustive()
    }
}

fn always(_: usize) -> bool {
    true
}

fn never() -> Option<Error> {
    None
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { max_series: 20_000, max_cells: 20_000_000, max_steps: 11_000, hold: &always, stop: &never }
    }
}

/// What a query looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Lines of the streams and the time that were asked for.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those that passed all filters.
    pub passed: u64,
}

pub(crate) fn of_source(error: SourceError, options: &Options<'_>) -> Error {
    match error {
        SourceError::Stopped => (options.stop)().unwrap_or(Error::Canceled),
        SourceError::Failed(what) => Error::Source(what),
    }
}
