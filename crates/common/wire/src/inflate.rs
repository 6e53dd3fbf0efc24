//! The one place where zstd data is decompressed, always into a capped output (P9).

use zstd::zstd_safe::{DCtx, get_error_name};

/// zstd's `ZSTD_error_dstSize_tooSmall`, part of its stable list of error codes.
const DESTINATION_TOO_SMALL: usize = 70;

/// A buffer that grew beyond this is given back after use, so that one large body does not stay resident.
const KEEP_BYTES: usize = 128 << 10;

/// Why compressed bytes could not be inflated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// The content is larger than the caller allows.
    #[error("decompressed content is larger than {cap} bytes")]
    TooLarge {
        /// The caller's cap in bytes.
        cap: usize,
    },
    /// The bytes are no zstd data, are cut off or damaged.
    #[error("not readable as zstd: {reason}")]
    Corrupt {
        /// What zstd says.
        reason: &'static str,
    },
    /// The decompressor could not get its memory.
    #[error("no memory for a zstd decompressor")]
    OutOfMemory,
}

/// A reusable zstd decompressor. It holds about 96 KiB, and no window: it inflates straight into its output buffer, whose
/// size is the caller's cap, so neither a large window nor a zip bomb can make it take more.
#[derive(Default)]
pub struct Inflater {
    context: Option<DCtx<'static>>,
    output: Vec<u8>,
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflater").field("resident_bytes", &self.resident_bytes()).finish()
    }
}

impl Inflater {
    /// An inflater that takes its memory at first use.
    pub fn new() -> Self {
        Self::default()
    }

    /// Inflates one or more whole zstd frames into at most `cap` bytes. The content is valid until the next call.
    ///
    /// # Errors
    /// [`InflateError`]; the inflater stays usable after each of them.
    pub fn inflate(&mut self, compressed: &[u8], cap: usize) -> Result<&[u8], InflateError> {
        self.release();
        // The vector offers its whole capacity to zstd; a vector that is larger than the cap is checked below.
        self.output.try_reserve_exact(cap).map_err(|_| InflateError::OutOfMemory)?;
        let context = match &mut self.context {
            Some(context) => context,
            empty => empty.insert(DCtx::try_create().ok_or(InflateError::OutOfMemory)?),
        };
        match context.decompress(&mut self.output, compressed) {
            Ok(length) if length <= cap => Ok(&self.output),
            Ok(_) => Err(InflateError::TooLarge { cap }),
            Err(code) if code.wrapping_neg() == DESTINATION_TOO_SMALL => Err(InflateError::TooLarge { cap }),
            Err(code) => Err(InflateError::Corrupt { reason: get_error_name(code) }),
        }
    }

    /// Gives back what a large content took; nothing is left of it.
    pub fn release(&mut self) {
        self.output.clear();
        self.output.shrink_to(KEEP_BYTES);
    }

    /// The content of the last [`Inflater::inflate`], without a copy.
    pub fn into_output(self) -> Vec<u8> {
        self.output
    }

    /// Bytes of memory held now: the decompressor's tables and the capacity of the output.
    pub fn resident_bytes(&self) -> usize {
        self.context.as_ref().map_or(0, DCtx::sizeof) + self.output.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a megabyte of zeros, 60 bytes compressed, against smaller caps. Guarantees: a bomb is refused at the
    /// cap, and the inflater works on afterwards (P9).
    #[test]
    fn a_bomb_stops_at_the_cap() {
        let bomb = zstd::bulk::compress(&vec![0; 1 << 20], 19).unwrap();
        let mut inflater = Inflater::new();
        for cap in [0, 1, 4096, (1 << 20) - 1] {
            assert_eq!(inflater.inflate(&bomb, cap), Err(InflateError::TooLarge { cap }));
        }
        assert_eq!(inflater.inflate(&bomb, 1 << 20).map(<[u8]>::len), Ok(1 << 20));
        // The buffer is large now: a smaller cap must hold nevertheless.
        assert_eq!(inflater.inflate(&bomb, 4096), Err(InflateError::TooLarge { cap: 4096 }));
        assert!(inflater.resident_bytes() < 256 << 10, "{}", inflater.resident_bytes());
    }

    /// Scenario: a frame that a stream wrote (no content size), two frames in a row, and damage. Guarantees: whole
    /// content or an error.
    #[test]
    fn streams_and_damage() {
        let text = b"a lightship is moored where no lighthouse can be built".repeat(40);
        let mut inflater = Inflater::new();
        let streamed = zstd::stream::encode_all(&text[..], 3).unwrap();
        assert_eq!(inflater.inflate(&streamed, 4096).unwrap(), text);
        let twice = [streamed.clone(), streamed.clone()].concat();
        assert_eq!(inflater.inflate(&twice, 8192).unwrap().len(), 2 * text.len());
        for cut in 1..streamed.len() {
            assert!(matches!(inflater.inflate(&streamed[..cut], 4096), Err(InflateError::Corrupt { .. })), "{cut}");
        }
        assert!(matches!(inflater.inflate(b"plain text", 4096), Err(InflateError::Corrupt { .. })));
    }
}
