//! A row of segments that is written as a ring: whole segments go, the oldest first, and never one that is still needed.

use std::collections::VecDeque;
use std::io;

use disk::{Disk, DiskError, IoCounts};
use model::Epoch;
use segment::{
    Entry, EntryKind, FIXED, FIXED_LEN, Row, Segment, SegmentFile, SegmentHeader, SegmentKey, Step, firsts, seal,
};

use crate::error::RecorderError;

/// The smallest segment of a ring.
const MIN_SEGMENT: u64 = 64 << 10;
/// The largest one.
const MAX_SEGMENT: u64 = 8 << 20;
/// A ring has at least so many segments: one of them is given back at a time.
const SEGMENTS: u64 = 16;

/// The segment that is written.
#[derive(Debug)]
struct Open<F> {
    file: SegmentFile<F>,
    end: u64,
    capacity: u64,
}

/// The ring.
#[derive(Debug)]
pub(crate) struct FileRing<F> {
    epoch: Epoch,
    row: Row,
    /// Oldest first. The last one is the open one, if any is.
    segments: VecDeque<Segment>,
    open: Option<Open<F>>,
    /// The next sequence to be given out.
    next: u64,
    budget: u64,
    /// Whether entries were written and not synced.
    dirty: bool,
    /// Whether names changed and were not synced.
    dir_dirty: bool,
    counts: IoCounts,
}

/// The ring as it was, to go back to when what follows fails.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    next: u64,
    newest: Option<Segment>,
}

impl Mark {
    /// The sequence that came next.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }
}

/// What an entry is made of besides its payload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Label {
    pub(crate) kind: EntryKind,
    /// Sequences that the entry takes.
    pub(crate) count: u32,
    /// When it was written, Unix nanoseconds.
    pub(crate) wall_ns: u64,
}

impl<F> FileRing<F> {
    /// Opens a row. Entries from `limit` on were never committed and are cut; sequences go on behind everything that is
    /// held, and not before `floor`.
    pub(crate) fn open<D: Disk<File = F>>(
        disk: &D,
        epoch: Epoch,
        row: Row,
        budget: u64,
        floor: u64,
        limit: u64,
    ) -> Result<Self, DiskError> {
        let dir = row.dir();
        disk.create_dir(&dir).map_err(DiskError::io("create", &dir))?;
        disk.sync_dir("").map_err(DiskError::io("sync directory of", &dir))?;
        let mut ring = Self {
            row,
            epoch,
            segments: VecDeque::new(),
            open: None,
            next: floor.max(1),
            budget,
            dirty: false,
            dir_dirty: true,
            counts: IoCounts::default(),
        };
        let firsts = firsts(disk, row)?;
        for (position, first) in firsts.iter().copied().enumerate() {
            // A later segment owns everything from its first sequence on.
            let limit = firsts.get(position + 1).copied().unwrap_or(u64::MAX).min(limit);
            let file = SegmentFile::open_settled(disk, ring.key(first))?;
            match ring.recover(disk, &file, limit)? {
                Some(segment) => {
                    ring.next = ring.next.max(segment.last + 1);
                    ring.segments.push_back(segment);
                }
                None => disk.remove(&file.path()).map_err(DiskError::io("remove", file.path()))?,
            }
        }
        // A process that was killed may have left names unsynced that are seen now.
        disk.sync_dir(&dir).map_err(DiskError::io("sync directory of", &dir))?;
        ring.dir_dirty = false;
        // So that a disk that fills up later finds the row ready. Where there is no room now, the first entry tries again.
        let _ready = ring.roll(disk, 0, 1);
        Ok(ring)
    }

    /// The next sequence to be given out.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// What was written and synced since it was opened.
    pub(crate) fn counts(&self) -> IoCounts {
        self.counts
    }

    /// Whether the file that is written is still where it was.
    pub(crate) fn check_place<D: Disk<File = F>>(&self, disk: &D) -> Result<(), DiskError> {
        match &self.open {
            Some(open) => disk::check_place(disk, &open.file.path(), open.file.file()),
            None => Ok(()),
        }
    }

    fn key(&self, first: u64) -> SegmentKey {
        SegmentKey { epoch: self.epoch, row: self.row, first }
    }

