//! Why a frame cannot be read.

use std::fmt;

/// The frame format that this crate writes, and the only one that it reads.
pub const FRAME_VERSION: u8 = 0;

/// Why a frame could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// The bytes are not a frame; says what does not fit.
    Corrupt(&'static str),
    /// Not CBOR, at this byte.
    Cbor(usize),
    /// A frame of another format version: left as it is.
    Version(u64),
    /// The content of its sections would be larger than [`crate::MAX_SECTION_BYTES`].
    TooLarge,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::Corrupt(what) => write!(f, "not a frame: {what}"),
            FrameError::Cbor(offset) => write!(f, "not a frame: the CBOR at byte {offset} does not fit"),
            FrameError::Version(version) => {
                write!(f, "a frame of version {version}; this program reads version {FRAME_VERSION}")
            }
            FrameError::TooLarge => f.write_str("the frame's content is larger than a section may be"),
        }
    }
}

impl std::error::Error for FrameError {}

impl From<minicbor::decode::Error> for FrameError {
    fn from(error: minicbor::decode::Error) -> Self {
        FrameError::Cbor(error.position().unwrap_or(0))
    }
}
