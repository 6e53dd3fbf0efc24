//! The fixed parts of a segment: header, entries, footer (docs/journal.md). Everything is little-endian and checksummed.

use model::{Epoch, Signals};

use crate::fields::{FieldReader, FieldWriter};
use crate::key::{FIXED, FIXED_LEN, Fixed, MOST, Row, SegmentKey, VERSION};

/// Bytes in front of the block in the payload of [`EntryKind::Gap`].
pub const GAP_PREFIX_LEN: usize = 64;
/// The most bytes that an entry's payload may have.
pub const PAYLOAD_CAP: usize = GAP_PREFIX_LEN + wire::BLOCK_HEADER_LEN + wire::BLOCK_CAP;
/// A segment holds no sequence at or beyond its first one plus this, so that the numbers that unreadable bytes may have
/// used are known.
pub const SEQUENCES_PER_SEGMENT: u64 = 1 << 20;
const SEGMENT_MAGIC: [u8; 4] = *b"LSSG";
/// The bytes that every entry starts with; a reader that lost its place looks for them.
pub(crate) const ENTRY_MAGIC: [u8; 4] = *b"LSEN";
const FOOTER_MAGIC: [u8; 4] = *b"LSFT";

/// What a file's first bytes say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeaderRead {
    /// A header of this program's version with a right checksum.
    Good(SegmentHeader),
    /// A header that says another version: the file is not touched.
    Version(u8),
    /// Damaged, or never written.
    Bad,
}

/// The start of a segment: the lane's totals before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Records in the lane before this segment, since the epoch began.
    pub records_before: u64,
    /// Entry bytes in the lane before this segment, since the epoch began.
    pub bytes_before: u64,
    /// The latest event time committed to the lane before this segment.
    pub watermark_ns: u64,
}

impl SegmentHeader {
    /// Its bytes, with the checksum.
    pub fn encode(&self, key: &SegmentKey) -> [u8; FIXED_LEN] {
        let mut fixed = [0; FIXED_LEN];
        FieldWriter::new(&mut fixed)
            .put(&SEGMENT_MAGIC)
            .put(&[VERSION, key.row.number(), 0, 0])
            .u64(key.epoch.0)
            .u64(key.first)
            .u64(self.records_before)
            .u64(self.bytes_before)
            .u64(self.watermark_ns);
        key.stamp(0, &mut fixed);
        fixed
    }

    pub(crate) fn decode(key: &SegmentKey, fixed: &Fixed) -> HeaderRead {
        // Every version keeps magic, version byte and this checksum, so that damage is told from a later version.
        if fixed[..4] != SEGMENT_MAGIC || !key.holds(0, fixed) {
            return HeaderRead::Bad;
        }
        if fixed[4] != VERSION {
            return HeaderRead::Version(fixed[4]);
        }
        let mut fields = FieldReader::at(fixed, 24);
        let header = Self { records_before: fields.u64(), bytes_before: fields.u64(), watermark_ns: fields.u64() };
        match header.records_before <= MOST && header.bytes_before <= MOST {
            true => HeaderRead::Good(header),
            false => HeaderRead::Bad,
        }
    }

    /// The epoch that a header of any key states, when it fits the lane and the name.
    pub(crate) fn epoch_of(row: Row, first: u64, fixed: &Fixed) -> Option<Epoch> {
        let key = SegmentKey { epoch: Epoch(FieldReader::at(fixed, 8).u64()), row, first };
        matches!(Self::decode(&key, fixed), HeaderRead::Good(_)).then_some(key.epoch)
    }
}

/// What an entry's payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A block.
    Block,
    /// What was lost ([`GAP_PREFIX_LEN`] bytes), and the block with the one frame that says so to the destinations.
    Gap,
    /// Requests as they came, compressed.
    Requests,
    /// What was decided at a commit.
    Decisions,
}

