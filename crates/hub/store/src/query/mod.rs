//! Queries: over heads and packs alike, in bounded memory, without knowing HTTP.

mod block;
mod budget;
mod cache;
mod completeness;
mod dependencies;
mod exemplars;
mod fields;
mod finder;
mod histogram;
#[cfg(test)]
mod histogram_tests;
mod logs;
mod metrics;
mod rates;
mod red;
mod select;
mod services;
mod tables;
mod traces;
mod weight;

use crate::inner::Inner;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::TraceId;

pub use crate::pack::Label;
pub use budget::{Ended, Kept, MAX_CELLS, MAX_HELD_BYTES, MAX_PAGE_BYTES, Memory, Switch, goes_on, hold, keep, within};
pub(crate) use cache::ReadCache;
pub use completeness::{Completeness, DeviceCoverage, DeviceStatus, Incomplete, LaneStatus, LedgerEntry, LostRange};
pub use dependencies::Dependency;
pub use exemplars::{ExemplarPage, ExemplarQuery, ExemplarState, FoundExemplar};
pub use logs::{LogGroup, LogKey, LogPage, LogQuery, LogScan, LogVisitor};
pub use metrics::{MetricAnswer, MetricInfo, MetricQuery, MetricSeries, Reduce};
pub use rates::{Number, Steps};
pub use red::{Red, RedQuery};
pub use select::{LabelMatcher, SelectedSeries};
pub use services::ServiceInfo;
pub use tables::{SpanQuery, Table};
pub use traces::{TraceKey, TracePage, TraceQuery, TraceSpans, TraceSummary, TraceView};

use crate::error::StoreError;
use crate::pack::{Listing, Pack, TraceEntry};
use crate::rows::LogRow;

/// A stretch of event time, `[from, to)`, in nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// First nanosecond.
    pub from: u64,
    /// First nanosecond after it.
    pub to: u64,
}

impl TimeRange {
    /// All of time.
    pub const ALL: TimeRange = TimeRange { from: 0, to: u64::MAX };

    /// Whether `time` is in it.
    pub fn contains(self, time: u64) -> bool {
        self.from <= time && time < self.to
    }
}

/// Why a query has no answer; the message is for the person who asked.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{what}")]
pub struct QueryError {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub hint: String,
    /// Why it was ended from outside, if it was.
    pub ended: Option<Ended>,
}

impl QueryError {
    fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into(), ended: None }
    }
}

/// Whose records somebody may see. Every query carries one, made where the caller's credentials are looked at.
#[derive(Debug, Clone)]
pub struct Scope(());

impl Scope {
    /// Everything that the store holds.
    pub fn whole_store() -> Self {
        Self(())
    }
}

/// What may be asked of a store within a scope.
#[derive(Clone, Copy)]
pub struct Scoped<'a> {
    inner: &'a Inner,
}

impl<'a> Scoped<'a> {
    pub(crate) fn new(inner: &'a Inner, _scope: &Scope) -> Self {
        Self { inner }
    }
}

impl Scoped<'_> {
    /// What can be read of a pack; a part that cannot is left out of the answer, counted, and from now on told with
    /// every answer over its time.
    fn readable<T: Default>(&self, pack: &Pack, block: Option<usize>, result: Result<T, StoreError>) -> T {
        result.unwrap_or_else(|error| {
            self.inner.stats.damaged_blocks.fetch_add(1, Ordering::Relaxed);
            self.inner.found_damaged(pack, block, &error);
            T::default()
        })
    }

    /// What a pack has of a trace.
    fn trace_entry(&self, pack: &Pack, trace: TraceId) -> Option<TraceEntry> {
        let page = pack.trace_page(trace).filter(|_| goes_on())?;
        let key = (pack.number, page);
        self.readable(pack, None, self.inner.cache.pages.get(key, || pack.read_trace_page(page))).find(trace)
    }

    /// The services and metrics that a pack lists.
    fn listing(&self, pack: &Pack) -> Arc<Listing> {
        self.readable(pack, None, self.inner.cache.listings.get((pack.number, 0), || pack.listing()))
    }

    /// A block of a traces pack.
    fn span_block(&self, pack: &Pack, number: usize) -> Arc<block::Block> {
        if !goes_on() {
            return Arc::default();
        }
        let block = self.inner.cache.spans.get((pack.number, number), || pack.spans(number).map(block::Block::new));
        self.readable(pack, Some(number), block)
    }

    /// The lines of a block of a logs pack.
    fn log_block(&self, pack: &Pack, number: usize) -> Arc<Vec<LogRow>> {
        if !goes_on() {
            return Arc::default();
        }
        let block = self.inner.cache.logs.get((pack.number, number), || pack.logs(number));
        self.readable(pack, Some(number), block)
    }
}
