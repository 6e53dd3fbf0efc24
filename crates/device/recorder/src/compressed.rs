//! The content of an entry, compressed: once, for the ring in memory and for the files.

use segment::lz4::{self, PIECE};

/// A piece of content, compressed by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) raw_len: u32,
    /// As long as the content where that does not get smaller.
    pub(crate) data: Box<[u8]>,
}

/// The whole content of one entry, in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compressed(Box<[Piece]>);

impl Compressed {
    /// Compresses content.
    pub(crate) fn new(content: &[u8], compressor: &mut lz4::Compressor) -> Self {
        let piece = |raw: &[u8]| Piece { raw_len: raw.len() as u32, data: compressor.compressed(raw).into() };
        Self(content.chunks(PIECE).map(piece).collect())
    }

    /// Its pieces, in order.
    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// The same, to be kept.
    pub(crate) fn into_pieces(self) -> Box<[Piece]> {
        self.0
    }
}
