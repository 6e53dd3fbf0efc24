//! Metrics: which there are, and ranges of their series.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use columns::{Chunk, Values};
use opentelemetry_proto::tonic::common::v1::KeyValue;

use super::Scoped;
use super::rates::{Number, Reading, Spread, Steps, export_times, increases, lookback, number, origin_key};
use super::select::{LabelMatcher, SelectedSeries};
use super::{QueryError, TimeRange, budget};
use crate::pack::points_of;
use crate::proto::PointData;
use crate::rows::{Kind, Point, Series, value_text};

/// OTLP's flag of points that say "no value here".
const STALE: u64 = 1;

/// A metric that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricInfo {
    /// Its name.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// Its kind, as the API names it.
    pub kind: &'static str,
    /// Whether it is a sum, or some of it is, that only ever grows.
    pub monotonic: bool,
    /// Its description.
    pub description: String,
    /// Series of it, at least: the most that one part of the store holds.
    pub series: usize,
}

/// What is made of the points in a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reduce {
    /// The last value.
    Value,
    /// How many observations the last point has counted.
    Count,
    /// Per second, aware of restarts.
    Rate,
    /// A quantile between 0 and 1 of what was observed in the step.
    Quantile(f64),
}

/// Which ranges are asked for.
#[derive(Debug, Clone)]
pub struct MetricQuery {
    /// The metric's name.
    pub name: String,
    /// The steps of the answer.
    pub steps: Steps,
    /// What is made of the points.
    pub reduce: Reduce,
    /// `key`, `value` pairs that attributes or resource attributes must have.
    pub matches: Vec<(String, String)>,
}

/// One series of an answer.
#[derive(Debug, Clone)]
pub struct MetricSeries {
    /// What it is.
    pub series: Arc<Series>,
    /// One value per step; `None` where nothing is known.
    pub values: Vec<Option<Number>>,
}

/// What a metric's name gives, by kind: one name may stand for several.
#[derive(Debug, Clone, Default)]
pub struct MetricAnswer {
    /// The series of those kinds that the question has a meaning for.
    pub series: Vec<MetricSeries>,
    /// The kinds that it has none for, with how many series, and why.
    pub left_out: Vec<(&'static str, usize, QueryError)>,
}

/// Series with their points in the order of time, one point per time.
pub(super) type Joined = Vec<(Arc<Series>, Vec<Point>)>;

fn has(attributes: &[KeyValue], key: &str, wanted: &str) -> bool {
    attributes.iter().any(|attribute| {
        attribute.key == key && attribute.value.as_ref().and_then(value_text).as_deref() == Some(wanted)
    })
}

/// Whether a series has all these attributes (of its points, or of its resource).
pub(super) fn matches_all(series: &Series, matches: &[(String, String)]) -> bool {
    matches
        .iter()
        .all(|(key, value)| has(&series.attributes, key, value) || has(&series.origin.resource.attributes, key, value))
}

impl Scoped<'_> {
    /// Gathers the points in `range` of all series of a metric that `wanted` takes.
    pub(super) fn series(
        &self,
        name: &str,
        range: TimeRange,
        wanted: impl Fn(&Series) -> bool,
    ) -> Result<Joined, QueryError> {
        let selected = self.select_wanted(name, &[LabelMatcher::name(name)], range, &wanted)?;
        Ok(selected.into_iter().map(|SelectedSeries { series, points }| (series, points_of(points, 0))).collect())
    }
}

/// What a metric of an answer takes beside its texts.
const NAME_BYTES: usize = 160;

/// What heads hold of one metric.
#[derive(Default)]
struct HeadMetric<'a> {
    description: &'a str,
    keys: HashSet<&'a [u8]>,
}

