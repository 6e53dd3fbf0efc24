//! One span, log record or point in OTLP bytes, as the filter language sees it.

use std::borrow::Cow;

use filter::{Field, Record, Value};
use model::Signal;
use model::otlp::{
    LogView, PointView, STATUS_ERROR, STATUS_OK, ScopeGroup, SpanView, attribute, attributes, for_each_scope, messages,
    string_attribute,
};
use model::proto::{self, ProtoError, Reader, put_bytes, put_field, put_message, put_uint};

use sampling::LogRecordFacts;

use crate::any;

/// Field numbers of `LogRecord` (opentelemetry/proto/logs/v1/logs.proto).
const LOG_BODY: u32 = 5;
const LOG_ATTRIBUTES: u32 = 6;
const LOG_EVENT_NAME: u32 = 12;
/// Field numbers of `Span` (opentelemetry/proto/trace/v1/trace.proto).
const SPAN_ATTRIBUTES: u32 = 9;
const SPAN_EVENTS: u32 = 11;
const SPAN_STATUS: u32 = 15;
/// Field number of `Span.Event.attributes`.
const EVENT_ATTRIBUTES: u32 = 3;
const RESOURCE_ATTRIBUTES: u32 = 1;

/// A record, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The device that it came from.
    pub device: &'a str,
    /// The bytes of its `Resource`.
    pub resource: &'a [u8],
    /// The bytes of its `InstrumentationScope`.
    pub scope: &'a [u8],
    /// The bytes of the `Span`, the `LogRecord`, or the `Metric` with all its points.
    pub item: &'a [u8],
    /// Which of them, and what was read of it.
    pub what: What<'a>,
}

/// What a [`View`] is of.
#[derive(Debug, Clone, Copy)]
pub enum What<'a> {
    /// A span.
    Span(SpanView<'a>),
    /// A log record.
    Log(LogView),
    /// A point of a metric.
    Point(PointView<'a>),
}

/// Calls `each` with every record of an OTLP export request.
///
/// # Errors
/// [`ProtoError`] where the bytes are not protobuf.
pub fn each_record<'a>(
    signal: Signal,
    request: &'a [u8],
    device: &'a str,
    mut each: impl FnMut(View<'a>),
) -> Result<(), ProtoError> {
    each_in_scope(signal, request, device, |_, view| each(view))
}

/// As [`each_record`], with the scope that the record stands in.
///
/// # Errors
/// [`ProtoError`] where the bytes are not protobuf.
pub fn each_in_scope<'a>(
    signal: Signal,
    request: &'a [u8],
    device: &'a str,
    mut each: impl FnMut(&ScopeGroup<'a>, View<'a>),
) -> Result<(), ProtoError> {
    for_each_scope::<ProtoError>(request, |scope| {
        for item in scope.items() {
            let item = item?;
            let view = |what| View { device, resource: scope.resource.resource, scope: scope.scope, item, what };
            match signal {
                Signal::Traces => each(&scope, view(What::Span(SpanView::read(item)?))),
                Signal::Logs => each(&scope, view(What::Log(LogView::read(item)?))),
                Signal::Metrics => PointView::for_each::<ProtoError>(item, |point| {
                    each(&scope, view(What::Point(point)));
                    Ok(())
                })?,
            }
        }
        Ok(())
    })
}

impl<'a> View<'a> {
    /// Its signal.
    pub fn signal(&self) -> Signal {
        match self.what {
            What::Span(_) => Signal::Traces,
            What::Log(_) => Signal::Logs,
            What::Point(_) => Signal::Metrics,
        }
    }

