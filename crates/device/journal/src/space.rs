//! Room: budgets, the order in which lanes yield (P11), the file that is set aside for gap records.

mod evict;
mod replace;
mod upkeep;

use std::io;

use disk::Disk;
use model::{Lane, Stamp};
use segment::{MIN_SEGMENT, lane_dir};

use crate::consumer::QueueLimit;
use crate::cursors::Cursors;
use crate::error::{AppendError, JournalError};
use crate::log::Log;
use crate::mutants::{self, Mutant};
use crate::yielding::yields;

pub use replace::Stretch;
pub(crate) use replace::{positions, stretch};

/// The largest segment, unless a single frame needs more.
const MAX_SEGMENT: u64 = 4 << 20;
/// The most that a segment grows by because it was filled quickly; beyond it only a backlog makes segments larger.
const MAX_BRISK_SEGMENT: u64 = 256 << 10;
/// Evictions that make no room, before a lane is taken for full.
const MOST_IN_VAIN: u32 = 4;
/// A file of [`MIN_SEGMENT`] zero bytes that becomes a segment by renaming, so that a gap record finds room on a full disk.
pub(crate) const RESERVE_PATH: &str = "spare";

/// The largest segment that a lane makes which may take `lane_bytes` of a journal's `total_bytes`, unless a single frame
/// needs more.
pub fn largest_segment(total_bytes: u64, lane_bytes: u64) -> u64 {
    let of_lane = (lane_bytes / 8).max(MAX_BRISK_SEGMENT);
    (total_bytes / 256).clamp(MIN_SEGMENT, MAX_SEGMENT).min(of_lane)
}

/// What lanes may take, and keep.
#[derive(Debug, Clone)]
pub(crate) struct Budgets {
    /// Everything together, on disk.
    pub(crate) total_bytes: u64,
    /// Segments that every destination has confirmed.
    pub(crate) history_bytes: u64,
    /// Each lane, by its number.
    pub(crate) lane_bytes: [u64; Lane::ALL.len()],
    /// How old a sealed segment's newest record may get, by the lane's number, nanoseconds.
    pub(crate) lane_ages: [u64; Lane::ALL.len()],
    /// What is left free on the file system.
    pub(crate) free_space_floor: u64,
    /// What each destination may keep waiting.
    pub(crate) queue_limits: Vec<Option<QueueLimit>>,
}

/// Who may take how much, and what stands ready when nothing is left.
pub(crate) struct Space {
    budgets: Budgets,
    /// Whether the file that is set aside is there.
    has_reserve: bool,
    /// What the journal took, or asked for, when there last was more free than the floor; at open, what it has.
    rightful: u64,
}

impl Space {
    /// Looks for the file that is set aside.
    pub(crate) fn open<D: Disk>(
        budgets: Budgets,
        log: &Log<D>,
        cursors: &Cursors<D::File>,
    ) -> Result<Self, JournalError> {
        let disk = log.lanes.disk();
        let mut has_reserve = false;
        match disk.open(RESERVE_PATH) {
            Ok(file) if disk.len(&file).is_ok_and(|len| len == MIN_SEGMENT) => has_reserve = true,
            // A crash left it shorter.
            Ok(_) => disk.remove(RESERVE_PATH).map_err(JournalError::io("remove", RESERVE_PATH))?,
            Err(_) => {}
        }
        let mut space = Self { budgets, has_reserve, rightful: 0 };
        space.rightful = space.disk_bytes(log, cursors);
        Ok(space)
    }

    /// Bytes that all files take.
    pub(crate) fn disk_bytes<D: Disk>(&self, log: &Log<D>, cursors: &Cursors<D::File>) -> u64 {
        let reserve = if self.has_reserve { MIN_SEGMENT } else { 0 };
        // Epoch and lock take a page.
        log.lanes.disk_bytes() + reserve + log.records.disk_bytes() + 2 * 4096 + cursors.disk_bytes()
    }

    /// Whether a new segment stays within the budget and above the floor of free space. Where others fill the disk the journal
    /// does not grow, but may have again what it had when they did not.
    fn affords<D: Disk>(&mut self, log: &Log<D>, cursors: &Cursors<D::File>, size: u64) -> bool {
        let owed = if self.has_reserve { 0 } else { MIN_SEGMENT };
        let after = self.disk_bytes(log, cursors) + size;
        if after + owed > self.budgets.total_bytes {
            return false;
        }
        let floor = self.budgets.free_space_floor;
        // A file system that does not say how much is free says so when the segment is made.
        if floor == 0 || log.lanes.disk().free_space().map_or(true, |free| free >= floor.saturating_add(size)) {
            self.rightful = after;
            return true;
        }
        after <= self.rightful
    }

