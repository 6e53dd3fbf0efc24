//! The judgement of the kill drill: pure comparison, no IO.

use super::Mode;
use super::producer::{Held, Sent};
use crate::agent_status::Status;
use crate::reconcile::{Compared, Faults, Found, Lines, compare};
use crate::vessel::Manifest;
use model::TraceId;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// What is known at the end, beside the hub's records.
pub(super) struct Facts<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) sent: &'a [Sent],
    pub(super) found: &'a Found,
    pub(super) status: &'a Status,
    /// Rows of points that the hub had stored at the moment of `status`.
    pub(super) stored_points: u64,
    pub(super) mode: Mode,
}

/// The outcome by id.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Verdict {
    /// Requests that were taken in the end.
    pub(crate) requests: u64,
    /// Attempts whose answer was lost.
    pub(crate) answers_lost: u64,
    /// The same, of requests with an idempotency key.
    pub(crate) answers_lost_keyed: u64,
    /// Attempts that were told to come later.
    pub(crate) refusals: u64,
    pub(crate) acknowledged_spans: u64,
    pub(crate) acknowledged_lines: u64,
    pub(crate) acknowledged_points: u64,
    pub(crate) should_keep: u64,
    /// Traces that the agent says it kept, over all its lives.
    pub(crate) kept: u64,
    /// Traces that must be kept, found whole.
    pub(crate) stored: u64,
    /// stored / should_keep.
    pub(crate) fidelity: f64,
    /// Traces stored that must not be, or not whole.
    pub(crate) orphan_traces: u64,
    pub(crate) orphan_logs: u64,
    pub(crate) exemplars: u64,
    pub(crate) dead_exemplars: u64,
    /// Acknowledged records that must be at the hub and are not.
    pub(crate) acknowledged_and_lost: u64,
    /// Rows beyond one for each record, of requests with a key.
    pub(crate) duplicates_keyed: u64,
    /// The same of requests without one, as far as an attempt whose answer was lost explains them.
    pub(crate) duplicates_ambiguous: u64,
    /// The same, not explained.
    pub(crate) duplicates_unexplained: u64,
    /// By how much the equations of P1 do not hold, and the agent's counts differ from what is at the hub.
    pub(crate) ledger_difference: u64,
    /// What the agent says it lost in kills.
    pub(crate) lost_in_crash: u64,
    /// The most that the agent says it answered and does not know of.
    pub(crate) crash_unknown: u64,
    /// Acknowledged records that it does not know of.
    pub(crate) unknown: u64,
}

/// How often a record may have been taken beyond once, and whether its request had a key.
#[derive(Debug, Clone, Copy, Default)]
struct Allowance {
    keyed: bool,
    more: u64,
}

impl Verdict {
    fn book(&mut self, surplus: u64, allowance: Allowance, faults: &mut Faults, name: impl FnOnce() -> String) {
        if surplus == 0 {
            return;
        }
        let explained = if allowance.keyed { 0 } else { surplus.min(allowance.more) };
        self.duplicates_ambiguous += explained;
        if allowance.keyed {
            self.duplicates_keyed += surplus;
        } else {
            self.duplicates_unexplained += surplus - explained;
        }
        if explained < surplus {
            faults.name("duplicate", || format!("{}: {surplus} rows too many ({allowance:?})", name()));
        }
    }
}

/// Judges a run; also what is wrong, in words.
pub(super) fn judge(facts: &Facts<'_>) -> (Verdict, Vec<String>) {
    let mut faults = Faults::default();
    let Facts { manifest, sent, found, status, .. } = facts;
    let lines = Lines::count(found);
    let Compared { stored, lost, orphan_traces, orphan_logs, dead_exemplars, .. } =
        compare(manifest, found, &lines, &mut faults);
    let should_keep = manifest.requests.iter().filter(|request| request.should_keep).count() as u64;
    let acknowledged = acknowledged(sent);
    let mut verdict = Verdict {
        requests: sent.len() as u64,
        answers_lost: sent.iter().map(|one| one.answers_lost).sum(),
        answers_lost_keyed: sent.iter().filter(|one| one.keyed).map(|one| one.answers_lost).sum(),
        refusals: sent.iter().map(|one| one.refusals).sum(),
        acknowledged_spans: acknowledged[0],
        acknowledged_lines: acknowledged[1],
        acknowledged_points: acknowledged[2],
        should_keep,
        kept: status.sampling.kept_traces,
        stored,
        fidelity: stored as f64 / should_keep.max(1) as f64,
        orphan_traces,
        orphan_logs,
        exemplars: found.exemplars.len() as u64,
        dead_exemplars,
        acknowledged_and_lost: lost,
        lost_in_crash: status.ledger.lost_crash.sum(),
        crash_unknown: status.ledger.crash_unknown,
        ..Verdict::default()
    };
    duplicates(facts, &lines, &mut verdict, &mut faults);
    (verdict.ledger_difference, verdict.unknown) = ledger_difference(facts, &lines, acknowledged, &mut faults);
    let words = verdict.conclude(facts.mode, faults);
    (verdict, words)
}

