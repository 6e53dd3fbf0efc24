//! Log records: by trace, by filter, in the order of time.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{SpanId, TraceId};
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;

use super::Scoped;
use super::TimeRange;
use super::budget::{self, MAX_PAGE_BYTES};
use crate::pack::{BlockRef, Kind, Pack};
use crate::rows::{LogRow, Origin};
use crate::view::Snapshot;

/// Place of a line: its time, its frame's place in the order of intake, its place in the frame.
pub type LogKey = (u64, u64, u32);

/// Which lines are asked for.
#[derive(Debug, Clone)]
pub struct LogQuery {
    /// Their time.
    pub range: TimeRange,
    /// Of this trace.
    pub trace_id: Option<TraceId>,
    /// Of this span.
    pub span_id: Option<SpanId>,
    /// Of this service.
    pub service: Option<String>,
    /// OpenTelemetry severity number, at least; 0 takes all.
    pub min_severity: i32,
    /// Letters that the body or an attribute holds, whatever their case.
    pub text: Option<String>,
    /// Passing this filter.
    pub filter: Option<filter::Filter>,
    /// Whether the oldest come first.
    pub ascending: bool,
    /// At most this many.
    pub limit: usize,
    /// Only lines after this one, in the order of results.
    pub after: Option<LogKey>,
}

/// Which log records are looked at, and in which order about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogScan {
    /// Their time.
    pub range: TimeRange,
    /// Of this trace.
    pub trace_id: Option<TraceId>,
    /// Whether the oldest come first.
    pub ascending: bool,
}

/// What looks at log records.
pub trait LogVisitor {
    /// Looks at a record; whether it wants more.
    fn visit(&mut self, row: &LogRow) -> bool;

    /// Whether records at `time`, and beyond it in the order asked for, make no difference any more.
    fn is_settled(&self, time: u64) -> bool;
}

/// Log records that lie together and come from these origins.
#[derive(Debug)]
pub struct LogGroup<'a> {
    /// Where they come from, each once.
    pub origins: &'a [Arc<Origin>],
    /// How many there are.
    pub rows: u64,
    /// Their bytes, as they are stored before they are compressed.
    pub bytes: u64,
}

/// One page of lines.
#[derive(Debug, Clone, Default)]
pub struct LogPage {
    /// In the order asked for.
    pub logs: Vec<LogRow>,
    /// With a trace id: all matching rows as stored, whatever the limit; else those of this page.
    pub stored: usize,
    /// Where the next page begins, if there may be one.
    pub next: Option<LogKey>,
}

fn key(row: &LogRow) -> LogKey {
    (row.time(), row.order, row.index)
}

fn holds_text(value: &AnyValue, needle: &str) -> bool {
    match &value.value {
        Some(Value::StringValue(text)) => text.to_lowercase().contains(needle),
        Some(Value::ArrayValue(array)) => array.values.iter().any(|value| holds_text(value, needle)),
        Some(Value::KvlistValue(list)) => list.values.iter().any(|entry| {
            entry.key.to_lowercase().contains(needle)
                || entry.value.as_ref().is_some_and(|value| holds_text(value, needle))
        }),
        Some(Value::IntValue(number)) => number.to_string().contains(needle),
        Some(Value::DoubleValue(number)) => number.to_string().contains(needle),
        _ => false,
    }
}

struct Matching<'q> {
    query: &'q LogQuery,
    needle: Option<String>,
    found: BTreeMap<LogKey, LogRow>,
    stored: usize,
    /// Bytes of what was found.
    bytes: usize,
    /// Records from this one on, in the order of results, are left to the next page: there is no room for them.
    edge: Option<LogKey>,
}

impl<'q> Matching<'q> {
    fn new(query: &'q LogQuery) -> Self {
        let needle = query.text.as_ref().map(|text| text.to_lowercase());
        Self { query, needle, found: BTreeMap::new(), stored: 0, bytes: 0, edge: None }
    }

