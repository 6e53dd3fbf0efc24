//! What was planned against what was found, id by id; pure comparison, no IO.

use crate::reconcile::found::Found;
use crate::vessel::{Manifest, Request};
use model::TraceId;
use std::collections::HashMap;

/// How many examples of a fault are named.
const EXAMPLES: usize = 5;

/// How plan and hub differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Compared {
    /// Traces that must be kept, found whole: every span and every log record.
    pub(crate) stored: u64,
    /// Failed ones among them.
    pub(crate) errors_kept: u64,
    /// Spans and lines of traces that must be kept, lines without a trace, and points that are not there.
    pub(crate) lost: u64,
    /// Traces that miss something, must not be kept, or were never generated.
    pub(crate) orphan_traces: u64,
    /// Log records of a trace that is not stored or must not be kept.
    pub(crate) orphan_logs: u64,
    /// Exemplars whose trace is not stored.
    pub(crate) dead_exemplars: u64,
}

/// Looks for everything planned, and for what was not.
pub(crate) fn compare(manifest: &Manifest, found: &Found, lines: &Lines<'_>, faults: &mut Faults) -> Compared {
    let planned: HashMap<TraceId, &Request> =
        manifest.requests.iter().map(|request| (request.trace, request)).collect();
    let mut lost = 0;
    let (mut stored, mut errors_kept) = (0, 0);
    for request in manifest.requests.iter().filter(|request| request.should_keep) {
        let missing = missing_of(request, found, lines);
        if missing > 0 {
            lost += missing;
            faults.name("lost", || format!("{missing} records of trace {} ({})", request.trace, reason(request)));
        } else {
            stored += 1;
            errors_kept += u64::from(request.fails);
        }
    }
    for number in 0..manifest.loose_lines {
        if !lines.ids.contains_key(format!("loose-{number}").as_str()) {
            lost += 1;
            faults.name("lost", || format!("log record loose-{number}"));
        }
    }
    for point in manifest.points.iter().filter(|point| !found.has_point(point)) {
        lost += 1;
        faults.name("lost", || format!("point {point:?}"));
    }

    let mut orphan_traces = 0;
    for trace in found.traces.keys() {
        let fault = match planned.get(trace) {
            None => "is not of this run",
            Some(request) if !request.should_keep => "must not be kept",
            Some(request) if missing_of(request, found, lines) > 0 => "is not whole",
            Some(_) => continue,
        };
        orphan_traces += 1;
        faults.name("orphan trace", || format!("{trace} {fault}"));
    }
    let mut orphan_logs = 0;
    for line in &found.lines {
        let Some(trace) = line.trace else { continue };
        let kept = planned.get(&trace).is_some_and(|request| request.should_keep);
        if !kept || !found.traces.contains_key(&trace) {
            orphan_logs += 1;
            faults.name("orphan log record", || format!("{:?} of trace {trace}", line.id));
        }
    }
    let mut dead_exemplars = 0;
    for exemplar in &found.exemplars {
        if !found.traces.contains_key(&exemplar.trace) || exemplar.state != "stored" {
            dead_exemplars += 1;
            faults.name("dead exemplar", || format!("trace {} ({})", exemplar.trace, exemplar.state));
        }
    }
    Compared { stored, errors_kept, lost, orphan_traces, orphan_logs, dead_exemplars }
}

/// Log rows by the vessel's id.
pub(crate) struct Lines<'a> {
    /// How many rows each id has.
    pub(crate) ids: HashMap<&'a str, u64>,
    /// Rows beyond one for each id.
    pub(crate) surplus: u64,
}

impl<'a> Lines<'a> {
    pub(crate) fn count(found: &'a Found) -> Self {
        let mut ids: HashMap<&str, u64> = HashMap::new();
        for id in found.lines.iter().filter_map(|line| line.id.as_deref()) {
            *ids.entry(id).or_default() += 1;
        }
        let surplus = ids.values().map(|rows| rows - 1).sum();
        Self { ids, surplus }
    }
}

/// How many spans and lines of a request are not at the hub.
fn missing_of(request: &Request, found: &Found, lines: &Lines<'_>) -> u64 {
    let stored = found.traces.get(&request.trace);
    let has_span = |span| stored.is_some_and(|trace| trace.spans.contains(span));
    let spans = request.spans.iter().filter(|span| !has_span(span)).count() as u64;
    let line = |count: &u64| format!("{}-{count}", request.number);
    spans + (0..request.lines).filter(|count| !lines.ids.contains_key(line(count).as_str())).count() as u64
}

fn reason(request: &Request) -> String {
    let failed = if request.fails { ", failed" } else { "" };
    format!("request {}, {:.6} ms{failed}", request.number, request.length_ns as f64 / 1e6)
}

/// The first few faults of each kind.
#[derive(Default)]
pub(crate) struct Faults {
    pub(crate) named: Vec<String>,
    counts: HashMap<&'static str, usize>,
}

impl Faults {
    /// Names one fault of a kind.
    pub(crate) fn name(&mut self, kind: &'static str, words: impl FnOnce() -> String) {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        if *count <= EXAMPLES {
            self.named.push(format!("{kind}: {}", words()));
        }
    }
}
