//! The commit records: the lanes' committed heads and the attachments, latest wins.
//!
//! Two files are written in turn, in place, after the frames of a commit are synced. So the newest readable one never says
//! more than is on disk, and nothing beyond its heads was ever sent (docs/journal.md, "Commit").

use std::io;

use disk::{Disk, IoCounts, read_exact_at};
use model::{Epoch, Lane};
use segment::{FieldReader, FieldWriter, MOST, VERSION};

use crate::attachment::{ATTACHMENT_CAP, Attachment, AttachmentKind, RECORDER_LEN};
use crate::commit_parts::{PART_HEAD, finish_part, part_at, part_crc};
use crate::error::JournalError;

pub(crate) const PATHS: [&str; 2] = ["note.a", "note.b"];
const MAGIC: [u8; 4] = *b"LSNT";
const HEADER_LEN: usize = 256;
/// Where the ledger's length stands.
const LEDGER_LEN_AT: usize = 216;
/// Where the recorder's attachment stands.
const RECORDER_AT: usize = 224;
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

/// Bytes behind the ledger: where the lanes begin, and a checksum of that with the counter.
const STARTS_LEN: usize = 16 * Lane::ALL.len() + 4;

/// Where it stands which of the parts behind the ledger there are.
const PARTS_AT: usize = 6;
const HAS_STARTS: u8 = 1;
const HAS_LOSSES: u8 = 2;
const HAS_POSITIONS: u8 = 4;

/// Records that destinations lost and that the ledger of the same record does not know of, by their names.
pub(crate) type Losses = Vec<(String, u64)>;

/// What changes between two commits: always less than a commit would say.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Advance {
    /// A lane that reaches further.
    pub(crate) head: Option<(usize, Head)>,
    /// Where lanes begin now, or will once files are removed.
    pub(crate) starts: [Option<Head>; Lane::ALL.len()],
}

/// What the files say.
#[derive(Debug)]
pub(crate) struct CommitRead {
    pub(crate) heads: Heads,
    /// The heads of the commit that brought the ledger.
    pub(crate) ledger_heads: Heads,
    /// The attachments of the newest commit that had some of a kind.
    pub(crate) attachments: Vec<(AttachmentKind, Vec<u8>)>,
    /// Where the lanes began; `None` when a program wrote it that did not tell.
    pub(crate) starts: Option<Starts>,
    /// What destinations lost that the ledger does not know of.
    pub(crate) losses: Losses,
    /// Whether the heads are surely the newest ones: neither file is damaged.
    pub(crate) trusted: bool,
    /// Whether the recorder's attachment surely is the last one that rode.
    pub(crate) is_last: bool,
}

/// What rides in one commit; `None` keeps what rode before.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Riding<'a> {
    ledger: Option<&'a [u8]>,
    recorder: Option<[u8; RECORDER_LEN]>,
    positions: Option<&'a [u8]>,
}

impl<'a> Riding<'a> {
    /// The last attachment of each kind.
    pub(crate) fn of(attachments: &[Attachment<'a>]) -> Result<Self, JournalError> {
        let mut riding = Self::default();
        for attachment in attachments {
            let bytes = attachment.bytes;
            let wrong = |cap: usize| {
                let (kind, len) = (attachment.kind, bytes.len());
                JournalError::Options(format!("an attachment {kind:?} of {len} bytes does not fit into {cap}"))
            };
            match attachment.kind {
                AttachmentKind::Ledger if bytes.len() > ATTACHMENT_CAP => return Err(wrong(ATTACHMENT_CAP)),
                AttachmentKind::Positions if bytes.len() > ATTACHMENT_CAP => return Err(wrong(ATTACHMENT_CAP)),
                AttachmentKind::Ledger => riding.ledger = Some(bytes),
                AttachmentKind::Positions => riding.positions = Some(bytes),
                AttachmentKind::Recorder => {
                    riding.recorder = Some(bytes.try_into().map_err(|_| wrong(RECORDER_LEN))?);
                }
            }
        }
        Ok(riding)
    }

    /// Whether a ledger is among it.
    pub(crate) fn has_ledger(&self) -> bool {
        self.ledger.is_some()
    }
}

/// What a record says beside its attachments.
struct Content<'a> {
    heads: &'a Heads,
    starts: Option<Starts>,
    losses: &'a Losses,
}

