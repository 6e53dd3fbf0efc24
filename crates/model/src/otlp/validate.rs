//! Checks a whole request once, at the door: what passes here can be walked and encoded later without a fault.

use super::schema::{self, Kind, Message, Rule, any_value, key_value};
use crate::Signal;
use crate::proto::{ProtoError, Reader, Value, read_varint};

/// How deep arrays and key-value lists of attributes may nest, at every end: agent, frames, hub. SDKs allow 64.
pub const MAX_DEPTH: u32 = 64;

/// Walks an OTLP export request down to its last attribute.
///
/// # Errors
/// [`ProtoError`] where any part of it is not protobuf, or attributes nest deeper than [`MAX_DEPTH`]. Offsets count from
/// the start of the innermost message.
pub fn validate(signal: Signal, request: &[u8]) -> Result<(), ProtoError> {
    let root = match signal {
        Signal::Traces => &schema::TRACES_DATA,
        Signal::Logs => &schema::LOGS_DATA,
        Signal::Metrics => &schema::METRICS_DATA,
    };
    message(root, request)
}

fn message(schema: &Message, bytes: &[u8]) -> Result<(), ProtoError> {
    let mut reader = Reader::new(bytes);
    while let Some((number, value)) = reader.next_field()? {
        let Some(field) = schema.index_of(number).and_then(|index| schema.fields.get(index)) else { continue };
        let Value::Bytes(bytes) = value else { continue };
        match (field.kind, field.rule) {
            (Kind::Message(child), _) => message(child, bytes)?,
            (Kind::Attributes, _) => pair(bytes, MAX_DEPTH)?,
            (Kind::AnyValue, _) => any(bytes, MAX_DEPTH)?,
            (Kind::Fixed64 | Kind::Double, Rule::Repeated) if bytes.len() % 8 != 0 => {
                return Err(ProtoError::Truncated { offset: reader.offset() });
            }
            (Kind::Uint, Rule::Repeated) => packed_varints(bytes)?,
            _ => {}
        }
    }
    Ok(())
}

fn packed_varints(mut bytes: &[u8]) -> Result<(), ProtoError> {
    while !bytes.is_empty() {
        let (_, used) = read_varint(bytes).map_err(|_| ProtoError::Varint { offset: 0 })?;
        bytes = bytes.get(used..).unwrap_or_default();
    }
    Ok(())
}

fn pair(bytes: &[u8], depth: u32) -> Result<(), ProtoError> {
    let mut reader = Reader::new(bytes);
    while let Some((number, value)) = reader.next_field()? {
        if let (key_value::VALUE, Value::Bytes(value)) = (number, value) {
            any(value, depth)?;
        }
    }
    Ok(())
}

fn any(bytes: &[u8], depth: u32) -> Result<(), ProtoError> {
    let mut reader = Reader::new(bytes);
    while let Some((number, value)) = reader.next_field()? {
        let (any_value::ARRAY | any_value::KVLIST, Value::Bytes(list)) = (number, value) else { continue };
        let deeper = depth.checked_sub(1).ok_or(ProtoError::Depth)?;
        let mut entries = Reader::new(list);
        while let Some((field, value)) = entries.next_field()? {
            let (1, Value::Bytes(entry)) = (field, value) else { continue };
            if number == any_value::ARRAY { any(entry, deeper)? } else { pair(entry, deeper)? }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{put_bytes, put_message};

    fn nested(depth: u32) -> Vec<u8> {
        let mut value = Vec::new();
        put_bytes(&mut value, any_value::STRING, b"end");
        for _ in 0..depth {
            let inner = std::mem::take(&mut value);
            put_message(&mut value, any_value::ARRAY, |out| put_bytes(out, 1, &inner));
        }
        let mut request = Vec::new();
        put_message(&mut request, 1, |out| {
            put_message(out, 1, |out| put_message(out, 1, |out| put_bytes(out, key_value::VALUE, &value)));
        });
        request
    }

    /// Scenario: attributes nested to the limit and beyond, and a request cut at every place.
    /// Guarantees: depth is bounded, cuts are errors or shorter requests, and nothing panics.
    #[test]
    fn depth_and_cuts_are_seen() {
        assert_eq!(validate(Signal::Traces, &nested(MAX_DEPTH)), Ok(()));
        assert_eq!(validate(Signal::Traces, &nested(MAX_DEPTH + 1)), Err(ProtoError::Depth));
        let request = nested(3);
        for cut in 1..request.len() {
            assert!(validate(Signal::Logs, &request[..cut]).is_err(), "cut at {cut}");
        }
    }
}
