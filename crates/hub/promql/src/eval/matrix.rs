//! Range vectors: many samples per series, and functions over windows of them.

use super::select::Reference;
use super::{Evaluator, Output};
use crate::functions::range::find;
use crate::functions::window::{RangeCall, Window};
use crate::functions::{absent_labels, extended};
use crate::histogram::ResetHint;
use crate::labels::Labels;
use crate::options::Error;
use crate::points::{Point, Result, Series, Steps, fault};
use crate::source::Samples;
use crate::syntax::ast::{Call, Expr, MatrixSelector, Subquery};
use std::sync::Arc;

/// A series of a range vector.
#[derive(Debug)]
pub(crate) struct RangeSeries {
    pub(crate) labels: Labels,
    pub(crate) drop_name: bool,
    pub(crate) samples: Samples,
}

/// A range vector as a function's argument.
struct RangeArg {
    series: Vec<RangeSeries>,
    range: i64,
    reference: Reference,
    anchored: bool,
    smoothed: bool,
}

impl RangeArg {
    /// How much earlier and later than the range samples are wanted.
    fn margins(&self, lookback: i64) -> (i64, i64) {
        let before = if self.anchored || self.smoothed { lookback } else { 0 };
        (before, if self.smoothed { lookback } else { 0 })
    }
}

/// Indices of a window over sorted times, that only go forward.
#[derive(Default)]
struct Edges {
    low: usize,
    high: usize,
}

impl Edges {
    /// The window of what is later than `after` and not later than `until`.
    fn slide<T>(&mut self, all: &[(i64, T)], after: i64, until: i64) -> std::ops::Range<usize> {
        while all.get(self.low).is_some_and(|(t, _)| *t <= after) {
            self.low += 1;
        }
        self.high = self.high.max(self.low);
        while all.get(self.high).is_some_and(|(t, _)| *t <= until) {
            self.high += 1;
        }
        self.low..self.high
    }
}

fn part(starts: &[i64], range: std::ops::Range<usize>) -> &[i64] {
    starts.get(range).unwrap_or_default()
}

