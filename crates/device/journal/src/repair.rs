//! Repairing a data directory: what can be read of a damaged file is written anew, and everything else stays as it is.

use disk::Disk;
use model::Stamp;

use crate::cursor;
use crate::error::JournalError;
use crate::format::{FIXED, FIXED_LEN, Row, SegmentHeader, SegmentKey};
use crate::index;
use crate::journal::{Journal, Options};
use crate::reader::firsts;
use crate::recovery::Recovery;
use crate::segment::Segment;
use crate::space::MIN_SEGMENT;
use crate::verify::{Verified, epoch_of, is_whole, verify, walk};

/// What a repair did.
#[derive(Debug, Clone, Default)]
pub struct Repaired {
    /// What was found before.
    pub before: Verified,
    /// Files that were written anew, or removed where nothing in them could be read.
    pub rewritten: Vec<String>,
    /// What is found now: nothing, unless the disk is failing.
    pub after: Verified,
    /// What the journal said when it was opened afterwards; lost stretches have got their gap records.
    pub recovery: Recovery,
}

/// Repairs the journal of a data directory that no process has open: writes damaged segments anew with every block that
/// can be read, and the small files with what is known, then opens and commits once, so that what is lost is told as gaps.
/// `options` are those of the device's configuration.
///
/// # Errors
/// As [`Journal::open`]; a repair that was interrupted can be run again.
pub fn repair<D: Disk>(disk: D, options: Options, stamp: Stamp) -> Result<Repaired, JournalError> {
    let lock = disk.lock("lock").map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => JournalError::Locked,
        _ => JournalError::io("lock", "lock")(error),
    })?;
    let mut repaired = Repaired { before: verify(&disk)?, ..Repaired::default() };
    if repaired.before.findings.is_empty() {
        repaired.after = repaired.before.clone();
        return Ok(repaired);
    }
    if let Some(epoch) = epoch_of(&disk)? {
        for row in Row::all() {
            let firsts = firsts(&disk, row)?;
            let mut before = None;
            for (position, first) in firsts.iter().enumerate() {
                let key = SegmentKey { epoch, row, first: *first };
                let limit = firsts.get(position + 1).copied();
                if !is_whole(&disk, &key, limit.unwrap_or(u64::MAX))? {
                    rewrite(&disk, &key, limit, before)?;
                    repaired.rewritten.push(key.path());
                }
                before = totals_after(&disk, &key)?.or(before);
            }
        }
        let damaged = |path: &str| repaired.before.findings.iter().any(|finding| finding.path == path);
        if damaged("spare") {
            disk.remove("spare").map_err(JournalError::io("remove", "spare"))?;
            repaired.rewritten.push("spare".into());
        }
        let cursors: Vec<String> = options.destinations.iter().map(|name| cursor::path(name)).collect();
        for path in cursors.iter().filter(|path| damaged(path)) {
            cursor::rewrite(&disk, path, epoch)?;
            repaired.rewritten.push(path.clone());
        }
    }
    drop(lock);
    let (mut journal, recovery) = Journal::open(disk, options, stamp)?;
    journal.rewrite_notes()?;
    journal.commit(stamp, None)?;
    repaired.recovery = recovery;
    repaired.after = verify(&journal.core.disk)?;
    Ok(repaired)
}

/// A row's totals behind a whole segment.
fn totals_after<D: Disk>(disk: &D, key: &SegmentKey) -> Result<Option<Segment>, JournalError> {
    let Ok(file) = disk.open(&key.path()) else { return Ok(None) };
    let mut segment: Option<Segment> = None;
    let read = walk(disk, key, &file, u64::MAX, |at, entry, _| {
        let totals = segment.get_or_insert_with(|| Segment::empty(key.first, entry.records_before, 0, 0));
        totals.absorb(entry, at + entry.total_len());
    })?;
    if let (Some(segment), Some(header)) = (&mut segment, read.header) {
        segment.bytes_before = header.bytes_before;
    }
    Ok(segment)
}

/// Writes a segment anew, beside the old one first, with every entry that can be read.
fn rewrite<D: Disk>(
    disk: &D,
    key: &SegmentKey,
    limit: Option<u64>,
    before: Option<Segment>,
) -> Result<(), JournalError> {
    let path = key.path();
    let fail = |action| JournalError::io(action, path.clone());
    let old = disk.open(&path).map_err(fail("open"))?;
    let len = disk.len(&old).map_err(fail("measure"))?;
    let temporary = format!("{path}.tmp");
    match disk.remove(&temporary) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fail("remove")(error)),
        _ => {}
    }
    let room = len + index::reserve(len) + MIN_SEGMENT;
    let new = disk.create(&temporary, room).map_err(fail("create"))?;
    let mut segment: Option<Segment> = None;
    let mut failed = None;
    let read = walk(disk, key, &old, limit.unwrap_or(u64::MAX), |_, entry, payload| {
        let segment = segment.get_or_insert_with(|| Segment::empty(key.first, entry.records_before, 0, 0));
        let at = segment.data_end;
        let mut fixed = entry.encode();
        key.stamp(at, &mut fixed);
        let written = disk.write_at(&new, at, &fixed).and_then(|()| disk.write_at(&new, at + FIXED, payload));
        failed = failed.take().or(written.err());
        segment.absorb(entry, at + entry.total_len());
    })?;
    if let Some(error) = failed {
        return Err(fail("write")(error));
    }
    let Some(segment) = segment else {
        // Nothing can be read. The newest of a row stays, empty: its name says which sequences were used.
        disk.remove(&temporary).map_err(fail("remove"))?;
        if limit.is_some() {
            disk.remove(&path).map_err(fail("remove"))?;
        } else {
            fresh(disk, key, &header_of(key, read.header, None, before), &temporary)?;
        }
        return disk.sync_dir(&key.row.dir()).map_err(fail("sync directory of"));
    };
    let header = header_of(key, read.header, Some(&segment), before);
    disk.write_at(&new, 0, &header.encode(key)).map_err(fail("write"))?;
    let index = index::build(disk, &new, key, &segment, room - segment.data_end - FIXED).unwrap_or_default();
    let mut end = index;
    let footer_at = segment.data_end + end.len() as u64;
    end.extend_from_slice(&segment.footer(end.len() as u32).encode(key, footer_at));
    disk.write_at(&new, segment.data_end, &end).map_err(fail("write"))?;
    disk.set_len(&new, footer_at + FIXED_LEN as u64).map_err(fail("cut"))?;
    disk.sync_data(&new).map_err(fail("sync"))?;
    disk.rename(&temporary, &path).map_err(fail("rename"))?;
    disk.sync_dir(&key.row.dir()).map_err(fail("sync directory of"))
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
fn fresh<D: Disk>(disk: &D, key: &SegmentKey, header: &SegmentHeader, temporary: &str) -> Result<(), JournalError> {
    let path = key.path();
    let file = disk.create(temporary, MIN_SEGMENT).map_err(JournalError::io("create", temporary))?;
    disk.write_at(&file, 0, &header.encode(key)).map_err(JournalError::io("write", temporary))?;
    disk.sync_data(&file).map_err(JournalError::io("sync", temporary))?;
    disk.rename(temporary, &path).map_err(JournalError::io("rename", path))
}
