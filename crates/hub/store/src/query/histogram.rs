//! Histograms by the data model: what two of them have in common, what one has counted since the other, and quantiles
//! inside their buckets (OpenTelemetry metrics data model, "ExponentialHistogram").

use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::{ExponentialHistogramDataPoint, HistogramDataPoint};

/// A count of observations: whole as it comes from a point, in parts after it was spread over steps.
pub(super) trait Count:
    Copy + Default + PartialOrd + std::ops::Add<Output = Self> + std::ops::Sub<Output = Self>
{
    fn is_none(self) -> bool {
        self == Self::default()
    }
}

// Sums of any number of u64 that fit into memory fit into it.
impl Count for u128 {}
impl Count for f64 {}

/// Buckets between explicit bounds; the last one has no upper bound.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Explicit<T> {
    /// Upper bounds, rising.
    pub(super) bounds: Vec<f64>,
    /// One more than there are bounds.
    pub(super) buckets: Vec<T>,
}

/// Buckets of exponential width; those that are empty are left out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Exponential<T> {
    pub(super) scale: i32,
    /// What lies between it and its negative is in the zero bucket.
    pub(super) zero_threshold: f64,
    pub(super) zero: T,
    /// Index and count, rising: bucket `i` holds (base^i, base^(i+1)].
    pub(super) positive: Vec<(i64, T)>,
    /// The same for the absolute values of what is below zero.
    pub(super) negative: Vec<(i64, T)>,
}

/// The buckets of a point.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape<T> {
    /// It has none, or none that can be read.
    None,
    Explicit(Explicit<T>),
    Exponential(Exponential<T>),
}

/// Where bucket `index - 1` ends and bucket `index` begins.
pub(super) fn bound(scale: i32, index: i64) -> f64 {
    let scale = scale.clamp(-1000, 1000);
    (index as f64 * f64::from(-scale).exp2()).exp2()
}

fn side(buckets: Option<&Buckets>) -> Vec<(i64, u128)> {
    let Some(buckets) = buckets else { return Vec::new() };
    let counted = (i64::from(buckets.offset)..).zip(&buckets.bucket_counts);
    counted.filter(|(_, count)| **count > 0).map(|(index, count)| (index, u128::from(*count))).collect()
}

/// Adds counts of one index up; `places` rises.
fn gather<T: Count>(places: impl Iterator<Item = (i64, T)>) -> Vec<(i64, T)> {
    let mut gathered: Vec<(i64, T)> = Vec::new();
    for (index, count) in places {
        match gathered.last_mut() {
            Some((last, sum)) if *last == index => *sum = *sum + count,
            _ => gathered.push((index, count)),
        }
    }
    gathered
}

/// Both sides' indexes, rising, with what each side has there.
fn zipped<T: Count>(a: &[(i64, T)], b: &[(i64, T)]) -> Vec<(i64, T, T)> {
    let (mut a, mut b) = (a.iter().copied().peekable(), b.iter().copied().peekable());
    let mut all = Vec::new();
    loop {
        let next = match (a.peek(), b.peek()) {
            (None, None) => return all,
            (Some((index, _)), None) | (None, Some((index, _))) => *index,
            (Some((left, _)), Some((right, _))) => *left.min(right),
        };
        let of = |side: &mut std::iter::Peekable<_>| side.next_if(|(index, _)| *index == next);
        let (left, right) = (of(&mut a), of(&mut b));
        let count = |found: Option<(i64, T)>| found.map_or_else(T::default, |(_, count)| count);
        all.push((next, count(left), count(right)));
    }
}

impl<T: Count> Exponential<T> {
    /// Takes it to a smaller scale: each step joins two neighbours.
    fn downscale(&mut self, scale: i32) {
        let by = u32::try_from(i64::from(self.scale) - i64::from(scale)).unwrap_or(0).min(63);
        if by > 0 {
            for side in [&mut self.positive, &mut self.negative] {
                *side = gather(side.iter().map(|(index, count)| (index >> by, *count)));
            }
            self.scale = scale;
        }
    }

