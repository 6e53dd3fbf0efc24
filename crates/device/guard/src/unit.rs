//! Units of a request: records, and what holds whole ones.

use model::otlp::schema::{self, Field, Kind, Message};
use model::proto::{ProtoError, Reader, Value, put_fixed32, put_fixed64, put_uint};

/// A walk over fields that only looks: what cannot be read ends it, and is told at the end.
pub(crate) struct Fields<'a> {
    reader: Reader<'a>,
    broken: bool,
}

impl<'a> Fields<'a> {
    /// At the start of a message.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { reader: Reader::new(bytes), broken: false }
    }

    /// The next field.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<(u32, Value<'a>)> {
        match self.reader.next_field() {
            Ok(field) => field,
            Err(_) => {
                self.broken = true;
                None
            }
        }
    }

    /// Whether all of the message was told.
    #[inline]
    pub(crate) fn is_whole(&self) -> bool {
        !self.broken && !self.reader.passed_group()
    }
}

/// `severity_number` of INFO: below it are DEBUG and TRACE (logs.proto, `SeverityNumber`).
pub(crate) const INFO: u64 = 9;

/// Appends a field that is a number.
pub(crate) fn put_scalar(out: &mut Vec<u8>, number: u32, value: Value<'_>) {
    match value {
        Value::Varint(value) => put_uint(out, number, value),
        Value::Fixed64(bits) => put_fixed64(out, number, bits),
        Value::Fixed32(bits) => put_fixed32(out, number, bits),
        Value::Bytes(_) => {}
    }
}

/// The field of a message with this number.
#[inline]
pub(crate) fn field_of(schema: &'static Message, number: u32) -> Option<&'static Field> {
    schema.index_of(number).and_then(|index| schema.fields.get(index))
}

/// Whether an id may be a number in ASCII: ids are random bytes, and one in 2^44 of 16 bytes begins so.
#[inline]
pub(crate) fn is_number_id(id: &[u8]) -> bool {
    id.first_chunk::<8>()
        .is_some_and(|first| u64::from_le_bytes(*first) & 0xe0e0_e0e0_e0e0_e0e0 == 0x2020_2020_2020_2020)
        || id.len() > 16
}

/// Whether a message is a record.
pub(crate) fn is_record(schema: &'static Message) -> bool {
    [
        &schema::SPAN,
        &schema::LOG_RECORD,
        &schema::NUMBER_DATA_POINT,
        &schema::HISTOGRAM_DATA_POINT,
        &schema::EXPONENTIAL_HISTOGRAM_DATA_POINT,
        &schema::SUMMARY_DATA_POINT,
    ]
    .into_iter()
    .any(|record| std::ptr::eq(record, schema))
}

/// Whether a message is a record, or holds whole records: what goes when something in it takes its record out.
pub(crate) fn is_unit(schema: &'static Message) -> bool {
    let holds = [
        &schema::METRIC,
        &schema::SCOPE_SPANS,
        &schema::SCOPE_LOGS,
        &schema::SCOPE_METRICS,
        &schema::RESOURCE_SPANS,
        &schema::RESOURCE_LOGS,
        &schema::RESOURCE_METRICS,
    ];
    is_record(schema) || holds.into_iter().any(|unit| std::ptr::eq(unit, schema))
}

/// How many records are in a message.
pub(crate) fn records(schema: &'static Message, bytes: &[u8]) -> Result<u64, ProtoError> {
    if is_record(schema) {
        return Ok(1);
    }
    let (mut reader, mut count) = (Reader::new(bytes), 0);
    while let Some((number, value)) = reader.next_field()? {
        if let (Value::Bytes(inside), Some(Kind::Message(child))) =
            (value, field_of(schema, number).map(|field| field.kind))
        {
            count += records(child, inside)?;
        }
    }
    Ok(count)
}
