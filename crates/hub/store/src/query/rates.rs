//! From points to steps: increases between points, spread over the steps that they cover; nothing is interpolated over
//! a hole.

use std::collections::HashMap;
use std::sync::Arc;

use prost::Message;

use super::histogram::{Mixture, Shape};
use crate::proto::PointData;
use crate::rows::{Kind, Point, Series};

/// The steps of an answer: `count` of them, `step_ns` long, the first begins at `from`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// Start of the first step.
    pub from: u64,
    /// Length of a step.
    pub step_ns: u64,
    /// Number of steps.
    pub count: usize,
}

impl Steps {
    /// Where each step begins.
    pub fn times(self) -> impl Iterator<Item = u64> {
        (0..self.count as u64).map(move |number| self.from + number * self.step_ns)
    }

    /// End of the last step.
    pub fn to(self) -> u64 {
        self.from.saturating_add(self.step_ns.saturating_mul(self.count as u64))
    }

    /// The step that holds `time`.
    pub fn place(self, time: u64) -> Option<usize> {
        let number = usize::try_from(time.checked_sub(self.from)? / self.step_ns).ok()?;
        (number < self.count).then_some(number)
    }

    /// For each step that `[from, to)` overlaps: its number, the overlap in nanoseconds, and its share of the whole.
    fn overlaps(self, from: u64, to: u64) -> impl Iterator<Item = (usize, u64, f64)> {
        let (first, last) = (from.max(self.from), to.min(self.to()));
        let numbers = match (self.place(first), last.checked_sub(1).and_then(|last| self.place(last))) {
            (Some(first), Some(last)) => first..last + 1,
            _ => 0..0,
        };
        numbers.map(move |number| {
            let start = self.from + number as u64 * self.step_ns;
            let overlap = to.min(start + self.step_ns) - from.max(start);
            (number, overlap, overlap as f64 / (to - from) as f64)
        })
    }
}

/// How far before its range a query looks for the point that an increase begins at.
pub(super) fn lookback(step_ns: u64) -> u64 {
    (2 * step_ns).max(300_000_000_000)
}

/// A number as a point has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A whole one.
    Int(i64),
    /// A count.
    Count(u64),
    /// Any other.
    Float(f64),
}

impl Number {
    /// The nearest floating-point number.
    pub fn as_f64(self) -> f64 {
        match self {
            Number::Int(number) => number as f64,
            Number::Count(number) => number as f64,
            Number::Float(number) => number,
        }
    }

    fn whole(self) -> Option<i128> {
        match self {
            Number::Int(number) => Some(i128::from(number)),
            Number::Count(number) => Some(i128::from(number)),
            Number::Float(_) => None,
        }
    }

    /// How much larger than `before` it is, exact for whole numbers.
    fn since(self, before: Self) -> f64 {
        match (self.whole(), before.whole()) {
            (Some(now), Some(then)) => (now - then) as f64,
            _ => self.as_f64() - before.as_f64(),
        }
    }
}

/// What has grown in a point: a number, or the observations of a histogram with their buckets.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Counts {
    /// The number, or how many observations there are.
    pub(super) total: Number,
    pub(super) shape: Shape<u128>,
    /// Smallest and largest observation, where the point tells them.
    pub(super) range: Option<(f64, f64)>,
}

impl Counts {
    pub(super) fn of(data: &PointData) -> Option<Self> {
        let range = |min: Option<f64>, max: Option<f64>| min.zip(max).filter(|(min, max)| min <= max);
        match data {
            PointData::Number(_) => number(data).map(|total| Self { total, shape: Shape::None, range: None }),
            PointData::Histogram(point) => Some(Self {
                total: Number::Count(point.count),
                shape: Shape::of_explicit(point),
                range: range(point.min, point.max),
            }),
            PointData::Exponential(point) => Some(Self {
                total: Number::Count(point.count),
                shape: Shape::of_exponential(point),
                range: range(point.min, point.max),
            }),
            PointData::Summary(point) => {
                Some(Self { total: Number::Count(point.count), shape: Shape::None, range: None })
            }
        }
    }

    /// What was added since `before`; `None` when it is not a later state of the same counting. The smallest and the
    /// largest observation since the start bound those since `before` too.
    fn since(&self, before: &Counts) -> Option<Counts> {
        let added = self.total.since(before.total);
        if added < 0.0 {
            return None;
        }
        let shape = self.shape.clone().since(before.shape.clone())?;
        Some(Counts { total: Number::Float(added), shape, range: self.range })
    }
}

