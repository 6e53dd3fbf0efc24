//! From OTLP bytes to columns, driven by the schema tables.

use std::borrow::Cow;
use std::ops::Range;

use minicbor::Encoder;
use model::otlp::schema::{Kind, Message, Rule};
use model::proto::{ProtoError, Reader, Value, read_varint, unzigzag, zigzag};

use crate::attributes::Attributes;
use crate::dictionary::Dictionary;
use crate::{cbor, float_column, int_column};

/// More fields than any message of the schema has.
const MAX_FIELDS: usize = 17;
/// Columns get place for at most so many rows before these come.
const MOST_ROWS_AHEAD: usize = 256;

/// The columns of one field of one message at one place of the schema.
enum Column {
    /// A singular scalar; "not there" is 0.
    Scalar(Vec<u64>),
    /// A scalar with presence.
    Optional { presence: Vec<u64>, values: Vec<u64> },
    /// A message, singular (`counts` are 0 or 1) or repeated.
    Message { counts: Vec<u64>, child: Option<Box<Node>>, schema: &'static Message },
    /// A repeated scalar.
    List { counts: Vec<u64>, values: Vec<u64> },
    /// Attributes, or an `AnyValue`.
    Attributes(Box<Attributes>),
}

/// The columns of a message at one place of the schema.
pub(crate) struct Node {
    schema: &'static Message,
    columns: Vec<Column>,
}

/// What all columns of a frame share while it is written.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) dictionary: Dictionary,
    /// Fields that the schema does not know.
    pub(crate) unknown: u64,
    /// Fields of the messages that are being read, innermost last, of which each message may have many: the field's index, and where it
    /// stands in its message.
    many: Vec<(usize, Range<usize>)>,
}

/// What stood in one field of the message that is being read.
#[derive(Default, Clone, Copy)]
enum Found<'a> {
    #[default]
    Nothing,
    Number(u64),
    Bytes(&'a [u8]),
    /// Attributes' pairs, or the parts of a singular message that came in pieces: how many there are in [`Shared::many`].
    Many(usize),
}

impl Node {
    /// Columns for about so many rows.
    pub(crate) fn new(schema: &'static Message, rows: usize) -> Self {
        let column = || Vec::with_capacity(rows.min(MOST_ROWS_AHEAD));
        let columns = schema
            .fields
            .iter()
            .map(|field| match (field.kind, field.rule) {
                (Kind::Message(schema), _) => Column::Message { counts: column(), child: None, schema },
                (Kind::Attributes | Kind::AnyValue, _) => Column::Attributes(Box::new(Attributes::new(column()))),
                // A list of doubles repeats from row to row (bucket bounds): one blob per list.
                (Kind::Double, Rule::Repeated) | (_, Rule::Single) => Column::Scalar(column()),
                (_, Rule::Optional) => Column::Optional { presence: column(), values: Vec::new() },
                (_, Rule::Repeated) => Column::List { counts: column(), values: Vec::new() },
            })
            .collect();
        Self { schema, columns }
    }

