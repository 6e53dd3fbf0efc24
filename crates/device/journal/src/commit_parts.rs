//! The parts of a commit record behind the ledger: each has a checksum over the record's counter and itself.

use segment::{FieldReader, FieldWriter};

/// Length and checksum before the losses, and before the positions.
pub(crate) const PART_HEAD: usize = 8;

/// The checksum of a part behind the ledger.
pub(crate) fn part_crc(counter: u64, part: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&counter.to_le_bytes()), part)
}

/// Writes length and checksum of such a part in front of it.
pub(crate) fn finish_part(counter: u64, part: &mut [u8]) {
    let Some((head, part)) = part.split_first_chunk_mut::<PART_HEAD>() else { return };
    FieldWriter::new(head).u32(part.len() as u32).u32(part_crc(counter, part));
}

/// The part whose head stands at this place.
pub(crate) fn part_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let (head, rest) = bytes.get(at..)?.split_first_chunk::<PART_HEAD>()?;
    rest.get(..FieldReader::at(head, 0).u32() as usize)
}
