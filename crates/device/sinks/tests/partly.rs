//! Blocks with more than one signal, of which a server takes a part.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use drain::SendError;
use model::proto::{put_bytes, put_message};
use model::{Lane, Signal};
use sources::{Answer, Request};
use wire::SectionRef;

use crate::support::Endpoint;

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
    let records: Vec<Vec<u8>> = texts.iter().map(|text| record(text)).collect();
    let both = |one| [SectionRef::Traces(one), SectionRef::Logs(one)];
    let sections: Vec<[SectionRef<'_>; 2]> = records.iter().map(|one| both(one)).collect();
    let frames: Vec<&[SectionRef<'_>]> = sections.iter().map(<[_; 2]>::as_slice).collect();
    support::block(Lane::Traces, &frames)
}

type Seen = Rc<RefCell<Vec<(Signal, usize)>>>;

/// Runs `test` for both transports with a server that answers as `answer` says, by the signal and how often it was asked for that.
fn with_server<F: Future<Output = ()>>(
    answer: fn(Signal, &[u8], usize) -> Answer,
    mut test: impl FnMut(Endpoint, Seen) -> F,
) {
    for grpc in [true, false] {
        let seen = Seen::default();
        let taken = Rc::clone(&seen);
        let answer = move |request: Request| {
            let before = taken.borrow().iter().filter(|(signal, _)| *signal == request.signal).count();
            taken.borrow_mut().push((request.signal, request.body.len()));
            answer(request.signal, &request.body, before)
        };
        support::with_server(grpc, Some(sinks::Coding::Gzip), answer, async |endpoint| test(endpoint, seen).await);
    }
}

/// Scenario: a server refuses the log records of a block for good and takes its spans. Guarantees: the spans are sent once and count as
/// delivered, the log records as rejected, and their requests are given back (P1).
#[test]
fn d4_r4_a_refusal_of_one_signal_books_that_one_only() {
    with_server(
        |signal, _, _| if signal == Signal::Logs { Answer::Bad("no lines here".into()) } else { Answer::Accepted },
        |mut sink, seen| async move {
            let delivered = sink.deliver(&block(&["a", "b"])).await.unwrap();
            assert_eq!((delivered.delivered, delivered.rejected, delivered.refused.len()), (2, 2, 2));
            let refused = &delivered.refused[1];
            assert_eq!((refused.records, &refused.request), (1, &record("b")));
            assert!(refused.words.contains("no lines here"), "{}", refused.words);
            assert_eq!(seen.borrow().iter().filter(|(signal, _)| *signal == Signal::Traces).count(), 1);
        },
    );
}

/// Scenario: the spans of a block find the server busy twice, its log records go at once. Guarantees: those do not wait for the spans, and
/// are not sent again with them (P1).
#[test]
fn d4_r4_what_was_taken_is_not_sent_again() {
    with_server(
        |signal, _, before| match signal == Signal::Traces && before < 2 {
            true => Answer::Wait(Duration::from_secs(1)),
            false => Answer::Accepted,
        },
        |mut sink, seen| async move {
            let two = block(&["a", "b"]);
            for _ in 0..2 {
                assert!(matches!(sink.deliver(&two).await, Err(SendError::Retry { .. })));
            }
            let delivered = sink.deliver(&two).await.unwrap();
            assert_eq!((delivered.delivered, delivered.rejected), (4, 0));
            let count = |wanted| seen.borrow().iter().filter(|(signal, _)| *signal == wanted).count();
            assert_eq!((count(Signal::Traces), count(Signal::Logs)), (3, 1));
        },
    );
}

/// Scenario: of three frames the server refuses the lines of one for good, and is busy in the middle of finding out which. Guarantees: each
/// frame's lines are decided once, one of them is rejected (P1).
#[test]
fn r4_a_search_that_is_interrupted_goes_on() {
    with_server(
        |signal, body, before| {
            let poisoned = body.windows(6).any(|window| window == b"poison");
            match (signal, poisoned, before) {
                (Signal::Logs, _, 2) => Answer::Wait(Duration::from_secs(1)),
                (Signal::Logs, true, _) => Answer::Bad("poison".into()),
                _ => Answer::Accepted,
            }
        },
        |mut sink, seen| async move {
            let three = block(&["a", "b", "poison"]);
            assert!(matches!(sink.deliver(&three).await, Err(SendError::Retry { .. })));
            let delivered = sink.deliver(&three).await.unwrap();
            assert_eq!((delivered.delivered, delivered.rejected), (5, 1));
            // All at once, the first, the other two when the server was busy and again; then each of them.
            assert_eq!(seen.borrow().iter().filter(|(signal, _)| *signal == Signal::Logs).count(), 6);
        },
    );
}
