//! From columns back to canonical OTLP bytes: fields by number, defaults left out, lists packed.

use minicbor::Decoder;
use minicbor::data::Type;
use model::otlp::schema::{Kind, Message, Rule};
use model::proto::{put_bytes, put_fixed32, put_fixed64, put_message, put_uint, put_varint};

use crate::attributes::AttributesReader;
use crate::cbor;
use crate::dictionary::DictionaryReader;
use crate::encode::{is_float, sint};
use crate::error::FrameError;
use crate::float_column::FloatReader;
use crate::int_column::IntReader;

/// A section's canonical OTLP may be at most this long: a frame cannot be a bomb.
pub const MAX_SECTION_BYTES: usize = 16 << 20;

/// The highest field number of the schema.
const MAX_FIELD_NUMBER: usize = 16;

enum Column<'b> {
    Absent,
    Int(IntReader<'b>),
    Float(FloatReader<'b>),
    Optional { presence: IntReader<'b>, values: Box<Column<'b>> },
    Message { counts: IntReader<'b>, child: Box<NodeReader<'b>> },
    List { counts: IntReader<'b>, values: IntReader<'b> },
    Attributes(AttributesReader<'b>),
}

/// Reads the columns of a message at one place of the schema, row by row.
pub(crate) struct NodeReader<'b> {
    schema: &'static Message,
    columns: Vec<Column<'b>>,
}

impl<'b> NodeReader<'b> {
    pub(crate) fn read(schema: &'static Message, decoder: &mut Decoder<'b>) -> Result<Self, FrameError> {
        cbor::expect_array(decoder, schema.fields.len() as u64)?;
        let mut columns = Vec::with_capacity(schema.fields.len());
        for field in schema.fields {
            let float = is_float(field.kind, field.rule);
            if decoder.datatype()? == Type::Null {
                decoder.skip()?;
                columns.push(Column::Absent);
                continue;
            }
            columns.push(match (field.kind, field.rule) {
                (Kind::Message(child), _) => {
                    cbor::expect_array(decoder, 2)?;
                    let counts = IntReader::read(decoder)?;
                    Column::Message { counts, child: Box::new(NodeReader::read(child, decoder)?) }
                }
                (Kind::Attributes | Kind::AnyValue, _) => Column::Attributes(AttributesReader::read(decoder)?),
                (Kind::Double, Rule::Repeated) => Column::Int(IntReader::read(decoder)?),
                (_, Rule::Single) if float => Column::Float(FloatReader::read(decoder)?),
                (_, Rule::Single) => Column::Int(IntReader::read(decoder)?),
                (_, Rule::Optional) => {
                    cbor::expect_array(decoder, 2)?;
                    let presence = IntReader::read(decoder)?;
                    let values = if float {
                        Column::Float(FloatReader::read(decoder)?)
                    } else {
                        Column::Int(IntReader::read(decoder)?)
                    };
                    Column::Optional { presence, values: Box::new(values) }
                }
                (_, Rule::Repeated) => {
                    cbor::expect_array(decoder, 2)?;
                    Column::List { counts: IntReader::read(decoder)?, values: IntReader::read(decoder)? }
                }
            });
        }
        Ok(Self { schema, columns })
    }

    /// Appends the next message's content.
    pub(crate) fn put_row(&mut self, out: &mut Vec<u8>, dictionary: &DictionaryReader<'b>) -> Result<(), FrameError> {
        // Values of the row's fixed64 fields by field number, for the times that are told as a difference to one.
        let mut fixed = [0u64; MAX_FIELD_NUMBER + 1];
        for (field, column) in self.schema.fields.iter().zip(&mut self.columns) {
            if out.len() > MAX_SECTION_BYTES {
                return Err(FrameError::TooLarge);
            }
            let number = field.number;
            match column {
                Column::Absent => {
                    if let Kind::TimeAfter(first) = field.kind {
                        let time = fixed.get(first as usize).copied().unwrap_or(0);
                        put_scalar(out, number, field.kind, time, dictionary)?;
                    }
                }
                Column::Int(reader) => {
                    let mut value = reader.next()?;
                    if let Kind::TimeAfter(first) = field.kind {
                        value = value.wrapping_add(fixed.get(first as usize).copied().unwrap_or(0));
                    }
                    if field.rule == Rule::Repeated {
                        let list = dictionary.blob(value)?;
                        if !list.is_empty() {
                            put_bytes(out, number, list);
                        }
                        continue;
                    }
                    if let Some(fixed) = fixed.get_mut(number as usize) {
                        *fixed = value;
                    }
                    if value != 0 {
                        put_scalar(out, number, field.kind, value, dictionary)?;
                    }
                }
                Column::Float(reader) => {
                    let bits = reader.next()?;
                    if bits != 0 {
                        put_fixed64(out, number, bits);
                    }
                }
                Column::Optional { presence, values } => {
                    if presence.next()? != 0 {
                        match values.as_mut() {
                            Column::Float(reader) => put_fixed64(out, number, reader.next()?),
                            Column::Int(reader) => {
                                let value = reader.next()?;
                                put_scalar(out, number, field.kind, value, dictionary)?;
                            }
                            _ => return Err(FrameError::Corrupt("an optional column holds no scalar")),
                        }
                    }
                }
                Column::Message { counts, child } => {
                    for _ in 0..counts.next()? {
                        let mut failed = None;
                        put_message(out, number, |out| failed = child.put_row(out, dictionary).err());
                        if let Some(error) = failed {
                            return Err(error);
                        }
                    }
                }
                Column::List { counts, values } => put_list(out, number, field.kind, counts, values, dictionary)?,
                Column::Attributes(lists) => match field.kind {
                    Kind::AnyValue => lists.put_any(out, number, dictionary)?,
                    _ => lists.put_pairs(out, number, dictionary)?,
                },
            }
        }
        Ok(())
    }

    /// Checks that no column has values left over.
    pub(crate) fn finish(&self) -> Result<(), FrameError> {
        self.columns.iter().try_for_each(Column::finish)
    }
}

impl Column<'_> {
    fn finish(&self) -> Result<(), FrameError> {
        match self {
            Column::Absent => Ok(()),
            Column::Int(reader) => reader.finish(),
            Column::Float(reader) => reader.finish(),
            Column::Optional { presence, values } => presence.finish().and_then(|()| values.finish()),
            Column::Message { counts, child } => counts.finish().and_then(|()| child.finish()),
            Column::List { counts, values } => counts.finish().and_then(|()| values.finish()),
            Column::Attributes(lists) => lists.finish(),
        }
    }
}

