//! Remote write against a server that answers by a script.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/scripted.rs"]
mod scripted;

use drain::{PartialSuccess, RetryAfter, SendError};
use model::proto::{Reader, Value, put_bytes, put_fixed64, put_message, put_uint};
use model::{Refusal, Signal};
use scripted::Next::{Answer, Close};
use scripted::{Next, with_script};
use sinks::{PrometheusOptions, PrometheusSink};

const SAMPLES_10: &str = "X-Prometheus-Remote-Write-Samples-Written: 10\r\n";
const SAMPLES_7: &str = "X-Prometheus-Remote-Write-Samples-Written: 7\r\n";
const SAMPLES_0: &str = "X-Prometheus-Remote-Write-Samples-Written: 0\r\n";

/// A request of gauges with this many points, and of sums with delta temporality.
fn request(points: u64, deltas: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let point = |out: &mut Vec<u8>, at: u64| {
        put_message(out, 1, |out| {
            put_fixed64(out, 3, (1000 + at) * 1_000_000_000);
            put_fixed64(out, 4, 1f64.to_bits());
        });
    };
    put_message(&mut out, 1, |out| {
        put_message(out, 2, |out| {
            put_message(out, 2, |out| {
                put_bytes(out, 1, b"level");
                put_message(out, 5, |out| (0..points).for_each(|at| point(out, at)));
            });
            put_message(out, 2, |out| {
                put_bytes(out, 1, b"calls");
                put_message(out, 7, |out| {
                    (0..deltas).for_each(|at| point(out, at));
                    put_uint(out, 2, 1);
                });
            });
        });
    });
    out
}

/// The field numbers at the top of a message: 4 and 5 are of version 2.0, 1 and 3 of 1.0.
fn fields(message: &[u8]) -> Vec<u32> {
    let (mut reader, mut found) = (Reader::new(message), Vec::new());
    while let Some((number, value)) = reader.next_field().unwrap() {
        assert!(matches!(value, Value::Bytes(_)));
        found.push(number);
    }
    found.dedup();
    found
}

fn sink(access: sinks::Access) -> PrometheusSink {
    PrometheusSink::new(access, PrometheusOptions::default())
}

type Told = Vec<Result<PartialSuccess, SendError>>;

