//! A record as it is looked at: its fields with their types.

use model::Signal;
use model::otlp::schema::any_value;
use model::otlp::{PointView, ScopeGroup, attributes, for_each_scope, string_attribute};
use model::proto::{ProtoError, Reader, Value};
use sampling::{JsonField, each_json_field};

/// Fields of `LogRecord` (opentelemetry/proto/logs/v1/logs.proto).
const BODY: u8 = 5;
const LOG_ATTRIBUTES: u32 = 6;
const EVENT_NAME: u8 = 12;
/// Fields of `Span` (opentelemetry/proto/trace/v1/trace.proto).
const SPAN_NAME: u8 = 5;
const SPAN_ATTRIBUTES: u32 = 9;
/// The longest part of a value that is shown.
const SAMPLE: usize = 48;

/// A record.
#[derive(Debug)]
pub(crate) struct Looked<'a> {
    pub(crate) signal: Signal,
    pub(crate) service: &'a [u8],
    pub(crate) name: &'a [u8],
    pub(crate) unit: &'a [u8],
    pub(crate) instrument: &'static str,
    pub(crate) fields: Vec<Field<'a>>,
}

/// A field of a record.
#[derive(Debug, Clone)]
pub(crate) struct Field<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) kind: &'static str,
    pub(crate) sample: Sample<'a>,
}

/// A value, as far as it is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sample<'a> {
    None,
    Text(&'a [u8]),
    Int(i64),
    Double(f64),
}

impl Sample<'_> {
    pub(crate) fn show(self) -> String {
        match self {
            Sample::None => String::new(),
            Sample::Text(text) => String::from_utf8_lossy(text.get(..SAMPLE).unwrap_or(text)).into_owned(),
            Sample::Int(number) => number.to_string(),
            Sample::Double(number) => number.to_string(),
        }
    }
}

/// Calls `each` with every `step`th record of a request from `begin` on, until it says false.
///
/// # Errors
/// Where the bytes do not walk, or what `each` returns.
pub(crate) fn each<'a>(
    signal: Signal,
    request: &'a [u8],
    begin: usize,
    step: usize,
    mut each: impl FnMut(Looked<'a>) -> Result<bool, ProtoError>,
) -> Result<(), ProtoError> {
    let (mut number, mut goes_on) = (0usize, true);
    for_each_scope::<ProtoError>(request, |scope| {
        for item in scope.items() {
            if !goes_on {
                break;
            }
            let item = item?;
            number += 1;
            if (number - 1) % step != begin {
                continue;
            }
            goes_on = match signal {
                Signal::Traces => each(span(&scope, item)?)?,
                Signal::Logs => each(log_record(&scope, item)?)?,
                Signal::Metrics => metric(&scope, item)?.map_or(Ok(true), &mut each)?,
            };
        }
        Ok(())
    })
}

fn looked<'a>(signal: Signal, scope: &ScopeGroup<'a>, name: &'a [u8], fields: Vec<Field<'a>>) -> Looked<'a> {
    let service = string_attribute(scope.resource.resource, 1, "service.name").unwrap_or_default();
    Looked { signal, service, name, unit: b"", instrument: "", fields }
}

fn span<'a>(scope: &ScopeGroup<'a>, item: &'a [u8]) -> Result<Looked<'a>, ProtoError> {
    let name = last(item, SPAN_NAME)?;
    Ok(looked(Signal::Traces, scope, name, fields(item, SPAN_ATTRIBUTES)))
}

fn log_record<'a>(scope: &ScopeGroup<'a>, item: &'a [u8]) -> Result<Looked<'a>, ProtoError> {
    let mut fields = fields(item, LOG_ATTRIBUTES);
    let mut body = Reader::new(last(item, BODY)?);
    while let Some(field) = body.next_field()? {
        match field {
            (any_value::STRING, Value::Bytes(text)) => each_json_field(text, |key, field| {
                let (kind, sample) = match field {
                    JsonField::Text(text) => ("string", Sample::Text(text)),
                    JsonField::Number(number) if number.fract() == 0.0 => ("int", Sample::Double(number)),
                    JsonField::Number(number) => ("double", Sample::Double(number)),
                };
                fields.push(Field { key, kind, sample });
            }),
            (any_value::KVLIST, Value::Bytes(list)) => fields.extend(self::fields(list, 1)),
            _ => {}
        }
    }
    let event = last(item, EVENT_NAME)?;
    let name = if event.is_empty() { last(scope.scope, 1)? } else { event };
    Ok(looked(Signal::Logs, scope, name, fields))
}

/// A metric with the fields of its first point; `None` where it has none.
fn metric<'a>(scope: &ScopeGroup<'a>, item: &'a [u8]) -> Result<Option<Looked<'a>>, ProtoError> {
    let mut first: Option<PointView<'a>> = None;
    PointView::for_each::<ProtoError>(item, |point| {
        first.get_or_insert(point);
        Ok(())
    })?;
    let Some(point) = first else { return Ok(None) };
    let (mut delta, mut monotonic) = (false, false);
    let mut data = Reader::new(last(item, point.kind as u8)?);
    while let Some(field) = data.next_field()? {
        match field {
            (2, Value::Varint(temporality)) => delta = temporality == 1,
            (3, Value::Varint(value)) => monotonic = value != 0,
            _ => {}
        }
    }
    let instrument = match (point.kind, monotonic, delta) {
        (5, ..) => "gauge",
        (7, true, true) => "counter, delta",
        (7, true, false) => "counter",
        (7, false, true) => "updowncounter, delta",
        (7, false, false) => "updowncounter",
        (9 | 10, _, true) => "histogram, delta",
        (9 | 10, ..) => "histogram",
        _ => "summary",
    };
    let fields = fields(point.bytes, point.field_numbers().0);
    Ok(Some(Looked { unit: last(item, 3)?, instrument, ..looked(Signal::Metrics, scope, last(item, 1)?, fields) }))
}

/// The attributes of a message.
fn fields(message: &[u8], number: u32) -> Vec<Field<'_>> {
    let field = |(key, value)| {
        let (mut kind, mut sample, mut reader) = ("empty", Sample::None, Reader::new(value));
        while let Ok(Some(field)) = reader.next_field() {
            (kind, sample) = match field {
                (any_value::STRING, Value::Bytes(text)) => ("string", Sample::Text(text)),
                (any_value::BOOL, _) => ("boolean", Sample::None),
                (any_value::INT, Value::Varint(bits)) => ("int", Sample::Int(bits.cast_signed())),
                (any_value::DOUBLE, Value::Fixed64(bits)) => ("double", Sample::Double(f64::from_bits(bits))),
                (any_value::ARRAY, _) => ("array", Sample::None),
                (any_value::KVLIST, _) => ("map", Sample::None),
                _ => ("bytes", Sample::None),
            };
        }
        Field { key, kind, sample }
    };
    attributes(message, number).map(field).collect()
}

/// The last text or message of this number, which is below 16; empty where there is none.
fn last(message: &[u8], number: u8) -> Result<&[u8], ProtoError> {
    Ok(Reader::new(message).last_bytes(number)?.unwrap_or_default())
}