    /// Adds one message.
    pub(crate) fn push(&mut self, bytes: &[u8], shared: &mut Shared) -> Result<(), ProtoError> {
        let mut found = [Found::default(); MAX_FIELDS];
        let mut repeats = [0u32; MAX_FIELDS];
        let first = shared.many.len();
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.next_field()? {
            let Some(index) = self.schema.index_of(number) else {
                shared.unknown += 1;
                continue;
            };
            let (Some(field), Some(column)) = (self.schema.fields.get(index), self.columns.get_mut(index)) else {
                continue;
            };
            let (Some(found), Some(repeats)) = (found.get_mut(index), repeats.get_mut(index)) else { continue };
            match (field.kind, field.rule, value) {
                (Kind::Message(_), Rule::Repeated, Value::Bytes(message)) => {
                    *repeats += 1;
                    if let Column::Message { child, schema, .. } = column {
                        // Those that follow are about as long.
                        let rows = || 1 + (bytes.len() - reader.offset()) / (message.len() + 2);
                        child.get_or_insert_with(|| Box::new(Node::new(schema, rows()))).push(message, shared)?;
                    }
                }
                (Kind::Message(_) | Kind::Attributes | Kind::AnyValue, _, Value::Bytes(message)) => {
                    let end = reader.offset();
                    shared.many.push((index, end - message.len()..end));
                    *found = found.and_one_more();
                }
                (Kind::Double, Rule::Repeated, Value::Bytes(_) | Value::Fixed64(_)) => {
                    // Packed or one by one, the list is the field's eight-byte groups in their order.
                    let end = reader.offset();
                    let length = match value {
                        Value::Bytes(packed) if packed.len() % 8 == 0 => packed.len(),
                        Value::Bytes(_) => return Err(ProtoError::Truncated { offset: end }),
                        _ => 8,
                    };
                    shared.many.push((index, end - length..end));
                    *found = found.and_one_more();
                }
                (Kind::String, Rule::Repeated, Value::Bytes(text)) => {
                    *repeats += 1;
                    column.push_listed(shared.dictionary.string(text));
                }
                (kind, Rule::Repeated, Value::Bytes(packed)) => *repeats += column.push_packed(kind, packed)?,
                (kind, Rule::Repeated, value) => match scalar(kind, value) {
                    Some(value) => {
                        *repeats += 1;
                        column.push_listed(value);
                    }
                    None => shared.unknown += 1,
                },
                (Kind::String | Kind::Id16 | Kind::Id8, _, Value::Bytes(bytes)) => *found = Found::Bytes(bytes),
                (kind, _, value) => match scalar(kind, value) {
                    Some(value) => *found = Found::Number(value),
                    // A known number with another wire type is an unknown field to every protobuf reader.
                    None => shared.unknown += 1,
                },
            }
        }
        self.end_row(bytes, &found, &repeats, first, shared)?;
        shared.many.truncate(first);
        Ok(())
    }

    /// `first`: where what stands in this message begins in [`Shared::many`].
    fn end_row(
        &mut self,
        bytes: &[u8],
        found: &[Found<'_>; MAX_FIELDS],
        repeats: &[u32; MAX_FIELDS],
        first: usize,
        shared: &mut Shared,
    ) -> Result<(), ProtoError> {
        let number = |wanted: u32| match self.schema.index_of(wanted).and_then(|index| found.get(index)) {
            Some(Found::Number(value)) => *value,
            _ => 0,
        };
        let last = shared.many.len();
        for (index, (((field, column), found), repeats)) in
            self.schema.fields.iter().zip(&mut self.columns).zip(found).zip(repeats).enumerate()
        {
            match column {
                Column::Scalar(values) => values.push(match (field.kind, found) {
                    (Kind::String, Found::Bytes(text)) => shared.dictionary.string(text),
                    (Kind::Id16, Found::Bytes(id)) => shared.dictionary.id16(id),
                    (Kind::Id8, Found::Bytes(id)) => shared.dictionary.id8(id),
                    (Kind::Double, Found::Many(_)) => {
                        let list = parts(bytes, &shared.many, first..last, index).collect::<Vec<_>>().concat();
                        shared.dictionary.blob(&list)
                    }
                    // A missing time stays 0 in the frame's terms too, and is told apart by the reader's addition.
                    (Kind::TimeAfter(first), Found::Number(time)) => time.wrapping_sub(number(first)),
                    (Kind::TimeAfter(first), _) => 0u64.wrapping_sub(number(first)),
                    (_, Found::Number(value)) => *value,
                    _ => 0,
                }),
                Column::Optional { presence, values } => match found {
                    Found::Number(value) => {
                        presence.push(1);
                        values.push(*value);
                    }
                    _ => presence.push(0),
                },
                Column::Message { counts, .. } if field.rule == Rule::Repeated => counts.push(u64::from(*repeats)),
                Column::Message { counts, child, schema } => match found {
                    Found::Many(pieces) => {
                        counts.push(1);
                        let node = child.get_or_insert_with(|| Box::new(Node::new(schema, counts.capacity())));
                        let mut parts = parts(bytes, &shared.many, first..last, index);
                        // Pieces of one message merge as if they stood in one (protobuf, "Last One Wins").
                        let message = match pieces {
                            1 => Cow::Borrowed(parts.next().unwrap_or_default()),
                            _ => Cow::Owned(parts.by_ref().collect::<Vec<_>>().concat()),
                        };
                        drop(parts);
                        node.push(&message, shared)?;
                    }
                    _ => counts.push(0),
                },
                Column::List { counts, .. } => counts.push(u64::from(*repeats)),
                Column::Attributes(lists) => {
                    let Shared { dictionary, unknown, many } = &mut *shared;
                    let parts = match found {
                        Found::Many(_) => parts(bytes, many, first..last, index),
                        _ => parts(bytes, many, 0..0, index),
                    };
                    match field.kind {
                        Kind::AnyValue => lists.push_any(parts.last(), dictionary, unknown)?,
                        _ => lists.push_pairs(parts, dictionary, unknown)?,
                    }
                }
            }
        }
        Ok(())
    }

    /// Appends the message's columns: an array of its fields.
    pub(crate) fn put(&self, out: &mut Encoder<&mut Vec<u8>>) {
        cbor::array(out, self.columns.len() as u64);
        for (field, column) in self.schema.fields.iter().zip(&self.columns) {
            match column {
                Column::Scalar(values) if is_float(field.kind, field.rule) => float_column::put(out, values),
                Column::Scalar(values) => int_column::put(out, values),
                Column::Optional { values, .. } if values.is_empty() => cbor::null(out),
                Column::Optional { presence, values } => {
                    cbor::array(out, 2);
                    int_column::put(out, presence);
                    if is_float(field.kind, field.rule) {
                        float_column::put(out, values);
                    } else {
                        int_column::put(out, values);
                    }
                }
                Column::Message { child: None, .. } => cbor::null(out),
                Column::Message { counts, child: Some(child), .. } => {
                    cbor::array(out, 2);
                    int_column::put(out, counts);
                    child.put(out);
                }
                Column::List { values, .. } if values.is_empty() => cbor::null(out),
                Column::List { counts, values } => {
                    cbor::array(out, 2);
                    int_column::put(out, counts);
                    int_column::put(out, values);
                }
                Column::Attributes(lists) => lists.put(out),
            }
        }
    }
}

impl Column {
    fn push_listed(&mut self, value: u64) {
        if let Column::List { values, .. } = self {
            values.push(value);
        }
    }

