//! The way out: committed blocks for each destination, confirmations, depth.

use disk::Disk;
use model::Lane;
use segment::{Entry, EntryKind, Extent, FIXED, GAP_PREFIX_LEN, GapRecord, Step};
use wire::{Gap, GapReason, RawBlock};

use crate::error::JournalError;
use crate::journal::{Destination, Journal};
use crate::mutants::{self, Mutant};
use crate::window::{Known, State};

/// The reading buffer is given back when it grew beyond this.
const KEEP_BYTES: usize = 96 << 10;

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

/// What stands at the tail of a window.
enum Found {
    Block(Known),
    Hole {
        records_after: u64,
        last: u64,
    },
    Nothing,
    /// The segment's file cannot be opened, for a reason that has nothing to do with its bytes.
    Unreachable(JournalError),
}

impl<D: Disk> Journal<D> {
    /// Appends committed blocks that the destination has not been given yet to `out`, up to `max_bytes`, but at least one
    /// if there is one. Mission goes first, then audit; the other lanes share by bytes; each lane goes oldest first. A
    /// block that cannot be read is skipped and declared as a gap.
    ///
    /// # Errors
    /// [`JournalError::Options`] when there is no such destination. [`JournalError::Disk`] when the disk does not answer at
    /// all: nothing is given up for that.
    pub fn next_blocks(
        &mut self,
        destination: usize,
        max_bytes: usize,
        out: &mut Vec<StoredBlock>,
    ) -> Result<(), JournalError> {
        self.check(destination)?;
        let mut given = 0;
        let mut idle = [false; Lane::ALL.len()];
        while let Some(index) = self.pick(destination, &idle) {
            let Some(known) = self.next_waiting(destination, index)? else {
                idle[index] = true;
                continue;
            };
            let Some(block) = self.read_block(index, &known) else {
                self.prove_disk()?;
                self.skip_unreadable(destination, index, &known);
                continue;
            };
            if given > 0 && given + block.bytes.len() > max_bytes {
                break;
            }
            given += block.bytes.len();
            let window = &mut self.destinations[destination].windows[index];
            window.served += block.bytes.len() as u64;
            if let Some(known) = window.blocks.iter_mut().find(|other| other.first == known.first) {
                known.state = State::InFlight;
            }
            if mutants::is_on(Mutant::CursorEarly) {
                window.confirm(block.first, block.last);
                window.settle();
                self.destinations[destination].dirty = true;
            }
            out.push(block);
            if given >= max_bytes {
                break;
            }
        }
        self.scratch.clear();
        self.scratch.shrink_to(KEEP_BYTES);
        Ok(())
    }

    /// What the destination was given and has not confirmed is given again by the next [`Journal::next_blocks`].
    pub fn rewind(&mut self, destination: usize) {
        if let Some(destination) = self.destinations.get_mut(destination) {
            for window in &mut destination.windows {
                window.rewind();
            }
        }
    }

    /// As [`Journal::rewind`], for one range of one lane: what the destination refused for now.
    pub fn rewind_range(&mut self, destination: usize, lane: Lane, first: u64, last: u64) {
        if let Some(destination) = self.destinations.get_mut(destination) {
            for known in &mut destination.windows[usize::from(lane.number())].blocks {
                if known.state == State::InFlight && known.first <= last && first <= known.last {
                    known.state = State::Waiting;
                }
            }
        }
    }

    /// The destination lost what it had confirmed (a hub restored from a backup): it has the lane only up to
    /// `next_expected - 1`. What is still held, history included, is given to it again; a gap record `hub-restore` tells
    /// of the rest. Returns the records that it gets again, which the ledger had as delivered.
    ///
    /// Asking again while the replay is on its way changes nothing; nor does a hub that waits for a gap record.
    ///
    /// # Errors
    /// [`JournalError::Options`] when there is no such destination.
    pub fn replay(&mut self, destination: usize, lane: Lane, next_expected: u64) -> Result<u64, JournalError> {
        self.check(destination)?;
        let index = usize::from(lane.number());
        let held = self.lanes[index].oldest().min(self.lanes[index].committed.next);
        let window = &self.destinations[destination].windows[index];
        let (confirmed, before, restored) = (window.confirmed, window.records_before, window.restored);
        let missing = held.min(confirmed + 1).saturating_sub(1);
        // Where a gap record on its way tells of what is missing, the hub only does not know of it yet.
        if next_expected > confirmed || self.lanes[index].holes.is_untold(next_expected.max(1), confirmed) {
            return Ok(0);
        }
        if next_expected.max(1) <= missing && restored < missing {
            let gap = Gap {
                lane,
                first: next_expected.max(1),
                last: missing,
                reason: GapReason::HubRestore,
                records: 0,
                start_ns: 0,
                end_ns: 0,
            };
            self.due.push(GapRecord { gap, before, after: before, exact: false });
            self.destinations[destination].windows[index].restored = missing;
        }
        let start = next_expected.max(held);
        if start > confirmed {
            return Ok(0);
        }
        let mut window = self.place(index, start - 1, None);
        let old = &self.destinations[destination].windows[index];
        (window.served, window.restored) = (old.served, old.restored);
        let lost = self.lanes[index].holes.records_between(window.records_before, before);
        let again = before.saturating_sub(window.records_before).saturating_sub(lost) + old.confirmed_ahead();
        self.destinations[destination].windows[index] = window;
        self.destinations[destination].dirty = true;
        Ok(again)
    }

