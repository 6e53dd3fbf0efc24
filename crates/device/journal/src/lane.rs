//! One lane's row of segments and the way of its frames to the disk: open block, pending entries, open segment.

use std::collections::VecDeque;
use std::io;

use disk::{Disk, IoCounts};
use model::{Epoch, Lane, Stamp};
use segment::{
    Entry, EntryKind, FIXED, FIXED_LEN, FieldReader, GAP_PREFIX_LEN, GapRecord, Row, SEQUENCES_PER_SEGMENT, Segment,
    SegmentFile, SegmentHeader, SegmentKey, earliest, index_reserve, lane_dir, seal_indexed,
};
use wire::{BLOCK_TARGET, BlockBody, BlockEncoder, EncodeError, FrameHeader, SectionRef};

use crate::commit_record::Head;
use crate::error::JournalError;
use crate::holes::Holes;
use crate::mutants::{self, Mutant};

/// Room that ordinary frames leave free in each open segment, for a gap record.
pub(crate) const GAP_RESERVE: u64 = 1024;
/// Buffers that grew beyond this are given back after a commit.
const KEEP_BYTES: usize = 16 << 10;
/// Bytes of an entry besides the frames in it.
const ENTRY_OVERHEAD: u64 = FIXED + wire::BLOCK_HEADER_LEN as u64;

/// What every lane shares.
pub(crate) struct Core<D: Disk> {
    pub(crate) disk: D,
    pub(crate) epoch: Epoch,
    pub(crate) device: String,
    pub(crate) encoder: BlockEncoder,
    pub(crate) counts: IoCounts,
    /// Stretches of segments that could not be read, since the journal was opened.
    pub(crate) corrupt_blocks: u64,
    /// Whether frames behind the last commit are cut at open.
    pub(crate) cut: bool,
}

/// The records and event times of one frame, for depth, gaps and watermarks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FrameMeta {
    /// Number of records in the frame.
    pub records: u32,
    /// Earliest event time in it, Unix nanoseconds; 0 when not known.
    pub start_ns: u64,
    /// Latest event time in it, Unix nanoseconds; 0 when not known.
    pub end_ns: u64,
}

/// The segment that is being written.
struct Open<F> {
    file: SegmentFile<F>,
    /// Where the next entry goes; everything before is synced.
    end: u64,
    capacity: u64,
    /// Syncs that reached it, to choose the next segment's size.
    syncs: u32,
}

/// One lane.
pub(crate) struct LaneState<F> {
    pub(crate) lane: Lane,
    /// Oldest first. The last one is the open one, if any is.
    pub(crate) segments: VecDeque<Segment>,
    open: Option<Open<F>>,
    reader: Option<SegmentFile<F>>,
    body: BlockBody,
    body_meta: FrameMeta,
    /// Entries that are encoded and not yet synced. Their headers' checksums are put when their place is known.
    pending: Vec<u8>,
    pending_start_ns: u64,
    /// The next sequence to be given out.
    pub(crate) next: u64,
    /// Records in all frames given out, buffered ones included.
    pub(crate) records: u64,
    /// What is on disk and synced.
    pub(crate) synced: Head,
    /// What may be sent: synced, and said so by a synced note.
    pub(crate) committed: Head,
    /// Latest event time given out, and the latest one committed.
    pub(crate) latest_ns: u64,
    pub(crate) watermark_ns: u64,
    pub(crate) holes: Holes,
    pub(crate) dir_made: bool,
    /// Whether names in the directory changed since it was synced.
    pub(crate) dir_dirty: bool,
    /// What the last segment's life suggests for the size of the next one.
    pub(crate) next_size: u64,
}

impl<F> LaneState<F> {
    pub(crate) fn new(lane: Lane) -> Self {
        let none = Head { next: 1, records: 0 };
        Self {
            lane,
            segments: VecDeque::new(),
            open: None,
            reader: None,
            body: BlockBody::new(),
            body_meta: FrameMeta::default(),
            pending: Vec::new(),
            pending_start_ns: 0,
            next: 1,
            records: 0,
            synced: none,
            committed: none,
            latest_ns: 0,
            watermark_ns: 0,
            holes: Holes::default(),
            dir_made: false,
            dir_dirty: false,
            next_size: 0,
        }
    }

    pub(crate) fn key(&self, epoch: Epoch, first: u64) -> SegmentKey {
        SegmentKey { epoch, row: Row::Lane(self.lane), first }
    }

    /// Whether frames wait for a sync.
    pub(crate) fn has_unsynced(&self) -> bool {
        !self.pending.is_empty() || !self.body.is_empty()
    }

    /// Bytes that wait for a sync.
    pub(crate) fn unsynced_bytes(&self) -> u64 {
        (self.pending.len() + self.body.raw_len()) as u64
    }

    /// Earliest event time of what waits for a sync; 0 when not known.
    pub(crate) fn unsynced_start_ns(&self) -> u64 {
        earliest(self.pending_start_ns, self.body_meta.start_ns)
    }