    fn push_packed(&mut self, kind: Kind, mut packed: &[u8]) -> Result<u32, ProtoError> {
        let mut count = 0;
        while !packed.is_empty() {
            let (value, used) = match kind {
                Kind::Fixed64 => match packed.split_first_chunk::<8>() {
                    Some((chunk, _)) => (u64::from_le_bytes(*chunk), 8),
                    None => return Err(ProtoError::Truncated { offset: 0 }),
                },
                _ => read_varint(packed).map_err(|_| ProtoError::Varint { offset: 0 })?,
            };
            self.push_listed(value);
            packed = packed.get(used..).unwrap_or_default();
            count += 1;
        }
        Ok(count)
    }
}

impl Found<'_> {
    fn and_one_more(self) -> Self {
        match self {
            Self::Many(count) => Self::Many(count + 1),
            _ => Self::Many(1),
        }
    }
}

/// What stood in the field of this index of a message, of what `many` has in `range`.
fn parts<'b, 'm>(
    bytes: &'b [u8],
    many: &'m [(usize, Range<usize>)],
    range: Range<usize>,
    index: usize,
) -> impl Iterator<Item = &'b [u8]> + use<'b, 'm> {
    let of_message = many.get(range).unwrap_or_default().iter();
    of_message.filter(move |(field, _)| *field == index).filter_map(|(_, part)| bytes.get(part.clone()))
}

/// Whether a field's column holds doubles one by one.
pub(crate) fn is_float(kind: Kind, rule: Rule) -> bool {
    matches!(kind, Kind::Double) && rule != Rule::Repeated
}

/// The number that a scalar field's column holds; `None` when the wire type does not fit.
fn scalar(kind: Kind, value: Value<'_>) -> Option<u64> {
    match (kind, value) {
        (Kind::Uint, Value::Varint(value)) => Some(value),
        // Columns know deltas of wrapping numbers: a signed number travels as its two's complement.
        (Kind::Sint, Value::Varint(value)) => Some(unzigzag(value) as u64),
        (Kind::Fixed32, Value::Fixed32(value)) => Some(u64::from(value)),
        (Kind::Fixed64 | Kind::TimeAfter(_) | Kind::Double, Value::Fixed64(value)) => Some(value),
        _ => None,
    }
}

/// The inverse of [`scalar`] for sint fields.
pub(crate) fn sint(value: u64) -> u64 {
    zigzag(value as i64)
}
