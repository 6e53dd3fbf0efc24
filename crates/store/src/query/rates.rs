//! From points to steps: increases between points, spread over the steps that they cover; nothing is interpolated over
//! a hole.

use std::collections::HashMap;
use std::sync::Arc;

use prost::Message;

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

/// The counts that grow in a point: one for a number, count and buckets for a histogram.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Counts {
    /// The number, or the count of observations.
    pub(super) total: f64,
    /// Upper bounds of the buckets but the last, whose bound is infinite.
    pub(super) bounds: Vec<f64>,
    /// What fell into each bucket.
    pub(super) buckets: Vec<f64>,
}

impl Counts {
    pub(super) fn of(data: &PointData) -> Option<Self> {
        match data {
            PointData::Number(_) => number(data).map(|total| Self { total, bounds: Vec::new(), buckets: Vec::new() }),
            PointData::Histogram(point) => Some(Self {
                total: point.count as f64,
                bounds: point.explicit_bounds.clone(),
                buckets: point.bucket_counts.iter().map(|count| *count as f64).collect(),
            }),
            PointData::Exponential(point) => {
                let base = 2f64.powf(2f64.powi(-point.scale));
                let mut slots: Vec<(f64, f64)> = Vec::new();
                if let Some(negative) = &point.negative {
                    for (place, count) in negative.bucket_counts.iter().enumerate().rev() {
                        // Bucket `i` of the negative range holds (-base^(i+1), -base^i].
                        slots.push((-base.powi(negative.offset + place as i32), *count as f64));
                    }
                }
                if point.zero_count > 0 || !slots.is_empty() {
                    slots.push((point.zero_threshold, point.zero_count as f64));
                }
                if let Some(positive) = &point.positive {
                    if slots.is_empty() {
                        // The first bound is where the first bucket begins.
                        slots.push((base.powi(positive.offset), 0.0));
                    }
                    for (place, count) in positive.bucket_counts.iter().enumerate() {
                        slots.push((base.powi(positive.offset + place as i32 + 1), *count as f64));
                    }
                }
                let (bounds, mut buckets): (Vec<f64>, Vec<f64>) = slots.into_iter().unzip();
                buckets.push(0.0);
                Some(Self { total: point.count as f64, bounds, buckets })
            }
            PointData::Summary(point) => {
                Some(Self { total: point.count as f64, bounds: Vec::new(), buckets: Vec::new() })
            }
        }
    }

    /// What was added since `before`; `None` when it is not a later state of the same counting.
    fn since(&self, before: &Counts) -> Option<Counts> {
        let shrank = self.total < before.total
            || self.bounds != before.bounds
            || self.buckets.len() != before.buckets.len()
            || self.buckets.iter().zip(&before.buckets).any(|(now, then)| now < then);
        (!shrank).then(|| Counts {
            total: self.total - before.total,
            bounds: self.bounds.clone(),
            buckets: self.buckets.iter().zip(&before.buckets).map(|(now, then)| now - then).collect(),
        })
    }
}

/// The value of a gauge's or sum's point.
pub(super) fn number(data: &PointData) -> Option<f64> {
    use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
    match data {
        PointData::Number(point) => point.value.as_ref().map(|value| match value {
            Value::AsDouble(number) => *number,
            Value::AsInt(number) => *number as f64,
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
        let began_anew = *start != 0 && *start_before != 0 && start > start_before && *start >= *before;
        let added = if began_anew { None } else { counts.since(counts_before) };
        match added {
            Some(added) if time - before <= widest => {
                increases.push(Increase { from: *before, to: *time, counts: added });
            }
            Some(_) => {}
            // A restart: everything counted since it.
            None => {
                let from = if *start > *before && start < time { *start } else { *before };
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
    bounds: Vec<f64>,
    buckets: Vec<Vec<f64>>,
}

impl Spread {
    pub(super) fn new(steps: Steps) -> Self {
        Self {
            steps,
            covered: vec![0; steps.count],
            totals: vec![0.0; steps.count],
            bounds: Vec::new(),
            buckets: vec![Vec::new(); steps.count],
        }
    }

    /// Spreads an increase evenly over the time in which it happened. Buckets with other bounds than the first ones
    /// seen are put where their upper bound belongs.
    pub(super) fn add(&mut self, increase: &Increase) {
        let Counts { total, bounds, buckets } = &increase.counts;
        let places: Vec<usize> = if buckets.is_empty() {
            Vec::new()
        } else {
            for bound in bounds {
                if let Err(place) = self.bounds.binary_search_by(|known| known.total_cmp(bound)) {
                    self.bounds.insert(place, *bound);
                    for step in self.buckets.iter_mut().filter(|step| !step.is_empty()) {
                        step.insert(place, 0.0);
                    }
                }
            }
            let last = self.bounds.len();
            let place = |bound: &f64| self.bounds.binary_search_by(|known| known.total_cmp(bound)).unwrap_or(last);
            bounds.iter().map(place).chain([last]).collect()
        };
        let width = self.bounds.len() + 1;
        for (number, overlap, share) in self.steps.overlaps(increase.from, increase.to) {
            self.covered[number] = (self.covered[number] + overlap).min(self.steps.step_ns);
            self.totals[number] += total * share;
            if !buckets.is_empty() {
                let step = &mut self.buckets[number];
                step.resize(width, 0.0);
                for (place, count) in places.iter().zip(buckets) {
                    step[*place] += count * share;
                }
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
        self.buckets.iter().map(|buckets| bucket_quantile(quantile, &self.bounds, buckets)).collect()
    }
}

/// The quantile by linear interpolation inside its bucket, as Prometheus' `histogram_quantile` does: the first bucket
/// begins at 0 where its bound is positive, and what lies beyond the last bound counts as the last bound.
pub(super) fn bucket_quantile(quantile: f64, bounds: &[f64], buckets: &[f64]) -> Option<f64> {
    let total: f64 = buckets.iter().sum();
    if total <= 0.0 || bounds.is_empty() {
        return None;
    }
    let rank = quantile * total;
    let mut below = 0.0;
    for (place, count) in buckets.iter().enumerate() {
        if *count > 0.0 && below + count >= rank {
            let Some(upper) = bounds.get(place) else { break };
            let lower = match place.checked_sub(1) {
                Some(before) => bounds[before],
                None if *upper > 0.0 => 0.0,
                None => return Some(*upper),
            };
            return Some(lower + (upper - lower) * ((rank - below) / count).clamp(0.0, 1.0));
        }
        below += count;
    }
    bounds.last().copied()
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

    /// Scenario: known buckets. Guarantees: Prometheus' interpolation.
    #[test]
    fn quantiles_interpolate_in_their_bucket() {
        let bounds = [10.0, 20.0, 40.0];
        assert_eq!(bucket_quantile(0.5, &bounds, &[10.0, 10.0, 0.0, 0.0]), Some(10.0));
        assert_eq!(bucket_quantile(0.75, &bounds, &[10.0, 10.0, 0.0, 0.0]), Some(15.0));
        assert_eq!(bucket_quantile(0.25, &bounds, &[10.0, 10.0, 0.0, 0.0]), Some(5.0));
        assert_eq!(bucket_quantile(0.99, &bounds, &[0.0, 0.0, 0.0, 3.0]), Some(40.0));
        assert_eq!(bucket_quantile(0.5, &bounds, &[0.0; 4]), None);
    }
}
