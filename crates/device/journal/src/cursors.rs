//! How far each destination is in each lane: what it has, what is on its way, what it will never get.

mod delivery;
mod lookup;
mod release;
mod unbooked;
mod window;

use disk::Disk;
use model::{Lane, Signal, Signals};
use segment::{Extent, Segment};
use unbooked::{Told, Unbooked};
use window::Window;
use wire::{Gap, GapReason};

use crate::commit_record::Losses;
use crate::consumer::Consumer;
use crate::cursor_file::{self, CursorFile, CursorRead, Position};
use crate::error::JournalError;
use crate::gap_log::join;
use crate::log::Log;
use crate::mutants::{self, Mutant};

pub use delivery::{Confirmed, Depth, StoredBlock};
pub(crate) use unbooked::Telling;

/// Records that a destination will never get, for the ledger (P1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// Index in [`crate::Options::consumers`].
    pub destination: usize,
    /// What was lost, once for all destinations; [`Gap::records`] counts all records of the stretch.
    pub gap: Gap,
    /// Records of it that this destination had not confirmed.
    pub records: u64,
}

/// Losses that the caller has not taken yet; beyond it those of a kind are added up.
const LOST_CAP: usize = 256;

/// One destination and its place in every lane.
struct Destination<F> {
    cursor: CursorFile<F>,
    windows: [Window; Lane::ALL.len()],
    /// Whether a cursor moved since the file was written.
    dirty: bool,
    /// Where it stood before what was released since the last commit: the file says no more until the gap records are durable.
    unreported: [Option<Position>; Lane::ALL.len()],
    /// The signals that it takes; `None` for everything, gap records too.
    takes: Option<Signals>,
    /// The lanes that it takes, by their number.
    lanes: [bool; Lane::ALL.len()],
    /// Records of replaced blocks that it was passed by, since the last call of [`Cursors::take_passed`].
    replaced: u64,
}

impl<F> Destination<F> {
    /// Whether something of these signals, where they are known, is passed over in a lane.
    fn passes(&self, index: usize, signals: Option<Signals>) -> bool {
        !self.lanes[index] || self.takes.zip(signals).is_some_and(|(takes, signals)| !takes.meets(signals))
    }

    /// Whether nothing that the lane is for is taken.
    fn passes_lane(&self, index: usize) -> bool {
        self.passes(
            index,
            match Lane::ALL[index] {
                Lane::Traces => Some(Signals::of(Signal::Traces).with(Signals::of(Signal::Logs))),
                Lane::Logs => Some(Signals::of(Signal::Logs)),
                Lane::Metrics => Some(Signals::of(Signal::Metrics)),
                Lane::Mission | Lane::Audit | Lane::Debug => None,
            },
        )
    }

    /// Up to where it needs nothing of a lane any more: it has it, or it was reported that it will not get it.
    fn done_with(&self, index: usize) -> u64 {
        let confirmed = self.windows[index].confirmed();
        self.unreported[index].map_or(confirmed, |position| position.confirmed.min(confirmed))
    }

    /// The window of a lane goes on at another place, and what is done is passed over.
    fn settle(&mut self, index: usize) {
        self.dirty |= self.windows[index].settle();
    }
}

/// All destinations. A lane is named by its number.
pub(crate) struct Cursors<F> {
    destinations: Vec<Destination<F>>,
    lost: Vec<Lost>,
    unbooked: Unbooked,
}

/// What is known of a lane when it was recovered.
pub(crate) struct Begin {
    /// The first sequence that the files name, or should; the next one when there is no file.
    pub(crate) start: u64,
    /// Records before it, where it is one that a file should name.
    pub(crate) records_before: Option<u64>,
    /// What gap records tell that no commit knows of.
    pub(crate) told: Vec<Extent>,
}

impl<F> Cursors<F> {
    /// Puts every destination at its cursor, or at the oldest frame when it has none.
    pub(crate) fn open<D: Disk<File = F>>(
        log: &mut Log<D>,
        files: Vec<(CursorFile<F>, CursorRead)>,
        begins: &[Begin],
        consumers: &[Consumer],
        losses: &Losses,
    ) -> Self {
        let mut unbooked = Unbooked::new(consumers, losses);
        let mut destinations = Vec::with_capacity(files.len());
        for (number, ((cursor, read), consumer)) in files.into_iter().zip(consumers).enumerate() {
            let windows = std::array::from_fn(|index| {
                let start = begins.get(index).map_or(1, |begin| begin.start);
                // What is older than all files was confirmed by a state of the cursor that cannot be read any more.
                let position = read.positions.map(|positions| positions[index]);
                let position = position.filter(|position| !read.damaged || position.confirmed + 1 >= start);
                let confirmed = position.map_or(start - 1, |position| position.confirmed);
                let records = position.map(|position| position.records);
                let records = records.or_else(|| begins.get(index).and_then(|begin| begin.records_before));
                let last = log.lanes.lane(index).next() - 1;
                lookup::window_at(log, index, confirmed.min(last), records)
            });
            for (window, begin) in windows.iter().zip(begins) {
                let lost = |extent: &Extent| window.would_lose(extent, 0);
                unbooked.found(number, begin.told.iter().map(lost).sum());
            }
            let dirty = read.positions.is_none() || read.goes_on;
            let (takes, lanes, unreported) = (consumer.signals, consumer.lanes, Default::default());
            destinations.push(Destination { cursor, windows, dirty, unreported, takes, lanes, replaced: 0 });
        }
        Self { destinations, lost: Vec::new(), unbooked }
    }

