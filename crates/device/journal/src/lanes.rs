//! All lanes of a journal, with what they share. Knows no destination and no budget.

use std::ops::Range;

use disk::{Disk, IoCounts};
use model::{Epoch, Lane, Signal, Stamp};
use segment::{Entry, GapRecord, Segment, Step, block_of};
use wire::{EncodeError, RawBlock};

use crate::commit_record::Heads;
use crate::error::JournalError;
use crate::known_gaps::KnownGaps;
use crate::lane::{FrameMeta, LaneLog, Mark};
use crate::shared::Shared;

/// The reading buffer is given back when it grew beyond this.
const KEEP_BYTES: usize = 96 << 10;

/// See the module. A lane is named by its number.
pub(crate) struct Lanes<D: Disk> {
    shared: Shared<D>,
    lanes: [LaneLog<D::File>; Lane::ALL.len()],
    /// Reused for reading.
    scratch: Vec<u8>,
}

impl<D: Disk> Lanes<D> {
    pub(crate) fn new(shared: Shared<D>, lanes: [LaneLog<D::File>; Lane::ALL.len()]) -> Self {
        Self { shared, lanes, scratch: Vec::new() }
    }

    pub(crate) fn disk(&self) -> &D {
        self.shared.disk()
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.shared.epoch()
    }

    /// The device's configured name.
    pub(crate) fn device(&self) -> &str {
        self.shared.device()
    }

    pub(crate) fn counts(&self) -> IoCounts {
        self.shared.counts()
    }

    pub(crate) fn counts_mut(&mut self) -> &mut IoCounts {
        self.shared.counts_mut()
    }

    /// The disk, and where what is done on it is counted.
    pub(crate) fn io(&mut self) -> (&D, &mut IoCounts) {
        self.shared.io()
    }

    pub(crate) fn corrupt_blocks(&self) -> u64 {
        self.shared.corrupt_blocks()
    }

    /// A stretch of a segment could not be read.
    pub(crate) fn count_corrupt(&mut self) {
        self.shared.count_corrupt();
    }

    pub(crate) fn lane(&self, index: usize) -> &LaneLog<D::File> {
        &self.lanes[index]
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, LaneLog<D::File>> {
        self.lanes.iter()
    }

    pub(crate) fn gaps_mut(&mut self, index: usize) -> &mut KnownGaps {
        self.lanes[index].gaps_mut()
    }

    /// What of each lane is synced.
    pub(crate) fn synced(&self) -> Heads {
        std::array::from_fn(|index| self.lanes[index].synced())
    }

    /// What of each lane is committed.
    pub(crate) fn committed(&self) -> Heads {
        std::array::from_fn(|index| self.lanes[index].committed())
    }

    /// Where each lane begins on disk.
    pub(crate) fn starts(&self) -> Heads {
        std::array::from_fn(|index| self.lanes[index].start())
    }

    pub(crate) fn disk_bytes(&self) -> u64 {
        self.lanes.iter().map(LaneLog::disk_bytes).sum()
    }

    /// Bytes that wait for a sync.
    pub(crate) fn unsynced_bytes(&self) -> u64 {
        self.lanes.iter().map(LaneLog::unsynced_bytes).sum()
    }

    pub(crate) fn resident_bytes(&mut self) -> usize {
        let lanes: usize = self.lanes.iter().map(LaneLog::resident_bytes).sum();
        lanes + self.shared.resident_bytes() + self.scratch.capacity()
    }

    /// Puts a frame into a lane's open block and returns its sequence.
    pub(crate) fn push(
        &mut self,
        index: usize,
        meta: FrameMeta,
        write: impl FnOnce(&Shared<D>, u64, &mut Vec<u8>),
    ) -> Result<u64, EncodeError> {
        let shared = &self.shared;
        self.lanes[index].push(meta, |sequence, out| write(shared, sequence, out))
    }

    /// Encodes a lane's open block.
    pub(crate) fn close_block(&mut self, index: usize) -> Result<(), JournalError> {
        self.lanes[index].close_block(&mut self.shared)
    }

    /// Appends a gap record to a lane.
    pub(crate) fn push_gap(&mut self, index: usize, record: &GapRecord, stamp: Stamp) -> Result<(), JournalError> {
        self.lanes[index].push_gap(&mut self.shared, record, stamp)
    }

    /// See [`LaneLog::mark`].
    pub(crate) fn mark(&mut self, index: usize) -> Result<Mark, JournalError> {
        self.lanes[index].mark(&mut self.shared)
    }

    /// See [`LaneLog::take_back`].
    pub(crate) fn take_back(&mut self, index: usize, mark: Mark) {
        self.lanes[index].take_back(mark);
    }

    /// Writes and syncs what is pending in a lane. When that fails its segment is abandoned.
    pub(crate) fn sync(&mut self, index: usize) -> Result<(), JournalError> {
        self.lanes[index].sync(&mut self.shared)
    }

    /// Makes names in a lane's directory durable.
    pub(crate) fn sync_names(&mut self, index: usize) -> Result<(), JournalError> {
        self.lanes[index].sync_names(&mut self.shared)
    }

    /// Makes the names of every lane durable; all that is written is synced then.
    pub(crate) fn settle(&mut self) -> Result<(), JournalError> {
        for lane in &mut self.lanes {
            lane.settle_early(&mut self.shared);
            lane.sync_names(&mut self.shared)?;
        }
        Ok(())
    }

    /// What is synced is committed. Gives the frames and records that are new by it.
    pub(crate) fn commit(&mut self) -> (u64, u64) {
        let mut news = (0, 0);
        for lane in &mut self.lanes {
            let (frames, records) = lane.commit();
            news = (news.0 + frames, news.1 + records);
        }
        if news.0 > 0 {
            self.shared.release_encoder();
        }
        news
    }

    /// What is synced of a lane may be sent before it is committed.
    pub(crate) fn commit_early(&mut self, index: usize) {
        self.lanes[index].commit_early();
    }

    /// Makes a new segment, or the file `reserve` under a new name, a lane's open one.
    pub(crate) fn create_segment(
        &mut self,
        index: usize,
        size: u64,
        reserve: Option<&str>,
    ) -> Result<(), JournalError> {
        self.lanes[index].create_segment(&mut self.shared, size, reserve)
    }

    /// Removes a segment's file and what is known of it.
    pub(crate) fn remove_segment(&mut self, index: usize, position: usize) -> Result<(), JournalError> {
        Ok(self.lanes[index].remove_segment(&self.shared, position)?)
    }

    /// Removes files of which nothing can be read.
    pub(crate) fn remove_unreadable(&mut self) -> Result<(), JournalError> {
        let Self { shared, lanes, .. } = self;
        Ok(lanes.iter_mut().try_for_each(|lane| lane.remove_unreadable(shared))?)
    }

    /// The next entry of a held segment at or behind an offset.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(crate) fn next_entry(&mut self, index: usize, segment: &Segment, at: u64) -> std::io::Result<Step> {
        self.lanes[index].next_entry(&self.shared, segment, at)
    }

