//! A golden as the agent's input: OTLP requests at their times.

use crate::otlp::value::any;
use crate::otlp::{logs_request, metrics_request, traces_request};
use crate::replay::golden::{Golden, Id, LineStep, SpanStep, Step, nanos};
use anyhow::{Context, Result, bail};
use model::TraceId;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Otlp;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, LogsData};
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, Gauge, Metric, MetricsData, NumberDataPoint, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{Span, Status, TracesData};
use prost::Message;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// The simulated start: 2026-01-01, as the agent has it.
pub(crate) const START_NS: i64 = 1_767_225_600_000_000_000;
/// The attribute that names a line.
pub(crate) const LINE: &str = "golden.line";

/// What the agent is given, and what it was made of.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) text: String,
    /// Spans of each trace.
    pub(crate) spans: BTreeMap<TraceId, u64>,
}

/// A JSON value as an attribute's.
fn otlp_value(value: &Value) -> Result<Otlp> {
    Ok(match value {
        Value::String(text) => Otlp::StringValue(expand(text)?),
        Value::Bool(truth) => Otlp::BoolValue(*truth),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Otlp::IntValue(whole),
            None => Otlp::DoubleValue(number.as_f64().unwrap_or_default()),
        },
        other => bail!("{other} is no attribute"),
    })
}

