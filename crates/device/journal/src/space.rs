//! Room: budgets, the order in which lanes yield (P11), gap records and the file set aside for them, history.

use std::io;
use std::ops::Range;

use disk::Disk;
use model::{Lane, Stamp};
use segment::{EntryKind, Extent, FIXED, GapRecord, MIN_SEGMENT, Step, earliest};
use wire::{Gap, GapReason};

use crate::cursor::FILE_LEN;
use crate::error::{AppendError, JournalError};
use crate::journal::{Destination, Journal, Lost};
use crate::lane::LaneState;
use crate::mutants::{self, Mutant};

/// The largest segment, unless a single frame needs more.
pub(crate) const MAX_SEGMENT: u64 = 4 << 20;
/// The most that a segment grows by because it was filled quickly; beyond it only a backlog makes segments larger.
pub(crate) const MAX_BRISK_SEGMENT: u64 = 256 << 10;
/// Evictions that make no room, before a lane is taken for full.
const MOST_IN_VAIN: u32 = 4;
/// Gap records that wait for room; beyond it neighbours of a lane are joined.
const DUE_CAP: usize = 64;
const SPARE_PATH: &str = "spare";

/// A file of [`MIN_SEGMENT`] zero bytes that becomes a segment by renaming, so that a gap record finds room on a full disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spare {
    Ready,
    Missing,
}

/// How early a lane yields: the highest number first, 0 never (P11).
pub(crate) fn yields(lane: Lane) -> u8 {
    match lane {
        Lane::Mission | Lane::Audit => 0,
        Lane::Traces | Lane::Logs => 1,
        Lane::Metrics => 2,
        Lane::Debug => 3,
    }
}

/// Losses that the caller has not taken yet; beyond it those of a kind are added up.
const LOST_CAP: usize = 256;

pub(crate) fn book(lost: &mut Vec<Lost>, news: Lost) {
    let alike = |other: &&mut Lost| {
        other.destination == news.destination && other.gap.lane == news.gap.lane && other.gap.reason == news.gap.reason
    };
    if lost.len() >= LOST_CAP
        && let Some(other) = lost.iter_mut().find(alike)
    {
        other.records += news.records;
        join(&mut other.gap, &news.gap);
        return;
    }
    lost.push(news);
}

/// Widens a gap so that it spans another one of its lane.
pub(crate) fn join(gap: &mut Gap, other: &Gap) {
    gap.first = gap.first.min(other.first);
    gap.last = gap.last.max(other.last);
    gap.records += other.records;
    gap.start_ns = earliest(gap.start_ns, other.start_ns);
    gap.end_ns = gap.end_ns.max(other.end_ns);
}

impl<D: Disk> Journal<D> {
    /// Bytes that all files take.
    pub(crate) fn disk_bytes(&self) -> u64 {
        let lanes: u64 = self.lanes.iter().map(LaneState::disk_bytes).sum();
        let spare = if self.spare == Spare::Ready { MIN_SEGMENT } else { 0 };
        // Epoch and lock take a page.
        lanes + spare + self.records.disk_bytes() + 2 * 4096 + FILE_LEN * self.destinations.len() as u64
    }

    /// Whether a new segment stays within the budget and above the floor of free space. Where others fill the disk the journal
    /// does not grow, but may have again what it had when they did not.
    pub(crate) fn affords(&mut self, size: u64) -> bool {
        let owed = if self.spare == Spare::Missing { MIN_SEGMENT } else { 0 };
        let after = self.disk_bytes() + size;
        if after + owed > self.options.total_bytes {
            return false;
        }
        let floor = self.options.free_space_floor;
        // A file system that does not say how much is free says so when the segment is made.
        if floor == 0 || self.core.disk.free_space().map_or(true, |free| free >= floor.saturating_add(size)) {
            self.rightful = after;
            return true;
        }
        after <= self.rightful
    }

    /// A size for the lane's next segment: small on a device with little to keep, larger when segments fill quickly or a
    /// backlog stands.
    fn wanted_size(&self, index: usize) -> u64 {
        let lane = &self.lanes[index];
        // One of many: what is open has no index, and a query reads all of it.
        // Points are thinned by whole segments.
        let most = if lane.lane == Lane::Metrics { MAX_BRISK_SEGMENT } else { MAX_SEGMENT };
        let largest = (self.options.total_bytes / 256).clamp(MIN_SEGMENT, most);
        let brisk = lane.next_size.min(MAX_BRISK_SEGMENT);
        (lane.disk_bytes() / 8).max(brisk).clamp(MIN_SEGMENT, largest).next_multiple_of(4096)
    }