    fn matches(&self, row: &LogRow) -> bool {
        let query = self.query;
        query.range.contains(row.time())
            && budget::goes_on()
            && query.trace_id.is_none_or(|trace| row.trace_id() == Some(trace))
            && query.span_id.is_none_or(|span| SpanId::from_bytes(&row.record.span_id) == Some(span))
            && query.service.as_ref().is_none_or(|service| *service == row.origin.service)
            && row.record.severity_number >= query.min_severity
            && query.filter.as_ref().is_none_or(|filter| filter.matches(row))
            && self.needle.as_ref().is_none_or(|needle| {
                row.record.body.as_ref().is_some_and(|body| holds_text(body, needle))
                    || row.record.attributes.iter().any(|pair| {
                        pair.key.to_lowercase().contains(needle)
                            || pair.value.as_ref().is_some_and(|value| holds_text(value, needle))
                    })
            })
    }

    fn is_full_up_to(&self, time: u64) -> bool {
        // All lines of a trace are counted.
        self.query.trace_id.is_none()
            && (self.found.len() >= self.query.limit || self.edge.is_some())
            && if self.query.ascending {
                self.found.last_key_value().is_none_or(|((worst, _, _), _)| time > *worst)
            } else {
                self.found.first_key_value().is_none_or(|((worst, _, _), _)| time < *worst)
            }
    }

    fn consider(&mut self, row: &LogRow) {
        if !self.matches(row) {
            return;
        }
        self.stored += 1;
        let key = key(row);
        let is_past = match self.query.after {
            Some(after) if self.query.ascending => key > after,
            Some(after) => key < after,
            None => true,
        };
        let is_beyond = self.edge.is_some_and(|edge| if self.query.ascending { key >= edge } else { key <= edge });
        if !is_past || is_beyond {
            return;
        }
        if self.found.len() >= self.query.limit {
            let worst = if self.query.ascending { self.found.last_key_value() } else { self.found.first_key_value() };
            let is_worse =
                worst.is_none_or(|(worst, _)| if self.query.ascending { key > *worst } else { key < *worst });
            if is_worse {
                return;
            }
        }
        self.bytes += bytes_of(row);
        self.found.insert(key, row.clone());
        while self.found.len() > self.query.limit || (self.bytes > MAX_PAGE_BYTES && self.found.len() > 1) {
            let is_full = self.found.len() <= self.query.limit;
            let worst = if self.query.ascending { self.found.pop_last() } else { self.found.pop_first() };
            let Some((key, row)) = worst else { break };
            self.bytes -= bytes_of(&row);
            if is_full {
                self.edge = Some(key);
            }
        }
    }
}

impl LogVisitor for Matching<'_> {
    fn visit(&mut self, row: &LogRow) -> bool {
        self.consider(row);
        budget::goes_on()
    }

    fn is_settled(&self, time: u64) -> bool {
        self.is_full_up_to(time)
    }
}

fn bytes_of(row: &LogRow) -> usize {
    size_of::<LogRow>() + 3 * row.record.encoded_len()
}

/// Shows `visit` every stored line of a trace.
pub(super) fn visit_trace(query: Scoped<'_>, snapshot: &Snapshot, trace: TraceId, mut visit: impl FnMut(&LogRow)) {
    let heads = snapshot.frames.iter().flat_map(|frame| &frame.records.logs);
    heads.filter(|row| row.trace_id() == Some(trace)).for_each(&mut visit);
    for pack in snapshot.packs.iter().filter(|pack| pack.kind == Kind::Logs) {
        let Some(entry) = query.trace_entry(pack, trace) else { continue };
        for number in entry.first_block..=entry.last_block {
            let rows = query.log_block(pack, number as usize);
            rows.iter().filter(|row| row.trace_id() == Some(trace)).for_each(&mut visit);
        }
    }
}

