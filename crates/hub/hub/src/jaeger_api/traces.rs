//! Search, and traces by their ids.

use std::sync::Arc;

use axum::extract::{Path, State};
use model::{Signal, TraceId};
use store::query::{Scoped, TimeRange, TraceQuery, goes_on};

use super::answer::{Answer, Failure, Missing, success};
use super::model::{Trace, trace_text};
use super::params::{self, Params};
use crate::app::App;
use crate::json::rows;
use crate::{clock, told};

/// The time of spans, from their earliest start to their latest end.
fn range_of<'a>(spans: impl Iterator<Item = &'a store::rows::SpanRow> + Clone) -> TimeRange {
    let from = spans.clone().map(|row| row.span.start_time_unix_nano).min().unwrap_or(0);
    let to = spans.map(|row| row.span.end_time_unix_nano).max().unwrap_or(0);
    TimeRange { from, to: to.max(from).saturating_add(1) }
}

/// `GET /jaeger/api/traces`: the newest traces that start in the time and have a span that is meant, or those of `traceID`.
pub(super) async fn search(State(app): State<Arc<App>>, params: Params) -> Answer {
    let ids = params.trace_ids()?;
    if !ids.is_empty() {
        return by_ids(&app, &params, ids).await;
    }
    let service = params.text("service");
    let service = Some(service.ok_or_else(|| Failure::bad_request("parameter 'service' is required"))?);
    let query = TraceQuery {
        range: params.range()?,
        service,
        operation: params.text("operation"),
        filter: Some(params.filter()?),
        errors_only: false,
        min_duration_ns: 0,
        limit: params.limit()?,
        after: None,
    };
    let answer = app.query(params.scope(), move |store| {
        let page = store.traces(&query);
        let completeness = store.completeness(&[Signal::Traces], query.range, clock::now_ns());
        let warnings: Vec<String> = told::sentence(&completeness).into_iter().collect();
        // One trace after the other is in memory.
        let traces = page.traces.iter().take_while(|_| goes_on()).map(|found| {
            let spans = store.spans_of(found.trace_id);
            Trace::new(spans, warnings.clone())
        });
        (told::header(&completeness), success(rows(traces), 0, &[]))
    });
    Ok(answer.await?)
}

/// Traces by their ids; those that are not there are errors beside the others.
async fn by_ids(app: &Arc<App>, params: &Params, ids: Vec<TraceId>) -> Answer {
    let answer = app.query(params.scope(), move |store| {
        let (there, gone): (Vec<TraceId>, Vec<TraceId>) = ids.into_iter().partition(|id| store.has_trace(*id));
        let missing: Vec<Missing> = gone.into_iter().map(|id| Missing::new(trace_text(id))).collect();
        let range = there.iter().map(|id| range_of(store.spans_of(*id).rows.iter()));
        let all = range.reduce(|a, b| TimeRange { from: a.from.min(b.from), to: a.to.max(b.to) });
        let range = all.unwrap_or(TimeRange { from: 0, to: 1 });
        let completeness = store.completeness(&[Signal::Traces], range, clock::now_ns());
        let traces = there.iter().take_while(|_| goes_on()).map(|id| whole(store, *id));
        (told::header(&completeness), success(rows(traces), 0, &missing))
    });
    Ok(answer.await?)
}

/// A trace with what its time lacks.
fn whole(store: Scoped<'_>, id: TraceId) -> Trace {
    let spans = store.spans_of(id);
    let completeness = store.completeness(&[Signal::Traces], range_of(spans.rows.iter()), clock::now_ns());
    Trace::new(spans, told::sentence(&completeness).into_iter().collect())
}

/// `GET /jaeger/api/traces/{id}`: everything stored of it, whatever `start` and `end` say.
pub(super) async fn by_id(State(app): State<Arc<App>>, Path(id): Path<String>, params: Params) -> Answer {
    let id = params::trace_id(&id)?;
    let answer = app.query(params.scope(), move |store| {
        let spans = store.spans_of(id);
        let completeness = store.completeness(&[Signal::Traces], range_of(spans.rows.iter()), clock::now_ns());
        if spans.rows.is_empty() {
            return Err(Failure::no_trace());
        }
        let warnings = told::sentence(&completeness).into_iter().collect();
        let traces = std::iter::once(Trace::new(spans, warnings));
        Ok((told::header(&completeness), success(rows(traces), 0, &[])))
    });
    answer.await?
}
