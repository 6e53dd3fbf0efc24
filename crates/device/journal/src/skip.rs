//! Looking into frames that are held: is one the same as a destination's, what do those hold that no note speaks of.

use disk::Disk;
use model::otlp::count_records;
use model::{Lane, Signal};
use segment::{EntryKind, FIXED, GAP_PREFIX_LEN, Step};
use wire::{Inflater, RawBlock, Section};

use crate::drain::Confirmed;
use crate::error::JournalError;
use crate::journal::Journal;

impl<D: Disk> Journal<D> {
    /// The destination says that it has everything of a lane below `next_expected`. Where the frame before that is the same one
    /// here, as `is_same` tells by its bytes, the cursor goes there; where it is another one, or is not held, nothing changes: a
    /// copy of this directory may have sent other frames under these sequences.
    ///
    /// # Errors
    /// As [`Journal::confirm`].
    pub fn skip(
        &mut self,
        destination: usize,
        lane: Lane,
        next_expected: u64,
        is_same: impl FnOnce(&[u8]) -> bool,
    ) -> Result<Confirmed, JournalError> {
        let index = usize::from(lane.number());
        let confirmed = self.destinations.get(destination).map_or(u64::MAX, |one| one.windows[index].confirmed);
        let last = next_expected.saturating_sub(1);
        if last <= confirmed
            || next_expected > self.lanes[index].committed.next
            || !self.check_frame(index, last, is_same)
        {
            return Ok(Confirmed::default());
        }
        self.confirm(destination, lane, confirmed + 1, last)
    }

    /// Whether a frame is held and passes.
    fn check_frame(&mut self, index: usize, sequence: u64, check: impl FnOnce(&[u8]) -> bool) -> bool {
        let (mut check, mut passes) = (Some(check), false);
        self.frames_from(index, sequence, |number, frame| {
            if let Some(check) = check.take().filter(|_| number == sequence) {
                passes = check(frame);
            }
            false
        });
        passes
    }

    /// The records in frames of a lane from a sequence on, by signal.
    pub(crate) fn count_from(&mut self, index: usize, from: u64) -> [u64; Signal::ALL.len()] {
        let mut counts = [0; Signal::ALL.len()];
        self.frames_from(index, from, |_, bytes| {
            let sections = wire::decode_frame(bytes).map(|frame| frame.sections).unwrap_or_default();
            for section in &sections {
                let (place, records) = match section {
                    Section::Traces(otlp) => (0, count_records(Signal::Traces, otlp)),
                    Section::Logs(otlp) => (1, count_records(Signal::Logs, otlp)),
                    Section::Metrics(otlp) => (2, count_records(Signal::Metrics, otlp)),
                    Section::Exemplars(_) | Section::Gap(_) => continue,
                };
                counts[place] += records.unwrap_or(0);
            }
            true
        });
        counts
    }

    /// Calls `each` with the frames from a sequence on that can be read, until it says no.
    fn frames_from(&mut self, index: usize, from: u64, mut each: impl FnMut(u64, &[u8]) -> bool) {
        let lane = &mut self.lanes[index];
        let mut inflater = Inflater::new();
        let Some(position) = lane.segment_at(from) else { return };
        for segment in lane.segments.iter().skip(position).copied().collect::<Vec<_>>() {
            let Ok(file) = lane.file(&self.core, segment.first) else { continue };
            let mut at = FIXED;
            while let Step::Entry { at: found, entry } = file.next_entry(&self.core.disk, at, segment.data_end) {
                at = found + entry.total_len();
                if entry.last() < from || !file.read_payload(&self.core.disk, found, &entry, &mut self.scratch) {
                    continue;
                }
                let skip = if entry.kind == EntryKind::Gap { GAP_PREFIX_LEN } else { 0 };
                let Some(Ok((block, _))) = self.scratch.get(skip..).map(RawBlock::parse) else { continue };
                let Ok(frames) = block.frames(&mut inflater) else { continue };
                for (number, frame) in frames.filter(|(number, _)| *number >= from) {
                    if !each(number, frame) {
                        return;
                    }
                }
            }
        }
    }
}