    /// Widens the zero bucket to `threshold`, or to the end of the bucket that it lies in: what lies below cannot be told
    /// apart any more.
    fn widen_zero(&mut self, threshold: f64) {
        if threshold <= self.zero_threshold {
            return;
        }
        let mut threshold = threshold;
        loop {
            let before = threshold;
            for side in [&self.positive, &self.negative] {
                let reached = side.iter().take_while(|(index, _)| bound(self.scale, *index) < threshold);
                if let Some((last, _)) = reached.last() {
                    threshold = threshold.max(bound(self.scale, last + 1));
                }
            }
            if threshold == before {
                break;
            }
        }
        for side in [&mut self.positive, &mut self.negative] {
            let below = side.partition_point(|(index, _)| bound(self.scale, *index) < threshold);
            self.zero = side.drain(..below).fold(self.zero, |sum, (_, count)| sum + count);
        }
        self.zero_threshold = threshold;
    }

    /// Gives two histograms one scale and one zero bucket.
    fn align(&mut self, other: &mut Self) {
        // First the zero buckets: at its own scale each can tell most exactly what lies below.
        while self.zero_threshold != other.zero_threshold {
            let widest = self.zero_threshold.max(other.zero_threshold);
            self.widen_zero(widest);
            other.widen_zero(widest);
        }
        let scale = self.scale.min(other.scale);
        self.downscale(scale);
        other.downscale(scale);
    }

    fn since(mut self, mut before: Self) -> Option<Self> {
        self.align(&mut before);
        let less = |now: &[(i64, T)], then: &[(i64, T)]| -> Option<Vec<(i64, T)>> {
            let added = zipped(now, then).into_iter();
            let added = added.map(|(index, now, then)| (now >= then).then(|| (index, now - then)));
            let added: Vec<(i64, T)> = added.collect::<Option<_>>()?;
            Some(added.into_iter().filter(|(_, count)| !count.is_none()).collect())
        };
        if self.zero < before.zero {
            return None;
        }
        Some(Self {
            positive: less(&self.positive, &before.positive)?,
            negative: less(&self.negative, &before.negative)?,
            zero: self.zero - before.zero,
            ..self
        })
    }

    fn add(&mut self, mut other: Self) {
        self.align(&mut other);
        let sum =
            |a: &[(i64, T)], b: &[(i64, T)]| zipped(a, b).into_iter().map(|(index, a, b)| (index, a + b)).collect();
        self.positive = sum(&self.positive, &other.positive);
        self.negative = sum(&self.negative, &other.negative);
        self.zero = self.zero + other.zero;
    }
}

impl<T: Count> Explicit<T> {
    /// Joins buckets until only these bounds, which are some of its own, are left.
    fn coarsen(self, bounds: &[f64]) -> Self {
        let mut buckets = vec![T::default(); bounds.len() + 1];
        for (place, count) in self.buckets.into_iter().enumerate() {
            let upper = self.bounds.get(place);
            let place = upper.map_or(bounds.len(), |upper| bounds.partition_point(|bound| bound < upper));
            buckets[place] = buckets[place] + count;
        }
        Self { bounds: bounds.to_vec(), buckets }
    }

    fn since(self, before: Self) -> Option<Self> {
        let common: Vec<f64> = self.bounds.iter().copied().filter(|bound| before.bounds.contains(bound)).collect();
        let (now, then) = (self.coarsen(&common), before.coarsen(&common));
        let pairs = now.buckets.iter().zip(&then.buckets);
        let buckets = pairs.map(|(now, then)| (now >= then).then(|| *now - *then)).collect::<Option<_>>()?;
        Some(Self { bounds: common, buckets })
    }
}

impl Shape<u128> {
    pub(super) fn of_explicit(point: &HistogramDataPoint) -> Self {
        let bounds = &point.explicit_bounds;
        let rises = bounds.windows(2).all(|pair| pair[0] < pair[1]) && bounds.iter().all(|bound| !bound.is_nan());
        if point.bucket_counts.is_empty() || point.bucket_counts.len() != bounds.len() + 1 || !rises {
            return Shape::None;
        }
        let buckets = point.bucket_counts.iter().map(|count| u128::from(*count)).collect();
        Shape::Explicit(Explicit { bounds: bounds.clone(), buckets })
    }

    pub(super) fn of_exponential(point: &ExponentialHistogramDataPoint) -> Self {
        let threshold = point.zero_threshold;
        Shape::Exponential(Exponential {
            scale: point.scale,
            zero_threshold: if threshold.is_finite() && threshold > 0.0 { threshold } else { 0.0 },
            zero: u128::from(point.zero_count),
            positive: side(point.positive.as_ref()),
            negative: side(point.negative.as_ref()),
        })
    }