/// The two files.
pub(crate) struct CommitRecords<F> {
    files: [Option<(F, u64)>; 2],
    counter: u64,
    /// The record that was written last.
    bytes: Vec<u8>,
    /// Reused for the next write: what could not be written must not ride along with a later one.
    next: Vec<u8>,
    /// The heads of the record that was written last: never less than what is committed.
    heads: Heads,
    ledger_heads: Heads,
    /// What the record that was written last says of the lanes' starts, and of losses.
    starts: Option<Starts>,
    losses: Losses,
    recorder: [u8; RECORDER_LEN],
    /// Whether a newer attachment of the recorder may have been in a record that is damaged. Kept until the next one rides, so
    /// that whoever opens the journal without the recorder does not hide it.
    recorder_is_stale: bool,
    /// Bytes of each file that may be other than zero.
    filled: [u64; 2],
    /// Whether the caller has given a ledger yet.
    has_ledger: bool,
}

enum Slot {
    Empty,
    Damaged,
    Good { counter: u64, bytes: Vec<u8> },
}

impl<F> CommitRecords<F> {
    /// Opens both files, and makes those that are not there.
    pub(crate) fn open<D: Disk<File = F>>(
        disk: &D,
        epoch: Epoch,
        counts: &mut IoCounts,
    ) -> Result<(Self, CommitRead), JournalError> {
        let mut this = Self {
            files: [None, None],
            counter: 0,
            bytes: Vec::new(),
            next: Vec::new(),
            heads: NO_HEADS,
            ledger_heads: NO_HEADS,
            starts: None,
            losses: Losses::new(),
            recorder: [0; RECORDER_LEN],
            recorder_is_stale: false,
            filled: [0; 2],
            has_ledger: false,
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
            counts.syncs += 1;
        }
        this.take_over_last();
        this.recorder_is_stale |= !trusted;
        let read = CommitRead {
            heads: this.heads,
            ledger_heads: this.ledger_heads,
            attachments: this.attachments(),
            starts: this.starts,
            losses: this.losses.clone(),
            trusted,
            is_last: !this.recorder_is_stale,
        };
        Ok((this, read))
    }

    /// Goes on from the record that was read.
    fn take_over_last(&mut self) {
        let Some(header) = self.bytes.first_chunk::<HEADER_LEN>() else { return };
        let mut fields = FieldReader::at(header, 24);
        for head in self.heads.iter_mut().chain(&mut self.ledger_heads) {
            *head = Head { next: fields.u64().max(1), records: fields.u64() };
        }
        self.recorder.copy_from_slice(&header[RECORDER_AT..RECORDER_AT + RECORDER_LEN]);
        (self.has_ledger, self.recorder_is_stale) = (header[5] != 0, header[7] != 0);
        self.starts = starts_of(&self.bytes);
        self.losses = losses_of(&self.bytes).unwrap_or_default();
    }

    /// What rode in the last commits, by its kind.
    fn attachments(&self) -> Vec<(AttachmentKind, Vec<u8>)> {
        let ledger = self.ledger().map(|ledger| (AttachmentKind::Ledger, ledger.to_vec()));
        let recorder = (!self.bytes.is_empty()).then(|| (AttachmentKind::Recorder, self.recorder.to_vec()));
        let positions = positions_of(&self.bytes).map(|bytes| (AttachmentKind::Positions, bytes.to_vec()));
        ledger.into_iter().chain(recorder).chain(positions).collect()
    }

    /// The open files, by their paths.
    pub(crate) fn open_files(&self) -> impl Iterator<Item = (&'static str, &F)> {
        PATHS.into_iter().zip(&self.files).filter_map(|(path, file)| Some((path, &file.as_ref()?.0)))
    }

    /// Whether the last record says all of this already; `committed` are the heads of the last commit.
    pub(crate) fn says(
        &self,
        committed: &Heads,
        heads: &Heads,
        starts: &Starts,
        losses: &Losses,
        riding: &Riding<'_>,
    ) -> bool {
        heads == committed
            && starts_of(&self.bytes).as_ref() == Some(starts)
            && self.losses == *losses
            && riding.ledger.is_none_or(|ledger| self.ledger() == Some(ledger))
            && riding.positions.is_none_or(|positions| positions_of(&self.bytes) == Some(positions))
            && riding.recorder.is_none_or(|recorder| recorder == self.recorder && !self.recorder_is_stale)
    }

