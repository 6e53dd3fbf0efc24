//! How far one destination is in one lane: what it has confirmed, what is on its way, what comes next.

use std::collections::VecDeque;

use segment::Extent;

use crate::cursor_file::Position;

/// The most blocks that are known ahead of a cursor: blocks on their way, and confirmed ones behind one that is not.
pub(crate) const WINDOW_BLOCKS: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// To be sent.
    Waiting,
    /// Handed out, not confirmed yet.
    InFlight,
    /// Confirmed, behind something that is not.
    Confirmed,
    /// Holds nothing that the destination takes. Counts as waiting until the cursor is past it.
    Passed,
    /// Cannot be read; reported to the destination by a gap record.
    Lost,
}

/// A stretch ahead of the cursor: one block, or a gap.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// The part that is confirmed already, from the start; `first - 1` when none is.
    pub(crate) confirmed: u64,
    pub(crate) records: u64,
    /// First sequence of the segment, and the entry's offset in it.
    pub(crate) segment: u64,
    pub(crate) at: u64,
    pub(crate) start_ns: u64,
    pub(crate) state: State,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Window {
    /// Everything up to here is done.
    confirmed: u64,
    /// Records in the lane up to there.
    records_before: u64,
    blocks: VecDeque<Known>,
    /// The next sequence to be looked up, and the records before it.
    tail: u64,
    tail_records: u64,
    /// Where to look: first sequence of the segment and offset. `None` when it has to be found.
    lookup: Option<(u64, u64)>,
    /// Bytes handed out, for fairness between lanes.
    served: u64,
    /// Up to where it was declared that the destination lost what it had confirmed.
    restored: u64,
    /// Records of [`State::Passed`] that the cursor moved over since they were asked for.
    passed: u64,
}

impl Window {
    pub(crate) fn new(confirmed: u64, records_before: u64) -> Self {
        Self {
            confirmed,
            records_before,
            blocks: VecDeque::new(),
            tail: confirmed + 1,
            tail_records: records_before,
            lookup: None,
            served: 0,
            restored: 0,
            passed: 0,
        }
    }

    /// As [`Window::new`]; the entry behind it stands in this segment at this offset.
    pub(crate) fn new_at(confirmed: u64, records_before: u64, segment: u64, at: u64) -> Self {
        Self { lookup: Some((segment, at)), ..Self::new(confirmed, records_before) }
    }

    /// Everything up to here is done.
    pub(crate) fn confirmed(&self) -> u64 {
        self.confirmed
    }

    /// How far it is, for the cursor's file.
    pub(crate) fn position(&self) -> Position {
        Position { confirmed: self.confirmed, records: self.records_before }
    }

    /// The next sequence to be looked up.
    pub(crate) fn tail(&self) -> u64 {
        self.tail
    }

    /// Records in the lane before the next sequence to be looked up.
    pub(crate) fn tail_records(&self) -> u64 {
        self.tail_records
    }

    /// Where to look for it: first sequence of the segment and offset. `None` when it has to be found.
    pub(crate) fn lookup(&self) -> Option<(u64, u64)> {
        self.lookup
    }

    /// From now on looks there.
    pub(crate) fn look_at(&mut self, segment: u64, at: u64) {
        self.lookup = Some((segment, at));
    }

    /// Bytes handed out.
    pub(crate) fn served(&self) -> u64 {
        self.served
    }

    /// A lane that had nothing for a while gets no credit for it.
    pub(crate) fn raise_served(&mut self, least: u64) {
        self.served = self.served.max(least);
    }

    /// Up to where it was declared that the destination lost what it had confirmed.
    pub(crate) fn restored(&self) -> u64 {
        self.restored
    }

    pub(crate) fn set_restored(&mut self, last: u64) {
        self.restored = last;
    }

    /// Goes on at another place.
    pub(crate) fn move_to(&mut self, place: Self) {
        let behind = |known: &&Known| known.state == State::Passed && known.last <= place.confirmed;
        let passed = self.passed + self.blocks.iter().filter(behind).map(|known| known.records).sum::<u64>();
        *self = Self { served: self.served, restored: self.restored, passed, ..place };
    }

    /// Records of [`State::Passed`] that the cursor moved over since the last call.
    pub(crate) fn take_passed(&mut self) -> u64 {
        std::mem::take(&mut self.passed)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.blocks.len() >= WINDOW_BLOCKS
    }

    /// Whether nothing is known ahead of the cursor.
    pub(crate) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// The first block that waits.
    pub(crate) fn first_waiting(&self) -> Option<&Known> {
        self.blocks.iter().find(|known| known.state == State::Waiting)
    }

    /// The first block that is not done.
    pub(crate) fn first_undone(&self) -> Option<&Known> {
        self.blocks.iter().find(|known| matches!(known.state, State::Waiting | State::InFlight))
    }

    /// Records in the lane before a known block.
    pub(crate) fn records_before(&self, first: u64) -> u64 {
        let ahead = self.blocks.iter().take_while(|other| other.first < first).map(|other| other.records);
        self.records_before + ahead.sum::<u64>()
    }

