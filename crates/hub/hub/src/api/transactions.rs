//! `GET /api/v0/transactions/{id}`: the trail of one transaction, over spans and log records of all devices.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Path, State};
use model::{Signal, TraceId};
use serde::Serialize;
use serde_json::{Value, json};
use store::query::{LogKey, LogQuery, Scoped, TimeRange, TraceQuery};
use store::rows::{LogRow, SpanRow};

use super::params::Params;
use super::{Answer, ApiError, logs, render, traces};
use crate::app::App;
use crate::clock;
use crate::json::{Json, rows};

/// The most traces of one transaction.
const MAX_TRACES: usize = 200;
/// The longest id.
const MAX_ID: usize = 256;

/// What is known of a transaction.
struct Trail {
    spans: Vec<(TraceId, SpanRow)>,
    /// Each log record once: one may be found by its own attribute and by its trace.
    lines: BTreeMap<LogKey, LogRow>,
    traces: Vec<TraceId>,
    /// Whether there are more traces or log records than are looked at.
    is_cut: bool,
}

/// A request for the log records that pass a filter, or of a trace.
fn lines(range: TimeRange, filter: Option<filter::Filter>, trace_id: Option<TraceId>, limit: usize) -> LogQuery {
    LogQuery {
        range,
        trace_id,
        span_id: None,
        service: None,
        min_severity: 0,
        text: None,
        filter,
        ascending: true,
        limit,
        after: None,
    }
}

impl Trail {
    /// Spans and log records that name the transaction, and all of the traces that these are of.
    fn find(store: &Scoped<'_>, filter: &filter::Filter, range: TimeRange, limit: usize) -> Self {
        let page = store.traces(&TraceQuery {
            range,
            service: None,
            operation: None,
            filter: Some(filter.clone()),
            errors_only: false,
            min_duration_ns: 0,
            limit: MAX_TRACES,
            after: None,
        });
        let named = store.logs(&lines(range, Some(filter.clone()), None, limit));
        let mut is_cut = page.next.is_some() || named.next.is_some();
        let mut ids: BTreeSet<TraceId> = page.traces.iter().map(|trace| trace.trace_id).collect();
        ids.extend(named.logs.iter().filter_map(LogRow::trace_id));
        is_cut |= ids.len() > MAX_TRACES;
        let key = |row: LogRow| ((row.time(), row.order, row.index), row);
        let mut trail = Self {
            spans: Vec::new(),
            lines: named.logs.into_iter().map(key).collect(),
            traces: ids.into_iter().take(MAX_TRACES).collect(),
            is_cut,
        };
        for id in &trail.traces {
            let of_trace = store.logs(&lines(TimeRange::ALL, None, Some(*id), limit));
            trail.is_cut |= of_trace.next.is_some();
            trail.lines.extend(of_trace.logs.into_iter().map(key));
            let spans = store.trace(*id).map(|trace| trace.spans).unwrap_or_default();
            trail.spans.extend(spans.into_iter().map(|span| (*id, span)));
        }
        trail
    }

    /// Its records in the order of their time.
    fn records(&self) -> Vec<Record<'_>> {
        let spans = self.spans.iter().map(|(id, row)| Record::Span(*id, row));
        let mut records: Vec<Record<'_>> = spans.chain(self.lines.values().map(Record::Log)).collect();
        records.sort_by_key(Record::time);
        records
    }
}

/// A record of a trail.
enum Record<'a> {
    Span(TraceId, &'a SpanRow),
    Log(&'a LogRow),
}

impl Record<'_> {
    fn time(&self) -> u64 {
        match self {
            Self::Span(_, row) => row.span.start_time_unix_nano,
            Self::Log(row) => row.time(),
        }
    }

    fn device(&self) -> &str {
        match self {
            Self::Span(_, row) => &row.origin.device,
            Self::Log(row) => &row.origin.device,
        }
    }

    fn render(&self) -> Value {
        match self {
            Self::Span(id, row) => {
                let mut span = traces::span(row);
                (span["signal"], span["trace_id"]) = (json!("span"), json!(id.to_string()));
                span
            }
            Self::Log(row) => {
                let mut record = logs::log_record(row);
                record["signal"] = json!("log");
                record
            }
        }
    }
}

pub(super) async fn by_id(State(app): State<Arc<App>>, Path(id): Path<String>, params: Params) -> Answer {
    params.only(&["key", "start", "end", "limit"])?;
    if id.is_empty() || id.len() > MAX_ID {
        let what = format!("the id of a transaction has 1 to {MAX_ID} bytes");
        return Err(ApiError::bad_request(what, "the value of the attribute that names the transaction"));
    }
    let key = params.text("key").filter(|key| !key.is_empty());
    let filter = filter::transaction(&id, &key.iter().map(String::as_str).collect::<Vec<_>>());
    let (range, limit) = (params.range()?, params.limit(1000)?);
    let answer = app.query(params.scope(), move |store| {
        let trail = Trail::find(&store, &filter, range, limit);
        let completeness = store.completeness(&[Signal::Traces, Signal::Logs], range, clock::now_ns());
        let records = trail.records();
        Json::of(&Transaction {
            devices: records.iter().map(Record::device).collect::<BTreeSet<&str>>(),
            traces: rows(trail.traces.iter().map(ToString::to_string)),
            left_out: records.len().saturating_sub(limit),
            more: trail.is_cut,
            records: rows(records.iter().take(limit).map(Record::render)),
            completeness: render::completeness(&completeness),
            transaction: id,
        })
    });
    answer.await
}

#[derive(Serialize)]
struct Transaction<'a, T, R, C> {
    transaction: String,
    devices: BTreeSet<&'a str>,
    traces: T,
    left_out: usize,
    more: bool,
    records: R,
    completeness: C,
}
