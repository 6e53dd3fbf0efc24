//! The way of a lane's frames to the disk: open block, pending entries, open segment.

use disk::Disk;
use model::{Signals, Stamp};
use segment::{
    Entry, EntryKind, FIXED, FIXED_LEN, FieldReader, GAP_PREFIX_LEN, GapRecord, SEQUENCES_PER_SEGMENT, Segment,
    SegmentFile, SegmentHeader, earliest, index_reserve, lane_dir, seal_indexed,
};
use wire::{BLOCK_TARGET, EncodeError, FrameHeader, SectionRef};

use super::{FrameMeta, LaneLog, Open};
use crate::commit_record::Head;
use crate::error::JournalError;
use crate::mutants::{self, Mutant};
use crate::shared::Shared;

/// Room that ordinary frames leave free in each open segment, for a gap record.
const GAP_RESERVE: u64 = 1024;
/// Buffers that grew beyond this are given back after a commit.
const KEEP_BYTES: usize = 16 << 10;
/// Bytes of an entry besides the frames in it.
const ENTRY_OVERHEAD: u64 = FIXED + wire::BLOCK_HEADER_LEN as u64;

/// Where what is pending ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    pending: usize,
    next: u64,
    latest_ns: u64,
}

impl<F> LaneLog<F> {
    /// Room for entries in the open segment, less what is pending.
    fn room(&self, reserve: u64) -> u64 {
        self.open
            .as_ref()
            .map_or(0, |open| (open.capacity - FIXED).saturating_sub(open.end + self.pending.len() as u64 + reserve))
    }

    /// Whether one more frame of at most `frame_len` bytes surely fits into the open segment, even uncompressed.
    pub(crate) fn fits(&self, frame_len: usize) -> bool {
        let body = (self.body.raw_len() + 4 + frame_len) as u64 + ENTRY_OVERHEAD;
        let sequences = self.segments.back().is_some_and(|open| self.next - open.first < SEQUENCES_PER_SEGMENT - 64);
        let index = self.open.as_ref().map_or(0, |open| index_reserve(open.capacity));
        sequences && body <= self.room(GAP_RESERVE + index)
    }

    /// Bytes that a new segment must have to take what is unsynced and one more frame.
    pub(crate) fn size_for(&self, frame_len: usize) -> u64 {
        let content = 2 * FIXED + ENTRY_OVERHEAD * 2 + self.unsynced_bytes() + 4 + frame_len as u64 + GAP_RESERVE;
        content + content.div_ceil(15)
    }

    /// Whether a gap record fits into the open segment.
    pub(crate) fn fits_gap(&self, device: &str) -> bool {
        let body = if self.body.is_empty() { 0 } else { self.body.raw_len() as u64 + ENTRY_OVERHEAD };
        body + ENTRY_OVERHEAD + (GAP_PREFIX_LEN + 4 + device.len() + 192) as u64 <= self.room(0)
    }

    /// Whether the open block has to be closed before a frame of this size.
    pub(crate) fn block_is_full(&self, frame_len: usize) -> bool {
        !self.body.is_empty() && self.body.raw_len() + 4 + frame_len > BLOCK_TARGET
    }

    /// Puts a frame into the open block and returns its sequence.
    pub(crate) fn push(&mut self, meta: FrameMeta, write: impl FnOnce(u64, &mut Vec<u8>)) -> Result<u64, EncodeError> {
        let sequence = self.next;
        self.body.push_with(|raw| write(sequence, raw))?;
        self.next += 1;
        self.records += u64::from(meta.records);
        self.latest_ns = self.latest_ns.max(meta.end_ns);
        let signals = match self.body.frames() {
            1 => meta.signals,
            _ => self.body_meta.signals.zip(meta.signals).map(|(all, one)| all.with(one)),
        };
        self.body_meta = FrameMeta {
            signals,
            records: self.body_meta.records.saturating_add(meta.records),
            start_ns: earliest(self.body_meta.start_ns, meta.start_ns),
            end_ns: self.body_meta.end_ns.max(meta.end_ns),
        };
        Ok(sequence)
    }

    /// Encodes the open block into a pending entry.
    pub(crate) fn close_block<D: Disk<File = F>>(&mut self, shared: &mut Shared<D>) -> Result<(), JournalError> {
        self.close_as(shared, EntryKind::Block, &[])
    }

