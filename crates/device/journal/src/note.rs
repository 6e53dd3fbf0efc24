//! The note: the lanes' committed heads and the caller's own bytes, latest wins.
//!
//! Two files are written in turn, in place, after the frames of a commit are synced. So the newest readable one never says
//! more than is on disk, and nothing beyond its heads was ever sent (docs/journal.md, "Commit").

use std::io;

use disk::{Disk, IoCounts, read_exact_at};
use model::{Epoch, Lane};
use segment::{FieldReader, FieldWriter, MOST, VERSION};

use crate::error::JournalError;
use crate::recording::Taken;

/// The most bytes that a caller's note may have.
pub const NOTE_CAP: usize = 1 << 20;

pub(crate) const PATHS: [&str; 2] = ["note.a", "note.b"];
const MAGIC: [u8; 4] = *b"LSNT";
const HEADER_LEN: usize = 256;
/// Where the recorder's places and the decisions' head stand.
const PLACES_AT: usize = 224;
const CRC_AT: usize = HEADER_LEN - 4;
const PAGE: u64 = 4096;

/// What is committed of one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// The sequence after the last committed one.
    pub(crate) next: u64,
    /// Records in the committed frames, since the epoch began.
    pub(crate) records: u64,
}

pub(crate) type Heads = [Head; Lane::ALL.len()];

pub(crate) const NO_HEADS: Heads = [Head { next: 1, records: 0 }; Lane::ALL.len()];

/// Where each lane begins on disk: the first sequence that is held, and the records before it.
pub(crate) type Starts = Heads;

/// Bytes behind the caller's: where the lanes begin, and a checksum of that with the counter.
const STARTS_LEN: usize = 16 * Lane::ALL.len() + 4;

/// How far the recorder's rows are committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rows {
    pub(crate) taken: Taken,
    /// The sequence after the last committed entry of the decisions.
    pub(crate) decisions: u64,
}

/// What the note files say.
#[derive(Debug)]
pub(crate) struct NoteRead {
    pub(crate) heads: Heads,
    /// The heads of the commit that brought the caller's bytes.
    pub(crate) note_heads: Heads,
    /// The caller's bytes of the newest commit that had some; `None` when there was none.
    pub(crate) note: Option<Vec<u8>>,
    pub(crate) rows: Rows,
    /// Where the lanes began; `None` when a program wrote it that did not tell.
    pub(crate) starts: Option<Starts>,
    /// Whether the heads are surely the newest ones: neither file is damaged.
    pub(crate) trusted: bool,
}

/// The two files.
pub(crate) struct NoteFiles<F> {
    files: [Option<(F, u64)>; 2],
    counter: u64,
    bytes: Vec<u8>,
    /// Reused for the next write: what could not be written must not ride along with a later one.
    next: Vec<u8>,
    note_heads: Heads,
    /// What the next write says of the lanes' starts.
    starts: Option<Starts>,
    /// Bytes of each file that may be other than zero.
    filled: [u64; 2],
    /// Whether the caller has given bytes yet.
    present: bool,
}

enum Slot {
    Empty,
    Damaged,
    Good { counter: u64, bytes: Vec<u8> },
}

impl<F> NoteFiles<F> {
    /// Opens both files, and makes those that are not there.
    pub(crate) fn open<D: Disk<File = F>>(
        disk: &D,
        epoch: Epoch,
        counters: &mut IoCounts,
    ) -> Result<(Self, NoteRead), JournalError> {
        let mut this = Self {
            files: [None, None],
            counter: 0,
            bytes: Vec::new(),
            next: Vec::new(),
            note_heads: NO_HEADS,
            starts: None,
            filled: [0; 2],
            present: false,
        };
        let mut trusted = true;
        let mut made = false;
        for (index, path) in PATHS.into_iter().enumerate() {
            let slot = match disk.open_settled(path) {
                Ok(file) => {
                    let len = disk.len(&file).map_err(JournalError::io("measure", path))?;
                    let slot = read_slot(disk, &file, index, len, epoch)?;
                    this.files[index] = Some((file, len));
                    this.filled[index] = len;
                    slot
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    this.files[index] = Some(create(disk, index, PAGE)?);
                    made = true;
                    Slot::Empty
                }
                Err(error) => return Err(JournalError::io("open", path)(error)),
            };
            match slot {
                Slot::Empty => {}
                Slot::Damaged => trusted = false,
                // What goes on from here has to stay readable.
                Slot::Good { bytes, .. } if highest(&bytes) > MOST / 2 => trusted = false,
                Slot::Good { counter, bytes } if counter > this.counter => {
                    this.counter = counter;
                    this.bytes = bytes;
                }
                Slot::Good { .. } => {}
            }
        }
        if made {
            disk.sync_dir("").map_err(JournalError::io("sync directory of", PATHS[0]))?;
            counters.syncs += 1;
        }
        if this.bytes.is_empty() {
            return Ok((
                this,
                NoteRead {
                    heads: NO_HEADS,
                    note_heads: NO_HEADS,
                    note: None,
                    rows: Rows::default(),
                    starts: None,
                    trusted,
                },
            ));
        }
        let mut heads = NO_HEADS;
        let mut fields = FieldReader::at(&this.bytes, 24);
        for head in heads.iter_mut().chain(&mut this.note_heads) {
            *head = Head { next: fields.u64().max(1), records: fields.u64() };
        }
        let mut fields = FieldReader::at(&this.bytes, PLACES_AT);
        let taken = Taken { next: fields.u64(), needed: fields.u64() };
        let rows = Rows { taken, decisions: fields.u64() };
        this.present = this.bytes[5] != 0;
        let note = this.caller().map(<[u8]>::to_vec);
        let note_heads = this.note_heads;
        let starts = starts_of(&this.bytes);
        this.starts = starts;
        Ok((this, NoteRead { heads, note_heads, note, rows, starts, trusted }))
    }

