//! Texts that are not UTF-8: frames carry them as they came, but OTLP's messages cannot hold them. Here they are
//! replaced (U+FFFD) when a section's rows are made; the frame itself keeps the bytes until it is packed.

use model::otlp::schema::{self, Kind, any_value, key_value};
use model::proto::{ProtoError, Reader, Value, put_bytes, put_fixed32, put_fixed64, put_message, put_varint};
use prost::Message;

/// Deepest nesting of messages that is looked into: lists in lists take three each, below seven around them.
const MAX_DEPTH: u32 = 3 * model::otlp::MAX_DEPTH + 16;

/// Decodes a message; where texts in it are not UTF-8, decodes it with those texts replaced. Says whether it had to.
pub(crate) fn decode<M: Message + Default>(
    schema: &schema::Message,
    bytes: &[u8],
) -> Result<(M, bool), prost::DecodeError> {
    M::decode(bytes).map(|message| (message, false)).or_else(|error| {
        let mut replaced = Vec::with_capacity(bytes.len());
        match rewrite(Part::Message(schema), bytes, MAX_DEPTH, &mut replaced) {
            Ok(()) => M::decode(&*replaced).map(|message| (message, true)),
            // Not protobuf at all: the first error says it.
            Err(_) => Err(error),
        }
    })
}

/// What a length-delimited field holds.
#[derive(Clone, Copy)]
enum Part<'s> {
    Text,
    Opaque,
    Message(&'s schema::Message),
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
        Part::Message(message) => match message.index_of(number).map(|index| message.fields[index].kind) {
            Some(Kind::String) => Part::Text,
            Some(Kind::Message(message)) => Part::Message(message),
            Some(Kind::Attributes) => Part::KeyValue,
            Some(Kind::AnyValue) => Part::AnyValue,
            _ => Part::Opaque,
        },
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

fn rewrite(part: Part<'_>, bytes: &[u8], depth: u32, out: &mut Vec<u8>) -> Result<(), ProtoError> {
    let depth = depth.checked_sub(1).ok_or(ProtoError::Depth)?;
    let mut reader = Reader::new(bytes);
    while let Some((number, value)) = reader.next_field()? {
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
                Part::Opaque => put_bytes(out, number, inside),
                part => {
                    let mut result = Ok(());
                    put_message(out, number, |out| result = rewrite(part, inside, depth, out));
                    result?;
                }
            },
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::trace::v1::TracesData;

    use super::*;
    use crate::tests::{NOW, SECOND, span, spans, text};

    /// Scenario: every text of a span, its resource and its attributes in turn gets a byte that is no UTF-8. Guarantees:
    /// the section is read, only that text has a replacement in it, and everything else is as it was.
    #[test]
    fn broken_texts_cost_only_themselves() {
        let mut one = span(1, 1, 0, NOW, SECOND, true);
        one.attributes = vec![text("attribute-key", "attribute-value")];
        one.trace_state = "trace-state".into();
        let whole = spans("service-value", vec![one]);
        let wanted = TracesData::decode(&*whole).unwrap();
        let words = ["attribute-key", "attribute-value", "trace-state", "service-value", "service.name", "op-1"];
        for word in words {
            let at = whole.windows(word.len()).position(|window| window == word.as_bytes()).unwrap();
            let mut broken = whole.clone();
            broken[at + 1] = 0xff;
            assert!(TracesData::decode(&*broken).is_err());
            let (read, replaced): (TracesData, bool) = decode(&schema::TRACES_DATA, &broken).unwrap();
            assert!(replaced);
            let mut expected = format!("{wanted:?}");
            expected = expected.replacen(word, &format!("{}\u{fffd}{}", &word[..1], &word[2..]), 1);
            assert_eq!(format!("{read:?}"), expected, "{word}");
        }
        assert!(decode::<TracesData>(&schema::TRACES_DATA, b"\xff\xff\xff").is_err());
    }
}
