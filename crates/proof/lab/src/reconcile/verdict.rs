//! The judgement: pure comparison, no IO.

use crate::agent_status::Status;
use crate::reconcile::compare::{Compared, Faults, Lines, compare};
use crate::reconcile::found::Found;
use crate::vessel::{Boundary, Manifest, Request, SLOW_NS};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};

/// The least that a run must have to prove anything.
const LEAST_SPANS: u64 = 5_000;
const LEAST_OF_EACH_KIND: u64 = 20;

/// What the agent and the vessel's exporters say, beside the hub.
#[derive(Debug, Clone)]
pub(crate) struct AgentResults {
    pub(crate) status: Status,
    /// Rows of points that the hub had stored at the moment of `status`.
    pub(crate) stored_points: u64,
    /// Spans, log records and points that the agent acknowledged to the vessel.
    pub(crate) acknowledged: [u64; 3],
    /// Records that it did not take.
    pub(crate) not_taken: u64,
    /// Calls by span name that the RED metrics at the hub count, over both lives of the agent.
    pub(crate) red_calls: BTreeMap<String, u64>,
}

/// The outcome of a run, as printed.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Verdict {
    pub(crate) passed: bool,
    pub(crate) seed: u64,
    /// Spans generated.
    pub(crate) generated: u64,
    /// Traces that the plan says must be kept.
    pub(crate) should_keep: u64,
    /// Traces that the agent says it kept.
    pub(crate) kept: u64,
    /// Traces that must be kept, found whole at the hub: every span and every log record.
    pub(crate) stored: u64,
    /// Rows stored beyond one for each span, log record and point.
    pub(crate) duplicates: u64,
    /// Log records at the hub of a trace that is not stored or must not be kept.
    pub(crate) orphan_logs: u64,
    /// Traces at the hub that miss something, or must not be kept.
    pub(crate) orphan_traces: u64,
    /// Exemplars at the hub whose trace is not stored.
    pub(crate) dead_exemplars: u64,
    /// Spans and lines of traces that must be kept, lines without a trace, and points that are not at the hub.
    pub(crate) lost: u64,
    /// By how much the equations of P1 do not hold, and acknowledged and received differ.
    pub(crate) ledger_difference: u64,
    /// By how much the RED metrics and the generated spans differ.
    pub(crate) red_difference: u64,
    /// Records that the agent says it lost in the kill; it was killed when none was undecided.
    pub(crate) lost_in_crash: u64,
    /// Records that the agent did not take from the vessel.
    pub(crate) not_taken: u64,
    /// Failed traces among those that must be kept.
    pub(crate) errors: u64,
    /// Failed traces found whole.
    pub(crate) errors_kept: u64,
    /// Traces of more than 200 ms among those that must be kept.
    pub(crate) slow: u64,
    /// Traces of exactly 200.000 ms.
    pub(crate) exactly_200ms: u64,
    /// Traces that are slow as a whole while no span of them is.
    pub(crate) slow_only_as_a_whole: u64,
    /// Log records generated, with and without a trace.
    pub(crate) lines: u64,
    /// Points handed over.
    pub(crate) points: u64,
    /// Exemplars found at the hub.
    pub(crate) exemplars: u64,
    /// What is wrong, in words; the first few of each kind.
    pub(crate) faults: Vec<String>,
}

