//! Cursor files: how far each destination has confirmed each lane.
//!
//! A file has two slots that are written in turn, in place: a full disk must not keep a cursor from moving, since it is the
//! cursor that lets segments go.

use std::io;

use disk::{Disk, IoCounts, read_exact_at};
use model::{Epoch, Lane};
use segment::{FieldReader, FieldWriter, MOST, VERSION};

use crate::error::JournalError;

pub(crate) const DIR: &str = "cursors";
const MAGIC: [u8; 4] = *b"LSCU";
pub(crate) const LEN: usize = 24 + 16 * Lane::ALL.len() + 8;
const CRC_AT: usize = LEN - 4;
/// Distance of the slots: no page of a flash card is shared by both.
pub(crate) const SLOT: u64 = 4096;
/// Bytes that a cursor file takes.
pub(crate) const FILE_LEN: u64 = 2 * SLOT;

/// How far a destination is in one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Position {
    /// The sequence up to which everything is confirmed; 0 when nothing is.
    pub(crate) confirmed: u64,
    /// Records up to there.
    pub(crate) records: u64,
}

pub(crate) type Positions = [Position; Lane::ALL.len()];

/// What a cursor file says.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CursorRead {
    /// The newest readable state; `None` when there is none.
    pub(crate) positions: Option<Positions>,
    /// Whether there was no file.
    pub(crate) is_new: bool,
    /// Whether a slot is damaged, so that there may have been a newer state.
    pub(crate) damaged: bool,
    /// Whether the state is that of another file, and is to be written into the destination's own.
    pub(crate) goes_on: bool,
}

impl CursorRead {
    /// How far the destination is at least: a file that was never written says that it has nothing. `None` where there was no file: it
    /// begins at the oldest frame held.
    pub(crate) fn reached(&self) -> Option<Positions> {
        self.positions.or_else(|| (!self.is_new).then(Positions::default))
    }
}

