//! Traces: search, newest first, and one trace by its id with everything that came late.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use model::{SpanId, TraceId};
use prost::Message;

use super::Scoped;
use super::finder::Finder;
use super::{Kept, TimeRange, budget};
use crate::pack::{Kind, Pack};
use crate::rows::SpanRow;
use crate::view::Snapshot;

/// Place of a trace in the order of search results: its start, then its id.
pub type TraceKey = (u64, TraceId);

/// Which traces are asked for.
#[derive(Debug, Clone)]
pub struct TraceQuery {
    /// When they start.
    pub range: TimeRange,
    /// A service that one of their spans is of.
    pub service: Option<String>,
    /// A name that a span (of that service, if one is given) has.
    pub operation: Option<String>,
    /// A filter that a span (of that service and name, if they are given) passes.
    pub filter: Option<filter::Filter>,
    /// Only those with a span whose status is an error.
    pub errors_only: bool,
    /// Only those whose earliest start and latest end are at least this far apart.
    pub min_duration_ns: u64,
    /// At most this many.
    pub limit: usize,
    /// Only those after this one, in the order of results.
    pub after: Option<TraceKey>,
}

/// A trace in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceSummary {
    /// Its id.
    pub trace_id: TraceId,
    /// Service of the root span; of the earliest span while the root is missing.
    pub root_service: String,
    /// Name of that span.
    pub root_name: String,
    /// Device that sent that span.
    pub device: String,
    /// Earliest start.
    pub start: u64,
    /// Latest end minus earliest start.
    pub duration_ns: u64,
    /// Different spans.
    pub spans: usize,
    /// Rows as stored.
    pub stored_spans: usize,
    /// Different spans whose status is an error.
    pub errors: usize,
    /// Log records as stored.
    pub logs: usize,
}

/// One page of search results.
#[derive(Debug, Clone, Default)]
pub struct TracePage {
    /// Newest first.
    pub traces: Vec<TraceSummary>,
    /// Where the next page begins, if there may be one.
    pub next: Option<TraceKey>,
}

/// The different spans of one trace. What they take counts as held by queries as long as this is there.
#[derive(Debug)]
pub struct TraceSpans {
    /// Each span once, by start; spans that share an id and differ are all there.
    pub rows: Vec<SpanRow>,
    /// Rows as stored.
    pub stored: usize,
    kept: Kept,
}

/// One trace. What it takes counts as held by queries as long as this is there.
#[derive(Debug)]
pub struct TraceView {
    /// Its id.
    pub trace_id: TraceId,
    /// Each span once, by start; spans that share an id and differ are all there.
    pub spans: Vec<SpanRow>,
    /// Rows as stored.
    pub stored_spans: usize,
    /// Different log records.
    pub logs: usize,
    /// Log records as stored.
    pub stored_logs: usize,
    /// Spans whose parent is not there.
    pub missing_parents: usize,
    _kept: Kept,
}

/// Which spans are not repeats. Only a span with an id is one, of a span whose content is the same: client and server may
/// share an id (Zipkin's B3), and of spans without one nobody knows.
#[derive(Default)]
struct Distinct {
    seen: HashSet<(SpanId, u64)>,
    count: usize,
}

impl Distinct {
    fn is_new(&mut self, row: &SpanRow) -> bool {
        let id = row.span_id();
        let is_new = id == SpanId::default() || self.seen.insert((id, content(row)));
        self.count += usize::from(is_new);
        is_new
    }
}

/// A hash of all that a span says, and of who says it.
fn content(row: &SpanRow) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(&row.span.encode_to_vec());
    (&*row.origin.device, &row.origin.service, &row.origin.scope.name).hash(&mut hasher);
    hasher.finish()
}

/// What is gathered of a trace for a summary, a row at a time.
#[derive(Default)]
struct Summing {
    root: Option<(bool, u64, String, String, Arc<str>)>,
    start: u64,
    end: u64,
    rows: usize,
    spans: Distinct,
    errors: usize,
    matches: bool,
}

