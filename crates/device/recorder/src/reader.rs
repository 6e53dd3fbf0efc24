//! Reading the recorder's files without owning them, while the program runs or not. What it removes or has not finished
//! meanwhile is passed over.

use std::io;
use std::ops::ControlFlow;

use disk::{Disk, DiskError};
use model::Epoch;
use segment::{EntryKind, FIXED, Row, SegmentFile, SegmentKey, Step, firsts};

use crate::content::Content;
use crate::requests::decode;

/// Clocks that say less than this (2020-01-01) were not set yet; Unix nanoseconds.
const CLOCK_SET: u64 = 1_577_836_800_000_000_000;

/// A request that the recorder has in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundRequest<'a> {
    /// Its sequence in the recorder.
    pub sequence: u64,
    /// What it is.
    pub content: Content,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// When it came, Unix nanoseconds by the device's clock of then.
    pub wall_ns: u64,
}

/// What a walk over the recorder's files met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestsRead {
    /// Requests handed out.
    pub requests: u64,
    /// Entries that cannot be read.
    pub damaged: u64,
    /// Bytes read from the disk.
    pub bytes_read: u64,
    /// Bytes of all files.
    pub bytes_held: u64,
    /// The first sequence that is held; 0 when none is.
    pub oldest: u64,
    /// When it came, Unix nanoseconds; 0 when not known.
    pub oldest_ns: u64,
    /// The sequence after the last one that was met.
    pub next: u64,
}

/// Calls `each` with every request that the recorder has in files from a sequence on, oldest first, until it breaks off.
/// What surely came before `since_ns` (Unix nanoseconds) is not read. One entry, compressed, and one request are held
/// at a time.
///
/// # Errors
/// What the disk refused; damage is passed over and counted.
pub fn read_requests<D: Disk>(
    disk: &D,
    epoch: Epoch,
    from: u64,
    since_ns: u64,
    mut each: impl FnMut(FoundRequest<'_>) -> ControlFlow<()>,
) -> Result<RequestsRead, DiskError> {
    let mut read = RequestsRead::default();
    let too_old = |end_ns: u64| end_ns >= CLOCK_SET && end_ns < since_ns;
    let firsts = firsts(disk, Row::Recorder)?;
    let mut payload = Vec::new();
    for (position, first) in firsts.iter().copied().enumerate() {
        // A later segment owns everything from its first sequence on.
        let limit = firsts.get(position + 1).copied().unwrap_or(u64::MAX);
        let key = SegmentKey { epoch, row: Row::Recorder, first };
        let file = match SegmentFile::open(disk, key) {
            Ok(file) => file,
            // Removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(DiskError::io("open", key.path())(error)),
        };
        let len = file.size(disk)?;
        let footer = file.footer(disk, len);
        read.bytes_held += len;
        read.bytes_read += FIXED;
        if let Some(footer) = &footer {
            note_oldest(&mut read, first, footer.start_ns);
            if footer.last < from || footer.start_ns >= CLOCK_SET && too_old(footer.end_ns) {
                read.next = read.next.max(footer.last.saturating_add(1).min(limit));
                continue;
            }
        }
        let (mut at, end) = (FIXED, footer.map_or(len, |footer| u64::from(footer.data_end)));
        while at < end && !(footer.is_none() && file.is_unwritten(disk, at)) {
            let (found, entry) = match file.next_entry(disk, at, end) {
                Step::Entry { at, entry } => (at, entry),
                Step::End { dirty } => {
                    read.damaged += u64::from(dirty);
                    break;
                }
            };
            read.bytes_read += FIXED;
            read.damaged += u64::from(found != at);
            at = found + entry.total_len();
            if entry.first >= limit {
                break;
            }
            note_oldest(&mut read, entry.first, entry.start_ns);
            let next = read.next.max(entry.last().saturating_add(1).min(limit));
            if entry.kind != EntryKind::Requests || entry.last() < from || too_old(entry.end_ns) {
                read.next = next;
                continue;
            }
            read.bytes_read += u64::from(entry.len);
            if !file.read_payload(disk, found, &entry, &mut payload) {
                // The last one may just be written: it is looked at again.
                read.damaged += 1;
                continue;
            }
            read.next = next;
            let (mut sequence, mut end) = (entry.first, ControlFlow::Continue(()));
            let whole = decode(&payload, |request| {
                if sequence >= from && sequence < limit && end.is_continue() {
                    read.requests += 1;
                    let (content, bytes) = (request.content, request.bytes);
                    end = each(FoundRequest { sequence, content, bytes, wall_ns: entry.start_ns });
                }
                sequence += 1;
            });
            read.damaged += u64::from(!whole);
            if end.is_break() {
                return Ok(read);
            }
        }
    }
    Ok(read)
}

fn note_oldest(read: &mut RequestsRead, first: u64, start_ns: u64) {
    if read.oldest == 0 {
        (read.oldest, read.oldest_ns) = (first, start_ns);
    }
}