impl Evaluator<'_> {
    /// A range vector at one step, by itself.
    pub(crate) fn matrix(&mut self, expr: &Expr, steps: &Steps, function: &str) -> Result<Vec<RangeSeries>> {
        let arg = self.range_arg(expr, steps, function)?;
        let is_subquery = matches!(expr, Expr::Subquery(_));
        let until = arg.reference.time(steps, 0);
        let (anchored, smoothed, margins) = (arg.anchored, arg.smoothed, arg.margins(self.options.lookback));
        let mut series = arg.series;
        if !is_subquery {
            let after = until.saturating_sub(arg.range);
            let (before, more) = margins;
            for own in &mut series {
                if anchored || smoothed {
                    if !own.samples.histograms.is_empty() {
                        let word = if anchored { "anchored" } else { "smoothed" };
                        return fault(format!("{word} modifier is not supported with histograms"));
                    }
                    let (low, high) = (after.saturating_sub(before), until.saturating_add(more));
                    let window = Edges::default().slide(&own.samples.floats, low, high);
                    let starts = part(&own.samples.float_starts, window.clone());
                    let floats = &own.samples.floats[window];
                    let lookback = self.options.lookback;
                    let floats = extended::extend(floats, starts, (after, until), lookback, smoothed);
                    own.samples = Samples { floats, ..Samples::default() };
                    continue;
                }
                own.samples.floats.retain(|(t, _)| *t > after && *t <= until);
                own.samples.histograms.retain(|(t, _)| *t > after && *t <= until);
                own.samples.float_starts.clear();
                own.samples.histogram_starts.clear();
            }
        }
        Ok(series)
    }

    fn range_arg(&mut self, expr: &Expr, steps: &Steps, function: &str) -> Result<RangeArg> {
        match expr {
            Expr::Matrix(matrix) => self.range_selector(matrix, steps, function),
            Expr::Subquery(subquery) => self.subquery(subquery, steps),
            _ => fault("a range vector was expected"),
        }
    }

    fn range_selector(&mut self, matrix: &MatrixSelector, steps: &Steps, function: &str) -> Result<RangeArg> {
        let selector = &matrix.selector;
        let reference = self.reference(selector.at, &selector.offset)?;
        let range = self.length(&matrix.range, false)?;
        let (anchored, smoothed) = (selector.anchored, selector.smoothed);
        let mut arg = RangeArg { series: Vec::new(), range, reference, anchored, smoothed };
        let (before, after) = arg.margins(self.options.lookback);
        let (first, last) = reference.bounds(steps);
        let start = first.saturating_sub(range).saturating_sub(before).saturating_add(1);
        let times = (start, last.saturating_add(after));
        let found = self.fetch(&selector.matchers, times, (steps.step, range), function)?;
        arg.series = found
            .into_iter()
            .map(|own| RangeSeries { labels: own.labels, drop_name: false, samples: own.samples.without_markers() })
            .collect();
        Ok(arg)
    }

    fn subquery(&mut self, subquery: &Subquery, steps: &Steps) -> Result<RangeArg> {
        let reference = self.reference(subquery.at, &subquery.offset)?;
        let range = self.length(&subquery.range, false)?;
        let step = match &subquery.step {
            Some(step) => self.length(step, false)?,
            None => self.options.subquery_step,
        };
        if step <= 0 {
            return fault("the step of a subquery must be more than 0");
        }
        let (first, last) = reference.bounds(steps);
        let after = first.saturating_sub(range);
        // Its steps are multiples of its own step, the first later than the range's start.
        let start = after.div_euclid(step).saturating_add(1).saturating_mul(step);
        let count = if last < start { 0 } else { (last - start) / step + 1 };
        let most = self.options.max_cells;
        let count = usize::try_from(count).ok().filter(|count| *count <= most).ok_or_else(|| {
            Error::TooMuch(format!("a subquery would have more than {most} steps: choose a longer step"))
        })?;
        let inner = Steps { start, step, count };
        let mut series = Vec::new();
        if count > 0 {
            let Output::Vector(found) = self.eval(&subquery.expr, &inner)? else {
                return fault("subquery is only allowed on instant vector");
            };
            series.extend(found.into_iter().map(|own| range_series(own, &inner)));
        }
        Ok(RangeArg { series, range, reference, anchored: false, smoothed: false })
    }

    /// A function over windows.
    pub(super) fn range_call(&mut self, call: &Call, at: usize, steps: &Steps) -> Result<Vec<Series>> {
        let name = call.function.name;
        let Some(function) = find(name) else { return fault(format!("unknown range function {name}")) };
        let Some(expr) = call.args.get(at).map(Expr::bare) else { return fault("a range vector was expected") };
        let arg = self.range_arg(expr, steps, name)?;
        check_extended(name, arg.anchored, arg.smoothed)?;
        let mut scalars: Vec<Vec<f64>> = Vec::new();
        let mut spans = Vec::new();
        for (other, arg) in call.args.iter().enumerate() {
            spans.push(arg.bare().span());
            if other != at {
                scalars.push(self.scalar(arg, steps)?);
            }
        }
        self.charge_cells(arg.series.len(), steps)?;
        let keeps_name = matches!(name, "last_over_time" | "first_over_time");
        let starts = self.options.start_times && matches!(name, "rate" | "irate" | "increase" | "resets");
        let (before, after) = arg.margins(self.options.lookback);
        let mut out = Vec::with_capacity(arg.series.len());
        for own in &arg.series {
            self.go_on()?;
            let (mut floats, mut histograms) = (Edges::default(), Edges::default());
            let mut points = Vec::with_capacity(steps.count);
            let samples = &own.samples;
            for step in 0..steps.count {
                let end = arg.reference.time(steps, step);
                let start = end.saturating_sub(arg.range);
                let (low, high) = (start.saturating_sub(before), end.saturating_add(after));
                let f = floats.slide(&samples.floats, low, high);
                let h = histograms.slide(&samples.histograms, low, high);
                if f.is_empty() && h.is_empty() {
                    points.push(Point::None);
                    continue;
                }
                let window = Window {
                    floats: &samples.floats[f.clone()],
                    histograms: &samples.histograms[h.clone()],
                    float_starts: if starts { part(&samples.float_starts, f) } else { &[] },
                    histogram_starts: if starts { part(&samples.histogram_starts, h) } else { &[] },
                };
                let scalar = |n: usize| scalars.get(n).and_then(|values| values.get(step)).copied();
                let mut context = RangeCall {
                    ts: steps.time(step),
                    range: arg.range,
                    start,
                    end,
                    lookback: self.options.lookback,
                    scalars: [scalar(0), scalar(1)],
                    metric: own.labels.name(),
                    spans: &spans,
                    annotations: &mut self.annotations,
                    anchored: arg.anchored,
                    smoothed: arg.smoothed,
                };
                points.push(function(&window, &mut context)?);
            }
            if !points.iter().any(Point::is_some) {
                continue;
            }
            if matches!(name, "rate" | "increase") {
                self.warn_of_gauge(&own.labels, &points, call);
            }
            let mut series = Series { labels: own.labels.clone(), drop_name: own.drop_name, points };
            if !keeps_name || own.drop_name {
                self.drop_name(&mut series);
            }
            out.push(series);
        }
        if name == "absent_over_time" {
            return Ok(absent_over_time(expr, &out, steps));
        }
        self.merge_same(out)
    }

    fn warn_of_gauge(&mut self, labels: &Labels, points: &[Point], call: &Call) {
        let name = labels.name();
        let counter = ["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| name.ends_with(suffix));
        if counter || name.is_empty() || !points.iter().any(|point| matches!(point, Point::Float(_))) {
            return;
        }
        let what = "metric might not be a counter, name does not end in _total/_sum/_count/_bucket:";
        let span = call.args.first().map(|arg| arg.bare().span()).unwrap_or_default();
        self.annotations.info(span, format!("{what} {}", crate::text::quote(name)));
    }
}