impl Summing {
    fn add(&mut self, row: &SpanRow, query: &TraceQuery) {
        let (start, end) = (row.span.start_time_unix_nano, row.span.end_time_unix_nano);
        self.start = if self.rows == 0 { start } else { self.start.min(start) };
        self.end = self.end.max(end).max(start);
        self.rows += 1;
        if self.spans.is_new(row) && row.is_error() {
            self.errors += 1;
        }
        let is_child = SpanId::from_bytes(&row.span.parent_span_id).is_some();
        if self.root.as_ref().is_none_or(|root| (is_child, start) < (root.0, root.1)) {
            let (service, device) = (row.origin.service.clone(), Arc::clone(&row.origin.device));
            self.root = Some((is_child, start, service, row.span.name.clone(), device));
        }
        self.matches = self.matches
            || query.service.as_ref().is_none_or(|service| *service == row.origin.service)
                && query.operation.as_ref().is_none_or(|operation| *operation == row.span.name)
                && query.filter.as_ref().is_none_or(|filter| filter.matches(row));
    }

    fn finish(self, trace_id: TraceId, logs: usize) -> TraceSummary {
        let (_, _, root_service, root_name, device) = self.root.unwrap_or_default();
        TraceSummary {
            trace_id,
            root_service,
            root_name,
            device: device.to_string(),
            start: self.start,
            duration_ns: self.end - self.start,
            spans: self.spans.count,
            stored_spans: self.rows,
            errors: self.errors,
            logs,
        }
    }
}

/// The newest matching traces so far.
struct Newest<'q> {
    query: &'q TraceQuery,
    found: BTreeMap<TraceKey, TraceSummary>,
}

impl Newest<'_> {
    /// Whether nothing that starts at `start` or before can get in any more.
    fn is_settled(&self, start: u64) -> bool {
        self.found.len() >= self.query.limit
            && self.found.first_key_value().is_none_or(|((oldest, _), _)| start < *oldest)
    }

    /// Looks at a trace of which one part starts at `part_start`.
    fn consider(&mut self, finder: &Finder<'_>, part_start: u64, trace: TraceId) {
        let query = self.query;
        // Any part that comes earlier is met on its own; the whole trace counts where its first part is.
        // Spans without a valid trace id (of agents that took them) are no trace; tables of spans show them.
        if trace == TraceId::default()
            || !query.range.contains(part_start)
            || !budget::goes_on()
            || query.after.is_some_and(|after| (part_start, trace) >= after)
            || self.found.contains_key(&(part_start, trace))
            || self.is_settled(part_start)
        {
            return;
        }
        let mut summing = Summing::default();
        finder.visit(trace, |row| summing.add(row, query));
        let duration = summing.end - summing.start;
        if summing.start != part_start
            || !summing.matches
            || (query.errors_only && summing.errors == 0)
            || duration < query.min_duration_ns
        {
            return;
        }
        let logs = finder.log_count(trace);
        self.found.insert((part_start, trace), summing.finish(trace, logs));
        if self.found.len() > query.limit {
            self.found.pop_first();
        }
    }
}

/// The newest first, so that the rest can be passed over once enough is found.
fn newest_first(parts: impl Iterator<Item = (u64, TraceId)>) -> Vec<(u64, TraceId)> {
    let mut parts: Vec<_> = parts.collect();
    parts.sort_unstable_by(|a, b| b.cmp(a));
    parts
}

