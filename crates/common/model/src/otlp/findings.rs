//! What is wrong with a record or with what stands around it: one walk by the tables, and the same walk that mends.

use super::scalar_pair::{ScalarValue, scalar_pair};
use super::schema::{self, Field, Kind, Message, Rule, any_value, key_value};
use crate::Refusal;
use crate::proto::{
    ProtoError, Reader, Value, put_bytes, put_fixed32, put_fixed64, put_message, put_varint, read_varint,
};

/// The attribute that names the lane of a record, or of all records of a resource.
pub const LANE_ATTRIBUTE: &str = "lightship.lane";

/// How deep arrays and key-value lists of attributes may nest, at every end: agent, frames, hub. SDKs allow 64.
pub const MAX_DEPTH: u32 = 64;

/// What the walk over a message found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// Why the message cannot be taken.
    pub(super) fault: Option<Refusal>,
    /// Texts that are not UTF-8.
    pub(super) texts: u64,
    /// Ids of a wrong length that can be left out.
    pub(super) ids: u64,
    /// Messages, values and numbers in it: what decoding makes of few bytes.
    pub(super) parts: usize,
    /// Fields that the tables do not know.
    pub(super) unknown: u64,
    /// It names a lane.
    pub(super) names_lane: bool,
}

impl Findings {
    /// Of a whole message.
    ///
    /// # Errors
    /// [`ProtoError`] where it is not protobuf.
    pub(super) fn of(schema: &Message, bytes: &[u8]) -> Result<Self, ProtoError> {
        let mut found = Self::default();
        found.message(schema, bytes)?;
        Ok(found)
    }

    /// Notes why the message cannot be taken; the first reason stays.
    pub(super) fn refuse(&mut self, reason: Refusal) {
        self.fault.get_or_insert(reason);
    }

    /// Whether something has to be written anew.
    pub(super) fn needs_mending(&self) -> bool {
        self.texts + self.ids > 0
    }

    pub(super) fn message(&mut self, schema: &Message, bytes: &[u8]) -> Result<(), ProtoError> {
        self.message_with(schema, bytes, |_, _| {})
    }

