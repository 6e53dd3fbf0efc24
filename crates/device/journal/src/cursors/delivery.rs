//! The way out: committed blocks for each destination, confirmations, depth.

use disk::Disk;
use model::Lane;
use segment::{Extent, FIXED, GapRecord};
use wire::{Gap, GapReason};

use super::lookup::window_at;
use super::window::{Known, Window};
use super::{Cursors, Lost, Telling};
use crate::error::JournalError;
use crate::log::Log;
use crate::mutants::{self, Mutant};

/// A committed block, as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBlock {
    /// Its lane.
    pub lane: Lane,
    /// First sequence in it.
    pub first: u64,
    /// Last sequence in it, inclusive.
    pub last: u64,
    /// Records in it.
    pub records: u64,
    /// The whole block ([`wire::RawBlock::parse`]); its checksum was checked when it was read.
    pub bytes: Vec<u8>,
}

/// What a destination still has to get, with what is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Records.
    pub records: u64,
    /// Bytes: compressed on disk, not yet compressed in memory.
    pub bytes: u64,
    /// Event time of the oldest, Unix nanoseconds; `None` when there is nothing or it is not known.
    pub oldest_ns: Option<u64>,
}

/// What a confirmation brought that was not known before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Confirmed {
    /// Blocks.
    pub blocks: u64,
    /// Frames in them.
    pub frames: u64,
    /// Records in them: delivered, for the ledger (P1).
    pub records: u64,
}

impl<F> Cursors<F> {
    /// See [`crate::Journal::next_blocks`].
    pub(crate) fn next_blocks<D: Disk<File = F>>(
        &mut self,
        log: &mut Log<D>,
        destination: usize,
        max_bytes: usize,
        out: &mut Vec<StoredBlock>,
    ) -> Result<(), JournalError> {
        self.check(destination)?;
        let mut given = 0;
        let mut idle = [false; Lane::ALL.len()];
        while let Some(index) = self.pick(log, destination, &idle) {
            let Some(known) = self.next_waiting(log, destination, index)? else {
                idle[index] = true;
                continue;
            };
            let Some(block) = read_block(log, index, &known) else {
                log.prove_disk()?;
                self.skip_unreadable(log, destination, index, &known);
                continue;
            };
            if given > 0 && given + block.bytes.len() > max_bytes {
                break;
            }
            given += block.bytes.len();
            let state = &mut self.destinations[destination];
            state.windows[index].hand_out(known.first, block.bytes.len() as u64);
            if mutants::is_on(Mutant::CursorEarly) {
                state.windows[index].confirm(block.first, block.last);
                state.windows[index].settle();
                state.dirty = true;
            }
            out.push(block);
            if given >= max_bytes {
                break;
            }
        }
        log.lanes.release_buffer();
        Ok(())
    }

    /// See [`crate::Journal::rewind`].
    pub(crate) fn rewind(&mut self, destination: usize) {
        if let Some(destination) = self.destinations.get_mut(destination) {
            destination.windows.iter_mut().for_each(Window::rewind);
        }
    }

    /// See [`crate::Journal::rewind_range`].
    pub(crate) fn rewind_range(&mut self, destination: usize, index: usize, first: u64, last: u64) {
        if let Some(destination) = self.destinations.get_mut(destination) {
            destination.windows[index].rewind_range(first, last);
        }
    }

    /// See [`crate::Journal::replay`].
    pub(crate) fn replay<D: Disk<File = F>>(
        &mut self,
        log: &mut Log<D>,
        destination: usize,
        index: usize,
        next_expected: u64,
    ) -> Result<u64, JournalError> {
        self.check(destination)?;
        let lane = log.lanes.lane(index);
        let held = lane.oldest().min(lane.committed().next);
        let window = &mut self.destinations[destination].windows[index];
        let (confirmed, before) = (window.confirmed(), window.position().records);
        let missing = held.min(confirmed + 1).saturating_sub(1);
        // Where a gap record on its way tells of what is missing, the hub only does not know of it yet.
        if next_expected > confirmed || lane.gaps().is_unreported(next_expected.max(1), confirmed) {
            return Ok(0);
        }
        if next_expected.max(1) <= missing && window.restored() < missing {
            let gap = Gap {
                lane: lane.lane(),
                first: next_expected.max(1),
                last: missing,
                reason: GapReason::HubRestore,
                records: 0,
                start_ns: 0,
                end_ns: 0,
            };
            log.gaps.push(GapRecord { gap, before, after: before, exact: false });
            window.set_restored(missing);
        }
        let start = next_expected.max(held);
        if start > confirmed {
            return Ok(0);
        }
        let again = window_at(log, index, start - 1, None);
        let from = again.position().records;
        let lost = log.lanes.lane(index).gaps().records_between(from, before);
        let state = &mut self.destinations[destination];
        let records = before.saturating_sub(from).saturating_sub(lost) + state.windows[index].confirmed_ahead();
        state.windows[index].move_to(again);
        state.dirty = true;
        Ok(records)
    }