    /// Each count times `share`.
    pub(super) fn times(&self, share: f64) -> Shape<f64> {
        let part = |count: &u128| *count as f64 * share;
        let side = |side: &[(i64, u128)]| side.iter().map(|(index, count)| (*index, part(count))).collect();
        match self {
            Shape::None => Shape::None,
            Shape::Explicit(Explicit { bounds, buckets }) => {
                Shape::Explicit(Explicit { bounds: bounds.clone(), buckets: buckets.iter().map(part).collect() })
            }
            Shape::Exponential(one) => Shape::Exponential(Exponential {
                scale: one.scale,
                zero_threshold: one.zero_threshold,
                zero: part(&one.zero),
                positive: side(&one.positive),
                negative: side(&one.negative),
            }),
        }
    }
}

impl<T: Count> Shape<T> {
    /// What was counted since `before`; `None` when this is no later state of the same counting.
    pub(super) fn since(self, before: Self) -> Option<Self> {
        match (self, before) {
            (Shape::Explicit(now), Shape::Explicit(then)) => now.since(then).map(Shape::Explicit),
            (Shape::Exponential(now), Shape::Exponential(then)) => now.since(then).map(Shape::Exponential),
            // How it is spread over buckets is not known; the number of observations is.
            _ => Some(Shape::None),
        }
    }
}

/// A bucket with its bounds, for interpolation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bucket {
    pub(super) lower: f64,
    pub(super) upper: f64,
    pub(super) count: f64,
    /// Whether values lie evenly on a logarithmic scale.
    pub(super) is_logarithmic: bool,
}

impl Bucket {
    fn at(&self, fraction: f64) -> f64 {
        let fraction = fraction.clamp(0.0, 1.0);
        if self.lower == self.upper {
            return self.lower;
        }
        if !self.is_logarithmic || (self.lower <= 0.0 && self.upper >= 0.0) {
            return self.lower * (1.0 - fraction) + self.upper * fraction;
        }
        let (lower, upper) = (self.lower.abs().log2(), self.upper.abs().log2());
        if self.lower > 0.0 {
            (lower + (upper - lower) * fraction).exp2()
        } else {
            -(upper + (lower - upper) * (1.0 - fraction)).exp2()
        }
    }

    /// The share of its observations that are at most `value`, as if they lay evenly.
    fn share_below(&self, value: f64) -> f64 {
        if value >= self.upper {
            1.0
        } else if value <= self.lower {
            0.0
        } else {
            (value - self.lower) / (self.upper - self.lower)
        }
    }
}

impl Exponential<f64> {
    /// Its buckets by value, finite: what is beyond the largest number counts as that.
    fn buckets(&self) -> Vec<Bucket> {
        let edge = |index| bound(self.scale, index).min(f64::MAX);
        // A bucket that reaches below the threshold holds only what lies above it.
        let inner = |index| {
            if self.zero_threshold < edge(index + 1) { edge(index).max(self.zero_threshold) } else { edge(index) }
        };
        let mut buckets = Vec::with_capacity(self.negative.len() + self.positive.len() + 1);
        for (index, count) in self.negative.iter().rev() {
            let (lower, upper) = (-edge(index + 1), -inner(*index));
            buckets.push(Bucket { lower, upper, count: *count, is_logarithmic: true });
        }
        if self.zero > 0.0 {
            // With values on one side only, those near zero are taken to lie on that side.
            let lower = if self.negative.is_empty() && !self.positive.is_empty() { 0.0 } else { -self.zero_threshold };
            let upper = if self.positive.is_empty() && !self.negative.is_empty() { 0.0 } else { self.zero_threshold };
            buckets.push(Bucket { lower, upper, count: self.zero, is_logarithmic: false });
        }
        for (index, count) in &self.positive {
            let (lower, upper) = (inner(*index), edge(index + 1));
            buckets.push(Bucket { lower, upper, count: *count, is_logarithmic: true });
        }
        buckets
    }
}

impl Explicit<f64> {
    /// Its buckets by value, as Prometheus' `histogram_quantile` takes them: the first begins at 0 where its bound is
    /// positive, what lies beyond the last bound counts as the last bound.
    fn buckets(&self) -> Vec<Bucket> {
        let bucket = |(place, count): (usize, &f64)| {
            let before = place.checked_sub(1).and_then(|place| self.bounds.get(place)).copied();
            let (lower, upper) = match (before, self.bounds.get(place).copied()) {
                (Some(lower), Some(upper)) if upper.is_finite() => (lower, upper),
                (Some(lower), _) => (lower, lower),
                (None, Some(upper)) if upper > 0.0 && upper.is_finite() => (0.0, upper),
                (None, Some(upper)) if upper.is_finite() => (upper, upper),
                (None, _) => return None,
            };
            Some(Bucket { lower, upper, count: *count, is_logarithmic: false })
        };
        self.buckets.iter().enumerate().filter_map(bucket).collect()
    }
}

