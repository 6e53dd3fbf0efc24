use super::*;
use crate::alarm::{Alert, Raised};
use crate::options::RouteShare;
use crate::parts::SpanPart;
use crate::policy::{Evidence, Policy, PolicyRule, STATUS_MASK_ERROR, STATUS_MASK_UNSET};

const WAIT: u64 = 1_000;

fn options() -> Options {
    let policies = vec![
        Policy { name: "errors".into(), rule: PolicyRule::Status(STATUS_MASK_ERROR) },
        Policy { name: "slow".into(), rule: PolicyRule::Latency { from_ns: 200, to_ns: None } },
        Policy { name: "loud".into(), rule: PolicyRule::LogSeverity(17) },
    ];
    Options {
        policies,
        decision_wait_ns: WAIT,
        log_wait_ns: 2 * WAIT,
        remember_ns: 1 << 40,
        memory: 64 << 10,
        ..Options::default()
    }
}

fn sampler() -> Sampler {
    Sampler::new(options())
}

fn id(number: u64) -> TraceId {
    let mut bytes = [1; 16];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    TraceId(bytes)
}

fn span(start_ns: u64, end_ns: u64, status: u8, root: bool) -> Part {
    Part::Span(SpanPart { start_ns, end_ns, status, root, ..SpanPart::default() })
}

const LINE: Part = Part::LogRecord { severity: 9, time_ns: 0 };

fn tick(sampler: &mut Sampler, now: u64) -> Vec<Decided> {
    let mut decided = Vec::new();
    sampler.tick(now, |one| decided.push(one));
    decided
}

fn recall(sampler: &mut Sampler, now: u64, held: bool) -> Vec<Decided> {
    let mut decided = Vec::new();
    sampler.recall(now, |_| held, |one| decided.push(one));
    decided
}

/// Scenario: two spans of 100 units each that together span 200; an error in a child; a fast success; log records before and
/// after. Guarantees: the whole trace is judged, once, at its wait, with all entries that hold parts (P4).
#[test]
fn a_trace_is_judged_whole() {
    let mut sampler = sampler();
    assert_eq!(sampler.part(id(1), LINE, 9, 7, 0), Route::Waits { new_pin: true });
    sampler.part(id(1), span(1000, 1100, STATUS_MASK_UNSET, true), 9, 8, 10);
    assert_eq!(
        sampler.part(id(1), span(1100, 1200, STATUS_MASK_UNSET, false), 9, 8, 11),
        Route::Waits { new_pin: false }
    );
    sampler.part(id(2), span(0, 10, STATUS_MASK_ERROR, false), 9, 8, 12);
    sampler.part(id(3), span(0, 10, STATUS_MASK_UNSET, true), 9, 9, 13);
    assert_eq!(tick(&mut sampler, 10 + WAIT - 1), vec![]);
    let decided = tick(&mut sampler, 13 + WAIT);
    let verdicts: Vec<_> = decided.iter().map(|one| (one.trace, one.verdict, one.policy)).collect();
    assert_eq!(
        verdicts,
        vec![
            (id(1), Some(Verdict::Keep), Some(1)),
            (id(2), Some(Verdict::Keep), Some(0)),
            (id(3), Some(Verdict::Drop), None)
        ]
    );
    assert_eq!(&*decided[0].entries, [7, 8]);
    assert_eq!(sampler.part(id(1), LINE, 9, 10, 5000), Route::Decided(Verdict::Keep));
    assert_eq!(sampler.part(id(3), Part::Exemplar, 9, 10, 5000), Route::Decided(Verdict::Drop));
    let stats = sampler.stats();
    assert_eq!((stats.pending_traces, stats.recallable_traces, stats.late_parts), (0, 1, 2));
    assert_eq!(stats.kept_share, 0.75);
}

/// Scenario: log records without any span; then a span comes after all. Guarantees: log records wait for `log_wait` and then stand
/// alone; nothing is decided for the trace, so that its spans are judged when they come (P4).
#[test]
fn lines_do_not_decide_a_trace() {
    let mut sampler = sampler();
    sampler.part(id(1), LINE, 9, 1, 0);
    assert_eq!(tick(&mut sampler, 2 * WAIT - 1), vec![]);
    let decided = tick(&mut sampler, 2 * WAIT);
    assert_eq!((decided.len(), decided[0].verdict), (1, None));
    sampler.part(id(1), span(0, 500, STATUS_MASK_UNSET, true), 9, 2, 3 * WAIT);
    assert_eq!(tick(&mut sampler, 4 * WAIT)[0].verdict, Some(Verdict::Keep));
}