    /// What destinations lost in earlier lives that their last ledger does not know of.
    pub(crate) fn lost_before(&self) -> Vec<(usize, u64)> {
        self.unbooked.recovered()
    }

    /// What destinations lost that is in no ledger on disk, for a commit record: `has_ledger` where one comes with it, `told` the lanes
    /// whose gap records are durable by it.
    pub(crate) fn losses(&self, has_ledger: bool, told: &Told) -> Losses {
        match mutants::is_on(Mutant::LossesForgotten) {
            true => Losses::new(),
            false => self.unbooked.to_record(has_ledger, told),
        }
    }

    /// A commit record says what [`Cursors::losses`] gave.
    pub(crate) fn committed(&mut self, has_ledger: bool, told: &Told) {
        self.unbooked.committed(has_ledger, told);
    }

    /// All gap records of these lanes are durable: files may say how far destinations are.
    pub(crate) fn reported(&mut self, told: &Told) {
        for destination in &mut self.destinations {
            for (unreported, _) in destination.unreported.iter_mut().zip(told).filter(|(_, told)| **told) {
                destination.dirty |= unreported.take().is_some();
            }
        }
    }

    /// Losses of an earlier epoch that the next ledger does not know of.
    pub(crate) fn take_over_losses(&mut self, lost: &[(usize, u64)]) {
        lost.iter().for_each(|(destination, records)| self.unbooked.lost(*destination, 0, *records, Telling::Durable));
    }

    pub(crate) fn len(&self) -> usize {
        self.destinations.len()
    }

    /// Up to where everything of a lane is confirmed by a destination.
    pub(crate) fn confirmed(&self, destination: usize, index: usize) -> u64 {
        self.destinations[destination].windows[index].confirmed()
    }

    /// Up to where no destination needs anything of a lane any more; `None` when there is no destination.
    pub(crate) fn done(&self, index: usize) -> Option<u64> {
        self.destinations.iter().map(|destination| destination.done_with(index)).min()
    }

    /// Whether every destination is done with a lane up to a sequence.
    pub(crate) fn are_done(&self, index: usize, last: u64) -> bool {
        self.destinations.iter().all(|destination| destination.done_with(index) >= last)
    }

    /// Whether every destination has a lane up to a sequence.
    pub(crate) fn have(&self, index: usize, last: u64) -> bool {
        self.destinations.iter().all(|destination| destination.windows[index].confirmed() >= last)
    }

    /// How far the destination is that is least far in a lane, as the cursors' files may say: what is released and not reported
    /// yet counts as needed.
    pub(crate) fn least(&self, index: usize) -> Option<Position> {
        let positions = self
            .destinations
            .iter()
            .map(|destination| destination.unreported[index].unwrap_or(destination.windows[index].position()));
        positions.min_by_key(|position| (position.confirmed, position.records))
    }

    /// Whether a segment of a lane has something on its way to a destination.
    pub(crate) fn has_on_its_way(&self, index: usize, segment: &Segment) -> bool {
        let in_flight =
            |destination: &Destination<F>| destination.windows[index].in_flight(segment.first, segment.last);
        self.destinations.iter().any(in_flight)
    }

    /// Whether no destination has anything of a segment, or anything of it on its way, but for those that are past it and take nothing
    /// of such a lane; `false` when nobody needs it.
    pub(crate) fn need_all_of(&self, index: usize, segment: &Segment) -> bool {
        let untouched =
            |destination: &Destination<F>| destination.windows[index].is_untouched(segment.first, segment.last);
        let is_past = |destination: &Destination<F>| {
            destination.passes_lane(index) && destination.windows[index].confirmed() >= segment.last
        };
        self.destinations.iter().any(untouched)
            && self.destinations.iter().all(|destination| untouched(destination) || is_past(destination))
    }

    /// What stood in this stretch is replaced by so many records, which will come by those again that were passed by them.
    pub(crate) fn come_again(&mut self, index: usize, extent: &Extent, records: u64) {
        for destination in &mut self.destinations {
            if destination.windows[index].confirmed() >= extent.last {
                destination.replaced += records;
            }
        }
    }

    /// Moves every destination past what it takes nothing of, up to the first block that it has to be sent.
    pub(crate) fn pass_by<D: Disk<File = F>>(&mut self, log: &mut Log<D>) {
        for number in 0..self.destinations.len() {
            let one = &self.destinations[number];
            if one.takes.is_none() && one.lanes.iter().all(|taken| *taken) {
                continue;
            }
            for index in 0..Lane::ALL.len() {
                // What cannot be looked up now is when it is asked for.
                while self.destinations[number].windows[index].is_empty()
                    && self.load_next(log, number, index).unwrap_or(false)
                {}
            }
        }
    }

