//! Cursor files: how far each destination has confirmed each lane.

use std::io;

use model::{Epoch, Lane};

use crate::disk::{Disk, read_exact_at};
use crate::error::JournalError;
use crate::format::{Reader, VERSION, Writer};
use crate::identity::replace;

pub(crate) const DIR: &str = "cursors";
const MAGIC: [u8; 4] = *b"LSCU";
const LEN: usize = 16 + 16 * Lane::ALL.len() + 8;
const CRC_AT: usize = LEN - 4;

/// How far a destination is in one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    /// The sequence up to which everything is confirmed; 0 when nothing is.
    pub(crate) confirmed: u64,
    /// Records up to there.
    pub(crate) records: u64,
}

pub(crate) type Places = [Place; Lane::ALL.len()];

/// What a cursor file says.
pub(crate) enum CursorRead {
    Good(Places),
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
    let mut places = Places::default();
    let mut fields = Reader::at(&bytes, 16);
    for place in &mut places {
        *place = Place { confirmed: fields.u64(), records: fields.u64() };
    }
    Ok(CursorRead::Good(places))
}

/// Returns the bytes written.
pub(crate) fn write<D: Disk>(disk: &D, destination: &str, epoch: Epoch, places: &Places) -> Result<u64, JournalError> {
    let mut bytes = [0; LEN];
    let mut fields = Writer::new(&mut bytes);
    fields.put(&MAGIC).put(&[VERSION, 0, 0, 0]).u64(epoch.0);
    for place in places {
        fields.u64(place.confirmed).u64(place.records);
    }
    let crc = crc32c::crc32c(&bytes[..CRC_AT]);
    Writer::new(&mut bytes[CRC_AT..]).u32(crc);
    let path = path(destination);
    replace(disk, DIR, &format!("{path}.tmp"), &path, &bytes)?;
    Ok(LEN as u64)
}
