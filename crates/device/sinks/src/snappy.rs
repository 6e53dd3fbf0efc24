//! Snappy's block format, for protocols that know no other.

use bytes::Bytes;
use drain::SendError;
use model::Refusal;
use model::proto::{put_varint, varint_len};
use snap::raw::{Encoder, max_compress_len};

/// The format's blocks do not refer to one another: each is compressed by itself, so that no room is needed for a body that does not
/// shrink.
const BLOCK: usize = 64 << 10;

/// The compressor; made when it is first needed.
#[derive(Default)]
pub(crate) struct Snappy(Option<Encoder>);

impl Snappy {
    /// Gives its memory back, until it is needed again.
    pub(crate) fn release(&mut self) {
        self.0 = None;
    }

    /// A body, compressed. The body itself goes: sending takes longer than compressing.
    ///
    /// # Errors
    /// [`SendError::Rejected`] where the compressor fails.
    #[allow(clippy::needless_pass_by_value, reason = "its memory is given back here")]
    pub(crate) fn compressed(&mut self, body: Vec<u8>) -> Result<Bytes, SendError> {
        let encoder = self.0.get_or_insert_with(Encoder::new);
        let mut block = vec![0; max_compress_len(BLOCK.min(body.len()))];
        // Telemetry shrinks to less than a quarter.
        let mut out = Vec::with_capacity(body.len() / 4 + 32);
        put_varint(&mut out, body.len() as u64);
        for piece in body.chunks(BLOCK) {
            let length = encoder.compress(piece, &mut block).map_err(|error| SendError::Rejected {
                reason: Refusal::Unencodable,
                why: format!("the request cannot be compressed: {error}"),
            })?;
            // In front of a block stands its own length.
            out.extend_from_slice(block.get(varint_len(piece.len() as u64)..length).unwrap_or_default());
        }
        out.shrink_to_fit();
        Ok(Bytes::from(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: bodies that are empty, small, of one block, of several, compressible and not. Guarantees: each inflates to what it was, and
    /// what can shrink does.
    #[test]
    fn bodies_survive() {
        let mut snappy = Snappy::default();
        let noise: Vec<u8> = (0..200_000u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for body in [&b""[..], b"x", &noise[..BLOCK - 1], &noise[..BLOCK], &noise[..BLOCK + 1], &noise, &[7; 300_000]] {
            let compressed = snappy.compressed(body.to_vec()).unwrap();
            assert!(snap::raw::Decoder::new().decompress_vec(&compressed).unwrap() == body);
            assert!(body != [7; 300_000] || compressed.len() < 20_000);
        }
    }
}
