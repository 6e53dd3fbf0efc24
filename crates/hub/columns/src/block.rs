//! Checksummed, compressed pieces of a file.

use crate::Damaged;
use crate::bytes::{Cursor, put_varint};

/// Bytes of a pack, by place.
pub trait Source {
    /// What goes wrong with reading, damage included.
    type Error: From<Damaged>;

    /// Reads `len` bytes from `offset`.
    ///
    /// # Errors
    /// When they cannot be read, or the file ends before them.
    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, Self::Error>;
}

impl Source for [u8] {
    type Error = Damaged;

    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, Damaged> {
        let outside = Damaged("a place outside the file");
        let from = usize::try_from(offset).map_err(|_| outside)?;
        Ok(self.get(from..from.saturating_add(len)).ok_or(outside)?.to_vec())
    }
}

/// Compressed content is at most this many times its bytes; what would be more is not compressed.
const MOST_TIMES: u64 = 250;
const LEVEL: i32 = 6;

/// Where a block lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) offset: u64,
    len: u32,
    raw_len: u32,
    crc: u32,
}

impl Block {
    /// Appends `raw` as a block to `out`, which will lie at `offset` of the file.
    pub(crate) fn put(out: &mut Vec<u8>, offset: u64, raw: &[u8]) -> Self {
        let at = offset + out.len() as u64;
        let packed = zstd::bulk::compress(raw, LEVEL).ok();
        let fits = |packed: &Vec<u8>| packed.len() < raw.len() && raw.len() as u64 / MOST_TIMES < packed.len() as u64;
        let stored = packed.as_deref().filter(|packed| fits(&packed.to_vec())).unwrap_or(raw);
        out.extend_from_slice(stored);
        Self { offset: at, len: stored.len() as u32, raw_len: raw.len() as u32, crc: crc32c::crc32c(stored) }
    }

    pub(crate) fn describe(&self, out: &mut Vec<u8>) {
        for number in [self.offset, u64::from(self.len), u64::from(self.raw_len)] {
            put_varint(out, number);
        }
        out.extend_from_slice(&self.crc.to_le_bytes());
    }

    /// Reads where a block lies in a file of `file_len` bytes.
    pub(crate) fn parse(cursor: &mut Cursor<'_>, file_len: u64) -> Result<Self, Damaged> {
        let wrong = Damaged("a block does not fit its file");
        let (offset, len, raw_len) = (cursor.varint()?, cursor.varint()?, cursor.varint()?);
        let crc = u32::from_le_bytes(cursor.array()?);
        let is_inside = offset.checked_add(len).is_some_and(|end| end <= file_len);
        if !is_inside || raw_len / MOST_TIMES > len {
            return Err(wrong);
        }
        let narrow = |number: u64| u32::try_from(number).map_err(|_| wrong);
        Ok(Self { offset, len: narrow(len)?, raw_len: narrow(raw_len)?, crc })
    }

    /// Its bytes as they lie in the file.
    pub(crate) fn stored<S: Source + ?Sized>(&self, source: &S) -> Result<Vec<u8>, S::Error> {
        let stored = source.read(self.offset, self.len as usize)?;
        if crc32c::crc32c(&stored) != self.crc {
            return Err(Damaged("a block fails its checksum").into());
        }
        Ok(stored)
    }

    /// Its content.
    pub(crate) fn read<S: Source + ?Sized>(&self, source: &S) -> Result<Vec<u8>, S::Error> {
        let stored = self.stored(source)?;
        if self.len == self.raw_len {
            return Ok(stored);
        }
        let raw = zstd::bulk::decompress(&stored, self.raw_len as usize);
        let raw = raw.map_err(|_| Damaged("a block cannot be inflated"))?;
        if raw.len() == self.raw_len as usize { Ok(raw) } else { Err(Damaged("a block is of another length").into()) }
    }
}
