//! The real disk: a directory of the operating system.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, FallocateFlags, FlockOperation};
use rustix::io::Errno;

use crate::Disk;

/// What the directory holds is its owner's alone: it may hold anything that was sent here.
const DIR_MODE: u32 = 0o700;
/// The same for files.
const FILE_MODE: u32 = 0o600;

/// A directory of the operating system.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
    read_only: bool,
}

impl RealDisk {
    /// The disk below `root`, which is made when it is not there, for its owner alone. One that is there keeps its mode; what
    /// stands in it is closed to others.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn new(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        make_dir(&root)?;
        close_to_others(&root)?;
        if let Some(parent) = root.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            // Whoever made the directory: its name has to survive too. Where the parent may not be read, it is not ours.
            let _ = File::open(parent).and_then(|parent| parent.sync_all());
        }
        Ok(Self { root, read_only: false })
    }

    /// The disk below a directory that belongs to another process, or to nobody any more: nothing is made, files are opened
    /// for reading only, and every change fails.
    pub fn read_only(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), read_only: true }
    }

    /// The data directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn may_change(&self) -> io::Result<()> {
        if self.read_only { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(()) }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

/// Makes a data directory and what is above it, for its owner alone; one that is there already is fine.
///
/// # Errors
/// As the operating system says.
pub fn make_dir(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(DIR_MODE).create(path)
}

/// Takes the rights of others from what an earlier version made.
fn close_to_others(root: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        let (kind, name) = (entry.file_type()?, entry.file_name());
        let ours = ["epoch", "lock", "note.a", "note.b", "spare"].iter().any(|ours| name == *ours);
        let mode = if kind.is_dir() { DIR_MODE } else { FILE_MODE };
        if !(kind.is_dir() || kind.is_file() && ours) || entry.metadata()?.permissions().mode() & 0o077 == 0 {
            continue;
        }
        std::fs::set_permissions(entry.path(), std::fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Allocates space; on file systems that cannot, writes zeros.
fn allocate(file: &File, len: u64) -> io::Result<()> {
    if len == 0 {
        return Ok(());
    }
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, len) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
            let zeros = [0; 4096];
            let mut offset = 0;
            while offset < len {
                let count = (len - offset).min(zeros.len() as u64);
                file.write_all_at(&zeros[..count as usize], offset)?;
                offset += count;
            }
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

impl Disk for RealDisk {
    type File = File;

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.may_change()?;
        match std::fs::DirBuilder::new().mode(DIR_MODE).create(self.path(dir)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.path(dir))? {
            // A name that is not UTF-8 is none of the journal's.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, path: &str, len: u64) -> io::Result<File> {
        self.may_change()?;
        let full = self.path(path);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(FILE_MODE).open(&full)?;
        if let Err(error) = allocate(&file, len) {
            let _ = std::fs::remove_file(&full);
            return Err(error);
        }
        Ok(file)
    }

    fn open(&self, path: &str) -> io::Result<File> {
        OpenOptions::new().read(true).write(!self.read_only).open(self.path(path))
    }

    fn open_settled(&self, path: &str) -> io::Result<File> {
        let file = self.open(path)?;
        let _ = rustix::fs::fdatasync(&file);
        let _ = rustix::fs::fadvise(&file, 0, None, Advice::DontNeed);
        Ok(file)
    }

    fn len(&self, file: &File) -> io::Result<u64> {
        Ok(file.metadata()?.len())
    }

    fn set_len(&self, file: &File, len: u64) -> io::Result<()> {
        file.set_len(len)
    }

    fn read_at(&self, file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match file.read_at(buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn write_at(&self, file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(file)?)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.may_change()?;
        std::fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.may_change()?;
        std::fs::remove_file(self.path(path))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        File::open(self.path(dir))?.sync_all()
    }

    fn free_space(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.root)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn is_there(&self, path: &str, file: &File) -> io::Result<bool> {
        let named = match std::fs::metadata(self.path(path)) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(false);
            }
            named => named?,
        };
        let held = file.metadata()?;
        Ok((named.dev(), named.ino()) == (held.dev(), held.ino()))
    }

    fn lock(&self, path: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(self.path(path))?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(file)
    }
}
