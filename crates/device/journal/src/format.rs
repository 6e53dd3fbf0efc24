//! The bytes of segments: header, entries, footer (docs/journal.md). Everything is little-endian and checksummed.

use model::{Epoch, Lane};
use wire::{Gap, GapReason};

use crate::holes::Span;

/// The version that this program writes, and the only one that it reads.
pub(crate) const VERSION: u8 = 0;

/// Bytes of a segment's header, of each entry's header, and of the footer of a sealed segment.
pub(crate) const FIXED_LEN: usize = 64;
/// [`FIXED_LEN`] as a file offset.
pub(crate) const FIXED: u64 = FIXED_LEN as u64;
/// Bytes in front of the block in the payload of [`EntryKind::Gap`].
pub(crate) const GAP_PREFIX_LEN: usize = 64;
/// The most bytes that an entry's payload may have.
pub(crate) const PAYLOAD_CAP: usize = GAP_PREFIX_LEN + wire::BLOCK_HEADER_LEN + wire::BLOCK_CAP;
/// A segment holds no sequence at or beyond its first one plus this, so that the numbers that unreadable bytes may have
/// used are known.
pub(crate) const SEQUENCES_PER_SEGMENT: u64 = 1 << 20;
/// Sequences and sums of records or bytes beyond this are no numbers of a journal, whatever their checksum says. A million a
/// second reach it in two thousand years; below it no sum of two of them overflows.
pub(crate) const MOST: u64 = 1 << 56;

const SEGMENT_MAGIC: [u8; 4] = *b"LSSG";
/// The bytes that every entry starts with; a reader that lost its place looks for them.
pub(crate) const ENTRY_MAGIC: [u8; 4] = *b"LSEN";
const FOOTER_MAGIC: [u8; 4] = *b"LSFT";
const CRC_AT: usize = FIXED_LEN - 4;

pub(crate) type Fixed = [u8; FIXED_LEN];

/// What every checksum of a segment is bound to besides its bytes, so that an entry that is copied elsewhere (or whose
/// bytes are part of some log line) is never taken for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentKey {
    pub(crate) epoch: Epoch,
    pub(crate) row: Row,
    pub(crate) first: u64,
}

/// A row of segments: a lane, or one of the recorder's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Row {
    /// What is to be delivered.
    Lane(Lane),
    /// What came in.
    Recorder,
    /// What was decided of it.
    Decisions,
}

impl Row {
    /// Every row that there can be.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Lane::ALL.into_iter().map(Row::Lane).chain([Row::Recorder, Row::Decisions])
    }

    /// The number that stands in headers and checksums.
    pub(crate) fn number(self) -> u8 {
        match self {
            Row::Lane(lane) => lane.number(),
            Row::Recorder => 16,
            Row::Decisions => 17,
        }
    }

    /// The directory of the row's segments.
    pub(crate) fn dir(self) -> String {
        match self {
            Row::Lane(lane) => lane_dir(lane),
            Row::Recorder => "recorder".into(),
            Row::Decisions => "decisions".into(),
        }
    }
}

impl SegmentKey {
    /// The checksum of bytes at an offset of the segment.
    pub(crate) fn checksum(&self, offset: u64, bytes: &[u8]) -> u32 {
        let crc = crc32c::crc32c(&self.epoch.0.to_le_bytes());
        let crc = crc32c::crc32c_append(crc, &[self.row.number()]);
        let crc = crc32c::crc32c_append(crc, &self.first.to_le_bytes());
        let crc = crc32c::crc32c_append(crc, &offset.to_le_bytes());
        crc32c::crc32c_append(crc, bytes)
    }

