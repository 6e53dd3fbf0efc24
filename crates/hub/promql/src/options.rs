//! What a query is evaluated with, and why it may have no answer.

use crate::source::SourceError;

/// The times of a query, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// At one time.
    Instant(i64),
    /// From a time to a time, both inclusive, at steps.
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
    /// How far back a series' last sample counts, in milliseconds.
    pub lookback: i64,
    /// The resolution of subqueries that name none, in milliseconds.
    pub subquery_step: i64,
    /// Names go at the end, not with each function (Prometheus' flag `promql-delayed-name-removal`).
    pub delayed_name_removal: bool,
    /// `rate` and its kind use start times (Prometheus' flag of that).
    pub start_times: bool,
    /// Series that all selectors together may have.
    pub max_series: usize,
    /// Samples that all selectors together may have; a histogram counts as many.
    pub max_samples: usize,
    /// Cells (series times steps) of all intermediate matrices together.
    pub max_cells: usize,
    /// Steps of a range query.
    pub max_steps: usize,
    /// Asked now and then: whether the query is to end, and why.
    pub stop: &'a dyn Fn() -> Option<Error>,
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("lookback", &self.lookback).finish_non_exhaustive()
    }
}

fn never() -> Option<Error> {
    None
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            lookback: 300_000,
            subquery_step: 60_000,
            delayed_name_removal: false,
            start_times: false,
            max_series: 100_000,
            max_samples: 50_000_000,
            max_cells: 20_000_000,
            max_steps: 11_000,
            stop: &never,
        }
    }
}

/// Why a query has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It cannot be evaluated: its parts or the data do not fit together.
    #[error("{0}")]
    Execution(String),
    /// It would take more than it may.
    #[error("{0}")]
    TooMuch(String),
    /// Its time was over.
    #[error("query timed out in expression evaluation")]
    Timeout,
    /// Nobody waits for it any more.
    #[error("query was canceled in expression evaluation")]
    Canceled,
    /// The source failed.
    #[error("expanding series: {0}")]
    Source(String),
}

impl From<SourceError> for Error {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::TooMuch(what) => Error::TooMuch(what),
            SourceError::Stopped => Error::Canceled,
            SourceError::Failed(what) => Error::Source(what),
        }
    }
}