fn check_extended(name: &str, anchored: bool, smoothed: bool) -> Result<()> {
    let smooth: &[&str] = &["delta", "increase", "rate"];
    let anchor: &[&str] = &["changes", "delta", "increase", "rate", "resets"];
    let (word, good) = if anchored { ("anchored", anchor) } else { ("smoothed", smooth) };
    if (anchored || smoothed) && !good.contains(&name) {
        return fault(format!("{word} modifier can only be used with: {} - not with {name}", good.join(", ")));
    }
    Ok(())
}

fn range_series(series: Series, steps: &Steps) -> RangeSeries {
    let mut samples = Samples::default();
    for (at, point) in series.points.into_iter().enumerate() {
        let time = steps.time(at);
        match point {
            Point::None => {}
            Point::Float(value) => samples.floats.push((time, value)),
            // What a histogram says of resets since the one before holds no more: there may be others between.
            Point::Histogram(histogram) if matches!(histogram.hint, ResetHint::Reset | ResetHint::NotReset) => {
                let mut own = (*histogram).clone();
                own.hint = ResetHint::Unknown;
                samples.histograms.push((time, Arc::new(own)));
            }
            Point::Histogram(histogram) => samples.histograms.push((time, histogram)),
        }
    }
    RangeSeries { labels: series.labels, drop_name: series.drop_name, samples }
}

/// One series where no other has a point.
fn absent_over_time(arg: &Expr, series: &[Series], steps: &Steps) -> Vec<Series> {
    let present = |step: usize| series.iter().any(|own| own.points[step].is_some());
    let points: Vec<Point> =
        (0..steps.count).map(|step| if present(step) { Point::None } else { Point::Float(1.0) }).collect();
    if !points.iter().any(Point::is_some) {
        return Vec::new();
    }
    vec![Series { labels: absent_labels(arg), drop_name: true, points }]
}
