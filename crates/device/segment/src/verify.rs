//! Checking one segment, entry by entry.

use disk::Disk;

use crate::error::SegmentError;
use crate::file::{SegmentFile, Step};
use crate::format::{Entry, EntryKind, Footer, SegmentHeader};
use crate::index::Index;
use crate::key::FIXED;

/// What a segment holds, whole or not.
#[derive(Debug)]
pub struct SegmentWalk {
    /// Its header; `None` when that is damaged.
    pub header: Option<SegmentHeader>,
    /// Its footer; `None` while it is open, or when that is damaged.
    pub footer: Option<Footer>,
    /// Whole blocks.
    pub blocks: u64,
    /// Frames, or requests, in whole entries.
    pub frames: u64,
    /// Records in whole entries.
    pub records: u64,
    /// Where the last entry ends.
    pub end: u64,
    /// Damage: where, and what it is.
    pub findings: Vec<(u64, &'static str)>,
}

/// Goes through a segment and calls `each` with every whole entry that is its own, where it stands and its payload. A later
/// segment owns everything from sequence `limit` on.
///
/// # Errors
/// What the disk refused, or a file of a later version. Damage is in the findings.
pub fn walk<D: Disk>(
    disk: &D,
    file: &SegmentFile<D::File>,
    limit: u64,
    mut each: impl FnMut(u64, &Entry, &[u8]),
) -> Result<SegmentWalk, SegmentError> {
    let len = file.size(disk)?;
    let header = file.header(disk)?;
    let footer = file.footer(disk, len);
    let end = footer.map_or(len, |footer| u64::from(footer.data_end));
    let mut walk = SegmentWalk { header, footer, blocks: 0, frames: 0, records: 0, end: FIXED, findings: Vec::new() };
    if header.is_none() {
        walk.findings.push((0, "the header is damaged; what it says is known from other places"));
    }
    let (mut at, mut entries, mut last) = (FIXED, 0, file.key().first - 1);
    let mut payload = Vec::new();
    while let Step::Entry { at: found, entry } = file.next_entry(disk, at, end) {
        if found != at {
            walk.findings.push((at, "a block's header is damaged; the block is lost"));
        }
        at = found + entry.total_len();
        entries += 1;
        if entry.first >= limit {
            // Written again in the next segment, after a sync of this one had failed.
            walk.end = at;
            continue;
        }
        if !file.read_payload(disk, found, &entry, &mut payload) {
            walk.findings.push((found, "a block is damaged and lost"));
            walk.end = at;
            last = entry.last();
            continue;
        }
        walk.blocks += u64::from(entry.kind == EntryKind::Block);
        walk.frames += u64::from(entry.frames);
        walk.records += u64::from(entry.records);
        walk.end = at;
        last = entry.last();
        each(found, &entry, &payload);
    }
    if let Some(footer) = &walk.footer {
        let all = footer.entries == entries && footer.last == last && at == end;
        if !all && walk.findings.is_empty() {
            walk.findings.push((at, "a block's header is damaged; the block is lost"));
        }
        if footer.index_len > 0 {
            let index_at = u64::from(footer.data_end);
            match Index::read(disk, file, footer, &mut 0) {
                Some(index) if index.is_whole(disk, file) => {}
                _ => walk.findings.push((index_at, "the index is damaged; more is read without it")),
            }
        }
    }
    Ok(walk)
}
