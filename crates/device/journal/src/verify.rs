//! Checking a data directory byte by byte, without changing it: every byte of every file of the journal is covered by a
//! checksum or known to be zero.

use std::io;

use disk::Disk;
use segment::{Row, SegmentFile, SegmentKey, firsts, walk};

use crate::error::JournalError;
use crate::identity::{self, EpochRead};
use crate::space::RESERVE_PATH;
use crate::{commit_record, cursor_file};

/// Bytes read at once where zeros are expected.
const CHUNK: usize = 4 << 10;
const ZEROS: [u8; CHUNK] = [0; CHUNK];

/// Something in a file that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file below the data directory.
    pub path: String,
    /// Where it begins, in bytes from the start of the file.
    pub offset: u64,
    /// What it is.
    pub what: &'static str,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at byte {}: {}", self.path, self.offset, self.what)
    }
}

/// What was checked, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// Files looked at.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Blocks that are whole.
    pub blocks: u64,
    /// Frames in them.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
    /// What is damaged; empty when everything is as it was written. A directory whose program was killed or lost its power
    /// may have one unfinished write at the end of each row's newest segment, which the next start cuts.
    pub findings: Vec<Finding>,
}

/// Checks every byte of the journal's files. A running daemon's directory may be checked too: what it removes meanwhile is
/// passed over, and what it is just writing may be found.
///
/// # Errors
/// [`JournalError::Disk`] when the disk refuses, [`JournalError::Version`] when a later program wrote a file.
pub fn verify<D: Disk>(disk: &D) -> Result<Verified, JournalError> {
    let mut verified = Verified::default();
    let epoch = match identity::read(disk)? {
        EpochRead::Good(epoch) => Some(epoch),
        EpochRead::Damaged => {
            verified.found(identity::PATH, 0, "the epoch cannot be read; it is taken from the segments");
            identity::of_segments(disk)
        }
        EpochRead::Missing => identity::of_segments(disk),
    };
    verified.count(disk, identity::PATH)?;
    let Some(epoch) = epoch else {
        let nothing = io::Error::new(io::ErrorKind::NotFound, "there is no journal in this directory");
        return Err(JournalError::io("open", identity::PATH)(nothing));
    };
    for (index, path) in commit_record::PATHS.into_iter().enumerate() {
        if let Some(file) = verified.count(disk, path)? {
            match commit_record::check(disk, &file, index, epoch)? {
                Some(end) => verified.zeros(disk, &file, path, end, u64::MAX),
                None => verified.found(path, 0, "the commit record cannot be read; the one before it counts"),
            }
        }
    }
    if let Some(file) = verified.count(disk, RESERVE_PATH)? {
        verified.zeros(disk, &file, RESERVE_PATH, 0, u64::MAX);
    }
    for name in list(disk, cursor_file::DIR)? {
        let path = format!("{}/{name}", cursor_file::DIR);
        if name.ends_with(".cur")
            && let Some(file) = verified.count(disk, &path)?
        {
            for slot in 0..2 {
                let at = slot * cursor_file::SLOT;
                if cursor_file::check(disk, &file, slot, epoch)? {
                    verified.zeros(disk, &file, &path, at + cursor_file::LEN as u64, at + cursor_file::SLOT);
                } else {
                    verified.found(&path, at, "the cursor cannot be read; blocks are sent again");
                }
            }
            verified.zeros(disk, &file, &path, cursor_file::FILE_LEN, u64::MAX);
        }
    }
    for row in Row::all() {
        let firsts = firsts(disk, row)?;
        for (position, first) in firsts.iter().enumerate() {
            let key = SegmentKey { epoch, row, first: *first };
            let limit = firsts.get(position + 1).copied().unwrap_or(u64::MAX);
            verified.segment(disk, &key, limit)?;
        }
    }
    Ok(verified)
}

fn list<D: Disk>(disk: &D, dir: &str) -> Result<Vec<String>, JournalError> {
    match disk.list(dir) {
        Ok(mut names) => {
            names.sort_unstable();
            Ok(names)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(JournalError::io("list", dir)(error)),
    }
}

impl Verified {
    fn found(&mut self, path: &str, offset: u64, what: &'static str) {
        self.findings.push(Finding { path: path.to_owned(), offset, what });
    }

    /// Opens a file and counts it; `None` when there is none.
    fn count<D: Disk>(&mut self, disk: &D, path: &str) -> Result<Option<D::File>, JournalError> {
        let file = match disk.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(JournalError::io("open", path)(error)),
        };
        self.files += 1;
        self.bytes += disk.len(&file).map_err(JournalError::io("measure", path))?;
        Ok(Some(file))
    }

    /// Looks for bytes other than zero in a stretch.
    fn zeros<D: Disk>(&mut self, disk: &D, file: &D::File, path: &str, from: u64, to: u64) {
        let mut chunk = vec![0; CHUNK];
        let mut at = from;
        while at < to {
            let want = (to - at).min(CHUNK as u64) as usize;
            match disk.read_at(file, at, &mut chunk[..want]) {
                Ok(0) => return,
                Ok(count) => {
                    if chunk[..count] != ZEROS[..count]
                        && let Some(position) = chunk[..count].iter().position(|byte| *byte != 0)
                    {
                        self.found(path, at + position as u64, "a byte that should be zero is not");
                        return;
                    }
                    at += count as u64;
                }
                Err(_) => {
                    self.found(path, at, "cannot be read");
                    at = (at / 512 + 1) * 512;
                }
            }
        }
    }

    fn segment<D: Disk>(&mut self, disk: &D, key: &SegmentKey, limit: u64) -> Result<(), JournalError> {
        let path = key.path();
        let Some(file) = self.count(disk, &path)? else { return Ok(()) };
        let file = SegmentFile::new(*key, file);
        let found = self.findings.len();
        let walk = walk(disk, &file, limit, |_, _, _| ())?;
        self.blocks += walk.blocks;
        self.frames += walk.frames;
        self.records += walk.records;
        self.findings.extend(walk.findings.into_iter().map(|(offset, what)| Finding {
            path: path.clone(),
            offset,
            what,
        }));
        if walk.footer.is_none() && self.findings.len() == found {
            self.zeros(disk, file.file(), &path, walk.end, u64::MAX);
        }
        Ok(())
    }
}

/// Whether a segment's bytes are all as they were written.
pub(crate) fn is_whole<D: Disk>(disk: &D, key: &SegmentKey, limit: u64) -> Result<bool, JournalError> {
    let mut verified = Verified::default();
    verified.segment(disk, key, limit)?;
    Ok(verified.findings.is_empty())
}