    /// The open files, by their paths.
    pub(crate) fn open_files(&self) -> impl Iterator<Item = (&'static str, &F)> {
        PATHS.into_iter().zip(&self.files).filter_map(|(path, file)| Some((path, &file.as_ref()?.0)))
    }

    /// Whether the last write told these starts.
    pub(crate) fn has_starts(&self, starts: &Starts) -> bool {
        starts_of(&self.bytes).as_ref() == Some(starts)
    }

    /// What the next writes say of where the lanes begin.
    pub(crate) fn set_starts(&mut self, starts: Starts) {
        self.starts = Some(starts);
    }

    /// Makes heads and note durable. `None` keeps the caller's bytes as they are.
    pub(crate) fn write<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        epoch: Epoch,
        heads: &Heads,
        rows: &Rows,
        note: Option<&[u8]>,
        counters: &mut IoCounts,
    ) -> Result<(), JournalError> {
        let counter = self.counter + 1;
        let kept = content_of(&self.bytes);
        let content = note.unwrap_or(kept);
        if content.len() > NOTE_CAP {
            return Err(JournalError::Options(format!("a note of {} bytes is larger than {NOTE_CAP}", content.len())));
        }
        let present = self.present || note.is_some();
        let note_heads = if note.is_some() { *heads } else { self.note_heads };
        self.next.clear();
        self.next.resize(HEADER_LEN, 0);
        self.next.extend_from_slice(content);
        let mut fields = FieldWriter::new(&mut self.next);
        fields
            .put(&MAGIC)
            .put(&[VERSION, u8::from(present), u8::from(self.starts.is_some()), 0])
            .u64(counter)
            .u64(epoch.0);
        for head in heads.iter().chain(&note_heads) {
            fields.u64(head.next).u64(head.records);
        }
        fields.u32(content.len() as u32).u32(0);
        fields.u64(rows.taken.next).u64(rows.taken.needed).u64(rows.decisions);
        let crc = crc32c::crc32c_append(crc32c::crc32c(&self.next[..CRC_AT]), &self.next[HEADER_LEN..]);
        FieldWriter::new(&mut self.next[CRC_AT..]).u32(crc);
        if let Some(starts) = &self.starts {
            let at = self.next.len();
            self.next.resize(at + STARTS_LEN, 0);
            let mut fields = FieldWriter::new(&mut self.next[at..]);
            for start in starts {
                fields.u64(start.next).u64(start.records);
            }
            let end = at + STARTS_LEN - 4;
            let crc = starts_crc(counter, &self.next[at..end]);
            FieldWriter::new(&mut self.next[end..]).u32(crc);
        }

        // Odd counters stand in the second file, so this one holds the commit before the last one.
        let index = (counter % 2) as usize;
        self.write_slot(disk, index, counters)?;
        std::mem::swap(&mut self.bytes, &mut self.next);
        self.counter = counter;
        self.present = present;
        self.note_heads = note_heads;
        Ok(())
    }

    fn write_slot<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        index: usize,
        counters: &mut IoCounts,
    ) -> Result<(), JournalError> {
        let path = PATHS[index];
        let needed = self.next.len() as u64;
        if let Some((file, capacity)) = &self.files[index]
            && needed <= *capacity
        {
            // Nothing of a longer note stays behind, so that every byte of the file is known (`verify`).
            let padded = self.filled[index].clamp(needed, *capacity);
            self.next.resize(padded as usize, 0);
            let written = disk.write_at(file, 0, &self.next).and_then(|()| disk.sync_data(file));
            self.next.truncate(needed as usize);
            counters.written += padded;
            counters.syncs += 1;
            if written.is_ok() {
                self.filled[index] = needed;
                return Ok(());
            }
            counters.failed_syncs += 1;
        }
        // Too small, or a sync failed and the file cannot be trusted any more: a new file in its place. The other one
        // holds the last commit meanwhile.
        self.files[index] = None;
        match disk.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(JournalError::io("remove", path)(error));
            }
            _ => {}
        }
        let (file, capacity) = create(disk, index, needed.next_multiple_of(PAGE))?;
        disk.write_at(&file, 0, &self.next).map_err(JournalError::io("write", path))?;
        disk.sync_data(&file).map_err(JournalError::io("sync", path))?;
        disk.sync_dir("").map_err(JournalError::io("sync directory of", path))?;
        self.filled[index] = needed;
        counters.written += needed;
        counters.syncs += 2;
        self.files[index] = Some((file, capacity));
        Ok(())
    }

    /// The caller's bytes of the last commit that had some.
    pub(crate) fn caller(&self) -> Option<&[u8]> {
        (self.present && self.bytes.len() >= HEADER_LEN).then(|| content_of(&self.bytes))
    }

    /// Whether these are the caller's bytes of the last commit that had some.
    pub(crate) fn is(&self, note: &[u8]) -> bool {
        self.caller() == Some(note)
    }

    pub(crate) fn resident_bytes(&self) -> usize {
        self.bytes.capacity() + self.next.capacity()
    }

    pub(crate) fn disk_bytes(&self) -> u64 {
        self.files.iter().flatten().map(|(_, capacity)| *capacity).sum()
    }
}

