//! Quantiles and fractions of histograms, native and classic.

use super::Histogram;
use super::buckets::Bucket;

/// What NaNs among the observations do to an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NanEffect {
    /// Nothing.
    None,
    /// The answer is NaN.
    Result,
    /// The answer is higher than without them.
    Skewed,
}

/// A quantile of a native histogram.
pub(crate) fn quantile(q: f64, histogram: &Histogram) -> (f64, NanEffect) {
    if q < 0.0 {
        return (f64::NEG_INFINITY, NanEffect::None);
    }
    if q > 1.0 {
        return (f64::INFINITY, NanEffect::None);
    }
    if histogram.count == 0.0 || q.is_nan() {
        return (f64::NAN, NanEffect::None);
    }
    let nan = histogram.sum.is_nan();
    // From the nearer end, which is more exact.
    let forward = nan || q < 0.5;
    let mut buckets = histogram.buckets();
    let rank = if forward {
        q * histogram.count
    } else {
        buckets.reverse();
        (1.0 - q) * histogram.count
    };
    let mut bucket = Bucket { lower: 0.0, upper: 0.0, lower_inclusive: false, upper_inclusive: false, count: 0.0 };
    let (mut count, mut after) = (0.0, buckets.len());
    for (at, own) in buckets.iter().enumerate() {
        bucket = *own;
        if own.count == 0.0 {
            continue;
        }
        count += own.count;
        if count >= rank {
            after = at + 1;
            break;
        }
    }
    if histogram.is_custom() {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return (bucket.upper, NanEffect::None);
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return (bucket.lower, NanEffect::None);
        }
    } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
        one_sided(histogram, &mut bucket);
    }
    count = count.min(histogram.count);
    if count < rank {
        return if nan { (f64::NAN, NanEffect::Result) } else { (bucket.upper, NanEffect::None) };
    }
    let inside = if forward { rank - (count - bucket.count) } else { count - rank };
    let mut effect = NanEffect::None;
    if nan {
        let rest: f64 = buckets[after..].iter().map(|bucket| bucket.count).sum();
        if count + rest < histogram.count {
            effect = NanEffect::Skewed;
        }
    }
    let share = inside / bucket.count;
    if histogram.is_custom() || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        return (bucket.lower + (bucket.upper - bucket.lower) * share, effect);
    }
    let (lower, upper) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
    if bucket.lower > 0.0 {
        ((lower + (upper - lower) * share).exp2(), effect)
    } else {
        (-(upper + (lower - upper) * (1.0 - share)).exp2(), effect)
    }
}

/// A zero bucket of a histogram with one side only has observations on that side.
fn one_sided(histogram: &Histogram, bucket: &mut Bucket) {
    if histogram.negative.is_empty() && !histogram.positive.is_empty() {
        bucket.lower = 0.0;
    } else if histogram.positive.is_empty() && !histogram.negative.is_empty() {
        bucket.upper = 0.0;
    }
}

/// The ranks of two values among buckets that come in ascending order.
struct Ranks {
    wanted: [f64; 2],
    found: [Option<f64>; 2],
    rank: f64,
}

impl Ranks {
    fn new(lower: f64, upper: f64) -> Self {
        Self { wanted: [lower, upper], found: [None; 2], rank: 0.0 }
    }

    /// Looks at a bucket; `inside` is the rank of a value in it. True where both are found.
    fn look(&mut self, lower: f64, upper: f64, inside: impl Fn(f64, f64) -> f64) -> bool {
        for (wanted, found) in self.wanted.into_iter().zip(&mut self.found) {
            if found.is_none() && lower >= wanted {
                *found = Some(self.rank);
            } else if found.is_none() && upper > wanted {
                *found = Some(inside(self.rank, wanted));
            }
        }
        self.found.iter().all(Option::is_some)
    }

    /// How much lies between the two, of so much in all.
    fn between(&self, all: f64) -> f64 {
        let rank = |found: Option<f64>| found.filter(|rank| *rank <= all).unwrap_or(all);
        rank(self.found[1]) - rank(self.found[0])
    }
}

