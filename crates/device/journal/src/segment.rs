//! One segment: what is known of it in memory, and how its entries are found on disk, also behind damage.

use std::io;

use disk::{Disk, read_exact_at};

use crate::format::{ENTRY_MAGIC, Entry, FIXED, FIXED_LEN, Fixed, Footer, SegmentKey};

/// Bytes read at once while looking for the next readable entry.
const SCAN_CHUNK: usize = 16 << 10;

/// What has not been written yet.
const ZEROS: [u8; 1024] = [0; 1024];

/// What is kept in memory of one segment: its size does not depend on the number of records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) first: u64,
    /// The last sequence; one less than `first` when there is no entry.
    pub(crate) last: u64,
    pub(crate) records_before: u64,
    pub(crate) records_after: u64,
    /// Entry bytes in the lane before this segment.
    pub(crate) bytes_before: u64,
    /// Where synced entries end.
    pub(crate) data_end: u64,
    /// Allocated bytes of the file.
    pub(crate) disk_bytes: u64,
    pub(crate) start_ns: u64,
    pub(crate) end_ns: u64,
    pub(crate) entries: u32,
    pub(crate) has_gaps: bool,
}

impl Segment {
    /// A segment without entries.
    pub(crate) fn empty(first: u64, records_before: u64, bytes_before: u64, disk_bytes: u64) -> Self {
        Self {
            first,
            last: first - 1,
            records_before,
            records_after: records_before,
            bytes_before,
            data_end: FIXED,
            disk_bytes,
            start_ns: 0,
            end_ns: 0,
            entries: 0,
            has_gaps: false,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Entry bytes in the lane up to an offset in this segment.
    pub(crate) fn bytes_at(&self, offset: u64) -> u64 {
        self.bytes_before + offset.saturating_sub(FIXED)
    }

    pub(crate) fn footer(&self, index_len: u32) -> Footer {
        Footer {
            index_len,
            data_end: self.data_end as u32,
            entries: self.entries,
            last: self.last,
            records_after: self.records_after,
            start_ns: self.start_ns,
            end_ns: self.end_ns,
            has_gaps: self.has_gaps,
        }
    }

    pub(crate) fn apply_footer(&mut self, footer: &Footer) {
        self.last = footer.last;
        self.records_after = footer.records_after.max(self.records_before);
        self.data_end = u64::from(footer.data_end);
        self.start_ns = footer.start_ns;
        self.end_ns = footer.end_ns;
        self.entries = footer.entries;
        self.has_gaps = footer.has_gaps;
    }

    /// Counts an entry that ends at `data_end`.
    pub(crate) fn absorb(&mut self, entry: &Entry, data_end: u64) {
        self.start_ns = earliest(self.start_ns, entry.start_ns);
        self.end_ns = self.end_ns.max(entry.end_ns);
        self.last = entry.last();
        self.records_after = entry.records_after();
        self.data_end = data_end;
        self.entries += 1;
        self.has_gaps |= entry.kind == crate::format::EntryKind::Gap;
    }
}

/// The earlier of two times, where 0 means not known.
pub(crate) fn earliest(one: u64, other: u64) -> u64 {
    match (one, other) {
        (0, time) | (time, 0) => time,
        (one, other) => one.min(other),
    }
}

/// The next thing in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// An entry with a readable header. It stands behind unreadable bytes when `at` is not where one looked.
    Entry { at: u64, entry: Entry },
    /// No further entry; `dirty` when there are other bytes than zeros.
    End { dirty: bool },
}

/// Finds the next entry at or after `at` whose payload ends at `end` or before. Unreadable sectors count as damage.
pub(crate) fn next_entry<D: Disk>(disk: &D, file: &D::File, key: &SegmentKey, at: u64, end: u64) -> Step {
    let mut fixed = [0; FIXED_LEN];
    let fits = |at: u64, entry: &Entry| at + entry.total_len() <= end;
    if at + FIXED <= end
        && matches!(read_exact_at(disk, file, at, &mut fixed), Ok(true))
        && let Some(entry) = Entry::decode(key, at, &fixed).filter(|entry| fits(at, entry))
    {
        return Step::Entry { at, entry };
    }
    scan(disk, file, key, at, end, fits)
}

fn scan<D: Disk>(
    disk: &D,
    file: &D::File,
    key: &SegmentKey,
    from: u64,
    end: u64,
    fits: impl Fn(u64, &Entry) -> bool,
) -> Step {
    let mut chunk = vec![0; SCAN_CHUNK];
    let mut dirty = false;
    let mut base = from;
    while base < end {
        let want = (end - base).min(SCAN_CHUNK as u64) as usize;
        let have = read_some(disk, file, base, &mut chunk[..want]);
        let Ok(have) = have else {
            // An unreadable sector: go on behind it.
            dirty = true;
            base = (base / 512 + 1) * 512;
            continue;
        };
        if have == 0 {
            break;
        }
        let bytes = &chunk[..have];
        if bytes.chunks(ZEROS.len()).all(|part| *part == ZEROS[..part.len()]) {
            base += have as u64;
            continue;
        }
        dirty = true;
        for (index, window) in bytes.windows(FIXED_LEN).enumerate() {
            if window[..4] != ENTRY_MAGIC {
                continue;
            }
            let mut fixed: Fixed = [0; FIXED_LEN];
            fixed.copy_from_slice(window);
            let at = base + index as u64;
            if let Some(entry) = Entry::decode(key, at, &fixed).filter(|entry| fits(at, entry)) {
                return Step::Entry { at, entry };
            }
        }
        if base + have as u64 >= end {
            break;
        }
        // Headers may lie across the border of two chunks.
        base += if have < FIXED_LEN { have } else { have - (FIXED_LEN - 1) } as u64;
    }
    Step::End { dirty }
}

fn read_some<D: Disk>(disk: &D, file: &D::File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match disk.read_at(file, offset + done as u64, &mut buffer[done..]) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Reads an entry's payload into `payload` and says whether its checksum is right.
pub(crate) fn read_payload<D: Disk>(disk: &D, file: &D::File, at: u64, entry: &Entry, payload: &mut Vec<u8>) -> bool {
    payload.clear();
    payload.resize(entry.len as usize, 0);
    matches!(read_exact_at(disk, file, at + FIXED, payload), Ok(true)) && crc32c::crc32c(payload) == entry.payload_crc
}

/// Reads the footer of a sealed segment; `None` when the file is not sealed, or the footer is damaged.
pub(crate) fn read_footer<D: Disk>(disk: &D, file: &D::File, key: &SegmentKey, len: u64) -> Option<Footer> {
    let at = len.checked_sub(FIXED).filter(|at| *at >= FIXED)?;
    let mut fixed = [0; FIXED_LEN];
    matches!(read_exact_at(disk, file, at, &mut fixed), Ok(true)).then(|| Footer::decode(key, at, &fixed)).flatten()
}
