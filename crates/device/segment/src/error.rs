//! Why a segment cannot be used.

use disk::DiskError;

/// What keeps a segment from being read or written. Damage is none: it is passed over, and told.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A later version of the program wrote the file. Nothing was touched.
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
}

impl SegmentError {
    /// A file of a later version.
    pub fn version(path: impl Into<String>, found: u8) -> Self {
        Self::Version { path: path.into(), found, known: crate::VERSION }
    }
}
