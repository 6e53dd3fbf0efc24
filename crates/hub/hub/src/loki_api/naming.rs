//! A stored record as Loki names it, by the mapping of Loki's own OTLP endpoint: the attributes of a resource that it indexes are labels of
//! the stream, everything else is structured metadata.

use std::borrow::Cow;

use logql::{Labels, Pairs};
use loki::{INDEX_LABELS, MAX_LABELS, put_name};
use model::SpanId;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message;
use store::OTLP_DEVICE;
use store::rows::{LogRow, Origin};

/// Lists nested deeper than this are told as JSON.
const MAX_DEPTH: usize = 16;
/// The label of the device that a record came from over the link.
const DEVICE: &str = "device";

/// What is the same for all records of an origin.
pub(super) struct Stream {
    /// Its labels.
    pub(super) labels: Labels,
    /// What else its resource and scope say.
    pub(super) metadata: Pairs,
}

fn text(value: &AnyValue) -> Cow<'_, str> {
    match &value.value {
        None => Cow::Borrowed(""),
        Some(Any::StringValue(text)) => Cow::Borrowed(text),
        Some(Any::IntValue(number)) => Cow::Owned(number.to_string()),
        Some(Any::BoolValue(flag)) => Cow::Borrowed(if *flag { "true" } else { "false" }),
        Some(_) => {
            let mut out = String::new();
            otlp::json::put_value_text(&mut out, &value.encode_to_vec());
            Cow::Owned(out)
        }
    }
}

/// Adds a pair; what was there under the name stays, and one without a value is none.
fn add(out: &mut Pairs, key: &str, value: &str) {
    let mut name = String::with_capacity(key.len());
    put_name(&mut name, key);
    if !value.is_empty() && !name.is_empty() && !out.iter().any(|(known, _)| *known == name) {
        out.push((name, value.to_owned()));
    }
}

fn add_value(out: &mut Pairs, key: &str, value: &AnyValue, depth: usize) {
    match &value.value {
        Some(Any::KvlistValue(list)) if depth < MAX_DEPTH => {
            for pair in &list.values {
                if let Some(value) = &pair.value {
                    add_value(out, &format!("{key}_{}", pair.key), value, depth + 1);
                }
            }
        }
        _ => add(out, key, &text(value)),
    }
}

fn add_attributes<'a>(out: &mut Pairs, attributes: impl IntoIterator<Item = &'a KeyValue>) {
    for pair in attributes {
        if let Some(value) = &pair.value {
            add_value(out, &pair.key, value, 0);
        }
    }
}

/// The stream of an origin.
pub(super) fn stream(origin: &Origin) -> Stream {
    let attributes = &origin.resource.attributes;
    let is_index = |pair: &&KeyValue| INDEX_LABELS.contains(&pair.key.as_str());
    let mut index = Pairs::new();
    add_attributes(&mut index, attributes.iter().filter(is_index));
    add(&mut index, "service_name", &origin.service);
    if &*origin.device != OTLP_DEVICE {
        add(&mut index, DEVICE, &origin.device);
    }
    let mut metadata = index.split_off(index.len().min(MAX_LABELS));
    add_attributes(&mut metadata, attributes.iter().filter(|pair| !is_index(pair)));
    add(&mut metadata, "scope_name", &origin.scope.name);
    add(&mut metadata, "scope_version", &origin.scope.version);
    add_attributes(&mut metadata, &origin.scope.attributes);
    Stream { labels: Labels::new(index), metadata }
}

/// What a record says.
pub(super) fn line(record: &LogRecord) -> Cow<'_, str> {
    record.body.as_ref().map_or(Cow::Borrowed(""), text)
}

/// The structured metadata of a record: its own, then what its origin says.
pub(super) fn metadata(row: &LogRow, stream: &Stream) -> Pairs {
    let record = &row.record;
    let mut out = Pairs::new();
    add_attributes(&mut out, &record.attributes);
    let mut number = |name: &str, number: u64| {
        if number != 0 {
            add(&mut out, name, &number.to_string());
        }
    };
    number("severity_number", u64::try_from(record.severity_number).unwrap_or(0));
    number("dropped_attributes_count", record.dropped_attributes_count.into());
    number("flags", record.flags.into());
    if record.observed_time_unix_nano != row.time() {
        number("observed_timestamp", record.observed_time_unix_nano);
    }
    add(&mut out, "severity_text", &record.severity_text);
    add(&mut out, "event_name", &record.event_name);
    if let Some(trace) = row.trace_id() {
        add(&mut out, "trace_id", &trace.to_string());
    }
    if let Some(span) = SpanId::from_bytes(&record.span_id) {
        add(&mut out, "span_id", &span.to_string());
    }
    add(&mut out, "detected_level", level(record));
    for (name, value) in &stream.metadata {
        if !out.iter().any(|(known, _)| known == name) {
            out.push((name.clone(), value.clone()));
        }
    }
    out
}

/// The level that Grafana colours lines by.
fn level(record: &LogRecord) -> &'static str {
    match record.severity_number {
        1..=4 => "trace",
        5..=8 => "debug",
        9..=12 => "info",
        13..=16 => "warn",
        17..=20 => "error",
        21..=24 => "fatal",
        _ => match record.severity_text.to_ascii_lowercase().as_str() {
            "trace" | "trc" => "trace",
            "debug" | "dbg" => "debug",
            "info" | "inf" | "information" | "notice" => "info",
            "warn" | "wrn" | "warning" => "warn",
            "error" | "err" => "error",
            "critical" | "crit" => "critical",
            "fatal" | "emerg" | "alert" => "fatal",
            _ => "unknown",
        },
    }
}
