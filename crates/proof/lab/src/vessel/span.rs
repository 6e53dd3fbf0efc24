//! The spans of one request, as its instrumentation would end them.

use crate::otlp::value::{attribute, int, text};
use crate::vessel::fate::{Fate, PlannedSpan};
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::{Span, Status, status::StatusCode};

/// The attribute of a root span that carries the request's number in the run.
pub(crate) const REQUEST: &str = "vessel.request";

/// The service's name, as the hub shows it.
pub(crate) const SERVICE: &str = "vessel-app";

/// The resource of everything that the application emits.
pub(crate) fn resource() -> Resource {
    let attributes = [
        ("service.name", SERVICE),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("deployment.environment.name", "edge"),
        ("vessel.name", "Fehmarnbelt"),
        ("telemetry.sdk.language", "rust"),
    ];
    Resource {
        attributes: attributes.iter().map(|(key, value)| attribute(key, text(value))).collect(),
        ..Resource::default()
    }
}

/// The instrumentation scope of everything that the application emits.
pub(crate) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "vessel/http".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

/// The spans of a request that ended at `end_ns` (wall clock), the root first.
pub(crate) fn spans_of(fate: &Fate, end_ns: u64) -> Vec<Span> {
    let start_ns = end_ns - fate.length_ns();
    let root_id = fate.spans.first().map(|span| span.id.0.to_vec()).unwrap_or_default();
    let build = |(index, planned): (usize, &PlannedSpan)| {
        let mut span = Span {
            trace_id: fate.trace.0.to_vec(),
            span_id: planned.id.0.to_vec(),
            // W3C trace flags: sampled.
            flags: 1,
            name: planned.name.clone(),
            start_time_unix_nano: start_ns + planned.start_ns,
            end_time_unix_nano: start_ns + planned.end_ns,
            ..Span::default()
        };
        if index == 0 {
            fill_root(&mut span, fate);
        } else {
            span.parent_span_id.clone_from(&root_id);
            span.kind = SpanKind::Internal.into();
        }
        span
    };
    fate.spans.iter().enumerate().map(build).collect()
}

fn fill_root(span: &mut Span, fate: &Fate) {
    let route = fate.endpoint().route;
    span.kind = SpanKind::Server.into();
    span.attributes = vec![
        attribute("http.request.method", text("GET")),
        attribute("http.route", text(route)),
        attribute("url.path", text(route)),
        attribute("http.response.status_code", int(fate.status())),
        attribute(REQUEST, int(fate.number.cast_signed())),
    ];
    if fate.fails {
        span.status =
            Some(Status { code: StatusCode::Error.into(), message: "sensor communication failure".to_owned() });
        span.events.push(event(
            span.end_time_unix_nano,
            "exception",
            vec![
                attribute("exception.type", text("SensorError")),
                attribute("exception.message", text("sensor communication failure")),
            ],
        ));
    }
    if fate.warns {
        let middle = span.start_time_unix_nano.midpoint(span.end_time_unix_nano);
        let sensor = vec![attribute("sensor", text("oil pressure"))];
        span.events.push(event(middle, "out-of-range-warning", sensor));
    }
}

fn event(time_unix_nano: u64, name: &str, attributes: Vec<KeyValue>) -> Event {
    Event { time_unix_nano, name: name.to_owned(), attributes, dropped_attributes_count: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: spans of four hundred requests, some failed. Guarantees: one root with the published attributes, status
    /// error exactly for HTTP 500, children under it, and times that end at the given one.
    #[test]
    fn a_request_becomes_a_root_with_children() {
        const END: u64 = 1_763_716_800_000_000_000;
        for fate in (0..400).map(|number| Fate::decide(5, number, Some(20))) {
            let spans = spans_of(&fate, END);
            assert_eq!(spans.len(), 1 + fate.endpoint().steps.len());
            assert_eq!(spans.iter().map(|span| span.end_time_unix_nano).max(), Some(END));
            let earliest = spans.iter().map(|span| span.start_time_unix_nano).min().unwrap();
            assert_eq!(END - earliest, fate.length_ns());
            let (root, children) = spans.split_first().unwrap();
            assert!(root.parent_span_id.is_empty());
            assert!(
                children.iter().all(|child| child.parent_span_id == root.span_id && child.trace_id == root.trace_id)
            );
            let failed = root.status.as_ref().is_some_and(|status| status.code == 2);
            assert_eq!(failed, fate.fails);
            let code = root.attributes.iter().find(|found| found.key == "http.response.status_code").unwrap();
            assert_eq!(code, &attribute("http.response.status_code", int(if failed { 500 } else { 200 })));
        }
    }
}