    /// The bytes of its `Span` or `LogRecord`, or of its `Metric` with this one point.
    pub fn alone(&self) -> Cow<'a, [u8]> {
        match self.what {
            What::Point(point) => Cow::Owned(metric_with(self.item, point)),
            _ => Cow::Borrowed(self.item),
        }
    }

    /// Its own (key, `AnyValue` bytes) pairs, in order.
    pub fn attributes(&self) -> Box<dyn Iterator<Item = (&'a [u8], &'a [u8])> + 'a> {
        let (bytes, number) = self.attribute_field();
        Box::new(attributes(bytes, number))
    }

    /// The pairs of its resource, in order.
    pub fn resource_attributes(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        attributes(self.resource, RESOURCE_ATTRIBUTES)
    }

    fn attribute_field(&self) -> (&'a [u8], u32) {
        match self.what {
            What::Span(_) => (self.item, SPAN_ATTRIBUTES),
            What::Log(_) => (self.item, LOG_ATTRIBUTES),
            What::Point(point) => (point.bytes, point.field_numbers().0),
        }
    }

    /// When it ended: a span's end, else its time.
    pub fn end_ns(&self) -> u64 {
        match self.what {
            What::Span(span) => span.end_ns,
            _ => self.time_ns(),
        }
    }

    /// `service.name` of its resource.
    pub fn service(&self) -> Cow<'a, str> {
        self.resource_text("service.name").unwrap_or_default()
    }

    fn resource_text(&self, key: &str) -> Option<Cow<'a, str>> {
        string_attribute(self.resource, RESOURCE_ATTRIBUTES, key).map(String::from_utf8_lossy)
    }

    /// The first text field of this number in the record's message.
    fn own_text(&self, number: u32) -> Option<Cow<'a, str>> {
        match first(self.item, number)? {
            proto::Value::Bytes(bytes) if !bytes.is_empty() => Some(String::from_utf8_lossy(bytes)),
            _ => None,
        }
    }

    /// A span's or metric's name, an event's name.
    pub fn name(&self) -> Option<Cow<'a, str>> {
        match self.what {
            What::Span(span) => Some(String::from_utf8_lossy(span.name)),
            What::Log(_) => self.own_text(LOG_EVENT_NAME),
            What::Point(_) => self.own_text(1),
        }
    }

    /// A metric's unit.
    pub fn unit(&self) -> Option<Cow<'a, str>> {
        matches!(self.what, What::Point(_)).then(|| self.own_text(3))?
    }

    /// The trace that it belongs to.
    pub fn trace_id(&self) -> Option<model::TraceId> {
        match self.what {
            What::Span(span) => span.trace_id,
            What::Log(log) => log.trace_id,
            What::Point(_) => None,
        }
    }

    /// The bytes of a log record's body, an `AnyValue`.
    pub fn body(&self) -> Option<&'a [u8]> {
        match (self.what, first(self.item, LOG_BODY)) {
            (What::Log(_), Some(proto::Value::Bytes(body))) => Some(body),
            _ => None,
        }
    }

    /// A gauge's or sum's number; histograms and summaries have none, but what [`View::distribution`] gives.
    fn number(&self) -> Value<'a> {
        let What::Point(point) = self.what else { return Value::Absent };
        match (point.kind, first(point.bytes, 4), first(point.bytes, 6)) {
            (5 | 7, Some(proto::Value::Fixed64(bits)), _) => Value::Float(f64::from_bits(bits)),
            (5 | 7, _, Some(proto::Value::Fixed64(number))) => Value::Int(number.cast_signed()),
            _ => Value::Absent,
        }
    }

    /// `count`, `sum`, `min` or `max` of a histogram or summary; absent where the point does not state it.
    pub fn distribution(&self, name: &str) -> Value<'a> {
        let What::Point(point) = self.what else { return Value::Absent };
        // HistogramDataPoint, ExponentialHistogramDataPoint, SummaryDataPoint (opentelemetry/proto/metrics/v1/metrics.proto).
        let number = match (point.kind, name) {
            (9..=11, "count") => 4,
            (9..=11, "sum") => 5,
            (9, "min") => 11,
            (9, "max") | (10, "min") => 12,
            (10, "max") => 13,
            _ => return Value::Absent,
        };
        match first(point.bytes, number) {
            Some(proto::Value::Fixed64(count)) if name == "count" => Value::Int(count.cast_signed()),
            Some(proto::Value::Fixed64(bits)) => Value::Float(f64::from_bits(bits)),
            // proto3 leaves out a count of 0.
            None if name == "count" => Value::Int(0),
            _ => Value::Absent,
        }
    }

    /// What a failed span's status says.
    pub fn status_message(&self) -> Option<Cow<'a, str>> {
        let What::Span(_) = self.what else { return None };
        let Some(proto::Value::Bytes(status)) = first(self.item, SPAN_STATUS) else { return None };
        match first(status, 2)? {
            proto::Value::Bytes(message) if !message.is_empty() => Some(String::from_utf8_lossy(message)),
            _ => None,
        }
    }

    /// A span's events.
    pub fn events(&self) -> impl Iterator<Item = Event<'a>> + use<'a> {
        let item = if matches!(self.what, What::Span(_)) { self.item } else { &[] };
        messages(item, SPAN_EVENTS).flatten().map(|bytes| Event { bytes })
    }
}

/// An event of a span.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    bytes: &'a [u8],
}

impl<'a> Event<'a> {
    /// Unix nanoseconds.
    pub fn time_ns(&self) -> u64 {
        match first(self.bytes, 1) {
            Some(proto::Value::Fixed64(time)) => time,
            _ => 0,
        }
    }

