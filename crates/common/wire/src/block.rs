//! Blocks: several frames of one lane and one epoch, compressed and checksummed together (docs/wire.md, "Block").

use model::{Epoch, Lane};
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use crate::inflate::{InflateError, Inflater};

/// Writers close a block before its content grows beyond this, unless a single frame is larger.
pub const BLOCK_TARGET: usize = 64 << 10;
/// The most bytes that a block's content (length prefixes and frames) may have. Readers refuse more.
pub const BLOCK_CAP: usize = 1 << 20;
/// Bytes of the fixed header in front of a block's payload.
pub const BLOCK_HEADER_LEN: usize = 40;
/// The largest single frame that fits into a block.
pub const FRAME_CAP: usize = BLOCK_CAP - PREFIX_LEN;

const MAGIC: [u8; 4] = *b"LSBK";
const VERSION: u8 = 0;
const PREFIX_LEN: usize = 4;
const CRC_OFFSET: usize = 36;

// Content is at most 64 KiB as a rule, so a larger window finds nothing; the tables are capped because they are
// resident (docs/wire.md, "Block", has the measurement).
const LEVEL: i32 = 3;
const WINDOW_LOG: u32 = 16;
const HASH_LOG: u32 = 12;
const CHAIN_LOG: u32 = 12;

/// How a block's payload is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Codec {
    /// As it is: zstd did not shrink it.
    Stored = 0,
    /// One zstd frame.
    Zstd = 1,
}

/// The fixed header of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlockHeader {
    /// How the payload is written.
    pub codec: Codec,
    /// The lane of every frame in it.
    pub lane: Lane,
    /// The epoch of every frame in it.
    pub epoch: Epoch,
    /// The sequence of the first frame; the others follow without holes.
    pub first: u64,
    /// Number of frames, at least 1.
    pub frames: u32,
    /// Bytes of the content: four for each frame's length, and the frames.
    pub raw_len: u32,
    /// Bytes of the payload that follows the header.
    pub payload_len: u32,
}

impl BlockHeader {
    /// The sequence of the last frame, inclusive.
    pub fn last(&self) -> u64 {
        self.first + u64::from(self.frames) - 1
    }

    /// Reads the header at the start of `bytes` without looking at payload or checksum: enough to say which block is
    /// damaged, not enough to use it.
    ///
    /// # Errors
    /// [`BlockError`] when no header stands there.
    pub fn parse(bytes: &[u8]) -> Result<Self, BlockError> {
        match bytes.first_chunk::<BLOCK_HEADER_LEN>() {
            Some(fixed) => parse_header(fixed),
            None => Err(BlockError::Truncated { needed: BLOCK_HEADER_LEN, have: bytes.len() }),
        }
    }

    /// Bytes of the whole block, header included.
    pub fn block_len(&self) -> usize {
        BLOCK_HEADER_LEN + self.payload_len as usize
    }
}

/// Why bytes are not a usable block. Offsets count from the first byte that was handed to [`RawBlock::parse`]; those of
/// a frame count inside the block's decompressed content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// The bytes end before the block does.
    #[error("block is cut off: {needed} bytes needed, {have} there")]
    Truncated {
        /// Bytes that the block has, as far as is known.
        needed: usize,
        /// Bytes that are there.
        have: usize,
    },
    /// A field or the checksum contradicts the rest.
    #[error("block is corrupt at offset {offset}: {reason}")]
    Corrupt {
        /// Where.
        offset: usize,
        /// What is wrong there.
        reason: &'static str,
    },
    /// A block of a version or codec that this program does not know.
    #[error("block has {what} {found}, which this program does not know (offset {offset}); a newer program wrote it")]
    Unsupported {
        /// Where the number stands.
        offset: usize,
        /// `version` or `codec`.
        what: &'static str,
        /// The number found.
        found: u8,
    },
    /// A length above the cap.
    #[error("block {what} is {found} bytes (offset {offset}), at most {cap} are allowed")]
    TooLarge {
        /// Where the length stands.
        offset: usize,
        /// Which length.
        what: &'static str,
        /// The length found.
        found: u64,
        /// The most that is allowed.
        cap: u64,
    },
}

/// Why frames could not be put into a block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The content would be larger than [`BLOCK_CAP`].
    #[error("block content of {found} bytes is larger than {BLOCK_CAP}; split the batch")]
    TooLarge {
        /// Bytes of the content.
        found: usize,
    },
    /// There was no frame, or one of no bytes.
    #[error("a block has at least one frame, and no frame is empty")]
    Empty,
    /// The first sequence is 0, or the last one is beyond the range of sequences.
    #[error("sequence {first} cannot start a block of {frames} frames; sequences start at 1")]
    Sequence {
        /// The first sequence asked for.
        first: u64,
        /// Number of frames.
        frames: u32,
    },
    /// zstd failed for another reason than content that does not shrink.
    #[error("zstd: {0}")]
    Compressor(String),
}

