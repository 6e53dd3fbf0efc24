//! `GET /api/v0/traces` and `GET /api/v0/traces/{id}`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use model::{Signal, SpanId, TraceId};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use serde::Serialize;
use serde_json::{Value, json};
use store::query::{QueryError, SpanQuery, TimeRange, TraceKey, TraceQuery, TraceSummary};
use store::rows::SpanRow;

use super::params::{Params, trace_id};
use super::{Answer, ApiError, render};
use crate::app::App;
use crate::clock;
use crate::json::{Json, rows};

fn write_after((start, trace): TraceKey) -> String {
    format!("{start}-{trace}")
}

fn read_after(text: &str) -> Result<TraceKey, ApiError> {
    let parts = text.split_once('-').and_then(|(start, id)| Some((start.parse().ok()?, TraceId::from_hex(id)?)));
    parts.ok_or_else(|| ApiError::bad_request(format!("after={text} cannot be read"), "pass `next` of the page before"))
}

pub(super) async fn search(State(app): State<Arc<App>>, params: Params) -> Answer {
    params.only(&["q", "service", "operation", "error", "min_duration", "start", "end", "limit", "after"])?;
    let (filter, pipes) = params.filter()?;
    let (range, service, operation) = (params.range()?, params.text("service"), params.text("operation"));
    if !pipes.is_empty() {
        params.without(&["error", "min_duration", "limit", "after"])?;
        let query = SpanQuery { range, service, operation, filter };
        let answer = app.query(params.scope(), move |store| {
            let table = store.span_table(&query, &pipes)?;
            let completeness = store.completeness(&[Signal::Traces], range, clock::now_ns());
            Ok::<_, QueryError>(Json::of(&render::table(&table, &completeness)))
        });
        return Ok(answer.await??);
    }
    let query = TraceQuery {
        range,
        service,
        operation,
        filter,
        errors_only: params.flag("error")?,
        min_duration_ns: params.duration_ns("min_duration")?.unwrap_or(0),
        limit: params.limit(100)?,
        after: params.get("after").map(read_after).transpose()?,
    };
    let answer = app.query(params.scope(), move |store| {
        let page = store.traces(&query);
        let completeness = store.completeness(&[Signal::Traces], query.range, clock::now_ns());
        Json::of(&Page {
            traces: rows(page.traces.iter().map(summary)),
            completeness: render::completeness(&completeness),
            next: page.next.map(write_after),
        })
    });
    answer.await
}

#[derive(Serialize)]
struct Page<T, C> {
    traces: T,
    completeness: C,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

fn summary(trace: &TraceSummary) -> Value {
    json!({
        "trace_id": trace.trace_id.to_string(),
        "root_service": trace.root_service,
        "root_name": trace.root_name,
        "start": render::ns(trace.start),
        "duration_ns": render::ns(trace.duration_ns),
        "spans": trace.spans,
        "stored_spans": trace.stored_spans,
        "errors": trace.errors,
        "logs": trace.logs,
        "device": trace.device,
    })
}

pub(super) async fn by_id(State(app): State<Arc<App>>, Path(id): Path<String>, params: Params) -> Answer {
    params.only(&[])?;
    let id = trace_id(&id)?;
    let answer = app.query(params.scope(), move |store| {
        let trace = store.trace(id)?;
        let starts = trace.spans.iter().map(|row| row.span.start_time_unix_nano);
        let ends = trace.spans.iter().map(|row| row.span.end_time_unix_nano);
        let range = TimeRange { from: starts.min().unwrap_or(0), to: ends.max().unwrap_or(0).saturating_add(1) };
        let completeness = store.completeness(&[Signal::Traces], range, clock::now_ns());
        let device = trace.spans.first().map(|row| row.origin.device.to_string()).unwrap_or_default();
        Some(Json::of(&Whole {
            trace_id: id.to_string(),
            device,
            spans: rows(trace.spans.iter().map(span)),
            stored_spans: trace.stored_spans,
            duplicate_spans: trace.stored_spans - trace.spans.len(),
            logs: trace.logs,
            stored_logs: trace.stored_logs,
            missing_parents: trace.missing_parents,
            completeness: render::completeness(&completeness),
        }))
    });
    answer.await?.ok_or_else(|| {
        ApiError::new(
            StatusCode::NOT_FOUND,
            format!("no trace {id} is stored"),
            "it may have been sampled out, still be on its device (see /api/v0/coverage), or be past retention",
        )
    })
}

#[derive(Serialize)]
struct Whole<S, C> {
    trace_id: String,
    device: String,
    spans: S,
    stored_spans: usize,
    duplicate_spans: usize,
    logs: usize,
    stored_logs: usize,
    missing_parents: usize,
    completeness: C,
}

/// OTLP's words for span kinds, without their prefix.
const KINDS: [&str; 6] = ["unspecified", "internal", "server", "client", "producer", "consumer"];
const STATUSES: [&str; 3] = ["unset", "ok", "error"];

fn word<'w>(words: &[&'w str], number: i32) -> &'w str {
    usize::try_from(number).ok().and_then(|number| words.get(number)).copied().unwrap_or(words[0])
}

/// A span with all that it has.
pub(super) fn span(row: &SpanRow) -> Value {
    let (span, origin) = (&row.span, &row.origin);
    let status = span.status.clone().unwrap_or_default();
    json!({
        "span_id": row.span_id().to_string(),
        "parent_id": SpanId::from_bytes(&span.parent_span_id).map(|id| id.to_string()),
        "name": span.name,
        "kind": word(&KINDS, span.kind),
        "service": origin.service,
        "device": &*origin.device,
        "start": render::ns(span.start_time_unix_nano),
        "end": render::ns(span.end_time_unix_nano),
        "status": {"code": word(&STATUSES, status.code), "message": status.message},
        "attributes": render::list(&span.attributes),
        "events": span.events.iter().map(event).collect::<Vec<Value>>(),
        "links": span.links.iter().map(link).collect::<Vec<Value>>(),
        "scope": render::scope(&origin.scope),
        "resource": render::list(&origin.resource.attributes),
        "trace_state": span.trace_state,
        "dropped": {
            "attributes": span.dropped_attributes_count,
            "events": span.dropped_events_count,
            "links": span.dropped_links_count,
        },
    })
}

fn event(event: &Event) -> Value {
    json!({"time": render::ns(event.time_unix_nano), "name": event.name, "attributes": render::list(&event.attributes)})
}

fn link(link: &Link) -> Value {
    json!({
        "trace_id": TraceId::from_bytes(&link.trace_id).unwrap_or_default().to_string(),
        "span_id": SpanId::from_bytes(&link.span_id).unwrap_or_default().to_string(),
        "trace_state": link.trace_state,
        "attributes": render::list(&link.attributes),
    })
}
