//! OTLP values and the store's answers as JSON.

use model::Signal;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use store::Interval;
use store::query::{Completeness, Incomplete, Number, Table};

use crate::json::{Rows, rows};

/// Largest integer that JavaScript numbers hold exactly.
const MAX_SAFE: u64 = (1 << 53) - 1;

/// A time or a count of nanoseconds.
pub(super) fn ns(value: u64) -> Value {
    Value::String(value.to_string())
}

/// A floating-point number; JSON has no NaN and no infinities: they are text, as protobuf's JSON has them.
pub(super) fn float(value: f64) -> Value {
    if value.is_nan() {
        json!("NaN")
    } else if value.is_infinite() {
        json!(if value > 0.0 { "Infinity" } else { "-Infinity" })
    } else {
        json!(value)
    }
}

/// A whole number: text where a JavaScript number would round it.
pub(super) fn int(value: i64) -> Value {
    if value.unsigned_abs() > MAX_SAFE { Value::String(value.to_string()) } else { json!(value) }
}

/// A number as it was sent.
pub(super) fn exact(value: Number) -> Value {
    match value {
        Number::Int(number) => int(number),
        Number::Count(number) if number > MAX_SAFE => Value::String(number.to_string()),
        Number::Count(number) => json!(number),
        Number::Float(number) => float(number),
    }
}

/// Numbers, `null` where nothing is known.
pub(super) fn exacts(values: &[Option<Number>]) -> Rows<impl Iterator<Item = Value>> {
    rows(values.iter().map(|value| value.map_or(Value::Null, exact)))
}

pub(super) fn numbers(values: &[Option<f64>]) -> Rows<impl Iterator<Item = Value>> {
    rows(values.iter().map(|value| value.map_or(Value::Null, float)))
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().enumerate().fold(0, |group, (at, byte)| group | u32::from(*byte) << (16 - 8 * at));
        for place in 0..4 {
            let letter = ALPHABET[(group >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

/// An attribute's value.
pub(super) fn value(value: &AnyValue) -> Value {
    match &value.value {
        None => Value::Null,
        Some(Any::StringValue(text)) => json!(text),
        Some(Any::BoolValue(flag)) => json!(flag),
        Some(Any::IntValue(number)) => int(*number),
        Some(Any::DoubleValue(number)) => float(*number),
        Some(Any::ArrayValue(array)) => array.values.iter().map(self::value).collect(),
        Some(Any::KvlistValue(list)) => Value::Object(map(&list.values)),
        Some(Any::BytesValue(bytes)) => json!({"bytes": base64(bytes)}),
        Some(_) => Value::Null,
    }
}

/// A cell of a table.
fn cell(value: &filter::Value<'_>) -> Value {
    match value {
        filter::Value::Absent => Value::Null,
        filter::Value::Text(text) => json!(text),
        filter::Value::Bool(flag) => json!(flag),
        filter::Value::Int(number) => int(*number),
        filter::Value::Float(number) => float(*number),
    }
}

/// What pipes made.
pub(super) fn table(table: &Table, completeness: &Completeness) -> impl Serialize {
    #[derive(Serialize)]
    struct Answer<'a, R, C> {
        columns: &'a [String],
        rows: R,
        left_out: u64,
        completeness: C,
    }
    Answer {
        columns: &table.columns,
        rows: rows(table.rows.iter().map(|row| row.iter().map(cell).collect::<Value>())),
        left_out: table.left_out,
        completeness: self::completeness(completeness),
    }
}

fn map(attributes: &[KeyValue]) -> Map<String, Value> {
    attributes.iter().map(|attribute| (attribute.key.clone(), attribute_value(attribute))).collect()
}

fn attribute_value(attribute: &KeyValue) -> Value {
    attribute.value.as_ref().map_or(Value::Null, value)
}

/// Attributes as an object; of a key that comes twice the last value stays.
pub(super) fn object(attributes: &[KeyValue]) -> Value {
    Value::Object(map(attributes))
}

/// Attributes as a list of `key` and `value`, in their order.
pub(super) fn list(attributes: &[KeyValue]) -> Value {
    attributes.iter().map(|attribute| json!({"key": attribute.key, "value": attribute_value(attribute)})).collect()
}

pub(super) fn scope(scope: &InstrumentationScope) -> Value {
    json!({"name": scope.name, "version": scope.version})
}

/// A time or a count of nanoseconds, as [`ns`] writes it.
struct Nanoseconds(u64);

impl Serialize for Nanoseconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[derive(Serialize)]
struct IntervalFields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<&'static str>,
    from: Nanoseconds,
    to: Nanoseconds,
    state: &'static str,
    late: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<u64>,
}

/// An interval's fields, with those that are not there left out; and whose it is, where it does not stand below them.
pub(super) fn interval<'a>(
    device: Option<&'a str>,
    signal: Option<Signal>,
    interval: &'a Interval,
) -> impl Serialize + use<'a> {
    IntervalFields {
        device,
        signal: signal.map(Signal::name),
        from: Nanoseconds(interval.from),
        to: Nanoseconds(interval.to),
        state: interval.state.name(),
        late: interval.late,
        reason: interval.reason.as_deref(),
        records: interval.records,
    }
}

fn of_device(one: &Incomplete) -> impl Serialize {
    interval(Some(&one.device), Some(one.signal), &one.interval)
}

pub(super) fn completeness(completeness: &Completeness) -> impl Serialize {
    #[derive(Serialize)]
    struct Fields<D> {
        fraction: f64,
        complete: bool,
        devices: D,
    }
    Fields {
        fraction: completeness.fraction,
        complete: completeness.complete,
        devices: rows(completeness.devices.iter().map(of_device)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the test vectors of RFC 4648, section 10. Guarantees: bytes are readable by anyone.
    #[test]
    fn base64_is_that_of_the_rfc() {
        let vectors = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, encoded) in vectors {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }

    /// Scenario: integers around 2^53. Guarantees: none is rounded on its way to a page.
    #[test]
    fn large_integers_are_strings() {
        let int = |number| value(&AnyValue { value: Some(Any::IntValue(number)) });
        assert_eq!(int(9_007_199_254_740_991), json!(9_007_199_254_740_991_i64));
        assert_eq!(int(9_007_199_254_740_993), json!("9007199254740993"));
        assert_eq!(int(i64::MIN), json!("-9223372036854775808"));
    }

    /// Scenario: every kind of number that a point may have. Guarantees: exact, as a number where JavaScript holds it and as
    /// text where it does not.
    #[test]
    fn h7_no_number_is_rounded_or_dropped() {
        let shown = [
            (Number::Int(i64::MAX), json!("9223372036854775807")),
            (Number::Int(-9_007_199_254_740_991), json!(-9_007_199_254_740_991_i64)),
            (Number::Count(u64::MAX), json!("18446744073709551615")),
            (Number::Float(f64::NAN), json!("NaN")),
            (Number::Float(f64::INFINITY), json!("Infinity")),
            (Number::Float(f64::NEG_INFINITY), json!("-Infinity")),
            (Number::Float(0.25), json!(0.25)),
        ];
        for (number, wanted) in shown {
            assert_eq!(json!(exacts(&[Some(number), None])), json!([wanted, Value::Null]));
        }
        assert_eq!(value(&AnyValue { value: Some(Any::DoubleValue(f64::INFINITY)) }), json!("Infinity"));
    }
}
