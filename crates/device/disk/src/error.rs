//! What the disk refused, with what was tried and where.

use std::io;

/// The operating system failed. Retryable: what was synced before is still there.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}: {source}")]
pub struct DiskError {
    /// What was tried.
    pub action: &'static str,
    /// The file below the data directory.
    pub path: String,
    /// What the operating system says.
    pub source: io::Error,
}

impl DiskError {
    /// For [`Result::map_err`]: adds what was tried, and where.
    pub fn io(action: &'static str, path: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self { action, path, source }
    }

    /// Whether space ran out.
    pub fn is_full(&self) -> bool {
        is_full(&self.source)
    }
}

/// Whether an error says that space ran out.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