/// Scenario: a fast success is dropped; then comes a harmless part, a failed span, more parts; another one whose entries
/// were overwritten; a third one with an ERROR line.
/// Guarantees: a drop becomes a keep when something worth it comes and the recorder holds all of it, with every entry
/// since the beginning; never the other way round (P4).
#[test]
fn a_drop_becomes_a_keep() {
    let mut sampler = sampler();
    for number in 1..=4 {
        sampler.part(id(number), span(0, 10, STATUS_MASK_UNSET, true), 9, number, 0);
    }
    assert!(tick(&mut sampler, WAIT).iter().all(|one| one.verdict == Some(Verdict::Drop)));
    sampler.part(id(1), span(5, 20, STATUS_MASK_UNSET, false), 9, 10, WAIT + 1);
    assert!(!sampler.has_recalls());
    for number in [1, 2] {
        let route = sampler.part(id(number), span(5, 20, STATUS_MASK_ERROR, false), 9, 11, WAIT + 2);
        assert_eq!(route, Route::Decided(Verdict::Drop), "it goes into the recorder, and from there");
    }
    sampler.part(id(1), LINE, 9, 12, WAIT + 3);
    let mut decided = Vec::new();
    sampler.recall(WAIT + 4, |entries| entries[0] != 2, |one| decided.push(one));
    assert_eq!((decided.len(), decided[0].trace, decided[0].recalled), (1, id(1), true));
    assert_eq!((&*decided[0].entries, decided[0].policy), ([1, 10, 11, 12].as_slice(), Some(0)));
    assert_eq!(sampler.stats().recalled_too_late, 1);
    assert_eq!(sampler.part(id(1), LINE, 9, 13, WAIT + 5), Route::Decided(Verdict::Keep));
    assert_eq!(sampler.part(id(2), LINE, 9, 13, WAIT + 5), Route::Decided(Verdict::Drop));

    sampler.part(id(3), Part::LogRecord { severity: 17, time_ns: 0 }, 9, 14, WAIT + 6);
    assert_eq!(recall(&mut sampler, WAIT + 6, true)[0].policy, Some(2));
    sampler.overwritten_before(5);
    assert_eq!(sampler.stats().recallable_traces, 0, "the fourth one is not held any more");
    sampler.part(id(4), span(5, 20, STATUS_MASK_ERROR, false), 9, 15, WAIT + 7);
    assert!(!sampler.has_recalls());
}

/// Scenario: decisions after the root, and when quiet, with parts that go on coming.
/// Guarantees: earlier than the wait only when the root was seen; what goes on coming puts off only the quiet one.
#[test]
fn a_root_or_quiet_decides_earlier() {
    let mut sampler = Sampler::new(Options { after_root_ns: 100, ..options() });
    sampler.part(id(1), span(0, 10, 1, false), 9, 1, 0);
    sampler.part(id(2), span(0, 10, 1, false), 9, 1, 0);
    sampler.part(id(1), span(0, 10, 1, true), 9, 1, 50);
    sampler.part(id(1), span(0, 10, 1, false), 9, 1, 149);
    assert_eq!(tick(&mut sampler, 149), vec![]);
    assert_eq!(tick(&mut sampler, 150)[0].trace, id(1));
    assert_eq!(tick(&mut sampler, WAIT).len(), 1, "the other one has no root");

    let mut sampler = Sampler::new(Options { quiet_ns: 100, ..options() });
    for now in [0, 60, 120] {
        sampler.part(id(1), span(0, 10, 1, true), 9, 1, now);
        sampler.part(id(2), span(0, 10, 1, false), 9, 1, now);
    }
    assert_eq!(tick(&mut sampler, 219), vec![]);
    assert_eq!(tick(&mut sampler, 220)[0].trace, id(1));
    for now in (1..10).map(|step| 1_000 + step * 90) {
        sampler.part(id(3), span(0, 10, 1, true), 9, 1, now);
        tick(&mut sampler, now);
    }
    assert_eq!(tick(&mut sampler, 1_909), vec![]);
    assert_eq!(tick(&mut sampler, 1_910).len(), 1, "quiet since its last part");
    assert_eq!(sampler.stats().pending_traces, 0);
}

/// Scenario: memory runs short with quiet complete traces and with incomplete ones.
/// Guarantees: dropped traces make room first; then only quiet traces with a root are decided early; an incomplete one
/// never is; memory stays under its bound (P4, P9).
#[test]
fn only_complete_quiet_traces_are_decided_early() {
    let mut sampler = sampler();
    for number in 0..100 {
        sampler.part(id(number), span(0, 1, STATUS_MASK_UNSET, true), 9, number, 0);
    }
    tick(&mut sampler, WAIT);
    assert_eq!(sampler.stats().recallable_traces, 100);
    let start = 2 * WAIT;
    let mut number = 100;
    while sampler.make_room(1) {
        sampler.part(id(number), span(0, 1, STATUS_MASK_UNSET, number % 2 == 0), 9, number, start);
        assert!(sampler.stats().bytes <= 64 << 10, "{} bytes", sampler.stats().bytes);
        number += 1;
    }
    let pending = sampler.stats().pending_traces;
    assert_eq!(sampler.stats().recallable_traces, 0);
    assert!(pending > 150, "{pending} traces fit into 64 KiB");
    let mut early = Vec::new();
    assert_eq!(sampler.decide_early(start + 1, 10, |one| early.push(one)), 0, "nothing is quiet yet");
    let count = sampler.decide_early(start + WAIT / 2, 1000, |one| early.push(one));
    assert_eq!(count as u64, pending.div_ceil(2));
    assert!(early.iter().all(|one| one.entries[0] % 2 == 0));
    assert!(sampler.make_room(1));
    assert_eq!(tick(&mut sampler, start + WAIT).len() as u64, pending / 2);
}

