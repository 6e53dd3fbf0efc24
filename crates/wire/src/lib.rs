//! Frames and blocks: the deterministic encoding of telemetry, on disk and on the wire (docs/wire.md).
//!
//! A frame is a batch with its identity, as CBOR columns; encoding is driven by the schema tables of [`model::otlp`].
//! A block is several frames compressed and checksummed together.

mod any_value;
mod attributes;
mod cbor;
mod decode;
mod dictionary;
mod encode;
mod float_column;
mod frame;
mod int_column;

pub use decode::MAX_SECTION_BYTES;
pub use frame::{
    EncodeStats, FRAME_VERSION, Frame, FrameError, FrameHeader, Gap, GapReason, Section, SectionRef, decode_body,
    decode_frame, decode_header, digest, encode_body, seal_frame,
};
