//! The epoch file: the 64 random bits that name this life of the data directory.

use std::io;

use disk::{Disk, read_exact_at};
use model::{Epoch, Lane};
use segment::{FieldReader, FieldWriter, Row, VERSION, first_of_name, lane_dir, stated_epoch};

use crate::error::JournalError;

pub(crate) const PATH: &str = "epoch";
const TEMPORARY: &str = "epoch.tmp";
const MAGIC: [u8; 4] = *b"LSEP";
const LEN: usize = 20;

/// What the epoch file says.
pub(crate) enum EpochRead {
    Good(Epoch),
    Missing,
    Damaged,
}

pub(crate) fn read<D: Disk>(disk: &D) -> Result<EpochRead, JournalError> {
    let file = match disk.open(PATH) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(EpochRead::Missing),
        Err(error) => return Err(JournalError::io("open", PATH)(error)),
    };
    let mut bytes = [0; LEN];
    let whole = matches!(read_exact_at(disk, &file, 0, &mut bytes), Ok(true));
    if !whole || bytes[..4] != MAGIC || crc32c::crc32c(&bytes[..16]) != FieldReader::at(&bytes, 16).u32() {
        return Ok(EpochRead::Damaged);
    }
    if bytes[4] != VERSION {
        return Err(JournalError::version(PATH, bytes[4]));
    }
    Ok(EpochRead::Good(Epoch(FieldReader::at(&bytes, 8).u64())))
}

/// Gives a new data directory its epoch. [`crate::Journal::open`] does so itself, with random bits; a run from a seed chooses them.
///
/// # Errors
/// [`JournalError::Disk`].
pub fn set_epoch<D: Disk>(disk: &D, epoch: Epoch) -> Result<(), JournalError> {
    let mut bytes = [0; LEN];
    FieldWriter::new(&mut bytes).put(&MAGIC).put(&[VERSION, 0, 0, 0]).u64(epoch.0);
    let crc = crc32c::crc32c(&bytes[..16]);
    FieldWriter::new(&mut bytes[16..]).u32(crc);
    Ok(disk::replace(disk, "", TEMPORARY, PATH, &bytes)?)
}

/// A new epoch, never 0, of random bits.
///
/// # Errors
/// [`JournalError::Internal`] when the system gives none.
pub fn fresh_epoch() -> Result<Epoch, JournalError> {
    loop {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes)
            .map_err(|error| JournalError::Internal(format!("no random bits for a new epoch: {error}")))?;
        let epoch = u64::from_le_bytes(bytes);
        if epoch != 0 {
            return Ok(Epoch(epoch));
        }
    }
}

/// The epoch that a directory is read under: from its file, else from the segments.
pub(crate) fn find<D: Disk>(disk: &D) -> Result<Option<Epoch>, JournalError> {
    Ok(match read(disk)? {
        EpochRead::Good(epoch) => Some(epoch),
        EpochRead::Damaged | EpochRead::Missing => of_segments(disk),
    })
}

/// The epoch that the first segment with a right header states.
pub(crate) fn of_segments<D: Disk>(disk: &D) -> Option<Epoch> {
    for lane in Lane::ALL {
        let dir = lane_dir(lane);
        for name in disk.list(&dir).unwrap_or_default() {
            let Some(first) = first_of_name(&name) else { continue };
            let Ok(file) = disk.open(&format!("{dir}/{name}")) else { continue };
            if let Some(epoch) = stated_epoch(disk, &file, Row::Lane(lane), first) {
                return Some(epoch);
            }
        }
    }
    None
}