    /// Puts the checksum for this place into the last four bytes.
    pub(crate) fn stamp(&self, offset: u64, fixed: &mut [u8]) {
        if let Some(fixed) = fixed.first_chunk_mut::<FIXED_LEN>() {
            let crc = self.checksum(offset, &fixed[..CRC_AT]);
            fixed[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        }
    }

    fn holds(&self, offset: u64, fixed: &Fixed) -> bool {
        Reader::at(fixed, CRC_AT).u32() == self.checksum(offset, &fixed[..CRC_AT])
    }

    /// The segment's path below the data directory.
    pub(crate) fn path(&self) -> String {
        format!("{}/{:016x}.seg", self.row.dir(), self.first)
    }
}

/// The directory of a lane's segments.
pub(crate) fn lane_dir(lane: Lane) -> String {
    format!("lanes/{lane}")
}

/// The first sequence that a segment's file name states.
pub(crate) fn first_of_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    let plain = digits.len() == 16 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    plain.then(|| u64::from_str_radix(digits, 16).ok()).flatten().filter(|first| (1..=MOST).contains(first))
}

/// Appends little-endian fields to a fixed buffer.
pub(crate) struct Writer<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn put(&mut self, field: &[u8]) -> &mut Self {
        self.bytes[self.at..self.at + field.len()].copy_from_slice(field);
        self.at += field.len();
        self
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.put(&value.to_le_bytes())
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.put(&value.to_le_bytes())
    }
}

/// Reads little-endian fields from a buffer that is long enough.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn at(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut field = [0; N];
        field.copy_from_slice(&self.bytes[self.at..self.at + N]);
        self.at += N;
        field
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}

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
pub(crate) struct SegmentHeader {
    /// Records in the lane before this segment, since the epoch began.
    pub(crate) records_before: u64,
    /// Entry bytes in the lane before this segment, since the epoch began.
    pub(crate) bytes_before: u64,
    /// The latest event time committed to the lane before this segment.
    pub(crate) watermark_ns: u64,
}

impl SegmentHeader {
    pub(crate) fn encode(&self, key: &SegmentKey) -> Fixed {
        let mut fixed = [0; FIXED_LEN];
        Writer::new(&mut fixed)
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
        let mut fields = Reader::at(fixed, 24);
        let header = Self { records_before: fields.u64(), bytes_before: fields.u64(), watermark_ns: fields.u64() };
        match header.records_before <= MOST && header.bytes_before <= MOST {
            true => HeaderRead::Good(header),
            false => HeaderRead::Bad,
        }
    }

    /// The epoch that a header of any key states, when it fits the lane and the name.
    pub(crate) fn epoch_of(row: Row, first: u64, fixed: &Fixed) -> Option<Epoch> {
        let key = SegmentKey { epoch: Epoch(Reader::at(fixed, 8).u64()), row, first };
        matches!(Self::decode(&key, fixed), HeaderRead::Good(_)).then_some(key.epoch)
    }
}

/// What an entry's payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryKind {
    /// A block.
    Block,
    /// What was lost ([`GAP_PREFIX_LEN`] bytes), and the block with the one frame that says so to the destinations.
    Gap,
    /// Requests as they came, compressed ([`crate::recording`]).
    Requests,
    /// What was decided at a commit.
    Decisions,
}

/// An entry's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: EntryKind,
    /// Bytes of the payload that follows.
    pub(crate) len: u32,
    /// CRC32C of the payload.
    pub(crate) payload_crc: u32,
    pub(crate) first: u64,
    pub(crate) frames: u32,
    pub(crate) records: u32,
    /// Records in the lane before this entry, since the epoch began.
    pub(crate) records_before: u64,
    pub(crate) start_ns: u64,
    pub(crate) end_ns: u64,
}

impl Entry {
    pub(crate) fn last(&self) -> u64 {
        self.first + u64::from(self.frames) - 1
    }

    /// Header and payload.
    pub(crate) fn total_len(&self) -> u64 {
        FIXED + u64::from(self.len)
    }

    pub(crate) fn records_after(&self) -> u64 {
        self.records_before + u64::from(self.records)
    }