    /// As [`Findings::message`]; gives every field to `each`, so that who also reads some of them need not walk again; of attributes
    /// that stand one after the other only the first.
    #[inline]
    pub(super) fn message_with<'a>(
        &mut self,
        schema: &Message,
        bytes: &'a [u8],
        mut each: impl FnMut(u32, Value<'a>),
    ) -> Result<(), ProtoError> {
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.next_field()? {
            each(number, value);
            match schema.index_of(number).and_then(|index| schema.fields.get(index)) {
                None => self.unknown += 1,
                Some(field) => {
                    self.field(field, value, reader.offset())?;
                    if matches!(field.kind, Kind::Attributes) {
                        self.pairs(&mut reader, number)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The attributes that stand here, each shorter than 128 bytes.
    #[inline(never)]
    pub(super) fn pairs(&mut self, reader: &mut Reader<'_>, number: u32) -> Result<(), ProtoError> {
        let key = u8::try_from(number << 3 | 2).unwrap_or(0);
        let mut count = 0;
        while let Some(pair) = reader.short_bytes(key) {
            count += 1;
            self.pair(pair, MAX_DEPTH)?;
        }
        self.parts += count;
        Ok(())
    }

    /// One known field of a message.
    pub(super) fn field(&mut self, field: &Field, value: Value<'_>, offset: usize) -> Result<(), ProtoError> {
        self.parts += 1;
        match (field.kind, value) {
            (Kind::String, Value::Bytes(text)) => self.text(text),
            (Kind::Id16, Value::Bytes(id)) => self.ids += u64::from(!id.is_empty() && id.len() != 16),
            (Kind::Id8, Value::Bytes(id)) => self.ids += u64::from(!id.is_empty() && id.len() != 8),
            (Kind::Message(child), Value::Bytes(bytes)) => self.message(child, bytes)?,
            (Kind::Attributes, Value::Bytes(pair)) => self.one_pair(pair, MAX_DEPTH)?,
            (Kind::AnyValue, Value::Bytes(value)) => self.any(value, MAX_DEPTH)?,
            (Kind::Fixed64 | Kind::Double, Value::Bytes(packed)) if field.rule == Rule::Repeated => {
                if packed.len() % 8 != 0 {
                    return Err(ProtoError::Truncated { offset });
                }
                self.parts += packed.len() / 8;
            }
            (Kind::Uint, Value::Bytes(packed)) if field.rule == Rule::Repeated => self.parts += varints(packed)?,
            (Kind::Uint | Kind::Sint, Value::Varint(_))
            | (Kind::Fixed32, Value::Fixed32(_))
            | (Kind::Fixed64 | Kind::TimeAfter(_) | Kind::Double, Value::Fixed64(_)) => {}
            // No sender of this message writes it so.
            _ => self.refuse(Refusal::Malformed),
        }
        Ok(())
    }

    #[inline]
    pub(super) fn text(&mut self, text: &[u8]) {
        self.texts += u64::from(!is_utf8(text));
    }

    #[inline(always)]
    fn pair(&mut self, bytes: &[u8], depth: u32) -> Result<(), ProtoError> {
        let Some((key, value)) = scalar_pair(bytes) else { return self.any_pair(bytes, depth) };
        self.names_lane |= key == LANE_ATTRIBUTE.as_bytes();
        self.parts += 1;
        match value {
            // Where all of the pair is ASCII, so are its texts.
            ScalarValue::Text(_) if is_ascii(bytes) => {}
            ScalarValue::Text(text) => {
                self.text(key);
                self.text(text);
            }
            _ => self.text(key),
        }
        Ok(())
    }

    /// As [`Findings::pair`], where none need stand beside it.
    #[inline(never)]
    fn one_pair(&mut self, bytes: &[u8], depth: u32) -> Result<(), ProtoError> {
        self.pair(bytes, depth)
    }

    /// A pair that is more than a key with a scalar.
    #[inline(never)]
    fn any_pair(&mut self, bytes: &[u8], depth: u32) -> Result<(), ProtoError> {
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.next_field()? {
            match (number, value) {
                (key_value::KEY, Value::Bytes(key)) => {
                    self.names_lane |= key == LANE_ATTRIBUTE.as_bytes();
                    self.text(key);
                }
                (key_value::VALUE, Value::Bytes(value)) => self.any(value, depth)?,
                (key_value::KEY | key_value::VALUE, _) => self.refuse(Refusal::Malformed),
                _ => self.unknown += 1,
            }
        }
        Ok(())
    }

    fn any(&mut self, bytes: &[u8], depth: u32) -> Result<(), ProtoError> {
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.next_field()? {
            self.parts += 1;
            match (number, value) {
                (any_value::STRING, Value::Bytes(text)) => self.text(text),
                (any_value::BYTES, Value::Bytes(_))
                | (any_value::BOOL | any_value::INT, Value::Varint(_))
                | (any_value::DOUBLE, Value::Fixed64(_)) => {}
                (any_value::ARRAY | any_value::KVLIST, Value::Bytes(list)) => {
                    let Some(deeper) = depth.checked_sub(1) else {
                        self.refuse(Refusal::TooDeep);
                        continue;
                    };
                    let mut entries = Reader::new(list);
                    while let Some((field, value)) = entries.next_field()? {
                        let (1, Value::Bytes(entry)) = (field, value) else { continue };
                        self.parts += 1;
                        if number == any_value::ARRAY {
                            self.any(entry, deeper)?;
                        } else {
                            self.one_pair(entry, deeper)?;
                        }
                    }
                }
                (1..=7, _) => self.refuse(Refusal::Malformed),
                _ => self.unknown += 1,
            }
        }
        Ok(())
    }
}

/// Whether the bytes are UTF-8. Most texts are short and ASCII.
#[inline]
pub(super) fn is_utf8(text: &[u8]) -> bool {
    is_ascii(text) || std::str::from_utf8(text).is_ok()
}

/// Whether all bytes are below 128: told many at a time, the last ones whatever was told of them before.
#[inline(always)]
fn is_ascii(bytes: &[u8]) -> bool {
    match bytes.len() {
        0..8 => bytes.iter().fold(0, |bits, byte| bits | byte) < 0x80,
        8..=16 => is_ascii_at_ends::<8>(bytes),
        17..=32 => is_ascii_at_ends::<16>(bytes),
        33..=64 => is_ascii_at_ends::<32>(bytes),
        _ => bytes.is_ascii(),
    }
}

/// The same of at least `N` bytes, and at most twice as many.
#[inline(always)]
fn is_ascii_at_ends<const N: usize>(bytes: &[u8]) -> bool {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let (Some(first), Some(last)) = (bytes.first_chunk::<N>(), bytes.last_chunk::<N>()) else { return false };
    let words = first.as_chunks::<8>().0.iter().chain(last.as_chunks::<8>().0);
    words.fold(0, |bits, word| bits | u64::from_le_bytes(*word)) & HIGH == 0
}

/// How many varints are packed.
fn varints(mut bytes: &[u8]) -> Result<usize, ProtoError> {
    let mut count = 0;
    while !bytes.is_empty() {
        let (_, used) = read_varint(bytes).map_err(|_| ProtoError::Varint { offset: 0 })?;
        bytes = bytes.get(used..).unwrap_or_default();
        count += 1;
    }
    Ok(count)
}

/// What a length-delimited field holds.
#[derive(Clone, Copy)]
pub(super) enum Part<'s> {
    Text,
    Opaque,
    Id(usize),
    Message(&'s Message),
    KeyValue,
    AnyValue,
    /// `ArrayValue`: `repeated AnyValue`, field 1.
    Values,
    /// `KeyValueList`: `repeated KeyValue`, field 1.
    Pairs,
}

/// What field `number` of `part` holds.
fn part_of<'s>(part: Part<'s>, number: u32) -> Part<'s> {
    match part {
        Part::Message(message) => {
            match message.index_of(number).and_then(|index| message.fields.get(index)).map(|field| field.kind) {
                Some(Kind::String) => Part::Text,
                Some(Kind::Id16) => Part::Id(16),
                Some(Kind::Id8) => Part::Id(8),
                Some(Kind::Message(message)) => Part::Message(message),
                Some(Kind::Attributes) => Part::KeyValue,
                Some(Kind::AnyValue) => Part::AnyValue,
                _ => Part::Opaque,
            }
        }
        Part::KeyValue if number == key_value::KEY => Part::Text,
        Part::KeyValue if number == key_value::VALUE => Part::AnyValue,
        Part::AnyValue if number == any_value::STRING => Part::Text,
        Part::AnyValue if number == any_value::ARRAY => Part::Values,
        Part::AnyValue if number == any_value::KVLIST => Part::Pairs,
        Part::Values if number == 1 => Part::AnyValue,
        Part::Pairs if number == 1 => Part::KeyValue,
        _ => Part::Opaque,
    }
}

/// A message written anew: bytes that are no UTF-8 are replaced in texts (U+FFFD), ids of a wrong length are left out. It was looked at
/// before: its nesting is bounded.
///
/// # Errors
/// [`ProtoError`] where it is not protobuf.
pub fn mended(schema: &Message, bytes: &[u8]) -> Result<Vec<u8>, ProtoError> {
    let mut out = Vec::with_capacity(bytes.len() + 16);
    mend(Part::Message(schema), bytes, &mut out)?;
    Ok(out)
}

/// Appends a message written anew (see [`mended`]).
fn mend(part: Part<'_>, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), ProtoError> {
    let mut reader = Reader::new(bytes);
    while let Some((number, value)) = reader.next_field()? {
        mend_field(part, number, value, out)?;
    }
    Ok(())
}

/// Writes one field anew (see [`mend`]).
pub(super) fn mend_field(part: Part<'_>, number: u32, value: Value<'_>, out: &mut Vec<u8>) -> Result<(), ProtoError> {
    match value {
        Value::Varint(value) => {
            // Also a zero is written: in a oneof it is a value.
            put_varint(out, u64::from(number) << 3);
            put_varint(out, value);
        }
        Value::Fixed64(bits) => put_fixed64(out, number, bits),
        Value::Fixed32(bits) => put_fixed32(out, number, bits),
        Value::Bytes(inside) => match part_of(part, number) {
            Part::Text => put_bytes(out, number, String::from_utf8_lossy(inside).as_bytes()),
            Part::Id(length) if !inside.is_empty() && inside.len() != length => {}
            Part::Opaque | Part::Id(_) => put_bytes(out, number, inside),
            part => {
                let mut result = Ok(());
                put_message(out, number, |out| result = mend(part, inside, out));
                result?;
            }
        },
    }
    Ok(())
}

/// The table of the data points in field `kind` of a `Metric`.
pub(super) fn point_schema(kind: u32) -> Option<&'static Message> {
    Some(match kind {
        5 | 7 => &schema::NUMBER_DATA_POINT,
        9 => &schema::HISTOGRAM_DATA_POINT,
        10 => &schema::EXPONENTIAL_HISTOGRAM_DATA_POINT,
        11 => &schema::SUMMARY_DATA_POINT,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: texts of every length up to 40, with one byte of every value at every place. Guarantees: UTF-8 is told as the standard
    /// library tells it.
    #[test]
    fn utf8_is_told_as_always() {
        for length in 0..40 {
            for place in 0..length {
                for value in [0, 0x41, 0x7f, 0x80, 0xc3, 0xff] {
                    let mut text = vec![b'a'; length];
                    text[place] = value;
                    assert_eq!(is_utf8(&text), std::str::from_utf8(&text).is_ok(), "{text:?}");
                }
            }
        }
        assert!(is_utf8("ein Schiff \u{1f6a2}".as_bytes()) && is_utf8(b""));
    }
}