    /// See [`crate::Journal::take_passed`].
    pub(crate) fn take_passed(&mut self) -> Vec<(usize, i64)> {
        let all = self.destinations.iter_mut().map(|destination| {
            let passed: u64 = destination.windows.iter_mut().map(Window::take_passed).sum();
            passed as i64 - std::mem::take(&mut destination.replaced) as i64
        });
        all.enumerate().filter(|(_, records)| *records != 0).collect()
    }

    /// The lowest sequence of a lane that is looked up next.
    fn tail(&self, index: usize) -> Option<u64> {
        self.destinations.iter().map(|destination| destination.windows[index].tail()).min()
    }

    /// Forgets gaps of a lane that everyone is past.
    pub(crate) fn forget_gaps<D: Disk<File = F>>(&self, log: &mut Log<D>, index: usize) {
        let oldest = log.lanes.lane(index).oldest();
        let needed = self.tail(index).unwrap_or(oldest).min(oldest);
        log.lanes.gaps_mut(index).forget_below(needed);
    }

    /// What was lost since the last call, for each destination that loses by it.
    pub(crate) fn take_lost(&mut self) -> Vec<Lost> {
        self.unbooked.taken();
        std::mem::take(&mut self.lost)
    }

    fn book(&mut self, news: Lost) {
        let alike = |other: &&mut Lost| {
            other.destination == news.destination
                && other.gap.lane == news.gap.lane
                && other.gap.reason == news.gap.reason
        };
        if self.lost.len() >= LOST_CAP
            && let Some(other) = self.lost.iter_mut().find(alike)
        {
            other.records += news.records;
            join(&mut other.gap, &news.gap);
            return;
        }
        self.lost.push(news);
    }

    /// Notes that a stretch cannot be read any more: its gap record becomes due, destinations that still needed it lose
    /// its records, and everyone goes round it.
    pub(crate) fn declare<D: Disk<File = F>>(
        &mut self,
        log: &mut Log<D>,
        index: usize,
        extent: Extent,
        reason: GapReason,
        start_ns: u64,
    ) {
        let lane = log.lanes.lane(index);
        let (first, last) = (extent.first, extent.last);
        let gap = Gap { lane: lane.lane(), first, last, reason, records: extent.records(), start_ns, end_ns: 0 };
        let next = lane.next();
        // A file that says more than the gap records on disk would hide it from a start.
        self.hold_back(index);
        self.lose(log, index, &extent, &gap, Telling::Due { instead: 0 });
        log.lanes.gaps_mut(index).report(&extent, next);
        log.gaps.report(gap, &extent, true);
    }

    /// Books a lost stretch for every destination that has neither confirmed it nor has it on its way.
    pub(crate) fn lose<D: Disk<File = F>>(
        &mut self,
        log: &mut Log<D>,
        index: usize,
        extent: &Extent,
        gap: &Gap,
        telling: Telling,
    ) {
        let instead = match telling {
            Telling::Durable => 0,
            Telling::Due { instead } => instead,
        };
        let known = log.lanes.lane(index).gaps();
        for number in 0..self.destinations.len() {
            let window = &self.destinations[number].windows[index];
            let before = extent.before.max(window.position().records);
            let records = window.would_lose(extent, known.records_between(before, extent.after));
            if window.confirmed() < extent.last {
                self.unbooked.lost(number, index, records, telling);
                self.book(Lost { destination: number, gap: *gap, records: records.saturating_sub(instead) });
            }
            self.pass_over(number, index, extent);
        }
        log.lanes.gaps_mut(index).insert(*extent);
    }

    /// Takes a stretch that cannot be read out of a destination's way.
    fn pass_over(&mut self, number: usize, index: usize, extent: &Extent) {
        let destination = &mut self.destinations[number];
        destination.windows[index].punch(extent);
        destination.settle(index);
    }

    /// Until the next commit, files say no more of a lane than they would now.
    pub(crate) fn hold_back(&mut self, index: usize) {
        for destination in &mut self.destinations {
            let position = destination.windows[index].position();
            destination.unreported[index].get_or_insert(position);
        }
    }

    /// Writes the cursors that moved.
    pub(crate) fn sync<D: Disk<File = F>>(&mut self, log: &mut Log<D>) -> Result<(), JournalError> {
        let epoch = log.lanes.epoch();
        let (disk, counts) = log.lanes.io();
        for destination in self.destinations.iter_mut().filter(|destination| destination.dirty) {
            let positions = std::array::from_fn(|lane| {
                destination.unreported[lane].unwrap_or(destination.windows[lane].position())
            });
            destination.cursor.write(disk, epoch, &positions, counts)?;
            destination.dirty = false;
        }
        Ok(())
    }

    pub(crate) fn resident_bytes(&self) -> usize {
        self.destinations.iter().flat_map(|destination| &destination.windows).map(Window::resident_bytes).sum()
    }

    /// Bytes that cursor files take on disk.
    pub(crate) fn disk_bytes(&self) -> u64 {
        cursor_file::FILE_LEN * self.destinations.len() as u64
    }
}
