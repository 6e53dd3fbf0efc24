//! Stored spans as Jaeger's JSON has them ("UI model"), translated from OTLP as Jaeger translates it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use base64::Engine;
use model::{SpanId, TraceId};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use store::OTLP_DEVICE;
use store::query::TraceSpans;
use store::rows::{Origin, SpanRow, find, find_text};

use crate::json::rows;

/// Largest integer that JavaScript numbers hold exactly.
const MAX_SAFE: u64 = (1 << 53) - 1;
/// The device that a span came from, among the tags of its process.
const DEVICE: &str = "device";
/// The name of an event among its fields.
const EVENT: &str = "event";
const KINDS: [&str; 6] = ["", "internal", "server", "client", "producer", "consumer"];

/// A trace id as Jaeger writes it: 16 digits where the first 16 are zero.
pub(super) fn trace_text(id: TraceId) -> String {
    let text = id.to_string();
    text.strip_prefix("0000000000000000").map(str::to_owned).unwrap_or(text)
}

fn id_text(bytes: &[u8]) -> String {
    SpanId::from_bytes(bytes).unwrap_or_default().to_string()
}

/// A tag with its type.
#[derive(Serialize)]
struct Tag<'a> {
    key: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    value: TagValue<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum TagValue<'a> {
    Text(&'a str),
    Made(String),
    Bool(bool),
    Int(i64),
    Float(f64),
}

fn text<'a>(key: &'a str, value: &'a str) -> Tag<'a> {
    Tag { key, kind: "string", value: TagValue::Text(value) }
}

fn tag(pair: &KeyValue) -> Tag<'_> {
    let (kind, value) = match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
        None => ("string", TagValue::Text("")),
        Some(Any::StringValue(text)) => ("string", TagValue::Text(text)),
        Some(Any::BoolValue(flag)) => ("bool", TagValue::Bool(*flag)),
        // As Jaeger does: text where a JavaScript number would round it.
        Some(Any::IntValue(number)) if number.unsigned_abs() > MAX_SAFE => {
            ("int64", TagValue::Made(number.to_string()))
        }
        Some(Any::IntValue(number)) => ("int64", TagValue::Int(*number)),
        Some(Any::DoubleValue(number)) if number.is_finite() => ("float64", TagValue::Float(*number)),
        // JSON has no such number.
        Some(Any::DoubleValue(number)) => ("float64", TagValue::Made(number.to_string())),
        Some(Any::BytesValue(bytes)) => {
            ("binary", TagValue::Made(base64::engine::general_purpose::STANDARD.encode(bytes)))
        }
        Some(Any::ArrayValue(list)) => {
            ("string", TagValue::Made(list.values.iter().map(nested).collect::<Value>().to_string()))
        }
        Some(Any::KvlistValue(list)) => ("string", TagValue::Made(nested_map(&list.values).to_string())),
        Some(_) => ("string", TagValue::Text("")),
    };
    Tag { key: &pair.key, kind, value }
}

/// A value inside another one, as the JSON text of the tag has it.
fn nested(value: &AnyValue) -> Value {
    match &value.value {
        Some(Any::StringValue(text)) => json!(text),
        Some(Any::BoolValue(flag)) => json!(flag),
        Some(Any::IntValue(number)) => json!(number),
        Some(Any::DoubleValue(number)) if number.is_finite() => json!(number),
        Some(Any::DoubleValue(number)) => json!(number.to_string()),
        Some(Any::BytesValue(bytes)) => json!(base64::engine::general_purpose::STANDARD.encode(bytes)),
        Some(Any::ArrayValue(list)) => list.values.iter().map(nested).collect(),
        Some(Any::KvlistValue(list)) => nested_map(&list.values),
        _ => Value::Null,
    }
}

fn nested_map(pairs: &[KeyValue]) -> Value {
    let value = |pair: &KeyValue| pair.value.as_ref().map_or(Value::Null, nested);
    Value::Object(pairs.iter().map(|pair| (pair.key.clone(), value(pair))).collect())
}

/// Texts as tags, without those that are empty.
fn texts<'a>(pairs: impl IntoIterator<Item = (&'static str, &'a str)>) -> impl Iterator<Item = Tag<'a>> {
    pairs.into_iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| text(key, value))
}

/// The tags of a span: its scope, its attributes, and what OTLP has as fields.
fn tags(row: &SpanRow) -> impl Iterator<Item = Tag<'_>> {
    let (span, scope) = (&row.span, &row.origin.scope);
    let kind = usize::try_from(span.kind).ok().and_then(|kind| KINDS.get(kind)).copied().unwrap_or_default();
    let (code, message) = span.status.as_ref().map_or((0, ""), |status| (status.code, status.message.as_str()));
    let code_text = match code {
        1 => "OK",
        2 => "ERROR",
        _ => "",
    };
    let error = (code == 2).then_some(Tag { key: "error", kind: "bool", value: TagValue::Bool(true) });
    texts([("otel.scope.name", scope.name.as_str()), ("otel.scope.version", scope.version.as_str())])
        .chain(span.attributes.iter().map(tag))
        .chain(texts([("span.kind", kind), ("otel.status_code", code_text)]))
        .chain(error)
        .chain(texts([("otel.status_description", message), ("w3c.tracestate", span.trace_state.as_str())]))
}

#[derive(Serialize)]
struct Reference {
    #[serde(rename = "refType")]
    kind: &'static str,
    #[serde(rename = "traceID")]
    trace_id: String,
    #[serde(rename = "spanID")]
    span_id: String,
}

