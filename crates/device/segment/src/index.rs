//! The index of a sealed segment, between its entries and its footer: which groups of entries hold which times, trace ids
//! and strings (docs/journal.md, "Index").

use disk::{Disk, read_exact_at};
use model::TraceId;
use wire::{Inflater, RawBlock, Token};

use crate::fields::{FieldReader, FieldWriter};
use crate::file::{SegmentFile, Step};
use crate::format::{EntryKind, Footer};
use crate::key::{FIXED, SegmentKey, VERSION};
use crate::summary::Segment;

const MAGIC: [u8; 4] = *b"LSIX";
pub(crate) const HEAD_LEN: usize = 24;
pub(crate) const GROUP_LEN: usize = 24;
/// Bytes of the checksum behind the table of groups.
const TABLE_CRC: usize = 4;
/// Bytes of a line of the filter, its checksum included.
pub(crate) const LINE_LEN: usize = 128;
const LINE_BITS: u64 = (LINE_LEN as u64 - 4) * 8;
/// A group of entries ends when it has so many bytes.
const GROUP_BYTES: u64 = 8 << 10;
/// Bits of the filter for each pair of token and group: one pair in a thousand is found that is not there.
const PAIR_BITS: u64 = 16;
/// Fewer bits than this are of no use.
const MIN_PAIR_BITS: u64 = 6;
const PROBES: u64 = 6;
/// Longer strings are not indexed.
const TEXT_CAP: usize = 64;
/// Pairs that building may hold in memory, 8 bytes each.
const PAIRS_CAP: usize = 32 << 10;
/// Stands for all groups: a string that most of them have takes one pair.
const EVERY_GROUP: u64 = 0xffff;
const STRINGS: u32 = 1;
const TRACES: u32 = 2;

/// The part of a segment's size that is set aside for its index.
pub fn reserve(capacity: u64) -> u64 {
    capacity / 16
}

/// A row of the index: entries next to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) offset: u32,
    /// Event times; 0 when there are entries whose times are not known.
    pub(crate) start_ns: u64,
    pub(crate) end_ns: u64,
}

/// A token as the filter knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    hash: u64,
    trace: bool,
}

impl Key {
    pub(crate) fn trace(id: &TraceId) -> Self {
        Self { hash: hash(1, &id.0), trace: true }
    }

    /// `None` for texts that no index holds.
    pub(crate) fn text(text: &[u8]) -> Option<Self> {
        (text.len() <= TEXT_CAP).then(|| Self { hash: hash(2, text), trace: false })
    }
}