    /// See [`crate::Journal::confirm`].
    pub(crate) fn confirm<D: Disk<File = F>>(
        &mut self,
        log: &mut Log<D>,
        destination: usize,
        index: usize,
        first: u64,
        last: u64,
    ) -> Result<Confirmed, JournalError> {
        self.check(destination)?;
        let wrong = mutants::is_on(Mutant::WrongCursor);
        let destination = if wrong { (destination + 1) % self.destinations.len() } else { destination };
        let mut confirmed = Confirmed::default();
        loop {
            let state = &mut self.destinations[destination];
            let (blocks, frames, records) = state.windows[index].confirm(first, last);
            confirmed.blocks += blocks;
            confirmed.frames += frames;
            confirmed.records += records;
            state.settle(index);
            // A confirmation that reaches further than what is known: look it up.
            let window = &state.windows[index];
            let further = window.tail() <= last && !window.is_full();
            if !further || !self.load_next(log, destination, index)? {
                return Ok(confirmed);
            }
        }
    }

    /// See [`crate::Journal::skip`].
    pub(crate) fn skip<D: Disk<File = F>>(
        &mut self,
        log: &mut Log<D>,
        destination: usize,
        index: usize,
        next_expected: u64,
        is_same: impl FnOnce(&[u8]) -> bool,
    ) -> Result<Confirmed, JournalError> {
        let confirmed = self.destinations.get(destination).map_or(u64::MAX, |one| one.windows[index].confirmed());
        let last = next_expected.saturating_sub(1);
        if last <= confirmed || next_expected > log.lanes.lane(index).committed().next {
            return Ok(Confirmed::default());
        }
        let (mut check, mut passes) = (Some(is_same), false);
        log.lanes.frames_from(index, last, |number, frame| {
            if let Some(check) = check.take().filter(|_| number == last) {
                passes = check(frame);
            }
            false
        });
        match passes {
            true => self.confirm(log, destination, index, confirmed + 1, last),
            false => Ok(Confirmed::default()),
        }
    }