    /// A block of so many bytes is handed out.
    pub(crate) fn hand_out(&mut self, first: u64, bytes: u64) {
        self.served += bytes;
        if let Some(known) = self.blocks.iter_mut().find(|other| other.first == first) {
            known.state = State::InFlight;
        }
    }

    /// Appends what was looked up and moves the tail behind it.
    pub(crate) fn load(&mut self, known: Known) {
        self.tail = known.last + 1;
        self.tail_records += known.records;
        self.blocks.push_back(known);
    }

    /// Moves the cursor over what is done at the front. Returns whether it moved.
    pub(crate) fn settle(&mut self) -> bool {
        let before = self.confirmed;
        while let Some(front) = self.blocks.front() {
            match front.state {
                State::Waiting | State::InFlight => break,
                State::Passed => self.passed += front.records,
                State::Confirmed | State::Lost => {}
            }
            self.confirmed = front.last;
            self.records_before += front.records;
            self.blocks.pop_front();
        }
        self.confirmed != before
    }

    /// Marks what lies in a confirmed range. Returns (blocks, frames, records) that are newly confirmed.
    pub(crate) fn confirm(&mut self, first: u64, last: u64) -> (u64, u64, u64) {
        let mut news = (0, 0, 0);
        for known in &mut self.blocks {
            if known.first > last {
                break;
            }
            if !matches!(known.state, State::Waiting | State::InFlight) {
                continue;
            }
            if first <= known.confirmed + 1 && last > known.confirmed {
                known.confirmed = last.min(known.last);
            }
            if known.confirmed == known.last {
                known.state = State::Confirmed;
                news = (news.0 + 1, news.1 + (known.last - known.first + 1), news.2 + known.records);
            }
        }
        news
    }

    /// What was handed out is to be sent again.
    pub(crate) fn rewind(&mut self) {
        for known in &mut self.blocks {
            if known.state == State::InFlight {
                known.state = State::Waiting;
            }
        }
    }

    /// As [`Window::rewind`], for what touches one range.
    pub(crate) fn rewind_range(&mut self, first: u64, last: u64) {
        for known in &mut self.blocks {
            if known.state == State::InFlight && known.first <= last && first <= known.last {
                known.state = State::Waiting;
            }
        }
    }

    /// Whether a block of this stretch is on its way.
    pub(crate) fn in_flight(&self, first: u64, last: u64) -> bool {
        self.blocks.iter().any(|known| known.state == State::InFlight && known.first <= last && first <= known.last)
    }

    /// Whether nothing of a stretch was confirmed, is on its way, or was reported as lost.
    pub(crate) fn is_untouched(&self, first: u64, last: u64) -> bool {
        let waits = |known: &Known| known.state == State::Waiting && known.confirmed < known.first;
        self.confirmed < first
            && self.blocks.iter().all(|known| waits(known) || known.last < first || last < known.first)
    }

    /// Records of a stretch that this destination has confirmed or has on its way, ahead of the cursor.
    fn spoken_for(&self, span: &Extent) -> u64 {
        let has_or_will = |known: &&Known| {
            matches!(known.state, State::Confirmed | State::InFlight | State::Passed)
                && known.first >= span.first
                && known.last <= span.last
        };
        self.blocks.iter().filter(has_or_will).map(|known| known.records).sum()
    }

    /// How many records of a stretch this destination does not get when the stretch is lost; `known` are those records
    /// of it that were lost before.
    pub(crate) fn would_lose(&self, span: &Extent, known: u64) -> u64 {
        let ahead = span.after.saturating_sub(span.before.max(self.records_before));
        ahead.saturating_sub(self.spoken_for(span)).saturating_sub(known)
    }

    /// Takes a stretch that cannot be read any more out of the way.
    pub(crate) fn punch(&mut self, span: &Extent) {
        for known in &mut self.blocks {
            if known.state == State::Waiting && known.first >= span.first && known.last <= span.last {
                known.state = State::Lost;
            }
        }
        if span.first <= self.tail && self.tail <= span.last {
            let records = span.after.saturating_sub(self.tail_records);
            let tail = self.tail;
            self.load(Known {
                first: tail,
                last: span.last,
                confirmed: tail - 1,
                records,
                segment: 0,
                at: 0,
                start_ns: 0,
                state: State::Lost,
            });
            self.lookup = None;
        }
    }

    /// Records ahead of the cursor that are not to be sent any more.
    pub(crate) fn done_ahead(&self) -> u64 {
        let done = |known: &&Known| matches!(known.state, State::Confirmed | State::Lost);
        self.blocks.iter().filter(done).map(|known| known.records).sum()
    }

    /// Records that are confirmed behind something that is not.
    pub(crate) fn confirmed_ahead(&self) -> u64 {
        self.blocks.iter().filter(|known| known.state == State::Confirmed).map(|known| known.records).sum()
    }

    /// Whether something is on its way.
    pub(crate) fn any_in_flight(&self) -> bool {
        self.blocks.iter().any(|known| known.state == State::InFlight)
    }

    pub(crate) fn resident_bytes(&self) -> usize {
        self.blocks.capacity() * size_of::<Known>() + size_of::<Self>()
    }
}
