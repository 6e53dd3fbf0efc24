//! The evaluator: a tree of expressions over steps.

mod aggregate;
mod binary;
mod calls;
mod info;
mod matrix;
mod ranked;
mod select;

use crate::annotations::Annotations;
use crate::histogram::Histogram;
use crate::labels::Labels;
use crate::options::{Error, Options, Query};
use crate::points::{Point, Result, Series, Steps, fault};
use crate::source::SeriesSource;
use crate::syntax::ast::{Call, Expr};
use std::collections::HashMap;

/// The value of an expression at all steps.
#[derive(Debug)]
pub(crate) enum Output {
    Vector(Vec<Series>),
    Scalar(Vec<f64>),
    Text(String),
}

/// Functions whose value depends on the step though their arguments do not.
const OF_TIME: [&str; 17] = [
    "info",
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "end",
    "hour",
    "minute",
    "month",
    "year",
    "predict_linear",
    "range",
    "start",
    "step",
    "time",
    "timestamp",
    "start_timestamp",
];

/// One query's evaluation.
pub(crate) struct Evaluator<'a> {
    source: &'a dyn SeriesSource,
    pub(crate) options: &'a Options<'a>,
    /// The query's own start, end and step, in milliseconds.
    query: (i64, i64, i64),
    pub(crate) annotations: Annotations,
    series: usize,
    samples: usize,
    cells: usize,
    /// Whether histograms are to tell of resets since the one before: where only their counts and sums are asked for.
    find_resets: bool,
}

impl<'a> Evaluator<'a> {
    pub(crate) fn new(source: &'a dyn SeriesSource, options: &'a Options<'a>, query: Query) -> Self {
        let query = match query {
            Query::Instant(time) => (time, time, 0),
            Query::Range { start, end, step } => (start, end, step),
        };
        Self {
            source,
            options,
            query,
            annotations: Annotations::default(),
            series: 0,
            samples: 0,
            cells: 0,
            find_resets: false,
        }
    }

    /// Ends the evaluation where it is to end.
    pub(crate) fn go_on(&self) -> Result<()> {
        (self.options.stop)().map_or(Ok(()), Err)
    }

    /// Counts cells of a matrix.
    pub(crate) fn charge_cells(&mut self, series: usize, steps: &Steps) -> Result<()> {
        self.cells = self.cells.saturating_add(series.saturating_mul(steps.count));
        if self.cells > self.options.max_cells {
            let most = self.options.max_cells;
            return Err(Error::TooMuch(format!(
                "query processing would have more than {most} cells (series times steps): select fewer series or a longer step"
            )));
        }
        Ok(())
    }

    /// An expression's value at steps. What does not change with them is evaluated once.
    pub(crate) fn eval(&mut self, expr: &Expr, steps: &Steps) -> Result<Output> {
        self.go_on()?;
        if steps.count > 1 && !matches!(expr.bare(), Expr::Number(..) | Expr::String(..)) && invariant(expr) {
            let once = Steps { count: 1, ..*steps };
            return Ok(match self.eval_here(expr, &once)? {
                Output::Scalar(values) => {
                    Output::Scalar(vec![values.first().copied().unwrap_or(f64::NAN); steps.count])
                }
                Output::Vector(mut series) => {
                    self.charge_cells(series.len(), steps)?;
                    for own in &mut series {
                        let point = own.points.first().cloned().unwrap_or_default();
                        own.points = vec![point; steps.count];
                    }
                    Output::Vector(series)
                }
                text @ Output::Text(_) => text,
            });
        }
        self.eval_here(expr, steps)
    }

