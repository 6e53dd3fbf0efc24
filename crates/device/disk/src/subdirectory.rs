//! A directory of a disk as a disk of its own.

use std::io;

use crate::Disk;

/// A directory of a disk as a disk of its own.
#[derive(Debug)]
pub struct Subdirectory<'a, D> {
    disk: &'a D,
    /// Ends with a slash; empty for the whole disk.
    prefix: String,
}

impl<'a, D: Disk> Subdirectory<'a, D> {
    /// The directory `dir`, which is there; the whole disk for `""`.
    pub fn new(disk: &'a D, dir: &str) -> Self {
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        Self { disk, prefix }
    }
}

impl<D: Disk> Subdirectory<'_, D> {
    fn path(&self, path: &str) -> String {
        match path {
            "" => self.prefix.trim_end_matches('/').to_owned(),
            path => format!("{}{path}", self.prefix),
        }
    }
}

impl<D: Disk> Disk for Subdirectory<'_, D> {
    type File = D::File;

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.create_dir(&self.path(dir))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.disk.list(&self.path(dir))
    }

    fn create(&self, path: &str, len: u64) -> io::Result<D::File> {
        self.disk.create(&self.path(path), len)
    }

    fn open(&self, path: &str) -> io::Result<D::File> {
        self.disk.open(&self.path(path))
    }

    fn open_settled(&self, path: &str) -> io::Result<D::File> {
        self.disk.open_settled(&self.path(path))
    }

    fn len(&self, file: &D::File) -> io::Result<u64> {
        self.disk.len(file)
    }

    fn set_len(&self, file: &D::File, len: u64) -> io::Result<()> {
        self.disk.set_len(file, len)
    }

    fn read_at(&self, file: &D::File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.disk.read_at(file, offset, buffer)
    }

    fn write_at(&self, file: &D::File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.write_at(file, offset, bytes)
    }

    fn sync_data(&self, file: &D::File) -> io::Result<()> {
        self.disk.sync_data(file)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(&self.path(from), &self.path(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.disk.remove(&self.path(path))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.sync_dir(&self.path(dir))
    }

    fn free_space(&self) -> io::Result<u64> {
        self.disk.free_space()
    }

    fn is_there(&self, path: &str, file: &D::File) -> io::Result<bool> {
        self.disk.is_there(&self.path(path), file)
    }

    fn lock(&self, path: &str) -> io::Result<D::File> {
        if self.prefix.is_empty() {
            return self.disk.lock(path);
        }
        // Whoever makes it has the lock of the directory that it is in.
        match self.create(path, 0) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.open(path),
            other => other,
        }
    }
}
