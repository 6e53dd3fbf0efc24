//! Sums and differences of histograms, with Neumaier's compensation in every count.

use super::buckets::{bound, common_bounds, onto_bounds, reduced};
use super::{CUSTOM, Histogram, ResetHint};

/// Two histograms of which one has bounds of its own and the other not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Incompatible;

/// What is to be told about an addition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SumFacts {
    /// One said that the counter was reset, the other that it was not.
    pub(crate) hints_collide: bool,
    /// Bounds differed: those in common were kept.
    pub(crate) bounds_reconciled: bool,
}

/// A value and what rounding took from it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Exact {
    pub(crate) value: f64,
    pub(crate) lost: f64,
}

impl Exact {
    /// This and a number more.
    #[inline]
    pub(crate) fn plus(self, more: f64) -> Self {
        let value = self.value + more;
        let lost = if value.is_infinite() {
            0.0
        } else if self.value.abs() >= more.abs() {
            self.lost + ((self.value - value) + more)
        } else {
            self.lost + ((more - value) + self.value)
        };
        Self { value, lost }
    }

    fn plus_exact(self, more: Self) -> Self {
        let out = self.plus(more.value);
        if more.lost == 0.0 { out } else { out.plus(more.lost) }
    }

    /// The number itself.
    pub(crate) fn total(self) -> f64 {
        self.value + self.lost
    }

    pub(crate) fn times(self, factor: f64) -> Self {
        Self { value: self.value * factor, lost: self.lost * factor }
    }
}

impl From<f64> for Exact {
    fn from(value: f64) -> Self {
        Self { value, lost: 0.0 }
    }
}

type Side = Vec<(i32, Exact)>;

/// A running sum of histograms.
#[derive(Clone, Debug)]
pub(crate) struct Sum {
    schema: i32,
    count: Exact,
    sum: Exact,
    zero_threshold: f64,
    zero: Exact,
    positive: Side,
    negative: Side,
    bounds: std::sync::Arc<[f64]>,
    hint: ResetHint,
}

fn exact(side: &[(i32, f64)]) -> Side {
    side.iter().map(|(index, count)| (*index, Exact::from(*count))).collect()
}

/// Both sides together, sorted.
fn merged(a: &[(i32, Exact)], b: &[(i32, Exact)]) -> Side {
    let mut out = Vec::with_capacity(a.len().max(b.len()));
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    loop {
        match (a.peek(), b.peek()) {
            (None, None) => return out,
            (Some(x), Some(y)) if x.0 == y.0 => {
                out.push((x.0, x.1.plus_exact(y.1)));
                a.next();
                b.next();
            }
            (Some(x), None) => {
                out.push(**x);
                a.next();
            }
            (Some(x), Some(y)) if x.0 < y.0 => {
                out.push(**x);
                a.next();
            }
            (_, Some(y)) => {
                out.push(**y);
                b.next();
            }
        }
    }
}

impl From<&Histogram> for Sum {
    fn from(histogram: &Histogram) -> Self {
        Self {
            schema: histogram.schema,
            count: histogram.count.into(),
            sum: histogram.sum.into(),
            zero_threshold: histogram.zero_threshold,
            zero: histogram.zero_count.into(),
            positive: exact(&histogram.positive),
            negative: exact(&histogram.negative),
            bounds: histogram.bounds.clone(),
            hint: histogram.hint,
        }
    }
}

impl Sum {
    /// Adds a histogram, or with a factor of -1 takes it away.
    pub(crate) fn add(&mut self, other: &Histogram, factor: f64) -> Result<SumFacts, Incompatible> {
        if (self.schema == CUSTOM) != other.is_custom() {
            return Err(Incompatible);
        }
        let mut facts = SumFacts { hints_collide: self.join_hints(other.hint), bounds_reconciled: false };
        self.count = self.count.plus(factor * other.count);
        self.sum = self.sum.plus(factor * other.sum);
        if other.is_custom() {
            let side: Side = exact(&other.positive).into_iter().map(|(i, c)| (i, c.times(factor))).collect();
            if self.bounds == other.bounds {
                self.positive = merged(&self.positive, &side);
            } else {
                facts.bounds_reconciled = true;
                self.onto_common_bounds(&side, &other.bounds);
            }
            return Ok(facts);
        }
        let zero = self.join_zero_buckets(other);
        self.zero = self.zero.plus(factor * zero);
        let schema = self.schema.min(other.schema);
        let fold = |a: Exact, b: Exact| a.plus_exact(b);
        self.positive = reduced(&self.positive, self.schema, schema, fold);
        self.negative = reduced(&self.negative, self.schema, schema, fold);
        self.schema = schema;
        let threshold = self.zero_threshold;
        let outside = |side: &[(i32, f64)]| -> Side {
            let side = exact(side).into_iter().map(|(index, count)| (index, count.times(factor))).collect::<Vec<_>>();
            let side = reduced(&side, other.schema, schema, fold);
            side.into_iter().skip_while(|(index, _)| bound(*index, schema) <= threshold).collect()
        };
        self.positive = merged(&self.positive, &outside(&other.positive));
        self.negative = merged(&self.negative, &outside(&other.negative));
        Ok(facts)
    }