/// Scenario: a window of an incident, a route that is kept for a time, a route with a share of its own, a drop policy.
/// Guarantees: each is what is stated of it, ends when it should, and names itself as the reason; drops stand above all.
#[test]
fn orders_stand_above_policies() {
    let mut conditions = Conditions::default();
    let health = conditions.add(crate::Condition::Route(vec!["/health".into()])).unwrap();
    let drop = PolicyRule::Drop(vec![PolicyRule::SpanCount { min: 5, max: None }]);
    let mut base = options();
    base.policies.push(Policy { name: "never".into(), rule: drop });
    let mut sampler = Sampler::new(Options {
        conditions,
        route_shares: vec![RouteShare { bit: health, share: 0.5, keep_errors: true }],
        incident_share: 1.0,
        ..base
    });
    let evidence = Evidence { trace: id(1), spans: 1, statuses: STATUS_MASK_UNSET, ..Evidence::default() };
    let judge = |sampler: &mut Sampler, evidence: &Evidence, now| {
        let judgement = sampler.judge.decide(evidence, now);
        let name = judgement.policy.and_then(|position| sampler.policy_name(position)).map(str::to_owned);
        (judgement.verdict == Some(Verdict::Keep), name.unwrap_or_default())
    };
    let kept = |name: &str| (true, name.to_owned());
    assert_eq!(judge(&mut sampler, &evidence, 0), (false, String::new()));
    sampler.set_incident(100, 0);
    assert_eq!(judge(&mut sampler, &evidence, 99), kept("incident"));
    assert_eq!(judge(&mut sampler, &Evidence { spans: 5, ..evidence }, 99), (false, "never".to_owned()));
    assert!(!judge(&mut sampler, &evidence, 100).0);
    assert!(sampler.keep_route("/slow*", 300, 200));
    let on_route = Evidence { conditions: sampler.conditions().temporary_bit(), ..evidence };
    assert_eq!(judge(&mut sampler, &on_route, 299), kept("keep_route"));
    tick(&mut sampler, 300);
    assert!(!judge(&mut sampler, &on_route, 300).0);
    let slow_health = Evidence { conditions: health, end_ns: 500, ..evidence };
    let shares: Vec<bool> =
        (0..1000).map(|number| judge(&mut sampler, &Evidence { trace: id(number), ..slow_health }, 400).0).collect();
    let share = shares.iter().filter(|kept| **kept).count();
    assert!((400..600).contains(&share), "{share} of 1000, although all are slow");
    let failed = Evidence { statuses: STATUS_MASK_ERROR, ..slow_health };
    assert!((0..100).all(|number| judge(&mut sampler, &Evidence { trace: id(number), ..failed }, 400).0));
}

/// Scenario: parts that are older than the memory of decisions. Guarantees: counted; spans are judged as a new trace,
/// log records
/// stand alone at once (P4).
#[test]
fn what_is_older_than_the_memory_is_judged_alone() {
    let mut sampler = sampler();
    let hour = 3_600_000_000_000;
    sampler.set_clocks(5_000, hour + 5_000);
    assert_eq!(sampler.part(id(1), span(hour - 20, hour - 1, 1, true), 9, 1, 5_000), Route::Waits { new_pin: true });
    let old = Part::LogRecord { severity: 9, time_ns: hour - 1 };
    assert_eq!(sampler.part(id(2), old, 9, 1, 5_000), Route::Waits { new_pin: true });
    assert_eq!(sampler.part(id(1), old, 9, 1, 5_000), Route::Waits { new_pin: false }, "its trace is here");
    let new = Part::LogRecord { severity: 9, time_ns: hour };
    assert_eq!(sampler.part(id(3), new, 9, 1, 5_000), Route::Waits { new_pin: true });
    assert_eq!(sampler.stats().late_unknown, 2);
    let at_once = tick(&mut sampler, 5_000);
    assert_eq!((at_once.len(), at_once[0].trace, at_once[0].verdict), (1, id(2), None));
}