    /// Makes heads, starts, losses and attachments durable.
    #[allow(clippy::too_many_arguments, reason = "each is another part of the record")]
    pub(crate) fn write<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        epoch: Epoch,
        heads: &Heads,
        starts: &Starts,
        losses: &Losses,
        riding: &Riding<'_>,
        counts: &mut IoCounts,
    ) -> Result<(), JournalError> {
        self.put(disk, epoch, &Content { heads, starts: Some(*starts), losses }, riding, counts)
    }

    /// Says what the last record said, but for this, and with these losses.
    pub(crate) fn advance<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        epoch: Epoch,
        advance: &Advance,
        losses: &Losses,
        counts: &mut IoCounts,
    ) -> Result<(), JournalError> {
        let (mut heads, mut starts) = (self.heads, self.starts);
        if let Some((lane, head)) = advance.head {
            heads[lane] = head;
        }
        for (start, new) in starts.iter_mut().flatten().zip(&advance.starts) {
            *start = new.unwrap_or(*start);
        }
        self.put(disk, epoch, &Content { heads: &heads, starts, losses }, &Riding::default(), counts)
    }

    /// Writes the last record once more, into the other file.
    pub(crate) fn repeat<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        epoch: Epoch,
        counts: &mut IoCounts,
    ) -> Result<(), JournalError> {
        let losses = self.losses.clone();
        self.advance(disk, epoch, &Advance::default(), &losses, counts)
    }

    fn put<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        epoch: Epoch,
        content: &Content<'_>,
        riding: &Riding<'_>,
        counts: &mut IoCounts,
    ) -> Result<(), JournalError> {
        let Content { heads, starts, losses } = content;
        let counter = self.counter + 1;
        let ledger = riding.ledger.unwrap_or(ledger_of(&self.bytes));
        let recorder = riding.recorder.unwrap_or(self.recorder);
        let positions = riding.positions.or(positions_of(&self.bytes));
        let recorder_is_stale = self.recorder_is_stale && riding.recorder.is_none();
        let has_ledger = self.has_ledger || riding.ledger.is_some();
        let ledger_heads = if riding.ledger.is_some() { **heads } else { self.ledger_heads };
        let parts = if starts.is_some() { HAS_STARTS } else { 0 }
            | if losses.is_empty() { 0 } else { HAS_LOSSES }
            | if positions.is_some() { HAS_POSITIONS } else { 0 };
        self.next.clear();
        self.next.resize(HEADER_LEN, 0);
        self.next.extend_from_slice(ledger);
        let mut fields = FieldWriter::new(&mut self.next);
        fields
            .put(&MAGIC)
            .put(&[VERSION, u8::from(has_ledger), parts, u8::from(recorder_is_stale)])
            .u64(counter)
            .u64(epoch.0);
        for head in heads.iter().chain(&ledger_heads) {
            fields.u64(head.next).u64(head.records);
        }
        fields.u32(ledger.len() as u32).u32(0).put(&recorder);
        let crc = crc32c::crc32c_append(crc32c::crc32c(&self.next[..CRC_AT]), &self.next[HEADER_LEN..]);
        FieldWriter::new(&mut self.next[CRC_AT..]).u32(crc);
        if let Some(starts) = starts {
            let at = self.next.len();
            self.next.resize(at + STARTS_LEN, 0);
            let mut fields = FieldWriter::new(&mut self.next[at..]);
            for start in starts {
                fields.u64(start.next).u64(start.records);
            }
            let end = at + STARTS_LEN - 4;
            let crc = part_crc(counter, &self.next[at..end]);
            FieldWriter::new(&mut self.next[end..]).u32(crc);
        }
        if !losses.is_empty() {
            let at = self.next.len();
            self.next.resize(at + PART_HEAD, 0);
            for (name, records) in *losses {
                self.next.extend_from_slice(&records.to_le_bytes());
                self.next.push(name.len() as u8);
                self.next.extend_from_slice(name.as_bytes());
            }
            finish_part(counter, &mut self.next[at..]);
        }
        if let Some(positions) = positions {
            let at = self.next.len();
            self.next.resize(at + PART_HEAD, 0);
            self.next.extend_from_slice(positions);
            finish_part(counter, &mut self.next[at..]);
        }

        // Odd counters stand in the second file, so this one holds the commit before the last one.
        let index = (counter % 2) as usize;
        self.write_slot(disk, index, counts)?;
        std::mem::swap(&mut self.bytes, &mut self.next);
        self.counter = counter;
        self.has_ledger = has_ledger;
        self.ledger_heads = ledger_heads;
        (self.recorder, self.recorder_is_stale) = (recorder, recorder_is_stale);
        (self.heads, self.starts) = (**heads, *starts);
        self.losses.clone_from(losses);
        Ok(())
    }

    fn write_slot<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        index: usize,
        counts: &mut IoCounts,
    ) -> Result<(), JournalError> {
        let path = PATHS[index];
        let needed = self.next.len() as u64;
        if let Some((file, capacity)) = &self.files[index]
            && needed <= *capacity
        {
            // Nothing of a longer record stays behind, so that every byte of the file is known (`verify`).
            let padded = self.filled[index].clamp(needed, *capacity);
            self.next.resize(padded as usize, 0);
            let written = disk.write_at(file, 0, &self.next).and_then(|()| disk.sync_data(file));
            self.next.truncate(needed as usize);
            counts.written += padded;
            counts.syncs += 1;
            if written.is_ok() {
                self.filled[index] = needed;
                return Ok(());
            }
            counts.failed_syncs += 1;
        }
        // Too small, or a sync failed and the file cannot be trusted any more: a new file in its place. The other one
        // holds the last commit meanwhile.
        self.files[index] = None;
        disk::remove_if_there(disk, path)?;
        let (file, capacity) = create(disk, index, needed.next_multiple_of(PAGE))?;
        disk.write_at(&file, 0, &self.next).map_err(JournalError::io("write", path))?;
        disk.sync_data(&file).map_err(JournalError::io("sync", path))?;
        disk.sync_dir("").map_err(JournalError::io("sync directory of", path))?;
        self.filled[index] = needed;
        counts.written += needed;
        counts.syncs += 2;
        self.files[index] = Some((file, capacity));
        Ok(())
    }

    /// The ledger of the last commit that had one.
    fn ledger(&self) -> Option<&[u8]> {
        (self.has_ledger && self.bytes.len() >= HEADER_LEN).then(|| ledger_of(&self.bytes))
    }

    pub(crate) fn resident_bytes(&self) -> usize {
        self.bytes.capacity() + self.next.capacity()
    }

    pub(crate) fn disk_bytes(&self) -> u64 {
        self.files.iter().flatten().map(|(_, capacity)| *capacity).sum()
    }
}