impl Scoped<'_> {
    /// Searches traces, newest first.
    pub fn traces(&self, query: &TraceQuery) -> TracePage {
        let snapshot = self.inner.snapshot();
        let finder = Finder::new(*self, &snapshot);
        let mut newest = Newest { query, found: BTreeMap::new() };
        for (start, trace) in newest_first(finder.head_parts()) {
            newest.consider(&finder, start, trace);
        }
        let mut blocks: Vec<(u64, &Pack, usize)> = Vec::new();
        for pack in snapshot.packs.iter().filter(|pack| pack.kind == Kind::Traces) {
            for (number, block) in pack.index.blocks.iter().enumerate() {
                if block.min_time < query.range.to && block.max_time >= query.range.from {
                    blocks.push((block.max_time, pack, number));
                }
            }
        }
        blocks.sort_by_key(|(max_time, _, _)| std::cmp::Reverse(*max_time));
        for (max_time, pack, number) in blocks {
            if newest.is_settled(max_time) {
                break;
            }
            let block = finder.block(pack, number);
            for (start, trace) in newest_first(block.parts()) {
                newest.consider(&finder, start, trace);
            }
        }
        let full = newest.found.len() >= query.limit;
        let next = newest.found.first_key_value().map(|(key, _)| *key).filter(|_| full);
        TracePage { traces: newest.found.into_values().rev().collect(), next }
    }

    /// The different spans of a trace, with everything stored of it at any time, by start; empty where there are none.
    pub fn spans_of(&self, trace_id: TraceId) -> TraceSpans {
        let snapshot = self.inner.view().snapshot_of_trace(trace_id);
        self.distinct_spans(&snapshot, trace_id)
    }

    fn distinct_spans(&self, snapshot: &Snapshot, trace_id: TraceId) -> TraceSpans {
        let mut rows: Vec<SpanRow> = Vec::new();
        let (mut stored, mut bytes) = (0, 0);
        Finder::new(*self, snapshot).visit(trace_id, |row| {
            stored += 1;
            let own = size_of::<SpanRow>() + 3 * row.span.encoded_len();
            if budget::hold(own) {
                rows.push(row.clone());
            }
            bytes += own;
        });
        let kept = budget::keep(bytes);
        rows.sort_by_key(|row| (row.order, row.index));
        let mut distinct = Distinct::default();
        rows.retain(|row| distinct.is_new(row));
        rows.sort_by_key(|row| (row.span.start_time_unix_nano, row.order, row.index));
        TraceSpans { rows, stored, kept }
    }

    /// One trace, with everything stored of it at any time; `None` when there is no span and no line of it.
    pub fn trace(&self, trace_id: TraceId) -> Option<TraceView> {
        let snapshot = self.inner.view().snapshot_of_trace(trace_id);
        let TraceSpans { rows, stored: stored_spans, kept } = self.distinct_spans(&snapshot, trace_id);
        let mut lines = HashSet::new();
        let mut stored_logs = 0;
        super::logs::visit_trace(*self, &snapshot, trace_id, |row| {
            stored_logs += 1;
            let mut hasher = DefaultHasher::new();
            hasher.write(&row.record.encode_to_vec());
            row.origin.service.hash(&mut hasher);
            lines.insert(hasher.finish());
        });
        if stored_spans == 0 && stored_logs == 0 {
            return None;
        }
        let ids: HashSet<SpanId> = rows.iter().map(SpanRow::span_id).collect();
        let parents = rows.iter().filter_map(|row| SpanId::from_bytes(&row.span.parent_span_id));
        let missing_parents = parents.filter(|parent| !ids.contains(parent)).count();
        let logs = lines.len();
        Some(TraceView { trace_id, spans: rows, stored_spans, logs, stored_logs, missing_parents, _kept: kept })
    }

    /// Whether a span of this trace is stored.
    pub fn has_trace(&self, trace_id: TraceId) -> bool {
        let snapshot = self.inner.view().snapshot_of_trace(trace_id);
        has_spans(*self, &snapshot, trace_id)
    }
}

/// Whether a snapshot holds a span of this trace.
pub(super) fn has_spans(query: Scoped<'_>, snapshot: &Snapshot, trace: TraceId) -> bool {
    snapshot.frames.iter().any(|frame| frame.records.spans.iter().any(|row| row.trace_id() == trace))
        || snapshot.packs.iter().any(|pack| pack.kind == Kind::Traces && query.trace_entry(pack, trace).is_some())
}
