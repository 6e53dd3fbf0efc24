//! Reading what a lane holds.

use std::io;
use std::ops::Range;

use disk::Disk;
use model::Signal;
use model::otlp::count_records;
use segment::{Entry, EntryKind, FIXED, GapRecord, Segment, SegmentFile, Step, block_of};
use wire::{Inflater, RawBlock, Section};

use super::LaneLog;
use crate::shared::Shared;

impl<F> LaneLog<F> {
    /// A file of one segment, for reading.
    fn file<D: Disk<File = F>>(&mut self, shared: &Shared<D>, first: u64) -> io::Result<&SegmentFile<F>> {
        let is_open = self.segments.back().is_some_and(|segment| segment.first == first);
        if let Some(open) = self.open.as_ref().filter(|_| is_open) {
            return Ok(&open.file);
        }
        let reader = match self.reader.take().filter(|cached| cached.key().first == first) {
            Some(reader) => reader,
            None => SegmentFile::open(shared.disk(), self.key(shared.epoch(), first))?,
        };
        Ok(self.reader.insert(reader))
    }

    /// The next entry of a held segment at or behind an offset.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(crate) fn next_entry<D: Disk<File = F>>(
        &mut self,
        shared: &Shared<D>,
        segment: &Segment,
        at: u64,
    ) -> io::Result<Step> {
        Ok(self.file(shared, segment.first)?.next_entry(shared.disk(), at, segment.data_end))
    }

    /// Reads the payload of an entry at an offset; `false` when it cannot be read or is damaged.
    pub(crate) fn read_payload<D: Disk<File = F>>(
        &mut self,
        shared: &Shared<D>,
        segment: &Segment,
        at: u64,
        entry: &Entry,
        payload: &mut Vec<u8>,
    ) -> bool {
        self.file(shared, segment.first).is_ok_and(|file| file.read_payload(shared.disk(), at, entry, payload))
    }

    /// Gap records in some segments, the newest first, with the sequences of the entries that they stand in.
    pub(crate) fn gap_records<D: Disk<File = F>>(
        &mut self,
        shared: &Shared<D>,
        positions: Range<usize>,
        payload: &mut Vec<u8>,
    ) -> Vec<(GapRecord, u64)> {
        let mut found = Vec::new();
        for position in positions {
            let segment = self.segments[position];
            if !segment.has_gaps {
                continue;
            }
            let mut at = FIXED;
            while let Ok(Step::Entry { at: stands, entry }) = self.next_entry(shared, &segment, at) {
                at = stands + entry.total_len();
                if entry.kind == EntryKind::Gap
                    && self.read_payload(shared, &segment, stands, &entry, payload)
                    && let Some(record) = GapRecord::decode(self.lane, payload)
                {
                    found.push((record, entry.last()));
                }
            }
        }
        found.reverse();
        found
    }

    /// Calls `each` with every frame of some segments that is no gap record, in order. `false` when one of the sequences from
    /// `first` to `last` cannot be read, or `each` wants no more.
    pub(crate) fn each_frame<D: Disk<File = F>>(
        &mut self,
        shared: &Shared<D>,
        positions: Range<usize>,
        (first, last): (u64, u64),
        mut each: impl FnMut(&[u8]) -> bool,
    ) -> bool {
        let mut inflater = Inflater::default();
        let (mut expected, mut payload) = (first, Vec::new());
        for position in positions {
            let segment = self.segments[position];
            let mut at = FIXED;
            loop {
                let (stands, entry) = match self.next_entry(shared, &segment, at) {
                    Ok(Step::Entry { at, entry }) => (at, entry),
                    Ok(Step::End { .. }) => break,
                    Err(_) => return false,
                };
                at = stands + entry.total_len();
                if entry.first != expected || !self.read_payload(shared, &segment, stands, &entry, &mut payload) {
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
        expected == last + 1
    }

    /// Calls `each` with the frames from a sequence on that can be read, until it says no.
    pub(crate) fn frames_from<D: Disk<File = F>>(
        &mut self,
        shared: &Shared<D>,
        from: u64,
        payload: &mut Vec<u8>,
        mut each: impl FnMut(u64, &[u8]) -> bool,
    ) {
        let mut inflater = Inflater::new();
        let Some(position) = self.segment_at(from) else { return };
        for position in position..self.segments.len() {
            let segment = self.segments[position];
            let mut at = FIXED;
            while let Ok(Step::Entry { at: stands, entry }) = self.next_entry(shared, &segment, at) {
                at = stands + entry.total_len();
                if entry.last() < from || !self.read_payload(shared, &segment, stands, &entry, payload) {
                    continue;
                }
                let Ok((block, _)) = RawBlock::parse(block_of(entry.kind, payload)) else { continue };
                let Ok(frames) = block.frames(&mut inflater) else { continue };
                for (number, frame) in frames.filter(|(number, _)| *number >= from) {
                    if !each(number, frame) {
                        return;
                    }
                }
            }
        }
    }

    /// The records in frames from a sequence on, by signal.
    pub(crate) fn count_from<D: Disk<File = F>>(
        &mut self,
        shared: &Shared<D>,
        from: u64,
        payload: &mut Vec<u8>,
    ) -> [u64; Signal::ALL.len()] {
        let mut counts = [0; Signal::ALL.len()];
        self.frames_from(shared, from, payload, |_, bytes| {
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
}