/// The caller's part.
fn content_of(bytes: &[u8]) -> &[u8] {
    let len = if bytes.len() < HEADER_LEN { 0 } else { FieldReader::at(bytes, 216).u32() as usize };
    bytes.get(HEADER_LEN..HEADER_LEN + len).unwrap_or_default()
}

fn starts_crc(counter: u64, starts: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&counter.to_le_bytes()), starts)
}

/// Where the lanes begin, as a whole note says; `None` when it does not say.
fn starts_of(bytes: &[u8]) -> Option<Starts> {
    let part = bytes.get(HEADER_LEN + content_of(bytes).len()..)?;
    if part.len() < STARTS_LEN {
        return None;
    }
    let mut fields = FieldReader::at(part, 0);
    Some(std::array::from_fn(|_| Head { next: fields.u64().max(1), records: fields.u64() }))
}

fn create<D: Disk>(disk: &D, index: usize, len: u64) -> Result<(D::File, u64), JournalError> {
    let file = disk.create(PATHS[index], len).map_err(JournalError::io("create", PATHS[index]))?;
    Ok((file, len))
}

/// Where a file's content ends, behind which there are only zeros; `None` when it is damaged.
pub(crate) fn check<D: Disk>(
    disk: &D,
    file: &D::File,
    index: usize,
    epoch: Epoch,
) -> Result<Option<u64>, JournalError> {
    let len = disk.len(file).map_err(JournalError::io("measure", PATHS[index]))?;
    Ok(match read_slot(disk, file, index, len, epoch)? {
        Slot::Empty => Some(0),
        Slot::Damaged => None,
        Slot::Good { bytes, .. } => Some(bytes.len() as u64),
    })
}

fn read_slot<D: Disk>(disk: &D, file: &D::File, index: usize, len: u64, epoch: Epoch) -> Result<Slot, JournalError> {
    let mut bytes = vec![0; HEADER_LEN];
    match read_exact_at(disk, file, 0, &mut bytes) {
        Ok(true) => {}
        // Shorter than a header: made by a crash before it was ever written.
        Ok(false) => return Ok(Slot::Empty),
        Err(_) => return Ok(Slot::Damaged),
    }
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(Slot::Empty);
    }
    let note_len = FieldReader::at(&bytes, 216).u32() as usize;
    let starts_len = if bytes[6] == 0 { 0 } else { STARTS_LEN };
    if bytes[..4] != MAGIC || note_len > NOTE_CAP || (HEADER_LEN + note_len + starts_len) as u64 > len {
        return Ok(Slot::Damaged);
    }
    bytes.resize(HEADER_LEN + note_len + starts_len, 0);
    if !matches!(read_exact_at(disk, file, HEADER_LEN as u64, &mut bytes[HEADER_LEN..]), Ok(true)) {
        return Ok(Slot::Damaged);
    }
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..CRC_AT]), content_of(&bytes));
    let mut fields = FieldReader::at(&bytes, 8);
    let (counter, written_epoch) = (fields.u64(), fields.u64());
    if starts_len > 0 {
        let (starts, crc) = bytes[HEADER_LEN + note_len..].split_at(STARTS_LEN - 4);
        if starts_crc(counter, starts) != FieldReader::at(crc, 0).u32() {
            return Ok(Slot::Damaged);
        }
    }
    if crc != FieldReader::at(&bytes, CRC_AT).u32() || written_epoch != epoch.0 {
        return Ok(Slot::Damaged);
    }
    if bytes[4] != VERSION {
        return Err(JournalError::version(PATHS[index], bytes[4]));
    }
    if (counter % 2) as usize != index || counter > MOST || highest(&bytes) > 2 * MOST {
        return Ok(Slot::Damaged);
    }
    Ok(Slot::Good { counter, bytes })
}

/// The highest sequence or sum of a note.
fn highest(bytes: &[u8]) -> u64 {
    let mut heads = FieldReader::at(bytes, 24);
    let mut rows = FieldReader::at(bytes, PLACES_AT);
    let heads = (0..4 * Lane::ALL.len()).map(|_| heads.u64()).max();
    heads.max((0..3).map(|_| rows.u64()).max()).unwrap_or_default()
}
