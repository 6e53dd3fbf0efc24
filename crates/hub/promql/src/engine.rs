//! A query's evaluation from outside: times and bounds in, an answer out.

use crate::annotations::Annotations;
use crate::eval::{Evaluator, Output};
use crate::labels::Labels;
use crate::options::{Error, Options, Query};
use crate::points::{Point, Series, Steps};
use crate::source::{Samples, SeriesSource};
use crate::syntax::MAX_TIME;
use crate::syntax::ast::{Expr, ValueType};

/// A query's value. Times are milliseconds.
#[derive(Clone, Debug)]
pub enum Value {
    /// A time and a number.
    Scalar(i64, f64),
    /// A time and a text.
    String(i64, String),
    /// Series with one sample each, in the query's order.
    Vector(Vec<(Labels, Samples)>),
    /// Series with samples, sorted by labels.
    Matrix(Vec<(Labels, Samples)>),
}

/// A query's value and what is to be told beside it.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The value.
    pub value: Value,
    /// Warnings and infos.
    pub annotations: Annotations,
}

/// Evaluates a parsed query over a source.
///
/// # Errors
/// See [`Error`].
pub fn evaluate(source: &dyn SeriesSource, expr: &Expr, query: Query, options: &Options<'_>) -> Result<Answer, Error> {
    let times = match query {
        Query::Instant(time) => [time; 3],
        Query::Range { start, end, step } => [start, end, step],
    };
    if let Some(far) = times.into_iter().find(|time| !(-MAX_TIME..=MAX_TIME).contains(time)) {
        return Err(Error::Execution(format!("the time {far} ms is out of range")));
    }
    let kind = expr.value_type();
    let steps = match query {
        Query::Instant(time) => Steps { start: time, step: 1, count: 1 },
        Query::Range { start, end, step } => {
            if !matches!(kind, ValueType::Scalar | ValueType::Vector) {
                let kind = kind.documented();
                let message =
                    format!("invalid expression type \"{kind}\" for range query, must be Scalar or instant Vector");
                return Err(Error::Execution(message));
            }
            range_steps(start, end, step, options.max_steps)?
        }
    };
    let mut evaluator = Evaluator::new(source, options, query);
    if kind == ValueType::Matrix {
        let mut all = evaluator.matrix(expr.bare(), &steps, "")?;
        for series in &mut all {
            if series.drop_name {
                series.labels = series.labels.without_metadata();
            }
        }
        all.retain(|series| series.samples.weight() > 0);
        all.sort_by(|a, b| a.labels.cmp(&b.labels));
        let all = all.into_iter().map(|series| (series.labels, series.samples)).collect();
        return Ok(Answer { value: Value::Matrix(all), annotations: evaluator.annotations });
    }
    let output = evaluator.eval(expr, &steps)?;
    let instant = matches!(query, Query::Instant(_));
    let value = match output {
        Output::Text(text) => Value::String(steps.start, text),
        Output::Scalar(numbers) if instant => Value::Scalar(steps.start, numbers.first().copied().unwrap_or(f64::NAN)),
        Output::Scalar(numbers) => {
            let floats = numbers.into_iter().enumerate().map(|(at, value)| (steps.time(at), value)).collect();
            Value::Matrix(vec![(Labels::default(), Samples { floats, ..Samples::default() })])
        }
        Output::Vector(mut series) => {
            for own in &mut series {
                if own.drop_name {
                    own.labels = own.labels.without_metadata();
                }
            }
            let mut series = evaluator.merge_same(series)?;
            if !instant {
                series.sort_by(|a, b| a.labels.cmp(&b.labels));
            }
            let all = series.into_iter().filter_map(|own| samples(own, &steps)).collect();
            if instant { Value::Vector(all) } else { Value::Matrix(all) }
        }
    };
    Ok(Answer { value, annotations: evaluator.annotations })
}

fn range_steps(start: i64, end: i64, step: i64, most: usize) -> Result<Steps, Error> {
    if step <= 0 {
        return Err(Error::Execution("the step of a range query must be more than 0".into()));
    }
    if end < start {
        return Ok(Steps { start, step, count: 0 });
    }
    let count = end.checked_sub(start).map(|length| length / step + 1).and_then(|count| usize::try_from(count).ok());
    match count {
        Some(count) if count <= most => Ok(Steps { start, step, count }),
        _ => Err(Error::TooMuch(format!("the query would have more than {most} steps: choose a longer step"))),
    }
}

fn samples(series: Series, steps: &Steps) -> Option<(Labels, Samples)> {
    let mut samples = Samples::default();
    for (at, point) in series.points.into_iter().enumerate() {
        match point {
            Point::None => {}
            Point::Float(value) => samples.floats.push((steps.time(at), value)),
            Point::Histogram(histogram) => samples.histograms.push((steps.time(at), histogram)),
        }
    }
    (samples.weight() > 0).then_some((series.labels, samples))
}