    /// Its name.
    pub fn name(&self) -> Cow<'a, str> {
        match first(self.bytes, 2) {
            Some(proto::Value::Bytes(name)) => String::from_utf8_lossy(name),
            _ => Cow::Borrowed(""),
        }
    }

    /// Its (key, `AnyValue` bytes) pairs, in order.
    pub fn attributes(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        attributes(self.bytes, EVENT_ATTRIBUTES)
    }

    /// `TYPE: MESSAGE` of a recorded exception (OpenTelemetry semantic conventions, "Exceptions on spans").
    pub fn exception(&self) -> Option<String> {
        let text = |key: &str| string_attribute(self.bytes, EVENT_ATTRIBUTES, key).map(String::from_utf8_lossy);
        match (text("exception.type"), text("exception.message")) {
            _ if self.name() != "exception" => None,
            (Some(kind), Some(message)) => Some(format!("{kind}: {message}")),
            (Some(only), None) | (None, Some(only)) => Some(only.into_owned()),
            (None, None) => None,
        }
    }
}

/// The first field of this number.
fn first(bytes: &[u8], number: u32) -> Option<proto::Value<'_>> {
    let mut reader = Reader::new(bytes);
    while let Ok(Some((found, value))) = reader.next_field() {
        if found == number {
            return Some(value);
        }
    }
    None
}

/// Names of `SpanKind`, by number.
const SPAN_KINDS: [&str; 6] = ["unspecified", "internal", "server", "client", "producer", "consumer"];

impl Record for View<'_> {
    fn time_ns(&self) -> u64 {
        match self.what {
            What::Span(span) => span.start_ns,
            What::Log(log) => log.time_ns,
            What::Point(point) => match first(point.bytes, 3) {
                Some(proto::Value::Fixed64(time)) => time,
                _ => 0,
            },
        }
    }

    fn field(&self, field: &Field) -> Value<'_> {
        let text =
            |text: Option<Cow<'_, str>>| text.map_or(Value::Absent, |text| Value::Text(text.into_owned().into()));
        let id = |id: Option<String>| id.map_or(Value::Absent, |id| Value::Text(id.into()));
        match field {
            Field::Signal => Value::from(match self.what {
                What::Span(_) => "span",
                What::Log(_) => "log",
                What::Point(_) => "metric",
            }),
            Field::Service => text(self.resource_text("service.name")),
            Field::Host => text(self.resource_text("host.name")),
            Field::Device => Value::from(self.device),
            Field::Name => text(self.name()),
            Field::Trace => id(self.trace_id().map(|id| id.to_string())),
            Field::Span => match self.what {
                What::Span(span) => id(span.span_id.map(|id| id.to_string())),
                What::Log(log) => id(log.span_id.map(|id| id.to_string())),
                What::Point(_) => Value::Absent,
            },
            Field::Parent => match self.what {
                What::Span(span) => id(span.parent_span_id.map(|id| id.to_string())),
                _ => Value::Absent,
            },
            Field::Level => match self.what {
                What::Log(log) if log.severity > 0 => Value::Int(log.severity.cast_signed()),
                // Its text, or a field, may tell it.
                What::Log(_) => match LogRecordFacts::read(self.item, &[]).map_or(0, |facts| facts.severity) {
                    0 => Value::Absent,
                    severity => Value::Int(severity.into()),
                },
                _ => Value::Absent,
            },
            Field::Duration => match self.what {
                What::Span(span) => Value::Int(span.duration_ns().cast_signed()),
                _ => Value::Absent,
            },
            Field::Status => match self.what {
                What::Span(span) => Value::from(match span.status {
                    STATUS_ERROR => "error",
                    STATUS_OK => "ok",
                    _ => "unset",
                }),
                _ => Value::Absent,
            },
            Field::Kind => match self.what {
                What::Span(span) => {
                    Value::from(SPAN_KINDS[(span.kind as usize).min(SPAN_KINDS.len()) % SPAN_KINDS.len()])
                }
                What::Log(_) => Value::Absent,
                What::Point(point) => Value::from(match point.kind {
                    5 => "gauge",
                    7 => "sum",
                    9 => "histogram",
                    10 => "exponential_histogram",
                    _ => "summary",
                }),
            },
            Field::Value => self.number(),
            Field::Body => self.body().map_or(Value::Absent, any::value),
            Field::Attribute(key) => {
                let (bytes, number) = self.attribute_field();
                let own = attribute(bytes, number, key).or_else(|| attribute(self.resource, RESOURCE_ATTRIBUTES, key));
                own.map_or_else(|| self.distribution(key), any::value)
            }
        }
    }
}

/// A metric with all that it has, but for its other points.
fn metric_with(metric: &[u8], point: PointView<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut reader = Reader::new(metric);
    while let Ok(Some((number, value))) = reader.next_field() {
        match value {
            proto::Value::Bytes(data) if number == point.kind => put_message(&mut out, number, |out| {
                let mut reader = Reader::new(data);
                while let Ok(Some((inner, value))) = reader.next_field() {
                    if let (2.., proto::Value::Varint(flag)) = (inner, value) {
                        put_uint(out, inner, flag);
                    }
                }
                put_bytes(out, 1, point.bytes);
            }),
            value => put_field(&mut out, number, value),
        }
    }
    out
}
