//! What policies ask of single spans and their resources. Each question has a bit; a trace gathers the bits of its spans.

use model::otlp::schema::any_value;
use model::otlp::{SpanView, attribute};
use model::proto::{Reader, Value};
use regex_lite::Regex;

use crate::probability::members;

/// A question to a span (or its resource, where that has attributes).
#[derive(Debug, Clone)]
pub enum Condition {
    /// An attribute is one of these texts.
    Text {
        /// The attribute's key.
        key: String,
        /// What it is compared with. Empty texts never match.
        values: Vec<String>,
    },
    /// An attribute is a text in which one of these is found.
    Pattern {
        /// The attribute's key.
        key: String,
        /// Not anchored.
        patterns: Vec<Regex>,
    },
    /// An attribute is a number from `min` to `max`, both included.
    Number {
        /// The attribute's key.
        key: String,
        /// `None`: no bound.
        min: Option<f64>,
        /// `None`: no bound.
        max: Option<f64>,
    },
    /// An attribute is this truth value.
    Boolean {
        /// The attribute's key.
        key: String,
        /// True or false.
        value: bool,
    },
    /// A member of the span's `tracestate` is one of these.
    TraceState {
        /// The member's key.
        key: String,
        /// What it is compared with.
        values: Vec<String>,
    },
    /// The span's `sampled` flag is set.
    Sampled,
    /// The span's route (`http.route`, or else its name) is one of these; a `*` at the end stands for anything. Asked of
    /// roots and of spans of kind SERVER only.
    Route(Vec<String>),
}

/// All questions of all policies; the position is the bit.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    list: Vec<Condition>,
    temporary: Option<Condition>,
}

/// How many questions there may be. The last bit is for routes that are kept for a time.
pub const MAX_CONDITIONS: usize = 63;
const TEMPORARY: u64 = 1 << MAX_CONDITIONS;
const SPAN_ATTRIBUTES: u32 = 9;
const RESOURCE_ATTRIBUTES: u32 = 1;
const KIND_SERVER: u64 = 2;
const FLAG_SAMPLED: u32 = 1;

/// The scalar in an `AnyValue`.
fn scalar(any: &[u8]) -> Option<(u32, Value<'_>)> {
    let mut reader = Reader::new(any);
    let mut last = None;
    while let Ok(Some(field)) = reader.next_field() {
        last = Some(field);
    }
    last
}

fn matches_attribute(condition: &Condition, bytes: &[u8], number: u32) -> bool {
    let find = |key: &str| attribute(bytes, number, key).and_then(scalar);
    match condition {
        Condition::Text { key, values } => match find(key) {
            Some((any_value::STRING, Value::Bytes(text))) => {
                !text.is_empty() && values.iter().any(|value| value.as_bytes() == text)
            }
            _ => false,
        },
        Condition::Pattern { key, patterns } => match find(key) {
            Some((any_value::STRING, Value::Bytes(text))) if !text.is_empty() => {
                std::str::from_utf8(text).is_ok_and(|text| patterns.iter().any(|pattern| pattern.is_match(text)))
            }
            _ => false,
        },
        Condition::Number { key, min, max } => {
            let number = match find(key) {
                Some((any_value::INT, Value::Varint(bits))) => bits as i64 as f64,
                Some((any_value::DOUBLE, Value::Fixed64(bits))) => f64::from_bits(bits),
                _ => return false,
            };
            min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max)
        }
        Condition::Boolean { key, value } => {
            matches!(find(key), Some((any_value::BOOL, Value::Varint(bits))) if (bits != 0) == *value)
        }
        Condition::TraceState { .. } | Condition::Sampled | Condition::Route(_) => false,
    }
}

fn is_route(patterns: &[String], route: &[u8]) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(start) => route.starts_with(start.as_bytes()),
        None => route == pattern.as_bytes(),
    })
}

fn matches_span(condition: &Condition, span: &SpanView<'_>) -> bool {
    match condition {
        Condition::TraceState { key, values } => members(span.trace_state)
            .any(|(name, text)| name == key.as_bytes() && values.iter().any(|value| value.as_bytes() == text)),
        Condition::Sampled => span.flags & FLAG_SAMPLED != 0,
        Condition::Route(patterns) => {
            let entry = span.parent_span_id.is_none() || span.kind == KIND_SERVER;
            let route = || match attribute(span.bytes(), SPAN_ATTRIBUTES, "http.route").and_then(scalar) {
                Some((any_value::STRING, Value::Bytes(route))) => route,
                _ => span.name,
            };
            entry && (is_route(patterns, span.name) || is_route(patterns, route()))
        }
        attribute => matches_attribute(attribute, span.bytes(), SPAN_ATTRIBUTES),
    }
}

impl Conditions {
    /// Adds a question and gives its bit; `None` when there are [`MAX_CONDITIONS`] already.
    pub fn add(&mut self, condition: Condition) -> Option<u64> {
        let bit = u32::try_from(self.list.len()).ok().filter(|position| (*position as usize) < MAX_CONDITIONS)?;
        self.list.push(condition);
        Some(1 << bit)
    }

