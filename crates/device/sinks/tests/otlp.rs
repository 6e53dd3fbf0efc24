//! OTLP sinks against this house's own OTLP sources, over real sockets.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use drain::{Delivered, SendError};
use model::proto::{put_bytes, put_message};
use model::{Lane, Signal};
use sinks::{Access, Coding, OtlpSink};
use sources::{Answer, Request};
use tokio::net::TcpListener;
use wire::SectionRef;

use crate::support::Endpoint;

/// A `TracesData` of one span with this name.
fn traces(name: &str) -> Vec<u8> {
    let mut request = Vec::new();
    put_message(&mut request, 1, |out| {
        put_message(out, 2, |out| put_message(out, 2, |out| put_bytes(out, 5, name.as_bytes())));
    });
    request
}

/// A block of one frame for each span.
fn block(names: &[&str]) -> Vec<u8> {
    let spans: Vec<Vec<u8>> = names.iter().map(|name| traces(name)).collect();
    let sections: Vec<[SectionRef<'_>; 1]> = spans.iter().map(|span| [SectionRef::Traces(span)]).collect();
    let frames: Vec<&[SectionRef<'_>]> = sections.iter().map(<[_; 1]>::as_slice).collect();
    support::block(Lane::Traces, &frames)
}

type Seen = Rc<RefCell<Vec<(Signal, Vec<u8>)>>>;

/// Runs `test` for both transports and all codings with a server that answers as `answer` says.
fn with_server<F: Future<Output = ()>>(answer: fn(&[u8]) -> Answer, mut test: impl FnMut(Endpoint, Seen) -> F) {
    let codings = [None, Some(Coding::Gzip), Some(Coding::Zstd)];
    for (grpc, coding) in [true, false].into_iter().flat_map(|grpc| codings.map(|coding| (grpc, coding))) {
        let seen = Seen::default();
        let taken = Rc::clone(&seen);
        let answer = move |request: Request| {
            let answer = answer(&request.body);
            taken.borrow_mut().push((request.signal, request.body));
            answer
        };
        support::with_server(grpc, coding, answer, async |endpoint| test(endpoint, seen).await);
    }
}

/// Scenario: a block of two frames goes to a server that takes everything, twice over one connection.
/// Guarantees: the server gets the block's spans as one OTLP request, and all are counted as delivered (P1).
#[test]
fn a_block_arrives_as_otlp() {
    with_server(
        |_| Answer::Accepted,
        |mut sink, seen| async move {
            for _ in 0..2 {
                let delivered = sink.deliver(&block(&["first", "second"])).await.unwrap();
                assert_eq!(delivered, Delivered { delivered: 2, ..Delivered::default() });
            }
            let both: Vec<u8> = [traces("first"), traces("second")].concat();
            assert_eq!(*seen.borrow(), vec![(Signal::Traces, both.clone()), (Signal::Traces, both)]);
        },
    );
}

/// Scenario: the server is out of room. Guarantees: nothing is decided, and the server's wish is heard (P3).
#[test]
fn a_busy_server_means_later() {
    with_server(
        |_| Answer::Wait(Duration::from_secs(7)),
        |mut sink, _| async move {
            let error = sink.deliver(&block(&["first"])).await.unwrap_err();
            assert!(matches!(error, SendError::Retry { .. }), "{error}");
        },
    );
}

/// Scenario: the server refuses one span for good. Guarantees: only its frame is rejected, the others arrive (P1).
#[test]
fn a_poisoned_frame_costs_only_itself() {
    with_server(
        |request| {
            let poisoned = request.windows(6).any(|window| window == b"poison");
            if poisoned { Answer::Bad("poison".into()) } else { Answer::Accepted }
        },
        |mut sink, _| async move {
            let delivered = sink.deliver(&block(&["a", "poison", "b"])).await.unwrap();
            assert_eq!((delivered.delivered, delivered.rejected), (2, 1));
            assert_eq!(delivered.refused[0].request, traces("poison"));
        },
    );
}

/// Scenario: nobody listens; a server that is no OTLP server. Guarantees: later, or an operator's matter; never a loss (P3).
#[test]
fn a_missing_server_means_later() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        for grpc in [true, false] {
            let endpoint = format!("http://{free}").parse().unwrap();
            let access = Access {
                endpoint,
                credentials: Default::default(),
                route: Default::default(),
                timeout: Duration::from_secs(2),
            };
            let mut sink = if grpc {
                Endpoint::new(OtlpSink::grpc(access, None))
            } else {
                Endpoint::new(OtlpSink::http(access, false, None))
            };
            let error = sink.deliver(&block(&["a"])).await.unwrap_err();
            assert!(matches!(error, SendError::Retry { .. }), "{error}");
        }
    });
}
