//! What storage needs from a disk: the trait [`Disk`], the real one, and (feature `model`) one in memory that forgets what was
//! not synced.

mod error;
#[cfg(feature = "model")]
pub mod model;
mod real;
#[cfg(feature = "model")]
mod rng;
mod subdirectory;

use std::io;

pub use error::{DiskError, is_full};
pub use real::{RealDisk, make_dir};
pub use subdirectory::Subdirectory;

/// Files and directories below one data directory. Paths are relative to it and use `/`.
///
/// Nothing is durable before it is synced: file content and length by [`Disk::sync_data`], names by [`Disk::sync_dir`].
pub trait Disk {
    /// An open file.
    type File;

    /// Makes a directory; one that is there already is fine.
    ///
    /// # Errors
    /// As the operating system says.
    fn create_dir(&self, dir: &str) -> io::Result<()>;

    /// Names of the entries of a directory, in no order.
    ///
    /// # Errors
    /// As the operating system says.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;

    /// Makes a new file of `len` zero bytes whose space is allocated, so that a full disk shows now and not at a later
    /// write or sync. Leaves nothing behind when it fails.
    ///
    /// # Errors
    /// `AlreadyExists`, `StorageFull`, or what the operating system says.
    fn create(&self, path: &str, len: u64) -> io::Result<Self::File>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// `NotFound`, or what the operating system says.
    fn open(&self, path: &str) -> io::Result<Self::File>;

    /// Opens a file that an earlier process may have left unsynced, so that what is read from now on is durable: syncs
    /// it, and drops what the operating system caches of it, because a page whose write-back failed once is clean in the
    /// cache and lost on the medium.
    ///
    /// # Errors
    /// `NotFound`, or what the operating system says. A failing sync is no error: the durable content is read.
    fn open_settled(&self, path: &str) -> io::Result<Self::File>;

    /// Length of a file in bytes.
    ///
    /// # Errors
    /// As the operating system says.
    fn len(&self, file: &Self::File) -> io::Result<u64>;

    /// Cuts or extends a file.
    ///
    /// # Errors
    /// As the operating system says.
    fn set_len(&self, file: &Self::File, len: u64) -> io::Result<()>;

    /// Reads at an offset; 0 at the end of the file. May read less than asked for.
    ///
    /// # Errors
    /// As the operating system says.
    fn read_at(&self, file: &Self::File, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes all bytes at an offset.
    ///
    /// # Errors
    /// As the operating system says; any part may have been written then.
    fn write_at(&self, file: &Self::File, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes content and length of a file durable. After an error the file's unsynced content is lost, and another call
    /// may succeed without making it durable.
    ///
    /// # Errors
    /// As the operating system says.
    fn sync_data(&self, file: &Self::File) -> io::Result<()>;

    /// Renames a file, replacing the target.
    ///
    /// # Errors
    /// As the operating system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file's name.
    ///
    /// # Errors
    /// As the operating system says.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Makes creations, renames and removals in a directory durable.
    ///
    /// # Errors
    /// As the operating system says.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;

    /// Bytes that may still be allocated on the file system.
    ///
    /// # Errors
    /// As the operating system says.
    fn free_space(&self) -> io::Result<u64>;

    /// Whether a path still names this open file: that nobody removed it, or what it stands in, or put another one there.
    ///
    /// # Errors
    /// As the operating system says, other than that there is no such path.
    fn is_there(&self, path: &str, file: &Self::File) -> io::Result<bool>;

    /// Takes the exclusive lock of a file, made when it is not there. Held as long as the returned file lives.
    ///
    /// # Errors
    /// `WouldBlock` when another process holds it.
    fn lock(&self, path: &str) -> io::Result<Self::File>;
}

/// What was written and synced, for what a flash card wears by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IoCounts {
    /// Bytes handed to the operating system to write.
    pub written: u64,
    /// Syncs of files and directories.
    pub syncs: u64,
    /// Syncs or writes that failed.
    pub failed_syncs: u64,
}

impl std::ops::Add for IoCounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            written: self.written + other.written,
            syncs: self.syncs + other.syncs,
            failed_syncs: self.failed_syncs + other.failed_syncs,
        }
    }
}

/// Fills the buffer from an offset. `Ok(false)` when the file ends before.
///
/// # Errors
/// As [`Disk::read_at`].
pub fn read_exact_at<D: Disk>(disk: &D, file: &D::File, offset: u64, buffer: &mut [u8]) -> io::Result<bool> {
    let mut done = 0;
    while done < buffer.len() {
        match disk.read_at(file, offset + done as u64, &mut buffer[done..])? {
            0 => return Ok(false),
            count => done += count,
        }
    }
    Ok(true)
}

/// Removes a file; one that is not there is fine.
///
/// # Errors
/// As [`Disk::remove`].
pub fn remove_if_there<D: Disk>(disk: &D, path: &str) -> Result<(), DiskError> {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(DiskError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Writes a whole file so that after a crash there is the old one or the new one: temporary file, sync, rename, directory
/// sync.
///
/// # Errors
/// What the disk refused; the file is as it was then.
pub fn replace<D: Disk>(disk: &D, dir: &str, temporary: &str, path: &str, bytes: &[u8]) -> Result<(), DiskError> {
    // One that a crash or an error left behind.
    remove_if_there(disk, temporary)?;
    let file = disk.create(temporary, bytes.len() as u64).map_err(DiskError::io("create", temporary))?;
    disk.write_at(&file, 0, bytes).map_err(DiskError::io("write", temporary))?;
    disk.sync_data(&file).map_err(DiskError::io("sync", temporary))?;
    disk.rename(temporary, path).map_err(DiskError::io("rename", temporary))?;
    disk.sync_dir(dir).map_err(DiskError::io("sync directory of", path))
}

/// Whether a file that is written is still where it was: what is written into a file that has no name any more is gone with the
/// program.
///
/// # Errors
/// [`DiskError`] that says that it is gone, or what the operating system says.
pub fn check_place<D: Disk>(disk: &D, path: &str, file: &D::File) -> Result<(), DiskError> {
    match disk.is_there(path, file) {
        Ok(true) => Ok(()),
        Ok(false) => {
            let why = "it was removed or replaced while the agent runs; put the data directory back and start the agent again";
            Err(DiskError::io("go on with", path)(io::Error::new(io::ErrorKind::NotFound, why)))
        }
        Err(error) => Err(DiskError::io("find", path)(error)),
    }
}
