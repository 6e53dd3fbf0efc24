//! The oldest frames of a lane, replaced by fewer records when room runs short: what is left of them goes into new frames
//! of the same lane, and a gap `thinned` tells of the old ones. What the records mean is the caller's to know.

use std::ops::Range;

use disk::Disk;
use model::{Lane, Stamp};
use segment::{Extent, MIN_SEGMENT, earliest};
use wire::{FrameHeader, Gap, GapReason};

use super::Space;
use super::evict::{history, retire};
use crate::cursors::{Cursors, Telling};
use crate::error::JournalError;
use crate::lane::FrameMeta;
use crate::log::Log;

/// So many bytes of segments are replaced together at most, unless a single one has more.
const STRETCH_BYTES: u64 = 256 << 10;
/// Identity and stamp of a frame take at most this much besides the device's name; with the length before it.
const FRAME_OVERHEAD: usize = 100;

/// Whole segments of a lane that every destination still needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// The lane.
    pub lane: Lane,
    /// First sequence.
    pub first: u64,
    /// Last sequence, inclusive.
    pub last: u64,
    /// Records in it.
    pub records: u64,
}

/// See [`crate::Journal::stretch`].
pub(crate) fn stretch<D: Disk>(log: &Log<D>, cursors: &Cursors<D::File>, lane: Lane, behind: u64) -> Option<Stretch> {
    let index = usize::from(lane.number());
    let state = log.lanes.lane(index);
    let may_go = |position: usize| {
        let segment = state.segments().get(position)?;
        let next = state.segments().get(position + 1)?;
        let free = segment.first > behind
            && !segment.is_empty()
            && segment.last < state.committed().next
            && next.first == segment.last + 1
            && state.gaps().records_between(segment.records_before, segment.records_after) == 0
            && cursors.need_all_of(index, segment);
        free.then_some(segment)
    };
    let from = (0..state.segments().len()).find(|position| may_go(*position).is_some())?;
    let first = may_go(from)?;
    let (mut last, mut bytes) = (first, first.disk_bytes);
    for position in from + 1.. {
        match may_go(position).filter(|segment| bytes + segment.disk_bytes <= STRETCH_BYTES) {
            Some(segment) => (last, bytes) = (segment, bytes + segment.disk_bytes),
            None => break,
        }
    }
    let records = last.records_after - first.records_before;
    Some(Stretch { lane, first: first.first, last: last.last, records })
}

/// Positions of the segments of a stretch.
pub(crate) fn positions<D: Disk>(log: &Log<D>, stretch: &Stretch) -> Range<usize> {
    let segments = log.lanes.lane(usize::from(stretch.lane.number())).segments();
    segments.partition_point(|segment| segment.first < stretch.first)
        ..segments.partition_point(|segment| segment.first <= stretch.last)
}

impl Space {
    /// See [`crate::Journal::is_short`].
    pub(crate) fn is_short<D: Disk>(&self, log: &Log<D>, cursors: &Cursors<D::File>, index: usize) -> bool {
        let (_, history) = history(log, cursors);
        let beyond = |used: u64, budget: u64| used > budget - budget / 8;
        beyond(self.disk_bytes(log, cursors) - history, self.budgets.total_bytes)
            || beyond(log.lanes.lane(index).disk_bytes(), self.budgets.lane_bytes[index])
    }