/// The ledger in a record.
fn ledger_of(bytes: &[u8]) -> &[u8] {
    bytes.get(HEADER_LEN..HEADER_LEN + ledger_len(bytes)).unwrap_or_default()
}

/// How long the ledger in a record is.
fn ledger_len(bytes: &[u8]) -> usize {
    if bytes.len() < HEADER_LEN { 0 } else { FieldReader::at(bytes, LEDGER_LEN_AT).u32() as usize }
}

/// Where the lanes begin, as a whole record says; `None` when it does not say.
fn starts_of(bytes: &[u8]) -> Option<Starts> {
    if bytes.get(PARTS_AT)? & HAS_STARTS == 0 {
        return None;
    }
    let part = bytes.get(HEADER_LEN + ledger_of(bytes).len()..)?.first_chunk::<STARTS_LEN>()?;
    let mut fields = FieldReader::at(part, 0);
    Some(std::array::from_fn(|_| Head { next: fields.u64().max(1), records: fields.u64() }))
}

/// What destinations lost, as a whole record says; `None` when that is no list of losses.
fn losses_of(bytes: &[u8]) -> Option<Losses> {
    let mut losses = Losses::new();
    if bytes.get(PARTS_AT)? & HAS_LOSSES == 0 {
        return Some(losses);
    }
    let mut rest = part_at(bytes, losses_at(bytes))?;
    while let Some((fixed, behind)) = rest.split_first_chunk::<9>() {
        let (name, behind) = behind.split_at_checked(usize::from(fixed[8]))?;
        let records = FieldReader::at(fixed, 0).u64();
        if records > MOST {
            return None;
        }
        losses.push((std::str::from_utf8(name).ok()?.to_owned(), records));
        rest = behind;
    }
    rest.is_empty().then_some(losses)
}

