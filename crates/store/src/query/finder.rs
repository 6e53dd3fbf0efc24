//! Finding the rows of traces in heads and packs, with what one query has read kept at hand.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use model::TraceId;

use crate::pack::{Kind, Pack, TraceEntry, TracePage};
use crate::rows::{LogRow, SpanRow};
use crate::store::Inner;
use crate::view::Snapshot;

/// Blocks that one query keeps decoded, of about 1.5 MB each.
const CACHED_BLOCKS: usize = 32;
/// Pages of trace tables that one query keeps, of 4 KiB each.
const CACHED_PAGES: usize = 4096;

/// A block of a traces pack, with the place of each of its traces.
pub(super) struct Block {
    rows: Vec<SpanRow>,
    traces: HashMap<TraceId, Range<usize>>,
}

impl Block {
    fn new(rows: Vec<SpanRow>) -> Self {
        let mut traces: HashMap<TraceId, Range<usize>> = HashMap::new();
        for (place, row) in rows.iter().enumerate() {
            // The rows of a trace lie together.
            traces.entry(row.trace_id()).or_insert(place..place).end = place + 1;
        }
        Self { rows, traces }
    }

    /// The start of each trace's rows in it, with the trace's id, in no order.
    pub(super) fn parts(&self) -> impl Iterator<Item = (u64, TraceId)> {
        self.traces.iter().map(|(trace, places)| {
            let starts = self.rows[places.clone()].iter().map(|row| row.span.start_time_unix_nano);
            (starts.min().unwrap_or(0), *trace)
        })
    }

    fn rows_of(&self, trace: TraceId) -> &[SpanRow] {
        self.traces.get(&trace).map_or(&[], |places| &self.rows[places.clone()])
    }
}

/// Things that were read, the oldest forgotten first.
struct Cache<T> {
    things: HashMap<(u64, usize), Arc<T>>,
    order: VecDeque<(u64, usize)>,
    most: usize,
}

impl<T> Cache<T> {
    fn new(most: usize) -> Self {
        Self { things: HashMap::new(), order: VecDeque::new(), most }
    }

    fn get(&mut self, key: (u64, usize), read: impl FnOnce() -> T) -> Arc<T> {
        if let Some(thing) = self.things.get(&key) {
            return Arc::clone(thing);
        }
        if self.order.len() >= self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.things.remove(&oldest);
        }
        let thing = Arc::new(read());
        self.order.push_back(key);
        self.things.insert(key, Arc::clone(&thing));
        thing
    }
}

/// Finds the rows of traces in a snapshot.
pub(super) struct Finder<'a> {
    inner: &'a Inner,
    heads: HashMap<TraceId, Vec<&'a SpanRow>>,
    head_logs: HashMap<TraceId, usize>,
    packs: &'a [Arc<Pack>],
    blocks: Cache<Block>,
    pages: Cache<TracePage>,
}

impl<'a> Finder<'a> {
    pub(super) fn new(inner: &'a Inner, snapshot: &'a Snapshot) -> Self {
        let mut heads: HashMap<TraceId, Vec<&SpanRow>> = HashMap::new();
        let mut head_logs: HashMap<TraceId, usize> = HashMap::new();
        for frame in &snapshot.frames {
            for row in &frame.records.spans {
                heads.entry(row.trace_id()).or_default().push(row);
            }
            for trace in frame.records.logs.iter().filter_map(LogRow::trace_id) {
                *head_logs.entry(trace).or_default() += 1;
            }
        }
        Self {
            inner,
            heads,
            head_logs,
            packs: &snapshot.packs,
            blocks: Cache::new(CACHED_BLOCKS),
            pages: Cache::new(CACHED_PAGES),
        }
    }

    /// The start of each trace's rows in heads, with the trace's id, in no order.
    pub(super) fn head_parts(&self) -> impl Iterator<Item = (u64, TraceId)> {
        self.heads.iter().map(|(trace, rows)| {
            let starts = rows.iter().map(|row| row.span.start_time_unix_nano);
            (starts.min().unwrap_or(0), *trace)
        })
    }

    pub(super) fn block(&mut self, pack: &Pack, number: usize) -> Arc<Block> {
        let inner = self.inner;
        self.blocks.get((pack.number, number), || Block::new(inner.readable(pack.spans(number))))
    }

    fn entry(&mut self, pack: &Pack, trace: TraceId) -> Option<TraceEntry> {
        let (inner, page) = (self.inner, pack.trace_page(trace)?);
        self.pages.get((pack.number, page), || inner.readable(pack.read_trace_page(page))).find(trace)
    }

    /// Shows `visit` every stored span row of a trace.
    pub(super) fn visit(&mut self, trace: TraceId, mut visit: impl FnMut(&SpanRow)) {
        self.heads.get(&trace).into_iter().flatten().for_each(|row| visit(row));
        let packs = self.packs;
        for pack in packs.iter().filter(|pack| pack.kind == Kind::Traces) {
            let Some(entry) = self.entry(pack, trace) else { continue };
            for number in entry.first_block..=entry.last_block {
                self.block(pack, number as usize).rows_of(trace).iter().for_each(&mut visit);
            }
        }
    }

    /// How many log lines of a trace are stored.
    pub(super) fn log_count(&mut self, trace: TraceId) -> usize {
        let packs = self.packs.iter().filter(|pack| pack.kind == Kind::Logs);
        let packed: usize = packs.filter_map(|pack| self.entry(pack, trace)).map(|entry| entry.rows as usize).sum();
        self.head_logs.get(&trace).copied().unwrap_or(0) + packed
    }
}
