//! `AnyValue` bytes as plain JSON, and as the text that others know them by.

use model::otlp::schema::any_value;
use model::otlp::{attributes, messages};
use model::proto::{Reader, Value};

use super::text::{base64, float, push, put_base64, text};

/// Nested values deeper than this are shown as null; intake refuses them.
const MAX_DEPTH: usize = 64;

/// Appends the value as plain JSON: bytes in base64, integers as numbers.
pub fn put_value(out: &mut String, any: &[u8]) {
    nested(out, any, 0);
}

/// Appends the value as a text, as the Collector's `AsString` has it: texts as they are, bytes in base64, arrays and lists as
/// JSON, nothing as nothing.
pub fn put_value_text(out: &mut String, any: &[u8]) {
    match Reader::new(any).next_field() {
        Ok(Some((any_value::STRING, Value::Bytes(text)))) => out.push_str(&String::from_utf8_lossy(text)),
        Ok(Some((any_value::DOUBLE, Value::Fixed64(bits)))) => double(out, f64::from_bits(bits)),
        Ok(Some((any_value::BYTES, Value::Bytes(bytes)))) => put_base64(out, bytes),
        Ok(Some(_)) => nested(out, any, 0),
        _ => {}
    }
}

/// As ECMAScript writes numbers, as Go's JSON does: with an exponent from 10^21 and below 10^-6.
fn double(out: &mut String, number: f64) {
    let size = number.abs();
    if number.is_nan() {
        out.push_str("NaN");
    } else if size.is_infinite() {
        out.push_str(if number > 0.0 { "Infinity" } else { "-Infinity" });
    } else if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let written = format!("{number:e}");
        match written.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => {
                push(out, format_args!("{digits}e+{exponent}"));
            }
            _ => out.push_str(&written),
        }
    } else {
        push(out, format_args!("{number}"));
    }
}

fn nested(out: &mut String, any: &[u8], depth: usize) {
    match Reader::new(any).next_field() {
        Ok(Some((any_value::STRING, Value::Bytes(found)))) => text(out, &String::from_utf8_lossy(found)),
        Ok(Some((any_value::BOOL, Value::Varint(truth)))) => out.push_str(if truth != 0 { "true" } else { "false" }),
        Ok(Some((any_value::INT, Value::Varint(number)))) => push(out, format_args!("{}", number.cast_signed())),
        Ok(Some((any_value::DOUBLE, Value::Fixed64(bits)))) => float(out, f64::from_bits(bits)),
        Ok(Some((any_value::BYTES, Value::Bytes(bytes)))) => base64(out, bytes),
        Ok(Some((any_value::ARRAY, Value::Bytes(values)))) if depth < MAX_DEPTH => {
            out.push('[');
            for (position, item) in messages(values, 1).flatten().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                nested(out, item, depth + 1);
            }
            out.push(']');
        }
        Ok(Some((any_value::KVLIST, Value::Bytes(pairs)))) if depth < MAX_DEPTH => {
            out.push('{');
            for (position, (key, item)) in attributes(pairs, 1).enumerate() {
                if position > 0 {
                    out.push(',');
                }
                text(out, &String::from_utf8_lossy(key));
                out.push(':');
                nested(out, item, depth + 1);
            }
            out.push('}');
        }
        _ => out.push_str("null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::proto::{put_bytes, put_fixed64, put_message, put_uint};

    fn as_text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let (mut any, mut out) = (Vec::new(), String::new());
        write(&mut any);
        put_value_text(&mut out, &any);
        out
    }

    /// Scenario: values of every kind. Guarantees: the texts that Go's pdata makes of them, so that a series keeps its labels
    /// whichever way it goes.
    #[test]
    fn values_have_the_texts_of_the_collector() {
        let doubles = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (1e-6, "0.000001"),
            (1.25e-7, "1.25e-7"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (number, text) in doubles {
            assert_eq!(as_text(|out| put_fixed64(out, any_value::DOUBLE, number.to_bits())), text);
        }
        assert_eq!(as_text(|_| ()), "");
        assert_eq!(as_text(|out| put_bytes(out, any_value::STRING, b"a \"b\"")), "a \"b\"");
        assert_eq!(as_text(|out| put_uint(out, any_value::BOOL, 1)), "true");
        assert_eq!(as_text(|out| put_uint(out, any_value::INT, (-7_i64).cast_unsigned())), "-7");
        assert_eq!(as_text(|out| put_bytes(out, any_value::BYTES, &[255, 0])), "/wA=");
        let array = as_text(|out| {
            put_message(out, any_value::ARRAY, |out| {
                put_message(out, 1, |out| put_bytes(out, any_value::STRING, b"<x>"));
                put_message(out, 1, |out| put_uint(out, any_value::INT, 3));
                put_message(out, 1, |_| ());
            });
        });
        assert_eq!(array, "[\"<x>\",3,null]");
    }
}
