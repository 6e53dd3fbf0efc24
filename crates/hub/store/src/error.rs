//! What can go wrong in the store, by what a caller does about it.

use std::io;
use std::path::{Path, PathBuf};

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the data directory open.
    #[error("{}: locked by another process; stop the other hub, or choose another --data-dir", .path.display())]
    Locked {
        /// The data directory.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{}: {what}: {source}", .path.display())]
    Io {
        /// What was being done.
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The database refused.
    #[error("database: {what}: {}", cause(.source))]
    Database {
        /// What was being done.
        what: &'static str,
        /// The database's answer.
        source: fjall::Error,
    },
    /// A write failed earlier; nothing is taken in until the database could be opened again.
    #[error("intake stopped: {0}; free disk space or mend the disk: the hub tries again by itself")]
    Poisoned(String),
    /// The database is gone, what it described is not.
    #[error("{}: the database is gone, but {packs} packs (or the id of the directory) are there; restore it from a backup, or run `lightship-hub repair --data-dir DIR`, which rebuilds what packs can tell. Nothing was changed", .path.display())]
    DatabaseGone {
        /// Where it should be.
        path: PathBuf,
        /// Pack files that are there.
        packs: usize,
    },
    /// The database belongs to another data directory.
    #[error("{}: this database does not belong to this data directory (its id differs from hub.id); put the right one back, or run `lightship-hub repair --data-dir DIR`. Nothing was changed", .path.display())]
    ForeignDatabase {
        /// The database.
        path: PathBuf,
    },
    /// The database cannot be read.
    #[error("{}: the database is damaged: {source}; restore it from a backup, or run `lightship-hub repair --data-dir DIR`, which keeps the damaged one beside it. Packs are not touched", .path.display())]
    DatabaseDamaged {
        /// The database.
        path: PathBuf,
        /// What the engine says.
        source: fjall::Error,
    },
    /// The heads are full: the compactor has to catch up first.
    #[error(
        "busy: records of {cost} bytes do not fit beside the {held} bytes of heads that wait for compaction (limit {limit})"
    )]
    Busy {
        /// Bytes that the refused records take.
        cost: usize,
        /// Bytes in heads.
        held: usize,
        /// Their limit.
        limit: usize,
    },
    /// Too many requests wait for the writer.
    #[error("busy: {waiting} requests wait for the writer")]
    Queued {
        /// How many.
        waiting: usize,
    },
    /// A file of ours is damaged.
    #[error("{}: offset {offset}: {what}; it is left out of answers until the file is restored from a backup", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Byte offset in it.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// A file of ours is of a version that this program does not read.
    #[error("{}: a pack of version {found}; this hub reads version {known}: run the hub that wrote it", .path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u8,
        /// The version that is read.
        known: u8,
    },
    /// A row of the database cannot be read by this version.
    #[error("keyspace {keyspace}: {what}; was this data directory written by a newer hub?")]
    Row {
        /// The keyspace.
        keyspace: &'static str,
        /// What is wrong.
        what: String,
    },
    /// The store is shutting down.
    #[error("the store is shutting down")]
    Closed,
}

impl StoreError {
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }

    pub(crate) fn database(what: &'static str) -> impl FnOnce(fjall::Error) -> Self {
        move |source| Self::Database { what, source }
    }

    /// Whether the sender may try the same again later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Queued { .. } | Self::Closed | Self::Poisoned(_))
    }
}

/// The engine's words, without its debug form where there are plain ones.
fn cause(error: &fjall::Error) -> String {
    match error {
        fjall::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    }
}

/// Why a frame cannot be taken in.
#[derive(Debug, thiserror::Error)]
pub enum FrameRefused {
    /// The frame itself cannot be read.
    #[error("frame: {0}")]
    Frame(String),
    /// A sequence in it is one that no device gives out.
    #[error("frame: {0}")]
    Bounds(String),
    /// A section of it must not be decoded.
    #[error("{section} section: {source}")]
    TooHeavy {
        /// Which section.
        section: &'static str,
        /// Why.
        source: crate::weigh::TooHeavy,
    },
    /// A section of it is not the protobuf message it says it is.
    #[error("{section} section: {source}")]
    Section {
        /// Which section.
        section: &'static str,
        /// What prost says.
        source: prost::DecodeError,
    },
}
