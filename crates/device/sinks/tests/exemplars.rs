//! Exemplars on their way to an OTLP endpoint, over real sockets.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use drain::{ExemplarCounts, SendError};
use model::otlp::{PointView, each_exemplar, for_each_scope};
use model::proto::{ProtoError, put_bytes, put_fixed64, put_message};
use model::{Lane, Signal, TraceId};
use sources::{Answer, Request};
use wire::SectionRef;

use crate::support::{Endpoint, block};

/// Gauge, sum, histogram, exponential histogram: the kinds of points with exemplars.
const KINDS: [u32; 4] = [5, 7, 9, 10];

fn trace(number: u8) -> [u8; 16] {
    [number; 16]
}

fn span(number: u8) -> Vec<u8> {
    let mut request = Vec::new();
    put_message(&mut request, 1, |out| {
        put_message(out, 2, |out| put_message(out, 2, |out| put_bytes(out, 1, &trace(number))));
    });
    request
}

fn attribute(out: &mut Vec<u8>, number: u32, text: &str) {
    put_message(out, number, |out| {
        put_bytes(out, 1, b"route");
        put_message(out, 2, |out| put_bytes(out, 1, text.as_bytes()));
    });
}

/// An `ExemplarsData` of one exemplar at this time.
fn exemplar(number: u8, route: &str, time_ns: u64) -> Vec<u8> {
    let mut data = Vec::new();
    put_message(&mut data, 1, |out| {
        put_message(out, 1, |_| ());
        put_message(out, 2, |_| ());
        put_bytes(out, 3, b"requests");
        attribute(out, 5, route);
        put_message(out, 6, |out| {
            put_fixed64(out, 2, time_ns);
            put_fixed64(out, 3, 1.5f64.to_bits());
            put_bytes(out, 5, &trace(number));
        });
    });
    data
}

/// A request of one point for each route, at this time.
fn points(kind: u32, routes: &[&str], time_ns: u64) -> Vec<u8> {
    let numbers = PointView { kind, bytes: &[] }.field_numbers();
    let mut request = Vec::new();
    put_message(&mut request, 1, |out| {
        put_message(out, 1, |_| ());
        put_message(out, 2, |out| {
            put_message(out, 1, |_| ());
            put_message(out, 2, |out| {
                put_bytes(out, 1, b"requests");
                put_message(out, kind, |out| {
                    for route in routes {
                        put_message(out, 1, |out| {
                            attribute(out, numbers.0, route);
                            put_fixed64(out, 3, time_ns);
                        });
                    }
                });
            });
        });
    });
    request
}

fn kept(number: u8, route: &str, time_ns: u64) -> Vec<u8> {
    block(
        Lane::Traces,
        &[&[SectionRef::Traces(&span(number)), SectionRef::Exemplars(&exemplar(number, route, time_ns))]],
    )
}

fn metrics(kind: u32, routes: &[&str], time_ns: u64) -> Vec<u8> {
    block(Lane::Metrics, &[&[SectionRef::Metrics(&points(kind, routes, time_ns))]])
}

/// (position of the point, trace) of every exemplar of a request.
fn exemplars(request: &[u8]) -> Vec<(usize, TraceId)> {
    let (mut found, mut position) = (Vec::new(), 0);
    for_each_scope::<ProtoError>(request, |scope| {
        for metric in scope.items() {
            PointView::for_each::<ProtoError>(metric?, |point| {
                each_exemplar::<ProtoError>(point, |trace, _| {
                    found.push((position, trace.unwrap()));
                    Ok(())
                })?;
                position += 1;
                Ok(())
            })?;
        }
        Ok(())
    })
    .unwrap();
    found
}

/// How a server answers a request.
type Rule = fn(Signal, &[u8]) -> Answer;

/// A server that answers as it is told, and what it took or refused of points, newest last.
struct Server {
    answer: Rc<Cell<Rule>>,
    points: Rc<RefCell<Vec<Vec<u8>>>>,
}

impl Server {
    fn exemplars(&self) -> Vec<(usize, TraceId)> {
        exemplars(self.points.borrow().last().unwrap())
    }
}

fn with_server(test: impl AsyncFnOnce(Endpoint, Server)) {
    let yes: Rule = |_, _| Answer::Accepted;
    let server = Server { answer: Rc::new(Cell::new(yes)), points: Rc::default() };
    let (answer, points) = (Rc::clone(&server.answer), Rc::clone(&server.points));
    let answer = move |request: Request| {
        let answer = answer.get()(request.signal, &request.body);
        if request.signal == Signal::Metrics {
            points.borrow_mut().push(request.body);
        }
        answer
    };
    support::with_server(true, Some(sinks::Coding::Gzip), answer, async |endpoint| test(endpoint, server).await);
}

