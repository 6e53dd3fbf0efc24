//! The buckets of a histogram with their bounds, and what follows from them.

use super::{Buckets, CUSTOM, Histogram, ResetHint};

/// A bucket with its bounds.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// The lower bound.
    pub lower: f64,
    /// The upper bound.
    pub upper: f64,
    /// Whether the lower bound is in it.
    pub lower_inclusive: bool,
    /// Whether the upper bound is in it.
    pub upper_inclusive: bool,
    /// What is in it.
    pub count: f64,
}

impl Bucket {
    /// The share of a bucket that is below a value inside it.
    pub(crate) fn below(&self, value: f64, linear: bool) -> f64 {
        if linear {
            return (value - self.lower) / (self.upper - self.lower);
        }
        let (lower, upper, value_log) = (self.lower.abs().log2(), self.upper.abs().log2(), value.abs().log2());
        if value > 0.0 { (value_log - lower) / (upper - lower) } else { 1.0 - (value_log - upper) / (lower - upper) }
    }
}

/// The upper bound of an exponential bucket.
pub(super) fn bound(index: i32, schema: i32) -> f64 {
    let exponent = f64::from(index) * (-f64::from(schema)).exp2();
    if exponent == 1024.0 { f64::MAX } else { exponent.exp2() }
}

/// The index of a bucket where its histogram is taken to a smaller schema.
fn index_at(index: i32, from: i32, to: i32) -> i32 {
    let shift = u32::try_from(from.saturating_sub(to)).unwrap_or(0).min(62);
    let at = ((i64::from(index) - 1) >> shift) + 1;
    i32::try_from(at).unwrap_or(if at < 0 { i32::MIN } else { i32::MAX })
}

/// Buckets at a smaller schema, those that come together folded with `add`.
pub(super) fn reduced<T: Copy>(side: &[(i32, T)], from: i32, to: i32, add: impl Fn(T, T) -> T) -> Vec<(i32, T)> {
    let mut out: Vec<(i32, T)> = Vec::with_capacity(side.len());
    for (index, value) in side {
        let index = if to < from { index_at(*index, from, to) } else { *index };
        match out.last_mut() {
            Some((last, sum)) if *last == index => *sum = add(*sum, *value),
            _ => out.push((index, *value)),
        }
    }
    out
}

impl Histogram {
    /// The bound at an index: of a bucket its upper one.
    fn custom_bound(&self, index: i32) -> f64 {
        match usize::try_from(index) {
            Err(_) => f64::NEG_INFINITY,
            Ok(at) => self.bounds.get(at).copied().unwrap_or(f64::INFINITY),
        }
    }

    /// A bucket of the positive or the negative side.
    pub(super) fn bucket(&self, index: i32, count: f64, positive: bool) -> Bucket {
        if self.schema == CUSTOM {
            let (lower, upper) = (self.custom_bound(index.saturating_sub(1)), self.custom_bound(index));
            return Bucket { lower, upper, lower_inclusive: index == 0, upper_inclusive: true, count };
        }
        let (near, far) = (bound(index.saturating_sub(1), self.schema), bound(index, self.schema));
        let (lower, upper) = if positive { (near, far) } else { (-far, -near) };
        Bucket { lower, upper, lower_inclusive: lower < 0.0, upper_inclusive: upper > 0.0, count }
    }

