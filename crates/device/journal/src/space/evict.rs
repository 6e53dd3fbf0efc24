//! Making room: history goes first, then lanes yield.

use std::ops::Range;

use disk::Disk;
use model::{Lane, Stamp};
use segment::{GapRecord, earliest};
use wire::{Gap, GapReason};

use super::Space;
use crate::cursors::Cursors;
use crate::error::JournalError;
use crate::gap_log::join;
use crate::log::Log;
use crate::mutants::{self, Mutant};
use crate::yielding::yields;

/// Whether every destination is done with a segment. The newest one of a lane is never history: its name says which
/// sequences were used.
pub(super) fn is_history<D: Disk>(log: &Log<D>, cursors: &Cursors<D::File>, index: usize, position: usize) -> bool {
    let lane = log.lanes.lane(index);
    let last = lane.segments()[position].last;
    position + 1 < lane.segments().len() && last < lane.committed().next && cursors.are_done(index, last)
}

/// The lane with the oldest segment that every destination is done with, and the bytes of all of them.
pub(super) fn history<D: Disk>(log: &Log<D>, cursors: &Cursors<D::File>) -> (Option<usize>, u64) {
    let mut oldest: Option<(u64, usize)> = None;
    let mut bytes = 0;
    for (index, lane) in log.lanes.iter().enumerate() {
        for (position, segment) in lane.segments().iter().enumerate() {
            if !is_history(log, cursors, index, position) {
                break;
            }
            bytes += segment.disk_bytes;
            if position == 0 && oldest.is_none_or(|(end, _)| segment.end_ns < end) {
                oldest = Some((segment.end_ns, index));
            }
        }
    }
    (oldest.map(|(_, index)| index), bytes)
}

/// Removes a lane's oldest segment, which is history.
pub(super) fn free_own_history<D: Disk>(
    log: &mut Log<D>,
    cursors: &mut Cursors<D::File>,
    index: usize,
) -> Result<(), JournalError> {
    // Without the cursor on disk, the missing segment would look like a loss after a crash.
    cursors.sync(log)?;
    log.lanes.remove_segment(index, 0)?;
    cursors.forget_gaps(log, index);
    Ok(())
}

/// Removes the oldest segment that is history; `false` when there is none.
pub(super) fn free_history<D: Disk>(log: &mut Log<D>, cursors: &mut Cursors<D::File>) -> Result<bool, JournalError> {
    let (Some(index), _) = history(log, cursors) else { return Ok(false) };
    free_own_history(log, cursors, index)?;
    Ok(true)
}

/// Whether a segment has something on its way to a destination.
pub(super) fn is_on_its_way<D: Disk>(log: &Log<D>, cursors: &Cursors<D::File>, index: usize, position: usize) -> bool {
    !mutants::is_on(Mutant::EvictInFlight) && cursors.has_on_its_way(index, &log.lanes.lane(index).segments()[position])
}

impl Space {
    /// Removes or evicts what a lane itself has, because of its own budget. `false` when there is nothing to evict.
    pub(super) fn free_own<D: Disk>(
        &mut self,
        log: &mut Log<D>,
        cursors: &mut Cursors<D::File>,
        index: usize,
        size: u64,
        stamp: Stamp,
    ) -> Result<bool, JournalError> {
        let lane = log.lanes.lane(index);
        if !lane.segments().is_empty() && is_history(log, cursors, index, 0) {
            free_own_history(log, cursors, index)?;
            return Ok(true);
        }
        if yields(lane.lane()) == 0 {
            return Ok(false);
        }
        self.evict(log, cursors, index, size, stamp)
    }

