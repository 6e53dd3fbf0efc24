//! Short ways to write OTLP attributes.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};

/// A value that is present.
pub(crate) fn any(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

/// A text value.
pub(crate) fn text(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

/// A whole number.
pub(crate) fn int(number: i64) -> Value {
    Value::IntValue(number)
}

/// An attribute.
pub(crate) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(any(value)), ..KeyValue::default() }
}