/// The value of a gauge's or sum's point.
pub(super) fn number(data: &PointData) -> Option<Number> {
    use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
    match data {
        PointData::Number(point) => point.value.as_ref().map(|value| match value {
            Value::AsDouble(number) => Number::Float(*number),
            Value::AsInt(number) => Number::Int(*number),
        }),
        _ => None,
    }
}

/// What was counted between two moments.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Increase {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) counts: Counts,
}

/// Whether points count from their start time.
fn is_cumulative(kind: Kind) -> bool {
    match kind {
        Kind::Sum { cumulative, .. } | Kind::Histogram { cumulative } | Kind::ExponentialHistogram { cumulative } => {
            cumulative
        }
        Kind::Gauge | Kind::Summary => true,
    }
}

/// What increases are made from, beside the points.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading<'a> {
    /// Earliest time that was looked at.
    pub(super) loaded_from: u64,
    /// Length of a step.
    pub(super) step_ns: u64,
    /// When the same resource sent points of this metric, sorted. A cumulative exporter sends all of its series each
    /// time, so one that was not there then had counted nothing.
    pub(super) exports: &'a [u64],
}

/// When each resource sent points of a metric, sorted: by the origin of its series.
pub(super) fn export_times(joined: &[(Arc<Series>, Vec<Point>)]) -> HashMap<Vec<u8>, Vec<u64>> {
    let mut exports: HashMap<Vec<u8>, Vec<u64>> = HashMap::new();
    for (series, points) in joined {
        exports.entry(origin_key(series)).or_default().extend(points.iter().map(Point::time));
    }
    for times in exports.values_mut() {
        times.sort_unstable();
        times.dedup();
    }
    exports
}

/// What tells one exporter from another.
pub(super) fn origin_key(series: &Series) -> Vec<u8> {
    series.origin.to_row().encode_to_vec()
}

/// The increases between the points of a series, which are sorted by time without repeats. Points further apart than
/// two steps and five usual intervals have nothing known between them.
pub(super) fn increases(kind: Kind, points: &[Point], reading: Reading<'_>) -> Vec<Increase> {
    let Reading { loaded_from, step_ns, exports } = reading;
    let states: Vec<(u64, u64, Counts)> = points
        .iter()
        .filter(|point| !point.is_stale())
        .filter_map(|point| Some((point.start(), point.time(), Counts::of(&point.data)?)))
        .collect();
    if !is_cumulative(kind) {
        let mut before = None;
        let deltas = states.into_iter().map(|(start, time, counts)| {
            let from = if start != 0 && start < time { start } else { before.unwrap_or(time.saturating_sub(1)) };
            before = Some(time);
            Increase { from: from.min(time.saturating_sub(1)), to: time, counts }
        });
        return deltas.collect();
    }
    let mut gaps: Vec<u64> = states.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
    gaps.sort_unstable();
    let usual = gaps.get(gaps.len() / 2).copied().unwrap_or(0);
    let widest = (2 * step_ns).max(5 * usual);
    let mut increases = Vec::new();
    if let Some((start, time, counts)) = states.first()
        && *start != 0
    {
        let before = exports.partition_point(|export| export < time).checked_sub(1).map(|place| exports[place]);
        let began = before.or((*start >= loaded_from).then_some(0)).map(|before| before.max(*start));
        if let Some(from) = began {
            increases.push(Increase { from: from.min(time.saturating_sub(1)), to: *time, counts: counts.clone() });
        }
    }
    for pair in states.windows(2) {
        let ((start_before, before, counts_before), (start, time, counts)) = (&pair[0], &pair[1]);
        // Another start is another counting, however much larger its counts are (data model, "Resets and Gaps").
        let began_anew = *start != 0 && *start_before != 0 && start > start_before;
        let added = if began_anew { None } else { counts.since(counts_before) };
        match added {
            Some(added) if time - before <= widest => {
                increases.push(Increase { from: *before, to: *time, counts: added });
            }
            Some(_) => {}
            // A restart: everything counted since it.
            None => {
                let from = if (*start > *before || began_anew) && start < time { *start } else { *before };
                if time - from <= widest || began_anew {
                    increases.push(Increase { from, to: *time, counts: counts.clone() });
                }
            }
        }
    }
    increases
}