/// Frames on their way into a block: the block's content as it will be compressed.
#[derive(Debug, Default, Clone)]
pub struct BlockBody {
    raw: Vec<u8>,
    frames: u32,
}

impl BlockBody {
    /// An empty body.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the frame that `write` adds to the end of the buffer, and returns its length. A frame that is empty or does
    /// not fit into [`BLOCK_CAP`] any more is taken out again.
    ///
    /// # Errors
    /// [`EncodeError::Empty`] or [`EncodeError::TooLarge`]; the body is as before.
    pub fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<usize, EncodeError> {
        let start = self.raw.len();
        self.raw.extend_from_slice(&[0; PREFIX_LEN]);
        write(&mut self.raw);
        let length = self.raw.len().saturating_sub(start + PREFIX_LEN);
        let refused = if length == 0 {
            Some(EncodeError::Empty)
        } else if self.raw.len() > BLOCK_CAP {
            Some(EncodeError::TooLarge { found: self.raw.len() })
        } else {
            None
        };
        if let Some(error) = refused {
            self.raw.truncate(start);
            return Err(error);
        }
        self.raw[start..start + PREFIX_LEN].copy_from_slice(&(length as u32).to_le_bytes());
        self.frames += 1;
        Ok(length)
    }

    /// Appends a frame.
    ///
    /// # Errors
    /// As [`BlockBody::push_with`].
    pub fn push(&mut self, frame: &[u8]) -> Result<(), EncodeError> {
        if frame.len() > FRAME_CAP {
            return Err(EncodeError::TooLarge { found: frame.len() });
        }
        self.push_with(|raw| raw.extend_from_slice(frame)).map(drop)
    }

    /// Bytes of the content so far.
    pub fn raw_len(&self) -> usize {
        self.raw.len()
    }

    /// Number of frames so far.
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// Whether there is no frame in it.
    pub fn is_empty(&self) -> bool {
        self.frames == 0
    }

    /// Bytes of memory held.
    pub fn capacity(&self) -> usize {
        self.raw.capacity()
    }

    /// Takes everything out, and keeps at most `keep` bytes of memory.
    pub fn clear(&mut self, keep: usize) {
        self.raw.clear();
        self.raw.shrink_to(keep);
        self.frames = 0;
    }
}

/// Writes blocks. Holds one compressor (its tables are the resident part) and reuses it.
pub struct BlockEncoder {
    compressor: Compressor<'static>,
    body: BlockBody,
}

impl std::fmt::Debug for BlockEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockEncoder").finish_non_exhaustive()
    }
}

impl BlockEncoder {
    /// An encoder with its tables capped.
    ///
    /// # Errors
    /// [`EncodeError::Compressor`] when zstd refuses a parameter or has no memory.
    pub fn new() -> Result<Self, EncodeError> {
        let mut compressor = Compressor::new(LEVEL).map_err(|error| compressor_error(&error))?;
        for parameter in
            [CParameter::WindowLog(WINDOW_LOG), CParameter::HashLog(HASH_LOG), CParameter::ChainLog(CHAIN_LOG)]
        {
            compressor.set_parameter(parameter).map_err(|error| compressor_error(&error))?;
        }
        Ok(Self { compressor, body: BlockBody::new() })
    }

    /// Gives back the compressor's tables, which the next block takes anew.
    ///
    /// # Errors
    /// [`EncodeError::Compressor`] as [`BlockEncoder::new`]; the encoder is then as it was.
    pub fn rest(&mut self) -> Result<(), EncodeError> {
        *self = Self::new()?;
        Ok(())
    }

    /// Appends one block with these frames to `out`. The same frames always give the same bytes.
    ///
    /// # Errors
    /// [`EncodeError`]; `out` is as before.
    pub fn encode(
        &mut self,
        epoch: Epoch,
        lane: Lane,
        first: u64,
        frames: &[&[u8]],
        out: &mut Vec<u8>,
    ) -> Result<BlockHeader, EncodeError> {
        let mut body = std::mem::take(&mut self.body);
        body.clear(BLOCK_TARGET);
        let pushed = frames.iter().try_for_each(|frame| body.push(frame));
        let encoded = pushed.and_then(|()| self.encode_body(epoch, lane, first, &body, out));
        self.body = body;
        encoded
    }