/// Scenario: a kept trace with an exemplar, then points of its series and of another one, for each kind of point.
/// Guarantees: the exemplar goes with the first point of its series that is not older, and only once (P5).
#[test]
fn an_exemplar_follows_its_trace() {
    with_server(async |mut sink, server| {
        for (number, kind) in (1..).zip(KINDS) {
            sink.deliver(&metrics(kind, &["/a", "/b"], 100)).await.unwrap();
            assert_eq!(server.exemplars(), []);
            sink.deliver(&kept(number, "/b", 90)).await.unwrap();
            sink.deliver(&metrics(kind, &["/a", "/b"], 80)).await.unwrap();
            assert_eq!(server.exemplars(), [], "the point is older than its exemplar");
            sink.deliver(&metrics(kind, &["/a", "/b"], 100)).await.unwrap();
            assert_eq!(server.exemplars(), [(1, TraceId(trace(number)))]);
            sink.deliver(&metrics(kind, &["/b"], 110)).await.unwrap();
            assert_eq!(server.exemplars(), []);
        }
        assert_eq!(sink.exemplar_counts(), ExemplarCounts { sent: 4, left_out: 0 });
    });
}

/// Scenario: the server has no time for the trace; it refuses one trace of two for good; an exemplar comes later than its
/// trace. Guarantees: only what links to a confirmed trace goes (P5).
#[test]
fn only_confirmed_traces_are_linked_to() {
    with_server(async |mut sink, server| {
        let two = block(
            Lane::Traces,
            &[
                &[SectionRef::Traces(&span(1)), SectionRef::Exemplars(&exemplar(1, "/a", 5))],
                &[SectionRef::Traces(&span(2)), SectionRef::Exemplars(&exemplar(2, "/a", 5))],
            ],
        );
        server.answer.set(|_, _| Answer::Wait(Duration::from_secs(1)));
        assert!(matches!(sink.deliver(&two).await, Err(SendError::Retry { .. })));
        server.answer.set(|_, _| Answer::Accepted);
        sink.deliver(&metrics(9, &["/a"], 10)).await.unwrap();
        assert_eq!(server.exemplars(), []);
        server.answer.set(|signal, body| {
            let poisoned = signal == Signal::Traces && body.windows(16).any(|bytes| bytes == [1; 16]);
            if poisoned { Answer::Bad("no".into()) } else { Answer::Accepted }
        });
        assert_eq!(sink.deliver(&two).await.unwrap().rejected, 1);
        let late = |number| block(Lane::Traces, &[&[SectionRef::Exemplars(&exemplar(number, "/a", 6))]]);
        sink.deliver(&late(2)).await.unwrap();
        sink.deliver(&late(1)).await.unwrap();
        sink.deliver(&metrics(9, &["/a"], 10)).await.unwrap();
        assert_eq!(server.exemplars(), [(0, TraceId(trace(2))), (0, TraceId(trace(2)))]);
        // Those of the trace that was refused.
        assert_eq!(sink.exemplar_counts(), ExemplarCounts { sent: 2, left_out: 2 });
    });
}

/// Scenario: the server has no time for the points, then takes them; it refuses points for their exemplars. Guarantees: they
/// come with the next try; points are never lost for their exemplars' sake (P1).
#[test]
fn exemplars_cost_no_points() {
    with_server(async |mut sink, server| {
        sink.deliver(&kept(1, "/a", 5)).await.unwrap();
        server.answer.set(|_, _| Answer::Wait(Duration::from_secs(1)));
        assert!(sink.deliver(&metrics(5, &["/a"], 10)).await.is_err());
        server.answer.set(|_, _| Answer::Accepted);
        sink.deliver(&metrics(5, &["/a"], 10)).await.unwrap();
        assert_eq!(server.exemplars(), [(0, TraceId(trace(1)))]);
        sink.deliver(&kept(2, "/a", 5)).await.unwrap();
        server.answer.set(|signal, body| {
            let refused = signal == Signal::Metrics && !exemplars(body).is_empty();
            if refused { Answer::Bad("no exemplars".into()) } else { Answer::Accepted }
        });
        let delivered = sink.deliver(&metrics(5, &["/a"], 20)).await.unwrap();
        assert_eq!((delivered.delivered, delivered.rejected), (1, 0));
        assert_eq!(server.exemplars(), []);
        assert_eq!(sink.exemplar_counts(), ExemplarCounts { sent: 1, left_out: 1 });
    });
}

/// Scenario: exemplars whose points never come, more than there is room for. Guarantees: the oldest ones go, and are counted
/// (P9); the newest is there when its point comes.
#[test]
fn what_waits_for_points_is_bounded() {
    with_server(async |mut sink, server| {
        const COUNT: u64 = 1_000;
        for time in 0..COUNT {
            sink.deliver(&kept(1, &format!("/{time}"), time)).await.unwrap();
        }
        let left_out = sink.exemplar_counts().left_out;
        assert!((1..COUNT).contains(&left_out), "{left_out}");
        sink.deliver(&metrics(9, &["/0", "/999"], COUNT)).await.unwrap();
        assert_eq!(server.exemplars(), [(1, TraceId(trace(1)))]);
    });
}
