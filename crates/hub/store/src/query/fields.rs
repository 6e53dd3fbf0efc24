//! Stored lines and spans as the filter language sees them (docs/filter.md): the same fields as on the device.

use std::borrow::Cow;
use std::fmt::Write;

use filter::{Field, Record, Value};
use model::{SpanId, TraceId};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};

use crate::rows::{LogRow, Origin, SpanRow, find};

/// Nested values deeper than this are shown as null; intake refuses them.
const MAX_DEPTH: usize = 64;
/// Names of `SpanKind`, by number.
const SPAN_KINDS: [&str; 6] = ["unspecified", "internal", "server", "client", "producer", "consumer"];

fn text(text: &str) -> Value<'_> {
    if text.is_empty() { Value::Absent } else { Value::Text(Cow::Borrowed(text)) }
}

fn id(id: Option<impl ToString>) -> Value<'static> {
    id.map_or(Value::Absent, |id| Value::Text(Cow::Owned(id.to_string())))
}

fn write_json(out: &mut String, any: &Any, depth: usize) {
    let element = |out: &mut String, any: Option<&AnyValue>| match any.and_then(|any| any.value.as_ref()) {
        Some(any) => write_json(out, any, depth + 1),
        None => out.push_str("null"),
    };
    match any {
        Any::ArrayValue(array) if depth < MAX_DEPTH => {
            out.push('[');
            for (position, item) in array.values.iter().enumerate() {
                out.push_str(if position > 0 { "," } else { "" });
                element(out, Some(item));
            }
            out.push(']');
        }
        Any::KvlistValue(list) if depth < MAX_DEPTH => {
            out.push('{');
            for (position, pair) in list.values.iter().enumerate() {
                out.push_str(if position > 0 { "," } else { "" });
                write_text(out, &pair.key);
                out.push(':');
                element(out, pair.value.as_ref());
            }
            out.push('}');
        }
        Any::StringValue(text) => write_text(out, text),
        // Writing into a String cannot fail.
        Any::BoolValue(truth) => drop(write!(out, "{truth}")),
        Any::IntValue(number) => drop(write!(out, "{number}")),
        Any::DoubleValue(number) if number.is_finite() => drop(write!(out, "{number}")),
        _ => out.push_str("null"),
    }
}

fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\n' => out.push_str("\\n"),
            character if character.is_control() => drop(write!(out, "\\u{:04x}", u32::from(character))),
            character => out.push(character),
        }
    }
    out.push('"');
}

/// A field that lines and spans have alike.
fn common<'a>(field: &Field, origin: &'a Origin, attributes: &'a [KeyValue]) -> Value<'a> {
    let resource = |key: &str| find(&origin.resource.attributes, key);
    match field {
        Field::Service => resource("service.name").map_or(Value::Absent, plain),
        Field::Host => resource("host.name").map_or(Value::Absent, plain),
        Field::Device => text(&origin.device),
        Field::Attribute(key) => find(attributes, key).or_else(|| resource(key)).map_or(Value::Absent, plain),
        _ => Value::Absent,
    }
}

/// Texts, numbers and truth values as they are, everything else as JSON text.
fn plain(any: &Any) -> Value<'_> {
    match any {
        Any::StringValue(text) => Value::Text(Cow::Borrowed(text)),
        Any::BoolValue(truth) => Value::Bool(*truth),
        Any::IntValue(number) => Value::Int(*number),
        Any::DoubleValue(number) => Value::Float(*number),
        nested => {
            let mut out = String::new();
            write_json(&mut out, nested, 0);
            Value::Text(Cow::Owned(out))
        }
    }
}

impl Record for LogRow {
    fn time_ns(&self) -> u64 {
        self.time()
    }

    fn field(&self, field: &Field) -> Value<'_> {
        match field {
            Field::Signal => Value::from("log"),
            Field::Name => text(&self.record.event_name),
            Field::Trace => id(self.trace_id()),
            Field::Span => id(SpanId::from_bytes(&self.record.span_id)),
            Field::Level if self.record.severity_number > 0 => Value::Int(self.record.severity_number.into()),
            Field::Body => self.record.body.as_ref().and_then(|body| body.value.as_ref()).map_or(Value::Absent, plain),
            other => common(other, &self.origin, &self.record.attributes),
        }
    }
}

impl Record for SpanRow {
    fn time_ns(&self) -> u64 {
        self.span.start_time_unix_nano
    }

    fn field(&self, field: &Field) -> Value<'_> {
        let span = &self.span;
        match field {
            Field::Signal => Value::from("span"),
            Field::Name => Value::Text(Cow::Borrowed(&span.name)),
            Field::Trace => id(TraceId::from_bytes(&span.trace_id)),
            Field::Span => id(SpanId::from_bytes(&span.span_id)),
            Field::Parent => id(SpanId::from_bytes(&span.parent_span_id)),
            Field::Duration => {
                Value::Int(span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano).cast_signed())
            }
            Field::Status => Value::from(match span.status.as_ref().map_or(0, |status| status.code) {
                1 => "ok",
                2 => "error",
                _ => "unset",
            }),
            Field::Kind => Value::from(
                usize::try_from(span.kind).ok().and_then(|kind| SPAN_KINDS.get(kind)).copied().unwrap_or("unspecified"),
            ),
            other => common(other, &self.origin, &span.attributes),
        }
    }
}