    /// The bits of a `Resource` message.
    pub fn of_resource(&self, resource: &[u8]) -> u64 {
        self.bits(|condition| matches_attribute(condition, resource, RESOURCE_ATTRIBUTES))
    }

    /// The bits of a span.
    pub fn of_span(&self, span: &SpanView<'_>) -> u64 {
        let temporary = self.temporary.as_ref().is_some_and(|condition| matches_span(condition, span));
        self.bits(|condition| matches_span(condition, span)) | if temporary { TEMPORARY } else { 0 }
    }

    /// Sets the routes that are kept for a time.
    pub(crate) fn set_temporary(&mut self, routes: Vec<String>) {
        self.temporary = (!routes.is_empty()).then_some(Condition::Route(routes));
    }

    /// The bit of the routes that are kept for a time.
    pub(crate) fn temporary_bit(&self) -> u64 {
        TEMPORARY
    }

    fn bits(&self, matches: impl Fn(&Condition) -> bool) -> u64 {
        let marked = self.list.iter().enumerate().filter(|(_, condition)| matches(condition));
        marked.fold(0, |bits, (position, _)| bits | 1 << position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::proto::{put_bytes, put_fixed64, put_message, put_uint};

    fn attribute(out: &mut Vec<u8>, number: u32, key: &str, value: impl FnOnce(&mut Vec<u8>)) {
        put_message(out, number, |out| {
            put_bytes(out, 1, key.as_bytes());
            put_message(out, 2, value);
        });
    }

    fn span() -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(&mut out, 3, b"a=1,vendor=x y");
        put_bytes(&mut out, 5, b"GET /things");
        put_uint(&mut out, 6, 2);
        attribute(&mut out, 9, "http.method", |out| put_bytes(out, any_value::STRING, b"GET"));
        attribute(&mut out, 9, "empty", |out| put_bytes(out, any_value::STRING, b""));
        attribute(&mut out, 9, "status", |out| put_uint(out, any_value::INT, 404));
        attribute(&mut out, 9, "below", |out| put_uint(out, any_value::INT, -5i64 as u64));
        attribute(&mut out, 9, "load", |out| put_fixed64(out, any_value::DOUBLE, 1.5f64.to_bits()));
        attribute(&mut out, 9, "cached", |out| put_uint(out, any_value::BOOL, 0));
        attribute(&mut out, 9, "http.route", |out| put_bytes(out, any_value::STRING, b"/things/{id}"));
        out
    }

    /// Scenario: a span with attributes of every kind, and questions at their bounds.
    /// Guarantees: text, pattern, number, truth, tracestate, flag and route match as stated, and nothing else does.
    #[test]
    fn conditions_match_as_stated() {
        let bytes = span();
        let view = SpanView::read(&bytes).unwrap();
        let text = |key: &str, value: &str| Condition::Text { key: key.into(), values: vec!["x".into(), value.into()] };
        let number = |key: &str, min, max| Condition::Number { key: key.into(), min, max };
        let pattern = |key: &str, pattern: &str| Condition::Pattern {
            key: key.into(),
            patterns: vec![Regex::new(pattern).unwrap()],
        };
        let truth = |key: &str, value| Condition::Boolean { key: key.into(), value };
        let state = |value: &str| Condition::TraceState { key: "vendor".into(), values: vec![value.into()] };
        for (condition, expected) in [
            (text("http.method", "GET"), true),
            (text("http.method", "get"), false),
            (text("empty", ""), false),
            (text("status", "404"), false),
            (pattern("http.method", "^G"), true),
            (pattern("http.method", "E"), true),
            (pattern("http.method", "^ET"), false),
            (pattern("empty", ""), false),
            (number("status", Some(404.0), None), true),
            (number("status", Some(405.0), None), false),
            (number("status", None, Some(403.0)), false),
            (number("below", Some(-5.0), Some(-5.0)), true),
            (number("load", Some(1.5), Some(1.5)), true),
            (number("http.method", None, None), false),
            (truth("cached", false), true),
            (truth("cached", true), false),
            (truth("status", false), false),
            (state("x y"), true),
            (state("x"), false),
            (Condition::Sampled, false),
            (Condition::Route(vec!["GET /things".into()]), true),
            (Condition::Route(vec!["/things/*".into()]), true),
            (Condition::Route(vec!["/thing".into()]), false),
        ] {
            let mut conditions = Conditions::default();
            let shown = format!("{condition:?}");
            let bit = conditions.add(condition).unwrap();
            assert_eq!(conditions.of_span(&view) & bit != 0, expected, "{shown}");
        }
        let mut resource = Vec::new();
        attribute(&mut resource, 1, "service.name", |out| put_bytes(out, any_value::STRING, b"vessel"));
        let mut conditions = Conditions::default();
        conditions.add(text("other", "y")).unwrap();
        conditions.add(text("service.name", "vessel")).unwrap();
        assert_eq!(conditions.of_resource(&resource), 2);
        for _ in 2..MAX_CONDITIONS {
            conditions.add(Condition::Sampled).unwrap();
        }
        assert_eq!(conditions.add(Condition::Sampled), None);
    }
}