/// Spans, lines and points of all requests.
fn acknowledged(sent: &[Sent]) -> [u64; 3] {
    let mut counts = [0; 3];
    for one in sent {
        let place = match one.held {
            Held::Spans(_) => 0,
            Held::Lines(_) => 1,
            Held::Points(_) => 2,
        };
        counts[place] += one.held.records();
    }
    counts
}

fn duplicates(facts: &Facts<'_>, lines: &Lines<'_>, verdict: &mut Verdict, faults: &mut Faults) {
    let mut traces: HashMap<TraceId, Allowance> = HashMap::new();
    let mut ids: HashMap<&str, Allowance> = HashMap::new();
    let mut points = 0;
    for one in facts.sent {
        // Without files the keys are forgotten.
        let keyed = one.keyed && facts.mode != Mode::Received;
        let allowed = |records: u64| if keyed { 0 } else { records * one.answers_lost };
        match &one.held {
            Held::Spans(held) => {
                for (trace, spans) in held {
                    let entry = traces.entry(*trace).or_default();
                    entry.keyed = keyed;
                    entry.more += allowed(*spans);
                }
            }
            Held::Lines(held) => {
                for id in held {
                    ids.insert(id, Allowance { keyed, more: allowed(1) });
                }
            }
            Held::Points(held) => points += allowed(*held),
        }
    }
    for (trace, stored) in &facts.found.traces {
        let surplus = stored.rows.saturating_sub(stored.spans.len() as u64);
        let allowance = traces.get(trace).copied().unwrap_or_default();
        verdict.book(surplus, allowance, faults, || format!("trace {trace}"));
    }
    for (id, rows) in &lines.ids {
        let allowance = ids.get(id).copied().unwrap_or_default();
        verdict.book(rows - 1, allowance, faults, || format!("log record {id}"));
    }
    // See [`ledger_difference`]: then it is not known how many points are the agent's own.
    let surplus = if facts.mode == Mode::Received { 0 } else { surplus_points(facts) };
    verdict.book(surplus, Allowance { keyed: false, more: points }, faults, || "points".to_owned());
}

/// Stored points beyond those that were planned and those that the agent made.
fn surplus_points(facts: &Facts<'_>) -> u64 {
    let generated = facts.status.ledger.generated.metrics;
    facts.stored_points.saturating_sub(generated + facts.manifest.points.len() as u64)
}