impl Scoped<'_> {
    /// Finds log records.
    pub fn logs(&self, query: &LogQuery) -> LogPage {
        let mut matching = Matching::new(query);
        let LogQuery { range, trace_id, ascending, .. } = *query;
        self.scan_logs(LogScan { range, trace_id, ascending }, &mut matching);
        let full = matching.found.len() >= query.limit || matching.edge.is_some();
        let mut logs: Vec<LogRow> = matching.found.into_values().collect();
        if !query.ascending {
            logs.reverse();
        }
        let next = logs.last().map(key).filter(|_| full);
        let stored = if query.trace_id.is_some() { matching.stored } else { logs.len() };
        LogPage { logs, stored, next }
    }

    /// Shows `visit` every line that is meant, whatever the query's order, limit and place, until it wants no more.
    pub(super) fn each_log(&self, query: &LogQuery, mut visit: impl FnMut(&LogRow) -> bool) {
        let matching = Matching::new(query);
        let mut goes_on = true;
        let mut consider = |row: &LogRow| {
            goes_on = goes_on && (!matching.matches(row) || visit(row));
            goes_on
        };
        if let Some(trace) = query.trace_id {
            let snapshot = self.inner.view().snapshot_of_trace(trace);
            visit_trace(*self, &snapshot, trace, |row| {
                let _more = consider(row);
            });
            return;
        }
        let snapshot = self.inner.snapshot();
        if !snapshot.frames.iter().flat_map(|frame| &frame.records.logs).all(&mut consider) {
            return;
        }
        for pack in snapshot.packs.iter().filter(|pack| pack.kind == Kind::Logs) {
            for (number, block) in pack.index.blocks.iter().enumerate() {
                let touches = block.min_time < query.range.to && block.max_time >= query.range.from;
                if touches && !self.log_block(pack, number).iter().all(&mut consider) {
                    return;
                }
            }
        }
    }

    /// Shows `visitor` every log record of the time (and the trace, where one is asked for), until it wants no more: those in memory in
    /// no order, then block by block in the order asked for. Records as stored; one block is held at a time.
    pub fn scan_logs(&self, scan: LogScan, visitor: &mut dyn LogVisitor) {
        let mut goes_on = true;
        let mut visit = |visitor: &mut dyn LogVisitor, row: &LogRow| {
            goes_on = goes_on && budget::goes_on() && (!scan.range.contains(row.time()) || visitor.visit(row));
            goes_on
        };
        if let Some(trace) = scan.trace_id {
            let snapshot = self.inner.view().snapshot_of_trace(trace);
            visit_trace(*self, &snapshot, trace, |row| {
                let _more = visit(visitor, row);
            });
            return;
        }
        let snapshot = self.inner.snapshot();
        if !snapshot.frames.iter().flat_map(|frame| &frame.records.logs).all(|row| visit(visitor, row)) {
            return;
        }
        let mut blocks: Vec<(u64, &Pack, usize)> = Vec::new();
        for (pack, number, block) in touched(&snapshot, scan.range) {
            blocks.push((if scan.ascending { block.min_time } else { block.max_time }, pack, number));
        }
        blocks.sort_by_key(|(time, _, _)| if scan.ascending { *time } else { u64::MAX - *time });
        for (time, pack, number) in blocks {
            if visitor.is_settled(time) || !self.log_block(pack, number).iter().all(|row| visit(visitor, row)) {
                return;
            }
        }
    }

    /// Shows `visit` where the log records of a time come from, until it wants no more: those in memory one by one, others block by
    /// block, of which some rows may lie beside the time. No row of a block is decoded.
    pub fn log_groups(&self, range: TimeRange, mut visit: impl FnMut(LogGroup<'_>) -> bool) {
        let snapshot = self.inner.snapshot();
        let rows = snapshot.frames.iter().flat_map(|frame| &frame.records.logs);
        for row in rows.filter(|row| range.contains(row.time())) {
            let bytes = row.record.encoded_len() as u64;
            let group = LogGroup { origins: std::slice::from_ref(&row.origin), rows: 1, bytes };
            if !budget::goes_on() || !visit(group) {
                return;
            }
        }
        for (pack, number, block) in touched(&snapshot, range) {
            if !budget::goes_on() {
                return;
            }
            let origins = self.readable(pack, Some(number), pack.origins(number));
            let group = LogGroup { origins: &origins, rows: block.rows.into(), bytes: block.raw_len.into() };
            if !visit(group) {
                return;
            }
        }
    }
}

/// The blocks of log records that may hold some of a time.
fn touched(snapshot: &Snapshot, range: TimeRange) -> impl Iterator<Item = (&Pack, usize, &BlockRef)> {
    let packs = snapshot.packs.iter().filter(|pack| pack.kind == Kind::Logs);
    let blocks =
        packs.flat_map(|pack| pack.index.blocks.iter().enumerate().map(move |(number, own)| (&**pack, number, own)));
    blocks.filter(move |(_, _, block)| block.min_time < range.to && block.max_time >= range.from)
}
