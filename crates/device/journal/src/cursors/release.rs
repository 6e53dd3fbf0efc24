//! Releasing what one destination has not got, without taking it from the others: by an operator, or because the destination
//! may not pin the disk.

use disk::Disk;
use model::{Lane, Stamp};
use segment::{Extent, GapRecord, earliest};
use wire::{Gap, GapReason};

use super::lookup::window_at;
use super::{Cursors, Lost, Telling};
use crate::consumer::QueueLimit;
use crate::cursor_file::Position;
use crate::error::JournalError;
use crate::gap_log::join;
use crate::log::Log;
use crate::yielding::yields;

/// The oldest sealed segment that a destination has not got.
struct Oldest {
    last: u64,
    after: u64,
    end_ns: u64,
}

impl<F> Cursors<F> {
    /// See [`crate::Journal::drop_queue`].
    pub(crate) fn drop_queue<D: Disk<File = F>>(
        &mut self,
        log: &mut Log<D>,
        destination: usize,
        lane: Option<Lane>,
    ) -> Result<u64, JournalError> {
        // So that the books know what is there.
        self.depth(log, destination)?;
        let mut records = 0;
        for index in 0..Lane::ALL.len() {
            let state = log.lanes.lane(index);
            let committed = state.committed();
            if lane.map_or(yields(state.lane()) > 0, |lane| lane == state.lane()) {
                records += self.release(log, destination, index, committed.next - 1, committed.records);
            }
        }
        Ok(records)
    }

    /// Releases what destinations keep beyond their limits.
    pub(crate) fn enforce_limits<D: Disk<File = F>>(
        &mut self,
        log: &mut Log<D>,
        limits: &[Option<QueueLimit>],
        stamp: Stamp,
    ) -> Result<(), JournalError> {
        for (destination, limit) in limits.iter().take(self.destinations.len()).enumerate() {
            let Some(limit) = limit else { continue };
            let before_ns = if stamp.synchronised { stamp.wall_ns.saturating_sub(limit.age_ns) } else { 0 };
            for index in 0..Lane::ALL.len() {
                while let Some(oldest) = self.oldest_of(log, destination, index)
                    && oldest.end_ns > 0
                    && oldest.end_ns < before_ns
                {
                    self.release(log, destination, index, oldest.last, oldest.after);
                }
            }
            while self.depth(log, destination)?.bytes > limit.bytes {
                // Of those that yield together, the one that is larger on disk.
                let lanes = (0..Lane::ALL.len())
                    .filter_map(|index| Some((index, self.oldest_of(log, destination, index)?)))
                    .max_by_key(|(index, _)| {
                        let lane = log.lanes.lane(*index);
                        (yields(lane.lane()), lane.disk_bytes())
                    });
                let Some((index, oldest)) = lanes else { break };
                self.release(log, destination, index, oldest.last, oldest.after);
            }
        }
        Ok(())
    }

    /// The oldest sealed segment of a lane that may be released and that the destination has not got; `None` while some of
    /// it is on its way.
    fn oldest_of<D: Disk<File = F>>(&self, log: &Log<D>, destination: usize, index: usize) -> Option<Oldest> {
        let (lane, window) = (log.lanes.lane(index), &self.destinations[destination].windows[index]);
        let position = lane.segment_at(window.confirmed() + 1).filter(|_| yields(lane.lane()) > 0)?;
        let (segment, next) = (lane.segments().get(position)?, lane.segments().get(position + 1)?);
        let committed = segment.last > window.confirmed() && segment.last < lane.committed().next;
        (committed && !window.in_flight(segment.first, segment.last)).then_some(Oldest {
            last: next.first - 1,
            after: next.records_before,
            end_ns: segment.end_ns,
        })
    }

    /// Moves a destination's cursor to `last`, which the lane counts `after` records up to. Gives the records released.
    fn release<D: Disk<File = F>>(
        &mut self,
        log: &mut Log<D>,
        destination: usize,
        index: usize,
        last: u64,
        after: u64,
    ) -> u64 {
        // What is on its way is not waited for: confirmed later, it is reported as lost and stored, and counts as stored.
        self.destinations[destination].windows[index].rewind();
        let (lane, window) = (log.lanes.lane(index), &self.destinations[destination].windows[index]);
        let Position { confirmed, records: before } = window.position();
        if last <= confirmed {
            return 0;
        }
        let mut extent = Extent { first: confirmed + 1, last, before, after };
        let records = window.would_lose(&extent, lane.gaps().records_between(before, after));
        let times = lane.segments().iter().filter(|segment| segment.first <= last && segment.last >= extent.first);
        let (start_ns, end_ns) =
            times.fold((0, 0), |(start, end), segment| (earliest(start, segment.start_ns), segment.end_ns.max(end)));
        let (lane, next) = (lane.lane(), lane.next());
        let reported = gaps_of(log, index, &extent);
        // A stretch of gap records alone holds no record, and what they reported is not reported yet.
        if records > 0 || !reported.is_empty() {
            let mut gap =
                Gap { lane, first: extent.first, last, reason: GapReason::Dropped, records, start_ns, end_ns };
            self.unbooked.lost(destination, index, records, Telling::Due { instead: 0 });
            self.book(Lost { destination, gap, records });
            // Gap records among what is released have to be reported again: with this one where they touch.
            for earlier in reported {
                if earlier.gap.reason == GapReason::Dropped && earlier.gap.last + 1 == gap.first {
                    join(&mut gap, &earlier.gap);
                    (extent.first, extent.before) = (earlier.gap.first, earlier.before);
                } else {
                    log.gaps.report(earlier.gap, &earlier.extent(), false);
                    log.lanes.gaps_mut(index).report(&earlier.extent(), next);
                }
            }
            // The other destinations get these frames: only this one's cursor goes round them.
            log.gaps.report(gap, &extent, false);
            log.lanes.gaps_mut(index).report(&extent, next);
        }
        let behind = window_at(log, index, last, Some(after));
        let state = &mut self.destinations[destination];
        state.unreported[index].get_or_insert(Position { confirmed: extent.first - 1, records: extent.before });
        state.windows[index].move_to(behind);
        state.dirty = true;
        records
    }
}

/// What gap records reported that stand in a stretch of a lane.
fn gaps_of<D: Disk>(log: &mut Log<D>, index: usize, extent: &Extent) -> Vec<GapRecord> {
    let lane = log.lanes.lane(index);
    let (Some(from), to) = (lane.segment_at(extent.first), lane.segment_at(extent.last)) else { return Vec::new() };
    let to = to.map_or(lane.segments().len(), |to| to + 1);
    let found = log.lanes.gap_records(index, from..to).into_iter();
    let within = found.filter(|(_, sequence)| (extent.first..=extent.last).contains(sequence));
    within.map(|(record, _)| record).collect()
}
