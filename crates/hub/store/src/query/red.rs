//! Rate, errors and duration of services and operations, from the span metrics that count every span before sampling.

use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::KeyValue;

use super::Scoped;
use super::metrics::Joined;
use super::rates::{Increase, Reading, Spread, Steps, export_times, increases, lookback, origin_key};
use super::{QueryError, TimeRange, budget};
use crate::rows::{Kind, Series, find_text};

/// Counts every span.
pub(super) const CALLS: &str = "traces.span.metrics.calls";
/// Histogram of the spans' durations, in milliseconds.
pub(super) const DURATION: &str = "traces.span.metrics.duration";

/// What is asked for.
#[derive(Debug, Clone)]
pub struct RedQuery {
    /// The service; all of them without one.
    pub service: Option<String>,
    /// The span name; without one, the spans at which requests enter the service (kinds server and consumer), or all
    /// where it has none of these.
    pub operation: Option<String>,
    /// Only what comes from this device.
    pub device: Option<String>,
    /// The steps of the answer.
    pub steps: Steps,
}

/// Rates, errors and quantiles per step; `None` where nothing is known.
#[derive(Debug, Clone)]
pub struct Red {
    /// Requests per second.
    pub rate: Vec<Option<f64>>,
    /// Requests per second whose status is an error.
    pub errors: Vec<Option<f64>>,
    /// Milliseconds.
    pub p50: Vec<Option<f64>>,
    /// Milliseconds.
    pub p95: Vec<Option<f64>>,
    /// Milliseconds.
    pub p99: Vec<Option<f64>>,
}

fn is_entry(series: &Series) -> bool {
    let kind = find_text(&series.attributes, "span.kind").unwrap_or_default();
    let kind = kind.strip_prefix("SPAN_KIND_").unwrap_or(kind);
    kind.eq_ignore_ascii_case("server") || kind.eq_ignore_ascii_case("consumer")
}

/// Whether a series of the span metrics, or an exemplar of it, is of spans that ended with an error.
pub(super) fn is_error(attributes: &[KeyValue]) -> bool {
    let code = find_text(attributes, "status.code").unwrap_or_default();
    code.strip_prefix("STATUS_CODE_").unwrap_or(code).eq_ignore_ascii_case("error")
}

/// Adds up the series per second: each over the time that it covers.
fn add_rates<'s>(steps: Steps, series: impl Iterator<Item = &'s Counted>) -> Vec<Option<f64>> {
    let mut sums = vec![None; steps.count];
    for Counted { increases, .. } in series {
        let mut spread = Spread::new(steps);
        increases.iter().for_each(|increase| spread.add(increase));
        for (sum, rate) in sums.iter_mut().zip(spread.rates()) {
            if let Some(rate) = rate {
                *sum = Some(sum.unwrap_or(0.0) + rate);
            }
        }
    }
    sums
}

/// A series with what it counted.
struct Counted {
    series: Arc<Series>,
    increases: Vec<Increase>,
}

/// The increases of the series that the query wants, one after the other.
fn count(joined: Joined, query: &RedQuery, loaded_from: u64) -> impl Iterator<Item = Counted> {
    let exports = export_times(&joined);
    let mut wanted: Joined = joined
        .into_iter()
        .filter(|(series, _)| {
            query
                .operation
                .as_ref()
                .is_none_or(|name| find_text(&series.attributes, "span.name") == Some(name.as_str()))
        })
        .collect();
    if query.operation.is_none() && wanted.iter().any(|(series, _)| is_entry(series)) {
        wanted.retain(|(series, _)| is_entry(series));
    }
    let step_ns = query.steps.step_ns;
    wanted.into_iter().take_while(|_| budget::goes_on()).map(move |(series, points)| {
        let exports = exports.get(&origin_key(&series)).map(Vec::as_slice).unwrap_or_default();
        let reading = Reading { loaded_from, step_ns, exports };
        Counted { increases: increases(series.kind, &points, reading), series }
    })
}

impl Scoped<'_> {
    /// Rate, errors and latency of a service or operation.
    ///
    /// # Errors
    /// [`QueryError`] when too many series match.
    pub fn red(&self, query: &RedQuery) -> Result<Red, QueryError> {
        let steps = query.steps;
        let from = steps.from.saturating_sub(lookback(steps.step_ns));
        let range = TimeRange { from, to: steps.to() };
        let of_service = |series: &Series| {
            query.service.as_ref().is_none_or(|service| *service == series.origin.service)
                && query.device.as_ref().is_none_or(|device| **device == *series.origin.device)
        };
        let calls =
            self.series(CALLS, range, |series| of_service(series) && matches!(series.kind, Kind::Sum { .. }))?;
        let calls: Vec<Counted> = count(calls, query, from).collect();
        let durations = self.series(DURATION, range, |series| {
            of_service(series) && matches!(series.kind, Kind::Histogram { .. } | Kind::ExponentialHistogram { .. })
        })?;
        let rate = add_rates(steps, calls.iter());
        let mut errors = add_rates(steps, calls.iter().filter(|counted| is_error(&counted.series.attributes)));
        for (error, rate) in errors.iter_mut().zip(&rate) {
            // Requests were counted and none of them as an error.
            if rate.is_some() {
                error.get_or_insert(0.0);
            }
        }
        let mut spread = Spread::new(steps);
        for Counted { increases, .. } in count(durations, query, from) {
            increases.iter().for_each(|increase| spread.add(increase));
        }
        Ok(Red { rate, errors, p50: spread.quantiles(0.5), p95: spread.quantiles(0.95), p99: spread.quantiles(0.99) })
    }
}
