//! A row of segments that is written as a ring: what came in (the recorder in files), or what was decided of it.

use std::collections::VecDeque;
use std::io;

use disk::Disk;
use segment::{Entry, EntryKind, FIXED, FIXED_LEN, Row, Segment, SegmentFile, SegmentHeader, SegmentKey, Step, firsts};

use crate::error::JournalError;
use crate::lane::Core;

/// The smallest segment of a tape.
const MIN_SEGMENT: u64 = 64 << 10;
/// The largest one.
const MAX_SEGMENT: u64 = 8 << 20;
/// A ring has at least so many segments: one of them is given back at a time.
const SEGMENTS: u64 = 16;

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum TapeError {
    /// What is still needed takes all of the ring, or the disk is full.
    #[error("the {0} on disk is full of what is still needed")]
    Full(&'static str),
    /// The disk failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

struct Open<F> {
    file: SegmentFile<F>,
    end: u64,
    capacity: u64,
}

/// The row.
pub(crate) struct Tape<F> {
    row: Row,
    pub(crate) segments: VecDeque<Segment>,
    open: Option<Open<F>>,
    /// The next sequence to be given out.
    pub(crate) next: u64,
    budget: u64,
    /// Whether entries, and names, were written and not synced.
    dirty: bool,
    dir_dirty: bool,
}

/// What an entry of a tape is made of besides its payload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Label {
    pub(crate) kind: EntryKind,
    /// Sequences that the entry takes.
    pub(crate) count: u32,
    /// When it was written, Unix nanoseconds.
    pub(crate) wall_ns: u64,
}

impl<F> Tape<F> {
    /// Opens a row. Entries from `limit` on were never committed and are cut; sequences go on behind everything that is
    /// held, and not before `floor`.
    pub(crate) fn open<D: Disk<File = F>>(
        core: &mut Core<D>,
        row: Row,
        budget: u64,
        floor: u64,
        limit: u64,
    ) -> Result<Self, JournalError> {
        let dir = row.dir();
        core.disk.create_dir(&dir).map_err(JournalError::io("create", &dir))?;
        core.disk.sync_dir("").map_err(JournalError::io("sync directory of", &dir))?;
        let mut tape = Self {
            row,
            segments: VecDeque::new(),
            open: None,
            next: floor.max(1),
            budget,
            dirty: false,
            dir_dirty: true,
        };
        let firsts = firsts(&core.disk, row)?;
        for (position, first) in firsts.iter().copied().enumerate() {
            // A later segment owns everything from its first sequence on.
            let limit = firsts.get(position + 1).copied().unwrap_or(u64::MAX).min(limit);
            let file = SegmentFile::open_settled(&core.disk, tape.key(core, first))?;
            match tape.recover(core, &file, limit)? {
                Some(segment) => {
                    tape.next = tape.next.max(segment.last + 1);
                    tape.segments.push_back(segment);
                }
                None => core.disk.remove(&file.path()).map_err(JournalError::io("remove", file.path()))?,
            }
        }
        // A process that was killed may have left names unsynced that are seen now.
        core.disk.sync_dir(&dir).map_err(JournalError::io("sync directory of", &dir))?;
        tape.dir_dirty = false;
        // So that a disk that fills up later finds the row ready. Where there is no room now, the first entry tries again.
        let _ready = tape.roll(core, 0, 1);
        Ok(tape)
    }

    /// The segment that is written.
    pub(crate) fn open_file(&self) -> Option<&SegmentFile<F>> {
        Some(&self.open.as_ref()?.file)
    }

    pub(crate) fn key<D: Disk<File = F>>(&self, core: &Core<D>, first: u64) -> SegmentKey {
        SegmentKey { epoch: core.epoch, row: self.row, first }
    }

    /// What a file of an earlier life holds, sealed; `None` when there is nothing in it.
    fn recover<D: Disk<File = F>>(
        &self,
        core: &mut Core<D>,
        file: &SegmentFile<F>,
        limit: u64,
    ) -> Result<Option<Segment>, JournalError> {
        let len = file.size(&core.disk)?;
        let mut segment = Segment::empty(file.key().first, 0, 0, len);
        if let Some(footer) = file.footer(&core.disk, len).filter(|footer| footer.last < limit) {
            segment.apply_footer(&footer);
            return Ok((!segment.is_empty()).then_some(segment));
        }
        let (mut at, mut payload) = (FIXED, Vec::new());
        while let Step::Entry { at: found, entry } = file.next_entry(&core.disk, at, len) {
            at = found + entry.total_len();
            if entry.last() >= limit {
                break;
            }
            // What a crash tore was not synced; what stands behind it may still be whole.
            if entry.first > segment.last && file.read_payload(&core.disk, found, &entry, &mut payload) {
                segment.absorb(&entry, at);
            }
        }
        if segment.is_empty() {
            return Ok(None);
        }
        self.seal(core, file, &mut segment);
        Ok(Some(segment))
    }

    /// Ends a segment: footer, cut. When that fails its entries are found one by one.
    fn seal<D: Disk<File = F>>(&self, core: &mut Core<D>, file: &SegmentFile<F>, segment: &mut Segment) {
        match file.seal(&core.disk, segment, &mut core.counts) {
            Ok(len) => segment.disk_bytes = len,
            Err(_) => core.counts.failed_syncs += 1,
        }
    }

    pub(crate) fn disk_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.disk_bytes).sum()
    }

    /// The oldest sequence that is held.
    pub(crate) fn oldest(&self) -> u64 {
        self.segments.front().map_or(self.next, |segment| segment.first)
    }

    /// Writes an entry and gives its first sequence. Nothing from `keep` on is overwritten. It survives the program's end
    /// at once, and a power cut after [`Tape::sync`].
    pub(crate) fn append<D: Disk<File = F>>(
        &mut self,
        core: &mut Core<D>,
        label: Label,
        payload: &[u8],
        keep: u64,
    ) -> Result<u64, TapeError> {
        let needed = FIXED + payload.len() as u64;
        let mut failed = None;
        for _ in 0..2 {
            let fits = self.open.as_ref().is_some_and(|open| open.end + needed + FIXED <= open.capacity);
            if !fits {
                self.roll(core, needed, keep)?;
            }
            match self.write(core, label, payload) {
                Ok(first) => return Ok(first),
                // The segment is given up where it was last whole; once more in a new one.
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.map_or(TapeError::Full(self.name()), TapeError::Journal))
    }

    fn name(&self) -> &'static str {
        if self.row == Row::Recorder { "recorder" } else { "memory of decisions" }
    }

    fn write<D: Disk<File = F>>(
        &mut self,
        core: &mut Core<D>,
        label: Label,
        payload: &[u8],
    ) -> Result<u64, JournalError> {
        let (Some(open), Some(segment)) = (self.open.as_mut(), self.segments.back_mut()) else {
            return Err(JournalError::Internal("a tape has no open segment".into()));
        };
        let key = *open.file.key();
        let entry = Entry {
            kind: label.kind,
            len: payload.len() as u32,
            payload_crc: crc32c::crc32c(payload),
            first: self.next,
            frames: label.count,
            records: label.count,
            records_before: 0,
            start_ns: label.wall_ns,
            end_ns: label.wall_ns,
        };
        let mut fixed = entry.encode();
        key.stamp(open.end, &mut fixed);
        let written = core
            .disk
            .write_at(open.file.file(), open.end, &fixed)
            .and_then(|()| core.disk.write_at(open.file.file(), open.end + FIXED, payload));
        core.counts.written += entry.total_len();
        if let Err(error) = written {
            core.counts.failed_syncs += 1;
            self.give_up(core);
            return Err(JournalError::io("write", key.path())(error));
        }
        open.end += entry.total_len();
        segment.absorb(&entry, open.end);
        self.next += u64::from(label.count);
        self.dirty = true;
        Ok(entry.first)
    }

    /// Nothing more goes into the open segment.
    fn give_up<D: Disk<File = F>>(&mut self, core: &Core<D>) {
        self.open = None;
        if self.segments.back().is_some_and(Segment::is_empty)
            && let Some(segment) = self.segments.pop_back()
        {
            // A name that stays behind is removed at the next start.
            let _left = core.disk.remove(&self.key(core, segment.first).path());
        }
    }

    /// Seals the open segment and makes a new one, overwriting the oldest ones.
    fn roll<D: Disk<File = F>>(&mut self, core: &mut Core<D>, needed: u64, keep: u64) -> Result<(), TapeError> {
        if let Some(open) = self.open.take()
            && let Some(mut segment) = self.segments.pop_back()
        {
            if segment.is_empty() {
                core.disk
                    .remove(&self.key(core, segment.first).path())
                    .map_err(JournalError::io("remove", self.row.dir()))?;
            } else {
                self.seal(core, &open.file, &mut segment);
                self.segments.push_back(segment);
            }
        }
        let size =
            (self.budget / SEGMENTS).clamp(MIN_SEGMENT, MAX_SEGMENT).max(needed + 2 * FIXED).next_multiple_of(4096);
        loop {
            while self.disk_bytes() + size > self.budget.max(2 * size) {
                if !self.drop_oldest(core, keep)? {
                    return Err(TapeError::Full(self.name()));
                }
            }
            match self.create(core, size) {
                Ok(()) => return Ok(()),
                Err(error) if error.is_full() => {
                    // Somebody else fills the disk: the row makes room for itself, but never gives up most of what it holds.
                    let many = self.segments.len() as u64 > SEGMENTS / 2;
                    if !(many && self.drop_oldest(core, keep)?) {
                        return Err(TapeError::Full(self.name()));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn create<D: Disk<File = F>>(&mut self, core: &mut Core<D>, size: u64) -> Result<(), JournalError> {
        let key = self.key(core, self.next);
        let path = key.path();
        match core.disk.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(JournalError::io("remove", path)(error));
            }
            _ => {}
        }
        let file = core.disk.create(&path, size).map_err(JournalError::io("create", &path))?;
        let header = SegmentHeader { records_before: 0, bytes_before: 0, watermark_ns: 0 };
        let fixed: [u8; FIXED_LEN] = header.encode(&key);
        core.disk.write_at(&file, 0, &fixed).map_err(JournalError::io("write", path))?;
        core.counts.written += FIXED;
        self.dir_dirty = true;
        self.segments.push_back(Segment::empty(key.first, 0, 0, size));
        self.open = Some(Open { file: SegmentFile::new(key, file), end: FIXED, capacity: size });
        Ok(())
    }

    /// The row as it is, to go back to when what follows fails.
    pub(crate) fn mark(&self) -> (u64, Option<Segment>) {
        (self.next, self.segments.back().copied())
    }

    /// Takes back what was appended since a mark, after the segment was given up: its sequences are given out again, in a new
    /// segment, which then owns them.
    pub(crate) fn take_back<D: Disk<File = F>>(&mut self, core: &Core<D>, mark: (u64, Option<Segment>)) {
        let (next, last) = mark;
        self.open = None;
        while let Some(segment) = self.segments.back_mut() {
            if let Some(last) = last.filter(|last| last.first == segment.first) {
                *segment = last;
                break;
            }
            if segment.first < next {
                break;
            }
            let path = SegmentKey { epoch: core.epoch, row: self.row, first: segment.first }.path();
            let _left = core.disk.remove(&path);
            self.segments.pop_back();
        }
        self.next = next;
        if self.segments.back().is_some_and(Segment::is_empty)
            && let Some(segment) = self.segments.pop_back()
        {
            let _left = core.disk.remove(&self.key(core, segment.first).path());
        }
    }

    /// Removes the oldest segment; false when it is still needed.
    fn drop_oldest<D: Disk<File = F>>(&mut self, core: &Core<D>, keep: u64) -> Result<bool, JournalError> {
        let Some(segment) = self.segments.front().filter(|segment| segment.last < keep) else { return Ok(false) };
        let path = self.key(core, segment.first).path();
        match core.disk.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(JournalError::io("remove", path)(error));
            }
            _ => {}
        }
        if self.segments.len() == 1 {
            self.open = None;
        }
        self.segments.pop_front();
        self.dir_dirty = true;
        Ok(true)
    }

    /// Makes everything that was written durable. When that fails the segment is given up: what was not synced may be lost in
    /// a power cut, and nothing is synced in it again.
    pub(crate) fn sync<D: Disk<File = F>>(&mut self, core: &mut Core<D>) -> Result<(), JournalError> {
        if self.dirty
            && let Some(open) = &self.open
        {
            core.counts.syncs += 1;
            if let Err(error) = core.disk.sync_data(open.file.file()) {
                core.counts.failed_syncs += 1;
                self.give_up(core);
                return Err(JournalError::io("sync", self.row.dir())(error));
            }
            self.dirty = false;
        }
        if self.dir_dirty {
            core.counts.syncs += 1;
            core.disk.sync_dir(&self.row.dir()).map_err(JournalError::io("sync directory of", self.row.dir()))?;
            self.dir_dirty = false;
        }
        Ok(())
    }

    /// Calls `each` with every entry that has sequences from `from` on, in order, and its payload. What is damaged is passed
    /// over and counted.
    pub(crate) fn read<D: Disk<File = F>>(
        &self,
        core: &Core<D>,
        from: u64,
        mut each: impl FnMut(&Entry, &[u8]),
    ) -> Result<u64, JournalError> {
        let mut damaged = 0;
        let mut payload = Vec::new();
        for segment in self.segments.iter().filter(|segment| segment.last >= from) {
            let key = self.key(core, segment.first);
            let file = SegmentFile::open(&core.disk, key).map_err(JournalError::io("open", key.path()))?;
            let mut at = FIXED;
            while let Step::Entry { at: found, entry } = file.next_entry(&core.disk, at, segment.data_end) {
                damaged += u64::from(found != at);
                at = found + entry.total_len();
                if entry.last() < from {
                    continue;
                }
                if file.read_payload(&core.disk, found, &entry, &mut payload) {
                    each(&entry, &payload);
                } else {
                    damaged += 1;
                }
            }
        }
        Ok(damaged)
    }
}