    /// See [`crate::Journal::replace`].
    pub(crate) fn replace<D: Disk>(
        &mut self,
        log: &mut Log<D>,
        cursors: &mut Cursors<D::File>,
        replaced: &Stretch,
        frames: &[(Vec<u8>, FrameMeta)],
        stamp: Stamp,
    ) -> Result<bool, JournalError> {
        let index = usize::from(replaced.lane.number());
        if stretch(log, cursors, replaced.lane, replaced.first - 1) != Some(*replaced) {
            return Ok(false);
        }
        let overhead = log.lanes.device().len() + FRAME_OVERHEAD;
        let bytes: usize = frames.iter().map(|(body, _)| body.len() + overhead).sum();
        if !self.fit_frames(log, cursors, index, bytes)? {
            return Ok(false);
        }
        for (body, meta) in frames {
            if log.lanes.lane(index).block_is_full(body.len() + overhead) {
                log.lanes.close_block(index)?;
            }
            let pushed = log.lanes.push(index, *meta, |shared, seq, out| {
                let (device, epoch) = (shared.device(), shared.epoch());
                wire::seal_frame(&FrameHeader { device, epoch, lane: replaced.lane, seq, stamp }, body, out);
            });
            pushed.map_err(|error| JournalError::Internal(format!("cannot buffer a thinned frame: {error}")))?;
        }
        let positions = positions(log, replaced);
        let lane = log.lanes.lane(index);
        let gone = || lane.segments().range(positions.clone());
        let before = gone().next().map_or(0, |segment| segment.records_before);
        let extent = Extent { first: replaced.first, last: replaced.last, before, after: before + replaced.records };
        let left = frames.iter().map(|(_, meta)| u64::from(meta.records)).sum();
        let gap = Gap {
            lane: replaced.lane,
            first: extent.first,
            last: extent.last,
            reason: GapReason::Thinned,
            records: replaced.records.saturating_sub(left),
            start_ns: gone().fold(0, |time, segment| earliest(time, segment.start_ns)),
            end_ns: gone().map(|segment| segment.end_ns).max().unwrap_or_default(),
        };
        let next = lane.next();
        // Gap records among what goes have to be reported again.
        for (earlier, _) in log.lanes.gap_records(index, positions) {
            log.gaps.report(earlier.gap, &earlier.extent(), earlier.exact);
            log.lanes.gaps_mut(index).report(&earlier.extent(), next);
        }
        cursors.hold_back(index);
        cursors.come_again(index, &extent, left);
        cursors.lose(log, index, &extent, &gap, Telling::Due { instead: left });
        log.lanes.gaps_mut(index).report(&extent, next);
        log.gaps.report(gap, &extent, true);
        log.gaps.replace(index, extent);
        Ok(true)
    }

    /// After a commit: the files of what was replaced go, once nothing is left to be reported of it.
    pub(super) fn remove_replaced<D: Disk>(
        &mut self,
        log: &mut Log<D>,
        cursors: &mut Cursors<D::File>,
    ) -> Result<(), JournalError> {
        if log.gaps.next_replaced().is_none() {
            return Ok(());
        }
        cursors.sync(log)?;
        while let Some((index, extent)) = log.gaps.next_replaced() {
            if log.lanes.lane(index).has_unsynced() {
                // What tells of it found no room yet.
                break;
            }
            let goes = |segment: &segment::Segment| {
                extent.first <= segment.first && segment.last <= extent.last && !segment.is_empty()
            };
            let lane = log.lanes.lane(index);
            let left = lane.segments().iter().position(|segment| !goes(segment)).unwrap_or(0);
            if left > 0 {
                retire(log, cursors, index, left, None)?;
            }
            while let Some(position) = log.lanes.lane(index).segments().iter().position(goes) {
                log.lanes.remove_segment(index, position)?;
            }
            cursors.forget_gaps(log, index);
            log.gaps.removed();
        }
        Ok(())
    }

    /// Sees to it that frames of so many bytes find room in the lane's open segment, without giving anything up.
    fn fit_frames<D: Disk>(
        &mut self,
        log: &mut Log<D>,
        cursors: &Cursors<D::File>,
        index: usize,
        bytes: usize,
    ) -> Result<bool, JournalError> {
        // Each block has its entry.
        let bytes = bytes + bytes / 64;
        if log.lanes.lane(index).fits(bytes) {
            return Ok(true);
        }
        if log.lanes.lane(index).is_open() {
            // When this fails the segment is abandoned, and what is pending goes into the next one.
            let _ = log.lanes.sync(index);
            if log.lanes.lane(index).fits(bytes) {
                return Ok(true);
            }
        }
        let size = log.lanes.lane(index).size_for(bytes).next_multiple_of(4096).max(MIN_SEGMENT);
        Ok(self.is_within(log, index, size) && self.try_segment(log, cursors, index, size)?)
    }
}
