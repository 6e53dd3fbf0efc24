//! What a function over a window is given.

use crate::annotations::Annotations;
use crate::histogram::Histogram;
use crate::points::Point;
use crate::syntax::ast::Span;
use std::sync::Arc;

/// The samples of one series in a window, without markers.
pub(crate) struct Window<'a> {
    pub(crate) floats: &'a [(i64, f64)],
    pub(crate) histograms: &'a [(i64, Arc<Histogram>)],
    pub(crate) float_starts: &'a [i64],
    pub(crate) histogram_starts: &'a [i64],
}

/// The step that a window belongs to, and the function's other arguments.
pub(crate) struct RangeCall<'a> {
    /// The step's time.
    pub(crate) ts: i64,
    /// The range's length.
    pub(crate) range: i64,
    /// Where the range begins, exclusive.
    pub(crate) start: i64,
    /// Where it ends, inclusive.
    pub(crate) end: i64,
    pub(crate) lookback: i64,
    pub(crate) scalars: [Option<f64>; 2],
    pub(crate) metric: &'a str,
    pub(crate) spans: &'a [Span],
    pub(crate) annotations: &'a mut Annotations,
    pub(crate) anchored: bool,
    pub(crate) smoothed: bool,
}

impl RangeCall<'_> {
    /// Where the first argument stands.
    pub(crate) fn span(&self) -> Span {
        self.spans.first().copied().unwrap_or_default()
    }

    pub(crate) fn scalar(&self, at: usize) -> f64 {
        self.scalars.get(at).copied().flatten().unwrap_or(f64::NAN)
    }

    pub(crate) fn mixed(&mut self) -> Point {
        self.annotations.mixed_floats_histograms(self.span(), self.metric);
        Point::None
    }

    pub(crate) fn mixed_buckets(&mut self) -> Point {
        self.annotations.mixed_buckets(self.span(), self.metric);
        Point::None
    }

    /// Tells of histograms that a function over numbers leaves out.
    pub(crate) fn ignore_histograms(&mut self, window: &Window<'_>) {
        if !window.histograms.is_empty() {
            self.annotations.ignored_in_range(self.span(), self.metric);
        }
    }
}