/// Judges a run.
pub(crate) fn judge(seed: u64, manifest: &Manifest, found: &Found, agent: &AgentResults) -> Verdict {
    let mut faults = Faults::default();
    let lines = Lines::count(found);
    let count = |pick: &dyn Fn(&Request) -> bool| manifest.requests.iter().filter(|one| pick(one)).count() as u64;

    let Compared { stored, errors_kept, lost, orphan_traces, orphan_logs, dead_exemplars } =
        compare(manifest, found, &lines, &mut faults);

    let span_surplus: u64 = found.traces.values().map(|trace| trace.rows.abs_diff(trace.spans.len() as u64)).sum();
    let point_surplus = surplus_points(found, &lines, agent);
    let duplicates = span_surplus + lines.surplus + point_surplus;
    if duplicates > 0 {
        faults.name("duplicates", || {
            format!("{span_surplus} spans, {} log records, {} points", lines.surplus, point_surplus)
        });
    }

    let received = agent.status.ledger.received.each();
    let acknowledged = received.iter().zip(agent.acknowledged).map(|(received, taken)| received.abs_diff(taken));
    let ledger_difference = agent.status.imbalance() + acknowledged.sum::<u64>();
    if ledger_difference > 0 {
        faults.name("ledger", || format!("acknowledged {:?}, {:?}", agent.acknowledged, agent.status.ledger));
    }

    let mut verdict = Verdict {
        passed: false,
        seed,
        generated: manifest.spans(),
        should_keep: count(&|request| request.should_keep),
        kept: agent.status.sampling.kept_traces,
        stored,
        duplicates,
        orphan_logs,
        orphan_traces,
        dead_exemplars,
        lost,
        ledger_difference,
        red_difference: red_difference(manifest, agent, &mut faults),
        lost_in_crash: agent.status.ledger.lost_crash.sum(),
        not_taken: agent.not_taken,
        errors: count(&|request| request.fails),
        errors_kept,
        slow: count(&|request| request.length_ns > SLOW_NS),
        exactly_200ms: count(&|request| request.length_ns == SLOW_NS),
        slow_only_as_a_whole: count(&|request| request.boundary == Some(Boundary::OnlyAsAWhole)),
        lines: manifest.lines(),
        points: manifest.points.len() as u64,
        exemplars: found.exemplars.len() as u64,
        faults: Vec::new(),
    };
    verdict.conclude(faults);
    verdict
}

impl Verdict {
    fn conclude(&mut self, mut faults: Faults) {
        let zeros = [
            ("duplicates", self.duplicates),
            ("orphan_logs", self.orphan_logs),
            ("orphan_traces", self.orphan_traces),
            ("dead_exemplars", self.dead_exemplars),
            ("lost", self.lost),
            ("ledger_difference", self.ledger_difference),
            ("red_difference", self.red_difference),
            ("lost_in_crash", self.lost_in_crash),
            ("not_taken", self.not_taken),
        ];
        let mut summary = Vec::new();
        for (name, value) in zeros.into_iter().filter(|(_, value)| *value != 0) {
            summary.push(format!("{name} is {value}, not 0"));
        }
        if self.kept != self.should_keep || self.stored != self.should_keep {
            let (should_keep, kept, stored) = (self.should_keep, self.kept, self.stored);
            summary.push(format!("should_keep {should_keep}, kept {kept} and stored {stored} are not the same"));
        }
        let least = [
            ("generated", self.generated, LEAST_SPANS),
            ("errors", self.errors, LEAST_OF_EACH_KIND),
            ("slow", self.slow, LEAST_OF_EACH_KIND),
            ("exactly_200ms", self.exactly_200ms, LEAST_OF_EACH_KIND),
            ("exemplars", self.exemplars, 1),
        ];
        for (name, value, least) in least.into_iter().filter(|(_, value, least)| value < least) {
            summary.push(format!("{name} is {value}, at least {least} are needed to prove anything"));
        }
        self.passed = summary.is_empty();
        summary.append(&mut faults.named);
        self.faults = summary;
    }
}

/// Points that the hub has stored beyond those that were delivered. The agent counts all records that it delivered, so what
/// is left after spans and lines are points.
fn surplus_points(found: &Found, lines: &Lines<'_>, agent: &AgentResults) -> u64 {
    let delivered: u64 = agent.status.ledger.destinations.iter().map(|destination| destination.delivered).sum();
    let spans: u64 = found.traces.values().map(|trace| trace.spans.len() as u64).sum();
    let points = delivered.saturating_sub(spans + lines.ids.len() as u64);
    agent.stored_points.saturating_sub(points)
}

fn red_difference(manifest: &Manifest, agent: &AgentResults, faults: &mut Faults) -> u64 {
    let names: HashSet<&String> = manifest.spans_by_name.keys().chain(agent.red_calls.keys()).collect();
    let mut difference = 0;
    for name in names {
        let generated = manifest.spans_by_name.get(name).copied().unwrap_or_default();
        let counted = agent.red_calls.get(name).copied().unwrap_or_default();
        if generated != counted {
            difference += generated.abs_diff(counted);
            faults.name("RED", || format!("{name:?}: {generated} generated, {counted} counted"));
        }
    }
    difference
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
