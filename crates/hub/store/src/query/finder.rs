//! Finding the rows of traces in heads and packs.

use std::collections::HashMap;
use std::sync::Arc;

use model::TraceId;

use super::Scoped;
use super::block::Block;
use crate::pack::{Kind, Pack};
use crate::rows::{LogRow, SpanRow};
use crate::view::Snapshot;

/// Finds the rows of traces in a snapshot.
pub(super) struct Finder<'a> {
    query: Scoped<'a>,
    heads: HashMap<TraceId, Vec<&'a SpanRow>>,
    head_logs: HashMap<TraceId, usize>,
    packs: &'a [Arc<Pack>],
}

impl<'a> Finder<'a> {
    pub(super) fn new(query: Scoped<'a>, snapshot: &'a Snapshot) -> Self {
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
        Self { query, heads, head_logs, packs: &snapshot.packs }
    }

    /// The start of each trace's rows in heads, with the trace's id, in no order.
    pub(super) fn head_parts(&self) -> impl Iterator<Item = (u64, TraceId)> {
        self.heads.iter().map(|(trace, rows)| {
            let starts = rows.iter().map(|row| row.span.start_time_unix_nano);
            (starts.min().unwrap_or(0), *trace)
        })
    }

    pub(super) fn block(&self, pack: &Pack, number: usize) -> Arc<Block> {
        self.query.span_block(pack, number)
    }

    /// Shows `visit` every stored span row of a trace.
    pub(super) fn visit(&self, trace: TraceId, mut visit: impl FnMut(&SpanRow)) {
        self.heads.get(&trace).into_iter().flatten().for_each(|row| visit(row));
        let packs = self.packs;
        for pack in packs.iter().filter(|pack| pack.kind == Kind::Traces) {
            let Some(entry) = self.query.trace_entry(pack, trace) else { continue };
            for number in entry.first_block..=entry.last_block {
                self.block(pack, number as usize).rows_of(trace).iter().for_each(&mut visit);
            }
        }
    }

    /// How many log records of a trace are stored.
    pub(super) fn log_count(&self, trace: TraceId) -> usize {
        let packs = self.packs.iter().filter(|pack| pack.kind == Kind::Logs);
        let packed: usize =
            packs.filter_map(|pack| self.query.trace_entry(pack, trace)).map(|entry| entry.rows as usize).sum();
        self.head_logs.get(&trace).copied().unwrap_or(0) + packed
    }
}
