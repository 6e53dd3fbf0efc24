//! How many bytes of lines there are, by labels: what Grafana shows beside streams.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use logql::ast::{AggregateOp, Grouping, LogExpr, LogRange, MetricExpr, RangeOp};
use logql::{Labels, MetricAnswer, Query, evaluate_metric, parse_selector};
use model::Signal;
use promql::{Samples, Value};

use super::answer::{self, Answer, Failure};
use super::params::{Params, Times};
use super::queries::options;
use super::source::StoreLogs;
use crate::app::App;
use crate::clock;

/// Series of an answer without `limit`, and the most of it.
const LIMIT: usize = 100;
const MAX_LIMIT: usize = 5000;

/// What is asked for.
struct Volume {
    expr: MetricExpr,
    /// Labels by themselves, not put together.
    by_label: bool,
    limit: usize,
}

impl Volume {
    fn read(params: &Params, range_ns: i64) -> Result<Self, Failure> {
        let query = params.query()?;
        let matchers = if matches!(query.trim(), "{}") { Vec::new() } else { parse_selector(query)? };
        let targets = params.get("targetLabels").map(|all| all.split(',').map(|one| one.trim().to_owned()).collect());
        // As in Loki: by the labels that the selector names, where none are named.
        let labels: Vec<String> =
            targets.unwrap_or_else(|| matchers.iter().map(|matcher| matcher.name.clone()).collect());
        let by_label = match params.get("aggregateBy") {
            None | Some("series") => false,
            Some("labels") => true,
            Some(other) => return Err(Failure::bad_request(format!("invalid aggregateBy option: {other}"))),
        };
        let logs = LogExpr { matchers, stages: Vec::new() };
        let range = Box::new(LogRange { logs, range_ns, offset_ns: 0, unwrap: None });
        let inner = Box::new(MetricExpr::Range { op: RangeOp::Bytes, parameter: None, range, grouping: None });
        let grouping = Some(Grouping { without: false, labels });
        let expr = MetricExpr::Aggregate { op: AggregateOp::Sum, parameter: None, inner, grouping };
        Ok(Self { expr, by_label, limit: params.number("limit", LIMIT, MAX_LIMIT)? })
    }

    /// The largest series, those of each label put together where that is asked for.
    fn shaped(&self, all: Vec<(Labels, Samples)>) -> Vec<(Labels, Samples)> {
        let mut all = all;
        if self.by_label {
            let mut by_name: BTreeMap<String, BTreeMap<i64, f64>> = BTreeMap::new();
            for (labels, samples) in &all {
                for (name, _) in labels.iter() {
                    let sums = by_name.entry(name.to_owned()).or_default();
                    samples.floats.iter().for_each(|(time, value)| *sums.entry(*time).or_default() += value);
                }
            }
            let series = |(name, sums): (String, BTreeMap<i64, f64>)| {
                // A label without a value cannot be told: its name stands for it.
                (
                    Labels::new([(name.clone(), name)]),
                    Samples { floats: sums.into_iter().collect(), ..Samples::default() },
                )
            };
            all = by_name.into_iter().map(series).collect();
        }
        let size = |samples: &Samples| samples.floats.iter().map(|(_, value)| value).sum::<f64>();
        all.sort_by(|a, b| size(&b.1).total_cmp(&size(&a.1)).then_with(|| a.0.cmp(&b.0)));
        all.truncate(self.limit);
        all
    }
}

async fn run(app: Arc<App>, params: Params, volume: Volume, query: Query, times: Times) -> Answer {
    let is_range = matches!(query, Query::Range { .. });
    let answer = app.query(params.scope(), move |store| {
        let MetricAnswer { value, stats } = evaluate_metric(&StoreLogs(store), &volume.expr, query, &options())?;
        let value = match value {
            Value::Vector(all) => Value::Vector(volume.shaped(all)),
            Value::Matrix(all) => Value::Matrix(volume.shaped(all)),
            other => other,
        };
        let completeness = store.completeness(&[Signal::Logs], times.closed(), clock::now_ns());
        Ok::<_, Failure>(answer::numbers(&MetricAnswer { value, stats }, is_range, 0.0, Some(&completeness)))
    });
    answer.await?
}

/// `GET|POST /loki/api/v1/index/volume`.
pub(super) async fn instant(State(app): State<Arc<App>>, params: Params) -> Answer {
    let times = params.times()?;
    // Both ends belong to it.
    let volume = Volume::read(&params, (times.end - times.start).saturating_add(1))?;
    run(app, params, volume, Query::Instant(times.end), times).await
}

/// `GET|POST /loki/api/v1/index/volume_range`.
pub(super) async fn range(State(app): State<Arc<App>>, params: Params) -> Answer {
    let times = params.times()?;
    let step = params.step(times)?;
    let volume = Volume::read(&params, step)?;
    run(app, params, volume, Query::Range { start: times.start, end: times.end, step }, times).await
}
