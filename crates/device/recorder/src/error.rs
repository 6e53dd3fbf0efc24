//! Why something was not recorded.

use std::io;

use disk::DiskError;

/// Why nothing was recorded for good.
#[derive(Debug, thiserror::Error)]
pub enum RecorderError {
    /// What is still needed takes all of a ring, or the disk is full. Tell the producer to wait.
    #[error("the {0} on disk is full of what is still needed")]
    Full(&'static str),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl RecorderError {
    /// As an error of the disk: a full ring is a full disk to who can do nothing about it.
    pub fn into_disk(self) -> DiskError {
        match self {
            Self::Full(ring) => DiskError::io("write", ring)(io::ErrorKind::StorageFull.into()),
            Self::Disk(error) => error,
        }
    }
}
