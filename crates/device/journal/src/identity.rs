//! The epoch file: the 64 random bits that name this life of the data directory.

use std::io;

use model::Epoch;

use crate::disk::{Disk, read_exact_at};
use crate::error::JournalError;
use crate::format::{Reader, VERSION, Writer};

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
    if !whole || bytes[..4] != MAGIC || crc32c::crc32c(&bytes[..16]) != Reader::at(&bytes, 16).u32() {
        return Ok(EpochRead::Damaged);
    }
    if bytes[4] != VERSION {
        return Err(JournalError::Version { path: PATH.into(), found: bytes[4], known: VERSION });
    }
    Ok(EpochRead::Good(Epoch(Reader::at(&bytes, 8).u64())))
}

pub(crate) fn write<D: Disk>(disk: &D, epoch: Epoch) -> Result<(), JournalError> {
    let mut bytes = [0; LEN];
    Writer::new(&mut bytes).put(&MAGIC).put(&[VERSION, 0, 0, 0]).u64(epoch.0);
    let crc = crc32c::crc32c(&bytes[..16]);
    Writer::new(&mut bytes[16..]).u32(crc);
    replace(disk, "", TEMPORARY, PATH, &bytes)
}

/// Writes a whole file so that after a crash there is the old one or the new one: temporary file, sync, rename, directory
/// sync.
pub(crate) fn replace<D: Disk>(
    disk: &D,
    dir: &str,
    temporary: &str,
    path: &str,
    bytes: &[u8],
) -> Result<(), JournalError> {
    // One that a crash or an error left behind.
    match disk.remove(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(JournalError::io("remove", temporary)(error));
        }
        _ => {}
    }
    let file = disk.create(temporary, bytes.len() as u64).map_err(JournalError::io("create", temporary))?;
    disk.write_at(&file, 0, bytes).map_err(JournalError::io("write", temporary))?;
    disk.sync_data(&file).map_err(JournalError::io("sync", temporary))?;
    disk.rename(temporary, path).map_err(JournalError::io("rename", temporary))?;
    disk.sync_dir(dir).map_err(JournalError::io("sync directory of", path))
}

/// A new epoch, never 0.
pub(crate) fn fresh() -> Result<Epoch, JournalError> {
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
