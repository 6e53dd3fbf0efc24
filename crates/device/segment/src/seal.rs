//! Ending a segment's file: index, footer, cut to its length.

use std::io;

use disk::{Disk, IoCounts};

use crate::file::SegmentFile;
use crate::index;
use crate::key::FIXED;
use crate::summary::Segment;

/// Ends a file: writes the footer behind the entries, cuts the file there and syncs it. Gives its length. What it holds is
/// synced already, so an error loses nothing: its entries are then found one by one.
///
/// # Errors
/// As the operating system says.
pub fn seal<D: Disk>(
    disk: &D,
    file: &SegmentFile<D::File>,
    segment: &Segment,
    counts: &mut IoCounts,
) -> io::Result<u64> {
    end_with(disk, file, segment, Vec::new(), counts)
}

/// As [`seal`], with an index of its entries when there is room for one.
///
/// # Errors
/// As the operating system says.
pub fn seal_indexed<D: Disk>(
    disk: &D,
    file: &SegmentFile<D::File>,
    segment: &Segment,
    counts: &mut IoCounts,
) -> io::Result<u64> {
    let room = disk.len(file.file())?.saturating_sub(segment.data_end + FIXED);
    let index = index::build(disk, file, segment, room).unwrap_or_default();
    end_with(disk, file, segment, index, counts)
}

fn end_with<D: Disk>(
    disk: &D,
    file: &SegmentFile<D::File>,
    segment: &Segment,
    index: Vec<u8>,
    counts: &mut IoCounts,
) -> io::Result<u64> {
    let len = segment.data_end + index.len() as u64 + FIXED;
    let footer = segment.footer(index.len() as u32).encode(file.key(), len - FIXED);
    let mut end = index;
    end.extend_from_slice(&footer);
    disk.write_at(file.file(), segment.data_end, &end)?;
    disk.set_len(file.file(), len)?;
    counts.written += end.len() as u64;
    counts.syncs += 1;
    disk.sync_data(file.file())?;
    Ok(len)
}
