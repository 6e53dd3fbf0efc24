//! Giving up what one destination has not got, without taking it from the others: by an operator, or because the destination
//! may not pin the disk.

use disk::Disk;
use model::{Lane, Stamp};
use segment::{Extent, GapRecord};
use wire::{Gap, GapReason};

use crate::cursor::Place;
use crate::error::JournalError;
use crate::journal::{Journal, Lost};
use crate::space::{book, join, yields};

/// The most that a destination which is not required may keep from being given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// Bytes of its queue; the rest is given up, whole segments at a time, in the order in which lanes yield.
    pub bytes: u64,
    /// Age of the newest record of a segment, nanoseconds; looked at only while the clock is synchronised.
    pub age_ns: u64,
}

impl<D: Disk> Journal<D> {
    /// Empties the queue of a destination, of one lane or of all but mission and audit. What is committed is given up, told in
    /// its lane by a gap `dropped`, and booked as lost to this destination; what other destinations wait for stays. Gives the
    /// records given up.
    ///
    /// # Errors
    /// [`JournalError::Options`] for an unknown destination; [`JournalError::Disk`] when the disk cannot be read.
    pub fn drop_queue(&mut self, destination: usize, lane: Option<Lane>) -> Result<u64, JournalError> {
        // So that the books know what is there.
        self.depth(destination)?;
        let mut records = 0;
        for index in 0..self.lanes.len() {
            let state = &self.lanes[index];
            if lane.map_or(yields(state.lane) > 0, |lane| lane == state.lane) {
                let (last, after) = (state.committed.next - 1, state.committed.records);
                records += self.give_up(destination, index, last, after);
            }
        }
        Ok(records)
    }

    /// Gives up what destinations hold beyond what they may.
    pub(crate) fn enforce_holds(&mut self, stamp: Stamp) -> Result<(), JournalError> {
        for destination in 0..self.options.holds.len().min(self.destinations.len()) {
            let Some(hold) = self.options.holds[destination] else { continue };
            let before_ns = if stamp.synchronised { stamp.wall_ns.saturating_sub(hold.age_ns) } else { 0 };
            for index in 0..self.lanes.len() {
                while let Some(oldest) = self.oldest_of(destination, index)
                    && oldest.end_ns > 0
                    && oldest.end_ns < before_ns
                {
                    self.give_up(destination, index, oldest.last, oldest.after);
                }
            }
            while self.depth(destination)?.bytes > hold.bytes {
                // Of those that yield together, the one that is larger on disk.
                let lanes = (0..self.lanes.len())
                    .filter_map(|index| Some((index, self.oldest_of(destination, index)?)))
                    .max_by_key(|(index, _)| (yields(self.lanes[*index].lane), self.lanes[*index].disk_bytes()));
                let Some((index, oldest)) = lanes else { break };
                self.give_up(destination, index, oldest.last, oldest.after);
            }
        }
        Ok(())
    }

    /// Gives up, for all destinations, what is older than its lane may keep: whole sealed segments, what everybody has as history
    /// and the rest as by space.
    pub(crate) fn enforce_ages(&mut self, stamp: Stamp) -> Result<(), JournalError> {
        for index in 0..self.lanes.len() {
            let before_ns = stamp.wall_ns.saturating_sub(self.options.lane_ages[index]);
            if !stamp.synchronised || before_ns == 0 || yields(self.lanes[index].lane) == 0 {
                continue;
            }
            while self.is_expired(index, 0, before_ns) && self.is_history(index, 0) {
                self.free_own_history(index)?;
            }
            // Once for each commit: the gap record may begin a segment itself.
            let sealed = self.lanes[index].segments.len().saturating_sub(1);
            let goes = |journal: &Self, position: usize| {
                journal.is_expired(index, position, before_ns)
                    && !journal.is_history(index, position)
                    && !journal.is_on_its_way(index, position)
            };
            if let Some(from) = (0..sealed).find(|position| goes(self, *position)) {
                let to = (from..sealed).find(|position| !goes(self, *position)).unwrap_or(sealed);
                self.evict_segments(index, from..to, stamp)?;
            }
        }
        Ok(())
    }

