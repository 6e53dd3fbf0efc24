//! What the text of an entry says: message, time, level, ids and attributes.

use model::otlp::json::integer;
use model::otlp::schema::{any_value, key_value};
use model::proto::{put_bytes, put_fixed64, put_message, put_uint};
use model::{SpanId, TraceId};

use crate::time;

/// The value of a field.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Text(&'a str),
    Number(&'a str),
    Bool(bool),
}

/// What a text says.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    /// The message, where a field is one.
    pub(crate) message: Option<String>,
    /// Unix nanoseconds; 0 when unknown.
    pub(crate) time_ns: u64,
    /// `SeverityNumber`; 0 when unknown.
    pub(crate) severity: u8,
    pub(crate) severity_text: String,
    pub(crate) trace_id: Option<TraceId>,
    pub(crate) span_id: Option<SpanId>,
    /// All other fields: `attributes` of a `LogRecord`.
    pub(crate) attributes: Vec<u8>,
}

enum Name {
    Message,
    Time,
    Level,
    Trace,
    Span,
}

/// The fields that a record has a place for, as loggers name them.
fn name_of(key: &str) -> Option<Name> {
    Some(match key {
        "message" | "msg" | "log" | "body" | "@m" => Name::Message,
        "time" | "timestamp" | "ts" | "@timestamp" | "@t" | "datetime" | "asctime" => Name::Time,
        "level" | "severity" | "lvl" | "loglevel" | "log.level" | "levelname" | "severity_text" | "@l" => Name::Level,
        "trace_id" | "traceId" | "traceid" | "traceID" | "TraceId" | "trace.id" => Name::Trace,
        "span_id" | "spanId" | "spanid" | "spanID" | "SpanId" | "span.id" => Name::Span,
        _ => return None,
    })
}

impl Fields {
    /// A field: what a record has a place for goes there, once; all else is an attribute.
    pub(crate) fn field(&mut self, key: &str, value: Value<'_>) {
        let taken = match (name_of(key), value) {
            (Some(Name::Message), Value::Text(text)) if self.message.is_none() => {
                self.message = Some(text.to_owned());
                true
            }
            (Some(Name::Time), Value::Text(text)) if self.time_ns == 0 => {
                self.time_ns = time::rfc3339(text.as_bytes()).or_else(|| time::epoch(text)).unwrap_or(0);
                self.time_ns != 0
            }
            (Some(Name::Time), Value::Number(number)) if self.time_ns == 0 => {
                self.time_ns = time::epoch(number).unwrap_or(0);
                self.time_ns != 0
            }
            (Some(Name::Level), Value::Text(text)) if self.severity == 0 => {
                self.severity = sampling::severity(text.as_bytes());
                self.severity_text = if self.severity == 0 { String::new() } else { text.to_owned() };
                self.severity != 0
            }
            // As pino and bunyan count: 10 for trace, 20 for debug, up to 60 for fatal.
            (Some(Name::Level), Value::Number(number @ ("10" | "20" | "30" | "40" | "50" | "60")))
                if self.severity == 0 =>
            {
                self.severity = (number.as_bytes()[0] - b'1') * 4 + 1;
                true
            }
            (Some(Name::Trace), Value::Text(text)) if self.trace_id.is_none() => {
                self.trace_id = TraceId::from_hex(text);
                self.trace_id.is_some()
            }
            (Some(Name::Span), Value::Text(text)) if self.span_id.is_none() => {
                self.span_id = SpanId::from_hex(text);
                self.span_id.is_some()
            }
            _ => false,
        };
        if !taken {
            let mut any = Vec::new();
            match value {
                Value::Text(text) => put_bytes(&mut any, any_value::STRING, text.as_bytes()),
                Value::Number(number) => put_number(number, &mut any),
                Value::Bool(value) => put_uint(&mut any, any_value::BOOL, u64::from(value)),
            }
            self.any(key, &any);
        }
    }

    /// An attribute with a text, whatever its name.
    pub(crate) fn attribute(&mut self, key: &str, text: &str) {
        let mut any = Vec::new();
        put_bytes(&mut any, any_value::STRING, text.as_bytes());
        self.any(key, &any);
    }

    /// An attribute, as the content of an `AnyValue`.
    pub(crate) fn any(&mut self, key: &str, any: &[u8]) {
        const ATTRIBUTES: u32 = 6;
        put_message(&mut self.attributes, ATTRIBUTES, |out| {
            put_bytes(out, key_value::KEY, key.as_bytes());
            put_bytes(out, key_value::VALUE, any);
        });
    }

    /// A field with a text, unless that is empty.
    pub(crate) fn text(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.field(key, Value::Text(text));
        }
    }
}

/// Writes a number: an integer where it is one that has room, else a double.
pub(crate) fn put_number(number: &str, out: &mut Vec<u8>) {
    let is_whole = !number.contains(['.', 'e', 'E']);
    match integer(number).filter(|_| is_whole).and_then(|number| i64::try_from(number).ok()) {
        Some(number) => put_uint(out, any_value::INT, number as u64),
        None => put_fixed64(out, any_value::DOUBLE, number.parse::<f64>().unwrap_or(f64::NAN).to_bits()),
    }
}
