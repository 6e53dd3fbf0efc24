//! Functions that make one sample of all in a window.

use super::math::quantile as quantile_of;
use super::window::{RangeCall, Window};
use crate::histogram::{Exact, Histogram, Incompatible, ResetHint, Sum};
use crate::points::{Point, Result, fault};
use std::sync::Arc;

/// The values of a window.
fn values(window: &Window<'_>) -> impl Iterator<Item = f64> {
    window.floats.iter().map(|(_, value)| *value)
}

/// A mean that does not overflow as long as the values do not.
#[derive(Clone, Copy, Default)]
pub(crate) struct Mean {
    sum: Exact,
    count: f64,
    incremental: bool,
}

impl Mean {
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.sum = value.into();
            return;
        }
        if !self.incremental {
            let sum = self.sum.plus(value);
            if !sum.value.is_infinite() {
                self.sum = sum;
                return;
            }
            self.incremental = true;
            self.sum = self.sum.times(1.0 / (self.count - 1.0));
        }
        let share = (self.count - 1.0) / self.count;
        self.sum = self.sum.times(share).plus(value / self.count);
    }

    pub(crate) fn total(&self) -> f64 {
        if self.incremental { self.sum.total() } else { self.sum.value / self.count + self.sum.lost / self.count }
    }
}

/// A mean of histograms, in the same way.
#[derive(Clone)]
pub(crate) struct HistogramMean {
    sum: Sum,
    count: f64,
    incremental: bool,
}

impl HistogramMean {
    pub(crate) fn new(first: &Histogram) -> Self {
        Self { sum: first.into(), count: 1.0, incremental: false }
    }

    /// One more; true where bounds were reconciled.
    pub(crate) fn add(&mut self, histogram: &Histogram) -> std::result::Result<bool, Incompatible> {
        self.count += 1.0;
        if !self.incremental {
            let mut sum = self.sum.clone();
            let facts = sum.add(histogram, 1.0)?;
            if !sum.overflows() {
                self.sum = sum;
                return Ok(facts.bounds_reconciled);
            }
            self.incremental = true;
            self.sum.scale(1.0 / (self.count - 1.0));
        }
        self.sum.scale((self.count - 1.0) / self.count);
        let part = histogram.clone().divided(self.count);
        Ok(self.sum.add(&part, 1.0)?.bounds_reconciled)
    }

    pub(crate) fn total(&self) -> Histogram {
        if self.incremental { self.sum.total() } else { self.sum.total().divided(self.count) }
    }
}

/// Hints of resets that were seen among histograms that are added.
#[derive(Clone, Copy, Default)]
pub(crate) struct Hints {
    reset: bool,
    not_reset: bool,
}

impl Hints {
    pub(crate) fn see(&mut self, histogram: &Histogram) {
        self.reset |= histogram.hint == ResetHint::Reset;
        self.not_reset |= histogram.hint == ResetHint::NotReset;
    }

    pub(crate) fn collide(self) -> bool {
        self.reset && self.not_reset
    }
}

pub(crate) fn avg(window: &Window<'_>, call: &mut RangeCall<'_>) -> Result<Point> {
    let Some(((_, first), rest)) = window.histograms.split_first() else {
        let mut mean = Mean::default();
        values(window).for_each(|value| mean.add(value));
        return Ok(Point::Float(mean.total()));
    };
    if !window.floats.is_empty() {
        return Ok(call.mixed());
    }
    let mut mean = HistogramMean::new(first);
    let added = add_all(first, rest, call, |next| mean.add(next));
    Ok(if added { Point::histogram(mean.total()) } else { Point::None })
}

pub(crate) fn sum(window: &Window<'_>, call: &mut RangeCall<'_>) -> Result<Point> {
    let Some(((_, first), rest)) = window.histograms.split_first() else {
        let sum = values(window).fold(Exact::default(), Exact::plus);
        return Ok(Point::Float(if sum.value.is_infinite() { sum.value } else { sum.total() }));
    };
    if !window.floats.is_empty() {
        return Ok(call.mixed());
    }
    let mut sum = Sum::from(&**first);
    let added = add_all(first, rest, call, |next| sum.add(next, 1.0).map(|facts| facts.bounds_reconciled));
    Ok(if added { Point::histogram(sum.total()) } else { Point::None })
}