    /// Appends one block with the frames gathered in `body` to `out`, which grows by at most [`BLOCK_HEADER_LEN`] and the
    /// body's [`BlockBody::raw_len`].
    ///
    /// # Errors
    /// [`EncodeError`]; `out` is as before.
    pub fn encode_body(
        &mut self,
        epoch: Epoch,
        lane: Lane,
        first: u64,
        body: &BlockBody,
        out: &mut Vec<u8>,
    ) -> Result<BlockHeader, EncodeError> {
        let raw = body.raw.as_slice();
        if body.is_empty() {
            return Err(EncodeError::Empty);
        }
        if first == 0 || first.checked_add(u64::from(body.frames)).is_none() {
            return Err(EncodeError::Sequence { first, frames: body.frames });
        }
        let start = out.len();
        let payload_start = start + BLOCK_HEADER_LEN;
        // One byte less than the content: zstd then fails exactly when it does not shrink it.
        out.resize(payload_start + raw.len() - 1, 0);
        let codec = match self.compressor.context_mut().compress2(&mut out[payload_start..], raw) {
            Ok(length) => {
                out.truncate(payload_start + length);
                Codec::Zstd
            }
            Err(code) if code.wrapping_neg() == DESTINATION_TOO_SMALL => {
                out.truncate(payload_start);
                out.extend_from_slice(raw);
                Codec::Stored
            }
            Err(code) => {
                out.truncate(start);
                return Err(EncodeError::Compressor(zstd::zstd_safe::get_error_name(code).to_owned()));
            }
        };
        let header = BlockHeader {
            codec,
            lane,
            epoch,
            first,
            frames: body.frames,
            raw_len: raw.len() as u32,
            payload_len: (out.len() - payload_start) as u32,
        };
        let mut fixed = header_bytes(&header);
        let crc = checksum(&fixed, &out[payload_start..]);
        fixed[CRC_OFFSET..].copy_from_slice(&crc.to_le_bytes());
        out[start..payload_start].copy_from_slice(&fixed);
        Ok(header)
    }

    /// Bytes of memory held by the compressor's tables.
    pub fn resident_bytes(&mut self) -> usize {
        self.compressor.context_mut().sizeof() + self.body.capacity()
    }
}

/// zstd's `ZSTD_error_dstSize_tooSmall`, part of its stable list of error codes.
const DESTINATION_TOO_SMALL: usize = 70;

fn compressor_error(error: &std::io::Error) -> EncodeError {
    EncodeError::Compressor(error.to_string())
}

fn header_bytes(header: &BlockHeader) -> [u8; BLOCK_HEADER_LEN] {
    let mut bytes = [0; BLOCK_HEADER_LEN];
    bytes[0..4].copy_from_slice(&MAGIC);
    bytes[4] = VERSION;
    bytes[5] = header.codec as u8;
    bytes[6] = header.lane.number();
    bytes[8..16].copy_from_slice(&header.epoch.0.to_le_bytes());
    bytes[16..24].copy_from_slice(&header.first.to_le_bytes());
    bytes[24..28].copy_from_slice(&header.frames.to_le_bytes());
    bytes[28..32].copy_from_slice(&header.raw_len.to_le_bytes());
    bytes[32..36].copy_from_slice(&header.payload_len.to_le_bytes());
    bytes
}

fn checksum(header: &[u8; BLOCK_HEADER_LEN], payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&header[..CRC_OFFSET]), payload)
}

/// A block whose lengths and checksum have been verified, as it stands on disk or wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RawBlock<'b> {
    header: BlockHeader,
    bytes: &'b [u8],
}

impl<'b> RawBlock<'b> {
    /// Takes the block at the start of `bytes`, and what follows it.
    ///
    /// # Errors
    /// [`BlockError`]: anything but a whole block with a right checksum.
    pub fn parse(bytes: &'b [u8]) -> Result<(RawBlock<'b>, &'b [u8]), BlockError> {
        let Some(fixed) = bytes.first_chunk::<BLOCK_HEADER_LEN>() else {
            return Err(BlockError::Truncated { needed: BLOCK_HEADER_LEN, have: bytes.len() });
        };
        let header = parse_header(fixed)?;
        let Some((block, rest)) = bytes.split_at_checked(header.block_len()) else {
            return Err(BlockError::Truncated { needed: header.block_len(), have: bytes.len() });
        };
        if u32_at(fixed, CRC_OFFSET) != checksum(fixed, &block[BLOCK_HEADER_LEN..]) {
            return Err(BlockError::Corrupt { offset: CRC_OFFSET, reason: "checksum differs" });
        }
        Ok((RawBlock { header, bytes: block }, rest))
    }

    /// The header.
    pub fn header(&self) -> &BlockHeader {
        &self.header
    }

