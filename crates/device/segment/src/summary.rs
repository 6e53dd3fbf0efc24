//! What is kept in memory of one segment.

use crate::format::{Entry, EntryKind, Footer};
use crate::key::FIXED;

/// What is known of a segment without reading it: its size does not depend on the number of records.
#[derive(Debug, Clone, Copy)]
pub struct Segment {
    /// The first sequence, which names the file.
    pub first: u64,
    /// The last sequence; one less than `first` when there is no entry.
    pub last: u64,
    /// Records in the row before this segment.
    pub records_before: u64,
    /// Records in the row up to its end.
    pub records_after: u64,
    /// Entry bytes in the row before this segment.
    pub bytes_before: u64,
    /// Where synced entries end.
    pub data_end: u64,
    /// Allocated bytes of the file.
    pub disk_bytes: u64,
    /// Earliest event time in it, Unix nanoseconds; 0 when not known.
    pub start_ns: u64,
    /// Latest event time in it, Unix nanoseconds; 0 when not known.
    pub end_ns: u64,
    /// Number of entries.
    pub entries: u32,
    /// Whether there are gap records among them.
    pub has_gaps: bool,
}

impl Segment {
    /// A segment without entries.
    pub fn empty(first: u64, records_before: u64, bytes_before: u64, disk_bytes: u64) -> Self {
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

    /// Whether it has no entry.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Entry bytes in the row up to an offset in this segment.
    pub fn bytes_at(&self, offset: u64) -> u64 {
        self.bytes_before + offset.saturating_sub(FIXED)
    }

    /// Its footer, with an index of so many bytes.
    pub fn footer(&self, index_len: u32) -> Footer {
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

    /// Takes over what a sealed segment's footer says.
    pub fn apply_footer(&mut self, footer: &Footer) {
        self.last = footer.last;
        self.records_after = footer.records_after.max(self.records_before);
        self.data_end = u64::from(footer.data_end);
        self.start_ns = footer.start_ns;
        self.end_ns = footer.end_ns;
        self.entries = footer.entries;
        self.has_gaps = footer.has_gaps;
    }

    /// Counts an entry that ends at `data_end`.
    pub fn absorb(&mut self, entry: &Entry, data_end: u64) {
        self.start_ns = earliest(self.start_ns, entry.start_ns);
        self.end_ns = self.end_ns.max(entry.end_ns);
        self.last = entry.last();
        self.records_after = entry.records_after();
        self.data_end = data_end;
        self.entries += 1;
        self.has_gaps |= entry.kind == EntryKind::Gap;
    }
}

/// The earlier of two times, where 0 means not known.
pub fn earliest(one: u64, other: u64) -> u64 {
    match (one, other) {
        (0, time) | (time, 0) => time,
        (one, other) => one.min(other),
    }
}
