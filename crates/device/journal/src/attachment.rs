//! What rides in a commit beside its frames: bytes of the caller's, which the journal keeps and does not read.

/// Whose bytes an attachment has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachmentKind {
    /// The books: at most [`ATTACHMENT_CAP`] bytes.
    Ledger,
    /// How far the recorder is: exactly [`RECORDER_LEN`] bytes.
    Recorder,
    /// How far sources that read are: at most [`ATTACHMENT_CAP`] bytes.
    Positions,
}

/// Bytes that become valid together with the frames of a commit. The latest of a kind is kept, and given back at recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attachment<'a> {
    /// Whose they are.
    pub kind: AttachmentKind,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// The most bytes that an attachment may have.
pub const ATTACHMENT_CAP: usize = 1 << 20;
/// Bytes of an attachment of the recorder.
pub const RECORDER_LEN: usize = 24;

impl<'a> Attachment<'a> {
    /// The books.
    pub fn ledger(bytes: &'a [u8]) -> Self {
        Self { kind: AttachmentKind::Ledger, bytes }
    }

    /// How far sources that read are.
    pub fn positions(bytes: &'a [u8]) -> Self {
        Self { kind: AttachmentKind::Positions, bytes }
    }

    /// How far the recorder is.
    pub fn recorder(bytes: &'a [u8]) -> Self {
        Self { kind: AttachmentKind::Recorder, bytes }
    }
}