    /// The header's bytes without a checksum; [`SegmentKey::stamp`] puts it when the place is known.
    pub(crate) fn encode(&self) -> Fixed {
        let mut fixed = [0; FIXED_LEN];
        let kind = match self.kind {
            EntryKind::Block => 0,
            EntryKind::Gap => 1,
            EntryKind::Requests => 2,
            EntryKind::Decisions => 3,
        };
        Writer::new(&mut fixed)
            .put(&ENTRY_MAGIC)
            .put(&[kind, 0, 0, 0])
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
        let mut fields = Reader::at(fixed, 8);
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
pub(crate) struct Footer {
    /// Where the entries end.
    pub(crate) data_end: u32,
    pub(crate) entries: u32,
    /// The last sequence; one less than the first when there is no entry.
    pub(crate) last: u64,
    /// Records in the lane after this segment, since the epoch began.
    pub(crate) records_after: u64,
    pub(crate) start_ns: u64,
    pub(crate) end_ns: u64,
    /// Whether there are entries of [`EntryKind::Gap`], which are read at open.
    pub(crate) has_gaps: bool,
    /// Bytes of the index between entries and footer; 0 when there is none.
    pub(crate) index_len: u32,
}

impl Footer {
    pub(crate) fn encode(&self, key: &SegmentKey, offset: u64) -> Fixed {
        let mut fixed = [0; FIXED_LEN];
        Writer::new(&mut fixed)
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
        let mut fields = Reader::at(fixed, 8);
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

/// A gap record with what recovery needs of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LostStretch {
    /// What the destinations are told.
    pub(crate) gap: Gap,
    /// Records in the lane before the stretch and after it.
    pub(crate) before: u64,
    pub(crate) after: u64,
    /// Whether every sequence of it is lost. `false` where the record joins several stretches.
    pub(crate) exact: bool,
}

impl LostStretch {
    pub(crate) fn span(&self) -> Span {
        Span { first: self.gap.first, last: self.gap.last, before: self.before, after: self.after }
    }

    /// The first bytes of the payload of [`EntryKind::Gap`].
    pub(crate) fn encode(&self) -> [u8; GAP_PREFIX_LEN] {
        let mut bytes = [0; GAP_PREFIX_LEN];
        let gap = &self.gap;
        let reason = GapReason::ALL.iter().position(|reason| *reason == gap.reason).unwrap_or_default();
        Writer::new(&mut bytes)
            .u64(gap.first)
            .u64(gap.last)
            .u64(self.before)
            .u64(self.after)
            .u64(gap.records)
            .u64(gap.start_ns)
            .u64(gap.end_ns)
            .put(&[reason as u8, u8::from(self.exact)]);
        bytes
    }

    /// What [`LostStretch::encode`] wrote.
    pub(crate) fn decode(lane: Lane, payload: &[u8]) -> Option<Self> {
        let bytes = payload.first_chunk::<GAP_PREFIX_LEN>()?;
        let reason = *GapReason::ALL.get(usize::from(bytes[56]))?;
        let mut fields = Reader::at(bytes, 0);
        let (first, last) = (fields.u64(), fields.u64());
        let (before, after) = (fields.u64(), fields.u64());
        let gap =
            Gap { lane, first, last, reason, records: fields.u64(), start_ns: fields.u64(), end_ns: fields.u64() };
        let sane =
            first > 0 && first <= last && [last, before, after, gap.records].iter().all(|most| *most <= 2 * MOST);
        sane.then_some(Self { gap, before, after, exact: bytes[57] == 1 })
    }
}

#[cfg(test)]
mod tests {
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

    /// Scenario: names of files. Guarantees: only the journal's own names are taken.
    #[test]
    fn names() {
        assert_eq!(first_of_name("000000000000002a.seg"), Some(42));
        assert_eq!(first_of_name(KEY.path().rsplit('/').next().unwrap()), Some(5));
        for name in
            ["2a.seg", "000000000000002A.seg", "000000000000002a", "0000000000000000.seg", "+00000000000002a.seg"]
        {
            assert_eq!(first_of_name(name), None, "{name}");
        }
    }

    /// Scenario: a gap's prefix. Guarantees: recovery knows the stretch again.
    #[test]
    fn gaps_survive() {
        let gap =
            Gap { lane: Lane::Logs, first: 3, last: 8, reason: GapReason::Corrupt, records: 4, start_ns: 5, end_ns: 6 };
        for exact in [true, false] {
            let lost = LostStretch { gap, before: 40, after: 44, exact };
            assert_eq!(LostStretch::decode(Lane::Logs, &lost.encode()), Some(lost));
        }
        assert_eq!(LostStretch::decode(Lane::Logs, &[0; 63]), None);
    }
}
