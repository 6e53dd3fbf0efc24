//! Queries: over heads and packs alike, in bounded memory, without knowing HTTP.

mod budget;
mod cache;
mod completeness;
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
mod services;
mod tables;
mod traces;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::TraceId;

pub use budget::{Ended, MAX_CELLS, MAX_HELD_BYTES, MAX_PAGE_BYTES, Switch, within};
pub(crate) use cache::ReadCache;
pub use completeness::{Completeness, DeviceCoverage, DeviceStatus, Incomplete, LaneStatus, LedgerEntry, LostRange};
pub use exemplars::{ExemplarPage, ExemplarQuery, ExemplarState, FoundExemplar};
pub use logs::{LogKey, LogPage, LogQuery};
pub use metrics::{MetricAnswer, MetricInfo, MetricQuery, MetricSeries, Reduce};
pub use rates::{Number, Steps};
pub use red::{Red, RedQuery};
pub use services::ServiceInfo;
pub use tables::{SpanQuery, Table};
pub use traces::{TraceKey, TracePage, TraceQuery, TraceSummary, TraceView};

use crate::damage::{Damage, Reason};
use crate::error::StoreError;
use crate::pack::{Kind, Pack, TraceEntry};
use crate::rows::LogRow;
use crate::store::Inner;

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

impl Inner {
    /// What can be read of a pack; a part that cannot is left out of the answer, counted, and from now on told with
    /// every answer over its time.
    fn readable<T: Default>(&self, pack: &Pack, block: Option<usize>, result: Result<T, StoreError>) -> T {
        result.unwrap_or_else(|error| {
            self.stats.damaged_blocks.fetch_add(1, Ordering::Relaxed);
            self.found_damaged(pack, block, &error);
            T::default()
        })
    }

    /// Remembers that a pack, or one of its blocks, cannot be read.
    pub(crate) fn found_damaged(&self, pack: &Pack, block: Option<usize>, error: &StoreError) {
        let of_block = block.and_then(|number| pack.index.blocks.get(number));
        // In a traces pack a block's times are the starts of its traces; its spans may lie anywhere in the pack's time.
        let times = of_block.filter(|_| pack.kind != Kind::Traces).map(|block| (block.min_time, block.max_time));
        let (from, to) = times.unwrap_or((pack.index.min_time, pack.index.max_time));
        self.damages.add(Damage {
            pack: pack.number,
            block,
            signal: Some(pack.kind.signal()),
            from,
            to: to.saturating_add(1),
            devices: pack.devices.clone(),
            reason: Reason::PackDamaged,
            what: error.to_string(),
            accepted: false,
        });
    }

    /// What a pack has of a trace.
    fn trace_entry(&self, pack: &Pack, trace: TraceId) -> Option<TraceEntry> {
        let page = pack.trace_page(trace).filter(|_| budget::goes_on())?;
        let key = (pack.number, page);
        self.readable(pack, None, self.cache.pages.get(key, || pack.read_trace_page(page))).find(trace)
    }

    /// A block of a traces pack.
    fn span_block(&self, pack: &Pack, number: usize) -> Arc<finder::Block> {
        if !budget::goes_on() {
            return Arc::default();
        }
        let block = self.cache.spans.get((pack.number, number), || pack.spans(number).map(finder::Block::new));
        self.readable(pack, Some(number), block)
    }

    /// The lines of a block of a logs pack.
    fn log_block(&self, pack: &Pack, number: usize) -> Arc<Vec<LogRow>> {
        if !budget::goes_on() {
            return Arc::default();
        }
        let block = self.cache.logs.get((pack.number, number), || pack.logs(number));
        self.readable(pack, Some(number), block)
    }
}
