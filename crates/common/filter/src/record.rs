//! What a record has to tell for the language.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use crate::field::Field;

/// A record that can be filtered: views of OTLP bytes on the device, rows of the store in the hub.
pub trait Record {
    /// Unix nanoseconds: a span's start, a log record's time (observed, where it has no other), a point's time.
    fn time_ns(&self) -> u64;

    /// The value of a field; [`Value::Absent`] where the record has none. `Field::Attribute` looks at the record's own
    /// attributes first, then at its resource's.
    fn field(&self, field: &Field) -> Value<'_>;
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// The record has no such field.
    Absent,
    /// Text; bytes are shown as lower-case hex by whoever makes the value.
    Text(Cow<'a, str>),
    /// An integer; durations are nanoseconds.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A truth value.
    Bool(bool),
}

impl Value<'_> {
    /// The same, with a life of its own.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Absent => Value::Absent,
            Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Value::Int(number) => Value::Int(number),
            Value::Float(number) => Value::Float(number),
            Value::Bool(truth) => Value::Bool(truth),
        }
    }

    /// As a number; text that spells one counts.
    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Int(number) => Some(*number as f64),
            Value::Float(number) => Some(*number),
            Value::Text(text) => text.trim().parse().ok(),
            Value::Absent | Value::Bool(_) => None,
        }
    }

    /// An order over all values, for sorting: absent ones last, numbers before text.
    pub fn order(&self, other: &Self) -> Ordering {
        fn rank(value: &Value<'_>) -> u8 {
            match value {
                Value::Int(_) | Value::Float(_) => 0,
                Value::Bool(_) => 1,
                Value::Text(_) => 2,
                Value::Absent => 3,
            }
        }
        match (self, other) {
            (Value::Int(a), Value::Int(b)) => a.cmp(b),
            (Value::Text(a), Value::Text(b)) => a.cmp(b),
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => {
                self.number().unwrap_or(f64::NAN).total_cmp(&other.number().unwrap_or(f64::NAN))
            }
            _ => rank(self).cmp(&rank(other)),
        }
    }
}

impl fmt::Display for Value<'_> {
    /// Absent is nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Absent => Ok(()),
            Value::Text(text) => f.write_str(text),
            Value::Int(number) => write!(f, "{number}"),
            Value::Float(number) => write!(f, "{number}"),
            Value::Bool(truth) => write!(f, "{truth}"),
        }
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::Text(Cow::Borrowed(text))
    }
}