    /// The whole block as stored, header included.
    pub fn bytes(&self) -> &'b [u8] {
        self.bytes
    }

    /// The frames in it, in order of their sequences. All lengths are checked before the first one is handed out.
    ///
    /// # Errors
    /// [`BlockError::Corrupt`] when the content does not inflate or its frames do not add up.
    pub fn frames<'f>(&self, inflater: &'f mut Inflater) -> Result<Frames<'f>, BlockError>
    where
        'b: 'f,
    {
        let payload = &self.bytes[BLOCK_HEADER_LEN..];
        let raw_len = self.header.raw_len as usize;
        let content: &'f [u8] = match self.header.codec {
            Codec::Stored => payload,
            Codec::Zstd => inflater.inflate(payload, raw_len).map_err(|error| BlockError::Corrupt {
                offset: BLOCK_HEADER_LEN,
                reason: match error {
                    InflateError::TooLarge { .. } => "content is longer than the header says",
                    InflateError::Corrupt { reason } => reason,
                    InflateError::OutOfMemory => "no memory to inflate it",
                },
            })?,
        };
        if content.len() != raw_len {
            return Err(BlockError::Corrupt { offset: 28, reason: "content has another length than the header says" });
        }
        let mut rest = content;
        for _ in 0..self.header.frames {
            let offset = raw_len - rest.len();
            let (frame, after) =
                split_frame(rest).ok_or(BlockError::Corrupt { offset, reason: "frame reaches beyond the content" })?;
            if frame.is_empty() {
                return Err(BlockError::Corrupt { offset, reason: "frame is empty" });
            }
            rest = after;
        }
        if !rest.is_empty() {
            return Err(BlockError::Corrupt { offset: raw_len - rest.len(), reason: "bytes after the last frame" });
        }
        Ok(Frames { next: self.header.first, rest: content })
    }
}

fn parse_header(fixed: &[u8; BLOCK_HEADER_LEN]) -> Result<BlockHeader, BlockError> {
    let corrupt = |offset, reason| BlockError::Corrupt { offset, reason };
    if fixed[0..4] != MAGIC {
        return Err(corrupt(0, "no block starts here"));
    }
    if fixed[4] != VERSION {
        return Err(BlockError::Unsupported { offset: 4, what: "version", found: fixed[4] });
    }
    let codec = match fixed[5] {
        0 => Codec::Stored,
        1 => Codec::Zstd,
        found => return Err(BlockError::Unsupported { offset: 5, what: "codec", found }),
    };
    let lane = Lane::from_number(u64::from(fixed[6])).ok_or(corrupt(6, "no such lane"))?;
    if fixed[7] != 0 {
        return Err(corrupt(7, "reserved byte is not 0"));
    }
    let header = BlockHeader {
        codec,
        lane,
        epoch: Epoch(u64_at(fixed, 8)),
        first: u64_at(fixed, 16),
        frames: u32_at(fixed, 24),
        raw_len: u32_at(fixed, 28),
        payload_len: u32_at(fixed, 32),
    };
    if header.raw_len as usize > BLOCK_CAP {
        return Err(BlockError::TooLarge {
            offset: 28,
            what: "content",
            found: u64::from(header.raw_len),
            cap: BLOCK_CAP as u64,
        });
    }
    if header.first == 0 || header.first.checked_add(u64::from(header.frames)).is_none() {
        return Err(corrupt(16, "sequence out of range"));
    }
    if header.frames == 0 || u64::from(header.frames) * (PREFIX_LEN as u64 + 1) > u64::from(header.raw_len) {
        return Err(corrupt(24, "number of frames does not fit the content"));
    }
    let payload_fits = match codec {
        Codec::Stored => header.payload_len == header.raw_len,
        Codec::Zstd => header.payload_len < header.raw_len,
    };
    if !payload_fits {
        return Err(corrupt(32, "payload length does not fit the content"));
    }
    Ok(header)
}

fn split_frame(content: &[u8]) -> Option<(&[u8], &[u8])> {
    let (prefix, rest) = content.split_first_chunk::<PREFIX_LEN>()?;
    rest.split_at_checked(u32::from_le_bytes(*prefix) as usize)
}

fn u32_at(fixed: &[u8; BLOCK_HEADER_LEN], offset: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&fixed[offset..offset + 4]);
    u32::from_le_bytes(bytes)
}

fn u64_at(fixed: &[u8; BLOCK_HEADER_LEN], offset: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&fixed[offset..offset + 8]);
    u64::from_le_bytes(bytes)
}

/// The frames of a block with their sequences.
#[derive(Debug, Clone)]
pub struct Frames<'f> {
    next: u64,
    rest: &'f [u8],
}

impl<'f> Iterator for Frames<'f> {
    type Item = (u64, &'f [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (frame, rest) = split_frame(self.rest)?;
        let sequence = self.next;
        self.next += 1;
        self.rest = rest;
        Some((sequence, frame))
    }
}

#[cfg(test)]
#[path = "block_tests.rs"]
mod tests;
