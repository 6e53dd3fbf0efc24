//! What a run has generated, for the reconciliation afterwards.

use crate::vessel::fate::{Boundary, Fate};
use crate::vessel::instruments::PlannedPoint;
use crate::vessel::line::line_count;
use model::{SpanId, TraceId};
use std::collections::BTreeMap;

/// One request that was generated.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) number: u64,
    pub(crate) trace: TraceId,
    pub(crate) spans: Vec<SpanId>,
    /// Its log records have the ids `NUMBER-0` up to this count.
    pub(crate) lines: u64,
    pub(crate) fails: bool,
    pub(crate) length_ns: u64,
    pub(crate) should_keep: bool,
    pub(crate) boundary: Option<Boundary>,
}

/// Everything that was generated.
#[derive(Debug, Default, Clone)]
pub(crate) struct Manifest {
    pub(crate) requests: Vec<Request>,
    /// Lines without a trace have the ids `loose-0` up to this count.
    pub(crate) loose_lines: u64,
    pub(crate) points: Vec<PlannedPoint>,
    pub(crate) spans_by_name: BTreeMap<String, u64>,
}

impl Manifest {
    pub(crate) fn note(&mut self, fate: &Fate) {
        for span in &fate.spans {
            *self.spans_by_name.entry(span.name.clone()).or_default() += 1;
        }
        self.requests.push(Request {
            number: fate.number,
            trace: fate.trace,
            spans: fate.spans.iter().map(|span| span.id).collect(),
            lines: line_count(fate),
            fails: fate.fails,
            length_ns: fate.length_ns(),
            should_keep: fate.should_keep(),
            boundary: fate.boundary,
        });
    }

    /// All spans.
    pub(crate) fn spans(&self) -> u64 {
        self.spans_by_name.values().sum()
    }

    /// All log records, with and without a trace.
    pub(crate) fn lines(&self) -> u64 {
        self.requests.iter().map(|request| request.lines).sum::<u64>() + self.loose_lines
    }
}