/// The parent first, then the links; a link to the parent says how the parent is meant.
fn references(row: &SpanRow) -> Vec<Reference> {
    let span = &row.span;
    let kind = |link: &Link| match find_text(&link.attributes, "opentracing.ref_type") {
        Some("child_of") => "CHILD_OF",
        _ => "FOLLOWS_FROM",
    };
    let mut out = Vec::new();
    let parent = SpanId::from_bytes(&span.parent_span_id);
    if let Some(parent) = parent {
        out.push(Reference { kind: "CHILD_OF", trace_id: trace_text(row.trace_id()), span_id: parent.to_string() });
    }
    for link in &span.links {
        let is_parent = parent.is_some() && link.trace_id == span.trace_id && link.span_id == span.parent_span_id;
        match out.first_mut() {
            Some(first) if is_parent => first.kind = kind(link),
            _ => out.push(Reference {
                kind: kind(link),
                trace_id: trace_text(TraceId::from_bytes(&link.trace_id).unwrap_or_default()),
                span_id: id_text(&link.span_id),
            }),
        }
    }
    out
}

#[derive(Serialize)]
struct Log<F> {
    timestamp: u64,
    fields: F,
}

fn log(event: &Event) -> impl Serialize {
    let name = if find(&event.attributes, EVENT).is_none() { event.name.as_str() } else { "" };
    Log {
        timestamp: event.time_unix_nano / 1000,
        fields: rows(texts([(EVENT, name)]).chain(event.attributes.iter().map(tag))),
    }
}

/// A process: who made spans.
#[derive(Serialize)]
struct Process<T> {
    #[serde(rename = "serviceName")]
    service: String,
    tags: T,
}

fn process(origin: &Origin) -> impl Serialize {
    let attributes = &origin.resource.attributes;
    let has_device = find(attributes, DEVICE).is_some() || &*origin.device == OTLP_DEVICE;
    let device = if has_device { "" } else { &*origin.device };
    let own = attributes.iter().filter(|pair| pair.key != "service.name").map(tag);
    Process { service: origin.service.clone(), tags: rows(own.chain(texts([(DEVICE, device)]))) }
}

#[derive(Serialize)]
struct Span<T, L> {
    #[serde(rename = "traceID")]
    trace_id: String,
    #[serde(rename = "spanID")]
    span_id: String,
    #[serde(rename = "operationName")]
    name: String,
    references: Vec<Reference>,
    #[serde(rename = "startTime")]
    start: u64,
    duration: u64,
    tags: T,
    logs: L,
    #[serde(rename = "processID")]
    process: String,
    warnings: Option<Vec<String>>,
}

fn process_id(number: usize) -> String {
    format!("p{}", number + 1)
}

fn span(row: &SpanRow, process: usize, has_parent: bool) -> impl Serialize {
    let own = &row.span;
    let (start, end) = (own.start_time_unix_nano, own.end_time_unix_nano);
    let mut warnings = Vec::new();
    if !has_parent {
        warnings.push(format!("lightship: the parent span {} is not stored", id_text(&own.parent_span_id)));
    }
    if end < start {
        warnings.push(format!("lightship: the span ends {} ns before it starts", start - end));
    }
    Span {
        trace_id: trace_text(row.trace_id()),
        span_id: row.span_id().to_string(),
        name: own.name.clone(),
        references: references(row),
        start: start / 1000,
        duration: end.saturating_sub(start) / 1000,
        tags: rows(tags(row)),
        logs: rows(own.events.iter().map(log)),
        process: process_id(process),
        warnings: (!warnings.is_empty()).then_some(warnings),
    }
}

/// A trace of these spans; what is to be told of it stands in its warnings. It is written once.
pub(super) struct Trace {
    spans: TraceSpans,
    warnings: Option<Vec<String>>,
}

impl Trace {
    pub(super) fn new(spans: TraceSpans, warnings: Vec<String>) -> Self {
        Self { spans, warnings: (!warnings.is_empty()).then_some(warnings) }
    }
}

/// The processes by the ids under which spans name them.
struct Processes<'a>(&'a [&'a Arc<Origin>]);

impl Serialize for Processes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().enumerate().map(|(number, origin)| (process_id(number), process(origin))))
    }
}

/// The processes of spans, and the place of each span's among them: one for each resource of a device.
fn processes(spans: &[SpanRow]) -> (Vec<&Arc<Origin>>, Vec<usize>) {
    let mut found: Vec<&Arc<Origin>> = Vec::new();
    let mut by_address: HashMap<*const Origin, usize> = HashMap::new();
    let mut places = Vec::with_capacity(spans.len());
    for row in spans {
        let place = *by_address.entry(Arc::as_ptr(&row.origin)).or_insert_with(|| {
            let same = |other: &&Arc<Origin>| {
                other.device == row.origin.device && other.resource.attributes == row.origin.resource.attributes
            };
            found.iter().position(same).unwrap_or_else(|| {
                found.push(&row.origin);
                found.len() - 1
            })
        });
        places.push(place);
    }
    (found, places)
}

impl Serialize for Trace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a, S> {
            #[serde(rename = "traceID")]
            trace_id: String,
            spans: S,
            processes: Processes<'a>,
            warnings: &'a Option<Vec<String>>,
        }
        let own = &self.spans.rows;
        let (found, places) = processes(own);
        let ids: HashSet<SpanId> = own.iter().map(SpanRow::span_id).collect();
        let has_parent =
            |row: &SpanRow| SpanId::from_bytes(&row.span.parent_span_id).is_none_or(|parent| ids.contains(&parent));
        let fields = Fields {
            trace_id: trace_text(own.first().map(SpanRow::trace_id).unwrap_or_default()),
            spans: rows(own.iter().zip(places).map(|(row, place)| span(row, place, has_parent(row)))),
            processes: Processes(&found),
            warnings: &self.warnings,
        };
        fields.serialize(serializer)
    }
}