    /// The destination has these sequences (inclusive). Ranges may come in any order, again, and for more than was handed
    /// out (a hub that is ahead of the cursor says so at connect). The cursor moves over what is confirmed without holes,
    /// and is written by [`Journal::sync_cursors`] or when a commit needs it.
    ///
    /// # Errors
    /// As [`Journal::next_blocks`]; what is known to be confirmed stays so.
    pub fn confirm(
        &mut self,
        destination: usize,
        lane: Lane,
        first: u64,
        last: u64,
    ) -> Result<Confirmed, JournalError> {
        self.check(destination)?;
        let wrong = mutants::is_on(Mutant::WrongCursor);
        let destination = if wrong { (destination + 1) % self.destinations.len() } else { destination };
        let index = usize::from(lane.number());
        let mut confirmed = Confirmed::default();
        loop {
            let destination_state = &mut self.destinations[destination];
            let window = &mut destination_state.windows[index];
            let (blocks, frames, records) = window.confirm(first, last);
            confirmed.blocks += blocks;
            confirmed.frames += frames;
            confirmed.records += records;
            destination_state.dirty |= window.settle();
            // A confirmation that reaches further than what is known: look it up.
            let further = window.tail <= last && !window.is_full();
            if !further || !self.load_next(destination, index)? {
                return Ok(confirmed);
            }
        }
    }

