//! Native histograms: exponential buckets of a schema, or buckets with bounds of their own.

mod arithmetic;
mod buckets;
mod quantile;
mod trim;

pub use buckets::Bucket;

pub(crate) use arithmetic::{Exact, Incompatible, Sum, SumFacts};
pub(crate) use quantile::{
    ClassicBucket, ForcedMonotonic, NanEffect, classic_fraction, classic_quantile, fraction, quantile,
};

use crate::STALE;
use crate::text::short;
use std::fmt;
use std::sync::Arc;

/// The schema of histograms whose buckets have bounds of their own.
pub const CUSTOM: i32 = -53;

/// What is known of a counter's resets between a histogram and the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResetHint {
    /// Nothing: it is to be found out.
    #[default]
    Unknown,
    /// It was reset.
    Reset,
    /// It was not.
    NotReset,
    /// It is no counter.
    Gauge,
}

/// Buckets by index, sorted; those that are not there are empty.
pub type Buckets = Vec<(i32, f64)>;

/// A native histogram with counts as floats.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Resolution: the bounds of buckets grow by `2^(2^-schema)`, or [`CUSTOM`].
    pub schema: i32,
    /// Observations.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// Half the width of the zero bucket.
    pub zero_threshold: f64,
    /// What is in it.
    pub zero_count: f64,
    /// Buckets above zero, or all where the bounds are the histogram's own.
    pub positive: Buckets,
    /// Buckets below zero.
    pub negative: Buckets,
    /// Upper bounds, ascending, without `+Inf`; only with [`CUSTOM`].
    pub bounds: Arc<[f64]>,
    /// What is known of resets.
    pub hint: ResetHint,
}

impl Histogram {
    /// Whether the buckets have bounds of their own.
    #[must_use]
    pub fn is_custom(&self) -> bool {
        self.schema == CUSTOM
    }

    /// A marker of staleness.
    #[must_use]
    pub fn stale() -> Self {
        Self { sum: f64::from_bits(STALE), ..Self::default() }
    }

    /// Whether it marks staleness.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.sum.to_bits() == STALE
    }

    /// What it weighs beside a float: one for 16 bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        (self.positive.len() + self.negative.len() + self.bounds.len()) + 8
    }

    /// Without empty buckets.
    #[must_use]
    pub(crate) fn compact(mut self) -> Self {
        self.positive.retain(|(_, count)| *count != 0.0);
        self.negative.retain(|(_, count)| *count != 0.0);
        self
    }

    fn map(mut self, by: impl Fn(f64) -> f64) -> Self {
        self.count = by(self.count);
        self.sum = by(self.sum);
        self.zero_count = by(self.zero_count);
        for (_, count) in self.positive.iter_mut().chain(&mut self.negative) {
            *count = by(*count);
        }
        self
    }

    /// All counts and the sum times a factor.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        let mut out = self.map(|value| value * factor);
        if factor < 0.0 {
            out.hint = ResetHint::Gauge;
        }
        out
    }

    /// All counts and the sum divided. By zero, the buckets go.
    #[must_use]
    pub fn divided(self, by: f64) -> Self {
        let mut out = self.map(|value| value / by);
        if by == 0.0 {
            out.positive.clear();
            out.negative.clear();
        } else if by < 0.0 {
            out.hint = ResetHint::Gauge;
        }
        out
    }

    /// Whether two are the same, bit by bit, but for empty buckets and hints.
    #[must_use]
    pub fn equals(&self, other: &Self) -> bool {
        let bits = |a: f64, b: f64| a.to_bits() == b.to_bits();
        let buckets = |a: &Buckets, b: &Buckets| {
            let filled = |side: &Buckets| side.iter().filter(|(_, c)| *c != 0.0).copied().collect::<Vec<_>>();
            let (a, b) = (filled(a), filled(b));
            a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.0 == b.0 && bits(a.1, b.1))
        };
        self.schema == other.schema
            && bits(self.count, other.count)
            && bits(self.sum, other.sum)
            && (!self.is_custom() || self.bounds == other.bounds)
            && self.zero_threshold == other.zero_threshold
            && bits(self.zero_count, other.zero_count)
            && buckets(&self.positive, &other.positive)
            && buckets(&self.negative, &other.negative)
    }
}

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `%g` with six digits of exponent threshold for bounds, as Prometheus shows them.
        write!(f, "{{count:{}, sum:{}", short(self.count), short(self.sum))?;
        for bucket in self.buckets().iter().filter(|bucket| bucket.count != 0.0) {
            let open = if bucket.lower_inclusive { '[' } else { '(' };
            let close = if bucket.upper_inclusive { ']' } else { ')' };
            let (lower, upper) = (short(bucket.lower), short(bucket.upper));
            write!(f, ", {open}{lower},{upper}{close}:{}", short(bucket.count))?;
        }
        f.write_str("}")
    }
}
