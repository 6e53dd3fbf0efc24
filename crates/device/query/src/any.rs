//! `AnyValue` bytes as values of the filter language and as JSON.

use std::borrow::Cow;

use filter::Value;
use model::otlp::schema::any_value;
use model::proto::{self, Reader};

use crate::json;

/// Nested values deeper than this are shown as null; intake refuses them.
const MAX_DEPTH: usize = 64;

/// The value: texts, numbers and truth values as they are, everything else as JSON text.
pub(crate) fn value(any: &[u8]) -> Value<'_> {
    match Reader::new(any).next_field() {
        Ok(Some((any_value::STRING, proto::Value::Bytes(text)))) => Value::Text(String::from_utf8_lossy(text)),
        Ok(Some((any_value::BOOL, proto::Value::Varint(truth)))) => Value::Bool(truth != 0),
        Ok(Some((any_value::INT, proto::Value::Varint(number)))) => Value::Int(number.cast_signed()),
        Ok(Some((any_value::DOUBLE, proto::Value::Fixed64(bits)))) => Value::Float(f64::from_bits(bits)),
        Ok(Some((any_value::ARRAY | any_value::KVLIST | any_value::BYTES, _))) => {
            let mut text = String::new();
            write(&mut text, any);
            Value::Text(Cow::Owned(text))
        }
        _ => Value::Absent,
    }
}

/// Appends the value as plain JSON: bytes in base64, integers as numbers.
pub(crate) fn write(out: &mut String, any: &[u8]) {
    write_nested(out, any, 0);
}

fn write_nested(out: &mut String, any: &[u8], depth: usize) {
    let field = Reader::new(any).next_field();
    match field {
        Ok(Some((any_value::ARRAY, proto::Value::Bytes(values)))) if depth < MAX_DEPTH => {
            out.push('[');
            for (position, item) in model::otlp::messages(values, 1).flatten().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                write_nested(out, item, depth + 1);
            }
            out.push(']');
        }
        Ok(Some((any_value::KVLIST, proto::Value::Bytes(pairs)))) if depth < MAX_DEPTH => {
            out.push('{');
            for (position, (key, item)) in model::otlp::attributes(pairs, 1).enumerate() {
                if position > 0 {
                    out.push(',');
                }
                json::text(out, &String::from_utf8_lossy(key));
                out.push(':');
                write_nested(out, item, depth + 1);
            }
            out.push('}');
        }
        Ok(Some((any_value::BYTES, proto::Value::Bytes(bytes)))) => json::base64(out, bytes),
        Ok(Some((any_value::ARRAY | any_value::KVLIST | any_value::BYTES, _))) => out.push_str("null"),
        _ => match value(any) {
            Value::Text(text) => json::text(out, &text),
            Value::Float(number) => json::float(out, number),
            Value::Absent => out.push_str("null"),
            other => out.push_str(&other.to_string()),
        },
    }
}