    /// See [`crate::Journal::depth`].
    pub(crate) fn depth<D: Disk<File = F>>(
        &mut self,
        log: &mut Log<D>,
        destination: usize,
    ) -> Result<Depth, JournalError> {
        self.check(destination)?;
        let mut depth = Depth::default();
        for index in 0..Lane::ALL.len() {
            let lane = self.lane_depth(log, destination, index)?;
            depth.records += lane.records;
            depth.bytes += lane.bytes;
            depth.oldest_ns = match (depth.oldest_ns, lane.oldest_ns) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        Ok(depth)
    }

    fn lane_depth<D: Disk<File = F>>(
        &mut self,
        log: &mut Log<D>,
        destination: usize,
        index: usize,
    ) -> Result<Depth, JournalError> {
        if self.destinations[destination].windows[index].is_empty() {
            // So that the age of the oldest is known.
            self.load_next(log, destination, index)?;
        }
        let window = &self.destinations[destination].windows[index];
        let lane = log.lanes.lane(index);
        let confirmed = window.position().records;
        let lost_ahead = lane.gaps().records_between(window.tail_records().max(confirmed), u64::MAX);
        let records = lane.records().saturating_sub(confirmed).saturating_sub(window.done_ahead() + lost_ahead);
        let first = window.first_undone();
        let start = match first {
            Some(known) => Some((known.segment, known.at)),
            None if window.tail() < lane.synced().next => {
                let position = lane.segment_at(window.tail()).and_then(|position| lane.segments().get(position));
                window.lookup().or(position.map(|segment| (segment.first, FIXED)))
            }
            None => None,
        };
        let bytes_before = start.and_then(|(segment, at)| {
            let position = lane.segment_at(segment)?;
            Some(lane.segments().get(position)?.bytes_at(at))
        });
        let oldest_ns = first.map_or(lane.unsynced_start_ns(), |known| known.start_ns);
        Ok(Depth {
            records,
            bytes: bytes_before.map_or(0, |before| lane.bytes().saturating_sub(before)) + lane.unsynced_bytes(),
            oldest_ns: (oldest_ns > 0).then_some(oldest_ns),
        })
    }

    /// See [`crate::Journal::has_in_flight`].
    pub(crate) fn has_in_flight(&self, destination: usize) -> bool {
        let destination = self.destinations.get(destination);
        destination.is_some_and(|destination| destination.windows.iter().any(Window::any_in_flight))
    }

    fn check(&self, destination: usize) -> Result<(), JournalError> {
        if destination < self.destinations.len() {
            return Ok(());
        }
        let count = self.destinations.len();
        Err(JournalError::Options(format!("there is no destination number {destination}, there are {count}")))
    }

    /// The lane whose turn it is among those that may have something.
    fn pick<D: Disk<File = F>>(&mut self, log: &Log<D>, destination: usize, idle: &[bool]) -> Option<usize> {
        let windows = &mut self.destinations[destination].windows;
        let has_waiting = |windows: &[Window], index: usize| {
            let window = &windows[index];
            window.first_waiting().is_some()
                || (window.tail() < log.lanes.lane(index).committed().next && !window.is_full())
        };
        for first in [Lane::Mission, Lane::Audit] {
            let index = usize::from(first.number());
            if !idle[index] && has_waiting(windows, index) {
                return Some(index);
            }
        }
        let shared: Vec<usize> = (2..Lane::ALL.len()).filter(|index| has_waiting(windows, *index)).collect();
        let least = shared.iter().filter(|index| !idle[**index]).map(|index| windows[*index].served()).min()?;
        for (index, window) in windows.iter_mut().enumerate().skip(2) {
            if !shared.contains(&index) {
                window.raise_served(least);
            }
        }
        shared.into_iter().filter(|index| !idle[*index]).min_by_key(|index| windows[*index].served())
    }

    /// The first block of the lane that waits for the destination.
    fn next_waiting<D: Disk<File = F>>(
        &mut self,
        log: &mut Log<D>,
        destination: usize,
        index: usize,
    ) -> Result<Option<Known>, JournalError> {
        loop {
            let window = &self.destinations[destination].windows[index];
            if let Some(known) = window.first_waiting() {
                return Ok(Some(*known));
            }
            if window.is_full() || !self.load_next(log, destination, index)? {
                return Ok(None);
            }
        }
    }

    /// A block whose header was readable and whose content is not: declared, unless another destination found it before.
    fn skip_unreadable<D: Disk<File = F>>(
        &mut self,
        log: &mut Log<D>,
        destination: usize,
        index: usize,
        known: &Known,
    ) {
        let before = self.destinations[destination].windows[index].records_before(known.first);
        let extent = Extent { first: known.first, last: known.last, before, after: before + known.records };
        let lane = log.lanes.lane(index);
        if !lane.gaps().cover(extent.first, extent.last) {
            log.lanes.count_corrupt();
            self.declare(log, index, extent, GapReason::Corrupt, known.start_ns);
            return;
        }
        // It was on its way to this destination when another one found it damaged: lost to this one only now.
        let gap = Gap {
            lane: lane.lane(),
            first: extent.first,
            last: extent.last,
            reason: GapReason::Corrupt,
            records: known.records,
            start_ns: known.start_ns,
            end_ns: 0,
        };
        self.unbooked.lost(destination, index, known.records, Telling::Due { instead: 0 });
        self.lost.push(Lost { destination, gap, records: known.records });
        self.pass_over(destination, index, &extent);
    }
}

/// Reads one block; `None` when it cannot be read or is not what was looked up.
fn read_block<D: Disk>(log: &mut Log<D>, index: usize, known: &Known) -> Option<StoredBlock> {
    let lane = log.lanes.lane(index);
    let (number, position) = (lane.lane(), lane.segment_at(known.segment)?);
    let segment = *lane.segments().get(position).filter(|segment| segment.first == known.segment)?;
    let (entry, bytes) = log.lanes.read_block(index, &segment, known.at)?;
    let same = (entry.first, entry.last()) == (known.first, known.last);
    same.then_some(StoredBlock { lane: number, first: known.first, last: known.last, records: known.records, bytes })
}