fn put_scalar(
    out: &mut Vec<u8>,
    number: u32,
    kind: Kind,
    value: u64,
    dictionary: &DictionaryReader<'_>,
) -> Result<(), FrameError> {
    match kind {
        Kind::String => put_bytes(out, number, dictionary.string(value)?),
        Kind::Id16 => put_bytes(out, number, dictionary.id16(value)?),
        Kind::Id8 => put_bytes(out, number, dictionary.id8(value)?),
        Kind::Sint => put_uint(out, number, sint(value)),
        Kind::Fixed32 => {
            let value = u32::try_from(value).map_err(|_| FrameError::Corrupt("a fixed32 above 32 bits"))?;
            put_fixed32(out, number, value);
        }
        Kind::TimeAfter(_) if value == 0 => {}
        Kind::Fixed64 | Kind::TimeAfter(_) | Kind::Double => put_fixed64(out, number, value),
        Kind::Uint | Kind::Message(_) | Kind::Attributes | Kind::AnyValue => put_uint(out, number, value),
    }
    Ok(())
}

fn put_list(
    out: &mut Vec<u8>,
    number: u32,
    kind: Kind,
    counts: &mut IntReader<'_>,
    values: &mut IntReader<'_>,
    dictionary: &DictionaryReader<'_>,
) -> Result<(), FrameError> {
    let count = counts.next()?;
    if count == 0 {
        return Ok(());
    }
    if let Kind::String = kind {
        for _ in 0..count {
            if out.len() > MAX_SECTION_BYTES {
                return Err(FrameError::TooLarge);
            }
            put_bytes(out, number, dictionary.string(values.next()?)?);
        }
        return Ok(());
    }
    let mut packed = Vec::new();
    for _ in 0..count {
        if out.len() + packed.len() > MAX_SECTION_BYTES {
            return Err(FrameError::TooLarge);
        }
        let value = values.next()?;
        match kind {
            Kind::Fixed64 => packed.extend_from_slice(&value.to_le_bytes()),
            _ => put_varint(&mut packed, value),
        }
    }
    put_bytes(out, number, &packed);
    Ok(())
}
