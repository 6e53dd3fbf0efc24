//! A run that went well, and one fault after the other in it.

use super::*;
use crate::reconcile::{FoundExemplar, FoundLine, FoundTrace};
use crate::vessel::Request;
use model::SpanId;

const STATUS: &str = r#"{"epoch":"00000000000000aa","ledger":{
    "received":{"traces":12,"logs":6,"metrics":0},"generated":{"traces":0,"logs":0,"metrics":3},
    "lost_crash":{"traces":0,"logs":0,"metrics":0},"filtered":{"traces":0,"logs":0,"metrics":0},
    "sampled_out":{"traces":4,"logs":2,"metrics":0},"pending":{"traces":0,"logs":0,"metrics":0},
    "routed":{"traces":8,"logs":4,"metrics":3},
    "destinations":[{"name":"hub","routed":15,"queued":0,"delivered":15,"rejected":0,"lost":0}],"difference":0},
    "sampling":{"pending_traces":0,"kept_traces":2},"destinations":[]}"#;

struct Run {
    manifest: Manifest,
    sent: Vec<Sent>,
    found: Found,
    status: Status,
    stored_points: u64,
}

fn trace(number: u64) -> TraceId {
    TraceId(u128::from(number + 1).to_be_bytes())
}

impl Run {
    /// Three traces of four spans and two lines, of which the last is dropped; the first one's producer has a key.
    /// The agent made three points.
    fn good() -> Self {
        let (mut manifest, mut found, mut sent) = (Manifest::default(), Found::default(), Vec::new());
        for number in 0..3u64 {
            let spans: Vec<SpanId> = (1..=4).map(|span| SpanId((number * 8 + span).to_be_bytes())).collect();
            let should_keep = number < 2;
            let ids: Vec<String> = (0..2).map(|line| format!("{number}-{line}")).collect();
            if should_keep {
                found.traces.insert(trace(number), FoundTrace { spans: spans.iter().copied().collect(), rows: 4 });
                let rows = ids.iter().map(|id| FoundLine { id: Some(id.clone()), trace: Some(trace(number)) });
                found.lines.extend(rows);
            }
            for held in [Held::Spans(BTreeMap::from([(trace(number), 4)])), Held::Lines(ids)] {
                sent.push(Sent { keyed: number == 0, held, answers_lost: 0, refusals: 0 });
            }
            manifest.requests.push(Request {
                number,
                trace: trace(number),
                spans,
                lines: 2,
                fails: should_keep,
                length_ns: 5,
                should_keep,
                boundary: None,
            });
        }
        found.exemplars.push(FoundExemplar { trace: trace(0), state: "stored".to_owned() });
        Self { manifest, sent, found, status: serde_json::from_str(STATUS).unwrap(), stored_points: 3 }
    }

    fn judge(&self, mode: Mode) -> (Verdict, Vec<String>) {
        let Self { manifest, sent, found, status, stored_points } = self;
        judge(&Facts { manifest, sent, found, status, stored_points: *stored_points, mode })
    }

    /// The spans of this trace came twice: they are at the hub twice, and in the books.
    fn again(&mut self, number: u64) {
        self.found.traces.get_mut(&trace(number)).unwrap().rows = 8;
        let ledger = &mut self.status.ledger;
        ledger.received.traces += 4;
        ledger.routed.traces += 4;
        ledger.destinations[0].routed += 4;
        ledger.destinations[0].delivered += 4;
    }
}

/// What is not 0 in a run that must not pass.
fn faulty(change: impl FnOnce(&mut Run)) -> Vec<(&'static str, u64)> {
    let mut run = Run::good();
    change(&mut run);
    let (verdict, faults) = run.judge(Mode::Sampling);
    assert!(!faults.is_empty(), "{verdict:?}");
    let fields = [
        ("acknowledged_and_lost", verdict.acknowledged_and_lost),
        ("duplicates_keyed", verdict.duplicates_keyed),
        ("duplicates_unexplained", verdict.duplicates_unexplained),
        ("duplicates_ambiguous", verdict.duplicates_ambiguous),
        ("ledger_difference", verdict.ledger_difference),
        ("lost_in_crash", verdict.lost_in_crash),
        ("orphan_traces", verdict.orphan_traces),
        ("orphan_logs", verdict.orphan_logs),
        ("dead_exemplars", verdict.dead_exemplars),
    ];
    fields.into_iter().filter(|(_, value)| *value != 0).collect()
}

