//! Packs: immutable files of the records of one kind and UTC day (docs/hub.md, "Packs").
//!
//! A file is a head, zstd blocks back to back, a table of trace ids, a compressed index, and a trailer that finds it; of a
//! metric pack, columns stand in the place of blocks. Everything carries a CRC32C; what is damaged is left out of answers
//! and counted, the rest stays readable.

mod build;
mod catalog;
mod description;
mod format;
mod metric_read;
mod metric_write;
mod points;
mod read;
mod write;

pub(crate) use build::{RowSet, build, frames_of};
pub use description::Label;
pub(crate) use description::{Descriptions, labels_of};
pub(crate) use format::{BlockRef, Kind, StreamEntry, TraceEntry};
pub(crate) use metric_read::{Question, each_chunk};
pub(crate) use metric_write::MetricRows;
pub(crate) use points::{chunk_of, points_of};
pub(crate) use read::{Listing, Pack, TracePage};
pub(crate) use write::{FrameSource, Frames, sync_dir};

/// Nanoseconds of a day.
pub(crate) const DAY_NS: u64 = 86_400_000_000_000;

/// The file of a pack.
pub(crate) fn file_name(number: u64) -> String {
    format!("{number:016x}.pack")
}

/// The file of a pack that no manifest names yet.
pub(crate) fn draft_name(number: u64) -> String {
    format!("{number:016x}.draft")
}

/// The number of a pack by the name of its file, and whether it is a draft; `None` for a file of another kind.
pub(crate) fn number_of(name: &str) -> Option<(u64, bool)> {
    let (number, ending) = name.split_once('.')?;
    let is_draft = match ending {
        "pack" => false,
        "draft" => true,
        _ => return None,
    };
    (number.len() == 16).then_some(())?;
    Some((u64::from_str_radix(number, 16).ok()?, is_draft))
}
