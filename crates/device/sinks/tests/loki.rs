//! Loki's push against a server that answers by a script.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/scripted.rs"]
mod scripted;

use drain::{PartialSuccess, SendError};
use model::proto::{put_bytes, put_fixed64, put_message};
use model::{Refusal, Signal};
use scripted::Next::{Answer, Close};
use scripted::{Next, with_script};
use sinks::LokiSink;

/// A request of this many log records under a resource with an attribute of this many bytes.
fn request(records: u64, bytes: usize) -> Vec<u8> {
    let mut out = Vec::new();
    put_message(&mut out, 1, |out| {
        put_message(out, 1, |out| {
            put_message(out, 1, |out| {
                put_bytes(out, 1, b"long");
                put_message(out, 2, |out| put_bytes(out, 1, &vec![b'x'; bytes]));
            });
        });
        put_message(out, 2, |out| {
            for at in 0..records {
                put_message(out, 2, |out| {
                    put_fixed64(out, 1, 1 + at);
                    put_message(out, 5, |out| put_bytes(out, 1, b"line"));
                });
            }
        });
    });
    out
}

/// Runs one export for each of `requests`; gives what came of them and how long each body was.
fn exported(script: Vec<Next>, requests: &[Vec<u8>]) -> (Vec<Result<PartialSuccess, SendError>>, Vec<usize>) {
    let mut out = (Vec::new(), Vec::new());
    with_script(script, async |access, seen| {
        let mut sink = LokiSink::new(access, vec![]);
        for request in requests {
            out.0.push(sink.export(Signal::Logs, request).await);
        }
        for one in seen.borrow().iter() {
            for header in [
                "post /loki/api/v1/push http/1.1\r\n",
                "content-type: application/x-protobuf\r\n",
                "user-agent: lightship/",
                "authorization: bearer secret\r\n",
                "x-scope-orgid: vessels\r\n",
            ] {
                assert!(one.head.contains(header), "{header} in {}", one.head);
            }
            out.1.push(one.body.len());
        }
    });
    out
}

/// Scenario: a push that is taken; one of which Loki ignores 3 of 10 entries; one that it refuses otherwise. Guarantees: delivered;
/// rejected in part with its words and never sent again; rejected as a whole (P1).
#[test]
fn what_loki_ignores_is_rejected() {
    let said = "entry with timestamp 2026-01-01 ignored, reason: 'entry too far behind',\ntotal ignored: 3 out of 10";
    let script =
        vec![Answer(204, "", ""), Answer(400, "", said), Answer(400, "", "has timestamp too old"), Answer(413, "", "")];
    let (told, seen) = exported(script, &vec![request(10, 5); 4]);
    assert_eq!(told[0], Ok(PartialSuccess::default()));
    assert!(matches!(&told[1], Ok(some) if some.rejected == 3 && some.message.contains("too far behind")), "{told:?}");
    assert!(matches!(&told[2], Err(SendError::Rejected { why, .. }) if why.contains("too old")), "{told:?}");
    assert!(matches!(&told[3], Err(SendError::Rejected { reason: Refusal::TooLargeForDestination, .. })), "{told:?}");
    assert_eq!(seen.len(), 4);
}

/// Scenario: a server that is over its rate, broken, elsewhere, a portal, or wants another tenant; another signal. Guarantees: nothing is
/// dropped: later, or an operator's matter (P3).
#[test]
fn other_answers_mean_what_they_always_do() {
    let cases = [
        (Answer(429, "", "ingestion rate limit exceeded"), true, Refusal::Throttled),
        (Answer(500, "", ""), true, Refusal::FailedStatus),
        (Close, true, Refusal::CutOff),
        (Answer(401, "", "no org id"), false, Refusal::DestinationUnauthorized),
        (Answer(404, "", ""), false, Refusal::SignalNotTaken),
        (Answer(200, "content-type: text/html; charset=utf-8\r\n", "pay here"), false, Refusal::NotAnExportResponse),
    ];
    for (answer, retried, reason) in cases {
        let (told, _) = exported(vec![answer.clone()], &[request(1, 5)]);
        let Err(error) = &told[0] else { panic!("{answer:?}: {told:?}") };
        assert_eq!(
            (error.reason(), matches!(error, SendError::Retry { .. })),
            (reason, retried),
            "{answer:?}: {error}"
        );
    }
    with_script(vec![], async |access, _| {
        let error = LokiSink::new(access, vec![]).export(Signal::Traces, &[]).await.unwrap_err();
        assert!(matches!(error, SendError::Blocked { reason: Refusal::SignalNotTaken, .. }), "{error}");
    });
}

/// Scenario: metadata makes a request three pushes long; the second is answered 503, the whole is given again, and Loki ignores two of
/// its last entries. Guarantees: what was answered is not sent again, and what was ignored is counted once.
#[test]
fn a_long_request_goes_on_where_it_stopped() {
    let script = vec![
        Answer(204, "", ""),
        Answer(503, "", ""),
        Answer(204, "", ""),
        Answer(400, "", "total ignored: 2 out of 3"),
        Answer(204, "", ""),
    ];
    // 20 KB for each record: 26 make half a megabyte.
    let (told, seen) = exported(script, &[request(55, 20_500), request(55, 20_500), request(1, 5)]);
    assert!(matches!(told[0], Err(SendError::Retry { .. })), "{told:?}");
    assert!(matches!(&told[1], Ok(PartialSuccess { rejected: 2, .. })), "{told:?}");
    assert_eq!(told[2], Ok(PartialSuccess::default()));
    assert!(seen[0] == seen[1] && seen[1] == seen[2] && seen[3] < seen[2], "{seen:?}");
}

/// Scenario: the server is asked whether it takes pushes: it takes the empty one, refuses it as empty, or is not there. Guarantees: only
/// the last is a fault.
#[test]
fn a_probe_is_an_empty_push() {
    let (told, seen) = exported(vec![Answer(204, "", ""), Answer(422, "", ""), Answer(404, "", "")], &vec![vec![]; 3]);
    assert!(matches!(&told[..], [Ok(_), Ok(_), Err(SendError::Blocked { .. })]), "{told:?}");
    assert_eq!(seen, [0, 0, 0]);
}