/// Adds histograms to the first, and tells what there is to tell. False where they do not fit.
fn add_all(
    first: &Histogram,
    rest: &[(i64, Arc<Histogram>)],
    call: &mut RangeCall<'_>,
    mut add: impl FnMut(&Histogram) -> std::result::Result<bool, Incompatible>,
) -> bool {
    let mut hints = Hints::default();
    hints.see(first);
    let mut reconciled = false;
    for (_, next) in rest {
        hints.see(next);
        match add(next) {
            Ok(now) => reconciled |= now,
            Err(Incompatible) => {
                call.mixed_buckets();
                return false;
            }
        }
    }
    if hints.collide() {
        call.annotations.hints_collide(call.span(), "aggregation");
    }
    if reconciled {
        call.annotations.reconciled(call.span(), "aggregation");
    }
    true
}

/// The value that is better than all others, or its time.
pub(crate) fn extreme(
    window: &Window<'_>,
    call: &mut RangeCall<'_>,
    better: fn(f64, f64) -> bool,
    time: bool,
) -> Point {
    let Some(mut best) = window.floats.first().copied() else { return Point::None };
    call.ignore_histograms(window);
    for own in window.floats {
        if better(own.1, best.1) || best.1.is_nan() {
            best = *own;
        }
    }
    Point::Float(if time { best.0 as f64 / 1000.0 } else { best.1 })
}

pub(crate) fn first(window: &Window<'_>) -> Point {
    match (window.floats.first(), window.histograms.first()) {
        (Some((t, value)), histogram) if histogram.is_none_or(|(h, _)| t < h) => Point::Float(*value),
        (_, Some((_, histogram))) => Point::Histogram(histogram.clone()),
        _ => Point::None,
    }
}

pub(crate) fn last(window: &Window<'_>) -> Point {
    match (window.floats.last(), window.histograms.last()) {
        (Some((t, value)), histogram) if histogram.is_none_or(|(h, _)| h < t) => Point::Float(*value),
        (_, Some((_, histogram))) => Point::Histogram(histogram.clone()),
        _ => Point::None,
    }
}

fn seconds(ms: Option<i64>) -> Point {
    ms.map_or(Point::None, |ms| Point::Float(ms as f64 / 1000.0))
}

pub(crate) fn time_of_first(window: &Window<'_>) -> Point {
    let times = window.floats.first().map(|(t, _)| *t).into_iter().chain(window.histograms.first().map(|(t, _)| *t));
    seconds(times.min())
}

pub(crate) fn time_of_last(window: &Window<'_>) -> Point {
    let times = window.floats.last().map(|(t, _)| *t).into_iter().chain(window.histograms.last().map(|(t, _)| *t));
    seconds(times.max())
}

pub(crate) fn variance(window: &Window<'_>, call: &mut RangeCall<'_>, then: fn(f64) -> f64) -> Point {
    if window.floats.is_empty() {
        return Point::None;
    }
    call.ignore_histograms(window);
    let (mut mean, mut squares, mut count) = (Exact::default(), Exact::default(), 0.0);
    for value in values(window) {
        count += 1.0;
        let delta = value - mean.total();
        mean = mean.plus(delta / count);
        squares = squares.plus(delta * (value - mean.total()));
    }
    Point::Float(then(squares.total() / count))
}

pub(crate) fn mad(window: &Window<'_>, call: &mut RangeCall<'_>) -> Result<Point> {
    if window.floats.is_empty() {
        return Ok(Point::None);
    }
    call.ignore_histograms(window);
    let mut all: Vec<f64> = values(window).collect();
    if all.iter().any(|value| value.is_nan()) {
        return Ok(Point::Float(f64::NAN));
    }
    let median = quantile_of(0.5, &mut all);
    for value in &mut all {
        *value = (*value - median).abs();
    }
    Ok(Point::Float(quantile_of(0.5, &mut all)))
}

pub(crate) fn quantile(window: &Window<'_>, call: &mut RangeCall<'_>) -> Result<Point> {
    if window.floats.is_empty() {
        return Ok(Point::None);
    }
    let q = call.scalar(0);
    if !(0.0..=1.0).contains(&q) {
        call.annotations.invalid_quantile(call.span(), q);
    }
    call.ignore_histograms(window);
    let mut all: Vec<f64> = values(window).collect();
    Ok(Point::Float(quantile_of(q, &mut all)))
}

