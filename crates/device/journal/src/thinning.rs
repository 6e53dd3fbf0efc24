//! The oldest frames of a lane, replaced by fewer records when room runs short: what is left of them goes into new frames
//! of the same lane, and a gap `thinned` tells of the old ones. What the records mean is the caller's to know.

use disk::Disk;
use model::{Lane, Stamp};
use segment::{EntryKind, Extent, FIXED, MIN_SEGMENT, Step, earliest};
use wire::{FrameHeader, Gap, GapReason, Inflater, RawBlock};

use crate::cursor::Place;
use crate::error::JournalError;
use crate::journal::Journal;
use crate::lane::FrameMeta;

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

impl<D: Disk> Journal<D> {
    /// Whether less than an eighth is left of what a lane, or the whole journal, may take. History does not count: it goes
    /// before anything is given up.
    pub fn is_short(&mut self, lane: Lane) -> bool {
        let (options, index) = (&self.options, usize::from(lane.number()));
        let (_, history) = self.history();
        let beyond = |used: u64, budget: u64| used > budget - budget / 8;
        beyond(self.disk_bytes() - history, options.total_bytes)
            || beyond(self.lanes[index].disk_bytes(), options.lane_bytes[index])
    }

    /// The oldest segments of a lane behind the sequence `behind` that can be replaced: sealed, committed, and of which no
    /// destination has anything, or anything on its way.
    pub fn stretch(&self, lane: Lane, behind: u64) -> Option<Stretch> {
        let index = usize::from(lane.number());
        let state = &self.lanes[index];
        let may_go = |position: usize| {
            let segment = state.segments.get(position)?;
            let next = state.segments.get(position + 1)?;
            let free = segment.first > behind
                && !segment.is_empty()
                && segment.last < state.committed.next
                && next.first == segment.last + 1
                && state.holes.records_between(segment.records_before, segment.records_after) == 0
                && self
                    .destinations
                    .iter()
                    .all(|destination| destination.windows[index].is_untouched(segment.first, segment.last));
            free.then_some(segment)
        };
        if self.destinations.is_empty() {
            return None;
        }
        let from = (0..state.segments.len()).find(|position| may_go(*position).is_some())?;
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

    /// Calls `each` with every frame of a stretch that is no gap record, in order. `false` when some of it cannot be read, or
    /// `each` wants no more.
    pub fn each_frame(&mut self, stretch: &Stretch, mut each: impl FnMut(&[u8]) -> bool) -> bool {
        let index = usize::from(stretch.lane.number());
        let mut inflater = Inflater::default();
        let (mut expected, mut payload) = (stretch.first, Vec::new());
        for position in self.positions(stretch) {
            let lane = &mut self.lanes[index];
            let segment = lane.segments[position];
            let Ok(file) = lane.file(&self.core, segment.first) else { return false };
            let mut at = FIXED;
            while let Step::Entry { at: found, entry } = file.next_entry(&self.core.disk, at, segment.data_end) {
                at = found + entry.total_len();
                if entry.first != expected || !file.read_payload(&self.core.disk, found, &entry, &mut payload) {
                    return false;
                }
                expected = entry.last() + 1;
                if entry.kind == EntryKind::Gap {
                    continue;
                }
                let Ok((block, _)) = RawBlock::parse(&payload) else { return false };
                let Ok(mut frames) = block.frames(&mut inflater) else { return false };
                if !frames.all(|(_, frame)| each(frame)) {
                    return false;
                }
            }
        }
        expected == stretch.last + 1
    }

    /// Replaces a stretch by frames with these bodies. Frames and gap record are durable with the next
    /// [`Journal::commit`]; then the old ones go. The records that are fewer now are booked as lost to every destination.
    ///
    /// `false` when there is no room for the frames, or the stretch is not what it was: nothing has changed then.
    ///
    /// # Errors
    /// [`JournalError`]; nothing has changed then.
    pub fn replace(
        &mut self,
        stretch: &Stretch,
        frames: &[(Vec<u8>, FrameMeta)],
        stamp: Stamp,
    ) -> Result<bool, JournalError> {
        let index = usize::from(stretch.lane.number());
        if self.stretch(stretch.lane, stretch.first - 1) != Some(*stretch) {
            return Ok(false);
        }
        let frame_len = |body: &[u8]| body.len() + self.core.device.len() + FRAME_OVERHEAD;
        let bytes: usize = frames.iter().map(|(body, _)| frame_len(body)).sum();
        if !self.fit_frames(index, bytes)? {
            return Ok(false);
        }
        let (epoch, device) = (self.core.epoch, self.core.device.clone());
        for (body, meta) in frames {
            let state = &mut self.lanes[index];
            if state.block_is_full(body.len() + device.len() + FRAME_OVERHEAD) {
                state.close_block(&mut self.core)?;
            }
            let header = |seq| FrameHeader { device: device.as_str(), epoch, lane: stretch.lane, seq, stamp };
            state
                .push(*meta, |seq, out| wire::seal_frame(&header(seq), body, out))
                .map_err(|error| JournalError::Internal(format!("cannot buffer a thinned frame: {error}")))?;
        }
        let positions = self.positions(stretch);
        let state = &self.lanes[index];
        let gone = || state.segments.range(positions.clone());
        let before = gone().next().map_or(0, |segment| segment.records_before);
        let span = Extent { first: stretch.first, last: stretch.last, before, after: before + stretch.records };
        let left = frames.iter().map(|(_, meta)| u64::from(meta.records)).sum();
        let gap = Gap {
            lane: stretch.lane,
            first: span.first,
            last: span.last,
            reason: GapReason::Thinned,
            records: stretch.records.saturating_sub(left),
            start_ns: gone().fold(0, |time, segment| earliest(time, segment.start_ns)),
            end_ns: gone().map(|segment| segment.end_ns).max().unwrap_or_default(),
        };
        let next = state.next;
        // Gap records among what goes have to be told again.
        for earlier in self.gaps_within(index, positions, |_, _| true) {
            self.tell_later(earlier.gap, &earlier.extent(), earlier.exact);
            self.lanes[index].holes.tell(&earlier.extent(), next);
        }
        for destination in &mut self.destinations {
            let window = &destination.windows[index];
            let place = Place { confirmed: window.confirmed, records: window.records_before };
            destination.untold[index].get_or_insert(place);
        }
        self.lose(index, &span, &gap, left);
        self.lanes[index].holes.tell(&span, next);
        self.tell_later(gap, &span, true);
        self.thinned.push((index, span));
        Ok(true)
    }

    /// After a commit: the files of what was replaced go, once nothing is left to be told of it.
    pub(crate) fn remove_thinned(&mut self) -> Result<(), JournalError> {
        if self.thinned.is_empty() || !self.due.is_empty() {
            return Ok(());
        }
        self.sync_cursors()?;
        while let Some((index, span)) = self.thinned.last().copied() {
            while let Some(position) = self.lanes[index]
                .segments
                .iter()
                .position(|segment| span.first <= segment.first && segment.last <= span.last && !segment.is_empty())
            {
                self.lanes[index].remove_segment(&self.core, position)?;
            }
            self.forget_holes(index);
            self.thinned.pop();
        }
        Ok(())
    }

    /// Positions of the segments of a stretch.
    fn positions(&self, stretch: &Stretch) -> std::ops::Range<usize> {
        let segments = &self.lanes[usize::from(stretch.lane.number())].segments;
        segments.partition_point(|segment| segment.first < stretch.first)
            ..segments.partition_point(|segment| segment.first <= stretch.last)
    }

    /// Sees to it that frames of so many bytes find room in the lane's open segment, without giving anything up.
    fn fit_frames(&mut self, index: usize, bytes: usize) -> Result<bool, JournalError> {
        // Each block has its entry.
        let bytes = bytes + bytes / 64;
        if self.lanes[index].fits(bytes) {
            return Ok(true);
        }
        if self.lanes[index].is_open() {
            // When this fails the segment is given up, and what is pending goes into the next one.
            let _ = self.lanes[index].sync(&mut self.core);
            if self.lanes[index].fits(bytes) {
                return Ok(true);
            }
        }
        let size = self.lanes[index].size_for(bytes).next_multiple_of(4096).max(MIN_SEGMENT);
        let within = self.lanes[index].disk_bytes() + size <= self.options.lane_bytes[index];
        if !within || !self.affords(size) {
            return Ok(false);
        }
        match self.lanes[index].create_segment(&mut self.core, size, None) {
            Ok(()) => Ok(true),
            Err(error) if error.is_full() => Ok(false),
            Err(error) => Err(error),
        }
    }
}
