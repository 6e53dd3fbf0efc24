//! What holds for any traces, in any order: random traces with a seed that is printed when one of them fails.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use model::TraceId;
use sampling::{
    Condition, Conditions, Decided, Options, Part, Policy, PolicyRule, Route, STATUS_MASK_ERROR, STATUS_MASK_OK,
    STATUS_MASK_UNSET, Sampler, SpanPart, Verdict,
};

const WAIT: u64 = 10_000;

/// SplitMix64: small, and the same everywhere.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn shuffle<T>(&mut self, list: &mut [T]) {
        for place in (1..list.len()).rev() {
            list.swap(place, self.below(place as u64 + 1) as usize);
        }
    }
}

fn id(number: u64) -> TraceId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&Chance(number).next().to_be_bytes());
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    TraceId(bytes)
}

/// A random rule without state.
fn rule(chance: &mut Chance, conditions: &mut Conditions, depth: u32) -> PolicyRule {
    match chance.below(if depth > 2 { 7 } else { 10 }) {
        0 => PolicyRule::Status(1 << chance.below(3)),
        1 => PolicyRule::Latency { from_ns: chance.below(2_000), to_ns: None },
        2 => {
            let from_ns = chance.below(1_000);
            PolicyRule::Latency { from_ns, to_ns: Some(from_ns + chance.below(1_000)) }
        }
        3 => {
            let min = chance.below(6) as u32;
            PolicyRule::SpanCount { min, max: (chance.below(2) == 0).then(|| min + chance.below(4) as u32) }
        }
        4 => PolicyRule::LogSeverity(1 + chance.below(24) as u8),
        5 => PolicyRule::Probabilistic { salt: b"x".as_slice().into(), share: chance.below(100) as f64 / 100.0 },
        6 => match conditions.add(Condition::Sampled) {
            Some(bit) => PolicyRule::Condition { bit, invert: chance.below(2) == 0 },
            None => PolicyRule::Always,
        },
        7 => PolicyRule::Not(Box::new(rule(chance, conditions, depth + 1))),
        8 => PolicyRule::And((0..1 + chance.below(3)).map(|_| rule(chance, conditions, depth + 1)).collect()),
        _ if depth == 0 => PolicyRule::Drop(vec![rule(chance, conditions, 1), rule(chance, conditions, 1)]),
        _ => PolicyRule::Status(STATUS_MASK_ERROR),
    }
}

fn options(chance: &mut Chance) -> Options {
    let mut conditions = Conditions::default();
    let policies = (0..1 + chance.below(4))
        .map(|number| Policy { name: number.to_string(), rule: rule(chance, &mut conditions, 0) })
        .collect();
    Options {
        policies,
        conditions,
        decision_wait_ns: WAIT,
        log_wait_ns: 2 * WAIT,
        remember_ns: 1 << 50,
        memory: 1 << 20,
        reads_tracestate: true,
        ..Options::default()
    }
}

fn part(chance: &mut Chance) -> Part {
    match chance.below(4) {
        0 => Part::LogRecord { severity: chance.below(25) as u8, time_ns: 0 },
        1 if chance.below(4) == 0 => Part::Exemplar,
        _ => {
            let start_ns = 1_000_000 + chance.below(2_000);
            Part::Span(SpanPart {
                start_ns,
                end_ns: start_ns + chance.below(1_000),
                status: [STATUS_MASK_UNSET, STATUS_MASK_OK, STATUS_MASK_ERROR][chance.below(3) as usize],
                root: chance.below(3) == 0,
                conditions: chance.next() & 0xff,
                randomness: (chance.below(4) == 0).then(|| chance.below(1 << 56)),
                sampled_before: chance.below(4) == 0,
                around: 0,
                limit: 0,
            })
        }
    }
}

type Verdicts = BTreeMap<TraceId, (Option<Verdict>, Option<u16>)>;

fn note(verdicts: &mut Verdicts, decided: &Decided) {
    verdicts.insert(decided.trace, (decided.verdict, decided.policy));
}

/// Gives parts to a sampler within the wait, in requests of random sizes at random times, and lets them be decided.
fn decide(options: &Options, parts: &[(TraceId, Part)], chance: &mut Chance) -> Verdicts {
    let mut sampler = Sampler::new(options.clone());
    let mut verdicts = Verdicts::new();
    let (mut now, mut entry) = (0, 0);
    for (trace, part) in parts {
        if chance.below(3) == 0 {
            entry += 1;
            now += chance.below((WAIT / 2 / parts.len() as u64).max(1));
        }
        assert!(matches!(sampler.part(*trace, *part, 10, entry, now), Route::Waits { .. }));
    }
    sampler.tick(now, |one| note(&mut verdicts, &one));
    assert!(verdicts.is_empty(), "nothing is decided before the wait");
    sampler.tick(now + 3 * WAIT, |one| note(&mut verdicts, &one));
    assert_eq!(sampler.stats().pending_traces, 0);
    verdicts
}

