//! The tables of a frame that columns point into: texts, ids, and other byte strings.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use minicbor::{Decoder, Encoder};

use crate::cbor;
use crate::error::FrameError;
use crate::int_column::{self, IntReader};

/// Byte strings in order of first appearance.
#[derive(Default)]
struct Table {
    bytes: Vec<u8>,
    lengths: Vec<u64>,
    /// Where each entry ends in `bytes`.
    ends: Vec<usize>,
    /// Positions by the hash of what stands there: a large text stands here once, not twice. A table lives as long as its frame,
    /// whose size is bounded, and its hash has a key of its own.
    known: HashTable<u32>,
    hasher: RandomState,
}

fn entry<'t>(bytes: &'t [u8], ends: &[usize], position: u32) -> &'t [u8] {
    let position = position as usize;
    let start = position.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
    ends.get(position).and_then(|end| bytes.get(start..*end)).unwrap_or_default()
}

impl Table {
    /// The position of `value`, which is added when new.
    fn position(&mut self, value: &[u8]) -> u64 {
        let Self { bytes, ends, known, hasher, .. } = self;
        let hash = |value: &[u8]| hasher.hash_one(value);
        let own = hash(value);
        if let Some(position) = known.find(own, |position| entry(bytes, ends, *position) == value) {
            return u64::from(*position);
        }
        let position = ends.len() as u32;
        if ends.len() == known.capacity() {
            // By four: moving what is there costs more than the few bytes that stay empty.
            known.reserve(3 * ends.len().max(16), |position| hash(entry(bytes, ends, *position)));
            ends.reserve(known.capacity() - ends.len());
            self.lengths.reserve(known.capacity() - self.lengths.len());
            bytes.reserve(3 * bytes.len());
        }
        known.insert_unique(own, position, |position| hash(entry(bytes, ends, *position)));
        self.lengths.push(value.len() as u64);
        self.bytes.extend_from_slice(value);
        self.ends.push(self.bytes.len());
        u64::from(position)
    }

    fn put(&self, out: &mut Encoder<&mut Vec<u8>>) {
        cbor::array(out, 3);
        cbor::uint(out, self.lengths.len() as u64);
        int_column::put(out, &self.lengths);
        cbor::bytes(out, &self.bytes);
    }
}

/// The tables while a frame is written. An index of 0 always means "empty".
#[derive(Default)]
pub(crate) struct Dictionary {
    strings: Table,
    ids16: Table,
    ids8: Table,
    blobs: Table,
    /// Texts that were not UTF-8, each counted once.
    pub(crate) invalid_utf8: u64,
}

impl Dictionary {
    /// Index of a text: position + 1.
    pub(crate) fn string(&mut self, text: &[u8]) -> u64 {
        if text.is_empty() {
            return 0;
        }
        let known = self.strings.lengths.len();
        let position = self.strings.position(text);
        if position == known as u64 && std::str::from_utf8(text).is_err() {
            self.invalid_utf8 += 1;
        }
        position + 1
    }

    /// Index of bytes: position + 1.
    pub(crate) fn blob(&mut self, bytes: &[u8]) -> u64 {
        if bytes.is_empty() { 0 } else { self.blobs.position(bytes) + 1 }
    }

    /// Index of an id that should have 16 bytes: odd in the id table, even in the blob table.
    pub(crate) fn id16(&mut self, id: &[u8]) -> u64 {
        match id.len() {
            0 => 0,
            16 => self.ids16.position(id) * 2 + 1,
            _ => self.blobs.position(id) * 2 + 2,
        }
    }

    /// Index of an id that should have 8 bytes: odd in the id table, even in the blob table.
    pub(crate) fn id8(&mut self, id: &[u8]) -> u64 {
        match id.len() {
            0 => 0,
            8 => self.ids8.position(id) * 2 + 1,
            _ => self.blobs.position(id) * 2 + 2,
        }
    }

