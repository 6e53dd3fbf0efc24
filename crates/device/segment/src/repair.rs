//! Writing one damaged segment anew, with every entry that can be read.

use disk::{Disk, DiskError, IoCounts};

use crate::error::SegmentError;
use crate::file::SegmentFile;
use crate::format::SegmentHeader;
use crate::index;
use crate::key::{FIXED, SegmentKey};
use crate::seal::seal_indexed;
use crate::summary::Segment;
use crate::verify::walk;

/// The smallest segment of a lane, bytes.
pub const MIN_SEGMENT: u64 = 32 << 10;

/// A row's totals behind a whole segment.
///
/// # Errors
/// What the disk refused, or a file of a later version.
pub fn totals_after<D: Disk>(disk: &D, key: &SegmentKey) -> Result<Option<Segment>, SegmentError> {
    let Ok(file) = SegmentFile::open(disk, *key) else { return Ok(None) };
    let mut segment: Option<Segment> = None;
    let read = walk(disk, &file, u64::MAX, |at, entry, _| {
        let totals = segment.get_or_insert_with(|| Segment::empty(key.first, entry.records_before, 0, 0));
        totals.absorb(entry, at + entry.total_len());
    })?;
    if let (Some(segment), Some(header)) = (&mut segment, read.header) {
        segment.bytes_before = header.bytes_before;
    }
    Ok(segment)
}

/// Writes a segment anew, beside the old one first, with every entry that can be read. `limit` is the first sequence of the next
/// segment of the row, `before` what is known of the one before. Without a readable entry the file goes, but the newest of a row
/// stays, empty: its name says which sequences were used.
///
/// # Errors
/// What the disk refused; the old file is as it was then, or the new one is in its place.
pub fn rewrite<D: Disk>(
    disk: &D,
    key: &SegmentKey,
    limit: Option<u64>,
    before: Option<Segment>,
) -> Result<(), SegmentError> {
    let path = key.path();
    let fail = |action| DiskError::io(action, path.clone());
    let old = SegmentFile::open(disk, *key).map_err(fail("open"))?;
    let len = old.size(disk)?;
    let temporary = format!("{path}.tmp");
    disk::remove_if_there(disk, &temporary)?;
    let room = len + index::reserve(len) + MIN_SEGMENT;
    let new = SegmentFile::new(*key, disk.create(&temporary, room).map_err(fail("create"))?);
    let mut segment: Option<Segment> = None;
    let mut failed = None;
    let read = walk(disk, &old, limit.unwrap_or(u64::MAX), |_, entry, payload| {
        let segment = segment.get_or_insert_with(|| Segment::empty(key.first, entry.records_before, 0, 0));
        let at = segment.data_end;
        let mut fixed = entry.encode();
        key.stamp(at, &mut fixed);
        let written =
            disk.write_at(new.file(), at, &fixed).and_then(|()| disk.write_at(new.file(), at + FIXED, payload));
        failed = failed.take().or(written.err());
        segment.absorb(entry, at + entry.total_len());
    })?;
    if let Some(error) = failed {
        return Err(fail("write")(error).into());
    }
    let Some(segment) = segment else {
        disk.remove(&temporary).map_err(fail("remove"))?;
        if limit.is_some() {
            disk.remove(&path).map_err(fail("remove"))?;
        } else {
            fresh(disk, key, &header_of(key, read.header, None, before), &temporary)?;
        }
        return Ok(disk.sync_dir(&key.row.dir()).map_err(fail("sync directory of"))?);
    };
    let header = header_of(key, read.header, Some(&segment), before);
    disk.write_at(new.file(), 0, &header.encode(key)).map_err(fail("write"))?;
    seal_indexed(disk, &new, &segment, &mut IoCounts::default()).map_err(fail("seal"))?;
    disk.rename(&temporary, &path).map_err(fail("rename"))?;
    Ok(disk.sync_dir(&key.row.dir()).map_err(fail("sync directory of"))?)
}

/// The segment's own header, or what is known of it from its first entry and the segment before.
fn header_of(
    key: &SegmentKey,
    found: Option<SegmentHeader>,
    segment: Option<&Segment>,
    before: Option<Segment>,
) -> SegmentHeader {
    found.unwrap_or_else(|| {
        let records = before.map_or(0, |before| before.records_after);
        let first = segment.filter(|_| key.first == 1 || before.is_none());
        SegmentHeader {
            records_before: first.map_or(records, |segment| segment.records_before),
            bytes_before: before.map_or(0, |before| before.bytes_at(before.data_end)),
            watermark_ns: before.map_or(0, |before| before.end_ns),
        }
    })
}

/// An empty segment in a damaged one's place.
fn fresh<D: Disk>(disk: &D, key: &SegmentKey, header: &SegmentHeader, temporary: &str) -> Result<(), SegmentError> {
    let path = key.path();
    let file = disk.create(temporary, MIN_SEGMENT).map_err(DiskError::io("create", temporary))?;
    disk.write_at(&file, 0, &header.encode(key)).map_err(DiskError::io("write", temporary))?;
    disk.sync_data(&file).map_err(DiskError::io("sync", temporary))?;
    Ok(disk.rename(temporary, &path).map_err(DiskError::io("rename", path))?)
}