    fn eval_here(&mut self, expr: &Expr, steps: &Steps) -> Result<Output> {
        match expr {
            Expr::Number(value, ..) => Ok(Output::Scalar(vec![*value; steps.count])),
            Expr::String(text, _) => Ok(Output::Text(text.clone())),
            Expr::Paren(inner, _) => self.eval(inner, steps),
            Expr::Vector(selector) => self.instant_selector(selector, steps, "").map(Output::Vector),
            Expr::Unary(negative, inner, _) => self.unary(*negative, inner, steps),
            Expr::Binary(binary) => self.binary(binary, steps),
            Expr::Aggregate(aggregate) => self.aggregate(aggregate, steps).map(Output::Vector),
            Expr::Call(call) => self.call(call, steps),
            Expr::Matrix(_) | Expr::Subquery(_) => fault("a range vector stands where a value per step is wanted"),
        }
    }

    /// An expression's value that has to be a vector.
    pub(crate) fn vector(&mut self, expr: &Expr, steps: &Steps) -> Result<Vec<Series>> {
        match self.eval(expr.bare(), steps)? {
            Output::Vector(series) => Ok(series),
            _ => fault("an instant vector was expected"),
        }
    }

    /// An expression's value that has to be a scalar.
    pub(crate) fn scalar(&mut self, expr: &Expr, steps: &Steps) -> Result<Vec<f64>> {
        match self.eval(expr.bare(), steps)? {
            Output::Scalar(values) => Ok(values),
            _ => fault("a scalar was expected"),
        }
    }

    fn unary(&mut self, negative: bool, inner: &Expr, steps: &Steps) -> Result<Output> {
        let output = self.eval(inner, steps)?;
        if !negative {
            return Ok(output);
        }
        match output {
            Output::Scalar(values) => Ok(Output::Scalar(values.into_iter().map(|value| -value).collect())),
            Output::Vector(mut series) => {
                for own in &mut series {
                    self.drop_name(own);
                    for point in &mut own.points {
                        *point = match std::mem::take(point) {
                            Point::Float(value) => Point::Float(-value),
                            Point::Histogram(histogram) => Point::histogram(Histogram::clone(&histogram).scaled(-1.0)),
                            Point::None => Point::None,
                        };
                    }
                }
                self.merge_same(series).map(Output::Vector)
            }
            text @ Output::Text(_) => Ok(text),
        }
    }

    /// Takes the metric's name away: now, or at the end.
    pub(crate) fn drop_name(&self, series: &mut Series) {
        series.drop_name = true;
        if !self.options.delayed_name_removal {
            series.labels = series.labels.without_metadata();
        }
    }

    /// Series that have come to the same labels become one, as long as they are not there at the same step.
    pub(crate) fn merge_same(&self, series: Vec<Series>) -> Result<Vec<Series>> {
        let mut places: HashMap<Labels, usize> = HashMap::with_capacity(series.len());
        let mut out: Vec<Series> = Vec::with_capacity(series.len());
        for own in series {
            let Some(at) = places.get(&own.labels) else {
                places.insert(own.labels.clone(), out.len());
                out.push(own);
                continue;
            };
            for (into, point) in out[*at].points.iter_mut().zip(own.points) {
                if into.is_some() && point.is_some() {
                    return fault("vector cannot contain metrics with the same labelset");
                }
                if point.is_some() {
                    *into = point;
                }
            }
        }
        Ok(out)
    }
}

/// Whether an expression has the same value at every step.
fn invariant(expr: &Expr) -> bool {
    match expr {
        Expr::Number(..) | Expr::String(..) => true,
        Expr::Vector(selector) => selector.at.is_some(),
        Expr::Matrix(matrix) => matrix.selector.at.is_some(),
        Expr::Subquery(subquery) => subquery.at.is_some(),
        Expr::Call(call) => invariant_call(call),
        other => other.children().into_iter().all(invariant),
    }
}

fn invariant_call(call: &Call) -> bool {
    let name = call.function.name;
    // The time of a fixed sample is fixed.
    let fixed = name.ends_with("timestamp") && matches!(call.args.first().map(Expr::bare), Some(Expr::Vector(_)));
    let constant = matches!(name, "start" | "end" | "range" | "step");
    (constant || fixed || !OF_TIME.contains(&name)) && call.args.iter().all(invariant)
}