    pub(crate) fn resident_bytes(&self) -> usize {
        self.pending.capacity()
            + self.body.capacity()
            + self.segments.capacity() * size_of::<Segment>()
            + size_of::<Self>()
    }

    pub(crate) fn disk_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.disk_bytes).sum()
    }

    /// Entry bytes in the lane since the epoch began, as far as synced.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.back().map_or(0, |segment| segment.bytes_at(segment.data_end))
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The segment that is written.
    pub(crate) fn open_file(&self) -> Option<&SegmentFile<F>> {
        Some(&self.open.as_ref()?.file)
    }

    /// Where what is on disk begins.
    pub(crate) fn start(&self) -> Head {
        self.segments
            .front()
            .map_or(self.synced, |segment| Head { next: segment.first, records: segment.records_before })
    }

    /// The oldest sequence that is held; [`Self::next`] when none is.
    pub(crate) fn oldest(&self) -> u64 {
        self.segments.iter().find(|segment| !segment.is_empty()).map_or(self.synced.next, |segment| segment.first)
    }

    /// Index of the segment that holds a sequence, or of the first one after it.
    pub(crate) fn segment_at(&self, sequence: u64) -> Option<usize> {
        let after = self.segments.partition_point(|segment| segment.first <= sequence);
        let index = after.checked_sub(1).filter(|index| self.segments[*index].last >= sequence).unwrap_or(after);
        (index < self.segments.len()).then_some(index)
    }

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
        self.body_meta = FrameMeta {
            records: self.body_meta.records.saturating_add(meta.records),
            start_ns: earliest(self.body_meta.start_ns, meta.start_ns),
            end_ns: self.body_meta.end_ns.max(meta.end_ns),
        };
        Ok(sequence)
    }

    /// Encodes the open block into a pending entry.
    pub(crate) fn close_block<D: Disk<File = F>>(&mut self, core: &mut Core<D>) -> Result<(), JournalError> {
        self.close_as(core, EntryKind::Block, &[])
    }

    fn close_as<D: Disk<File = F>>(
        &mut self,
        core: &mut Core<D>,
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
        let encoded = core.encoder.encode_body(core.epoch, self.lane, first, &self.body, &mut self.pending);
        if let Err(error) = encoded {
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
        };
        self.pending[start..payload_at].copy_from_slice(&entry.encode());
        self.pending_start_ns = earliest(self.pending_start_ns, entry.start_ns);
        self.body.clear(KEEP_BYTES);
        self.body_meta = FrameMeta::default();
        Ok(())
    }

    /// Appends a gap record: a frame of its own, in an entry that also tells recovery.
    pub(crate) fn push_gap<D: Disk<File = F>>(
        &mut self,
        core: &mut Core<D>,
        lost: &GapRecord,
        stamp: Stamp,
    ) -> Result<(), JournalError> {
        let gap = &lost.gap;
        self.close_block(core)?;
        let mut body = Vec::new();
        wire::encode_body(&[SectionRef::Gap(gap)], &mut body)
            .map_err(|error| JournalError::Internal(format!("cannot encode a gap record: {error}")))?;
        let (epoch, lane) = (core.epoch, self.lane);
        let meta = FrameMeta { records: 0, start_ns: gap.start_ns, end_ns: gap.end_ns };
        let device = core.device.as_str();
        self.push(meta, |seq, out| {
            wire::seal_frame(&FrameHeader { device, epoch, lane, seq, stamp }, &body, out);
        })
        .map_err(|error| JournalError::Internal(format!("cannot write a gap record: {error}")))?;
        self.close_as(core, EntryKind::Gap, &lost.encode())
    }

    /// Makes a new segment, or the spare file under a new name, the open one, and seals the one before. No frame may
    /// wait for a sync unless there is no open segment. When it fails the open one stays.
    pub(crate) fn create_segment<D: Disk<File = F>>(
        &mut self,
        core: &mut Core<D>,
        size: u64,
        spare: Option<&str>,
    ) -> Result<(), JournalError> {
        if !self.dir_made {
            let dir = lane_dir(self.lane);
            core.disk.create_dir(&dir).map_err(JournalError::io("create", &dir))?;
            core.disk.sync_dir("lanes").map_err(JournalError::io("sync", "lanes"))?;
            core.counts.syncs += 1;
            self.dir_made = true;
        }
        let first = self.synced.next;
        let key = self.key(core.epoch, first);
        let path = key.path();
        if self.segments.back().is_some_and(|last| last.first == first) {
            // The last segment never got an entry: it is replaced.
            match core.disk.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(JournalError::io("remove", path)(error));
                }
                _ => {}
            }
            self.open = None;
            self.segments.pop_back();
        }
        let file = match spare {
            Some(spare) => {
                core.disk.rename(spare, &path).map_err(JournalError::io("rename", spare))?;
                core.disk.open(&path).map_err(JournalError::io("open", &path))?
            }
            None => core.disk.create(&path, size).map_err(JournalError::io("create", &path))?,
        };
        self.dir_dirty = true;
        let header = SegmentHeader {
            records_before: self.synced.records,
            bytes_before: self.bytes(),
            watermark_ns: self.watermark_ns,
        };
        let mut segment = Segment::empty(first, header.records_before, header.bytes_before, size);
        if let Err(error) = core.disk.write_at(&file, 0, &header.encode(&key)) {
            core.counts.failed_syncs += 1;
            let _ = core.disk.remove(&path);
            return Err(JournalError::io("write", path)(error));
        }
        core.counts.written += FIXED;
        segment.data_end = FIXED;
        self.seal(core);
        self.segments.push_back(segment);
        self.open = Some(Open { file: SegmentFile::new(key, file), end: FIXED, capacity: size, syncs: 0 });
        Ok(())
    }

    /// Goes on with the last segment, which has a right header and no entry.
    pub(crate) fn reopen_empty(&mut self, file: SegmentFile<F>, capacity: u64) {
        self.open = Some(Open { file, end: FIXED, capacity, syncs: 0 });
    }

    /// Writes what is pending into the open segment and syncs it. When that fails the segment is given up: nothing is
    /// ever synced in it again, what was synced before stays readable, and what is pending stays so.
    pub(crate) fn sync<D: Disk<File = F>>(&mut self, core: &mut Core<D>) -> Result<(), JournalError> {
        self.close_block(core)?;
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
        let written = core
            .disk
            .write_at(open.file.file(), open.end, &self.pending)
            .map_err(JournalError::io("write", key.path()))
            .and_then(|()| match mutants::is_on(Mutant::NoFsync) || mutants::is_on(Mutant::SentEarly) {
                true => Ok(()),
                false => core.disk.sync_data(open.file.file()).map_err(JournalError::io("sync", key.path())),
            });
        core.counts.written += self.pending.len() as u64;
        core.counts.syncs += 1;
        if let Err(error) = written {
            core.counts.failed_syncs += 1;
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
    pub(crate) fn settle_early<D: Disk<File = F>>(&mut self, core: &mut Core<D>) {
        if mutants::is_on(Mutant::SentEarly)
            && let Some(open) = &self.open
        {
            let _too_late = core.disk.sync_data(open.file.file());
        }
    }

    /// Ends the open segment: footer, cut to its length, sync. What it holds is synced already, so an error here loses
    /// nothing; recovery then finds the entries one by one.
    fn seal<D: Disk<File = F>>(&mut self, core: &mut Core<D>) {
        let (Some(open), Some(segment)) = (self.open.take(), self.segments.back_mut()) else { return };
        if let Ok(len) = seal_indexed(&core.disk, &open.file, segment, &mut core.counts) {
            segment.disk_bytes = len;
        }
        // A segment that took only a few syncs was too small, one that took many was too large.
        self.next_size = match open.syncs {
            0..8 => open.capacity * 2,
            8..64 => open.capacity,
            _ => open.capacity / 2,
        };
    }

    /// A file of one segment, for reading.
    pub(crate) fn file<D: Disk<File = F>>(&mut self, core: &Core<D>, first: u64) -> io::Result<&SegmentFile<F>> {
        let is_open = self.segments.back().is_some_and(|segment| segment.first == first);
        if let Some(open) = self.open.as_ref().filter(|_| is_open) {
            return Ok(&open.file);
        }
        let reader = match self.reader.take().filter(|cached| cached.key().first == first) {
            Some(reader) => reader,
            None => SegmentFile::open(&core.disk, self.key(core.epoch, first))?,
        };
        Ok(self.reader.insert(reader))
    }

    /// Removes a segment's file and what is known of it.
    pub(crate) fn remove_segment<D: Disk<File = F>>(
        &mut self,
        core: &Core<D>,
        index: usize,
    ) -> Result<(), JournalError> {
        let Some(segment) = self.segments.get(index) else { return Ok(()) };
        let path = self.key(core.epoch, segment.first).path();
        self.reader.take_if(|cached| cached.key().first == segment.first);
        match core.disk.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(JournalError::io("remove", path)(error));
            }
            _ => {}
        }
        self.segments.remove(index);
        self.dir_dirty = true;
        Ok(())
    }

    /// Makes created, renamed and removed names durable.
    pub(crate) fn sync_names<D: Disk<File = F>>(&mut self, core: &mut Core<D>) -> Result<(), JournalError> {
        if self.dir_dirty && !mutants::is_on(Mutant::NoDirSync) {
            let dir = lane_dir(self.lane);
            core.counts.syncs += 1;
            core.disk.sync_dir(&dir).map_err(JournalError::io("sync", dir))?;
            self.dir_dirty = false;
        }
        Ok(())
    }
}
