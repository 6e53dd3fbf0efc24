//! What can go wrong, by what a caller does about it.

use std::io;

use disk::DiskError;
use model::Lane;
use segment::SegmentError;

/// Why the journal cannot be opened or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The operating system failed. Retryable: nothing that was committed is lost, and what was not is still buffered.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Another process has the data directory open.
    #[error("the data directory is in use by another process (its file \"lock\" is locked); stop that one first")]
    Locked,
    /// A file that a later version of the program wrote. Nothing was touched.
    #[error(
        "{path} has format version {found}, this program reads version {known}; run the newer program, or choose another data directory"
    )]
    Version {
        /// The file below the data directory.
        path: String,
        /// The version found.
        found: u8,
        /// The version that this program reads.
        known: u8,
    },
    /// Options that cannot work.
    #[error("{0}")]
    Options(String),
    /// A part of the program failed that does not depend on the data.
    #[error("{0}")]
    Internal(String),
}

impl JournalError {
    pub(crate) fn io(action: &'static str, path: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let located = DiskError::io(action, path);
        move |source| Self::Disk(located(source))
    }

    /// A file of a later version.
    pub(crate) fn version(path: impl Into<String>, found: u8) -> Self {
        SegmentError::version(path, found).into()
    }

    /// Whether space ran out.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Disk(error) if error.is_full())
    }
}

impl From<SegmentError> for JournalError {
    fn from(error: SegmentError) -> Self {
        match error {
            SegmentError::Disk(error) => Self::Disk(error),
            SegmentError::Version { path, found, known } => Self::Version { path, found, known },
        }
    }
}

/// Why a frame was not taken. Nothing of it was kept, and no sequence was used.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Neither the budget nor the disk has room, and no lane that may yield before this one has anything left to give
    /// up. Tell the producer to wait (P11).
    #[error("the journal has no room for {needed} bytes in lane {lane}: raise its budget or free disk space")]
    Full {
        /// The lane.
        lane: Lane,
        /// Bytes that were looked for.
        needed: u64,
    },
    /// The frame cannot be in any block. Split the batch.
    #[error("a frame of {found} bytes is larger than {cap}")]
    TooLarge {
        /// Bytes of the frame.
        found: usize,
        /// The most that a frame may have.
        cap: usize,
    },
    /// The disk failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
}
