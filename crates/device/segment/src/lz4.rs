//! LZ4 in pieces: what is compressed before it is decided is compressed 32 KiB at a time, so that no large
//! buffer is needed on either side.

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

/// The most bytes of content in one piece.
pub const PIECE: usize = 32 << 10;

/// Compresses pieces one after the other: its table and its output are there once, and cleared or faulted in no more.
#[derive(Default)]
pub struct Compressor {
    table: CompressTable,
    out: Vec<u8>,
}

impl Compressor {
    /// One piece of at most [`PIECE`] bytes, compressed; the content itself where that is not smaller.
    pub fn compressed<'a>(&'a mut self, content: &'a [u8]) -> &'a [u8] {
        let most = get_maximum_output_size(content.len());
        if self.out.len() < most {
            self.out.resize(most, 0);
        }
        match compress_into_with_table(content, &mut self.out, &mut self.table) {
            Ok(written) if written < content.len() => self.out.get(..written).unwrap_or(content),
            _ => content,
        }
    }
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

/// Compresses one piece of at most [`PIECE`] bytes into the end of `out`; stores it where that is not smaller. Returns the
/// length of what was appended: equal to the content's when it is stored.
pub fn compress(content: &[u8], out: &mut Vec<u8>) -> usize {
    let mut compressor = Compressor::default();
    let compressed = compressor.compressed(content);
    out.extend_from_slice(compressed);
    compressed.len()
}

/// Appends the content of a piece of `raw_len` bytes to `out`; `false` when the data is not such a piece.
pub fn inflate(data: &[u8], raw_len: usize, out: &mut Vec<u8>) -> bool {
    if data.len() == raw_len {
        out.extend_from_slice(data);
        return true;
    }
    if raw_len > PIECE {
        return false;
    }
    let start = out.len();
    out.resize(start + raw_len, 0);
    let whole = inflate_into(data, &mut out[start..]);
    if !whole {
        out.truncate(start);
    }
    whole
}

/// Writes the content of a piece over `out`, which is as long as it; `false` when the data is not such a piece.
pub fn inflate_into(data: &[u8], out: &mut [u8]) -> bool {
    if data.len() == out.len() {
        out.copy_from_slice(data);
        return true;
    }
    out.len() <= PIECE
        && data.len() < out.len()
        && matches!(lz4_flex::block::decompress_into(data, out), Ok(found) if found == out.len())
}
