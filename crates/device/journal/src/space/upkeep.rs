//! After a commit: what is beyond limits and ages goes, lanes that are drained shrink, the reserve is renewed.

use disk::Disk;
use model::{Lane, Stamp};
use segment::MIN_SEGMENT;

use super::evict::{free_own_history, is_history, is_on_its_way, shrink_history};
use super::{MAX_BRISK_SEGMENT, Space};
use crate::cursors::Cursors;
use crate::error::JournalError;
use crate::lane::LaneLog;
use crate::log::Log;
use crate::yielding::yields;

/// Whether the newest record of a committed segment, which is not the lane's last one, is from before a moment.
fn is_expired<D: Disk>(log: &Log<D>, index: usize, position: usize, before_ns: u64) -> bool {
    let lane = log.lanes.lane(index);
    let segments = lane.segments();
    position + 1 < segments.len()
        && segments[position].last < lane.committed().next
        && (1..before_ns).contains(&segments[position].end_ns)
}

impl Space {
    /// Releases and evicts what destinations and lanes may not keep, removes history beyond its budget, shrinks lanes that are
    /// drained, renews the reserve.
    pub(crate) fn keep_house<D: Disk>(
        &mut self,
        log: &mut Log<D>,
        cursors: &mut Cursors<D::File>,
        stamp: Stamp,
    ) -> Result<(), JournalError> {
        if log.gaps.due().is_empty() && !log.lanes.iter().any(LaneLog::has_unsynced) {
            log.lanes.remove_unreadable()?;
        }
        self.remove_replaced(log, cursors)?;
        cursors.enforce_limits(log, &self.budgets.queue_limits, stamp)?;
        self.enforce_ages(log, cursors, stamp)?;
        for index in 0..Lane::ALL.len() {
            let lane = log.lanes.lane(index);
            let Some(newest) = lane.segments().back() else { continue };
            let is_drained = lane.is_open()
                && !newest.is_empty()
                && newest.disk_bytes > 2 * MAX_BRISK_SEGMENT
                && cursors.have(index, newest.last);
            if is_drained {
                self.try_segment(log, cursors, index, MIN_SEGMENT)?;
            }
        }
        shrink_history(log, cursors, self.budgets.history_bytes)?;
        if !self.has_reserve && self.disk_bytes(log, cursors) + MIN_SEGMENT <= self.budgets.total_bytes {
            self.renew_reserve(log)?;
        }
        Ok(())
    }

    /// Evicts, for all destinations, what is older than its lane may keep: whole sealed segments, what everybody has as history
    /// and the rest as by space.
    fn enforce_ages<D: Disk>(
        &mut self,
        log: &mut Log<D>,
        cursors: &mut Cursors<D::File>,
        stamp: Stamp,
    ) -> Result<(), JournalError> {
        for index in 0..Lane::ALL.len() {
            let before_ns = stamp.wall_ns.saturating_sub(self.budgets.lane_ages[index]);
            if !stamp.synchronised || before_ns == 0 || yields(log.lanes.lane(index).lane()) == 0 {
                continue;
            }
            let is_old = |position: &usize| {
                is_expired(log, index, *position, before_ns) && is_history(log, cursors, index, *position)
            };
            let old = (0..log.lanes.lane(index).segments().len()).take_while(is_old).count();
            if old > 0 {
                free_own_history(log, cursors, index, old)?;
            }
            // Once for each commit: the gap record may begin a segment itself.
            let sealed = log.lanes.lane(index).segments().len().saturating_sub(1);
            let goes = |position: usize| {
                is_expired(log, index, position, before_ns)
                    && !is_history(log, cursors, index, position)
                    && !is_on_its_way(log, cursors, index, position)
            };
            if let Some(from) = (0..sealed).find(|position| goes(*position)) {
                let to = (from..sealed).find(|position| !goes(*position)).unwrap_or(sealed);
                self.evict_segments(log, cursors, index, from..to, stamp)?;
            }
        }
        Ok(())
    }
}
