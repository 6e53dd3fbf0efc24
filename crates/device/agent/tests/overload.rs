//! The real program under more than it can take: what it acknowledged arrives.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::otlp::{SpanView, for_each_scope};
use model::proto::{ProtoError, put_bytes, put_fixed64, put_message, put_uint};
use support::server::{Reply, Seen, Server};
use support::{Agent, PROTOBUF, now_ns, request, text_attribute, wait_until};

const PRODUCERS: u64 = 2;
const REQUESTS: u64 = 60;
const TRACES: u64 = 20;
const SPANS: u64 = 5;
/// One trace of so many has an error, and must be kept.
const KEPT_OF: u64 = 5;

fn trace_id(producer: u64, number: u64) -> [u8; 16] {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&(producer + 1).to_be_bytes());
    id[8..].copy_from_slice(&(number + 1).to_be_bytes());
    id
}

fn is_kept(number: u64) -> bool {
    number.is_multiple_of(KEPT_OF)
}

/// A request of traces, the spans of each one after the other.
fn batch(producer: u64, number: u64) -> Vec<u8> {
    request(|out| {
        for trace in number * TRACES..(number + 1) * TRACES {
            for span in 1..=SPANS {
                put_message(out, 2, |out| {
                    put_bytes(out, 1, &trace_id(producer, trace));
                    put_bytes(out, 2, &span.to_be_bytes());
                    if span > 1 {
                        put_bytes(out, 4, &1_u64.to_be_bytes());
                    }
                    put_bytes(out, 5, b"GET /api/v1/orders/{id}");
                    put_fixed64(out, 7, now_ns());
                    put_fixed64(out, 8, now_ns() + 13_000_000);
                    text_attribute(out, 9, "url.full", &format!("https://shop.example/orders/{trace}?page={span}"));
                    text_attribute(out, 9, "user_agent.original", "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101");
                    if is_kept(trace) && span == SPANS {
                        put_message(out, 15, |out| put_uint(out, 3, 2));
                    }
                });
            }
        }
    })
}

/// Sends requests one after the other as fast as they are answered; what is to come again comes again.
fn produce(agent: &Agent, producer: u64) {
    for number in 0..REQUESTS {
        let body = batch(producer, number);
        let taken = (0..400).any(|_| match agent.post("/v1/traces", PROTOBUF, &body).0 {
            200 => true,
            503 => {
                std::thread::sleep(Duration::from_millis(50));
                false
            }
            other => panic!("{other}"),
        });
        assert!(taken, "request {number} of producer {producer} was never taken");
    }
}

/// The spans of every trace in what a server took, by trace and span.
fn spans(seen: &[Seen]) -> BTreeMap<([u8; 16], [u8; 8]), u64> {
    let mut found = BTreeMap::new();
    for one in seen.iter().filter(|one| one.path == "/v1/traces") {
        let mut body = Vec::new();
        flate2::read::GzDecoder::new(&one.body[..]).read_to_end(&mut body).unwrap();
        for_each_scope::<ProtoError>(&body, |scope| {
            for item in scope.items() {
                let span = SpanView::read(item?)?;
                let id = span.span_id.unwrap().0;
                *found.entry((span.trace_id.unwrap().0, id)).or_insert(0) += 1;
            }
            Ok(())
        })
        .unwrap();
    }
    found
}

/// Scenario: two producers send as fast as they are answered to an agent with `memory: 12MiB`, an index too small for all that waits,
/// and the recorder in memory, in files, and with a destination that is away for the time of the load. Guarantees: every trace that
/// was acknowledged and must be kept arrives with all its spans, each of them once; those that need not be kept do not; the books
/// balance (P1, P2, P4).
#[test]
fn s6_what_is_acknowledged_under_overload_arrives() {
    let policies = "memory: 12MiB\nsampling:\n  memory: 256KiB\n  decision_wait: 1s\n  policies:\n    - { name: errors, type: \
                    status_code, status_code: { status_codes: [ERROR] } }\n";
    for (recorder, is_away) in [
        ("recorder: { memory: 1MiB }\n", false),
        ("recorder: { memory: 1MiB, files: 16MiB }\n", false),
        ("recorder: { memory: 1MiB }\n", true),
    ] {
        let away = Arc::new(AtomicBool::new(is_away));
        let taken: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (answers, keeps) = (Arc::clone(&away), Arc::clone(&taken));
        let server = Server::start(move |seen| -> Reply {
            if answers.load(Ordering::SeqCst) {
                return (503, String::new(), Vec::new());
            }
            keeps.lock().unwrap().push(seen.clone());
            (200, String::new(), Vec::new())
        });
        let backend = format!("{{ name: backend, type: otlp, url: 'http://{}', max_backoff: 1s }}", server.address);
        let agent = Agent::start_delivering(&[backend], &format!("{policies}{recorder}"));
        std::thread::scope(|scope| {
            (0..PRODUCERS).for_each(|producer| {
                drop(scope.spawn({
                    let agent = &agent;
                    move || produce(agent, producer)
                }));
            });
        });
        away.store(false, Ordering::SeqCst);
        let status = agent.status();
        let received = status["ledger"]["received"]["traces"].as_u64().unwrap();
        assert_eq!(received, PRODUCERS * REQUESTS * TRACES * SPANS, "{recorder}");
        let kept = PRODUCERS * REQUESTS * TRACES / KEPT_OF;
        wait_until("all that must be kept arrives", || {
            agent.status()["ledger"]["destinations"][0]["delivered"] == kept * SPANS
        });
        let found = spans(&taken.lock().unwrap());
        assert_eq!(found.len() as u64, kept * SPANS, "{recorder}");
        for ((trace, span), count) in &found {
            assert_eq!(*count, 1, "{recorder}: {trace:?} {span:?}");
            assert!(is_kept(u64::from_be_bytes(trace[8..].try_into().unwrap()) - 1), "{trace:?}");
        }
        assert_eq!(agent.status()["ledger"]["difference"], 0);
    }
}