/// The share of observations between two values; true where NaNs are left out.
pub(crate) fn fraction(lower: f64, upper: f64, histogram: &Histogram) -> (f64, bool) {
    if histogram.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, false);
    }
    if lower >= upper {
        return (0.0, false);
    }
    let custom = histogram.is_custom();
    let buckets = histogram.buckets();
    let mut ranks = Ranks::new(lower, upper);
    for bucket in &buckets {
        let mut bucket = *bucket;
        let mut linear = custom;
        if custom {
            if bucket.lower == f64::NEG_INFINITY && bucket.upper > 0.0 {
                bucket.lower = 0.0;
            }
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            linear = true;
            one_sided(histogram, &mut bucket);
        }
        let inside = |rank: f64, value: f64| {
            if linear && bucket.lower == f64::NEG_INFINITY {
                return bucket.count;
            }
            rank + bucket.count * bucket.below(value, linear)
        };
        if ranks.look(bucket.lower, bucket.upper, inside) {
            break;
        }
        ranks.rank += bucket.count;
    }
    let nan = histogram.sum.is_nan();
    let all = if nan { buckets.iter().map(|bucket| bucket.count).sum() } else { histogram.count };
    (ranks.between(all) / histogram.count, nan && all < histogram.count)
}

/// A bucket of a classic histogram: its upper bound, and the count of all up to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClassicBucket {
    pub(crate) upper: f64,
    pub(crate) count: f64,
}

/// Counts that fell with growing bounds, and were taken as if they had not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ForcedMonotonic {
    pub(crate) lowest: f64,
    pub(crate) highest: f64,
    pub(crate) most: f64,
}

/// Sorted, with equal bounds together; nothing where the last is not `+Inf`.
fn in_order(buckets: &mut Vec<ClassicBucket>) -> bool {
    buckets.sort_by(|a, b| a.upper.total_cmp(&b.upper));
    buckets.dedup_by(|later, first| {
        let same = later.upper == first.upper;
        if same {
            first.count += later.count;
        }
        same
    });
    buckets.last().is_some_and(|last| last.upper == f64::INFINITY)
}

/// A quantile of a classic histogram.
pub(crate) fn classic_quantile(q: f64, mut buckets: Vec<ClassicBucket>) -> (f64, Option<ForcedMonotonic>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if !in_order(&mut buckets) {
        return (f64::NAN, None);
    }
    let forced = make_monotonic(&mut buckets);
    let last = buckets.len() - 1;
    let observations = buckets[last].count;
    if last == 0 || observations == 0.0 {
        return (f64::NAN, forced);
    }
    let mut rank = q * observations;
    // As a search for the first bucket that reaches the rank; with NaN in it, as Go's does.
    let at = buckets[..last]
        .partition_point(|bucket| !matches!(bucket.count.partial_cmp(&rank), Some(order) if order.is_ge()));
    let value = if at == last {
        buckets[last - 1].upper
    } else if at == 0 && buckets[0].upper <= 0.0 {
        buckets[0].upper
    } else {
        let (mut start, end, mut count) = (0.0, buckets[at].upper, buckets[at].count);
        if at > 0 {
            start = buckets[at - 1].upper;
            count -= buckets[at - 1].count;
            rank -= buckets[at - 1].count;
        }
        start + (end - start) * (rank / count)
    };
    (value, forced)
}

fn make_monotonic(buckets: &mut [ClassicBucket]) -> Option<ForcedMonotonic> {
    let mut forced: Option<ForcedMonotonic> = None;
    let mut before = buckets.first()?.count;
    for bucket in buckets.iter_mut().skip(1) {
        let count = bucket.count;
        if count == before {
            continue;
        }
        if nearly_equal(before, count, 1e-12) {
            bucket.count = before;
        } else if count < before {
            bucket.count = before;
            let own = forced.get_or_insert(ForcedMonotonic { lowest: bucket.upper, highest: bucket.upper, most: 0.0 });
            own.lowest = own.lowest.min(bucket.upper);
            own.highest = own.highest.max(bucket.upper);
            own.most = own.most.max(before - count);
        } else {
            before = count;
        }
    }
    forced
}

/// Whether two numbers differ by less than a share of their sum.
pub(crate) fn nearly_equal(a: f64, b: f64, share: f64) -> bool {
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < share * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < share
}

/// The share of observations between two values, of a classic histogram.
pub(crate) fn classic_fraction(lower: f64, upper: f64, mut buckets: Vec<ClassicBucket>) -> f64 {
    if !in_order(&mut buckets) {
        return f64::NAN;
    }
    let all = buckets.last().map_or(0.0, |last| last.count);
    if all == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let mut ranks = Ranks::new(lower, upper);
    let mut below = if buckets[0].upper <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    for bucket in &buckets {
        let inside = |rank: f64, value: f64| {
            if below == f64::NEG_INFINITY {
                return bucket.count;
            }
            rank + (bucket.count - rank) * (value - below) / (bucket.upper - below)
        };
        if ranks.look(below, bucket.upper, inside) {
            break;
        }
        ranks.rank = bucket.count;
        below = bucket.upper;
    }
    ranks.between(all) / all
}
