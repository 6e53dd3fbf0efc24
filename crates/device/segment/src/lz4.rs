//! LZ4 in pieces: what is compressed before it is decided is compressed 32 KiB at a time, so that no large
//! buffer is needed on either side.

/// The most bytes of content in one piece.
pub const PIECE: usize = 32 << 10;

/// Compresses one piece of at most [`PIECE`] bytes into the end of `out`; stores it where that is not smaller. Returns the
/// length of what was appended: equal to the content's when it is stored.
pub fn compress(content: &[u8], out: &mut Vec<u8>) -> usize {
    let compressed = lz4_flex::block::compress(content);
    let smaller = if compressed.len() < content.len() { compressed.as_slice() } else { content };
    out.extend_from_slice(smaller);
    smaller.len()
}

/// Appends the content of a piece of `raw_len` bytes to `out`; `false` when the data is not such a piece.
pub fn inflate(data: &[u8], raw_len: usize, out: &mut Vec<u8>) -> bool {
    if data.len() == raw_len {
        out.extend_from_slice(data);
        return true;
    }
    if raw_len > PIECE || data.len() > raw_len {
        return false;
    }
    let start = out.len();
    out.resize(start + raw_len, 0);
    let whole = matches!(lz4_flex::block::decompress_into(data, &mut out[start..]), Ok(found) if found == raw_len);
    if !whole {
        out.truncate(start);
    }
    whole
}
