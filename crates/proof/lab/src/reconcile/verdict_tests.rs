//! A run that went well, and one fault after the other in it.

use super::*;
use crate::reconcile::found::{FoundExemplar, FoundLine, FoundMetric, FoundSeries, FoundTrace};
use crate::vessel::PlannedPoint;
use model::{SpanId, TraceId};

const STATUS: &str = r#"{"epoch":"00000000000000aa","ledger":{
    "received":{"traces":0,"logs":0,"metrics":0},"generated":{"traces":0,"logs":0,"metrics":0},
    "lost_crash":{"traces":0,"logs":0,"metrics":0},"filtered":{"traces":0,"logs":0,"metrics":0},
    "sampled_out":{"traces":0,"logs":0,"metrics":0},"pending":{"traces":0,"logs":0,"metrics":0},
    "routed":{"traces":0,"logs":0,"metrics":0},
    "destinations":[{"name":"hub","routed":0,"queued":0,"delivered":0,"rejected":0,"lost":0}],"difference":0},
    "sampling":{"pending_traces":0,"kept_traces":0},"destinations":[]}"#;

struct Run {
    manifest: Manifest,
    found: Found,
    agent: AgentResults,
}

impl Run {
    /// 1,400 requests of 4 spans and 2 lines: 25 failed, 25 slow, 25 of exactly 200 ms, all stored and nothing else.
    fn good() -> Self {
        let mut manifest = Manifest { loose_lines: 2, ..Manifest::default() };
        let mut found = Found::default();
        let mut line = |id: String, trace| found.lines.push(FoundLine { id: Some(id), trace });
        for number in 0..1_400u64 {
            let trace = TraceId(u128::from(number + 1).to_be_bytes());
            let spans: Vec<SpanId> = (1..=4).map(|span| SpanId((number * 8 + span).to_be_bytes())).collect();
            let length_ns = match number {
                0..25 => 5,
                25..50 => SLOW_NS + 1,
                50..75 => SLOW_NS,
                _ => SLOW_NS - 1,
            };
            let should_keep = number < 75;
            if should_keep {
                found.traces.insert(trace, FoundTrace { spans: spans.iter().copied().collect(), rows: 4 });
                (0..2).for_each(|count| line(format!("{number}-{count}"), Some(trace)));
            }
            let fails = number < 25;
            manifest.requests.push(Request {
                number,
                trace,
                spans,
                lines: 2,
                fails,
                length_ns,
                should_keep,
                boundary: None,
            });
        }
        (0..2).for_each(|count| line(format!("loose-{count}"), None));
        let attributes = BTreeMap::from([("http.route".to_owned(), "/a".to_owned())]);
        let series = vec![FoundSeries { attributes, values: vec![Some(1.0), None, Some(3.0)] }];
        found.metrics.insert("m", FoundMetric { times: vec![500, 1_500, 2_500], series });
        for (time_ns, value) in [(1_000, 1.0), (3_000, 3.0)] {
            let attributes = vec![("http.route", "/a".to_owned())];
            manifest.points.push(PlannedPoint { metric: "m", is_histogram: false, attributes, time_ns, value });
        }
        let trace = manifest.requests[3].trace;
        found.exemplars.push(FoundExemplar { trace, state: "stored".to_owned() });
        manifest.spans_by_name = BTreeMap::from([("a".to_owned(), 1_400), ("b".to_owned(), 4_200)]);

        let mut status: Status = serde_json::from_str(STATUS).unwrap();
        status.sampling.kept_traces = 75;
        let red_calls = manifest.spans_by_name.clone();
        let agent = AgentResults { status, stored_points: 9, acknowledged: [0; 3], not_taken: 0, red_calls };
        let mut run = Self { manifest, found, agent };
        // 75 traces with their lines, two lines without a trace, and nine points.
        run.delivered_too(75 * (4 + 2) + 2 + 9);
        run
    }

    /// Books records as made by the agent, routed and delivered.
    fn delivered_too(&mut self, records: u64) {
        let ledger = &mut self.agent.status.ledger;
        ledger.generated.traces += records;
        ledger.routed.traces += records;
        ledger.destinations[0].routed += records;
        ledger.destinations[0].delivered += records;
    }

    fn judge(&self) -> Verdict {
        judge(1, &self.manifest, &self.found, &self.agent)
    }
}

/// Judges a good run after one change to it; gives the fields that are then not what they should be.
fn faulty(change: impl FnOnce(&mut Run)) -> Vec<(&'static str, u64)> {
    let mut run = Run::good();
    change(&mut run);
    let verdict = run.judge();
    let fields = [
        ("stored", verdict.should_keep - verdict.stored),
        ("kept", verdict.should_keep.abs_diff(verdict.kept)),
        ("duplicates", verdict.duplicates),
        ("orphan_logs", verdict.orphan_logs),
        ("orphan_traces", verdict.orphan_traces),
        ("dead_exemplars", verdict.dead_exemplars),
        ("lost", verdict.lost),
        ("ledger_difference", verdict.ledger_difference),
        ("red_difference", verdict.red_difference),
        ("lost_in_crash", verdict.lost_in_crash),
        ("not_taken", verdict.not_taken),
    ];
    let wrong: Vec<_> = fields.into_iter().filter(|(_, value)| *value != 0).collect();
    assert!(!verdict.passed, "{verdict:?}");
    assert!(!verdict.faults.is_empty());
    wrong
}