/// How far sources that read are, as a whole record says; `None` when it does not say.
fn positions_of(bytes: &[u8]) -> Option<&[u8]> {
    if bytes.get(PARTS_AT)? & HAS_POSITIONS == 0 {
        return None;
    }
    part_at(bytes, positions_at(bytes)?)
}

/// Where in a record the positions stand.
fn positions_at(bytes: &[u8]) -> Option<usize> {
    let at = losses_at(bytes);
    match bytes.get(PARTS_AT)? & HAS_LOSSES {
        0 => Some(at),
        _ => Some(at + PART_HEAD + part_at(bytes, at)?.len()),
    }
}

/// Where in a record the losses stand.
fn losses_at(bytes: &[u8]) -> usize {
    let starts = bytes.get(PARTS_AT).is_some_and(|parts| parts & HAS_STARTS != 0);
    HEADER_LEN + ledger_len(bytes) + if starts { STARTS_LEN } else { 0 }
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
    if bytes[..4] != MAGIC || ledger_len(&bytes) > ATTACHMENT_CAP {
        return Ok(Slot::Damaged);
    }
    let losses_at = losses_at(&bytes);
    let mut whole_len = losses_at;
    let mut parts_at = Vec::new();
    for _ in [HAS_LOSSES, HAS_POSITIONS].into_iter().filter(|part| bytes[PARTS_AT] & part != 0) {
        let mut head = [0; PART_HEAD];
        if !matches!(read_exact_at(disk, file, whole_len as u64, &mut head), Ok(true)) {
            return Ok(Slot::Damaged);
        }
        let part_len = FieldReader::at(&head, 0).u32() as usize;
        if part_len > ATTACHMENT_CAP {
            return Ok(Slot::Damaged);
        }
        parts_at.push(whole_len);
        whole_len += PART_HEAD + part_len;
    }
    if whole_len as u64 > len {
        return Ok(Slot::Damaged);
    }
    bytes.resize(whole_len, 0);
    if !matches!(read_exact_at(disk, file, HEADER_LEN as u64, &mut bytes[HEADER_LEN..]), Ok(true)) {
        return Ok(Slot::Damaged);
    }
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..CRC_AT]), ledger_of(&bytes));
    let mut fields = FieldReader::at(&bytes, 8);
    let (counter, written_epoch) = (fields.u64(), fields.u64());
    let starts = &bytes[HEADER_LEN + ledger_len(&bytes)..losses_at];
    if let Some((starts, crc)) = starts.split_last_chunk::<4>()
        && part_crc(counter, starts) != FieldReader::at(crc, 0).u32()
    {
        return Ok(Slot::Damaged);
    }
    let is_whole = |at: usize| {
        part_at(&bytes, at).is_some_and(|part| part_crc(counter, part) == FieldReader::at(&bytes, at + 4).u32())
    };
    if !parts_at.into_iter().all(is_whole) {
        return Ok(Slot::Damaged);
    }
    if crc != FieldReader::at(&bytes, CRC_AT).u32() || written_epoch != epoch.0 {
        return Ok(Slot::Damaged);
    }
    if bytes[4] != VERSION {
        return Err(JournalError::version(PATHS[index], bytes[4]));
    }
    if (counter % 2) as usize != index || counter > MOST || highest(&bytes) > 2 * MOST || losses_of(&bytes).is_none() {
        return Ok(Slot::Damaged);
    }
    Ok(Slot::Good { counter, bytes })
}

/// The highest sequence or sum of a record.
fn highest(bytes: &[u8]) -> u64 {
    let mut heads = FieldReader::at(bytes, 24);
    (0..4 * Lane::ALL.len()).map(|_| heads.u64()).max().unwrap_or_default()
}