    /// What the destination still has to get, over all lanes, buffered frames included.
    ///
    /// # Errors
    /// As [`Journal::next_blocks`].
    pub fn depth(&mut self, destination: usize) -> Result<Depth, JournalError> {
        self.check(destination)?;
        let mut depth = Depth::default();
        for index in 0..self.lanes.len() {
            let lane = self.lane_depth(destination, index)?;
            depth.records += lane.records;
            depth.bytes += lane.bytes;
            depth.oldest_ns = match (depth.oldest_ns, lane.oldest_ns) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        Ok(depth)
    }

    fn lane_depth(&mut self, destination: usize, index: usize) -> Result<Depth, JournalError> {
        if self.destinations[destination].windows[index].blocks.is_empty() {
            // So that the age of the oldest is known.
            self.load_next(destination, index)?;
        }
        let window = &self.destinations[destination].windows[index];
        let lane = &self.lanes[index];
        let holes_ahead = lane.holes.records_between(window.tail_records.max(window.records_before), u64::MAX);
        let records =
            lane.records.saturating_sub(window.records_before).saturating_sub(window.done_ahead() + holes_ahead);
        let place = window.blocks.iter().find(|known| matches!(known.state, State::Waiting | State::InFlight));
        let start = match place {
            Some(known) => Some((known.segment, known.at)),
            None if window.tail < lane.synced.next => {
                let position = lane.segment_at(window.tail).and_then(|index| lane.segments.get(index));
                window.place.or(position.map(|segment| (segment.first, FIXED)))
            }
            None => None,
        };
        let bytes_before = start.and_then(|(segment, at)| {
            let index = lane.segment_at(segment)?;
            Some(lane.segments.get(index)?.bytes_at(at))
        });
        let unsynced = lane.unsynced_start_ns();
        let oldest_ns = place.map_or(unsynced, |known| known.start_ns);
        Ok(Depth {
            records,
            bytes: bytes_before.map_or(0, |before| lane.bytes().saturating_sub(before)) + lane.unsynced_bytes(),
            oldest_ns: (oldest_ns > 0).then_some(oldest_ns),
        })
    }

    /// Whether the destination has blocks on their way.
    pub fn has_in_flight(&self, destination: usize) -> bool {
        self.destinations
            .get(destination)
            .is_some_and(|destination| destination.windows.iter().any(crate::window::Window::any_in_flight))
    }

    fn check(&self, destination: usize) -> Result<(), JournalError> {
        if destination < self.destinations.len() {
            return Ok(());
        }
        let count = self.destinations.len();
        Err(JournalError::Options(format!("there is no destination number {destination}, there are {count}")))
    }

    /// The lane whose turn it is among those that may have something.
    fn pick(&mut self, destination: usize, idle: &[bool]) -> Option<usize> {
        for first in [Lane::Mission, Lane::Audit] {
            let index = usize::from(first.number());
            if !idle[index] && self.has_waiting(destination, index) {
                return Some(index);
            }
        }
        let shared: Vec<usize> = (2..self.lanes.len()).filter(|index| self.has_waiting(destination, *index)).collect();
        // A lane that had nothing for a while gets no credit for it.
        let windows = &mut self.destinations[destination].windows;
        let least = shared.iter().filter(|index| !idle[**index]).map(|index| windows[*index].served).min()?;
        for (index, window) in windows.iter_mut().enumerate().skip(2) {
            if !shared.contains(&index) {
                window.served = window.served.max(least);
            }
        }
        shared.into_iter().filter(|index| !idle[*index]).min_by_key(|index| windows[*index].served)
    }

    fn has_waiting(&self, destination: usize, index: usize) -> bool {
        let window = &self.destinations[destination].windows[index];
        window.blocks.iter().any(|known| known.state == State::Waiting)
            || (window.tail < self.lanes[index].committed.next && !window.is_full())
    }

    /// The first block of the lane that waits for the destination.
    fn next_waiting(&mut self, destination: usize, index: usize) -> Result<Option<Known>, JournalError> {
        loop {
            let window = &self.destinations[destination].windows[index];
            if let Some(known) = window.blocks.iter().find(|known| known.state == State::Waiting) {
                return Ok(Some(*known));
            }
            if window.is_full() || !self.load_next(destination, index)? {
                return Ok(None);
            }
        }
    }

    /// Looks up what stands at the tail of a window. `false` when there is nothing committed there.
    fn load_next(&mut self, destination: usize, index: usize) -> Result<bool, JournalError> {
        match self.find_next(destination, index) {
            Found::Nothing => Ok(false),
            Found::Unreachable(error) => Err(error),
            Found::Block(known) => {
                let state = &mut self.destinations[destination];
                state.windows[index].load(known);
                state.dirty |= state.windows[index].settle();
                Ok(true)
            }
            Found::Hole { records_after, last } => {
                let window = &mut self.destinations[destination].windows[index];
                let span = Extent {
                    first: window.tail,
                    last,
                    before: window.tail_records,
                    after: records_after.max(window.tail_records),
                };
                let news = self.lanes[index].holes.uncovered(span);
                if !news.is_empty() {
                    self.prove_disk()?;
                }
                for part in news {
                    // What another destination has was given up rightly, when this one was not configured.
                    let others_have = |other: &Destination<D::File>| other.windows[index].confirmed >= part.last;
                    let dropped = self.destinations.iter().any(others_have);
                    self.core.corrupt_blocks += u64::from(!dropped);
                    let reason = if dropped { GapReason::Dropped } else { GapReason::Corrupt };
                    self.declare(index, part, reason, 0, 0);
                }
                let state = &mut self.destinations[destination];
                // Whatever of the stretch was declared earlier.
                state.windows[index].punch(&span);
                state.dirty |= state.windows[index].settle();
                Ok(true)
            }
        }
    }

    fn find_next(&mut self, destination: usize, index: usize) -> Found {
        let window = &mut self.destinations[destination].windows[index];
        let lane = &mut self.lanes[index];
        let committed = lane.committed.next;
        loop {
            if window.tail >= committed {
                return Found::Nothing;
            }
            let placed = window.place.and_then(|(first, at)| {
                let position = lane.segments.partition_point(|segment| segment.first < first);
                lane.segments.get(position).filter(|segment| segment.first == first).map(|_| (position, at))
            });
            let Some((position, at)) =
                placed.or_else(|| lane.segment_at(window.tail).map(|position| (position, FIXED)))
            else {
                // What is committed was there.
                return Found::Hole { records_after: lane.committed.records, last: committed - 1 };
            };
            let segment = lane.segments[position];
            if segment.first > window.tail {
                window.place = Some((segment.first, FIXED));
                return Found::Hole { records_after: segment.records_before, last: segment.first - 1 };
            }
            let next_segment = lane.segments.get(position + 1).map(|next| next.first);
            let key = lane.key(self.core.epoch, segment.first);
            let step = match lane.file(&self.core, segment.first) {
                Ok(file) => file.next_entry(&self.core.disk, at, segment.data_end),
                Err(error) if is_damage(&error) => Step::End { dirty: true },
                Err(error) => return Found::Unreachable(JournalError::io("open", key.path())(error)),
            };
            match step {
                Step::Entry { entry, .. } if next_segment.is_some_and(|next| entry.first >= next) => {}
                Step::Entry { at, entry } if entry.last() < window.tail => {
                    window.place = Some((segment.first, at + entry.total_len()));
                    continue;
                }
                Step::Entry { entry, .. } if entry.first >= committed => return Found::Nothing,
                Step::Entry { at, entry } if entry.first > window.tail => {
                    window.place = Some((segment.first, at));
                    return Found::Hole { records_after: entry.records_before, last: entry.first - 1 };
                }
                Step::Entry { at, entry } => {
                    window.place = Some((segment.first, at + entry.total_len()));
                    let known = known(&entry, segment.first, at, lane.holes.cover(entry.first, entry.last()));
                    return Found::Block(known);
                }
                Step::End { .. } => {}
            }
            // Behind the last entry of the segment.
            match next_segment {
                Some(next) => {
                    window.place = Some((next, FIXED));
                    if next > window.tail {
                        let records_after = lane.segments[position + 1].records_before;
                        return Found::Hole { records_after, last: next - 1 };
                    }
                }
                None => return Found::Hole { records_after: lane.committed.records, last: committed - 1 },
            }
        }
    }

    /// Before anything is given up as unreadable, the disk has to show that it works at all: the commit record is written again. A
    /// disk that was pulled out or went read-only must not turn a whole backlog into a gap.
    fn prove_disk(&mut self) -> Result<(), JournalError> {
        self.records.repeat(&self.core.disk, self.core.epoch, &mut self.core.counts)
    }

    /// Reads one block; `None` when it cannot be read or is not what its entry says.
    fn read_block(&mut self, index: usize, known: &Known) -> Option<StoredBlock> {
        let lane = &mut self.lanes[index];
        let position = lane.segment_at(known.segment)?;
        let segment = *lane.segments.get(position).filter(|segment| segment.first == known.segment)?;
        let number = lane.lane;
        let file = lane.file(&self.core, segment.first).ok()?;
        let Step::Entry { at, entry } = file.next_entry(&self.core.disk, known.at, segment.data_end) else {
            return None;
        };
        if at != known.at || !file.read_payload(&self.core.disk, at, &entry, &mut self.scratch) {
            return None;
        }
        let skip = match entry.kind {
            EntryKind::Gap => GAP_PREFIX_LEN,
            _ => 0,
        };
        let (block, rest) = RawBlock::parse(self.scratch.get(skip..)?).ok()?;
        let header = block.header();
        let same = header.lane == number
            && header.epoch == self.core.epoch
            && (header.first, header.last()) == (known.first, known.last);
        (same && rest.is_empty()).then(|| StoredBlock {
            lane: number,
            first: known.first,
            last: known.last,
            records: known.records,
            bytes: block.bytes().to_vec(),
        })
    }

    /// A block whose header was readable and whose content is not: declared, unless another destination found it before.
    fn skip_unreadable(&mut self, destination: usize, index: usize, known: &Known) {
        let window = &self.destinations[destination].windows[index];
        let ahead: u64 =
            window.blocks.iter().take_while(|other| other.first < known.first).map(|other| other.records).sum();
        let before = window.records_before + ahead;
        let span = Extent { first: known.first, last: known.last, before, after: before + known.records };
        if self.lanes[index].holes.cover(span.first, span.last) {
            // It was on its way to this destination when another one found it damaged: lost to this one only now.
            let lane = self.lanes[index].lane;
            let (first, last) = (span.first, span.last);
            let gap = Gap {
                lane,
                first,
                last,
                reason: GapReason::Corrupt,
                records: known.records,
                start_ns: known.start_ns,
                end_ns: 0,
            };
            self.lost.push(crate::journal::Lost { destination, gap, records: known.records });
            let state = &mut self.destinations[destination];
            state.windows[index].punch(&span);
            state.dirty |= state.windows[index].settle();
            return;
        }
        self.core.corrupt_blocks += 1;
        self.declare(index, span, GapReason::Corrupt, known.start_ns, 0);
    }
}

/// Whether an error tells of lost bytes, rather than of a process that is short of something.
fn is_damage(error: &std::io::Error) -> bool {
    const EIO: i32 = 5;
    error.kind() == std::io::ErrorKind::NotFound || error.raw_os_error() == Some(EIO)
}

fn known(entry: &Entry, segment: u64, at: u64, hole: bool) -> Known {
    Known {
        first: entry.first,
        last: entry.last(),
        confirmed: entry.first - 1,
        records: u64::from(entry.records),
        segment,
        at,
        start_ns: entry.start_ns,
        state: if hole { State::Hole } else { State::Waiting },
    }
}