/// FNV-1a over the kind and the bytes, finished as in SplitMix64; the lowest 16 bits make room for the group.
fn hash(kind: u8, bytes: &[u8]) -> u64 {
    let start = (0xcbf2_9ce4_8422_2325 ^ u64::from(kind)).wrapping_mul(0x0100_0000_01b3);
    let fnv = bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    mix(fnv) & !0xffff
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

fn line_of(hash: u64, lines: u32) -> u32 {
    (((hash >> 32) * u64::from(lines)) >> 32) as u32
}

/// The bits of a pair in its line.
fn probes(hash: u64, group: u64) -> impl Iterator<Item = usize> {
    let bits = mix(hash | group);
    let (start, step) = (bits & 0xffff_ffff, bits >> 32 | 1);
    (0..PROBES).map(move |probe| ((start + probe * step) % LINE_BITS) as usize)
}

/// Reads a segment's entries back and builds the index that follows them, of at most `room` bytes. `None` when there is no
/// room even for a small one; the segment is then read without.
pub(crate) fn build<D: Disk>(disk: &D, file: &SegmentFile<D::File>, segment: &Segment, room: u64) -> Option<Vec<u8>> {
    let mut groups: Vec<Group> = Vec::new();
    let mut traces: Vec<u64> = Vec::new();
    let mut texts: Vec<u64> = Vec::new();
    let (mut payload, mut inflater) = (Vec::new(), Inflater::new());
    let mut flags = STRINGS | TRACES;
    let mut at = FIXED;
    while let Step::Entry { at: found, entry } = file.next_entry(disk, at, segment.data_end) {
        at = found + entry.total_len();
        let full = groups.len() >= EVERY_GROUP as usize;
        match groups.last_mut() {
            Some(group) if full || found - u64::from(group.offset) < GROUP_BYTES => {
                let known = group.start_ns != 0 && entry.start_ns != 0;
                group.start_ns = if known { group.start_ns.min(entry.start_ns) } else { 0 };
                group.end_ns = group.end_ns.max(entry.end_ns);
            }
            _ => groups.push(Group { offset: found as u32, start_ns: entry.start_ns, end_ns: entry.end_ns }),
        }
        let group = groups.len() as u64 - 1;
        if entry.kind != EntryKind::Block || !file.read_payload(disk, found, &entry, &mut payload) {
            continue;
        }
        let read = each_token(&payload, &mut inflater, |token| match token {
            Token::Trace(id) => traces.push(hash(1, id) | group),
            Token::Text(text) if text.len() <= TEXT_CAP => texts.push(hash(2, text) | group),
            Token::Text(_) => {}
        });
        if !read {
            // Frames of a kind that is not known here: nothing may be ruled out.
            flags = 0;
        }
        for (pairs, flag) in [(&mut traces, TRACES), (&mut texts, STRINGS)] {
            pairs.sort_unstable();
            pairs.dedup();
            if pairs.len() > PAIRS_CAP {
                *pairs = Vec::new();
                flags &= !flag;
            }
            if flags & flag == 0 {
                pairs.clear();
            }
        }
    }
    drop((payload, inflater));
    texts = join_common(&texts, groups.len());
    let lines_room = room.checked_sub(table_end(groups.len()) as u64)? / LINE_LEN as u64;
    let most = lines_room * LINE_BITS;
    if (traces.len() + texts.len()) as u64 * PAIR_BITS > most {
        texts.clear();
        flags &= !STRINGS;
    }
    if traces.len() as u64 * MIN_PAIR_BITS > most {
        traces.clear();
        flags &= !TRACES;
    }
    let pairs = (traces.len() + texts.len()) as u64;
    let lines = (pairs * PAIR_BITS).div_ceil(LINE_BITS).min(lines_room) as u32;
    Some(write(file.key(), segment.data_end, flags, &groups, lines, traces.iter().chain(&texts)))
}

/// Calls `each` with the tokens of a block; `false` when it cannot be read.
fn each_token(block: &[u8], inflater: &mut Inflater, mut each: impl FnMut(Token<'_>)) -> bool {
    let Ok((block, _)) = RawBlock::parse(block) else { return false };
    let Ok(frames) = block.frames(inflater) else { return false };
    let mut whole = true;
    for (_, frame) in frames {
        whole &= wire::each_token(frame, &mut each).is_ok();
    }
    whole
}

/// Pairs of one text in more than half of all groups become one that stands for every group.
fn join_common(texts: &[u64], groups: usize) -> Vec<u64> {
    let mut joined = Vec::with_capacity(texts.len());
    for run in texts.chunk_by(|one, other| one >> 16 == other >> 16) {
        match run {
            [first, ..] if groups >= 4 && run.len() * 2 > groups => joined.push(first | EVERY_GROUP),
            _ => joined.extend_from_slice(run),
        }
    }
    joined
}

fn write<'a>(
    key: &SegmentKey,
    offset: u64,
    flags: u32,
    groups: &[Group],
    lines: u32,
    pairs: impl Iterator<Item = &'a u64>,
) -> Vec<u8> {
    let table = table_end(groups.len());
    let mut bytes = vec![0; table + lines as usize * LINE_LEN];
    let mut fields = FieldWriter::new(&mut bytes);
    fields.put(&MAGIC).put(&[VERSION, 0, 0, 0]).u32(groups.len() as u32).u32(lines).u32(flags).u32(0);
    for group in groups {
        fields.u32(group.offset).u32(0).u64(group.start_ns).u64(group.end_ns);
    }
    for pair in pairs {
        let line = table + line_of(*pair & !0xffff, lines) as usize * LINE_LEN;
        for bit in probes(pair & !0xffff, pair & 0xffff) {
            if let Some(byte) = bytes.get_mut(line + bit / 8) {
                *byte |= 1 << (bit % 8);
            }
        }
    }
    stamp(key, offset, 0, &mut bytes[..HEAD_LEN]);
    stamp(key, offset, HEAD_LEN, &mut bytes[HEAD_LEN..table]);
    let mut at = table;
    while at < bytes.len() {
        let end = at + LINE_LEN;
        stamp(key, offset, at, &mut bytes[at..end]);
        at = end;
    }
    bytes
}

/// Where the lines of the filter begin.
fn table_end(groups: usize) -> usize {
    HEAD_LEN + groups * GROUP_LEN + TABLE_CRC
}

/// Puts the checksum of a part, `at` bytes behind the index's begin, into its last four bytes.
fn stamp(key: &SegmentKey, offset: u64, at: usize, part: &mut [u8]) {
    if let Some((content, crc)) = part.split_last_chunk_mut::<4>() {
        *crc = key.checksum(offset + at as u64, content).to_le_bytes();
    }
}

fn is_right(key: &SegmentKey, offset: u64, part: &[u8]) -> bool {
    part.split_last_chunk::<4>().is_some_and(|(content, crc)| *crc == key.checksum(offset, content).to_le_bytes())
}

/// An index as read: its head. Table and lines are read when they are asked for.
#[derive(Debug)]
pub(crate) struct Index {
    groups: usize,
    lines: u32,
    flags: u32,
    at: u64,
}

impl Index {
    /// Reads the head behind a sealed segment's entries; `None` when there is none or it is damaged. Adds what was read to
    /// `read`.
    pub(crate) fn read<D: Disk>(
        disk: &D,
        file: &SegmentFile<D::File>,
        footer: &Footer,
        read: &mut u64,
    ) -> Option<Self> {
        let at = u64::from(footer.data_end);
        let room = footer.index_len as usize;
        let mut bytes = [0; HEAD_LEN];
        *read += HEAD_LEN as u64;
        let whole = room >= HEAD_LEN && matches!(read_exact_at(disk, file.file(), at, &mut bytes), Ok(true));
        if !whole || !is_right(file.key(), at, &bytes) || bytes[..4] != MAGIC || bytes[4] != VERSION {
            return None;
        }
        let mut fields = FieldReader::at(&bytes, 8);
        let (groups, lines, flags) = (fields.u32(), fields.u32(), fields.u32());
        let groups = usize::try_from(groups).ok().filter(|groups| *groups <= EVERY_GROUP as usize)?;
        let len = table_end(groups).checked_add(usize::try_from(lines).ok()?.checked_mul(LINE_LEN)?)?;
        (len == room).then_some(Self { groups, lines, flags, at })
    }

    /// Number of groups.
    pub(crate) fn len(&self) -> usize {
        self.groups
    }

    /// Reads the table of groups; `None` when it is damaged.
    pub(crate) fn table<D: Disk>(&self, disk: &D, file: &SegmentFile<D::File>, read: &mut u64) -> Option<Vec<Group>> {
        let mut bytes = vec![0; table_end(self.groups) - HEAD_LEN];
        let at = self.at + HEAD_LEN as u64;
        *read += bytes.len() as u64;
        let right =
            matches!(read_exact_at(disk, file.file(), at, &mut bytes), Ok(true)) && is_right(file.key(), at, &bytes);
        right.then(|| {
            let rows = bytes.chunks_exact(GROUP_LEN).take(self.groups);
            let group = |row: &[u8]| {
                let (mut head, mut times) = (FieldReader::at(row, 0), FieldReader::at(row, 8));
                Group { offset: head.u32(), start_ns: times.u64(), end_ns: times.u64() }
            };
            rows.map(group).collect()
        })
    }

    /// Takes out of `wanted` (one flag for each group) the groups that surely do not hold the token.
    pub(crate) fn narrow<D: Disk>(
        &self,
        disk: &D,
        file: &SegmentFile<D::File>,
        token: &Key,
        wanted: &mut [bool],
        read: &mut u64,
    ) {
        let indexed = if token.trace { TRACES } else { STRINGS };
        if self.flags & indexed == 0 {
            return;
        }
        let mut line = [0; LINE_LEN];
        if self.lines > 0 {
            *read += LINE_LEN as u64;
            if !self.read_line(disk, file, line_of(token.hash, self.lines), &mut line) {
                // Damaged: nothing may be ruled out.
                return;
            }
        }
        let has = |group: u64| probes(token.hash, group).all(|bit| line[bit / 8] & 1 << (bit % 8) != 0);
        if !token.trace && has(EVERY_GROUP) {
            return;
        }
        for (group, wanted) in wanted.iter_mut().enumerate() {
            *wanted = *wanted && has(group as u64);
        }
    }

    fn read_line<D: Disk>(&self, disk: &D, file: &SegmentFile<D::File>, number: u32, line: &mut [u8]) -> bool {
        let at = self.at + table_end(self.groups) as u64 + u64::from(number) * LINE_LEN as u64;
        matches!(read_exact_at(disk, file.file(), at, line), Ok(true)) && is_right(file.key(), at, line)
    }

    /// Whether table and filter are as they were written.
    pub(crate) fn is_whole<D: Disk>(&self, disk: &D, file: &SegmentFile<D::File>) -> bool {
        let mut line = [0; LINE_LEN];
        self.table(disk, file, &mut 0).is_some()
            && (0..self.lines).all(|number| self.read_line(disk, file, number, &mut line))
    }
}
