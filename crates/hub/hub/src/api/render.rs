//! OTLP values and the store's answers as JSON.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use serde_json::{Map, Value, json};
use store::Interval;
use store::query::{Completeness, Number, Table};

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
pub(super) fn exacts(values: &[Option<Number>]) -> Value {
    values.iter().map(|value| value.map_or(Value::Null, exact)).collect()
}

pub(super) fn numbers(values: &[Option<f64>]) -> Value {
    values.iter().map(|value| value.map_or(Value::Null, float)).collect()
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
pub(super) fn table(table: &Table, completeness: &Completeness) -> Value {
    json!({
        "columns": table.columns,
        "rows": table.rows.iter().map(|row| row.iter().map(cell).collect()).collect::<Vec<Value>>(),
        "left_out": table.left_out,
        "completeness": self::completeness(completeness),
    })
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

/// An interval's fields, with those that are not there left out.
pub(super) fn interval(interval: &Interval) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("from".into(), ns(interval.from));
    fields.insert("to".into(), ns(interval.to));
    fields.insert("state".into(), json!(interval.state.name()));
    fields.insert("late".into(), json!(interval.late));
    if let Some(reason) = &interval.reason {
        fields.insert("reason".into(), json!(reason));
    }
    if let Some(records) = interval.records {
        fields.insert("records".into(), json!(records));
    }
    fields
}

pub(super) fn completeness(completeness: &Completeness) -> Value {
    let devices: Vec<Value> = completeness
        .devices
        .iter()
        .map(|incomplete| {
            let mut fields = interval(&incomplete.interval);
            fields.insert("device".into(), json!(incomplete.device));
            fields.insert("signal".into(), json!(incomplete.signal.name()));
            Value::Object(fields)
        })
        .collect();
    json!({"fraction": completeness.fraction, "complete": completeness.complete, "devices": devices})
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
            assert_eq!(exacts(&[Some(number), None]), json!([wanted, Value::Null]));
        }
        assert_eq!(value(&AnyValue { value: Some(Any::DoubleValue(f64::INFINITY)) }), json!("Infinity"));
    }
}