/// Replaces `$hex:N` and its like by the id of trace N.
fn expand(text: &str) -> Result<String> {
    let Some((form, number)) = text.strip_prefix('$').and_then(|rest| rest.split_once(':')) else {
        return Ok(text.to_owned());
    };
    let id = Id::of_key(number).trace(0)?;
    Ok(match form {
        "hex" => id.to_string(),
        "traceparent" => format!("00-{id}-00000000000000aa-01"),
        "base64" => base64(&id.0),
        other => bail!("${other} is not known"),
    })
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

fn attributes(map: &Map<String, Value>) -> Result<Vec<KeyValue>> {
    let pair = |(key, value): (&String, &Value)| {
        Ok(KeyValue { key: key.clone(), value: Some(any(otlp_value(value)?)), ..KeyValue::default() })
    };
    map.iter().map(pair).collect()
}

fn span_id(number: u64) -> Vec<u8> {
    (0xa000_0000_0000_0000 + number).to_be_bytes().to_vec()
}

fn span(step: &SpanStep, position: usize, at_ns: i64, offset: u64) -> Result<Span> {
    let trace = step.trace.as_ref().context("a span needs its trace")?.trace(offset)?;
    let time = |text: &Option<String>| text.as_deref().map_or(Ok(0), nanos);
    let start = START_NS + at_ns + time(&step.start)?;
    let status = match step.status.as_deref() {
        None | Some("UNSET") => None,
        Some("OK") => Some(1),
        Some("ERROR") => Some(2),
        Some(other) => bail!("{other} is no status"),
    };
    Ok(Span {
        trace_id: trace.0.to_vec(),
        span_id: span_id(step.span.unwrap_or(position as u64 + 1)),
        parent_span_id: if step.parent == 0 { Vec::new() } else { span_id(step.parent) },
        name: step.name.clone().unwrap_or_else(|| "GET /".to_owned()),
        kind: step.kind,
        start_time_unix_nano: u64::try_from(start)?,
        end_time_unix_nano: u64::try_from(start + time(&step.length)?)?,
        attributes: attributes(&step.attributes)?,
        status: status.map(|code| Status { code, ..Status::default() }),
        trace_state: step.state.clone(),
        flags: step.flags,
        ..Span::default()
    })
}

fn line(step: &LineStep, at_ns: i64, offset: u64) -> Result<LogRecord> {
    let age = step.age.as_deref().map_or(Ok(0), nanos)?;
    let mut attributes = attributes(&step.attributes)?;
    let id = if offset == 0 { step.id.clone() } else { format!("{}+{offset}", step.id) };
    attributes.push(crate::otlp::value::attribute(LINE, crate::otlp::value::text(&id)));
    Ok(LogRecord {
        time_unix_nano: u64::try_from(START_NS + at_ns - age)?,
        severity_number: step.severity,
        severity_text: step.severity_text.clone(),
        body: Some(any(Otlp::StringValue(step.body.clone()))),
        attributes,
        trace_id: step.trace.as_ref().map_or(Ok(Vec::new()), |id| id.trace(offset).map(|id| id.0.to_vec()))?,
        ..LogRecord::default()
    })
}

fn metric_with_exemplar(trace: TraceId, at_ns: i64) -> Result<Metric> {
    let time = u64::try_from(START_NS + at_ns)?;
    let exemplar = Exemplar { trace_id: trace.0.to_vec(), time_unix_nano: time, ..Exemplar::default() };
    let point = NumberDataPoint {
        time_unix_nano: time,
        exemplars: vec![exemplar],
        value: Some(number_data_point::Value::AsInt(1)),
        ..NumberDataPoint::default()
    };
    let data = Some(metric::Data::Gauge(Gauge { data_points: vec![point] }));
    Ok(Metric { name: "golden.points".to_owned(), data, ..Metric::default() })
}

impl Script {
    /// The input of a golden; files that it names stand beside it.
    pub(crate) fn of(golden: &Golden, directory: &Path) -> Result<Self> {
        let mut script = Self::default();
        for step in &golden.steps {
            let at_ns = nanos(&step.at)?;
            let (count, every) = match &step.repeat {
                Some(repeat) => (repeat.count, nanos(&repeat.every)?),
                None => (1, 0),
            };
            for offset in 0..count {
                script.step(step, at_ns + every * offset.cast_signed(), offset, directory)?;
            }
        }
        Ok(script)
    }

    /// Adds a request at a time after the start.
    pub(crate) fn put(&mut self, at_ns: i64, signal: &str, body: &[u8]) {
        // Writing into a String cannot fail.
        let _written = write!(self.text, "{} {signal} ", at_ns / 1_000_000);
        for byte in body {
            let _written = write!(self.text, "{byte:02x}");
        }
        self.text.push('\n');
    }

    fn step(&mut self, step: &Step, at_ns: i64, offset: u64, directory: &Path) -> Result<()> {
        let mut pairs = attributes(&step.resource)?;
        let service = step.service.as_deref().unwrap_or("golden");
        pairs.push(crate::otlp::value::attribute("service.name", crate::otlp::value::text(service)));
        let resource = Resource { attributes: pairs, ..Resource::default() };
        let scope = InstrumentationScope::default();
        if step.restart {
            let _written = writeln!(self.text, "{} restart", at_ns / 1_000_000);
        }
        if !step.spans.is_empty() {
            let spans: Result<Vec<Span>> =
                step.spans.iter().enumerate().map(|(position, one)| span(one, position, at_ns, offset)).collect();
            let spans = spans?;
            self.count(&spans);
            self.put(at_ns, "traces", &traces_request(resource.clone(), scope.clone(), spans));
        }
        if !step.lines.is_empty() {
            let lines: Result<Vec<LogRecord>> = step.lines.iter().map(|one| line(one, at_ns, offset)).collect();
            self.put(at_ns, "logs", &logs_request(resource.clone(), scope.clone(), lines?));
        }
        if !step.exemplars.is_empty() {
            let metrics: Result<Vec<Metric>> =
                step.exemplars.iter().map(|id| metric_with_exemplar(id.trace(offset)?, at_ns)).collect();
            self.put(at_ns, "metrics", &metrics_request(resource.clone(), scope.clone(), metrics?));
        }
        if let Some(file) = &step.otlp {
            self.recorded(&directory.join(file), at_ns)?;
        }
        if let Some(file) = &step.log {
            let path = directory.join(file);
            let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let lines: Vec<LogRecord> =
                text.lines().enumerate().map(|(number, text)| file_line(file, number, text, at_ns)).collect();
            self.put(at_ns, "logs", &logs_request(resource, scope, lines));
        }
        Ok(())
    }

    fn count(&mut self, spans: &[Span]) {
        for one in spans {
            if let Some(trace) = TraceId::from_bytes(&one.trace_id) {
                *self.spans.entry(trace).or_default() += 1;
            }
        }
    }

    /// Requests of OTLP/JSON, one in a line.
    fn recorded(&mut self, path: &Path, at_ns: i64) -> Result<()> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        for (number, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
            let place = || format!("{}, line {}", path.display(), number + 1);
            if text.contains("\"resourceSpans\"") {
                let data: TracesData = serde_json::from_str(text).with_context(place)?;
                for group in &data.resource_spans {
                    group.scope_spans.iter().for_each(|scope| self.count(&scope.spans));
                }
                self.put(at_ns, "traces", &data.encode_to_vec());
            } else if text.contains("\"resourceLogs\"") {
                let data: LogsData = serde_json::from_str(text).with_context(place)?;
                self.put(at_ns, "logs", &data.encode_to_vec());
            } else {
                let data: MetricsData = serde_json::from_str(text).with_context(place)?;
                self.put(at_ns, "metrics", &data.encode_to_vec());
            }
        }
        Ok(())
    }
}

/// A line of a log file, as a tailing source hands it over: its text is the body.
fn file_line(file: &str, number: usize, text: &str, at_ns: i64) -> LogRecord {
    LogRecord {
        time_unix_nano: (START_NS + at_ns).unsigned_abs(),
        body: Some(any(Otlp::StringValue(text.to_owned()))),
        attributes: vec![crate::otlp::value::attribute(
            LINE,
            crate::otlp::value::text(&format!("{file}:{}", number + 1)),
        )],
        ..LogRecord::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: ids in the forms that applications write. Guarantees: they are those of the trace.
    #[test]
    fn ids_expand() {
        let hex = expand("$hex:7").unwrap();
        assert_eq!((hex.len(), hex.ends_with("0000000000000007")), (32, true));
        assert_eq!(expand("$traceparent:7").unwrap(), format!("00-{hex}-00000000000000aa-01"));
        assert_eq!(base64(b"any carnal pleas"), "YW55IGNhcm5hbCBwbGVhcw==");
        assert_eq!(base64(b"abc"), "YWJj");
        assert_eq!(expand("plain").unwrap(), "plain");
    }
}