    fn close_as<D: Disk<File = F>>(
        &mut self,
        shared: &mut Shared<D>,
        kind: EntryKind,
        prefix: &[u8],
    ) -> Result<(), JournalError> {
        if self.body.is_empty() {
            return Ok(());
        }
        let start = self.pending.len();
        let payload_at = start + FIXED_LEN;
        self.pending.resize(payload_at, 0);
        self.pending.extend_from_slice(prefix);
        let first = self.next - u64::from(self.body.frames());
        if let Err(error) = shared.encode(self.lane, first, &self.body, &mut self.pending) {
            self.pending.truncate(start);
            return Err(JournalError::Internal(format!("cannot encode a block of lane {}: {error}", self.lane)));
        }
        let payload = &self.pending[payload_at..];
        let entry = Entry {
            kind,
            len: payload.len() as u32,
            payload_crc: crc32c::crc32c(payload),
            first,
            frames: self.body.frames(),
            records: self.body_meta.records,
            records_before: self.records - u64::from(self.body_meta.records),
            start_ns: self.body_meta.start_ns,
            end_ns: self.body_meta.end_ns,
            signals: self.body_meta.signals,
        };
        self.pending[start..payload_at].copy_from_slice(&entry.encode());
        self.pending_start_ns = earliest(self.pending_start_ns, entry.start_ns);
        self.body.clear(KEEP_BYTES);
        self.body_meta = FrameMeta::default();
        Ok(())
    }

    /// Ends the open block, and tells where what is pending ends.
    pub(crate) fn mark<D: Disk<File = F>>(&mut self, shared: &mut Shared<D>) -> Result<Mark, JournalError> {
        self.close_block(shared)?;
        Ok(Mark { pending: self.pending.len(), next: self.next, latest_ns: self.latest_ns })
    }

    /// Takes back the gap record that was appended behind a mark, and that a sync failed to make durable.
    pub(crate) fn take_back(&mut self, mark: Mark) {
        self.pending.truncate(mark.pending);
        (self.next, self.latest_ns) = (mark.next, mark.latest_ns);
    }

    /// Appends a gap record: a frame of its own, in an entry that also tells recovery.
    pub(crate) fn push_gap<D: Disk<File = F>>(
        &mut self,
        shared: &mut Shared<D>,
        lost: &GapRecord,
        stamp: Stamp,
    ) -> Result<(), JournalError> {
        let gap = &lost.gap;
        self.close_block(shared)?;
        let mut body = Vec::new();
        wire::encode_body(&[SectionRef::Gap(gap)], &mut body)
            .map_err(|error| JournalError::Internal(format!("cannot encode a gap record: {error}")))?;
        let (epoch, lane) = (shared.epoch(), self.lane);
        let meta = FrameMeta { records: 0, start_ns: gap.start_ns, end_ns: gap.end_ns, signals: Some(Signals::NONE) };
        let device = shared.device();
        self.push(meta, |seq, out| {
            wire::seal_frame(&FrameHeader { device, epoch, lane, seq, stamp }, &body, out);
        })
        .map_err(|error| JournalError::Internal(format!("cannot write a gap record: {error}")))?;
        self.close_as(shared, EntryKind::Gap, &lost.encode())
    }

    /// Makes a new segment, or the reserve under a new name, the open one, and seals the one before. No frame may
    /// wait for a sync unless there is no open segment. When it fails the open one stays.
    pub(crate) fn create_segment<D: Disk<File = F>>(
        &mut self,
        shared: &mut Shared<D>,
        size: u64,
        reserve: Option<&str>,
    ) -> Result<(), JournalError> {
        if !self.dir_made {
            let dir = lane_dir(self.lane);
            shared.disk().create_dir(&dir).map_err(JournalError::io("create", &dir))?;
            shared.disk().sync_dir("lanes").map_err(JournalError::io("sync", "lanes"))?;
            shared.counts_mut().syncs += 1;
            self.dir_made = true;
        }
        let first = self.synced.next;
        let key = self.key(shared.epoch(), first);
        let path = key.path();
        if self.segments.back().is_some_and(|last| last.first == first) {
            // The last segment never got an entry: it is replaced.
            disk::remove_if_there(shared.disk(), &path)?;
            self.open = None;
            self.segments.pop_back();
        }
        let file = match reserve {
            Some(reserve) => {
                shared.disk().rename(reserve, &path).map_err(JournalError::io("rename", reserve))?;
                shared.disk().open(&path).map_err(JournalError::io("open", &path))?
            }
            None => shared.disk().create(&path, size).map_err(JournalError::io("create", &path))?,
        };
        self.dir_dirty = true;
        let header = SegmentHeader {
            records_before: self.synced.records,
            bytes_before: self.bytes(),
            watermark_ns: self.watermark_ns,
        };
        let mut segment = Segment::empty(first, header.records_before, header.bytes_before, size);
        if let Err(error) = shared.disk().write_at(&file, 0, &header.encode(&key)) {
            shared.counts_mut().failed_syncs += 1;
            let _ = shared.disk().remove(&path);
            return Err(JournalError::io("write", path)(error));
        }
        shared.counts_mut().written += FIXED;
        segment.data_end = FIXED;
        self.seal(shared);
        self.segments.push_back(segment);
        self.open = Some(Open { file: SegmentFile::new(key, file), end: FIXED, capacity: size, syncs: 0 });
        Ok(())
    }

