//! A policy of one's own: keeps traces of many short spans, as a chatty client makes them. `cargo run -p sampling --example toy_policy`
#![allow(clippy::unwrap_used, reason = "an example ends with a panic when it is wrong")]

use model::TraceId;
use sampling::{Decided, Evidence, Options, Part, Policy, PolicyRule, STATUS_MASK_UNSET, Sampler, SpanPart, Verdict};

const SECOND: u64 = 1_000_000_000;

/// Whether a trace is chatty: ten spans and more, of a millisecond or less in the mean.
fn is_chatty(trace: &Evidence) -> bool {
    trace.spans >= 10 && trace.duration_ns() / u64::from(trace.spans) <= 1_000_000
}

fn main() {
    let mut sampler = Sampler::new(Options {
        policies: vec![Policy { name: "chatty".into(), rule: PolicyRule::Function(is_chatty) }],
        decision_wait_ns: SECOND,
        log_wait_ns: 2 * SECOND,
        remember_ns: 3600 * SECOND,
        memory: 1 << 20,
        ..Options::default()
    });
    // A span of the recorder's entry 1 for each part: twelve of one trace, one of another.
    let (chatty, quiet) = (TraceId([1; 16]), TraceId([2; 16]));
    for (trace, spans) in [(chatty, 12), (quiet, 1)] {
        for number in 0..spans {
            let start_ns = SECOND + number * 1_000_000;
            let span =
                SpanPart { start_ns, end_ns: start_ns + 900_000, status: STATUS_MASK_UNSET, ..SpanPart::default() };
            sampler.part(trace, Part::Span(span), 300, 1, 0);
        }
    }
    let mut decided: Vec<Decided> = Vec::new();
    sampler.tick(2 * SECOND, |one| decided.push(one));
    let verdict = |trace| decided.iter().find(|one| one.trace == trace).unwrap().verdict;
    assert_eq!(verdict(chatty), Some(Verdict::Keep));
    assert_eq!(verdict(quiet), Some(Verdict::Drop));
    println!("kept {chatty} by {}, dropped {quiet}", sampler.policy_name(0).unwrap());
}
