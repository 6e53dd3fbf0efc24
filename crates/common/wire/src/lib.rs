//! Frames and blocks: the deterministic encoding of telemetry, on disk and on the wire (docs/wire.md).
//!
//! A frame is a batch with its identity, as CBOR columns; encoding is driven by the schema tables of [`model::otlp`].
//! A block is several frames compressed and checksummed together.

mod any_value;
mod attributes;
mod block;
mod cbor;
mod decode;
mod dictionary;
mod encode;
mod error;
mod float_column;
mod frame;
mod inflate;
mod int_column;

pub use block::{
    BLOCK_CAP, BLOCK_HEADER_LEN, BLOCK_TARGET, BlockBody, BlockEncoder, BlockError, BlockHeader, Codec, EncodeError,
    FRAME_CAP, Frames, RawBlock,
};
pub use decode::MAX_SECTION_BYTES;
pub use error::{FRAME_VERSION, FrameError};
pub use frame::{
    BodyEncoder, EncodeStats, Frame, FrameHeader, Gap, GapReason, Section, SectionRef, Token, decode_body,
    decode_frame, decode_header, digest, each_token, each_token_of_body, encode_body, seal_frame,
};
pub use inflate::{InflateError, Inflater};
