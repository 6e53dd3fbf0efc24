//! Queries: evaluated over the store, within the hub's bounds of queries.

use std::sync::Arc;

use axum::extract::State;
use logql::ast::{Expr, MetricExpr};
use logql::{Error, LogQuery, Options, Query, evaluate_logs, evaluate_metric, parse};
use model::Signal;
use store::query::{MAX_CELLS, TimeRange, goes_on, hold};

use super::answer::{self, Answer, Failure};
use super::params::{Params, Times};
use super::source::StoreLogs;
use crate::app::App;
use crate::clock;

/// Series of a range.
const MAX_SERIES: usize = 20_000;

fn stop() -> Option<Error> {
    (!goes_on()).then_some(Error::Canceled)
}

/// How all queries are evaluated: within what the hub's queries may hold.
pub(super) fn options() -> Options<'static> {
    Options { max_series: MAX_SERIES, max_cells: 2 * MAX_CELLS, hold: &hold, stop: &stop, ..Options::default() }
}

/// Seconds since a reading of the monotonic clock.
fn since(began_ns: u64) -> f64 {
    clock::monotonic_ns().saturating_sub(began_ns) as f64 / 1e9
}

/// How far before a time the ranges of an expression begin; `None` where it looks at no records.
fn reach(expr: &MetricExpr) -> Option<i64> {
    match expr {
        MetricExpr::Number(_) | MetricExpr::Vector(_) => None,
        MetricExpr::Range { range, .. } => Some(range.range_ns.saturating_add(range.offset_ns.max(0))),
        MetricExpr::Aggregate { inner, .. } | MetricExpr::LabelReplace { inner, .. } => reach(inner),
        MetricExpr::Binary { left, right, .. } => reach(left).max(reach(right)),
    }
}

/// Answers a query for numbers over a time.
pub(super) async fn numbers(app: &Arc<App>, params: &Params, expr: MetricExpr, query: Query) -> Answer {
    let (start, end, is_range) = match query {
        Query::Instant(time) => (time, time, false),
        Query::Range { start, end, .. } => (start, end, true),
    };
    let answer = app.query(params.scope(), move |store| {
        let began = clock::monotonic_ns();
        let found = evaluate_metric(&StoreLogs(store), &expr, query, &options())?;
        let completeness = reach(&expr).map(|reach| {
            let times = Times { start: start.saturating_sub(reach), end };
            store.completeness(&[Signal::Logs], times.closed(), clock::now_ns())
        });
        Ok::<_, Failure>(answer::numbers(&found, is_range, since(began), completeness.as_ref()))
    });
    answer.await?
}

/// `GET|POST /loki/api/v1/query`: numbers at one time.
pub(super) async fn instant(State(app): State<Arc<App>>, params: Params) -> Answer {
    let time = params.time()?;
    match parse(params.query()?)? {
        Expr::Metric(expr) => numbers(&app, &params, expr, Query::Instant(time)).await,
        Expr::Logs(_) => Err(Failure::bad_request(
            "log queries are not supported as an instant query type, please change your query to a range query type",
        )),
    }
}

/// `GET|POST /loki/api/v1/query_range`: log records, or numbers at steps.
pub(super) async fn range(State(app): State<Arc<App>>, params: Params) -> Answer {
    let times = params.times()?;
    let expr = match parse(params.query()?)? {
        Expr::Metric(expr) => {
            let query = Query::Range { start: times.start, end: times.end, step: params.step(times)? };
            return numbers(&app, &params, expr, query).await;
        }
        Expr::Logs(expr) => expr,
    };
    let query = LogQuery { from: times.start, to: times.end, order: params.order()?, limit: params.limit()? };
    let (range, categorized): (TimeRange, bool) = (times.range(), params.categorized);
    let answer = app.query(params.scope(), move |store| {
        let began = clock::monotonic_ns();
        let found = evaluate_logs(&StoreLogs(store), &expr, query, &options())?;
        let completeness = store.completeness(&[Signal::Logs], range, clock::now_ns());
        Ok::<_, Failure>(answer::streams(found, categorized, since(began), &completeness))
    });
    answer.await?
}

/// `GET|POST /loki/api/v1/format_query`: the query on one line.
pub(super) async fn format(
    State(_): State<Arc<App>>,
    params: Params,
) -> Result<axum::Json<serde_json::Value>, Failure> {
    let text = parse(params.query()?)?.to_string();
    Ok(axum::Json(serde_json::json!({"status": "success", "data": text})))
}
