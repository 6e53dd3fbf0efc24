//! Packs: immutable files of the records of one kind and UTC day (docs/hub.md, "Packs").
//!
//! A file is a head, zstd blocks back to back, a table of trace ids, a compressed index, and a trailer that finds it.
//! Blocks and index carry a CRC32C; a damaged block is left out of answers and counted, the rest stays readable.

mod build;
mod format;
mod read;
mod write;

pub(crate) use build::{RowSet, build, sort_points};
pub(crate) use format::{Kind, TraceEntry};
pub(crate) use read::{Pack, TracePage};
pub(crate) use write::sync_dir;

/// Nanoseconds of a day.
pub(crate) const DAY_NS: u64 = 86_400_000_000_000;

/// The file of a pack.
pub(crate) fn file_name(number: u64) -> String {
    format!("{number:016x}.pack")
}