/// Scenario: an alert opens an incident window and a person closes it; the hub wants one again and again, then no more.
/// Guarantees: while one is open every trace is kept; a closed one stays closed; the hub's is bounded as well.
#[test]
fn incidents_open_by_alert_and_by_the_hub() {
    let alert = Alert {
        name: "failing".into(),
        error_share: 0.5,
        clear_share: 0.25,
        over_ns: 60,
        least_spans: 2,
        open_ns: 100,
        longest_ns: 1_000,
        ..Alert::default()
    };
    let base = Options { incident_share: 1.0, longest_incident_ns: 50, alerts: vec![alert], ..options() };
    let mut sampler = Sampler::new(base);
    let evidence = Evidence { trace: id(1), spans: 1, statuses: STATUS_MASK_UNSET, ..Evidence::default() };
    let keeps = |sampler: &mut Sampler, now| sampler.judge.decide(&evidence, now).verdict == Some(Verdict::Keep);
    tick(&mut sampler, 1);
    assert!(!keeps(&mut sampler, 1) && !sampler.stats().incident_open);
    let failed = SpanPart { root: true, status: STATUS_MASK_ERROR, ..SpanPart::default() };
    for number in 10..12 {
        sampler.part(id(number), Part::Span(failed), 1, 0, 2);
    }
    tick(&mut sampler, 2);
    assert_eq!(sampler.take_raised(), [Raised { alert: "failing".into(), share: 1.0 }]);
    assert!(keeps(&mut sampler, 101) && !keeps(&mut sampler, 102) && sampler.stats().incident_open);
    sampler.set_incident(50, 50);
    tick(&mut sampler, 51);
    assert!(!keeps(&mut sampler, 51) && sampler.take_raised().is_empty());
    for now in [200, 210, 240] {
        sampler.set_remote_incident(20, now);
        assert!(keeps(&mut sampler, now + 9));
    }
    assert!(!keeps(&mut sampler, 250), "50 at most since it began");
    sampler.set_remote_incident(0, 260);
    sampler.set_remote_incident(20, 270);
    assert!(keeps(&mut sampler, 289));
    sampler.set_remote_incident(0, 280);
    assert!(!keeps(&mut sampler, 281));
}

/// Scenario: traces that wait, were kept, were dropped, or never came are asked for. Guarantees: only what was dropped and is held
/// is kept after all, as a trace that stands for no other one; asked twice, it comes once (P4).
#[test]
fn a_dropped_trace_is_fetched() {
    let mut sampler = sampler();
    sampler.part(id(1), span(0, 10, STATUS_MASK_UNSET, true), 9, 1, 0);
    sampler.part(id(2), span(0, 10, STATUS_MASK_ERROR, true), 9, 2, 0);
    assert_eq!(sampler.fetch(&id(1)), Fetch::Undecided);
    assert_eq!(tick(&mut sampler, WAIT).len(), 2);
    let asked = [1, 2, 3, 1].map(|number| sampler.fetch(&id(number)));
    assert_eq!(asked, [Fetch::Recalled, Fetch::Kept, Fetch::Gone, Fetch::Recalled]);
    let decided = recall(&mut sampler, WAIT + 1, true);
    assert_eq!(
        (decided.len(), decided[0].trace, decided[0].policy, decided[0].threshold),
        (1, id(1), None, crate::ALWAYS)
    );
    assert_eq!(sampler.part(id(1), LINE, 9, 3, WAIT + 2), Route::Decided(Verdict::Keep));
    assert_eq!(sampler.fetch(&id(1)), Fetch::Kept);
}

/// Scenario: a log record, a span, a root that shortens the wait, another trace; decisions in between. Guarantees: what is told as the
/// oldest undecided moment is never later than the first part of the oldest undecided trace, and at most a two-hundredth of the
/// wait for log records earlier where nothing shortened its wait (P3).
#[test]
fn u3_the_oldest_undecided_part_is_known() {
    let mut sampler = Sampler::new(Options { after_root_ns: 100, ..options() });
    assert_eq!(sampler.oldest_pending_ns(), None);
    sampler.part(id(1), LINE, 9, 1, 5_000);
    assert_eq!(sampler.oldest_pending_ns(), Some(5_000));
    sampler.part(id(1), span(0, 10, 1, false), 9, 2, 5_700);
    let oldest = sampler.oldest_pending_ns().unwrap();
    assert!((4_990..=5_000).contains(&oldest), "{oldest}");
    sampler.part(id(2), span(0, 10, 1, true), 9, 3, 6_000);
    assert_eq!(sampler.oldest_pending_ns(), Some(oldest));
    tick(&mut sampler, 6_100);
    assert_eq!(sampler.oldest_pending_ns(), Some(oldest), "the second one is decided");
    tick(&mut sampler, 6_700);
    assert_eq!(sampler.oldest_pending_ns(), None);
}