/// An entry's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// What its payload is.
    pub kind: EntryKind,
    /// Bytes of the payload that follows.
    pub len: u32,
    /// CRC32C of the payload.
    pub payload_crc: u32,
    /// First sequence in it.
    pub first: u64,
    /// Sequences in it: frames of a lane, requests of the recorder.
    pub frames: u32,
    /// Records in it.
    pub records: u32,
    /// Records in the lane before this entry, since the epoch began.
    pub records_before: u64,
    /// Earliest event time in it, Unix nanoseconds; 0 when not known.
    pub start_ns: u64,
    /// Latest event time in it, Unix nanoseconds; 0 when not known.
    pub end_ns: u64,
    /// The signals of its records; `None` when not known: the writer did not say.
    pub signals: Option<Signals>,
}

/// Says that the other bits of its byte tell the signals.
const SIGNALS_KNOWN: u8 = 0x80;

impl Entry {
    /// Last sequence in it, inclusive.
    pub fn last(&self) -> u64 {
        self.first + u64::from(self.frames) - 1
    }

    /// Header and payload.
    pub fn total_len(&self) -> u64 {
        FIXED + u64::from(self.len)
    }

    /// Records in the row up to its end.
    pub fn records_after(&self) -> u64 {
        self.records_before + u64::from(self.records)
    }

    /// The header's bytes without a checksum; [`SegmentKey::stamp`] puts it when the place is known.
    pub fn encode(&self) -> [u8; FIXED_LEN] {
        let mut fixed = [0; FIXED_LEN];
        let kind = match self.kind {
            EntryKind::Block => 0,
            EntryKind::Gap => 1,
            EntryKind::Requests => 2,
            EntryKind::Decisions => 3,
        };
        FieldWriter::new(&mut fixed)
            .put(&ENTRY_MAGIC)
            .put(&[kind, self.signals.map_or(0, |signals| SIGNALS_KNOWN | signals.bits()), 0, 0])
            .u32(self.len)
            .u32(self.payload_crc)
            .u64(self.first)
            .u32(self.frames)
            .u32(self.records)
            .u64(self.records_before)
            .u64(self.start_ns)
            .u64(self.end_ns);
        fixed
    }

    pub(crate) fn decode(key: &SegmentKey, offset: u64, fixed: &Fixed) -> Option<Self> {
        if fixed[..4] != ENTRY_MAGIC || !key.holds(offset, fixed) {
            return None;
        }
        let kind = match fixed[4] {
            0 => EntryKind::Block,
            1 => EntryKind::Gap,
            2 => EntryKind::Requests,
            3 => EntryKind::Decisions,
            _ => return None,
        };
        let mut fields = FieldReader::at(fixed, 8);
        let entry = Self {
            kind,
            len: fields.u32(),
            payload_crc: fields.u32(),
            first: fields.u64(),
            frames: fields.u32(),
            records: fields.u32(),
            records_before: fields.u64(),
            start_ns: fields.u64(),
            end_ns: fields.u64(),
            signals: (fixed[5] & SIGNALS_KNOWN != 0).then(|| Signals::from_bits(fixed[5])),
        };
        let sane = entry.first >= key.first
            && entry.frames > 0
            && entry.len as usize <= PAYLOAD_CAP
            && entry.first <= MOST
            && entry.records_before <= MOST;
        sane.then_some(entry)
    }
}

/// The end of a sealed segment, its last [`FIXED_LEN`] bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footer {
    /// Where the entries end.
    pub data_end: u32,
    /// Number of entries.
    pub entries: u32,
    /// The last sequence; one less than the first when there is no entry.
    pub last: u64,
    /// Records in the lane after this segment, since the epoch began.
    pub records_after: u64,
    /// Earliest event time in it, Unix nanoseconds; 0 when not known.
    pub start_ns: u64,
    /// Latest event time in it, Unix nanoseconds; 0 when not known.
    pub end_ns: u64,
    /// Whether there are entries of [`EntryKind::Gap`], which are read at open.
    pub has_gaps: bool,
    /// Bytes of the index between entries and footer; 0 when there is none.
    pub index_len: u32,
}

impl Footer {
    /// Its bytes at an offset of the file, with the checksum.
    pub fn encode(&self, key: &SegmentKey, offset: u64) -> [u8; FIXED_LEN] {
        let mut fixed = [0; FIXED_LEN];
        FieldWriter::new(&mut fixed)
            .put(&FOOTER_MAGIC)
            .put(&[VERSION, u8::from(self.has_gaps), 0, 0])
            .u32(self.data_end)
            .u32(self.entries)
            .u64(self.last)
            .u64(self.records_after)
            .u64(self.start_ns)
            .u64(self.end_ns)
            .u32(self.index_len);
        key.stamp(offset, &mut fixed);
        fixed
    }