/// The cursor file of one destination.
pub(crate) struct CursorFile<F> {
    path: String,
    file: Option<F>,
    counter: u64,
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

impl<F> CursorFile<F> {
    /// Opens a destination's file, or makes it.
    pub(crate) fn open<D: Disk<File = F>>(
        disk: &D,
        destination: &str,
        epoch: Epoch,
    ) -> Result<(Self, CursorRead), JournalError> {
        let mut this = Self { path: path(destination), file: None, counter: 0 };
        let mut read = CursorRead::default();
        match disk.open_settled(&this.path) {
            Ok(file) => {
                for slot in 0..2 {
                    this.read_slot(disk, &file, slot, epoch, &mut read)?;
                }
                if disk.len(&file).is_ok_and(|len| len == FILE_LEN) {
                    this.file = Some(file);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => read.is_new = true,
            Err(error) => return Err(JournalError::io("open", this.path)(error)),
        }
        if this.file.is_none() {
            // On a full disk it is made at the first write.
            match this.make(disk) {
                Err(error) if !error.is_full() => return Err(error),
                _ => {}
            }
        }
        Ok((this, read))
    }

    /// What the file of a destination says, when there is one; nothing is made.
    pub(crate) fn read<D: Disk<File = F>>(
        disk: &D,
        destination: &str,
        epoch: Epoch,
    ) -> Result<CursorRead, JournalError> {
        let mut this = Self { path: path(destination), file: None, counter: 0 };
        let mut read = CursorRead::default();
        match disk.open(&this.path) {
            Ok(file) => {
                for slot in 0..2 {
                    this.read_slot(disk, &file, slot, epoch, &mut read)?;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(JournalError::io("open", this.path)(error)),
        }
        Ok(read)
    }

    fn make<D: Disk<File = F>>(&mut self, disk: &D) -> Result<(), JournalError> {
        match disk.remove(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(JournalError::io("remove", &self.path)(error));
            }
            _ => {}
        }
        self.file = Some(disk.create(&self.path, FILE_LEN).map_err(JournalError::io("create", &self.path))?);
        disk.sync_dir(DIR).map_err(JournalError::io("sync directory", DIR))
    }

    fn read_slot<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        file: &F,
        slot: u64,
        epoch: Epoch,
        read: &mut CursorRead,
    ) -> Result<(), JournalError> {
        let mut bytes = [0; LEN];
        match read_exact_at(disk, file, slot * SLOT, &mut bytes) {
            Ok(true) => {}
            // A crash came before its length was durable, so nothing ever was.
            Ok(false) => return Ok(()),
            Err(_) => {
                read.damaged = true;
                return Ok(());
            }
        }
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        let mut fields = FieldReader::at(&bytes, 8);
        let (counter, written_epoch) = (fields.u64(), fields.u64());
        let right = bytes[..4] == MAGIC
            && crc32c::crc32c(&bytes[..CRC_AT]) == FieldReader::at(&bytes, CRC_AT).u32()
            && written_epoch == epoch.0
            && counter % 2 == slot;
        if !right {
            read.damaged = true;
            return Ok(());
        }
        if bytes[4] != VERSION {
            return Err(JournalError::version(self.path.clone(), bytes[4]));
        }
        let mut positions = Positions::default();
        for position in &mut positions {
            *position = Position { confirmed: fields.u64(), records: fields.u64() };
        }
        // What goes on from here has to stay readable.
        if positions.iter().any(|position| position.confirmed > MOST / 2 || position.records > MOST / 2)
            || counter > MOST
        {
            read.damaged = true;
            return Ok(());
        }
        if counter > self.counter {
            self.counter = counter;
            read.positions = Some(positions);
        }
        Ok(())
    }

    /// Makes a state durable.
    pub(crate) fn write<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        epoch: Epoch,
        positions: &Positions,
        counters: &mut IoCounts,
    ) -> Result<(), JournalError> {
        let counter = self.counter + 1;
        let mut bytes = [0; LEN];
        let mut fields = FieldWriter::new(&mut bytes);
        fields.put(&MAGIC).put(&[VERSION, 0, 0, 0]).u64(counter).u64(epoch.0);
        for position in positions {
            fields.u64(position.confirmed).u64(position.records);
        }
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        FieldWriter::new(&mut bytes[CRC_AT..]).u32(crc);
        for attempt in 0..2 {
            if self.file.is_none() {
                self.make(disk)?;
                counters.syncs += 1;
            }
            let Some(file) = &self.file else { break };
            let written = disk.write_at(file, (counter % 2) * SLOT, &bytes).and_then(|()| disk.sync_data(file));
            counters.written += LEN as u64;
            counters.syncs += 1;
            match written {
                Ok(()) => {
                    self.counter = counter;
                    return Ok(());
                }
                Err(error) => {
                    counters.failed_syncs += 1;
                    // Never synced again: a new file in its place. A crash before that is done sends twice.
                    self.file = None;
                    if attempt == 1 {
                        return Err(JournalError::io("sync", &self.path)(error));
                    }
                }
            }
        }
        Ok(())
    }
}

/// How far each destination has confirmed each lane, by the names of the files.
pub(crate) fn all<D: Disk>(disk: &D, epoch: Epoch) -> Result<Vec<(String, [u64; Lane::ALL.len()])>, JournalError> {
    let mut found = Vec::new();
    let names = match disk.list(DIR) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(JournalError::io("list", DIR)(error)),
    };
    for name in names {
        let Some(destination) = name.strip_suffix(".cur") else { continue };
        let path = format!("{DIR}/{name}");
        let file = disk.open(&path).map_err(JournalError::io("open", &path))?;
        let mut cursor = CursorFile { path, file: None, counter: 0 };
        let mut read = CursorRead::default();
        for slot in 0..2 {
            cursor.read_slot(disk, &file, slot, epoch, &mut read)?;
        }
        found.push((destination.to_owned(), read.positions.unwrap_or_default().map(|position| position.confirmed)));
    }
    found.sort();
    Ok(found)
}

/// Whether a slot is as it was written, or never was.
pub(crate) fn check<D: Disk>(disk: &D, file: &D::File, slot: u64, epoch: Epoch) -> Result<bool, JournalError> {
    let mut cursor = CursorFile { path: String::new(), file: None, counter: 0 };
    let mut read = CursorRead::default();
    cursor.read_slot(disk, file, slot, epoch, &mut read)?;
    Ok(!read.damaged)
}

/// Writes a damaged file anew with the newest state that can be read, or removes it when there is none: its destination
/// then begins at the oldest frame held.
pub(crate) fn rewrite<D: Disk>(disk: &D, path: &str, epoch: Epoch) -> Result<(), JournalError> {
    let file = disk.open(path).map_err(JournalError::io("open", path))?;
    let mut old = CursorFile { path: path.to_owned(), file: None, counter: 0 };
    let mut read = CursorRead::default();
    for slot in 0..2 {
        old.read_slot(disk, &file, slot, epoch, &mut read)?;
    }
    old.make(disk)?;
    match read.positions {
        Some(positions) => old.write(disk, epoch, &positions, &mut IoCounts::default()),
        None => Ok(()),
    }
}