    /// A size for the lane's next segment: small on a device with little to keep, larger when segments fill quickly or a
    /// backlog stands.
    fn wanted_size<D: Disk>(&self, log: &Log<D>, index: usize) -> u64 {
        let lane = log.lanes.lane(index);
        // One of many: what is open has no index, and a query reads all of it.
        // Points are thinned by whole segments.
        let most = if lane.lane() == Lane::Metrics { MAX_BRISK_SEGMENT } else { MAX_SEGMENT };
        let largest = (self.budgets.total_bytes / 256).clamp(MIN_SEGMENT, most);
        let brisk = lane.suggested_size().min(MAX_BRISK_SEGMENT);
        (lane.disk_bytes() / 8).max(brisk).clamp(MIN_SEGMENT, largest).next_multiple_of(4096)
    }

    /// Whether a lane stays within its own budget with a new segment.
    fn is_within<D: Disk>(&self, log: &Log<D>, index: usize, size: u64) -> bool {
        log.lanes.lane(index).disk_bytes() + size <= self.budgets.lane_bytes[index]
    }

    /// Makes a segment when it is affordable; `false` when it is not, or the disk is full.
    fn try_segment<D: Disk>(
        &mut self,
        log: &mut Log<D>,
        cursors: &Cursors<D::File>,
        index: usize,
        size: u64,
    ) -> Result<bool, JournalError> {
        if !self.affords(log, cursors, size) {
            return Ok(false);
        }
        match log.lanes.create_segment(index, size, None) {
            Ok(()) => Ok(true),
            Err(error) if error.is_full() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes the file that is set aside a lane's segment; `false` when there is none.
    fn use_reserve<D: Disk>(&mut self, log: &mut Log<D>, index: usize) -> Result<bool, JournalError> {
        if !std::mem::take(&mut self.has_reserve) {
            return Ok(false);
        }
        log.lanes.create_segment(index, MIN_SEGMENT, Some(RESERVE_PATH))?;
        Ok(true)
    }

    /// Sets the file aside when there is room for it.
    fn renew_reserve<D: Disk>(&mut self, log: &Log<D>) -> Result<(), JournalError> {
        match log.lanes.disk().create(RESERVE_PATH, MIN_SEGMENT) {
            Ok(_) => self.has_reserve = true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.has_reserve = true,
            Err(error) if disk::is_full(&error) => {}
            Err(error) => return Err(JournalError::io("create", RESERVE_PATH)(error)),
        }
        Ok(())
    }

    /// Sees to it that a frame of this length surely finds room in the lane's open segment.
    pub(crate) fn make_fit<D: Disk>(
        &mut self,
        log: &mut Log<D>,
        cursors: &mut Cursors<D::File>,
        index: usize,
        frame_len: usize,
        stamp: Stamp,
    ) -> Result<(), AppendError> {
        if log.lanes.lane(index).block_is_full(frame_len) {
            log.lanes.close_block(index)?;
        }
        if log.lanes.lane(index).fits(frame_len) {
            return Ok(());
        }
        // Compressed, the open block takes less than was set aside for it.
        log.lanes.close_block(index)?;
        if log.lanes.lane(index).fits(frame_len) {
            return Ok(());
        }
        if log.lanes.lane(index).is_open() {
            // A segment that fails is abandoned; what is pending then goes into the new one.
            let _ = log.lanes.sync(index);
        }
        self.open_segment(log, cursors, index, frame_len, stamp)
    }

    /// Syncs every lane that has something. A lane whose segment fails is tried once more in a new segment, under the
    /// same sequences: they were never sent. A lane that finds no room for that keeps none of the others from it.
    pub(crate) fn sync_lanes<D: Disk>(
        &mut self,
        log: &mut Log<D>,
        cursors: &mut Cursors<D::File>,
        stamp: Stamp,
    ) -> Result<(), JournalError> {
        let mut no_room = [const { None }; Lane::ALL.len()];
        // Making room for one lane may leave the gap record of another unsynced.
        while let Some(index) =
            (0..Lane::ALL.len()).find(|index| no_room[*index].is_none() && log.lanes.lane(*index).has_unsynced())
        {
            if log.lanes.lane(index).is_open() && log.lanes.sync(index).is_ok() {
                continue;
            }
            match self.open_segment(log, cursors, index, 0, stamp) {
                Ok(()) => log.lanes.sync(index)?,
                Err(AppendError::Journal(error)) => return Err(error),
                Err(full) => {
                    let full = io::Error::new(io::ErrorKind::StorageFull, full.to_string());
                    let dir = lane_dir(log.lanes.lane(index).lane());
                    no_room[index] = Some(JournalError::io("find room for", dir)(full));
                }
            }
        }
        no_room.into_iter().flatten().next().map_or(Ok(()), Err)
    }

    /// Opens a new segment that has room for what is pending in the lane and one more frame, making room as P11 allows.
    fn open_segment<D: Disk>(
        &mut self,
        log: &mut Log<D>,
        cursors: &mut Cursors<D::File>,
        index: usize,
        frame_len: usize,
        stamp: Stamp,
    ) -> Result<(), AppendError> {
        let needed = log.lanes.lane(index).size_for(frame_len).next_multiple_of(4096).max(MIN_SEGMENT);
        let mut size = self.wanted_size(log, index).max(needed);
        let (mut stepped, mut beyond) = ([false; Lane::ALL.len()], false);
        let (mut least, mut in_vain) = (u64::MAX, 0);
        loop {
            let within = beyond || self.is_within(log, index, size);
            if within && self.try_segment(log, cursors, index, size)? {
                return Ok(());
            }
            if size > needed {
                size = needed;
                continue;
            }
            let freed = match within {
                true => self.free_something(log, cursors, index, size, stamp)?,
                false => self.free_own(log, cursors, index, size, stamp)?,
            };
            // Gap records that have to be reported again may take what their eviction gives.
            let left = self.disk_bytes(log, cursors);
            in_vain += u32::from(freed && left >= least);
            least = least.min(left);
            if freed && in_vain < MOST_IN_VAIN || self.step_aside(log, cursors, index, !within, &mut stepped)? {
                continue;
            }
            // What was taken has to be written, and a lane that yields must not stand still: with nothing left to evict it
            // goes beyond its own budget by this segment.
            let lane = log.lanes.lane(index).lane();
            if within || (frame_len > 0 && yields(lane) == 0) {
                return Err(AppendError::Full { lane, needed: size });
            }
            beyond = true;
        }
    }

    /// The newest segment of a lane never goes. Where a large one is all that could be evicted, a small one is made behind it,
    /// so that it is the newest no more; once in each lane, since what is asked for may replace it. `false` when that helps
    /// nobody.
    fn step_aside<D: Disk>(
        &mut self,
        log: &mut Log<D>,
        cursors: &Cursors<D::File>,
        asking: usize,
        own: bool,
        stepped: &mut [bool; Lane::ALL.len()],
    ) -> Result<bool, JournalError> {
        let class = yields(log.lanes.lane(asking).lane());
        for (index, stepped) in stepped.iter_mut().enumerate() {
            let lane = log.lanes.lane(index);
            let Some(newest) = lane.segments().back() else { continue };
            let may_go = cursors.are_done(index, newest.last) || yields(lane.lane()) >= class.max(1);
            let blocks = !newest.is_empty()
                && newest.last < lane.committed().next
                && newest.disk_bytes > MIN_SEGMENT
                && !lane.has_unsynced();
            if *stepped || (own && index != asking) || !may_go || !blocks {
                continue;
            }
            *stepped = true;
            if self.try_segment(log, cursors, index, MIN_SEGMENT)? || self.use_reserve(log, index)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Sees to it that a gap record fits into the lane's open segment; takes the file set aside when nothing else is left.
    fn fit_gap<D: Disk>(
        &mut self,
        log: &mut Log<D>,
        cursors: &Cursors<D::File>,
        index: usize,
    ) -> Result<bool, JournalError> {
        if log.lanes.lane(index).is_open() {
            if log.lanes.lane(index).fits_gap(log.lanes.device()) {
                return Ok(true);
            }
            // When this fails the segment is abandoned, and what is pending goes into the next one.
            let _ = log.lanes.sync(index);
            if log.lanes.lane(index).fits_gap(log.lanes.device()) {
                return Ok(true);
            }
        }
        let size = log.lanes.lane(index).size_for(1024).next_multiple_of(4096).max(MIN_SEGMENT);
        if self.try_segment(log, cursors, index, size)? {
            return Ok(true);
        }
        Ok(size <= MIN_SEGMENT && self.use_reserve(log, index)?)
    }

    /// Writes the gap records that are due, as far as there is room for them. They are synced with the next sync.
    pub(crate) fn write_due_gaps<D: Disk>(
        &mut self,
        log: &mut Log<D>,
        cursors: &mut Cursors<D::File>,
        stamp: Stamp,
    ) -> Result<(), JournalError> {
        while let Some(due) = log.gaps.due().last().copied() {
            let index = usize::from(due.gap.lane.number());
            if !self.fit_gap(log, cursors, index)? {
                match self.open_segment(log, cursors, index, 1024, stamp) {
                    Ok(()) => {}
                    Err(AppendError::Journal(error)) => return Err(error),
                    Err(_) => break,
                }
            }
            if !log.gaps.due().contains(&due) {
                // Making room evicted its stretch, and reported it with that.
                continue;
            }
            if !mutants::is_on(Mutant::GapLost) {
                log.lanes.push_gap(index, &due, stamp)?;
            }
            log.gaps.written(&due);
        }
        Ok(())
    }
}