/// The agent's books against themselves, against what is at the hub and against what was acknowledged; and how many
/// acknowledged records are in no book.
fn ledger_difference(facts: &Facts<'_>, lines: &Lines<'_>, acknowledged: [u64; 3], faults: &mut Faults) -> (u64, u64) {
    let ledger = &facts.status.ledger;
    let spans: u64 = facts.found.traces.values().map(|trace| trace.rows).sum();
    let rows = [spans, lines.ids.values().sum(), facts.stored_points];
    let mut differences = BTreeMap::from([("the equations of P1", facts.status.imbalance())]);
    let (mut routed, mut rows) = (ledger.routed.each(), rows);
    let (mut received, mut acknowledged) = (ledger.received.each(), acknowledged);
    if facts.mode == Mode::Received {
        // Frames behind the last note are booked by their lane: lines of traces as spans, points of its own as received.
        for counts in [&mut routed, &mut rows, &mut received, &mut acknowledged] {
            *counts = [counts.iter().sum(), 0, 0];
        }
    }
    differences.insert("routed and at the hub", (0..3).map(|signal| routed[signal].abs_diff(rows[signal])).sum());
    // What came twice counts twice: everything acknowledged, and at most the attempts whose answer was lost on top.
    let unknown = |signal: usize| -> u64 {
        let may_repeat = |one: &&Sent| (!one.keyed || facts.mode == Mode::Received) && one.answers_lost > 0;
        let lost = facts.sent.iter().filter(may_repeat);
        let records = |one: &Sent| one.answers_lost * one.held.records();
        lost.map(|one| acknowledged_of(one, signal, records(one))).sum()
    };
    let missing: u64 = (0..3).map(|signal| acknowledged[signal].saturating_sub(received[signal])).sum();
    let mut most: [u64; 3] = std::array::from_fn(unknown);
    if facts.mode == Mode::Received {
        most = [most.iter().sum(), 0, 0];
    }
    let surplus = (0..3).map(|signal| received[signal].saturating_sub(acknowledged[signal] + most[signal]));
    let surplus: u64 = surplus.sum();
    // At level received the agent states the most that it may not know of.
    let stated = if facts.mode == Mode::Received { ledger.crash_unknown } else { 0 };
    differences.insert("received and acknowledged", surplus + missing.saturating_sub(stated));
    if facts.mode == Mode::AlwaysSample {
        differences.insert("sampled out though everything is kept", ledger.sampled_out.sum());
    }
    for (name, difference) in differences.iter().filter(|(_, difference)| **difference > 0) {
        faults.name("ledger", || format!("{name} differ by {difference}: rows {rows:?}, {ledger:?}"));
    }
    (differences.values().sum(), missing)
}

fn acknowledged_of(one: &Sent, signal: usize, records: u64) -> u64 {
    let is = matches!((&one.held, signal), (Held::Spans(_), 0) | (Held::Lines(_), 1) | (Held::Points(_), 2));
    if is { records } else { 0 }
}

impl Verdict {
    fn conclude(&self, mode: Mode, mut faults: Faults) -> Vec<String> {
        let always = [
            ("duplicates_keyed", self.duplicates_keyed),
            ("duplicates_unexplained", self.duplicates_unexplained),
            ("ledger_difference", self.ledger_difference),
        ];
        if mode == Mode::Received {
            return self.conclude_received(&always, faults);
        }
        let written = [
            ("acknowledged_and_lost", self.acknowledged_and_lost),
            ("lost_in_crash", self.lost_in_crash),
            ("crash_unknown", self.crash_unknown),
            ("orphan_traces", self.orphan_traces),
            ("orphan_logs", self.orphan_logs),
            ("dead_exemplars", self.dead_exemplars),
        ];
        let wrong = written.into_iter().chain(always).filter(|(_, value)| *value != 0);
        let mut words: Vec<String> = wrong.map(|(name, value)| format!("{name} is {value}, not 0")).collect();
        let Self { should_keep, kept, stored, .. } = *self;
        if kept != should_keep || stored != should_keep {
            words.push(format!("should_keep {should_keep}, kept {kept} and stored {stored} are not the same"));
        }
        if should_keep == 0 || self.exemplars == 0 {
            words.push(format!("{should_keep} traces and {} exemplars prove nothing", self.exemplars));
        }
        words.append(&mut faults.named);
        words
    }

    /// Traces lose parts in kills then, and so they may miss the policies; but nothing is lost that is not stated.
    fn conclude_received(&self, zeros: &[(&str, u64)], faults: Faults) -> Vec<String> {
        let wrong = zeros.iter().filter(|(_, value)| *value != 0);
        let mut words: Vec<String> = wrong.map(|(name, value)| format!("{name} is {value}, not 0")).collect();
        let stated = self.lost_in_crash + self.crash_unknown;
        if self.acknowledged_and_lost > stated {
            words.push(format!("{} records are lost, but only {stated} stated", self.acknowledged_and_lost));
        }
        if self.unknown == 0 || self.lost_in_crash == 0 {
            words.push("the kills lost nothing, so this run proves nothing".to_owned());
        }
        words.extend(
            faults.named.into_iter().filter(|fault| fault.starts_with("ledger") || fault.starts_with("duplicate")),
        );
        words
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
