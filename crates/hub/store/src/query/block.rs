//! A decoded block of spans.

use std::collections::HashMap;
use std::ops::Range;

use model::TraceId;

use crate::rows::SpanRow;

/// A block of a traces pack, with the place of each of its traces.
#[derive(Default)]
pub(super) struct Block {
    rows: Vec<SpanRow>,
    traces: HashMap<TraceId, Range<usize>>,
}

impl Block {
    pub(super) fn new(rows: Vec<SpanRow>) -> Self {
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

    /// All its rows.
    pub(super) fn rows(&self) -> &[SpanRow] {
        &self.rows
    }

    pub(super) fn rows_of(&self, trace: TraceId) -> &[SpanRow] {
        self.traces.get(&trace).map_or(&[], |places| &self.rows[places.clone()])
    }
}