    /// Reads the block of an entry at an offset; `None` when it cannot be read or is not what the entry says.
    pub(crate) fn read_block(&mut self, index: usize, segment: &Segment, at: u64) -> Option<(Entry, Vec<u8>)> {
        let lane = &mut self.lanes[index];
        let Ok(Step::Entry { at: stands, entry }) = lane.next_entry(&self.shared, segment, at) else { return None };
        if stands != at || !lane.read_payload(&self.shared, segment, at, &entry, &mut self.scratch) {
            return None;
        }
        let (block, rest) = RawBlock::parse(block_of(entry.kind, &self.scratch)).ok()?;
        let header = block.header();
        let same = header.lane == lane.lane()
            && header.epoch == self.shared.epoch()
            && (header.first, header.last()) == (entry.first, entry.last());
        (same && rest.is_empty()).then(|| (entry, block.bytes().to_vec()))
    }

    /// Gives back what reading needed.
    pub(crate) fn release_buffer(&mut self) {
        self.scratch.clear();
        self.scratch.shrink_to(KEEP_BYTES);
    }

    /// Gap records in some segments of a lane, the newest first, with the sequences of the entries that they stand in.
    pub(crate) fn gap_records(&mut self, index: usize, positions: Range<usize>) -> Vec<(GapRecord, u64)> {
        self.lanes[index].gap_records(&self.shared, positions, &mut self.scratch)
    }

    /// Calls `each` with every frame of some segments of a lane that is no gap record, in order. `false` when one of the sequences
    /// cannot be read, or `each` wants no more.
    pub(crate) fn each_frame(
        &mut self,
        index: usize,
        positions: Range<usize>,
        sequences: (u64, u64),
        each: impl FnMut(&[u8]) -> bool,
    ) -> bool {
        self.lanes[index].each_frame(&self.shared, positions, sequences, each)
    }

    /// Calls `each` with a lane's frames from a sequence on that can be read, until it says no.
    pub(crate) fn frames_from(&mut self, index: usize, from: u64, each: impl FnMut(u64, &[u8]) -> bool) {
        self.lanes[index].frames_from(&self.shared, from, &mut self.scratch, each);
    }

    /// The records in a lane's frames from a sequence on, by signal.
    pub(crate) fn count_from(&mut self, index: usize, from: u64) -> [u64; Signal::ALL.len()] {
        self.lanes[index].count_from(&self.shared, from, &mut self.scratch)
    }
}
