//! Queries: evaluated over the store, within the hub's bounds of queries.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use model::{Signal, SpanId};
use opentelemetry_proto::tonic::metrics::v1::exemplar::Value as Number;
use promql::ast::Expr;
use promql::{Error, Labels, Matcher, NAME, Options, Query, evaluate, parse, sample_value};
use serde_json::{Map, Value, json};
use store::query::{ExemplarQuery, FoundExemplar, MAX_CELLS, goes_on};

use super::answer::{self, Answer, Failure, seconds, success};
use super::naming;
use super::params::{Params, now_ms};
use super::source::{StoreSource, range as store_range, translation};
use crate::app::App;
use crate::{clock, told};

/// Series and samples that a query may select: what the store gives at most.
const MAX_SERIES: usize = 20_000;
const MAX_SAMPLES: usize = 4_000_000;
/// Exemplars of an answer.
const MAX_EXEMPLARS: usize = 10_000;
const LOOKBACK_MS: i64 = 300_000;

/// Evaluates a query; its completeness is that of the time from `start` to `end`.
async fn run(app: Arc<App>, params: Params, query: Query, (start, end): (i64, i64)) -> Answer {
    let text = params.query()?.to_owned();
    let expr = parse(&text)?;
    let lookback = params.length("lookback_delta")?.unwrap_or(LOOKBACK_MS);
    let limit = params.limit()?;
    let answer = app.query(params.scope(), move |store| {
        let stop = || (!goes_on()).then_some(Error::Canceled);
        let options = Options {
            lookback,
            max_series: MAX_SERIES,
            max_samples: MAX_SAMPLES,
            max_cells: 2 * MAX_CELLS,
            stop: &stop,
            ..Options::default()
        };
        let source = StoreSource::new(store);
        let answer = evaluate(&source, &expr, query, &options).map_err(Failure::from)?;
        let mut warnings = answer.annotations.warnings(&text);
        if !expr.selectors().is_empty() {
            let time = store_range(start.saturating_sub(lookback), end);
            let completeness = store.completeness(&[Signal::Metrics], time, clock::now_ns());
            warnings.extend(told::sentence(&completeness));
        }
        warnings.extend(source.left_out());
        Ok::<_, Failure>(answer::value(&answer.value, limit, warnings, answer.annotations.infos(&text)))
    });
    answer.await?
}

pub(super) async fn instant(State(app): State<Arc<App>>, params: Params) -> Answer {
    let time = params.time("time")?.unwrap_or_else(now_ms);
    run(app, params, Query::Instant(time), (time, time)).await
}

pub(super) async fn range(State(app): State<Arc<App>>, params: Params) -> Answer {
    let required = |name: &str| Failure::bad_data(format!("invalid parameter \"{name}\": it is missing"));
    for name in ["start", "end", "step"] {
        params.get(name).ok_or_else(|| required(name))?;
    }
    let (start, end) = params.range(0)?;
    let step = params.length("step")?.ok_or_else(|| required("step"))?;
    if (end - start) / step >= 11_000 {
        let what = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)";
        return Err(Failure::bad_data(what));
    }
    run(app, params, Query::Range { start, end, step }, (start, end)).await
}

pub(super) async fn format(State(_): State<Arc<App>>, params: Params) -> Answer {
    Ok(success(parse(params.query()?)?.to_string(), Vec::new(), Vec::new()))
}

/// The labels that an exemplar's series has, without what tells its buckets apart.
fn exemplar_labels(found: &FoundExemplar, name: &str, matchers: &[Matcher]) -> Labels {
    let mut labels = naming::labels_of(&found.row.origin, &found.row.attributes, translation(matchers));
    labels.insert(NAME.into(), name.to_owned());
    Labels::new(labels)
}

fn exemplar(found: &FoundExemplar) -> Option<Value> {
    let row = &found.row.exemplar;
    let value = match row.value.as_ref()? {
        Number::AsDouble(value) => *value,
        Number::AsInt(value) => *value as f64,
    };
    let mut labels = Map::new();
    if let Some(trace) = found.row.trace_id() {
        labels.insert("trace_id".into(), trace.to_string().into());
    }
    if let Some(span) = SpanId::from_bytes(&row.span_id) {
        labels.insert("span_id".into(), span.to_string().into());
    }
    labels.insert("state".into(), found.state.name().into());
    let time = seconds((row.time_unix_nano / 1_000_000).cast_signed());
    Some(json!({"labels": labels, "value": sample_value(value), "timestamp": time}))
}

pub(super) async fn exemplars(State(app): State<Arc<App>>, params: Params) -> Answer {
    let expr: Expr = parse(params.query()?)?;
    let (start, end) = params.range(3_600_000)?;
    let selectors: Vec<Vec<Matcher>> = expr.selectors().into_iter().map(|own| own.matchers.clone()).collect();
    let time = store_range(start, end);
    let answer = app.query(params.scope(), move |store| {
        let mut out: BTreeMap<Labels, Vec<Value>> = BTreeMap::new();
        for matchers in &selectors {
            let translation = translation(matchers);
            // Which series an exemplar of a histogram belongs to is told by its bucket: any of them will do.
            let matchers: Vec<Matcher> = matchers.iter().filter(|m| m.name != promql::BUCKET).cloned().collect();
            for metric in store.metrics(time) {
                let names = naming::possible_names(&metric.name, &metric.unit, metric.kind, translation);
                let named = |name: &&String| matchers.iter().filter(|m| m.name == NAME).all(|m| m.matches(name));
                let Some(name) = names.iter().find(named) else { continue };
                let query = ExemplarQuery {
                    range: time,
                    service: None,
                    operation: None,
                    name: Some(metric.name.clone()),
                    device: None,
                    highest_per_ns: None,
                    limit: MAX_EXEMPLARS,
                };
                for found in store.exemplars(&query).exemplars {
                    let labels = exemplar_labels(&found, name, &matchers);
                    if matchers.iter().all(|matcher| matcher.matches_labels(&labels))
                        && let Some(exemplar) = exemplar(&found)
                    {
                        out.entry(labels).or_default().push(exemplar);
                    }
                }
            }
        }
        out
    });
    let found = answer.await?;
    let data: Vec<Value> = found
        .iter()
        .map(|(labels, exemplars)| json!({"seriesLabels": answer::metric(labels), "exemplars": exemplars}))
        .collect();
    Ok(success(data, Vec::new(), Vec::new()))
}