    /// Whether the newest record of a committed segment, which is not the lane's last one, is from before a moment.
    fn is_expired(&self, index: usize, position: usize, before_ns: u64) -> bool {
        let lane = &self.lanes[index];
        position + 1 < lane.segments.len()
            && lane.segments[position].last < lane.committed.next
            && (1..before_ns).contains(&lane.segments[position].end_ns)
    }

    /// The oldest sealed segment of a lane that may be given up and that the destination has not got; `None` while some of
    /// it is on its way.
    fn oldest_of(&self, destination: usize, index: usize) -> Option<Oldest> {
        let (lane, window) = (&self.lanes[index], &self.destinations[destination].windows[index]);
        let position = lane.segment_at(window.confirmed + 1).filter(|_| yields(lane.lane) > 0)?;
        let (segment, next) = (lane.segments.get(position)?, lane.segments.get(position + 1)?);
        let committed = segment.last > window.confirmed && segment.last < lane.committed.next;
        (committed && !window.in_flight(segment.first, segment.last)).then_some(Oldest {
            last: next.first - 1,
            after: next.records_before,
            end_ns: segment.end_ns,
        })
    }

    /// Moves a destination's cursor to `last`, which the lane counts `after` records up to.
    fn give_up(&mut self, destination: usize, index: usize, last: u64, after: u64) -> u64 {
        // What is on its way is not waited for: confirmed later, it is told as lost and stored, and counts as stored.
        self.destinations[destination].windows[index].rewind();
        let (lane, window) = (&self.lanes[index], &self.destinations[destination].windows[index]);
        if last <= window.confirmed {
            return 0;
        }
        let span = Extent { first: window.confirmed + 1, last, before: window.records_before, after };
        let records = window.would_lose(&span, lane.holes.records_between(span.before, span.after));
        let (served, restored) = (window.served, window.restored);
        let times = lane.segments.iter().filter(|segment| segment.first <= last && segment.last >= span.first);
        let (start_ns, end_ns) = times.fold((0, 0), |(start, end), segment| {
            (segment::earliest(start, segment.start_ns), segment.end_ns.max(end))
        });
        let (lane, next) = (lane.lane, lane.next);
        let told = self.gaps_of(index, span);
        // A stretch of gap records alone holds no record, and what they told is not told yet.
        if records > 0 || !told.is_empty() {
            let mut gap = Gap { lane, first: span.first, last, reason: GapReason::Dropped, records, start_ns, end_ns };
            book(&mut self.lost, Lost { destination, gap, records });
            let mut span = span;
            // Gap records among what is given up have to be told again: with this one where they touch.
            for earlier in told {
                if earlier.gap.reason == GapReason::Dropped && earlier.gap.last + 1 == gap.first {
                    join(&mut gap, &earlier.gap);
                    (span.first, span.before) = (earlier.gap.first, earlier.before);
                } else {
                    self.tell_later(earlier.gap, &earlier.extent(), false);
                    self.lanes[index].holes.tell(&earlier.extent(), next);
                }
            }
            // The other destinations get these frames: only this one's cursor goes round them.
            self.tell_later(gap, &span, false);
            self.lanes[index].holes.tell(&span, next);
        }
        let mut window = self.place(index, last, Some(after));
        (window.served, window.restored) = (served, restored);
        let state = &mut self.destinations[destination];
        state.untold[index].get_or_insert(Place { confirmed: span.first - 1, records: span.before });
        state.windows[index] = window;
        state.dirty = true;
        records
    }

    /// What gap records told that stand in a stretch of a lane.
    fn gaps_of(&mut self, index: usize, span: Extent) -> Vec<GapRecord> {
        let lane = &self.lanes[index];
        let (Some(from), to) = (lane.segment_at(span.first), lane.segment_at(span.last)) else { return Vec::new() };
        let to = to.map_or(lane.segments.len(), |to| to + 1);
        self.gaps_within(index, from..to, |_, sequence| (span.first..=span.last).contains(&sequence))
    }
}

struct Oldest {
    last: u64,
    after: u64,
    end_ns: u64,
}