impl Scoped<'_> {
    /// The metrics that have points in `range` (of packs: that lie in a pack which overlaps it).
    pub fn metrics(&self, range: TimeRange) -> Vec<MetricInfo> {
        let snapshot = self.inner.snapshot();
        let mut found: BTreeMap<(String, String, &'static str), (String, usize, bool)> = BTreeMap::new();
        let mut note = |name: &str, unit: &str, kind: Kind, description: &str, series: usize| {
            let key = (name.to_owned(), unit.to_owned(), kind.name());
            let held = NAME_BYTES + name.len() + unit.len() + description.len();
            let entry = found.entry(key).or_insert_with(|| {
                budget::hold(held);
                (description.to_owned(), 0, false)
            });
            entry.1 = entry.1.max(series);
            entry.2 |= matches!(kind, Kind::Sum { monotonic: true, .. });
        };
        let mut heads: HashMap<(&str, &str, Kind), HeadMetric<'_>> = HashMap::new();
        for row in snapshot.frames.iter().flat_map(|frame| &frame.records.series) {
            if row.points.iter().any(|point| range.contains(point.time())) {
                let series = &row.series;
                let key = (series.name.as_str(), series.unit.as_str(), series.kind);
                let metric = heads.entry(key).or_default();
                metric.description = &series.description;
                metric.keys.insert(&series.key);
            }
        }
        for ((name, unit, kind), metric) in heads {
            note(name, unit, kind, metric.description, metric.keys.len());
        }
        let packs = snapshot.packs.iter().filter(|pack| pack.overlaps(range.from, range.to));
        for pack in packs.take_while(|_| budget::goes_on()) {
            for metric in &self.listing(pack).metrics {
                if let Some(kind) = Kind::from_number(metric.kind) {
                    note(&metric.name, &metric.unit, kind, &metric.description, metric.series as usize);
                }
            }
        }
        let infos = found.into_iter().map(|((name, unit, kind), (description, series, monotonic))| MetricInfo {
            name,
            unit,
            kind,
            monotonic,
            description,
            series,
        });
        infos.collect()
    }

    /// Ranges of the series of a metric.
    ///
    /// # Errors
    /// [`QueryError`] when `reduce` has no meaning for the metric's kind, or too much matches.
    pub fn metric_range(&self, query: &MetricQuery) -> Result<MetricAnswer, QueryError> {
        let steps = query.steps;
        let from = match query.reduce {
            Reduce::Value | Reduce::Count => steps.from,
            Reduce::Rate | Reduce::Quantile(_) => steps.from.saturating_sub(lookback(steps.step_ns)),
        };
        let range = TimeRange { from, to: steps.to() };
        let wanted = |series: &Series| matches_all(series, &query.matches);
        let selected = self.select_wanted(&query.name, &[LabelMatcher::name(&query.name)], range, &wanted)?;
        let cells = selected.len().saturating_mul(steps.count);
        if cells > budget::MAX_CELLS {
            return Err(QueryError::new(
                format!(
                    "{} series of {} steps are {cells} values; an answer has at most {}",
                    selected.len(),
                    steps.count,
                    budget::MAX_CELLS
                ),
                "ask for a longer step, a shorter time, or add match=key=value",
            ));
        }
        let mut answer = MetricAnswer::default();
        let mut joined: Joined = Vec::new();
        for SelectedSeries { series, points } in selected {
            match &points.values {
                // Nothing but its last values is asked of a number: no point has to be made of it.
                Values::Numbers(values) if query.reduce == Reduce::Value => {
                    let values = last_numbers(&points, values, steps);
                    answer.series.push(MetricSeries { series, values });
                }
                _ => joined.push((series, points_of(points, 0))),
            }
        }
        let exports = export_times(&joined);
        for (series, points) in joined {
            if !budget::goes_on() {
                break;
            }
            let exports = exports.get(&origin_key(&series)).map(Vec::as_slice).unwrap_or_default();
            let reading = Reading { loaded_from: from, step_ns: steps.step_ns, exports };
            match reduce(&series, &points, query.reduce, steps, reading) {
                Ok(values) => answer.series.push(MetricSeries { series, values }),
                Err(error) => match answer.left_out.iter_mut().find(|(kind, _, _)| *kind == series.kind.name()) {
                    Some((_, count, _)) => *count += 1,
                    None => answer.left_out.push((series.kind.name(), 1, error)),
                },
            }
        }
        match answer.left_out.first() {
            Some((_, _, error)) if answer.series.is_empty() => Err(error.clone()),
            _ => Ok(answer),
        }
    }
}

