//! Gzip (RFC 1952) of request bodies with one compressor that stays while there is something to send: its tables are 300 KiB, which would have to be cleared, and faulted
//! in page by page, for each request.

use flate2::{Compress, Compression, FlushCompress, Status};

/// No name, no time, the fastest compression, an unknown system (RFC 1952 section 2.3).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff];
/// Output grows by so much where the first guess was too small.
const MORE: usize = 4 << 10;
/// And by so much at a time where the body does not shrink.
const STEP: usize = 32 << 10;

/// The compressor.
pub(crate) struct Gzip {
    /// Made when it is first needed.
    compress: Option<Box<Compress>>,
}

impl Gzip {
    /// One that takes no memory yet.
    pub(crate) fn new() -> Self {
        Self { compress: None }
    }

    /// Gives its memory back, until it is needed again.
    pub(crate) fn release(&mut self) {
        self.compress = None;
    }

    /// A body, compressed; `None` where the compressor fails.
    pub(crate) fn compressed(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        let compress = self.compress.get_or_insert_with(|| Box::new(Compress::new(Compression::fast(), false)));
        compress.reset();
        // Telemetry shrinks to less than a quarter.
        let mut out = Vec::with_capacity(HEADER.len() + body.len() / 4 + MORE);
        out.extend_from_slice(&HEADER);
        loop {
            let taken = usize::try_from(compress.total_in()).ok()?;
            match compress.compress_vec(body.get(taken..)?, &mut out, FlushCompress::Finish).ok()? {
                Status::StreamEnd => break,
                Status::Ok | Status::BufError => out.reserve_exact(STEP),
            }
        }
        out.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
        // Modulo 2^32, as the format has it.
        out.extend_from_slice(&(body.len() as u32).to_le_bytes());
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// Scenario: bodies that are empty, small, large, compressible and not, one after the other. Guarantees: each inflates to what it was,
    /// with the right checksum, whatever came before it.
    #[test]
    fn bodies_survive() {
        let mut gzip = Gzip::new();
        let noise: Vec<u8> = (0..200_000u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for body in [&b""[..], b"x", &[7; 100_000], &noise, b"after", &noise[..5000]] {
            let compressed = gzip.compressed(body).unwrap();
            let mut back = Vec::new();
            flate2::read::GzDecoder::new(compressed.as_slice()).read_to_end(&mut back).unwrap();
            assert!(back == body && (body.len() < 100 || compressed.len() < body.len() + 200));
        }
    }
}
