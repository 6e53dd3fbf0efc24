//! Texts that are not UTF-8: frames carry them as they came, but OTLP's messages cannot hold them. Here they are
//! replaced (U+FFFD) when a section's rows are made; the frame itself keeps the bytes until it is packed.

use model::otlp::{mended, schema};
use prost::Message;

/// Decodes a message, whose nesting was weighed before; where texts in it are not UTF-8, decodes it with those texts replaced. Says whether it had to.
pub(crate) fn decode<M: Message + Default>(
    schema: &schema::Message,
    bytes: &[u8],
) -> Result<(M, bool), prost::DecodeError> {
    M::decode(bytes).map(|message| (message, false)).or_else(|error| match mended(schema, bytes) {
        Ok(mended) => M::decode(&*mended).map(|message| (message, true)),
        // Not protobuf at all: the first error says it.
        Err(_) => Err(error),
    })
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