fn floats(values: Vec<Option<f64>>) -> Vec<Option<Number>> {
    values.into_iter().map(|value| value.map(Number::Float)).collect()
}

fn reduce(
    series: &Series,
    points: &[Point],
    reduce: Reduce,
    steps: Steps,
    reading: Reading<'_>,
) -> Result<Vec<Option<Number>>, QueryError> {
    let (name, kind) = (&series.name, series.kind);
    match (reduce, kind) {
        (Reduce::Value, Kind::Gauge | Kind::Sum { .. }) => Ok(last_in_step(points, steps, number)),
        (Reduce::Value, _) => Err(QueryError::new(
            format!("{name} is of kind {} and has no single value", kind.name()),
            "use func=count, func=rate or func=p95",
        )),
        (Reduce::Count, Kind::Gauge | Kind::Sum { .. }) => {
            Err(QueryError::new(format!("{name} is of kind {} and counts nothing", kind.name()), "use func=value"))
        }
        (Reduce::Count, _) => Ok(last_in_step(points, steps, |data| match data {
            PointData::Histogram(point) => Some(Number::Count(point.count)),
            PointData::Exponential(point) => Some(Number::Count(point.count)),
            PointData::Summary(point) => Some(Number::Count(point.count)),
            PointData::Number(_) => None,
        })),
        (Reduce::Rate, Kind::Gauge | Kind::Sum { monotonic: false, cumulative: true }) => {
            Err(QueryError::new(format!("{name} goes up and down: it has no rate"), "use func=value"))
        }
        (Reduce::Rate, _) => Ok(floats(spread(kind, points, steps, reading).rates())),
        (Reduce::Quantile(quantile), Kind::Histogram { .. } | Kind::ExponentialHistogram { .. }) => {
            Ok(floats(spread(kind, points, steps, reading).quantiles(quantile)))
        }
        (Reduce::Quantile(quantile), Kind::Summary) => Ok(last_in_step(points, steps, |data| match data {
            PointData::Summary(point) => {
                let found = point.quantile_values.iter().find(|value| (value.quantile - quantile).abs() < 1e-9);
                found.map(|value| Number::Float(value.value))
            }
            _ => None,
        })),
        (Reduce::Quantile(_), Kind::Gauge | Kind::Sum { .. }) => Err(QueryError::new(
            format!("{name} is of kind {} and has no quantiles", kind.name()),
            "use func=value or func=rate",
        )),
    }
}

fn last_in_step(points: &[Point], steps: Steps, value: impl Fn(&PointData) -> Option<Number>) -> Vec<Option<Number>> {
    let mut values = vec![None; steps.count];
    for point in points {
        if let Some(place) = steps.place(point.time()) {
            values[place] = if point.is_stale() { None } else { value(&point.data) };
        }
    }
    values
}

fn last_numbers(points: &Chunk, numbers: &[columns::Number], steps: Steps) -> Vec<Option<Number>> {
    let mut values = vec![None; steps.count];
    for ((time, flags), number) in points.times.iter().zip(&points.flags).zip(numbers) {
        if let Some(place) = steps.place(*time) {
            values[place] = match number {
                _ if flags & STALE != 0 => None,
                columns::Number::None => None,
                columns::Number::Int(number) => Some(Number::Int(*number)),
                columns::Number::Float(number) => Some(Number::Float(*number)),
            };
        }
    }
    values
}

fn spread(kind: Kind, points: &[Point], steps: Steps, reading: Reading<'_>) -> Spread {
    let mut spread = Spread::new(steps);
    increases(kind, points, reading).iter().for_each(|increase| spread.add(increase));
    spread
}
