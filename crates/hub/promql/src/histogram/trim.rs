//! What of a histogram is below or above a value (`</` and `>/`).

use super::Histogram;
use super::buckets::Bucket;

impl Histogram {
    /// Only what is below a value, or where not `upper`, above it.
    pub(crate) fn trimmed(mut self, at: f64, upper: bool) -> Self {
        let custom = self.is_custom();
        let (mut count, mut sum, mut changed) = (0.0, 0.0, false);
        let filled = |side: &[(i32, f64)]| side.iter().any(|(_, count)| *count != 0.0);
        let (has_positive, has_negative) = (filled(&self.positive), filled(&self.negative));
        for positive in [true, false] {
            let mut side = std::mem::take(if positive { &mut self.positive } else { &mut self.negative });
            for (index, own) in side.iter_mut().filter(|(_, count)| *count != 0.0) {
                let bucket = self.bucket(*index, *own, positive);
                let (kept, middle) = trim_bucket(&bucket, at, upper, positive, custom);
                count += kept;
                sum += middle * kept;
                changed |= *own != kept;
                *own = kept;
            }
            *(if positive { &mut self.positive } else { &mut self.negative }) = side;
        }
        if self.zero_count > 0.0 {
            let (kept, middle) = trim_zero(&self.zero_bucket(), at, upper, has_negative, has_positive);
            changed |= self.zero_count != kept;
            self.zero_count = kept;
            count += kept;
            sum += middle * kept;
        }
        if changed {
            self.count = count;
            self.sum = sum;
            self = self.compact();
        }
        self
    }
}

/// What of a bucket is kept, and the middle of where it lies.
fn trim_bucket(bucket: &Bucket, at: f64, upper: bool, positive: bool, custom: bool) -> (f64, f64) {
    let (all, cut) =
        if upper { (bucket.upper <= at, bucket.lower < at) } else { (bucket.lower >= at, bucket.upper > at) };
    if all {
        return (bucket.count, middle(bucket.lower, bucket.upper, positive, custom));
    }
    if !cut {
        return (0.0, 0.0);
    }
    if bucket.lower == f64::NEG_INFINITY || bucket.upper == f64::INFINITY {
        return trim_open(bucket, at, upper);
    }
    let below = if at <= bucket.lower {
        0.0
    } else if at >= bucket.upper {
        bucket.count
    } else {
        bucket.count * bucket.below(at, custom)
    };
    if upper {
        (below, middle(bucket.lower, at, positive, custom))
    } else {
        (bucket.count - below, middle(at, bucket.upper, positive, custom))
    }
}

/// The same for a bucket with an infinite bound.
fn trim_open(bucket: &Bucket, at: f64, upper: bool) -> (f64, f64) {
    let finite = |value: f64| if value.is_infinite() { 0.0 } else { value };
    let count = bucket.count;
    if bucket.lower == f64::NEG_INFINITY {
        let bounded = bucket.upper != f64::INFINITY;
        return match upper {
            true if at >= bucket.upper => (count, 0.0),
            true if at > 0.0 && bucket.upper > 0.0 && bounded => (count * at / bucket.upper, at / 2.0),
            true if bucket.upper <= 0.0 => (count, at),
            false if at <= bucket.lower => (count, 0.0),
            false if at >= 0.0 && bucket.upper > at && bounded => {
                (count * (1.0 - at / bucket.upper), f64::midpoint(at, bucket.upper))
            }
            _ => (0.0, finite(bucket.upper)),
        };
    }
    if !upper && at >= bucket.lower { (count, at) } else { (0.0, finite(bucket.lower)) }
}

fn trim_zero(zero: &Bucket, at: f64, upper: bool, negative: bool, positive: bool) -> (f64, f64) {
    let low = if positive && !negative { 0.0 } else { zero.lower };
    let high = if negative && !positive { 0.0 } else { zero.upper };
    let whole = (zero.count, f64::midpoint(low, high));
    match upper {
        true if at <= low => (0.0, 0.0),
        true if at >= high => whole,
        true => (zero.count * ((at - low) / (high - low)), f64::midpoint(low, at)),
        false if at <= low => whole,
        false if at >= high => (0.0, 0.0),
        false => (zero.count * ((high - at) / (high - low)), f64::midpoint(at, high)),
    }
}

/// The middle of a stretch: geometric in exponential buckets.
fn middle(lower: f64, upper: f64, positive: bool, linear: bool) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => 0.0,
        (true, false) if upper > 0.0 => upper / 2.0,
        (true, false) => upper,
        (false, true) => lower,
        _ if linear => f64::midpoint(lower, upper),
        _ => {
            let mean = (lower * upper).abs().sqrt();
            if positive { mean } else { -mean }
        }
    }
}
