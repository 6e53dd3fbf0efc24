//! Blocks with more than one signal, of which a server takes a part.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use drain::SendError;
use model::proto::{put_bytes, put_message};
use model::{Epoch, Lane, Signal, Stamp};
use sinks::{Access, OtlpSink};
use sources::{Answer, Intake, Limits, Pending};
use tokio::net::TcpListener;
use wire::{BlockEncoder, FrameHeader, SectionRef};

use crate::support::Endpoint;

/// A request of one record with this text; its form is the same for spans and lines.
fn record(text: &str) -> Vec<u8> {
    let mut request = Vec::new();
    put_message(&mut request, 1, |out| {
        put_message(out, 2, |out| put_message(out, 2, |out| put_bytes(out, 3, text.as_bytes())));
    });
    request
}

/// A block of one frame for each text, each with a span and a line.
fn block(texts: &[&str]) -> Vec<u8> {
    let frames: Vec<Vec<u8>> = texts
        .iter()
        .zip(1..)
        .map(|(text, seq)| {
            let (mut body, mut frame) = (Vec::new(), Vec::new());
            let one = record(text);
            wire::encode_body(&[SectionRef::Traces(&one), SectionRef::Logs(&one)], &mut body).unwrap();
            let header = FrameHeader { device: "d", epoch: Epoch(1), lane: Lane::Traces, seq, stamp: Stamp::default() };
            wire::seal_frame(&header, &body, &mut frame);
            frame
        })
        .collect();
    let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
    let mut block = Vec::new();
    BlockEncoder::new().unwrap().encode(Epoch(1), Lane::Traces, 1, &frames, &mut block).unwrap();
    block
}

type Seen = Rc<RefCell<Vec<(Signal, usize)>>>;

/// Runs `test` for both transports with a server that answers as `answer` says, by the signal and how often it was asked for that.
fn with_server<F: Future<Output = ()>>(
    answer: fn(Signal, &[u8], usize) -> Answer,
    mut test: impl FnMut(Endpoint, Seen) -> F,
) {
    for grpc in [true, false] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let endpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
            let access = Access { endpoint, tls: None, token: None, timeout: Duration::from_secs(10) };
            let seen = Seen::default();
            let taken = Rc::clone(&seen);
            let intake: Intake = Rc::new(move |request, _| {
                let before = taken.borrow().iter().filter(|(signal, _)| *signal == request.signal).count();
                taken.borrow_mut().push((request.signal, request.body.len()));
                Pending::settled(answer(request.signal, &request.body, before))
            });
            let limits = Limits::new(1 << 20, 1 << 21, 8);
            if grpc {
                tokio::task::spawn_local(sources::serve_grpc(listener, intake, limits));
                test(Endpoint::new(OtlpSink::grpc(access)), seen).await;
            } else {
                tokio::task::spawn_local(sources::serve_http(listener, intake, limits));
                test(Endpoint::new(OtlpSink::http(access)), seen).await;
            }
        });
    }
}

/// Scenario: a server refuses the lines of a block for good and takes its spans. Guarantees: the spans are sent once and count as
/// delivered, the lines as rejected, and the lines' requests are given back (P1).
#[test]
fn r4_a_refusal_of_one_signal_books_that_one_only() {
    with_server(
        |signal, _, _| if signal == Signal::Logs { Answer::Bad("no lines here".into()) } else { Answer::Accepted },
        |mut sink, seen| async move {
            let delivered = sink.deliver(&block(&["a", "b"])).await.unwrap();
            assert_eq!((delivered.delivered, delivered.rejected, delivered.refused.len()), (2, 2, 2));
            let refused = &delivered.refused[1];
            assert_eq!((refused.signal, refused.records, &refused.request), (Signal::Logs, 1, &record("b")));
            assert!(refused.words.contains("no lines here"), "{}", refused.words);
            assert_eq!(seen.borrow().iter().filter(|(signal, _)| *signal == Signal::Traces).count(), 1);
        },
    );
}

/// Scenario: the spans of a block find the server busy twice, its lines go at once. Guarantees: the lines do not wait for the spans, and
/// are not sent again with them (P1).
#[test]
fn r4_what_was_taken_is_not_sent_again() {
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
            // All at once, the first, the second when the server was busy; then the second and the third.
            assert_eq!(seen.borrow().iter().filter(|(signal, _)| *signal == Signal::Logs).count(), 5);
        },
    );
}