/// Sums of increases per step, with the time that they cover.
#[derive(Debug, Clone)]
pub(super) struct Spread {
    steps: Steps,
    covered: Vec<u64>,
    totals: Vec<f64>,
    observed: Vec<Mixture>,
}

impl Spread {
    pub(super) fn new(steps: Steps) -> Self {
        Self {
            steps,
            covered: vec![0; steps.count],
            totals: vec![0.0; steps.count],
            observed: vec![Mixture::default(); steps.count],
        }
    }

    /// Spreads an increase evenly over the time in which it happened.
    pub(super) fn add(&mut self, increase: &Increase) {
        let Counts { total, shape, range } = &increase.counts;
        for (number, overlap, share) in self.steps.overlaps(increase.from, increase.to) {
            self.covered[number] = (self.covered[number] + overlap).min(self.steps.step_ns);
            self.totals[number] += total.as_f64() * share;
            if *shape != Shape::None {
                self.observed[number].add(shape.times(share), *range);
            }
        }
    }

    /// Per second, over the covered part of each step; `None` where nothing is covered.
    pub(super) fn rates(&self) -> Vec<Option<f64>> {
        let steps = self.totals.iter().zip(&self.covered);
        steps.map(|(total, covered)| (*covered > 0).then(|| total / (*covered as f64 / 1e9))).collect()
    }

    /// The quantile of each step's observations; `None` where there are none.
    pub(super) fn quantiles(&self, quantile: f64) -> Vec<Option<f64>> {
        self.observed.iter().map(|observed| observed.quantile(quantile)).collect()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::metrics::v1::NumberDataPoint;
    use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const SUM: Kind = Kind::Sum { monotonic: true, cumulative: true };

    fn point(start: u64, time: u64, value: i64) -> Point {
        let data = NumberDataPoint {
            start_time_unix_nano: start * SECOND,
            time_unix_nano: time * SECOND,
            value: Some(Value::AsInt(value)),
            ..NumberDataPoint::default()
        };
        Point { order: 1, data: PointData::Number(data) }
    }

    fn reading(steps: Steps) -> Reading<'static> {
        Reading { loaded_from: 0, step_ns: steps.step_ns, exports: &[] }
    }

    fn rates(points: &[Point], steps: Steps) -> Vec<Option<f64>> {
        let mut spread = Spread::new(steps);
        increases(SUM, points, reading(steps)).iter().for_each(|increase| spread.add(increase));
        spread.rates()
    }

    /// Scenario: a counter restarts between two points. Guarantees: what was counted after the restart counts, nothing
    /// is negative, and the time in which the process was away is not covered (P6).
    #[test]
    fn a_restart_is_no_dip() {
        let points = [point(100, 110, 10), point(100, 120, 30), point(130, 140, 5), point(130, 150, 25)];
        let steps = Steps { from: 100 * SECOND, step_ns: 10 * SECOND, count: 5 };
        assert_eq!(rates(&points, steps), [Some(1.0), Some(2.0), None, Some(0.5), Some(2.0)]);
    }

    /// Scenario: ten minutes without points. Guarantees: unknown, not a line drawn through the hole.
    #[test]
    fn a_hole_is_not_interpolated() {
        let points = [point(100, 110, 10), point(100, 120, 20), point(100, 720, 40), point(100, 730, 50)];
        let steps = Steps { from: 110 * SECOND, step_ns: 10 * SECOND, count: 62 };
        let rates = rates(&points, steps);
        assert_eq!((rates[0], rates[61]), (Some(1.0), Some(1.0)));
        assert!(rates[1..61].iter().all(Option::is_none), "{rates:?}");
    }

    /// Scenario: points of an interval that does not fit the steps. Guarantees: the sum over steps is the increase.
    #[test]
    fn spreading_loses_nothing() {
        let points: Vec<Point> = (0..40).map(|number| point(97, 100 + number * 7, (number * number) as i64)).collect();
        let steps = Steps { from: 90 * SECOND, step_ns: 10 * SECOND, count: 40 };
        let mut spread = Spread::new(steps);
        increases(SUM, &points, reading(steps)).iter().for_each(|increase| spread.add(increase));
        let total: f64 = spread.totals.iter().sum();
        assert!((total - f64::from(39 * 39)).abs() < 1e-6, "{total}");
    }
}