    /// Appends the four tables.
    pub(crate) fn put(&self, out: &mut Encoder<&mut Vec<u8>>) {
        self.strings.put(out);
        cbor::bytes(out, &self.ids16.bytes);
        cbor::bytes(out, &self.ids8.bytes);
        self.blobs.put(out);
    }
}

struct TableReader<'b> {
    bytes: &'b [u8],
    ends: Vec<u32>,
}

impl<'b> TableReader<'b> {
    fn read(decoder: &mut Decoder<'b>) -> Result<Self, FrameError> {
        cbor::expect_array(decoder, 3)?;
        let count = decoder.u64()?;
        let mut lengths = IntReader::read(decoder)?;
        let bytes = decoder.bytes()?;
        // No entry is empty, so there are at most as many as bytes: a forged count cannot make us allocate more.
        if count > bytes.len() as u64 {
            return Err(FrameError::Corrupt("a table has more entries than bytes"));
        }
        let mut ends = Vec::with_capacity(count as usize);
        let mut end = 0u64;
        for _ in 0..count {
            end = end.saturating_add(lengths.next()?);
            if end > bytes.len() as u64 {
                return Err(FrameError::Corrupt("a table entry ends beyond the table"));
            }
            ends.push(end as u32);
        }
        lengths.finish()?;
        if end != bytes.len() as u64 {
            return Err(FrameError::Corrupt("a table has bytes beyond its entries"));
        }
        Ok(Self { bytes, ends })
    }

    fn get(&self, position: u64) -> Result<&'b [u8], FrameError> {
        let position = usize::try_from(position).map_err(|_| NO_ENTRY)?;
        let end = *self.ends.get(position).ok_or(NO_ENTRY)? as usize;
        let start = position.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0) as usize;
        self.bytes.get(start..end).ok_or(NO_ENTRY)
    }
}

const NO_ENTRY: FrameError = FrameError::Corrupt("an index points beyond its table");

/// The tables while a frame is read.
pub(crate) struct DictionaryReader<'b> {
    strings: TableReader<'b>,
    ids16: &'b [u8],
    ids8: &'b [u8],
    blobs: TableReader<'b>,
}

impl<'b> DictionaryReader<'b> {
    pub(crate) fn read(decoder: &mut Decoder<'b>) -> Result<Self, FrameError> {
        let strings = TableReader::read(decoder)?;
        let (ids16, ids8) = (decoder.bytes()?, decoder.bytes()?);
        Ok(Self { strings, ids16, ids8, blobs: TableReader::read(decoder)? })
    }

    /// Every string of the frame, once.
    pub(crate) fn strings(&self) -> impl Iterator<Item = &'b [u8]> {
        (0..self.strings.ends.len() as u64).filter_map(|position| self.strings.get(position).ok())
    }

    /// Every 16-byte id of the frame, once.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &'b [u8; 16]> {
        self.ids16.as_chunks::<16>().0.iter()
    }

    pub(crate) fn string(&self, index: u64) -> Result<&'b [u8], FrameError> {
        index.checked_sub(1).map_or(Ok(&[]), |position| self.strings.get(position))
    }

    pub(crate) fn blob(&self, index: u64) -> Result<&'b [u8], FrameError> {
        index.checked_sub(1).map_or(Ok(&[]), |position| self.blobs.get(position))
    }

    pub(crate) fn id16(&self, index: u64) -> Result<&'b [u8], FrameError> {
        self.id(index, self.ids16, 16)
    }

    pub(crate) fn id8(&self, index: u64) -> Result<&'b [u8], FrameError> {
        self.id(index, self.ids8, 8)
    }

    fn id(&self, index: u64, table: &'b [u8], length: usize) -> Result<&'b [u8], FrameError> {
        let Some(below) = index.checked_sub(1) else { return Ok(&[]) };
        if below % 2 == 1 {
            return self.blobs.get(below / 2);
        }
        let start =
            usize::try_from(below / 2).ok().and_then(|position| position.checked_mul(length)).ok_or(NO_ENTRY)?;
        start.checked_add(length).and_then(|end| table.get(start..end)).ok_or(NO_ENTRY)
    }
}
