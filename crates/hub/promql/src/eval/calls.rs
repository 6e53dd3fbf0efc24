//! Calls of functions.

use super::{Evaluator, Output};
use crate::functions::histograms::{self, Asked, Spans};
use crate::functions::{absent_labels, dates, math, sorting};
use crate::labels::{Labels, NAME};
use crate::matcher::anchored;
use crate::points::{Point, Result, Series, Steps, fault};
use crate::syntax::ast::{Call, Expr, Span, ValueType};
use crate::text::quote;

/// The text of an argument that is one.
fn text(call: &Call, at: usize) -> &str {
    match call.args.get(at).map(Expr::bare) {
        Some(Expr::String(text, _)) => text,
        _ => "",
    }
}

fn texts(call: &Call, from: usize) -> Vec<String> {
    (from..call.args.len()).map(|at| text(call, at).to_owned()).collect()
}

fn arg(call: &Call, at: usize) -> Result<&Expr> {
    call.args.get(at).map_or_else(|| fault(format!("{} lacks an argument", call.function.name)), |arg| Ok(arg.bare()))
}

impl Evaluator<'_> {
    pub(super) fn call(&mut self, call: &Call, steps: &Steps) -> Result<Output> {
        let matrix = call.args.iter().position(|arg| arg.value_type() == ValueType::Matrix);
        if let Some(at) = matrix {
            return self.range_call(call, at, steps).map(Output::Vector);
        }
        let name = call.function.name;
        if call.function.returns == ValueType::Scalar {
            return self.scalar_call(call, steps).map(Output::Scalar);
        }
        if let Some(function) = math::find(name) {
            return self.map_floats(arg(call, 0)?, steps, function).map(Output::Vector);
        }
        if let Some(function) = dates::find(name) {
            if call.args.is_empty() {
                return Ok(over_steps(steps, |at| function(seconds(steps.time(at)).floor())));
            }
            return self.map_floats(arg(call, 0)?, steps, function).map(Output::Vector);
        }
        if let Some(function) = histograms::find(name) {
            let outside = std::mem::replace(&mut self.find_resets, !name.starts_with("histogram_std"));
            let series = self.vector(arg(call, 0)?, steps);
            self.find_resets = outside;
            let of = |point: &Point| match point {
                Point::Histogram(histogram) => Point::Float(function(histogram)),
                _ => Point::None,
            };
            return self.map_series(series?, |_, point| of(point)).map(Output::Vector);
        }
        let vector = match name {
            "vector" => {
                let values = self.scalar(arg(call, 0)?, steps)?;
                return Ok(over_steps(steps, |at| values[at]));
            }
            "timestamp" | "start_timestamp" => self.timestamp(call, steps)?,
            "absent" => self.absent(arg(call, 0)?, steps)?,
            "clamp" | "clamp_min" | "clamp_max" => self.clamp(call, steps)?,
            "round" => self.round(call, steps)?,
            "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => self.sort(call, steps)?,
            "label_replace" => self.label_replace(call, steps)?,
            "label_join" => self.label_join(call, steps)?,
            "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => self.histograms(call, steps)?,
            "info" => self.info(call, steps)?,
            other => return fault(format!("the function {other} is not known")),
        };
        Ok(Output::Vector(vector))
    }

    fn scalar_call(&mut self, call: &Call, steps: &Steps) -> Result<Vec<f64>> {
        let (start, end, step) = self.query;
        let constant = |value: f64| Ok(vec![value; steps.count]);
        match call.function.name {
            "time" => Ok((0..steps.count).map(|at| seconds(steps.time(at))).collect()),
            "pi" => constant(std::f64::consts::PI),
            "start" => constant(seconds(start)),
            "end" => constant(seconds(end)),
            "range" => constant(seconds(end - start)),
            "step" => constant(if start == end { 0.0 } else { seconds(step) }),
            "min_of" | "max_of" => {
                let (a, b) = (self.scalar(arg(call, 0)?, steps)?, self.scalar(arg(call, 1)?, steps)?);
                let of = if call.function.name == "min_of" { math::min } else { math::max };
                Ok(a.into_iter().zip(b).map(|(a, b)| of(a, b)).collect())
            }
            "scalar" => {
                let series = self.vector(arg(call, 0)?, steps)?;
                let mut out = Vec::with_capacity(steps.count);
                for at in 0..steps.count {
                    let mut floats = series.iter().filter_map(|own| match own.points[at] {
                        Point::Float(value) => Some(value),
                        _ => None,
                    });
                    let first = floats.next().unwrap_or(f64::NAN);
                    out.push(if floats.next().is_some() { f64::NAN } else { first });
                }
                Ok(out)
            }
            other => fault(format!("the function {other} is not known")),
        }
    }

    /// Each point of a vector through a function of step and point; the name goes.
    fn map_points(
        &mut self,
        expr: &Expr,
        steps: &Steps,
        function: impl Fn(usize, &Point) -> Point,
    ) -> Result<Vec<Series>> {
        let series = self.vector(expr, steps)?;
        self.map_series(series, function)
    }

    fn map_series(
        &mut self,
        mut series: Vec<Series>,
        function: impl Fn(usize, &Point) -> Point,
    ) -> Result<Vec<Series>> {
        for own in &mut series {
            for (at, point) in own.points.iter_mut().enumerate() {
                *point = function(at, point);
            }
            self.drop_name(own);
        }
        series.retain(|own| own.points.iter().any(Point::is_some));
        self.merge_same(series)
    }

    fn map_floats(&mut self, expr: &Expr, steps: &Steps, function: impl Fn(f64) -> f64) -> Result<Vec<Series>> {
        self.map_points(expr, steps, |_, point| match point {
            Point::Float(value) => Point::Float(function(*value)),
            _ => Point::None,
        })
    }

    fn timestamp(&mut self, call: &Call, steps: &Steps) -> Result<Vec<Series>> {
        let starts = call.function.name == "start_timestamp";
        let arg = arg(call, 0)?;
        if let Expr::Vector(selector) = arg {
            if starts && !self.options.start_times {
                return Ok(Vec::new());
            }
            return self.sample_times(selector, steps, starts);
        }
        if starts {
            self.vector(arg, steps)?;
            return Ok(Vec::new());
        }
        self.map_points(arg, steps, |at, point| match point {
            Point::None => Point::None,
            _ => Point::Float(seconds(steps.time(at))),
        })
    }

    fn absent(&mut self, arg: &Expr, steps: &Steps) -> Result<Vec<Series>> {
        let series = self.vector(arg, steps)?;
        let present = |at: usize| series.iter().any(|own| own.points[at].is_some());
        let points: Vec<Point> =
            (0..steps.count).map(|at| if present(at) { Point::None } else { Point::Float(1.0) }).collect();
        let any = points.iter().any(Point::is_some);
        let labels = absent_labels(arg);
        Ok(any.then_some(Series { labels, drop_name: false, points }).into_iter().collect())
    }

    fn clamp(&mut self, call: &Call, steps: &Steps) -> Result<Vec<Series>> {
        let infinite = |value: f64| vec![value; steps.count];
        let (low, high) = match call.function.name {
            "clamp_min" => (self.scalar(arg(call, 1)?, steps)?, infinite(f64::INFINITY)),
            "clamp_max" => (infinite(f64::NEG_INFINITY), self.scalar(arg(call, 1)?, steps)?),
            _ => (self.scalar(arg(call, 1)?, steps)?, self.scalar(arg(call, 2)?, steps)?),
        };
        self.map_points(arg(call, 0)?, steps, |at, point| match point {
            Point::Float(_) if high[at] < low[at] => Point::None,
            Point::Float(value) => Point::Float(math::max(low[at], math::min(high[at], *value))),
            _ => Point::None,
        })
    }

    fn round(&mut self, call: &Call, steps: &Steps) -> Result<Vec<Series>> {
        let to = match call.args.get(1) {
            Some(arg) => self.scalar(arg, steps)?,
            None => vec![1.0; steps.count],
        };
        self.map_points(arg(call, 0)?, steps, |at, point| match point {
            Point::Float(value) => {
                let inverse = 1.0 / to[at];
                Point::Float((value * inverse + 0.5).floor() / inverse)
            }
            _ => Point::None,
        })
    }

    fn sort(&mut self, call: &Call, steps: &Steps) -> Result<Vec<Series>> {
        let mut series = self.vector(arg(call, 0)?, steps)?;
        let name = call.function.name;
        if self.query.0 != self.query.1 {
            let text = "sort is ineffective for range queries since results are always ordered by labels";
            self.annotations.warn(call.span, text);
        }
        if name.starts_with("sort_by_label") {
            sorting::by_labels(&mut series, &texts(call, 1), name.ends_with("_desc"));
        } else {
            for own in &mut series {
                for point in &mut own.points {
                    if matches!(point, Point::Histogram(_)) {
                        *point = Point::None;
                    }
                }
            }
            sorting::by_value(&mut series, name == "sort_desc");
        }
        Ok(series)
    }

    /// Labels changed by a function; a name set anew stays.
    fn relabel(
        &mut self,
        mut series: Vec<Series>,
        to: &str,
        with: impl Fn(&Labels) -> Option<String>,
    ) -> Result<Vec<Series>> {
        for own in &mut series {
            if let Some(value) = with(&own.labels) {
                own.labels = own.labels.with(to, &value);
                if to == NAME {
                    own.drop_name = false;
                }
            }
        }
        self.merge_same(series)
    }

    fn label_replace(&mut self, call: &Call, steps: &Steps) -> Result<Vec<Series>> {
        let (to, replacement, from, expression) = (text(call, 1), text(call, 2), text(call, 3), text(call, 4));
        let Ok(regex) = anchored(expression) else {
            return fault(format!("invalid regular expression in label_replace(): {expression}"));
        };
        if !is_label_name(to) {
            return fault(format!("invalid destination label name in label_replace(): {to}"));
        }
        let series = self.vector(arg(call, 0)?, steps)?;
        // A name in a replacement ends where Go's does: `$1x` is a group named `1x`.
        self.relabel(series, to, |labels| {
            regex.captures(labels.get(from)).map(|captures| {
                let mut value = String::new();
                captures.expand(replacement, &mut value);
                value
            })
        })
    }

    fn label_join(&mut self, call: &Call, steps: &Steps) -> Result<Vec<Series>> {
        let (to, between, from) = (text(call, 1), text(call, 2), texts(call, 3));
        if let Some(bad) = from.iter().find(|name| !is_label_name(name)) {
            return fault(format!("invalid source label name in label_join(): {bad}"));
        }
        if !is_label_name(to) {
            return fault(format!("invalid destination label name in label_join(): {to}"));
        }
        let series = self.vector(arg(call, 0)?, steps)?;
        self.relabel(series, to, |labels| {
            Some(from.iter().map(|name| labels.get(name)).collect::<Vec<_>>().join(between))
        })
    }

    fn histograms(&mut self, call: &Call, steps: &Steps) -> Result<Vec<Series>> {
        let outside = std::mem::take(&mut self.find_resets);
        let out = self.ask_histograms(call, steps);
        self.find_resets = outside;
        out
    }

    fn ask_histograms(&mut self, call: &Call, steps: &Steps) -> Result<Vec<Series>> {
        let name = call.function.name;
        let spans: Vec<Span> = call.args.iter().map(|arg| arg.bare().span()).collect();
        let (vector, numbers) = match name {
            "histogram_quantile" => (1, vec![0]),
            "histogram_fraction" => (2, vec![0, 1]),
            _ => (0, (2..call.args.len()).collect()),
        };
        let mut values = Vec::with_capacity(numbers.len());
        for at in &numbers {
            values.push(self.scalar(arg(call, *at)?, steps)?);
        }
        let series = self.vector(arg(call, vector)?, steps)?;
        let asked = match (name, &values[..]) {
            ("histogram_quantile", [q]) => Asked::Quantile(q),
            ("histogram_fraction", [lower, upper]) => Asked::Fraction(lower, upper),
            (_, all) => Asked::Quantiles(text(call, 1), all),
        };
        if matches!(asked, Asked::Quantiles("", _)) {
            return fault(format!("invalid label name {}", quote(text(call, 1))));
        }
        let times: Vec<i64> = (0..steps.count).map(|at| steps.time(at)).collect();
        let spans = Spans { vector: spans[vector], quantiles: numbers.iter().map(|at| spans[*at]).collect() };
        self.charge_cells(series.len() * values.len().max(1), steps)?;
        let mut out = histograms::ask(&asked, &series, &times, &spans, &mut self.annotations)?;
        for own in &mut out {
            self.drop_name(own);
        }
        self.merge_same(out)
    }
}

/// What no label can be named: nothing, and what was no UTF-8.
fn is_label_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('\u{fffd}')
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// A vector of one series without labels.
fn over_steps(steps: &Steps, value: impl Fn(usize) -> f64) -> Output {
    let points = (0..steps.count).map(|at| Point::Float(value(at))).collect();
    Output::Vector(vec![Series { labels: Labels::default(), drop_name: false, points }])
}