    /// What a file of an earlier life holds, sealed; `None` when there is nothing in it.
    fn recover<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        file: &SegmentFile<F>,
        limit: u64,
    ) -> Result<Option<Segment>, DiskError> {
        let len = file.size(disk)?;
        let mut segment = Segment::empty(file.key().first, 0, 0, len);
        if let Some(footer) = file.footer(disk, len).filter(|footer| footer.last < limit) {
            segment.apply_footer(&footer);
            return Ok((!segment.is_empty()).then_some(segment));
        }
        let (mut at, mut payload) = (FIXED, Vec::new());
        while let Step::Entry { at: found, entry } = file.next_entry(disk, at, len) {
            at = found + entry.total_len();
            if entry.last() >= limit {
                break;
            }
            // What a crash tore was not synced; what stands behind it may still be whole.
            if entry.first > segment.last && file.read_payload(disk, found, &entry, &mut payload) {
                segment.absorb(&entry, at);
            }
        }
        if segment.is_empty() {
            return Ok(None);
        }
        self.seal(disk, file, &mut segment);
        Ok(Some(segment))
    }

    /// Ends a segment: footer, cut. When that fails its entries are found one by one.
    fn seal<D: Disk<File = F>>(&mut self, disk: &D, file: &SegmentFile<F>, segment: &mut Segment) {
        match seal(disk, file, segment, &mut self.counts) {
            Ok(len) => segment.disk_bytes = len,
            Err(_) => self.counts.failed_syncs += 1,
        }
    }

    fn disk_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.disk_bytes).sum()
    }

    /// The oldest sequence that is held.
    pub(crate) fn oldest(&self) -> u64 {
        self.segments.front().map_or(self.next, |segment| segment.first)
    }

    /// Writes an entry and gives its first sequence. Nothing from `keep` on is overwritten. It survives the program's end
    /// at once, and a power cut after [`FileRing::sync`].
    pub(crate) fn append<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        label: Label,
        payload: &[u8],
        keep: u64,
    ) -> Result<u64, RecorderError> {
        let needed = FIXED + payload.len() as u64;
        let mut failed = None;
        for _ in 0..2 {
            let fits = self.open.as_ref().is_some_and(|open| open.end + needed + FIXED <= open.capacity);
            if !fits {
                self.roll(disk, needed, keep)?;
            }
            match self.write(disk, label, payload) {
                Ok(first) => return Ok(first),
                // The segment is abandoned where it was last whole; once more in a new one.
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.map_or(RecorderError::Full(self.name()), RecorderError::Disk))
    }

    fn name(&self) -> &'static str {
        if self.row == Row::Recorder { "recorder" } else { "ring of decisions" }
    }

    fn write<D: Disk<File = F>>(&mut self, disk: &D, label: Label, payload: &[u8]) -> Result<u64, DiskError> {
        let (Some(open), Some(segment)) = (self.open.as_mut(), self.segments.back_mut()) else {
            let closed = io::Error::other("its newest segment was abandoned");
            return Err(DiskError::io("write", self.row.dir())(closed));
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
            signals: None,
        };
        let mut fixed = entry.encode();
        key.stamp(open.end, &mut fixed);
        let written = disk
            .write_at(open.file.file(), open.end, &fixed)
            .and_then(|()| disk.write_at(open.file.file(), open.end + FIXED, payload));
        self.counts.written += entry.total_len();
        if let Err(error) = written {
            self.counts.failed_syncs += 1;
            self.abandon(disk);
            return Err(DiskError::io("write", key.path())(error));
        }
        open.end += entry.total_len();
        segment.absorb(&entry, open.end);
        self.next += u64::from(label.count);
        self.dirty = true;
        Ok(entry.first)
    }

    /// Nothing more goes into the open segment.
    fn abandon<D: Disk<File = F>>(&mut self, disk: &D) {
        self.open = None;
        if self.segments.back().is_some_and(Segment::is_empty)
            && let Some(segment) = self.segments.pop_back()
        {
            // A name that stays behind is removed at the next start.
            let _left = disk.remove(&self.key(segment.first).path());
        }
    }

    /// Seals the open segment and makes a new one, overwriting the oldest ones.
    fn roll<D: Disk<File = F>>(&mut self, disk: &D, needed: u64, keep: u64) -> Result<(), RecorderError> {
        if let Some(open) = self.open.take()
            && let Some(mut segment) = self.segments.pop_back()
        {
            if segment.is_empty() {
                disk.remove(&self.key(segment.first).path()).map_err(DiskError::io("remove", self.row.dir()))?;
            } else {
                self.seal(disk, &open.file, &mut segment);
                self.segments.push_back(segment);
            }
        }
        let size =
            (self.budget / SEGMENTS).clamp(MIN_SEGMENT, MAX_SEGMENT).max(needed + 2 * FIXED).next_multiple_of(4096);
        loop {
            while self.disk_bytes() + size > self.budget.max(2 * size) {
                if !self.drop_oldest(disk, keep)? {
                    return Err(RecorderError::Full(self.name()));
                }
            }
            match self.create(disk, size) {
                Ok(()) => return Ok(()),
                Err(error) if error.is_full() => {
                    // Somebody else fills the disk: the row makes room for itself, but never drops most of what it holds.
                    let many = self.segments.len() as u64 > SEGMENTS / 2;
                    if !(many && self.drop_oldest(disk, keep)?) {
                        return Err(RecorderError::Full(self.name()));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn create<D: Disk<File = F>>(&mut self, disk: &D, size: u64) -> Result<(), DiskError> {
        let key = self.key(self.next);
        let path = key.path();
        disk::remove_if_there(disk, &path)?;
        let file = disk.create(&path, size).map_err(DiskError::io("create", &path))?;
        let header = SegmentHeader { records_before: 0, bytes_before: 0, watermark_ns: 0 };
        let fixed: [u8; FIXED_LEN] = header.encode(&key);
        disk.write_at(&file, 0, &fixed).map_err(DiskError::io("write", path))?;
        self.counts.written += FIXED;
        self.dir_dirty = true;
        self.segments.push_back(Segment::empty(key.first, 0, 0, size));
        self.open = Some(Open { file: SegmentFile::new(key, file), end: FIXED, capacity: size });
        Ok(())
    }

    /// The ring as it is.
    pub(crate) fn mark(&self) -> Mark {
        Mark { next: self.next, newest: self.segments.back().copied() }
    }

    /// Takes back what was appended since a mark, after the segment was abandoned: its sequences are given out again, in a new
    /// segment, which then owns them.
    pub(crate) fn take_back<D: Disk<File = F>>(&mut self, disk: &D, mark: Mark) {
        let Mark { next, newest } = mark;
        self.open = None;
        while let Some(segment) = self.segments.back_mut() {
            if let Some(newest) = newest.filter(|newest| newest.first == segment.first) {
                *segment = newest;
                break;
            }
            if segment.first < next {
                break;
            }
            let path = SegmentKey { epoch: self.epoch, row: self.row, first: segment.first }.path();
            let _left = disk.remove(&path);
            self.segments.pop_back();
        }
        self.next = next;
        if self.segments.back().is_some_and(Segment::is_empty)
            && let Some(segment) = self.segments.pop_back()
        {
            let _left = disk.remove(&self.key(segment.first).path());
        }
    }

    /// Removes the oldest segment; false when it is still needed.
    fn drop_oldest<D: Disk<File = F>>(&mut self, disk: &D, keep: u64) -> Result<bool, DiskError> {
        let Some(segment) = self.segments.front().filter(|segment| segment.last < keep) else { return Ok(false) };
        let path = self.key(segment.first).path();
        disk::remove_if_there(disk, &path)?;
        if self.segments.len() == 1 {
            self.open = None;
        }
        self.segments.pop_front();
        self.dir_dirty = true;
        Ok(true)
    }

    /// Makes everything that was written durable. When that fails the segment is abandoned: what was not synced may be lost in
    /// a power cut, and nothing is synced in it again.
    pub(crate) fn sync<D: Disk<File = F>>(&mut self, disk: &D) -> Result<(), DiskError> {
        if self.dirty
            && let Some(open) = &self.open
        {
            self.counts.syncs += 1;
            if let Err(error) = disk.sync_data(open.file.file()) {
                self.counts.failed_syncs += 1;
                self.abandon(disk);
                return Err(DiskError::io("sync", self.row.dir())(error));
            }
            self.dirty = false;
        }
        if self.dir_dirty {
            self.counts.syncs += 1;
            disk.sync_dir(&self.row.dir()).map_err(DiskError::io("sync directory of", self.row.dir()))?;
            self.dir_dirty = false;
        }
        Ok(())
    }

    /// Calls `each` with every entry that has sequences from `from` on, in order, and its payload. What is damaged is passed
    /// over and counted.
    pub(crate) fn read<D: Disk<File = F>>(
        &self,
        disk: &D,
        from: u64,
        mut each: impl FnMut(&Entry, &[u8]),
    ) -> Result<u64, DiskError> {
        let mut damaged = 0;
        let mut payload = Vec::new();
        for segment in self.segments.iter().filter(|segment| segment.last >= from) {
            let key = self.key(segment.first);
            let file = SegmentFile::open(disk, key).map_err(DiskError::io("open", key.path()))?;
            let mut at = FIXED;
            while let Step::Entry { at: found, entry } = file.next_entry(disk, at, segment.data_end) {
                damaged += u64::from(found != at);
                at = found + entry.total_len();
                if entry.last() < from {
                    continue;
                }
                if file.read_payload(disk, found, &entry, &mut payload) {
                    each(&entry, &payload);
                } else {
                    damaged += 1;
                }
            }
        }
        Ok(damaged)
    }
}
