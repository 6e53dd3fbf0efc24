//! Snappy's block format, for protocols that know no other.

use bytes::Bytes;
use drain::SendError;
use model::Refusal;
use snap::raw::Encoder;

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
    /// [`SendError::Rejected`] where it is beyond the format, 4 GiB.
    #[allow(clippy::needless_pass_by_value, reason = "its memory is given back here")]
    pub(crate) fn compressed(&mut self, body: Vec<u8>) -> Result<Bytes, SendError> {
        let compressed = self.0.get_or_insert_with(Encoder::new).compress_vec(&body);
        let mut compressed = compressed.map_err(|error| SendError::Rejected {
            reason: Refusal::TooLargeForDestination,
            why: format!("the request cannot be compressed: {error}"),
        })?;
        // It had room for a body that does not shrink.
        compressed.shrink_to_fit();
        Ok(Bytes::from(compressed))
    }
}
