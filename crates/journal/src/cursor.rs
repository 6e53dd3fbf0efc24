//! Cursor files: how far each destination has confirmed each lane.

use std::io;

use model::{Epoch, Lane};

use crate::disk::{Disk, read_exact_at};
use crate::error::JournalError;
use crate::format::{Reader, VERSION, Writer};
use crate::identity::replace;

pub(crate) const DIR: &str = "cursors";
const MAGIC: [u8; 4] = *b"LSCU";
const LEN: usize = 16 + 8 * Lane::ALL.len() + 8;
const CRC_AT: usize = LEN - 4;

/// For each lane, the sequence up to which everything is confirmed; 0 when nothing is.
pub(crate) type Confirmed = [u64; Lane::ALL.len()];

/// What a cursor file says.
pub(crate) enum CursorRead {
    Good(Confirmed),
    Missing,
    Damaged,
}

/// The file of a destination. Bytes of its name that are no letters, digits, `-` or `_` are written as `%XX`.
pub(crate) fn path(destination: &str) -> String {
    let mut name = String::with_capacity(destination.len());
    for byte in destination.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("{DIR}/{name}.cur")
}

pub(crate) fn read<D: Disk>(disk: &D, destination: &str, epoch: Epoch) -> Result<CursorRead, JournalError> {
    let path = path(destination);
    let file = match disk.open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(CursorRead::Missing),
        Err(error) => return Err(JournalError::io("open", path)(error)),
    };
    let mut bytes = [0; LEN];
    let whole = matches!(read_exact_at(disk, &file, 0, &mut bytes), Ok(true));
    let right = whole
        && bytes[..4] == MAGIC
        && crc32c::crc32c(&bytes[..CRC_AT]) == Reader::at(&bytes, CRC_AT).u32()
        && Reader::at(&bytes, 8).u64() == epoch.0;
    if !right {
        return Ok(CursorRead::Damaged);
    }
    if bytes[4] != VERSION {
        return Err(JournalError::Version { path, found: bytes[4], known: VERSION });
    }
    let mut confirmed = [0; Lane::ALL.len()];
    let mut fields = Reader::at(&bytes, 16);
    for lane in &mut confirmed {
        *lane = fields.u64();
    }
    Ok(CursorRead::Good(confirmed))
}

/// Returns the bytes written.
pub(crate) fn write<D: Disk>(
    disk: &D,
    destination: &str,
    epoch: Epoch,
    confirmed: &Confirmed,
) -> Result<u64, JournalError> {
    let mut bytes = [0; LEN];
    let mut fields = Writer::new(&mut bytes);
    fields.put(&MAGIC).put(&[VERSION, 0, 0, 0]).u64(epoch.0);
    for lane in confirmed {
        fields.u64(*lane);
    }
    let crc = crc32c::crc32c(&bytes[..CRC_AT]);
    Writer::new(&mut bytes[CRC_AT..]).u32(crc);
    let path = path(destination);
    replace(disk, DIR, &format!("{path}.tmp"), &path, &bytes)?;
    Ok(LEN as u64)
}