    pub(crate) fn decode(key: &SegmentKey, offset: u64, fixed: &Fixed) -> Option<Self> {
        if fixed[..4] != FOOTER_MAGIC || fixed[4] != VERSION || !key.holds(offset, fixed) {
            return None;
        }
        let mut fields = FieldReader::at(fixed, 8);
        let footer = Self {
            data_end: fields.u32(),
            entries: fields.u32(),
            last: fields.u64(),
            records_after: fields.u64(),
            start_ns: fields.u64(),
            end_ns: fields.u64(),
            index_len: fields.u32(),
            has_gaps: fixed[5] & 1 != 0,
        };
        let sane = u64::from(footer.data_end) + u64::from(footer.index_len) == offset
            && u64::from(footer.data_end) >= FIXED
            && (key.first - 1..=2 * MOST).contains(&footer.last)
            && footer.records_after <= 2 * MOST;
        sane.then_some(footer)
    }
}

#[cfg(test)]
mod tests {
    use model::{Lane, Signal};

    use super::*;

    const KEY: SegmentKey = SegmentKey { epoch: Epoch(9), row: Row::Lane(Lane::Traces), first: 5 };

    /// Scenario: header, entry and footer written, read back, and with each bit flipped. Guarantees: what is read is what
    /// was written, or nothing.
    #[test]
    fn every_flip_in_the_fixed_parts_is_found() {
        let header = SegmentHeader { records_before: 1, bytes_before: 2, watermark_ns: 3 };
        let entry = Entry {
            kind: EntryKind::Gap,
            len: 100,
            payload_crc: 7,
            first: 6,
            frames: 2,
            records: 9,
            records_before: 11,
            start_ns: 12,
            end_ns: 13,
            signals: Some(Signals::of(Signal::Logs)),
        };
        let footer = Footer {
            data_end: 400,
            index_len: 0,
            entries: 2,
            last: 9,
            records_after: 30,
            start_ns: 12,
            end_ns: 13,
            has_gaps: true,
        };
        let header_bytes = header.encode(&KEY);
        let mut entry_bytes = entry.encode();
        KEY.stamp(64, &mut entry_bytes);
        let footer_bytes = footer.encode(&KEY, 400);
        assert_eq!(SegmentHeader::decode(&KEY, &header_bytes), HeaderRead::Good(header));
        assert_eq!(SegmentHeader::epoch_of(Row::Lane(Lane::Traces), 5, &header_bytes), Some(Epoch(9)));
        assert_eq!(Entry::decode(&KEY, 64, &entry_bytes), Some(entry));
        assert_eq!(Footer::decode(&KEY, 400, &footer_bytes), Some(footer));
        assert_eq!(Entry::decode(&KEY, 65, &entry_bytes), None, "bound to its place");
        for index in 0..FIXED_LEN {
            for bit in 0..8 {
                let flip = |bytes: &Fixed| {
                    let mut bad = *bytes;
                    bad[index] ^= 1 << bit;
                    bad
                };
                assert_eq!(SegmentHeader::decode(&KEY, &flip(&header_bytes)), HeaderRead::Bad, "{index}");
                assert_eq!(Entry::decode(&KEY, 64, &flip(&entry_bytes)), None, "{index}");
                assert_eq!(Footer::decode(&KEY, 400, &flip(&footer_bytes)), None, "{index}");
            }
        }
    }

    /// Scenario: a header of a later version. Guarantees: it is refused, not repaired.
    #[test]
    fn a_later_version_is_told_from_damage() {
        let mut later = SegmentHeader { records_before: 1, bytes_before: 2, watermark_ns: 3 }.encode(&KEY);
        later[4] = 3;
        KEY.stamp(0, &mut later);
        assert_eq!(SegmentHeader::decode(&KEY, &later), HeaderRead::Version(3));
    }
}
