//! Making room: history goes first, then lanes yield.

use std::ops::Range;

use disk::Disk;
use model::{Lane, Stamp};
use segment::{GapRecord, earliest};
use wire::{Gap, GapReason};

use super::Space;
use crate::commit_record::{Advance, Head};
use crate::cursors::{Cursors, Telling};
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

/// Makes durable that a lane begins behind so many of its segments, before they are removed: what is gone, and stood behind that, was
/// removed by somebody else. With `head`, what tells of them is synced, and committed by it.
pub(super) fn retire<D: Disk>(
    log: &mut Log<D>,
    cursors: &mut Cursors<D::File>,
    index: usize,
    segments: usize,
    head: Option<Head>,
) -> Result<(), JournalError> {
    let mut advance = Advance { head: head.map(|head| (index, head)), ..Advance::default() };
    advance.starts[index] = start_behind(log, index, segments);
    let mut told = [false; Lane::ALL.len()];
    told[index] = head.is_some() && log.gaps.told()[index];
    log.advance_record(advance, &cursors.losses(false, &told))?;
    cursors.committed(false, &told);
    Ok(())
}

/// Where a lane begins without so many segments; `None` where that changes nothing.
fn start_behind<D: Disk>(log: &Log<D>, index: usize, segments: usize) -> Option<Head> {
    let behind = log.lanes.lane(index).segments().get(segments).filter(|_| segments > 0)?;
    Some(Head { next: behind.first, records: behind.records_before })
}

/// Removes so many of each lane's oldest segments, which are history.
fn remove_history<D: Disk>(
    log: &mut Log<D>,
    cursors: &mut Cursors<D::File>,
    segments: &[usize; Lane::ALL.len()],
) -> Result<(), JournalError> {
    // Without the cursors on disk what is gone would look like a loss after a crash.
    cursors.sync(log)?;
    let starts = std::array::from_fn(|index| start_behind(log, index, segments[index]));
    log.advance_record(Advance { head: None, starts }, &cursors.losses(false, &[false; Lane::ALL.len()]))?;
    for (index, segments) in segments.iter().enumerate() {
        for _ in 0..*segments {
            log.lanes.remove_segment(index, 0)?;
        }
        if *segments > 0 {
            cursors.forget_gaps(log, index);
        }
    }
    Ok(())
}

/// Removes so many of a lane's oldest segments, which are history.
pub(super) fn free_own_history<D: Disk>(
    log: &mut Log<D>,
    cursors: &mut Cursors<D::File>,
    index: usize,
    count: usize,
) -> Result<(), JournalError> {
    let mut segments = [0; Lane::ALL.len()];
    segments[index] = count;
    remove_history(log, cursors, &segments)
}

/// Removes the oldest segment that is history; `false` when there is none.
fn free_history<D: Disk>(log: &mut Log<D>, cursors: &mut Cursors<D::File>) -> Result<bool, JournalError> {
    let (Some(index), _) = history(log, cursors) else { return Ok(false) };
    free_own_history(log, cursors, index, 1)?;
    Ok(true)
}

/// Removes the oldest segments that are history, until no more than `keep` bytes of it are left.
pub(super) fn shrink_history<D: Disk>(
    log: &mut Log<D>,
    cursors: &mut Cursors<D::File>,
    keep: u64,
) -> Result<(), JournalError> {
    let (_, mut bytes) = history(log, cursors);
    let mut segments = [0; Lane::ALL.len()];
    while bytes > keep {
        let oldest = (0..Lane::ALL.len())
            .filter(|index| segments[*index] < log.lanes.lane(*index).segments().len())
            .filter(|index| is_history(log, cursors, *index, segments[*index]))
            .min_by_key(|index| log.lanes.lane(*index).segments()[segments[*index]].end_ns);
        let Some(index) = oldest else { break };
        bytes -= log.lanes.lane(index).segments()[segments[index]].disk_bytes;
        segments[index] += 1;
    }
    match segments.iter().any(|segments| *segments > 0) {
        true => remove_history(log, cursors, &segments),
        false => Ok(()),
    }
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
            free_own_history(log, cursors, index, 1)?;
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
            // Two tell of one stretch where a sync failed between them; each counts other records.
            let touches = earlier.gap.first <= record.gap.first && record.gap.first <= earlier.gap.last + 1;
            if touches && earlier.exact && earlier.gap.reason == gap.reason {
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
        let mark = log.lanes.mark(index)?;
        log.lanes.push_gap(index, &record, stamp)?;
        if log.lanes.sync(index).is_err() {
            // What was pending is now due in another segment. Without a durable gap record nothing may go: it must not become so later.
            log.lanes.take_back(index, mark);
            return Ok(false);
        }
        let durable = log.lanes.sync_names(index);
        let telling = if durable.is_ok() { Telling::Durable } else { Telling::Due { instead: 0 } };
        if durable.is_err() {
            // Its name is durable with the next commit: the stretch is lost in any case.
            cursors.hold_back(index);
        }
        log.gaps.written_with(&gap);
        cursors.lose(log, index, &extent, &gap, telling);
        let last = log.lanes.lane(index).next() - 1;
        again.push(record.extent());
        for extent in &again {
            log.lanes.gaps_mut(index).report(extent, last);
        }
        let gone = durable.and_then(|()| remove_evicted(log, cursors, index, &positions));
        if gone.is_err() {
            // The files go after the next commit.
            log.gaps.replace(index, extent);
        }
        cursors.forget_gaps(log, index);
        Ok(gone.is_ok())
    }
}

/// Removes segments whose gap record is synced.
fn remove_evicted<D: Disk>(
    log: &mut Log<D>,
    cursors: &mut Cursors<D::File>,
    index: usize,
    positions: &Range<usize>,
) -> Result<(), JournalError> {
    let behind = if positions.start == 0 { positions.end } else { 0 };
    // So that a crash does not cut the gap record, whose frames are gone, and the next start knows who lost them.
    let head = log.lanes.lane(index).synced();
    retire(log, cursors, index, behind, Some(head))?;
    // What tells of earlier losses, and every destination has, is not reported again: their cursors must know it.
    cursors.sync(log)?;
    for _ in positions.clone() {
        log.lanes.remove_segment(index, positions.start)?;
    }
    Ok(())
}