/// Runs one export for each of `requests`; gives what came of them and the versions that the server saw.
fn exported(script: Vec<Next>, requests: &[Vec<u8>]) -> (Told, Vec<(&'static str, usize)>) {
    let mut out = (Vec::new(), Vec::new());
    with_script(script, async |access, seen| {
        let mut sink = sink(access);
        for request in requests {
            out.0.push(sink.export(Signal::Metrics, request).await);
        }
        for one in seen.borrow().iter() {
            let v2 = one.head.contains("x-prometheus-remote-write-version: 2.0.0");
            assert!(v2 || one.head.contains("x-prometheus-remote-write-version: 0.1.0"), "{}", one.head);
            assert_eq!(
                v2,
                one.head.contains("content-type: application/x-protobuf;proto=io.prometheus.write.v2.request\r\n")
            );
            let expected: &[&[u32]] = if v2 { &[&[4, 5], &[4]] } else { &[&[1, 3], &[]] };
            assert!(expected.contains(&fields(&one.body).as_slice()), "{:?}", fields(&one.body));
            out.1.push((if v2 { "2.0" } else { "1.0" }, one.connection));
        }
    });
    out
}

fn partial(rejected: u64, message: &str) -> PartialSuccess {
    PartialSuccess { rejected, message: message.into() }
}

/// Scenario: a server of 2.0 that writes everything, twice; one of the requests also has points that Prometheus has no place for.
/// Guarantees: what the protocol's page asks of a sender in its headers; delivered but for these points, with words (P1).
#[test]
fn a_server_of_today_gets_version_2() {
    with_script(vec![Answer(204, SAMPLES_10, ""), Answer(204, SAMPLES_10, "")], async |access, seen| {
        let mut sink = sink(access);
        assert_eq!(sink.export(Signal::Metrics, &request(10, 0)).await, Ok(partial(0, "")));
        let told = sink.export(Signal::Metrics, &request(10, 3)).await.unwrap();
        assert!(told.rejected == 3 && told.message.contains("'calls' has delta temporality"), "{told:?}");
        for one in seen.borrow().iter() {
            for header in [
                "post /api/v1/write http/1.1\r\n",
                "content-encoding: snappy\r\n",
                "content-type: application/x-protobuf;proto=io.prometheus.write.v2.request\r\n",
                "x-prometheus-remote-write-version: 2.0.0\r\n",
                "user-agent: lightship/",
                "authorization: bearer secret\r\n",
                "x-scope-orgid: vessels\r\n",
            ] {
                assert!(one.head.contains(header), "{header} in {}", one.head);
            }
        }
    });
}

/// Scenario: only points with delta temporality; another signal. Guarantees: nothing is sent, and both are told.
#[test]
fn what_cannot_be_sent_is_told() {
    let (told, seen) = exported(vec![], &[request(0, 4)]);
    assert!(
        matches!(&told[..], [Ok(PartialSuccess { rejected: 4, message })] if message.contains("delta")),
        "{told:?}"
    );
    assert!(seen.is_empty());
    with_script(vec![], async |access, _| {
        let error = sink(access).export(Signal::Logs, &[]).await.unwrap_err();
        assert!(matches!(error, SendError::Blocked { reason: Refusal::SignalNotTaken, .. }), "{error}");
    });
}

/// Scenario: servers that know 1.0 only and say so with 415, with 400, or not at all (a success that tells nothing of what was
/// written); then the connection ends. Guarantees: the same request goes again as 1.0, which is remembered as long as the connection
/// lives, and no longer.
#[test]
fn an_old_server_gets_version_1() {
    let old = [Answer(415, "", ""), Answer(400, "", "cannot decode"), Answer(204, "", ""), Answer(200, "", "")];
    for first in old {
        let script =
            vec![first, Answer(204, "", ""), Answer(204, "connection: close\r\n", ""), Answer(204, SAMPLES_10, "")];
        let (told, seen) = exported(script, &[request(10, 0), request(10, 0), request(10, 0)]);
        assert!(told.iter().all(|one| *one == Ok(partial(0, ""))), "{told:?}");
        assert_eq!(seen, [("2.0", 0), ("1.0", 0), ("1.0", 0), ("2.0", 1)]);
    }
}

/// Scenario: a server of 2.0 refuses 3 of 10 samples, then all; then it refuses a request without saying what it wrote. Guarantees: what
/// was not written is rejected with its words, and not sent again; where nothing is said, the request is rejected as a whole (P1).
#[test]
fn what_was_not_written_is_rejected() {
    let script = vec![
        Answer(400, SAMPLES_7, "out of order sample for series x"),
        Answer(400, SAMPLES_0, "too old sample"),
        Answer(400, "", "bad request"),
        Answer(413, "", "too large"),
    ];
    let (told, seen) = exported(script, &vec![request(10, 1); 4]);
    let Ok(some) = &told[0] else { panic!("{told:?}") };
    assert!(
        some.rejected == 4 && some.message.contains("7 of 10") && some.message.contains("out of order"),
        "{some:?}"
    );
    assert!(matches!(&told[1], Ok(all) if all.rejected == 11), "{told:?}");
    assert!(matches!(&told[2], Err(SendError::Rejected { reason: Refusal::RejectedStatus, .. })), "{told:?}");
    assert!(matches!(&told[3], Err(SendError::Rejected { reason: Refusal::TooLargeForDestination, .. })), "{told:?}");
    assert_eq!(seen.len(), 4);
}

/// Scenario: a server of 1.0 refuses a request. Guarantees: it is rejected as a whole, so that the drain halves it.
#[test]
fn version_1_refuses_as_a_whole() {
    let script = vec![Answer(415, "", ""), Answer(204, "", ""), Answer(400, "", "out of bounds")];
    let (told, _) = exported(script, &[request(10, 0), request(10, 0)]);
    assert!(matches!(&told[1], Err(SendError::Rejected { why, .. }) if why.contains("out of bounds")), "{told:?}");
}

/// Scenario: a server that is busy, broken, wants other credentials, is elsewhere, or is a portal. Guarantees: nothing is dropped:
/// later, as it asks, or an operator's matter (P3).
#[test]
fn other_answers_mean_what_they_always_do() {
    let cases = [
        (Answer(429, "retry-after: 7\r\n", "slow"), true, Refusal::Throttled),
        (Answer(500, "", "too old sample"), true, Refusal::FailedStatus),
        (Answer(503, "", ""), true, Refusal::FailedStatus),
        (Close, true, Refusal::CutOff),
        (Answer(401, "", ""), false, Refusal::DestinationUnauthorized),
        (Answer(404, "", "no such page"), false, Refusal::SignalNotTaken),
        (Answer(302, "location: /login\r\n", ""), false, Refusal::Redirected),
        (Answer(200, "content-type: text/html\r\n", "<html>pay here"), false, Refusal::NotAnExportResponse),
        (Answer(200, "", " <!doctype html>"), false, Refusal::NotAnExportResponse),
    ];
    for (answer, retried, reason) in cases {
        let (told, _) = exported(vec![answer.clone()], &[request(1, 0)]);
        let Err(error) = &told[0] else { panic!("{answer:?}: {told:?}") };
        assert_eq!(
            (error.reason(), matches!(error, SendError::Retry { .. })),
            (reason, retried),
            "{answer:?}: {error}"
        );
        if reason == Refusal::Throttled {
            let seven = Some(RetryAfter::In(std::time::Duration::from_secs(7)));
            assert!(matches!(error, SendError::Retry { after, .. } if *after == seven), "{error:?}");
        }
    }
}

/// Scenario: the answer to a request is lost; sent again, it is refused as a repetition. Another one is refused in the same words without
/// that, and a third for its age. Guarantees: what was written the first time is not booked as rejected; the others are.
#[test]
fn a_repetition_is_no_loss() {
    let repeated = Answer(400, SAMPLES_0, "out of order sample");
    let script = vec![Close, repeated.clone(), repeated, Close, Answer(400, SAMPLES_0, "out of bounds")];
    let requests = [request(10, 0), request(10, 0), request(10, 0), request(9, 0), request(9, 0)];
    let (told, _) = exported(script, &requests);
    assert!(matches!(&told[1], Ok(PartialSuccess { rejected: 0, message }) if message.contains("twice")), "{told:?}");
    assert!(matches!(&told[2], Ok(PartialSuccess { rejected: 10, .. })), "{told:?}");
    assert!(matches!(&told[4], Ok(PartialSuccess { rejected: 9, .. })), "{told:?}");
}

/// Scenario: the server is asked whether it takes remote write, before there is anything to send. Guarantees: an empty message asks it,
/// and its memory is given back after.
#[test]
fn a_probe_is_an_empty_message() {
    with_script(vec![Answer(204, SAMPLES_0, "")], async |access, seen| {
        let mut sink = sink(access);
        sink.export(Signal::Metrics, &[]).await.unwrap();
        sink.rest();
        assert_eq!(seen.borrow()[0].body, [0x22, 0]);
    });
}