/// Scenario: everything is as planned; then a request without a key came twice because its answer was lost. Guarantees: both
/// pass, and the second one is counted.
#[test]
fn what_a_lost_answer_explains_passes() {
    let mut run = Run::good();
    let (verdict, faults) = run.judge(Mode::Sampling);
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!((verdict.should_keep, verdict.kept, verdict.stored), (2, 2, 2));
    run.again(1);
    run.sent[2].answers_lost = 1;
    let (verdict, faults) = run.judge(Mode::Sampling);
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!((verdict.duplicates_ambiguous, verdict.answers_lost), (4, 1));
    // Where everything is to be kept, nothing may be sampled out.
    assert_eq!(run.judge(Mode::AlwaysSample).0.ledger_difference, 6);
}

/// Scenario: level received, with records that were answered and are in no book. Guarantees: it passes while the agent states
/// at least as many, and not with one more (P1).
#[test]
fn what_is_stated_as_unknown_may_be_missing() {
    let mut run = Run::good();
    let ledger = &mut run.status.ledger;
    (ledger.received.traces, ledger.lost_crash.traces, ledger.sampled_out.traces) = (9, 1, 0);
    ledger.crash_unknown = 3;
    let (verdict, faults) = run.judge(Mode::Received);
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!((verdict.unknown, verdict.crash_unknown, verdict.lost_in_crash), (3, 3, 1));
    assert!(!run.judge(Mode::Sampling).1.is_empty());
    run.status.ledger.crash_unknown = 2;
    assert_eq!(run.judge(Mode::Received).0.ledger_difference, 1);
    assert!(!run.judge(Mode::Received).1.is_empty());
}

/// Scenario: one fault after the other: records missing or twice, with and without a key and a lost answer, a dropped trace at
/// the hub, books that do not agree. Guarantees: each shows in its field, and none passes (P1, P2, P4, P5, P8).
#[test]
fn each_fault_has_its_field() {
    let missing = faulty(|run| drop(run.found.lines.remove(0)));
    assert_eq!(missing, [("acknowledged_and_lost", 1), ("ledger_difference", 1), ("orphan_traces", 1)]);
    let keyed = faulty(|run| {
        run.again(0);
        run.sent[0].answers_lost = 1;
    });
    assert_eq!(keyed, [("duplicates_keyed", 4), ("ledger_difference", 4)]);
    let unexplained = faulty(|run| run.again(1));
    assert_eq!(unexplained, [("duplicates_unexplained", 4), ("ledger_difference", 4)]);
    let dropped = faulty(|run| {
        let spans = run.manifest.requests[2].spans.iter().copied().take(1).collect();
        run.found.traces.insert(trace(2), FoundTrace { spans, rows: 1 });
        run.found.lines.push(FoundLine { id: Some("2-0".to_owned()), trace: Some(trace(2)) });
    });
    assert_eq!(dropped, [("ledger_difference", 2), ("orphan_traces", 1), ("orphan_logs", 1)]);
    assert_eq!(faulty(|run| run.found.exemplars[0].trace = trace(2)), [("dead_exemplars", 1)]);
    let crash = faulty(|run| {
        run.status.ledger.lost_crash.logs = 2;
        run.status.ledger.sampled_out.logs = 0;
    });
    assert_eq!(crash, [("lost_in_crash", 2)]);
    let points = faulty(|run| run.stored_points += 1);
    assert_eq!(points, [("duplicates_unexplained", 1), ("ledger_difference", 1)]);
    let unbalanced = faulty(|run| run.status.ledger.received.traces += 1);
    assert_eq!(unbalanced, [("ledger_difference", 2)]);
}
