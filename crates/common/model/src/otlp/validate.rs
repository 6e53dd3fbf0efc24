//! Whether a whole request can be read.

use super::inspect;
use crate::proto::ProtoError;
use crate::{Refusal, Signal};

/// Walks an OTLP export request down to its last attribute.
///
/// # Errors
/// [`ProtoError`] where any part of it is not protobuf, or attributes nest deeper than [`super::MAX_DEPTH`]. Offsets count from
/// the start of the innermost message.
pub fn validate(signal: Signal, request: &[u8]) -> Result<(), ProtoError> {
    let found = inspect(signal, request)?;
    match found.rejected.get(Refusal::TooDeep) + found.mended.get(Refusal::TooDeep) {
        0 => Ok(()),
        _ => Err(ProtoError::Depth),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::MAX_DEPTH;
    use crate::otlp::schema::{any_value, key_value};
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