    /// Opens a new segment that has room for what is pending in the lane and one more frame, making room as P11 allows.
    pub(crate) fn open_segment(&mut self, index: usize, frame_len: usize, stamp: Stamp) -> Result<(), AppendError> {
        let needed = self.lanes[index].size_for(frame_len).next_multiple_of(4096).max(MIN_SEGMENT);
        let mut size = self.wanted_size(index).max(needed);
        let (mut stepped, mut beyond) = ([false; Lane::ALL.len()], false);
        let (mut least, mut in_vain) = (u64::MAX, 0);
        loop {
            let within = beyond || self.lanes[index].disk_bytes() + size <= self.options.lane_bytes[index];
            if within && self.affords(size) {
                match self.lanes[index].create_segment(&mut self.core, size, None) {
                    Ok(()) => return Ok(()),
                    Err(error) if error.is_full() => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if size > needed {
                size = needed;
                continue;
            }
            let freed = match within {
                true => self.free_something(index, size, stamp)?,
                false => self.free_own(index, size, stamp)?,
            };
            // Gap records that have to be told again may take what their eviction gives.
            let left = self.disk_bytes();
            in_vain += u32::from(freed && left >= least);
            least = least.min(left);
            if freed && in_vain < MOST_IN_VAIN || self.step_aside(index, !within, &mut stepped)? {
                continue;
            }
            // What was taken has to be written, and a lane that yields must not stand still: with nothing left to give up it
            // goes beyond its own budget by this segment.
            let taken = frame_len == 0 || yields(self.lanes[index].lane) > 0;
            if within || !taken {
                return Err(AppendError::Full { lane: self.lanes[index].lane, needed: size });
            }
            beyond = true;
        }
    }

    /// The newest segment of a lane never goes. Where a large one is all that could be given up, a small one is made behind it,
    /// so that it is the newest no more; once in each lane, since what is asked for may replace it. `false` when that helps
    /// nobody.
    fn step_aside(
        &mut self,
        asking: usize,
        own: bool,
        stepped: &mut [bool; Lane::ALL.len()],
    ) -> Result<bool, JournalError> {
        let class = yields(self.lanes[asking].lane);
        for (index, stepped) in stepped.iter_mut().enumerate() {
            let lane = &self.lanes[index];
            let Some(newest) = lane.segments.back() else { continue };
            let done = self.destinations.iter().all(|destination| destination.done_with(index) >= newest.last);
            let may_go = done || yields(lane.lane) >= class.max(1);
            let blocks = !newest.is_empty()
                && newest.last < lane.committed.next
                && newest.disk_bytes > MIN_SEGMENT
                && !lane.has_unsynced();
            if *stepped || (own && index != asking) || !may_go || !blocks {
                continue;
            }
            *stepped = true;
            if self.affords(MIN_SEGMENT) {
                match self.lanes[index].create_segment(&mut self.core, MIN_SEGMENT, None) {
                    Ok(()) => return Ok(true),
                    Err(error) if error.is_full() => {}
                    Err(error) => return Err(error),
                }
            }
            if self.spare == Spare::Ready {
                self.spare = Spare::Missing;
                self.lanes[index].create_segment(&mut self.core, MIN_SEGMENT, Some(SPARE_PATH))?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Gives up what a lane itself has, because of its own budget. `false` when there is nothing to give up.
    fn free_own(&mut self, index: usize, size: u64, stamp: Stamp) -> Result<bool, JournalError> {
        if !self.lanes[index].segments.is_empty() && self.is_history(index, 0) {
            self.free_own_history(index)?;
            return Ok(true);
        }
        if yields(self.lanes[index].lane) == 0 {
            return Ok(false);
        }
        self.evict(index, size, stamp)
    }

    /// Removes a lane's oldest segment, which is history.
    pub(crate) fn free_own_history(&mut self, index: usize) -> Result<(), JournalError> {
        // Without the cursor on disk, the missing segment would look like a loss after a crash.
        self.sync_cursors()?;
        self.lanes[index].remove_segment(&self.core, 0)?;
        self.forget_holes(index);
        Ok(())
    }

    /// Gives up history, else what yields before the lane or with it. `false` when there is nothing left to give up.
    fn free_something(&mut self, index: usize, size: u64, stamp: Stamp) -> Result<bool, JournalError> {
        if self.free_history()? {
            return Ok(true);
        }
        let asking = yields(self.lanes[index].lane);
        for class in (asking.max(1)..=3).rev() {
            let mut lanes: Vec<usize> =
                (0..self.lanes.len()).filter(|lane| yields(self.lanes[*lane].lane) == class).collect();
            lanes.sort_by_key(|lane| std::cmp::Reverse(self.lanes[*lane].disk_bytes()));
            for lane in lanes {
                if self.evict(lane, size, stamp)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Whether every destination is done with a segment. The newest one of a lane is never history: its name says which
    /// sequences were used.
    pub(crate) fn is_history(&self, index: usize, position: usize) -> bool {
        let lane = &self.lanes[index];
        let segment = &lane.segments[position];
        position + 1 < lane.segments.len()
            && segment.last < lane.committed.next
            && self.destinations.iter().all(|destination| destination.done_with(index) >= segment.last)
    }

    /// The oldest segment that every destination is done with, and the bytes of all of them.
    pub(crate) fn history(&self) -> (Option<usize>, u64) {
        let mut oldest: Option<(u64, usize)> = None;
        let mut bytes = 0;
        for (index, lane) in self.lanes.iter().enumerate() {
            for position in 0..lane.segments.len() {
                if !self.is_history(index, position) {
                    break;
                }
                let segment = &lane.segments[position];
                bytes += segment.disk_bytes;
                if position == 0 && oldest.is_none_or(|(end, _)| segment.end_ns < end) {
                    oldest = Some((segment.end_ns, index));
                }
            }
        }
        (oldest.map(|(_, index)| index), bytes)
    }

    fn free_history(&mut self) -> Result<bool, JournalError> {
        let (Some(index), _) = self.history() else { return Ok(false) };
        self.free_own_history(index)?;
        Ok(true)
    }

    /// Forgets holes that everyone is past.
    pub(crate) fn forget_holes(&mut self, index: usize) {
        let oldest = self.lanes[index].oldest();
        let tails = self.destinations.iter().map(|destination| destination.windows[index].tail);
        let needed = tails.min().unwrap_or(oldest).min(oldest);
        self.lanes[index].holes.forget_below(needed);
    }

    /// After a commit: give up what destinations and lanes may not hold, and history beyond its budget, shrink lanes that are drained, renew the spare file.
    pub(crate) fn keep_house(&mut self, stamp: Stamp) -> Result<(), JournalError> {
        self.remove_thinned()?;
        self.enforce_holds(stamp)?;
        self.enforce_ages(stamp)?;
        for index in 0..self.lanes.len() {
            let lane = &self.lanes[index];
            let Some(newest) = lane.segments.back() else { continue };
            let done = lane.is_open()
                && !newest.is_empty()
                && newest.disk_bytes > 2 * MAX_BRISK_SEGMENT
                && self.destinations.iter().all(|destination| destination.windows[index].confirmed >= newest.last);
            if done && self.affords(MIN_SEGMENT) {
                match self.lanes[index].create_segment(&mut self.core, MIN_SEGMENT, None) {
                    Err(error) if !error.is_full() => return Err(error),
                    _ => {}
                }
            }
        }
        while self.history().1 > self.options.history_bytes {
            if !self.free_history()? {
                break;
            }
        }
        if self.spare == Spare::Missing && self.disk_bytes() + MIN_SEGMENT <= self.options.total_bytes {
            self.renew_spare()?;
        }
        Ok(())
    }

    /// Makes the spare file when there is room for it.
    pub(crate) fn renew_spare(&mut self) -> Result<(), JournalError> {
        match self.core.disk.create(SPARE_PATH, MIN_SEGMENT) {
            Ok(_) => self.spare = Spare::Ready,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.spare = Spare::Ready,
            Err(error) if disk::is_full(&error) => {}
            Err(error) => return Err(JournalError::io("create", SPARE_PATH)(error)),
        }
        Ok(())
    }

    /// Sees to it that a gap record fits into the lane's open segment; takes the spare file when nothing else is left.
    fn fit_gap(&mut self, index: usize) -> Result<bool, JournalError> {
        if self.lanes[index].is_open() {
            if self.lanes[index].fits_gap(&self.core.device) {
                return Ok(true);
            }
            // When this fails the segment is given up, and what is pending goes into the next one.
            let _ = self.lanes[index].sync(&mut self.core);
            if self.lanes[index].fits_gap(&self.core.device) {
                return Ok(true);
            }
        }
        let size = self.lanes[index].size_for(1024).next_multiple_of(4096).max(MIN_SEGMENT);
        if self.affords(size) {
            match self.lanes[index].create_segment(&mut self.core, size, None) {
                Ok(()) => return Ok(true),
                Err(error) if error.is_full() => {}
                Err(error) => return Err(error),
            }
        }
        if self.spare == Spare::Missing || size > MIN_SEGMENT {
            return Ok(false);
        }
        self.spare = Spare::Missing;
        self.lanes[index].create_segment(&mut self.core, MIN_SEGMENT, Some(SPARE_PATH))?;
        Ok(true)
    }

    /// Writes the gap records that are due, as far as there is room for them. They are synced with the next sync.
    pub(crate) fn write_due_gaps(&mut self, stamp: Stamp) -> Result<(), JournalError> {
        while let Some(due) = self.due.last().copied() {
            let index = usize::from(due.gap.lane.number());
            if !self.fit_gap(index)? {
                match self.open_segment(index, 1024, stamp) {
                    Ok(()) => {}
                    Err(AppendError::Journal(error)) => return Err(error),
                    Err(_) => break,
                }
            }
            if !self.due.contains(&due) {
                // Making room gave its stretch up, and told it with that.
                continue;
            }
            if !mutants::is_on(Mutant::GapLost) {
                self.lanes[index].push_gap(&mut self.core, &due, stamp)?;
            }
            self.due.retain(|other| *other != due);
        }
        Ok(())
    }

    /// Notes that a stretch cannot be read any more: its gap record becomes due, destinations that still needed it lose
    /// its records, and everyone goes round it.
    pub(crate) fn declare(&mut self, index: usize, span: Extent, reason: GapReason, start_ns: u64, end_ns: u64) {
        let lane = self.lanes[index].lane;
        let (first, last) = (span.first, span.last);
        let gap = Gap { lane, first, last, reason, records: span.records(), start_ns, end_ns };
        self.lose(index, &span, &gap, 0);
        let next = self.lanes[index].next;
        self.lanes[index].holes.tell(&span, next);
        self.tell_later(gap, &span, true);
    }

    /// Makes a gap record due. `exact` where nobody can have the stretch any more.
    pub(crate) fn tell_later(&mut self, gap: Gap, span: &Extent, exact: bool) {
        let alike = |due: &&mut GapRecord| due.gap.lane == gap.lane && due.gap.reason == gap.reason;
        if self.due.len() >= DUE_CAP
            && let Some(due) = self.due.iter_mut().find(alike)
        {
            // Says more than was lost; frames that are stored override a gap at the hub.
            join(&mut due.gap, &gap);
            due.exact = false;
            return;
        }
        self.due.push(GapRecord { gap, before: span.before, after: span.after, exact });
    }

    /// Books a lost stretch for every destination that has neither confirmed it nor has it on its way; `instead` records stand
    /// elsewhere in the lane for those of it.
    pub(crate) fn lose(&mut self, index: usize, span: &Extent, gap: &Gap, instead: u64) {
        let holes = &self.lanes[index].holes;
        for (number, destination) in self.destinations.iter_mut().enumerate() {
            let window = &mut destination.windows[index];
            let before = span.before.max(window.records_before);
            let records = window.would_lose(span, holes.records_between(before, span.after));
            if window.confirmed < span.last {
                book(&mut self.lost, Lost { destination: number, gap: *gap, records: records.saturating_sub(instead) });
            }
            window.punch(span);
            destination.dirty |= window.settle();
        }
        self.lanes[index].holes.insert(*span);
    }

    /// Whether a segment has something on its way to a destination.
    pub(crate) fn is_on_its_way(&self, index: usize, position: usize) -> bool {
        let segment = &self.lanes[index].segments[position];
        let in_flight =
            |destination: &Destination<D::File>| destination.windows[index].in_flight(segment.first, segment.last);
        !mutants::is_on(Mutant::EvictInFlight) && self.destinations.iter().any(in_flight)
    }

    /// Evicts the oldest whole segments of a lane that nobody has on the way, until about `size` bytes are free.
    fn evict(&mut self, index: usize, size: u64, stamp: Stamp) -> Result<bool, JournalError> {
        let lane = &self.lanes[index];
        // A little more than asked for, so that there is not a gap record for every segment.
        let slack = (self.options.total_bytes / 64).min(lane.disk_bytes() / 16);
        let newest = lane.segments.len().saturating_sub(1);
        let from = (0..newest).find(|position| !self.is_on_its_way(index, *position));
        let Some(from) = from else { return Ok(false) };
        let (mut to, mut freed) = (from, 0);
        while to < newest && freed < size + slack && !self.is_on_its_way(index, to) {
            freed += lane.segments[to].disk_bytes;
            to += 1;
        }
        self.evict_segments(index, from..to, stamp)
    }

    /// Evicts some segments of a lane, which nobody has on the way, and not its newest. The gap record is durable before
    /// anything is removed; `false`, and nothing is, when there is no room for it.
    pub(crate) fn evict_segments(
        &mut self,
        index: usize,
        positions: Range<usize>,
        stamp: Stamp,
    ) -> Result<bool, JournalError> {
        let (from, to) = (positions.start, positions.end);
        let lane = &self.lanes[index];
        let (start, end) = (&lane.segments[from], &lane.segments[to]);
        let span =
            Extent { first: start.first, last: end.first - 1, before: start.records_before, after: end.records_before };
        let gone = || lane.segments.range(from..to);
        // What every destination has of it is not lost.
        let places =
            self.destinations.iter().map(|one| (one.windows[index].confirmed, one.windows[index].records_before));
        let had = places.min().filter(|(confirmed, _)| (span.first..span.last).contains(confirmed));
        let (first, before) = had.map_or((span.first, span.before), |(confirmed, before)| (confirmed + 1, before));
        let known = lane.holes.records_between(before, span.after);
        let gap = Gap {
            lane: lane.lane,
            first,
            last: span.last,
            reason: GapReason::Evicted,
            records: span.after.saturating_sub(before + known),
            start_ns: gone().fold(0, |time, segment| earliest(time, segment.start_ns)),
            end_ns: gone().map(|segment| segment.end_ns).max().unwrap_or_default(),
        };
        if !self.fit_gap(index)? {
            return Ok(false);
        }
        let mut told = GapRecord { gap, before, after: span.after, exact: true };
        // What is due of the stretch is told here: a crash before its own gap record would leave its records untold.
        let goes_with_it = move |due: &GapRecord| {
            due.exact && due.gap.lane == gap.lane && gap.first <= due.gap.first && due.gap.last <= gap.last
        };
        told.gap.records += self.due.iter().filter(|due| goes_with_it(due)).map(|due| due.gap.records).sum::<u64>();
        let mut again = Vec::new();
        let needed =
            |journal: &Self, sequence: u64| journal.destinations.iter().any(|other| other.done_with(index) < sequence);
        for earlier in self.gaps_within(index, from..to, needed) {
            // What an evicted gap record told has to be told again: with this one where they touch.
            let touches = earlier.exact && earlier.gap.reason == gap.reason && earlier.gap.last + 1 == told.gap.first;
            if touches {
                join(&mut told.gap, &earlier.gap);
                told.before = earlier.before;
            } else {
                self.lanes[index].push_gap(&mut self.core, &earlier, stamp)?;
                again.push(earlier.extent());
                if !self.fit_gap(index)? {
                    return Ok(false);
                }
            }
        }
        self.lanes[index].push_gap(&mut self.core, &told, stamp)?;
        if self.lanes[index].sync(&mut self.core).is_err() {
            // What was pending is now due in another segment; without a durable gap record nothing may go.
            return Ok(false);
        }
        self.lanes[index].sync_names(&mut self.core)?;
        if self.core.cut {
            // So that a crash does not cut the gap record, whose frames are gone.
            let head = self.lanes[index].synced;
            self.records.advance(&self.core.disk, self.core.epoch, index, head, &mut self.core.counts)?;
        }
        self.due.retain(|due| !goes_with_it(due));
        self.lose(index, &span, &gap, 0);
        let last = self.lanes[index].next - 1;
        again.push(told.extent());
        for told in &again {
            self.lanes[index].holes.tell(told, last);
        }
        // What tells of earlier losses, and every destination has, is not told again: their cursors must know it.
        self.sync_cursors()?;
        for _ in from..to {
            self.lanes[index].remove_segment(&self.core, from)?;
        }
        self.forget_holes(index);
        Ok(true)
    }

    /// What gap records in some segments of a lane told, the newest first: those at sequences that are `needed`.
    pub(crate) fn gaps_within(
        &mut self,
        index: usize,
        positions: Range<usize>,
        needed: impl Fn(&Self, u64) -> bool,
    ) -> Vec<GapRecord> {
        let mut gaps = Vec::new();
        for position in positions {
            let lane = &mut self.lanes[index];
            let segment = lane.segments[position];
            if !segment.has_gaps {
                continue;
            }
            let number = lane.lane;
            let mut at = FIXED;
            while let Ok(file) = self.lanes[index].file(&self.core, segment.first)
                && let Step::Entry { at: found, entry } = file.next_entry(&self.core.disk, at, segment.data_end)
            {
                at = found + entry.total_len();
                if entry.kind == EntryKind::Gap
                    && file.read_payload(&self.core.disk, found, &entry, &mut self.scratch)
                    && let Some(told) = GapRecord::decode(number, &self.scratch)
                    && needed(self, entry.last())
                {
                    gaps.push(told);
                }
            }
        }
        gaps.reverse();
        gaps
    }
}