    fn onto_common_bounds(&mut self, other: &Side, other_bounds: &[f64]) {
        let common = common_bounds(&self.bounds, other_bounds);
        let fold = |a: Exact, b: Exact| a.plus_exact(b);
        let own = onto_bounds(&self.positive, &self.bounds, &common, fold, Exact::default());
        let more = onto_bounds(other, other_bounds, &common, fold, Exact::default());
        let both = own.into_iter().zip(more).map(|(a, b)| a.plus_exact(b));
        self.positive = (0..).zip(both).filter(|(_, count)| count.value != 0.0 || count.lost != 0.0).collect();
        self.bounds = common.into();
    }

    /// Makes both zero buckets equally wide; what is in that of the other.
    fn join_zero_buckets(&mut self, other: &Histogram) -> f64 {
        let (mut zero, mut threshold) = (other.zero_count, other.zero_threshold);
        // A width that is no number joins with none.
        while threshold != self.zero_threshold && !threshold.is_nan() && !self.zero_threshold.is_nan() {
            if self.zero_threshold > threshold {
                (zero, threshold) = other.wider_zero(self.zero_threshold);
            }
            if threshold > self.zero_threshold {
                let plain = self.plain();
                let (count, wider) = plain.wider_zero(threshold);
                self.zero = count.into();
                self.zero_threshold = wider;
                let keep = |(index, _): &(i32, Exact)| bound(index.saturating_sub(1), plain.schema) >= wider;
                self.positive.retain(keep);
                self.negative.retain(keep);
            }
        }
        zero
    }

    /// Joins what is known of resets; true where the two contradict each other.
    fn join_hints(&mut self, other: ResetHint) -> bool {
        use ResetHint::{Gauge, NotReset, Reset, Unknown};
        let (joined, collide) = match (self.hint, other) {
            (own, other) if own == other => (own, false),
            (Gauge, _) | (_, Gauge) => (Gauge, false),
            (Reset, NotReset) | (NotReset, Reset) => (Unknown, true),
            _ => (Unknown, false),
        };
        self.hint = joined;
        collide
    }

    /// All counts times a factor.
    pub(crate) fn scale(&mut self, factor: f64) {
        self.count = self.count.times(factor);
        self.sum = self.sum.times(factor);
        self.zero = self.zero.times(factor);
        for (_, count) in self.positive.iter_mut().chain(&mut self.negative) {
            *count = count.times(factor);
        }
    }

    /// Whether a count has become infinite.
    pub(crate) fn overflows(&self) -> bool {
        let sides = self.positive.iter().chain(&self.negative).map(|(_, count)| count);
        [&self.count, &self.sum, &self.zero].into_iter().chain(sides).any(|count| count.value.is_infinite())
    }

    fn plain(&self) -> Histogram {
        let side = |side: &Side| side.iter().map(|(index, count)| (*index, count.total())).collect();
        Histogram {
            schema: self.schema,
            count: self.count.total(),
            sum: self.sum.total(),
            zero_threshold: self.zero_threshold,
            zero_count: self.zero.total(),
            positive: side(&self.positive),
            negative: side(&self.negative),
            bounds: self.bounds.clone(),
            hint: self.hint,
        }
    }

    /// The sum, without empty buckets.
    pub(crate) fn total(&self) -> Histogram {
        self.plain().compact()
    }
}

impl Histogram {
    /// Two histograms added.
    pub(crate) fn plus(&self, other: &Self) -> Result<(Self, SumFacts), Incompatible> {
        let mut sum = Sum::from(self);
        let facts = sum.add(other, 1.0)?;
        Ok((sum.total(), facts))
    }

    /// What one has more than the other.
    pub(crate) fn minus(&self, other: &Self) -> Result<(Self, SumFacts), Incompatible> {
        let mut sum = Sum::from(self);
        let facts = sum.add(other, -1.0)?;
        Ok((sum.total(), facts))
    }
}
