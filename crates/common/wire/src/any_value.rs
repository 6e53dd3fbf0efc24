//! `AnyValue`: its kind on the wire, and the canonical form of the recursive kinds.

use model::otlp::schema::{any_value, key_value};
use model::otlp::{MAX_DEPTH, ScalarValue, scalar_pair};
use model::proto::{ProtoError, Reader, Value, put_bytes, put_fixed64, put_message, put_uint};

/// One value, borrowed. The discriminants are the type numbers of an attribute's shape (docs/wire.md, "Attributes").
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Any<'a> {
    /// `AnyValue` with nothing set.
    Empty,
    /// Text, not necessarily UTF-8.
    String(&'a [u8]),
    /// bool
    Bool(bool),
    /// int64, as its bits
    Int(u64),
    /// double, as its bits
    Double(u64),
    /// The bytes of an `ArrayValue`.
    Array(&'a [u8]),
    /// The bytes of a `KeyValueList`.
    KvList(&'a [u8]),
    /// bytes
    Bytes(&'a [u8]),
    /// A `KeyValue` without a value.
    Missing,
}

impl<'a> Any<'a> {
    /// The type number in a shape.
    pub(crate) fn number(&self) -> u8 {
        match self {
            Any::Empty => 0,
            Any::String(_) => 1,
            Any::Bool(_) => 2,
            Any::Int(_) => 3,
            Any::Double(_) => 4,
            Any::Array(_) => 5,
            Any::KvList(_) => 6,
            Any::Bytes(_) => 7,
            Any::Missing => 8,
        }
    }

    /// Reads an `AnyValue` message; of several set fields the last one counts, as in every protobuf reader.
    /// Adds fields that the schema does not know to `unknown`.
    pub(crate) fn read(bytes: &'a [u8], unknown: &mut u64) -> Result<Self, ProtoError> {
        let mut any = Any::Empty;
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.next_field()? {
            any = match (number, value) {
                (any_value::STRING, Value::Bytes(text)) => Any::String(text),
                (any_value::BOOL, Value::Varint(value)) => Any::Bool(value != 0),
                (any_value::INT, Value::Varint(value)) => Any::Int(value),
                (any_value::DOUBLE, Value::Fixed64(bits)) => Any::Double(bits),
                (any_value::ARRAY, Value::Bytes(array)) => Any::Array(array),
                (any_value::KVLIST, Value::Bytes(list)) => Any::KvList(list),
                (any_value::BYTES, Value::Bytes(bytes)) => Any::Bytes(bytes),
                _ => {
                    *unknown += 1;
                    any
                }
            };
        }
        Ok(any)
    }

    /// Appends the content of an `AnyValue` message. Arrays and lists must be canonical already.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Any::Empty | Any::Missing => {}
            Any::String(text) => put_bytes(out, any_value::STRING, text),
            Any::Bool(value) => put_uint(out, any_value::BOOL, u64::from(*value)),
            Any::Int(value) => put_uint(out, any_value::INT, *value),
            Any::Double(bits) => put_fixed64(out, any_value::DOUBLE, *bits),
            Any::Array(array) => put_bytes(out, any_value::ARRAY, array),
            Any::KvList(list) => put_bytes(out, any_value::KVLIST, list),
            Any::Bytes(bytes) => put_bytes(out, any_value::BYTES, bytes),
        }
    }
}

/// Reads a `KeyValue`: its key and value.
pub(crate) fn read_pair<'a>(bytes: &'a [u8], unknown: &mut u64) -> Result<(&'a [u8], Any<'a>), ProtoError> {
    if let Some((key, value)) = scalar_pair(bytes) {
        let any = match value {
            ScalarValue::Text(text) => Any::String(text),
            ScalarValue::Bool(value) => Any::Bool(value),
            ScalarValue::Int(value) => Any::Int(value),
            ScalarValue::Double(bits) => Any::Double(bits),
        };
        return Ok((key, any));
    }
    let (mut key, mut any) = (&[][..], Any::Missing);
    let mut reader = Reader::new(bytes);
    while let Some((number, value)) = reader.next_field()? {
        match (number, value) {
            (key_value::KEY, Value::Bytes(bytes)) => key = bytes,
            (key_value::VALUE, Value::Bytes(bytes)) => any = Any::read(bytes, unknown)?,
            _ => *unknown += 1,
        }
    }
    Ok((key, any))
}

/// Appends the content of a `KeyValue`.
pub(crate) fn put_pair(out: &mut Vec<u8>, key: &[u8], any: &Any<'_>) {
    if !key.is_empty() {
        put_bytes(out, key_value::KEY, key);
    }
    if *any != Any::Missing {
        put_message(out, key_value::VALUE, |out| any.put(out));
    }
}

/// Rewrites an `ArrayValue` (`pairs` false) or `KeyValueList` (`pairs` true) canonically: fields in order, unknown ones
/// left out and counted, depth checked.
pub(crate) fn canonical_list(bytes: &[u8], pairs: bool, unknown: &mut u64) -> Result<Vec<u8>, ProtoError> {
    let mut out = Vec::with_capacity(bytes.len());
    put_list(&mut out, bytes, pairs, unknown, MAX_DEPTH)?;
    Ok(out)
}

fn put_list(out: &mut Vec<u8>, bytes: &[u8], pairs: bool, unknown: &mut u64, depth: u32) -> Result<(), ProtoError> {
    let deeper = depth.checked_sub(1).ok_or(ProtoError::Depth)?;
    let mut reader = Reader::new(bytes);
    while let Some((number, value)) = reader.next_field()? {
        let (1, Value::Bytes(entry)) = (number, value) else {
            *unknown += 1;
            continue;
        };
        let (key, any) = if pairs { read_pair(entry, unknown)? } else { (&[][..], Any::read(entry, unknown)?) };
        let mut nested = Vec::new();
        let any = match any {
            Any::Array(array) => {
                put_list(&mut nested, array, false, unknown, deeper)?;
                Any::Array(&nested)
            }
            Any::KvList(list) => {
                put_list(&mut nested, list, true, unknown, deeper)?;
                Any::KvList(&nested)
            }
            other => other,
        };
        put_message(out, 1, |out| if pairs { put_pair(out, key, &any) } else { any.put(out) });
    }
    Ok(())
}