/// Histograms added up, whatever their buckets are.
#[derive(Debug, Clone, Default)]
pub(super) struct Mixture {
    explicit: Vec<Explicit<f64>>,
    exponential: Option<Exponential<f64>>,
    /// Smallest and largest observation, while every part tells them.
    range: Option<(f64, f64)>,
    is_open: bool,
}

impl Mixture {
    /// Adds a histogram; `range` is its smallest and largest observation, where it tells them.
    pub(super) fn add(&mut self, shape: Shape<f64>, range: Option<(f64, f64)>) {
        match range {
            Some((min, max)) if !self.is_open => {
                let known = self.range.get_or_insert((min, max));
                *known = (known.0.min(min), known.1.max(max));
            }
            _ => {
                self.is_open = true;
                self.range = None;
            }
        }
        match shape {
            Shape::None => {}
            Shape::Explicit(one) => match self.explicit.iter_mut().find(|other| other.bounds == one.bounds) {
                Some(same) => same.buckets.iter_mut().zip(one.buckets).for_each(|(sum, count)| *sum += count),
                None => self.explicit.push(one),
            },
            Shape::Exponential(one) => match &mut self.exponential {
                Some(sum) => sum.add(one),
                none => *none = Some(one),
            },
        }
    }

    /// The quantile of the observations; `None` where there are none.
    pub(super) fn quantile(&self, quantile: f64) -> Option<f64> {
        let found = match (&self.exponential, self.explicit.as_slice()) {
            (Some(one), []) => in_order(quantile, &one.buckets()),
            (None, [one]) => in_order(quantile, &one.buckets()),
            (exponential, explicit) => {
                let mut buckets: Vec<Bucket> = exponential.iter().flat_map(Exponential::buckets).collect();
                buckets.extend(explicit.iter().flat_map(Explicit::buckets));
                of_overlapping(quantile, &buckets)
            }
        }?;
        Some(self.range.map_or(found, |(min, max)| if min <= max { found.clamp(min, max) } else { found }))
    }
}

/// The quantile of buckets that lie one after the other, as Prometheus finds it: from below for the lower half, from
/// above for the upper one.
fn in_order(quantile: f64, buckets: &[Bucket]) -> Option<f64> {
    let total: f64 = buckets.iter().map(|bucket| bucket.count).sum();
    let filled = || buckets.iter().filter(|bucket| bucket.count > 0.0);
    let from_above = quantile >= 0.5;
    let rank = if from_above { (1.0 - quantile) * total } else { quantile * total };
    let mut passed = 0.0;
    let mut last = None;
    let mut find = |bucket: &Bucket| {
        passed += bucket.count;
        last = Some((*bucket, passed));
        passed >= rank
    };
    let _found = if from_above { filled().rev().any(&mut find) } else { filled().any(&mut find) };
    let (bucket, passed) = last?;
    let inside = if from_above { passed - rank } else { rank - (passed - bucket.count) };
    Some(bucket.at(inside / bucket.count))
}

/// The quantile of buckets that may overlap: observations lie evenly inside each.
fn of_overlapping(quantile: f64, buckets: &[Bucket]) -> Option<f64> {
    let filled: Vec<&Bucket> = buckets.iter().filter(|bucket| bucket.count > 0.0).collect();
    let total: f64 = filled.iter().map(|bucket| bucket.count).sum();
    let rank = quantile * total;
    let mut edges: Vec<f64> = filled.iter().flat_map(|bucket| [bucket.lower, bucket.upper]).collect();
    edges.sort_by(f64::total_cmp);
    edges.dedup();
    let below = |value: f64| filled.iter().map(|bucket| bucket.count * bucket.share_below(value)).sum::<f64>();
    let place = edges.partition_point(|edge| below(*edge) < rank);
    let upper = *edges.get(place).or(edges.last())?;
    let Some(lower) = place.checked_sub(1).map(|before| edges[before]) else { return Some(upper) };
    let (under, over) = (below(lower), below(upper));
    Some(if over > under { lower + (upper - lower) * ((rank - under) / (over - under)).clamp(0.0, 1.0) } else { upper })
}