    /// Removes history, else evicts what yields before the lane or with it. `false` when there is nothing left to evict.
    pub(super) fn free_something<D: Disk>(
        &mut self,
        log: &mut Log<D>,
        cursors: &mut Cursors<D::File>,
        index: usize,
        size: u64,
        stamp: Stamp,
    ) -> Result<bool, JournalError> {
        if free_history(log, cursors)? {
            return Ok(true);
        }
        let asking = yields(log.lanes.lane(index).lane());
        for class in (asking.max(1)..=3).rev() {
            let mut lanes: Vec<usize> =
                (0..Lane::ALL.len()).filter(|index| yields(log.lanes.lane(*index).lane()) == class).collect();
            lanes.sort_by_key(|index| std::cmp::Reverse(log.lanes.lane(*index).disk_bytes()));
            for lane in lanes {
                if self.evict(log, cursors, lane, size, stamp)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Evicts the oldest whole segments of a lane that nobody has on the way, until about `size` bytes are free.
    fn evict<D: Disk>(
        &mut self,
        log: &mut Log<D>,
        cursors: &mut Cursors<D::File>,
        index: usize,
        size: u64,
        stamp: Stamp,
    ) -> Result<bool, JournalError> {
        let lane = log.lanes.lane(index);
        // A little more than asked for, so that there is not a gap record for every segment.
        let slack = (self.budgets.total_bytes / 64).min(lane.disk_bytes() / 16);
        let newest = lane.segments().len().saturating_sub(1);
        let from = (0..newest).find(|position| !is_on_its_way(log, cursors, index, *position));
        let Some(from) = from else { return Ok(false) };
        let (mut to, mut freed) = (from, 0);
        while to < newest && freed < size + slack && !is_on_its_way(log, cursors, index, to) {
            freed += lane.segments()[to].disk_bytes;
            to += 1;
        }
        self.evict_segments(log, cursors, index, from..to, stamp)
    }

    /// Evicts some segments of a lane, which nobody has on the way, and not its newest. The gap record is durable before
    /// anything is removed; `false`, and nothing is, when there is no room for it.
    pub(super) fn evict_segments<D: Disk>(
        &mut self,
        log: &mut Log<D>,
        cursors: &mut Cursors<D::File>,
        index: usize,
        positions: Range<usize>,
        stamp: Stamp,
    ) -> Result<bool, JournalError> {
        let lane = log.lanes.lane(index);
        let extent = lane.extent(&positions);
        let gone = || lane.segments().range(positions.clone());
        // What every destination has of it is not lost.
        let had = cursors.least(index).filter(|least| (extent.first..extent.last).contains(&least.confirmed));
        let (first, before) = had.map_or((extent.first, extent.before), |least| (least.confirmed + 1, least.records));
        let known = lane.gaps().records_between(before, extent.after);
        let gap = Gap {
            lane: lane.lane(),
            first,
            last: extent.last,
            reason: GapReason::Evicted,
            records: extent.after.saturating_sub(before + known),
            start_ns: gone().fold(0, |time, segment| earliest(time, segment.start_ns)),
            end_ns: gone().map(|segment| segment.end_ns).max().unwrap_or_default(),
        };
        if !self.fit_gap(log, cursors, index)? {
            return Ok(false);
        }
        let mut record = GapRecord { gap, before, after: extent.after, exact: true };
        // What is due of the stretch is reported here: a crash before its own gap record would leave its records unreported.
        record.gap.records += log.gaps.goes_with(&gap).map(|due| due.gap.records).sum::<u64>();
        let mut again = Vec::new();
        for (earlier, sequence) in log.lanes.gap_records(index, positions.clone()) {
            if cursors.are_done(index, sequence) {
                continue;
            }
            // What an evicted gap record reported has to be reported again: with this one where they touch.
            let touches = earlier.exact && earlier.gap.reason == gap.reason && earlier.gap.last + 1 == record.gap.first;
            if touches {
                join(&mut record.gap, &earlier.gap);
                record.before = earlier.before;
            } else {
                log.lanes.push_gap(index, &earlier, stamp)?;
                again.push(earlier.extent());
                if !self.fit_gap(log, cursors, index)? {
                    return Ok(false);
                }
            }
        }
        log.lanes.push_gap(index, &record, stamp)?;
        if log.lanes.sync(index).is_err() {
            // What was pending is now due in another segment; without a durable gap record nothing may go.
            return Ok(false);
        }
        log.lanes.sync_names(index)?;
        if log.lanes.cuts_uncommitted() {
            // So that a crash does not cut the gap record, whose frames are gone.
            log.advance_record(index)?;
        }
        log.gaps.written_with(&gap);
        cursors.lose(log, index, &extent, &gap, 0);
        let last = log.lanes.lane(index).next() - 1;
        again.push(record.extent());
        for extent in &again {
            log.lanes.gaps_mut(index).report(extent, last);
        }
        // What tells of earlier losses, and every destination has, is not reported again: their cursors must know it.
        cursors.sync(log)?;
        for _ in positions.clone() {
            log.lanes.remove_segment(index, positions.start)?;
        }
        cursors.forget_gaps(log, index);
        Ok(true)
    }
}
