//! Blocks on their way to servers that refuse a part of them, without a server.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use drain::{Delivered, Delivery, PartialSuccess, SendError};
use model::proto::{put_bytes, put_message};
use model::{Epoch, Lane, Refusal, Signal, Stamp};
use wire::{BlockEncoder, FrameHeader, SectionRef};

/// A request of one record with this text; its form is the same for spans and log records.
fn record(text: &str) -> Vec<u8> {
    let mut request = Vec::new();
    put_message(&mut request, 1, |out| {
        put_message(out, 2, |out| put_message(out, 2, |out| put_bytes(out, 3, text.as_bytes())));
    });
    request
}

/// A block of one frame for each text, each with a span and a log record.
fn block(texts: &[&str]) -> Vec<u8> {
    let frame = |(text, seq): (&&str, u64)| {
        let (mut body, mut frame) = (Vec::new(), Vec::new());
        let one = record(text);
        wire::encode_body(&[SectionRef::Traces(&one), SectionRef::Logs(&one)], &mut body).unwrap();
        let header = FrameHeader { device: "d", epoch: Epoch(1), lane: Lane::Traces, seq, stamp: Stamp::default() };
        wire::seal_frame(&header, &body, &mut frame);
        frame
    };
    let frames: Vec<Vec<u8>> = texts.iter().zip(1..).map(frame).collect();
    let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
    let mut block = Vec::new();
    BlockEncoder::new().unwrap().encode(Epoch(1), Lane::Traces, 1, &frames, &mut block).unwrap();
    block
}

type Answer = Result<PartialSuccess, SendError>;

fn doubtful() -> Answer {
    Err(SendError::Retry { reason: Refusal::FailedStatus, why: "500".into(), after: None, doubtful: true })
}

fn holds(request: &[u8], text: &str) -> bool {
    request.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Gives a block until it is decided, at most so often; gives what became of it, and how many requests that took.
fn give(
    block: &[u8],
    most: usize,
    mut answer: impl FnMut(Signal, &[u8]) -> Answer,
) -> (Result<Delivered, SendError>, usize) {
    let (mut delivery, mut requests) = (Delivery::default(), 0);
    for turn in 1..=most {
        delivery.begin(block).unwrap();
        while let Some((signal, request)) = delivery.request() {
            requests += 1;
            let answer = answer(signal, request);
            delivery.answered(answer);
        }
        let outcome = delivery.finish();
        if outcome.is_ok() || turn == most {
            return (outcome, requests);
        }
    }
    unreachable!("it is given at least once")
}

/// Scenario: a server fails with 500 whenever one of three log records is in the request, and takes everything else. Guarantees: after
/// three failures an empty request tells that it is well; then that record alone is rejected with its request, the others are delivered,
/// and the spans are sent once (P1, P3).
#[test]
fn a_record_that_a_server_fails_at_is_rejected_alone() {
    let mut spans = 0;
    let (delivered, requests) = give(&block(&["a", "poison", "b"]), 3, |signal, request| {
        spans += usize::from(signal == Signal::Traces);
        if signal == Signal::Logs && holds(request, "poison") { doubtful() } else { Ok(PartialSuccess::default()) }
    });
    let delivered = delivered.unwrap();
    assert_eq!((delivered.delivered, delivered.rejected, spans), (5, 1, 1));
    let [refused] = &delivered.refused[..] else { panic!("{:?}", delivered.refused) };
    assert_eq!(
        (refused.signal, refused.reason, &refused.request),
        (Signal::Logs, Refusal::FailedStatus, &record("poison"))
    );
    assert!(refused.words.contains("for these records only"), "{}", refused.words);
    assert!(requests < 20, "{requests} requests");
}

/// Scenario: a server fails with 500 at everything. Guarantees: nothing is taken for refused, however often the block is given (P3).
#[test]
fn a_server_that_is_not_well_refuses_nothing() {
    let (outcome, _) = give(&block(&["a", "b"]), 50, |_, _| doubtful());
    assert!(matches!(outcome, Err(SendError::Retry { .. })), "{outcome:?}");
}

/// Scenario: a server is busy for spans and wants other credentials for log records. Guarantees: what an operator has to mend is told
/// before what mends itself, whichever came first.
#[test]
fn what_an_operator_has_to_mend_is_told_first() {
    let busy = || Err(SendError::retry(Refusal::Throttled, "later"));
    let token = || Err(SendError::blocked(Refusal::DestinationUnauthorized, "token"));
    for blocked in [Signal::Traces, Signal::Logs] {
        let (outcome, requests) = give(&block(&["a"]), 1, |signal, _| if signal == blocked { token() } else { busy() });
        assert!(matches!(outcome, Err(SendError::Blocked { .. })), "{outcome:?}");
        assert_eq!(requests, 2, "one signal does not keep the other from being sent");
    }
}

/// Scenario: a server takes a request but for two of its records, and does not say which; it says that more are rejected than there are.
/// Guarantees: they are booked as rejected, never more than were sent, nothing is sent again, and no request is kept for them (P1).
#[test]
fn a_partial_success_is_booked_without_identity() {
    for (said, rejected) in [(2, 2), (99, 3)] {
        let (delivered, requests) = give(&block(&["a", "b", "c"]), 1, |signal, _| {
            let rejected = if signal == Signal::Logs { said } else { 0 };
            Ok(PartialSuccess { rejected, message: String::new() })
        });
        let delivered = delivered.unwrap();
        assert_eq!((delivered.delivered, delivered.rejected, requests), (6 - rejected, rejected, 2));
        assert!(delivered.refused.iter().all(|one| one.request.is_empty() && one.reason == Refusal::PartialSuccess));
    }
}

/// Scenario: a block that is no block. Guarantees: it is told as damaged and to be tried again: nothing is confirmed (P3).
#[test]
fn a_damaged_block_is_told() {
    let error = Delivery::default().begin(b"not a block").unwrap_err();
    assert_eq!(error.reason(), Refusal::Damaged);
}