/// Scenario: 500 times random stateless policies and 20 traces of random parts, in two random orders and splits.
/// Guarantees: the decision and its policy are the same, whatever comes first (P4).
#[test]
fn order_and_split_do_not_matter() {
    for seed in 0..500 {
        let mut chance = Chance(seed);
        let options = options(&mut chance);
        let mut parts: Vec<(TraceId, Part)> = Vec::new();
        for trace in 0..20 {
            parts.extend((0..1 + chance.below(8)).map(|_| (id(trace), part(&mut chance))));
        }
        let first = decide(&options, &parts, &mut chance);
        chance.shuffle(&mut parts);
        let second = decide(&options, &parts, &mut chance);
        assert_eq!(first, second, "seed {seed}");
    }
}

/// Scenario: 400 times random traces of which parts come late, before, between and after decisions, with a recorder that
/// holds everything or nothing.
/// Guarantees: the first decision is told once; what comes later changes a drop to a keep at most, and never without the
/// recorder; a trace that was kept stays kept (P4).
#[test]
fn later_arrivals_change_only_drop_to_keep() {
    for seed in 0..400 {
        let mut chance = Chance(0xabcd_0000 + seed);
        let mut sampler = Sampler::new(options(&mut chance));
        let holds = chance.below(4) > 0;
        let mut verdicts: BTreeMap<TraceId, Vec<Verdict>> = BTreeMap::new();
        let mut now = 0;
        for entry in 0..300 {
            now += chance.below(WAIT / 20);
            let trace = id(chance.below(15));
            let route = sampler.part(trace, part(&mut chance), 10, entry, now);
            let known = verdicts.get(&trace).and_then(|list| list.last().copied());
            match route {
                Route::Waits { .. } => assert_eq!(known, None, "seed {seed}"),
                Route::Decided(verdict) => assert_eq!(Some(verdict), known, "seed {seed}"),
            }
            let mut decided = Vec::new();
            sampler.recall(now, |_| holds, |one| decided.push(one));
            assert!(decided.iter().all(|one| holds && one.recalled && one.verdict == Some(Verdict::Keep)));
            sampler.tick(now, |one| decided.push(one));
            for one in decided.into_iter().filter(|one| !one.released) {
                // Without a span nothing is decided of the trace.
                if let Some(verdict) = one.verdict {
                    verdicts.entry(one.trace).or_default().push(verdict);
                }
            }
        }
        for (trace, list) in &verdicts {
            let fine = [&[Verdict::Keep][..], &[Verdict::Drop], &[Verdict::Drop, Verdict::Keep]].contains(&&**list);
            assert!(fine, "seed {seed}: trace {trace} was decided {list:?}");
        }
    }
}

/// Scenario: 20 times a flood of traces of all sizes into a small memory, with decisions as time passes and early ones when
/// there is no room. Guarantees: the memory that is allocated never exceeds the bound (P9).
#[test]
fn memory_stays_under_its_bound() {
    for seed in 0..20 {
        let mut chance = Chance(0x3333_0000 + seed);
        let memory = (64 << 10) << chance.below(5);
        let mut sampler = Sampler::new(Options { memory, ..options(&mut chance) });
        let (mut now, mut refused, mut most) = (0, 0u64, 0);
        for entry in 0..4_000 {
            now += chance.below(40);
            let traces = 1 + chance.below(40);
            let room = sampler.make_room(traces as usize)
                || (sampler.decide_early(now, 64, |_| {}) > 0 && sampler.make_room(traces as usize));
            if room {
                let first = chance.below(100_000);
                for trace in first..first + traces {
                    sampler.part(id(trace), part(&mut chance), 10, entry, now);
                    most = most.max(sampler.stats().bytes);
                }
            } else {
                refused += 1;
            }
            sampler.recall(now, |_| true, |_| {});
            sampler.tick(now, |_| {});
            most = most.max(sampler.stats().bytes);
            assert!(most <= memory, "seed {seed}: {most} bytes of {memory}");
        }
        assert!(most > memory / 4, "seed {seed}: only {most} bytes of {memory} were used, {refused} refused");
    }
}
