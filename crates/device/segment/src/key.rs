//! Which segment a file is: epoch, row and first sequence, which name the file and bind its checksums.

use std::io;

use disk::{Disk, DiskError};
use model::{Epoch, Lane};

/// The version that this program writes, and the only one that it reads.
pub const VERSION: u8 = 0;
/// Sequences and sums of records or bytes beyond this are no numbers of a row, whatever their checksum says. A million a
/// second reach it in two thousand years; below it no sum of two of them overflows.
pub const MOST: u64 = 1 << 56;

/// Bytes of a segment's header, of each entry's header, and of the footer of a sealed segment.
pub const FIXED_LEN: usize = 64;
/// [`FIXED_LEN`] as a file offset.
pub const FIXED: u64 = FIXED_LEN as u64;
/// The bytes of a header, entry header or footer.
pub(crate) type Fixed = [u8; FIXED_LEN];

/// Where a checksum stands in header, entry header and footer.
const CRC_AT: usize = FIXED_LEN - 4;

/// What every checksum of a segment is bound to besides its bytes, so that an entry that is copied elsewhere (or whose
/// bytes are part of some log record) is never taken for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentKey {
    /// The life of the data directory.
    pub epoch: Epoch,
    /// The row that it is part of.
    pub row: Row,
    /// Its first sequence.
    pub first: u64,
}

/// A row of segments: a lane, or one of the recorder's rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    /// What is to be delivered.
    Lane(Lane),
    /// What came in.
    Recorder,
    /// What was decided of it.
    Decisions,
}

impl Row {
    /// Every row that there can be.
    pub fn all() -> impl Iterator<Item = Self> {
        Lane::ALL.into_iter().map(Row::Lane).chain([Row::Recorder, Row::Decisions])
    }

    /// The number that stands in headers and checksums.
    pub fn number(self) -> u8 {
        match self {
            Row::Lane(lane) => lane.number(),
            Row::Recorder => 16,
            Row::Decisions => 17,
        }
    }

    /// The directory of the row's segments.
    pub fn dir(self) -> String {
        match self {
            Row::Lane(lane) => lane_dir(lane),
            Row::Recorder => "recorder".into(),
            Row::Decisions => "decisions".into(),
        }
    }
}

impl SegmentKey {
    /// The checksum of bytes at an offset of the segment.
    pub fn checksum(&self, offset: u64, bytes: &[u8]) -> u32 {
        let crc = crc32c::crc32c(&self.epoch.0.to_le_bytes());
        let crc = crc32c::crc32c_append(crc, &[self.row.number()]);
        let crc = crc32c::crc32c_append(crc, &self.first.to_le_bytes());
        let crc = crc32c::crc32c_append(crc, &offset.to_le_bytes());
        crc32c::crc32c_append(crc, bytes)
    }

    /// Puts the checksum for this place into the last four bytes of a header that begins `fixed`.
    pub fn stamp(&self, offset: u64, fixed: &mut [u8]) {
        if let Some(fixed) = fixed.first_chunk_mut::<FIXED_LEN>() {
            let crc = self.checksum(offset, &fixed[..CRC_AT]);
            fixed[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        }
    }

    /// Whether a header's checksum is right for this place.
    pub(crate) fn holds(&self, offset: u64, fixed: &Fixed) -> bool {
        fixed[CRC_AT..] == self.checksum(offset, &fixed[..CRC_AT]).to_le_bytes()
    }

    /// The segment's path below the data directory.
    pub fn path(&self) -> String {
        format!("{}/{:016x}.seg", self.row.dir(), self.first)
    }
}

/// The directory of a lane's segments.
pub fn lane_dir(lane: Lane) -> String {
    format!("lanes/{lane}")
}

/// The first sequence that a segment's file name states.
pub fn first_of_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    let plain = digits.len() == 16 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    plain.then(|| u64::from_str_radix(digits, 16).ok()).flatten().filter(|first| (1..=MOST).contains(first))
}

/// First sequences of a row's segments, in order; none when the row has no directory.
///
/// # Errors
/// What the disk refused.
pub fn firsts<D: Disk>(disk: &D, row: Row) -> Result<Vec<u64>, DiskError> {
    let mut firsts = match disk.list(&row.dir()) {
        Ok(names) => names.iter().filter_map(|name| first_of_name(name)).collect::<Vec<u64>>(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(DiskError::io("list", row.dir())(error)),
    };
    firsts.sort_unstable();
    Ok(firsts)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: names of files. Guarantees: only the journal's own names are taken.
    #[test]
    fn names() {
        let key = SegmentKey { epoch: Epoch(9), row: Row::Lane(Lane::Traces), first: 5 };
        assert_eq!(first_of_name("000000000000002a.seg"), Some(42));
        assert_eq!(first_of_name(key.path().rsplit('/').next().unwrap()), Some(5));
        for name in
            ["2a.seg", "000000000000002A.seg", "000000000000002a", "0000000000000000.seg", "+00000000000002a.seg"]
        {
            assert_eq!(first_of_name(name), None, "{name}");
        }
    }
}