/// The area under a series: by the value before, by that after, or by trapezia.
pub(crate) fn integral(window: &Window<'_>, call: &mut RangeCall<'_>) -> Result<Point> {
    if window.floats.is_empty() {
        return Ok(Point::None);
    }
    call.ignore_histograms(window);
    let strategy = match call.scalars[0] {
        None | Some(2.0) => 2,
        Some(0.0) => 0,
        Some(1.0) => 1,
        Some(other) => {
            let span = call.spans.get(1).copied().unwrap_or_default();
            let text = format!("strategy should be 0, 1, or 2 (default), using 2, got {}", crate::text::short(other));
            call.annotations.warn(span, text);
            2
        }
    };
    let number = |value: f64| if value.is_nan() { 0.0 } else { value };
    let mut sum = Exact::default();
    for pair in window.floats.windows(2) {
        let &[(t0, v0), (t1, v1)] = pair else { continue };
        let (v0, v1) = (number(v0), number(v1));
        let height = match strategy {
            0 => Exact::from(v0),
            1 => Exact::from(v1),
            _ => {
                let both = Exact::from(v0).plus(v1);
                if both.value.is_infinite() && v0.is_finite() && v1.is_finite() {
                    Exact::from(v0 / 2.0).plus(v1 / 2.0)
                } else {
                    both.times(0.5)
                }
            }
        };
        if height.value != 0.0 || height.lost != 0.0 {
            let width = (t1 - t0) as f64 / 1000.0;
            sum = Exact { value: sum.value, lost: sum.lost + height.lost * width }.plus(height.value * width);
        }
    }
    Ok(Point::Float(if sum.value.is_infinite() { sum.value } else { sum.total() }))
}

/// Slope, and value at a time, of the line through samples.
fn regression(floats: &[(i64, f64)], at: i64) -> (f64, f64) {
    let Some((_, first)) = floats.first() else { return (f64::NAN, f64::NAN) };
    if floats.iter().all(|(_, value)| value == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, *first) };
    }
    let (mut n, mut sums) = (0.0, [Exact::default(); 4]);
    for (t, y) in floats {
        let x = (t - at) as f64 / 1000.0;
        n += 1.0;
        for (sum, term) in sums.iter_mut().zip([x, *y, x * y, x * x]) {
            *sum = sum.plus(term);
        }
    }
    let [x, y, xy, xx] = sums.map(Exact::total);
    let slope = (xy - x * y / n) / (xx - x * x / n);
    (slope, y / n - slope * x / n)
}

/// Whether there are enough numbers for a line.
fn has_line(window: &Window<'_>, call: &mut RangeCall<'_>) -> bool {
    if !window.floats.is_empty() {
        call.ignore_histograms(window);
    }
    window.floats.len() >= 2
}

pub(crate) fn deriv(window: &Window<'_>, call: &mut RangeCall<'_>) -> Result<Point> {
    if !has_line(window, call) {
        return Ok(Point::None);
    }
    let from = window.floats.first().map_or(0, |(t, _)| *t);
    Ok(Point::Float(regression(window.floats, from).0))
}

pub(crate) fn predict_linear(window: &Window<'_>, call: &mut RangeCall<'_>) -> Result<Point> {
    if !has_line(window, call) {
        return Ok(Point::None);
    }
    let (slope, value) = regression(window.floats, call.ts);
    Ok(Point::Float(slope * call.scalar(0) + value))
}

pub(crate) fn smoothing(window: &Window<'_>, call: &mut RangeCall<'_>) -> Result<Point> {
    let (smooth, trend_share) = (call.scalar(0), call.scalar(1));
    if smooth <= 0.0 || smooth >= 1.0 {
        return fault(format!("invalid smoothing factor. Expected: 0 < sf < 1, got: {smooth:.6}"));
    }
    if trend_share <= 0.0 || trend_share >= 1.0 {
        return fault(format!("invalid trend factor. Expected: 0 < tf < 1, got: {trend_share:.6}"));
    }
    if !has_line(window, call) {
        return Ok(Point::None);
    }
    let all: Vec<f64> = values(window).collect();
    let (mut before, mut level, mut trend) = (0.0, all[0], all[1] - all[0]);
    for (at, value) in all.iter().enumerate().skip(1) {
        if at > 1 {
            trend = trend_share * (level - before) + (1.0 - trend_share) * trend;
        }
        (before, level) = (level, smooth * value + (1.0 - smooth) * (level + trend));
    }
    Ok(Point::Float(level))
}
