//! Figures over the values of a group, in memory that does not grow with the number of values.

use std::collections::BTreeMap;

use crate::query::{Aggregate, Function};
use crate::record::Value;

/// Ratio between the bounds of neighbouring buckets of a quantile: each lies within 1 % of the values in it.
const GROWTH: f64 = 1.02;

/// One figure being reckoned.
#[derive(Debug, Clone)]
pub(crate) enum State {
    Count(u64),
    /// Numbers so far, and how many.
    Sum(f64, u64),
    Least(Value<'static>),
    Greatest(Value<'static>),
    /// Values by bucket; the key orders as the values do.
    Sketch(BTreeMap<i32, u64>, u64),
}

impl State {
    pub(crate) fn new(function: Function) -> Self {
        match function {
            Function::Count | Function::Rate => State::Count(0),
            Function::Sum | Function::Avg => State::Sum(0.0, 0),
            Function::Min => State::Least(Value::Absent),
            Function::Max => State::Greatest(Value::Absent),
            Function::Percentile(_) => State::Sketch(BTreeMap::new(), 0),
        }
    }

    /// Takes the field's value of one more record.
    pub(crate) fn add(&mut self, value: Value<'_>) {
        match self {
            State::Count(count) => *count += 1,
            State::Sum(sum, count) => {
                if let Some(number) = value.number() {
                    *sum += number;
                    *count += 1;
                }
            }
            State::Least(least) => {
                if value != Value::Absent && value.order(least).is_lt() {
                    *least = value.into_owned();
                }
            }
            State::Greatest(greatest) => {
                if value != Value::Absent && (*greatest == Value::Absent || value.order(greatest).is_gt()) {
                    *greatest = value.into_owned();
                }
            }
            State::Sketch(buckets, count) => {
                if let Some(number) = value.number().filter(|number| number.is_finite()) {
                    *buckets.entry(bucket(number)).or_default() += 1;
                    *count += 1;
                }
            }
        }
    }

    /// About how many bytes it takes beside itself.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            State::Least(Value::Text(text)) | State::Greatest(Value::Text(text)) => text.len(),
            // An entry of a tree, half of whose nodes' places may be empty.
            State::Sketch(buckets, _) => buckets.len() * 32,
            _ => 0,
        }
    }

    /// The figure. `seconds` is the length of the time range, for rates.
    pub(crate) fn value(&self, aggregate: &Aggregate, seconds: Option<f64>) -> Value<'static> {
        match (self, aggregate.function) {
            (State::Count(count), Function::Rate) => match seconds {
                Some(seconds) if seconds > 0.0 => Value::Float(*count as f64 / seconds),
                _ => Value::Absent,
            },
            (State::Count(count), _) => Value::Int(count.cast_signed()),
            (State::Sum(_, 0), _) => Value::Absent,
            (State::Sum(sum, count), Function::Avg) => Value::Float(sum / *count as f64),
            (State::Sum(sum, _), _) => Value::Float(*sum),
            (State::Least(value) | State::Greatest(value), _) => value.clone(),
            (State::Sketch(buckets, count), Function::Percentile(percent)) => quantile(buckets, *count, percent),
            (State::Sketch(..), _) => Value::Absent,
        }
    }
}

/// Powers of [`GROWTH`], mirrored for negative numbers; 0 is all that is nearly 0.
fn bucket(number: f64) -> i32 {
    let size = number.abs();
    if size < 1e-9 {
        return 0;
    }
    // From 1e-9 on it is positive; the largest double is far below the bound of an i32.
    let step = ((size / 1e-9).ln() / GROWTH.ln()).floor() as i32 + 1;
    if number < 0.0 { -step } else { step }
}

fn quantile(buckets: &BTreeMap<i32, u64>, count: u64, percent: u8) -> Value<'static> {
    if count == 0 {
        return Value::Absent;
    }
    let rank = (f64::from(percent) / 100.0 * count as f64).ceil() as u64;
    let mut seen = 0;
    for (bucket, number) in buckets {
        seen += number;
        if seen >= rank {
            let middle = |step: i32| 1e-9 * GROWTH.powi(step - 1) * GROWTH.sqrt();
            return Value::Float(match bucket {
                0 => 0.0,
                step if *step < 0 => -middle(-step),
                step => middle(*step),
            });
        }
    }
    Value::Absent
}