/// Scenario: a run in which everything is as planned. Guarantees: it passes, with its results.
#[test]
fn a_good_run_passes() {
    let verdict = Run::good().judge();
    assert!(verdict.passed, "{:?}", verdict.faults);
    assert_eq!((verdict.generated, verdict.should_keep, verdict.kept, verdict.stored), (5_600, 75, 75, 75));
    assert_eq!((verdict.errors, verdict.errors_kept, verdict.slow, verdict.exactly_200ms), (25, 25, 25, 25));
}

/// Scenario: one thing is missing at the hub: a whole trace, a span, a line of a trace, a loose line, a point, the value
/// of a point. Guarantees: each is counted as lost, and a trace that is not whole is an orphan and not stored (P3).
#[test]
fn what_is_missing_is_lost() {
    let trace = TraceId(60u128.to_be_bytes());
    let whole = faulty(|run| {
        run.found.traces.remove(&trace);
        run.found.lines.retain(|line| line.trace != Some(trace));
    });
    assert_eq!(whole, [("stored", 1), ("lost", 6)]);
    let span = faulty(|run| {
        let stored = run.found.traces.get_mut(&trace).unwrap();
        stored.spans.pop_first();
        stored.rows -= 1;
    });
    assert_eq!(span, [("stored", 1), ("orphan_traces", 1), ("lost", 1)]);
    let line = faulty(|run| run.found.lines.retain(|line| line.id.as_deref() != Some("59-1")));
    assert_eq!(line, [("stored", 1), ("orphan_traces", 1), ("lost", 1)]);
    assert_eq!(faulty(|run| run.found.lines.retain(|line| line.id.as_deref() != Some("loose-1"))), [("lost", 1)]);
    assert_eq!(faulty(|run| run.found.metrics.clear()), [("lost", 2)]);
    assert_eq!(faulty(|run| run.found.metrics.get_mut("m").unwrap().series[0].values[2] = Some(2.5)), [("lost", 1)]);
}

/// Scenario: something is stored twice. Guarantees: each surplus row is counted (P8).
#[test]
fn what_is_stored_twice_is_counted() {
    let trace = TraceId(60u128.to_be_bytes());
    assert_eq!(faulty(|run| run.found.traces.get_mut(&trace).unwrap().rows = 8), [("duplicates", 4)]);
    assert_eq!(faulty(|run| run.found.lines.push(run.found.lines[0].clone())), [("duplicates", 1)]);
    assert_eq!(faulty(|run| run.agent.stored_points = 12), [("duplicates", 3)]);
}

/// Scenario: something is stored that should not be: a line or span of a dropped trace, a trace that nobody planned, an
/// exemplar whose trace is not there or that the hub calls missing. Guarantees: each is an orphan or dead (P4, P5).
#[test]
fn what_should_not_be_there_is_an_orphan() {
    let dropped = TraceId(1_000u128.to_be_bytes());
    let stranger = TraceId([0xff; 16]);
    let line = FoundLine { id: Some("999-0".to_owned()), trace: Some(dropped) };
    let orphan = faulty(|run| {
        run.delivered_too(1);
        run.found.lines.push(line);
    });
    assert_eq!(orphan, [("orphan_logs", 1)]);
    for trace in [dropped, stranger] {
        let spans = [SpanId([9; 8])].into();
        let found = FoundTrace { spans, rows: 1 };
        let orphan = faulty(|run| {
            run.delivered_too(1);
            run.found.traces.insert(trace, found);
        });
        assert_eq!(orphan, [("orphan_traces", 1)]);
    }
    let exemplar = |trace, state: &str| FoundExemplar { trace, state: state.to_owned() };
    assert_eq!(faulty(|run| run.found.exemplars.push(exemplar(dropped, "missing"))), [("dead_exemplars", 1)]);
    let stored = TraceId(60u128.to_be_bytes());
    assert_eq!(faulty(|run| run.found.exemplars.push(exemplar(stored, "missing"))), [("dead_exemplars", 1)]);
}

/// Scenario: the agent's own results are off: kept traces, the ledger, what it acknowledged, RED counts, refusals.
/// Guarantees: each shows in its field (P1, P6).
#[test]
fn the_agents_own_results_are_compared() {
    assert_eq!(faulty(|run| run.agent.status.sampling.kept_traces = 74), [("kept", 1)]);
    assert_eq!(faulty(|run| run.agent.status.ledger.pending.logs = 2), [("ledger_difference", 2)]);
    assert_eq!(faulty(|run| run.agent.acknowledged[1] = 4), [("ledger_difference", 4)]);
    let red = faulty(|run| {
        run.agent.red_calls.insert("a".to_owned(), 1_399);
        run.agent.red_calls.insert("c".to_owned(), 2);
    });
    assert_eq!(red, [("red_difference", 3)]);
    assert_eq!(faulty(|run| run.agent.not_taken = 1), [("not_taken", 1)]);
    let crash = faulty(|run| {
        run.agent.status.ledger.lost_crash.traces = 2;
        run.agent.status.ledger.received.traces = 2;
        run.agent.acknowledged[0] = 2;
    });
    assert_eq!(crash, [("lost_in_crash", 2)]);
}

/// Scenario: runs too small to prove anything. Guarantees: they do not pass although nothing is wrong with them.
#[test]
fn a_run_that_proves_nothing_does_not_pass() {
    assert_eq!(faulty(|run| run.found.exemplars.clear()), []);
    assert_eq!(faulty(|run| run.manifest.requests.iter_mut().for_each(|request| request.fails = false)), []);
    let few = faulty(|run| {
        run.manifest.spans_by_name = BTreeMap::from([("a".to_owned(), 4_999)]);
        run.agent.red_calls = run.manifest.spans_by_name.clone();
    });
    assert_eq!(few, []);
}
