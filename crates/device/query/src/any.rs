//! `AnyValue` bytes as values of the filter language .

use std::borrow::Cow;

use filter::Value;
use model::otlp::schema::any_value;
use model::proto::{self, Reader};
use otlp::json;

/// The value: texts, numbers and truth values as they are, everything else as JSON text.
pub(crate) fn value(any: &[u8]) -> Value<'_> {
    match Reader::new(any).next_field() {
        Ok(Some((any_value::STRING, proto::Value::Bytes(text)))) => Value::Text(String::from_utf8_lossy(text)),
        Ok(Some((any_value::BOOL, proto::Value::Varint(truth)))) => Value::Bool(truth != 0),
        Ok(Some((any_value::INT, proto::Value::Varint(number)))) => Value::Int(number.cast_signed()),
        Ok(Some((any_value::DOUBLE, proto::Value::Fixed64(bits)))) => Value::Float(f64::from_bits(bits)),
        Ok(Some((any_value::ARRAY | any_value::KVLIST | any_value::BYTES, _))) => {
            let mut text = String::new();
            json::put_value(&mut text, any);
            Value::Text(Cow::Owned(text))
        }
        _ => Value::Absent,
    }
}
