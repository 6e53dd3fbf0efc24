//! `GET /api/v0/red`, `/metrics`, `/metrics/range` and `/exemplars`.

use std::sync::Arc;

use axum::extract::State;
use model::{Signal, SpanId};
use opentelemetry_proto::tonic::metrics::v1::exemplar;
use serde::Serialize;
use serde_json::{Value, json};
use store::query::{
    ExemplarQuery, FoundExemplar, MetricInfo, MetricQuery, MetricSeries, QueryError, RedQuery, Reduce, Steps, TimeRange,
};

use super::params::Params;
use super::{Answer, ApiError, render};
use crate::app::App;
use crate::clock;
use crate::json::{Json, Rows, rows};

fn times(steps: Steps) -> Rows<impl Iterator<Item = Value>> {
    rows(steps.times().map(render::ns))
}

fn range_of(steps: Steps) -> TimeRange {
    TimeRange { from: steps.from, to: steps.to() }
}

pub(super) async fn red(State(app): State<Arc<App>>, params: Params) -> Answer {
    params.only(&["service", "operation", "device", "start", "end", "step"])?;
    let steps = params.steps()?;
    let query = RedQuery {
        service: params.text("service"),
        operation: params.text("operation"),
        device: params.text("device"),
        steps,
    };
    let answer = app.query(params.scope(), move |store| {
        let red = store.red(&query)?;
        let completeness = store.completeness(&[Signal::Metrics], range_of(steps), clock::now_ns());
        #[derive(Serialize)]
        struct Red<N, T, C> {
            step: Value,
            times: T,
            rate: N,
            errors: N,
            p50: N,
            p95: N,
            p99: N,
            completeness: C,
        }
        Ok::<_, QueryError>(Json::of(&Red {
            step: render::ns(steps.step_ns),
            times: times(steps),
            rate: render::numbers(&red.rate),
            errors: render::numbers(&red.errors),
            p50: render::numbers(&red.p50),
            p95: render::numbers(&red.p95),
            p99: render::numbers(&red.p99),
            completeness: render::completeness(&completeness),
        }))
    });
    Ok(answer.await??)
}

pub(super) async fn list(State(app): State<Arc<App>>, params: Params) -> Answer {
    params.only(&["start", "end"])?;
    let range = params.range()?;
    let answer = app.query(params.scope(), move |store| {
        let (metrics, completeness) =
            (store.metrics(range), store.completeness(&[Signal::Metrics], range, clock::now_ns()));
        let metric = |metric: &MetricInfo| {
            json!({
                "name": metric.name,
                "unit": metric.unit,
                "kind": metric.kind,
                "description": metric.description,
                "series": metric.series,
            })
        };
        #[derive(Serialize)]
        struct Metrics<M, C> {
            metrics: M,
            completeness: C,
        }
        Json::of(&Metrics {
            metrics: rows(metrics.iter().map(metric)),
            completeness: render::completeness(&completeness),
        })
    });
    answer.await
}

/// An epoch as devices show it; `null` where there is none.
fn epoch(epoch: u64) -> Value {
    if epoch == 0 { Value::Null } else { json!(model::Epoch(epoch).to_string()) }
}

fn reduce(func: Option<&str>) -> Result<Reduce, ApiError> {
    match func {
        None | Some("value") => Ok(Reduce::Value),
        Some("count") => Ok(Reduce::Count),
        Some("rate") => Ok(Reduce::Rate),
        Some("p50") => Ok(Reduce::Quantile(0.5)),
        Some("p95") => Ok(Reduce::Quantile(0.95)),
        Some("p99") => Ok(Reduce::Quantile(0.99)),
        Some(func) => {
            Err(ApiError::bad_request(format!("no such func: {func}"), "value, count, rate, p50, p95 or p99"))
        }
    }
}

pub(super) async fn range(State(app): State<Arc<App>>, params: Params) -> Answer {
    params.only(&["name", "start", "end", "step", "func", "match"])?;
    let Some(name) = params.text("name") else {
        return Err(ApiError::bad_request("name is missing", "GET /api/v0/metrics lists the names"));
    };
    let matches = params.all("match").map(|pair| {
        let parts = pair.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        parts.ok_or_else(|| ApiError::bad_request(format!("match={pair} cannot be read"), "match=key=value"))
    });
    let steps = params.steps()?;
    let query =
        MetricQuery { name, steps, reduce: reduce(params.get("func"))?, matches: matches.collect::<Result<_, _>>()? };
    let answer = app.query(params.scope(), move |store| {
        let answer = store.metric_range(&query)?;
        let completeness = store.completeness(&[Signal::Metrics], range_of(steps), clock::now_ns());
        Ok::<_, QueryError>(Json::of(&Range {
            step: render::ns(steps.step_ns),
            times: times(steps),
            series: rows(answer.series.iter().map(one_series)),
            left_out: rows(answer.left_out.iter().map(
                |(kind, series, why)| json!({"kind": kind, "series": series, "error": why.what, "hint": why.hint}),
            )),
            completeness: render::completeness(&completeness),
        }))
    });
    Ok(answer.await??)
}

#[derive(Serialize)]
struct Range<T, S, L, C> {
    step: Value,
    times: T,
    series: S,
    left_out: L,
    completeness: C,
}

/// A series with its values: there may be two million of them.
fn one_series(found: &MetricSeries) -> impl Serialize {
    #[derive(Serialize)]
    struct Fields<'a, V> {
        attributes: Value,
        resource: Value,
        device: &'a str,
        epoch: Value,
        kind: &'static str,
        unit: &'a str,
        values: V,
    }
    Fields {
        attributes: render::object(&found.series.attributes),
        resource: render::object(&found.series.origin.resource.attributes),
        device: &found.series.origin.device,
        epoch: epoch(found.series.origin.epoch),
        kind: found.series.kind.name(),
        unit: &found.series.unit,
        values: render::exacts(&found.values),
    }
}

pub(super) async fn exemplars(State(app): State<Arc<App>>, params: Params) -> Answer {
    params.only(&["service", "operation", "name", "device", "start", "end", "highest_per", "limit"])?;
    let query = ExemplarQuery {
        range: params.range()?,
        service: params.text("service"),
        operation: params.text("operation"),
        name: params.text("name"),
        device: params.text("device"),
        highest_per_ns: params.duration_ns("highest_per")?.filter(|length| *length > 0),
        limit: params.limit(1000)?,
    };
    let answer = app.query(params.scope(), move |store| {
        let page = store.exemplars(&query);
        let completeness = store.completeness(&[Signal::Traces], query.range, clock::now_ns());
        #[derive(Serialize)]
        struct Page<E, C> {
            exemplars: E,
            completeness: C,
        }
        let exemplars = rows(page.exemplars.iter().map(exemplar));
        Json::of(&Page { exemplars, completeness: render::completeness(&completeness) })
    });
    answer.await
}

fn exemplar(found: &FoundExemplar) -> Value {
    let row = &found.row;
    let value = match &row.exemplar.value {
        Some(exemplar::Value::AsDouble(number)) => render::float(*number),
        Some(exemplar::Value::AsInt(number)) => render::int(*number),
        None => Value::Null,
    };
    json!({
        "metric": row.metric,
        "unit": row.unit,
        "service": row.origin.service,
        "device": &*row.origin.device,
        "attributes": render::object(&row.attributes),
        "time": render::ns(row.exemplar.time_unix_nano),
        "value": value,
        "trace_id": row.trace_id().map(|id| id.to_string()),
        "span_id": SpanId::from_bytes(&row.exemplar.span_id).map(|id| id.to_string()),
        "state": found.state.name(),
    })
}
