//! The file of one segment: its entries are found, also behind damage, and it is ended.

use std::io;

use disk::{Disk, DiskError, read_exact_at};
use model::Epoch;

use crate::error::SegmentError;
use crate::format::{ENTRY_MAGIC, Entry, EntryKind, Footer, GAP_PREFIX_LEN, HeaderRead, SegmentHeader};
use crate::key::{FIXED, FIXED_LEN, Fixed, Row, SegmentKey};

/// Bytes read at once while looking for the next readable entry.
const SCAN_CHUNK: usize = 16 << 10;

/// What has not been written yet.
const ZEROS: [u8; 1024] = [0; 1024];

/// The next thing in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// An entry with a readable header. It stands behind unreadable bytes when `at` is not where one looked.
    Entry {
        /// Where it stands.
        at: u64,
        /// What its header says.
        entry: Entry,
    },
    /// No further entry; `dirty` when there are other bytes than zeros.
    End {
        /// Whether there is something that is no entry.
        dirty: bool,
    },
}

/// A segment's file that is open.
#[derive(Debug)]
pub struct SegmentFile<F> {
    key: SegmentKey,
    file: F,
}

impl<F> SegmentFile<F> {
    /// A file that was just made, or opened, for this key.
    pub fn new(key: SegmentKey, file: F) -> Self {
        Self { key, file }
    }

    /// Opens the file of a key.
    ///
    /// # Errors
    /// `NotFound`, or what the operating system says.
    pub fn open<D: Disk<File = F>>(disk: &D, key: SegmentKey) -> io::Result<Self> {
        Ok(Self { key, file: disk.open(&key.path())? })
    }

    /// Opens a file that an earlier process may have left unsynced ([`Disk::open_settled`]).
    ///
    /// # Errors
    /// What the disk refused.
    pub fn open_settled<D: Disk<File = F>>(disk: &D, key: SegmentKey) -> Result<Self, DiskError> {
        let file = disk.open_settled(&key.path()).map_err(DiskError::io("open", key.path()))?;
        Ok(Self { key, file })
    }

    /// Which segment it is.
    pub fn key(&self) -> &SegmentKey {
        &self.key
    }

    /// Its path below the data directory.
    pub fn path(&self) -> String {
        self.key.path()
    }

    /// The file itself.
    pub fn file(&self) -> &F {
        &self.file
    }

    /// Length of the file, bytes.
    ///
    /// # Errors
    /// What the disk refused.
    pub fn size<D: Disk<File = F>>(&self, disk: &D) -> Result<u64, DiskError> {
        disk.len(&self.file).map_err(DiskError::io("measure", self.path()))
    }

    /// Its header; `None` when that is damaged or was never written.
    ///
    /// # Errors
    /// [`SegmentError::Version`] when a later program wrote it.
    pub fn header<D: Disk<File = F>>(&self, disk: &D) -> Result<Option<SegmentHeader>, SegmentError> {
        let mut fixed = [0; FIXED_LEN];
        if !matches!(read_exact_at(disk, &self.file, 0, &mut fixed), Ok(true)) {
            return Ok(None);
        }
        match SegmentHeader::decode(&self.key, &fixed) {
            HeaderRead::Good(header) => Ok(Some(header)),
            HeaderRead::Version(found) => Err(SegmentError::version(self.path(), found)),
            HeaderRead::Bad => Ok(None),
        }
    }

    /// Finds the next entry at or after `at` whose payload ends at `end` or before. Unreadable sectors count as damage.
    pub fn next_entry<D: Disk<File = F>>(&self, disk: &D, at: u64, end: u64) -> Step {
        let mut fixed = [0; FIXED_LEN];
        let fits = |at: u64, entry: &Entry| at + entry.total_len() <= end;
        if at + FIXED <= end
            && matches!(read_exact_at(disk, &self.file, at, &mut fixed), Ok(true))
            && let Some(entry) = Entry::decode(&self.key, at, &fixed).filter(|entry| fits(at, entry))
        {
            return Step::Entry { at, entry };
        }
        scan(disk, &self.file, &self.key, at, end, fits)
    }

