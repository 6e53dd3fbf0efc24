//! `GET /api/v0/logs`.

use std::sync::Arc;

use axum::extract::State;
use model::{Signal, SpanId};
use serde::Serialize;
use serde_json::{Value, json};
use store::query::{LogKey, LogQuery, QueryError, TimeRange};
use store::rows::LogRow;

use super::params::Params;
use super::{Answer, ApiError, render};
use crate::app::App;
use crate::clock;
use crate::json::{Json, rows};

/// The first severity number of each range (OpenTelemetry logs data model, "Severity Fields").
const SEVERITIES: [(&str, i32); 6] =
    [("trace", 1), ("debug", 5), ("info", 9), ("warn", 13), ("error", 17), ("fatal", 21)];

fn write_after((time, order, index): LogKey) -> String {
    format!("{time}-{order}-{index}")
}

fn read_after(text: &str) -> Result<LogKey, ApiError> {
    let mut parts = text.split('-');
    let mut part = || parts.next()?.parse::<u64>().ok();
    let key = part()
        .zip(part())
        .zip(part())
        .and_then(|((time, order), index)| Some((time, order, u32::try_from(index).ok()?)));
    key.ok_or_else(|| ApiError::bad_request(format!("after={text} cannot be read"), "pass `next` of the page before"))
}

fn severity(text: &str) -> Result<i32, ApiError> {
    let named = SEVERITIES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, number)| *number);
    let number = named.or_else(|| text.parse().ok().filter(|number| (0..=24).contains(number)));
    number.ok_or_else(|| {
        ApiError::bad_request(
            format!("min_severity={text} cannot be read"),
            "trace, debug, info, warn, error, fatal, or an OpenTelemetry severity number up to 24",
        )
    })
}

pub(super) async fn search(State(app): State<Arc<App>>, params: Params) -> Answer {
    params.only(&[
        "trace_id",
        "span_id",
        "service",
        "min_severity",
        "text",
        "q",
        "start",
        "end",
        "limit",
        "order",
        "after",
    ])?;
    let trace_id = params.trace_id()?;
    let ascending = match params.get("order") {
        None => trace_id.is_some(),
        Some("asc") => true,
        Some("desc") => false,
        Some(order) => {
            return Err(ApiError::bad_request(format!("order={order} cannot be read"), "asc or desc"));
        }
    };
    // The lines of a trace are asked for whole; without bounds their time does not matter.
    let is_bound = params.get("start").is_some() || params.get("end").is_some();
    let range = if trace_id.is_some() && !is_bound { TimeRange::ALL } else { params.range()? };
    let (filter, pipes) = params.filter()?;
    let query = LogQuery {
        range,
        trace_id,
        span_id: params.span_id()?,
        service: params.text("service"),
        min_severity: params.get("min_severity").map(severity).transpose()?.unwrap_or(0),
        text: params.text("text"),
        filter,
        ascending,
        limit: params.limit(500)?,
        after: params.get("after").map(read_after).transpose()?,
    };
    if !pipes.is_empty() {
        params.without(&["limit", "order", "after"])?;
        let answer = app.query(params.scope(), move |store| {
            let table = store.log_table(&query, &pipes)?;
            let range = if query.range == TimeRange::ALL { table.seen } else { query.range };
            let completeness = store.completeness(&[Signal::Logs], range, clock::now_ns());
            Ok::<_, QueryError>(Json::of(&render::table(&table, &completeness)))
        });
        return Ok(answer.await??);
    }
    let answer = app.query(params.scope(), move |store| {
        let page = store.logs(&query);
        let range = if query.range == TimeRange::ALL {
            let times = || page.logs.iter().map(LogRow::time);
            TimeRange { from: times().min().unwrap_or(0), to: times().max().unwrap_or(0).saturating_add(1) }
        } else {
            query.range
        };
        let completeness = store.completeness(&[Signal::Logs], range, clock::now_ns());
        Json::of(&Page {
            logs: rows(page.logs.iter().map(log_record)),
            stored: page.stored,
            completeness: render::completeness(&completeness),
            next: page.next.map(write_after),
        })
    });
    answer.await
}

#[derive(Serialize)]
struct Page<L, C> {
    logs: L,
    stored: usize,
    completeness: C,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A log record with all that it has.
pub(super) fn log_record(row: &LogRow) -> Value {
    let (record, origin) = (&row.record, &row.origin);
    let mut line = json!({
        "time": render::ns(row.time()),
        "observed": render::ns(record.observed_time_unix_nano),
        "severity_number": record.severity_number,
        "severity_text": record.severity_text,
        "body": record.body.as_ref().map_or(Value::Null, render::value),
        "service": origin.service,
        "device": &*origin.device,
        "attributes": render::list(&record.attributes),
        "resource": render::list(&origin.resource.attributes),
        "scope": render::scope(&origin.scope),
    });
    if let Some(trace) = row.trace_id() {
        line["trace_id"] = json!(trace.to_string());
    }
    if let Some(span) = SpanId::from_bytes(&record.span_id) {
        line["span_id"] = json!(span.to_string());
    }
    if !record.event_name.is_empty() {
        line["event_name"] = json!(record.event_name);
    }
    line
}