    /// The zero bucket.
    pub(super) fn zero_bucket(&self) -> Bucket {
        Bucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            lower_inclusive: true,
            upper_inclusive: true,
            count: self.zero_count,
        }
    }

    /// All buckets, ascending, cut where the zero bucket begins.
    #[must_use]
    pub fn buckets(&self) -> Vec<Bucket> {
        let threshold = self.zero_threshold;
        let cut = |mut bucket: Bucket| {
            if bucket.upper < 0.0 && bucket.upper > -threshold {
                bucket.upper = -threshold;
            } else if bucket.lower > 0.0 && bucket.lower < threshold {
                bucket.lower = threshold;
            }
            bucket
        };
        let negative = self.negative.iter().rev().map(|(index, count)| cut(self.bucket(*index, *count, false)));
        let zero = (self.zero_count > 0.0).then(|| self.zero_bucket());
        let positive = self.positive.iter().map(|(index, count)| cut(self.bucket(*index, *count, true)));
        negative.chain(zero).chain(positive).collect()
    }

    /// At a schema, where that is coarser than its own.
    pub(crate) fn at_schema(mut self, schema: i32) -> Self {
        if !self.is_custom() && schema < self.schema {
            self.positive = reduced(&self.positive, self.schema, schema, |a, b| a + b);
            self.negative = reduced(&self.negative, self.schema, schema, |a, b| a + b);
            self.schema = schema;
        }
        self
    }

    /// What would be in a wider zero bucket, and how wide it has to be so that it cuts no bucket that is filled.
    pub(super) fn wider_zero(&self, mut threshold: f64) -> (f64, f64) {
        'again: loop {
            let mut zero = self.zero_count;
            for (index, count) in &self.positive {
                let bucket = self.bucket(*index, *count, true);
                if bucket.lower >= threshold {
                    break;
                }
                zero += count;
                if bucket.upper > threshold {
                    if *count != 0.0 {
                        threshold = bucket.upper;
                    }
                    break;
                }
            }
            for (index, count) in &self.negative {
                let bucket = self.bucket(*index, *count, false);
                if bucket.upper <= -threshold {
                    break;
                }
                zero += count;
                if bucket.lower < -threshold {
                    if *count != 0.0 {
                        threshold = -bucket.lower;
                        continue 'again;
                    }
                    break;
                }
            }
            return (zero, threshold);
        }
    }

    /// Whether the counter was reset since an earlier histogram.
    pub(crate) fn reset_since(&self, earlier: &Self) -> bool {
        match self.hint {
            ResetHint::Reset => return true,
            ResetHint::NotReset => return false,
            ResetHint::Unknown | ResetHint::Gauge => {}
        }
        if self.count < earlier.count {
            return true;
        }
        if self.is_custom() {
            if !earlier.is_custom() {
                return true;
            }
            if self.bounds != earlier.bounds {
                return self.reset_by_common_bounds(earlier);
            }
        }
        if self.schema > earlier.schema || self.zero_threshold < earlier.zero_threshold {
            return true;
        }
        let zero = if self.zero_threshold == earlier.zero_threshold {
            earlier.zero_count
        } else {
            let (zero, threshold) = earlier.wider_zero(self.zero_threshold);
            if threshold != self.zero_threshold {
                return true;
            }
            zero
        };
        if self.zero_count < zero {
            return true;
        }
        let fell = |now: &Buckets, before: &Buckets| {
            let before = reduced(before, earlier.schema, self.schema, |a, b| a + b);
            let wide = |index: i32| self.is_custom() || bound(index, self.schema) > self.zero_threshold;
            before.iter().skip_while(|(index, _)| !wide(*index)).any(|(index, count)| {
                let now = now.binary_search_by_key(index, |(index, _)| *index).map_or(0.0, |at| now[at].1);
                now < *count
            })
        };
        fell(&self.positive, &earlier.positive) || fell(&self.negative, &earlier.negative)
    }

    /// The same where both have bounds of their own that differ: what is below common bounds is compared.
    fn reset_by_common_bounds(&self, earlier: &Self) -> bool {
        let common = common_bounds(&self.bounds, &earlier.bounds);
        let now = onto_bounds(&self.positive, &self.bounds, &common, |a, b| a + b, 0.0);
        let before = onto_bounds(&earlier.positive, &earlier.bounds, &common, |a, b| a + b, 0.0);
        now.iter().zip(&before).any(|(now, before)| now < before)
    }
}

/// The bounds that two lists share.
pub(super) fn common_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().copied().filter(|bound| b.contains(bound)).collect()
}

/// Buckets counted into fewer bounds, the last for what is above all.
pub(super) fn onto_bounds<T: Copy>(
    side: &[(i32, T)],
    bounds: &[f64],
    common: &[f64],
    add: impl Fn(T, T) -> T,
    zero: T,
) -> Vec<T> {
    let mut out = vec![zero; common.len() + 1];
    for (index, value) in side {
        let bound = usize::try_from(*index).ok().and_then(|at| bounds.get(at));
        let at = bound.map_or(common.len(), |bound| common.partition_point(|own| own < bound));
        out[at] = add(out[at], *value);
    }
    out
}