    /// Reads an entry's payload into `payload`, in the place of what it held, and says whether its checksum is right.
    pub fn read_payload<D: Disk<File = F>>(&self, disk: &D, at: u64, entry: &Entry, payload: &mut Vec<u8>) -> bool {
        // What stood there is written over.
        payload.resize(entry.len as usize, 0);
        matches!(read_exact_at(disk, &self.file, at + FIXED, payload), Ok(true))
            && crc32c::crc32c(payload) == entry.payload_crc
    }

    /// Reads the footer of a sealed file of this length; `None` when it is not sealed, or the footer is damaged.
    pub fn footer<D: Disk<File = F>>(&self, disk: &D, len: u64) -> Option<Footer> {
        let at = len.checked_sub(FIXED).filter(|at| *at >= FIXED)?;
        let mut fixed = [0; FIXED_LEN];
        let whole = matches!(read_exact_at(disk, &self.file, at, &mut fixed), Ok(true));
        whole.then(|| Footer::decode(&self.key, at, &fixed)).flatten()
    }

    /// Whether there are only zeros where an entry would begin.
    pub fn is_unwritten<D: Disk<File = F>>(&self, disk: &D, at: u64) -> bool {
        let mut fixed = [0; FIXED_LEN];
        matches!(read_exact_at(disk, &self.file, at, &mut fixed), Ok(true)) && fixed == [0; FIXED_LEN]
    }

    /// Decodes an entry's header that stands, or will, at an offset of this file.
    pub fn decode_entry(&self, offset: u64, fixed: &[u8; FIXED_LEN]) -> Option<Entry> {
        Entry::decode(&self.key, offset, fixed)
    }
}

/// The epoch that a file's header states, when the header fits row and name and is right.
pub fn stated_epoch<D: Disk>(disk: &D, file: &D::File, row: Row, first: u64) -> Option<Epoch> {
    let mut fixed = [0; FIXED_LEN];
    let whole = matches!(read_exact_at(disk, file, 0, &mut fixed), Ok(true));
    whole.then(|| SegmentHeader::epoch_of(row, first, &fixed)).flatten()
}

/// The block in an entry's payload.
pub fn block_of(kind: EntryKind, payload: &[u8]) -> &[u8] {
    match kind {
        EntryKind::Gap => payload.get(GAP_PREFIX_LEN..).unwrap_or_default(),
        _ => payload,
    }
}

fn scan<D: Disk>(
    disk: &D,
    file: &D::File,
    key: &SegmentKey,
    from: u64,
    end: u64,
    fits: impl Fn(u64, &Entry) -> bool,
) -> Step {
    let mut chunk = vec![0; SCAN_CHUNK];
    let mut dirty = false;
    let mut base = from;
    while base < end {
        let want = (end - base).min(SCAN_CHUNK as u64) as usize;
        let have = read_some(disk, file, base, &mut chunk[..want]);
        let Ok(have) = have else {
            // An unreadable sector: go on behind it.
            dirty = true;
            base = (base / 512 + 1) * 512;
            continue;
        };
        if have == 0 {
            break;
        }
        let bytes = &chunk[..have];
        if bytes.chunks(ZEROS.len()).all(|part| *part == ZEROS[..part.len()]) {
            base += have as u64;
            continue;
        }
        dirty = true;
        for (index, window) in bytes.windows(FIXED_LEN).enumerate() {
            if window[..4] != ENTRY_MAGIC {
                continue;
            }
            let mut fixed: Fixed = [0; FIXED_LEN];
            fixed.copy_from_slice(window);
            let at = base + index as u64;
            if let Some(entry) = Entry::decode(key, at, &fixed).filter(|entry| fits(at, entry)) {
                return Step::Entry { at, entry };
            }
        }
        if base + have as u64 >= end {
            break;
        }
        // Headers may lie across the border of two chunks.
        base += if have < FIXED_LEN { have } else { have - (FIXED_LEN - 1) } as u64;
    }
    Step::End { dirty }
}

fn read_some<D: Disk>(disk: &D, file: &D::File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match disk.read_at(file, offset + done as u64, &mut buffer[done..]) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
