//! One lane: its row of segments, what is known of them, and the way of its frames to the disk.

mod read;
pub(crate) mod recovery;
mod write;

use std::collections::VecDeque;

use disk::{Disk, DiskError};
use model::{Epoch, Lane, Signals};
use segment::{Row, Segment, SegmentFile, SegmentKey, earliest};
use wire::BlockBody;

use crate::commit_record::Head;
use crate::known_gaps::KnownGaps;
use crate::shared::Shared;

pub(crate) use write::Mark;

/// The records and event times of one frame, for depth, gaps and watermarks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FrameMeta {
    /// Number of records in the frame.
    pub records: u32,
    /// Earliest event time in it, Unix nanoseconds; 0 when not known.
    pub start_ns: u64,
    /// Latest event time in it, Unix nanoseconds; 0 when not known.
    pub end_ns: u64,
    /// The signals of its records and exemplars; `None` when not known: then everyone reads it.
    pub signals: Option<Signals>,
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
pub(crate) struct LaneLog<F> {
    lane: Lane,
    /// Oldest first. The last one is the open one, if any is.
    segments: VecDeque<Segment>,
    open: Option<Open<F>>,
    /// The file that was read last.
    reader: Option<SegmentFile<F>>,
    body: BlockBody,
    body_meta: FrameMeta,
    /// Entries that are encoded and not yet synced. Their headers' checksums are put when their place is known.
    pending: Vec<u8>,
    pending_start_ns: u64,
    /// The next sequence to be given out.
    next: u64,
    /// Records in all frames given out, buffered ones included.
    records: u64,
    /// What is on disk and synced.
    synced: Head,
    /// What may be sent: synced, and said so by a synced commit record.
    committed: Head,
    /// Latest event time given out, and the latest one committed.
    latest_ns: u64,
    watermark_ns: u64,
    gaps: KnownGaps,
    /// Files of which nothing can be read, by their first sequences: they go when their gap records are durable.
    unreadable: Vec<u64>,
    dir_made: bool,
    /// Whether names in the directory changed since it was synced.
    dir_dirty: bool,
    /// What the last segment's life suggests for the size of the next one.
    next_size: u64,
}

impl<F> LaneLog<F> {
    fn new(lane: Lane) -> Self {
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
            gaps: KnownGaps::default(),
            unreadable: Vec::new(),
            dir_made: false,
            dir_dirty: false,
            next_size: 0,
        }
    }

    fn key(&self, epoch: Epoch, first: u64) -> SegmentKey {
        SegmentKey { epoch, row: Row::Lane(self.lane), first }
    }

    pub(crate) fn lane(&self) -> Lane {
        self.lane
    }

    /// What is held, oldest first. The last one is the open one, if any is.
    pub(crate) fn segments(&self) -> &VecDeque<Segment> {
        &self.segments
    }

    /// The next sequence to be given out.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Records in all frames given out, buffered ones included.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// What is on disk and synced.
    pub(crate) fn synced(&self) -> Head {
        self.synced
    }

    /// What may be sent.
    pub(crate) fn committed(&self) -> Head {
        self.committed
    }

    /// The latest event time that is committed, Unix nanoseconds; 0 when not known.
    pub(crate) fn watermark_ns(&self) -> u64 {
        self.watermark_ns
    }

    /// What is lost of it.
    pub(crate) fn gaps(&self) -> &KnownGaps {
        &self.gaps
    }

    pub(crate) fn gaps_mut(&mut self) -> &mut KnownGaps {
        &mut self.gaps
    }

    /// What is synced is committed. Gives the frames and records that are new by it.
    pub(crate) fn commit(&mut self) -> (u64, u64) {
        let news = (self.synced.next - self.committed.next, self.synced.records - self.committed.records);
        self.committed = self.synced;
        self.watermark_ns = self.latest_ns;
        news
    }

    /// What is synced may be sent, before it is committed: for [`crate::mutants::Mutant::SentEarly`].
    pub(crate) fn commit_early(&mut self) {
        self.committed = self.synced;
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

    /// The file of the segment that is written.
    pub(crate) fn open_file(&self) -> Option<&SegmentFile<F>> {
        Some(&self.open.as_ref()?.file)
    }

    /// A size for the next segment, as the last one's life suggests; 0 when there was none.
    pub(crate) fn suggested_size(&self) -> u64 {
        self.next_size
    }

    /// Where what is on disk begins.
    pub(crate) fn start(&self) -> Head {
        self.segments
            .front()
            .map_or(self.synced, |segment| Head { next: segment.first, records: segment.records_before })
    }

    /// The oldest sequence that is held; the next one when none is.
    pub(crate) fn oldest(&self) -> u64 {
        self.segments.iter().find(|segment| !segment.is_empty()).map_or(self.synced.next, |segment| segment.first)
    }

    /// Position of the segment that holds a sequence, or of the first one after it.
    pub(crate) fn segment_at(&self, sequence: u64) -> Option<usize> {
        let after = self.segments.partition_point(|segment| segment.first <= sequence);
        let index = after.checked_sub(1).filter(|index| self.segments[*index].last >= sequence).unwrap_or(after);
        (index < self.segments.len()).then_some(index)
    }

    /// The stretch of some segments next to each other that are not the newest, up to the next one.
    pub(crate) fn extent(&self, positions: &std::ops::Range<usize>) -> segment::Extent {
        let (start, end) = (&self.segments[positions.start], &self.segments[positions.end]);
        segment::Extent {
            first: start.first,
            last: end.first - 1,
            before: start.records_before,
            after: end.records_before,
        }
    }

    /// Removes a segment's file and what is known of it.
    pub(crate) fn remove_segment<D: Disk<File = F>>(
        &mut self,
        shared: &Shared<D>,
        index: usize,
    ) -> Result<(), DiskError> {
        let Some(segment) = self.segments.get(index) else { return Ok(()) };
        let path = self.key(shared.epoch(), segment.first).path();
        self.reader.take_if(|cached| cached.key().first == segment.first);
        disk::remove_if_there(shared.disk(), &path)?;
        self.segments.remove(index);
        self.dir_dirty = true;
        Ok(())
    }

    /// Removes files of which nothing can be read.
    pub(crate) fn remove_unreadable<D: Disk<File = F>>(&mut self, shared: &Shared<D>) -> Result<(), DiskError> {
        while let Some(first) = self.unreadable.last() {
            disk::remove_if_there(shared.disk(), &self.key(shared.epoch(), *first).path())?;
            self.unreadable.pop();
            self.dir_dirty = true;
        }
        Ok(())
    }
}