    /// Goes on with the last segment, which has a right header and no entry.
    pub(crate) fn reopen_empty(&mut self, file: SegmentFile<F>, capacity: u64) {
        self.open = Some(Open { file, end: FIXED, capacity, syncs: 0 });
    }

    /// Writes what is pending into the open segment and syncs it. When that fails the segment is abandoned: nothing is
    /// ever synced in it again, what was synced before stays readable, and what is pending stays so.
    pub(crate) fn sync<D: Disk<File = F>>(&mut self, shared: &mut Shared<D>) -> Result<(), JournalError> {
        self.close_block(shared)?;
        if self.pending.is_empty() {
            return Ok(());
        }
        let (Some(open), Some(segment)) = (self.open.as_mut(), self.segments.back_mut()) else {
            return Err(JournalError::Internal(format!("lane {} has no open segment", self.lane)));
        };
        let key = *open.file.key();
        let mut at = 0;
        while at < self.pending.len() {
            key.stamp(open.end + at as u64, &mut self.pending[at..]);
            at += FIXED_LEN + FieldReader::at(&self.pending, at + 8).u32() as usize;
        }
        let disk = shared.disk();
        let written = disk
            .write_at(open.file.file(), open.end, &self.pending)
            .map_err(JournalError::io("write", key.path()))
            .and_then(|()| match mutants::is_on(Mutant::NoFsync) || mutants::is_on(Mutant::SentEarly) {
                true => Ok(()),
                false => disk.sync_data(open.file.file()).map_err(JournalError::io("sync", key.path())),
            });
        shared.counts_mut().written += self.pending.len() as u64;
        shared.counts_mut().syncs += 1;
        if let Err(error) = written {
            shared.counts_mut().failed_syncs += 1;
            self.open = None;
            return Err(error);
        }
        let mut at = 0;
        while let Some(fixed) = self.pending.get(at..).and_then(|rest| rest.first_chunk::<FIXED_LEN>()) {
            if let Some(entry) = open.file.decode_entry(open.end + at as u64, fixed) {
                at += entry.total_len() as usize;
                segment.absorb(&entry, open.end + at as u64);
            } else {
                debug_assert!(false, "an entry that was just written is readable");
                break;
            }
        }
        open.end += self.pending.len() as u64;
        open.syncs = open.syncs.saturating_add(1);
        self.synced = Head { next: self.next, records: self.records };
        self.pending.clear();
        self.pending.shrink_to(KEEP_BYTES);
        self.pending_start_ns = 0;
        Ok(())
    }

    /// What [`Mutant::SentEarly`] left unsynced.
    pub(crate) fn settle_early<D: Disk<File = F>>(&mut self, shared: &mut Shared<D>) {
        if mutants::is_on(Mutant::SentEarly)
            && let Some(open) = &self.open
        {
            let _too_late = shared.disk().sync_data(open.file.file());
        }
    }

    /// Ends the open segment: footer, cut to its length, sync. What it holds is synced already, so an error here loses
    /// nothing; recovery then finds the entries one by one.
    fn seal<D: Disk<File = F>>(&mut self, shared: &mut Shared<D>) {
        let (Some(open), Some(segment)) = (self.open.take(), self.segments.back_mut()) else { return };
        let (disk, counts) = shared.io();
        if let Ok(len) = seal_indexed(disk, &open.file, segment, counts) {
            segment.disk_bytes = len;
        }
        // A segment that took only a few syncs was too small, one that took many was too large.
        self.next_size = match open.syncs {
            0..8 => open.capacity * 2,
            8..64 => open.capacity,
            _ => open.capacity / 2,
        };
    }

    /// Makes created, renamed and removed names durable.
    pub(crate) fn sync_names<D: Disk<File = F>>(&mut self, shared: &mut Shared<D>) -> Result<(), JournalError> {
        if self.dir_dirty && !mutants::is_on(Mutant::NoDirSync) {
            let dir = lane_dir(self.lane);
            shared.counts_mut().syncs += 1;
            shared.disk().sync_dir(&dir).map_err(JournalError::io("sync", dir))?;
            self.dir_dirty = false;
        }
        Ok(())
    }
}
