//! What the disk thread owns and does, without the thread: the journal with what the assembly needs of it. The crash model drives the
//! same code on its disk.

use disk::Disk;
use journal::{
    AfterNote, AppendError, Decisions, Depth, FrameMeta, Journal, JournalError, LaneEnds, Options, Recording, Recovery,
    Stats, StoredBlock, TapeError,
};
use ledger::{Ledger, PerSignal};
use model::{Epoch, Lane, Refusal, Signal, Stamp};
use pipeline::{Batch, CommitAttachment, Pipeline, Resumed};

use crate::dead_letters::{DeadLetter, DeadLetterCounts, DeadLetters};
use crate::remaining_file;
use crate::resume::{Aside, resume};
use crate::starting::{self, TakesIn};
use crate::thinning::Thinning;

/// A stretch of a lane that a destination has.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    /// The lane.
    pub lane: Lane,
    /// First sequence.
    pub first: u64,
    /// Last sequence, inclusive.
    pub last: u64,
}

/// What the journal looks like at one moment.
#[derive(Debug, Clone, Default)]
pub struct DiskStatus {
    /// Its epoch.
    pub epoch: Epoch,
    /// The ends of its lanes.
    pub heads: Vec<LaneEnds>,
    /// What each destination still has to get.
    pub depths: Vec<Depth>,
    /// Figures.
    pub stats: Stats,
    /// Metric points that were thinned out, since the start.
    pub thinned: u64,
    /// What destinations refused and is kept.
    pub dead_letters: DeadLetterCounts,
}

/// What a commit did.
#[derive(Debug, Default)]
pub struct Committed {
    /// (destination's position, records) that will never be delivered there.
    pub lost: Vec<(usize, u64)>,
    /// Batches that found no room: they come back, to be tried again.
    pub left: Vec<Batch>,
    /// What is larger than any frame can be: it will never fit.
    pub unfit: Vec<(Lane, PerSignal)>,
    /// Why the disk did not take everything. Without one, the attachment is committed too.
    pub error: Option<String>,
    /// What each lane has that some destination has not confirmed, bytes by the lane's number.
    pub backlog: [u64; Lane::ALL.len()],
}

/// The journal of a running edge.
pub struct DiskState<D: Disk> {
    journal: Journal<D>,
    destinations: usize,
    /// Bytes by lane that somebody was promised room for since the last commit.
    promised: [usize; Lane::ALL.len()],
    thinning: Thinning,
    dead_letters: DeadLetters,
    /// The file of what is undecided, while it is written; else whether an earlier life's may still be there.
    remaining: Option<remaining_file::Writer<D::File>>,
    stale_remaining: bool,
    /// The first commit is not done.
    starting: bool,
}

/// An edge as it starts: its disk, its pipeline, and what was found.
pub struct Opened<D: Disk> {
    /// The disk's side.
    pub disk: DiskState<D>,
    /// Everything before the disk.
    pub pipeline: Pipeline,
    /// What the journal found.
    pub recovery: Recovery,
    /// What was taken in again.
    pub resumed: Resumed,
    /// Why the ledger of the last commit could not be read; counting then starts anew.
    pub bad_commit_record: Option<String>,
}

/// What frames behind the commit record hold, by signal: their sum is what the journal counts. Where frames cannot be read any more, it is
/// what their lane usually holds.
fn booked_by_signal(after: &AfterNote) -> [(Signal, u64); Signal::ALL.len()] {
    let usual = match after.lane {
        Lane::Metrics | Lane::Debug => Signal::Metrics,
        Lane::Logs | Lane::Mission | Lane::Audit => Signal::Logs,
        Lane::Traces => Signal::Traces,
    };
    let mut left = after.records;
    let mut booked = std::array::from_fn(|place| {
        let records = after.by_signal[place].min(left);
        left -= records;
        (Signal::ALL[place], records)
    });
    if let Some((_, records)) = booked.iter_mut().find(|(signal, _)| *signal == usual) {
        *records += left;
    }
    booked
}

impl<D: Disk> DiskState<D> {
    /// Opens a data directory and brings books and pipeline to where they were: `make` builds the pipeline that goes on with
    /// a ledger.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open(
        disk: D,
        options: Options,
        stamp: Stamp,
        now_ns: u64,
        make: impl FnOnce(Ledger) -> Pipeline,
    ) -> Result<Opened<D>, JournalError> {
        let (names, budget) = (options.destinations.clone(), options.total_bytes);
        let (mut journal, recovery) = Journal::open(disk, options, stamp)?;
        let mut bad_commit_record = None;
        let (mut ledger, pending) = match &recovery.note {
            Some(note) => Ledger::resume(note).unwrap_or_else(|error| {
                bad_commit_record = Some(error.to_string());
                <(Ledger, PerSignal)>::default()
            }),
            None => <(Ledger, PerSignal)>::default(),
        };
        for name in &names {
            ledger.destination(name);
        }
        for after in &recovery.after_note {
            // Durable, but the books that spoke of them were not: they came in, and they were routed.
            for (signal, records) in booked_by_signal(after) {
                ledger.received.add(signal, records);
                ledger.pending.add(signal, records);
                ledger.route(signal, records);
            }
        }
        for index in 0..names.len() {
            // Looking finds damage, which is lost before it is counted what waits.
            journal.depth(index)?;
        }
        for lost in journal.take_lost() {
            if let Some(name) = names.get(lost.destination) {
                ledger.destination(name).lost += lost.records;
            }
        }
        for (index, name) in names.iter().enumerate() {
            let queued = journal.depth(index)?.records;
            let entry = ledger.destination(name);
            // A confirmation and its count are not written together: the cursor on disk is what counts.
            entry.delivered = entry.routed.saturating_sub(queued + entry.rejected + entry.lost);
            entry.routed = queued + entry.delivered + entry.rejected + entry.lost;
        }
        let mut pipeline = make(ledger);
        let mut dead_letters = DeadLetters::open(journal.disk(), budget);
        let mut resuming = pipeline.resume(now_ns);
        let mut next = 0;
        if journal.records() {
            // A start that cannot be counted takes everything in.
            let takes_in = starting::begin(journal.disk(), &stamp.boot_id).unwrap_or(TakesIn::All);
            let disk = journal.disk();
            let mut keep = |signal, request: &[u8]| {
                let (destination, reason) = ("start".to_owned(), Refusal::OverBudget);
                let wall_s = stamp.wall_ns / 1_000_000_000;
                let letter = DeadLetter { destination, signal, reason, request: request.to_vec(), wall_s };
                dead_letters.keep(disk, &letter).is_ok()
            };
            let mut aside = Aside { takes_in, keep: &mut keep };
            next = resume(&journal, &mut resuming, stamp.wall_ns, &mut aside).inspect_err(|_| {
                // It ends with a word, so it is not counted among those that died; where the file stays, it is.
                let _counted = starting::end(journal.disk());
            })?;
        } else {
            remaining_file::resume(journal.disk(), recovery.note.as_deref(), &mut resuming);
        }
        let resumed = resuming.finish(&pending, next);
        let disk = Self {
            journal,
            destinations: names.len(),
            promised: [0; Lane::ALL.len()],
            thinning: Thinning::default(),
            dead_letters,
            remaining: None,
            stale_remaining: true,
            starting: true,
        };
        Ok(Opened { disk, pipeline, recovery, resumed, bad_commit_record })
    }

    /// Thins metrics to steps of so many nanoseconds when room runs short, before any are evicted; 0 for never.
    pub fn thin_to(&mut self, step_ns: u64) {
        self.thinning.step_ns = step_ns;
    }

    /// Metric points that were thinned out, since the start.
    pub fn thinned(&self) -> u64 {
        self.thinning.points
    }

    /// Records requests; see [`Journal::record`].
    ///
    /// # Errors
    /// [`TapeError`]: nothing was recorded for good.
    pub fn record(&mut self, requests: &[Recording<'_>], wall_ns: u64, durable: bool) -> Result<u64, TapeError> {
        self.journal.record(requests, wall_ns, durable)
    }

    /// Sees to it that records of about so many bytes find room in a lane with the next commit.
    ///
    /// # Errors
    /// [`AppendError::Full`] when there is none, also after others yielded.
    pub fn make_room(&mut self, lane: Lane, bytes: usize, stamp: Stamp) -> Result<(), AppendError> {
        let promised = self.promised[usize::from(lane.number())] + bytes;
        self.journal.make_room(lane, promised, stamp)?;
        self.promised[usize::from(lane.number())] = promised;
        Ok(())
    }

    /// Appends batches and makes everything durable, the attachment with it.
    pub fn commit(&mut self, batches: Vec<Batch>, stamp: Stamp, attachment: &CommitAttachment) -> Committed {
        let mut committed = Committed::default();
        self.promised = [0; Lane::ALL.len()];
        for batch in batches {
            let records = u32::try_from(batch.records.total()).unwrap_or(u32::MAX);
            let meta = FrameMeta { records, start_ns: batch.start_ns, end_ns: batch.end_ns };
            if let Err(error) = self.journal.append(batch.lane, &batch.body, meta, stamp) {
                if let AppendError::TooLarge { .. } = error {
                    committed.unfit.push((batch.lane, batch.records));
                    continue;
                }
                let error = match error {
                    AppendError::Journal(error) => error.to_string(),
                    other => other.to_string(),
                };
                committed.error = Some(error);
                committed.left.push(batch);
            }
        }
        if let Err(error) = self.thinning.run(&mut self.journal, stamp) {
            committed.error = Some(error.to_string());
        }
        // Without all batches the record would speak of what is not there: it waits for the next commit.
        let CommitAttachment { commit_record, decided, without_spans, taken, .. } = attachment;
        let done = match (committed.left.is_empty(), *taken) {
            (false, _) => self.journal.commit(stamp, None),
            (true, None) => self.journal.commit(stamp, Some(commit_record)),
            (true, Some(taken)) => {
                let decisions = Decisions { remembered: decided, alone: without_spans };
                self.journal.commit_taken(stamp, commit_record, &decisions, taken)
            }
        };
        if let Err(error) = done {
            committed.error = Some(error.to_string());
        } else if self.stale_remaining && committed.error.is_none() {
            // It spoke of the commit record before this one, by which it is recognised where it cannot be removed.
            self.stale_remaining = remaining_file::remove(self.journal.disk()).is_err();
        }
        if self.starting {
            self.starting = starting::end(self.journal.disk()).is_err();
        }
        committed.lost = self.journal.take_lost().iter().map(|lost| (lost.destination, lost.records)).collect();
        committed.backlog = self.backlog();
        committed
    }

    /// The next committed blocks for a destination; see [`Journal::next_blocks`].
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn next_blocks(&mut self, destination: usize, max: usize) -> Result<Vec<StoredBlock>, JournalError> {
        let mut blocks = Vec::new();
        self.journal.next_blocks(destination, max, &mut blocks)?;
        Ok(blocks)
    }

    /// A destination has these; tells how many records of them it was not known to have.
    ///
    /// # Errors
    /// [`JournalError`] of the last range that failed; the others are confirmed.
    pub fn confirm(&mut self, destination: usize, ranges: &[Range]) -> (u64, Option<JournalError>) {
        let (mut records, mut failed) = (0, None);
        for range in ranges {
            match self.journal.confirm(destination, range.lane, range.first, range.last) {
                Ok(confirmed) => records += confirmed.records,
                Err(error) => failed = Some(error),
            }
        }
        (records, failed)
    }

    /// What each lane has that some destination has not confirmed, bytes by the lane's number.
    pub fn backlog(&self) -> [u64; Lane::ALL.len()] {
        self.journal.backlog()
    }

    /// Empties a destination's queue, of one lane or of all but mission and audit; gives the records that are dropped. They are booked
    /// with the next commit.
    ///
    /// # Errors
    /// As [`Journal::drop_queue`].
    pub fn drop_queue(&mut self, destination: usize, lane: Option<Lane>) -> Result<u64, JournalError> {
        self.journal.drop_queue(destination, lane)
    }

    /// What was handed out is handed out again.
    pub fn rewind(&mut self, destination: usize) {
        self.journal.rewind(destination);
    }

    /// The destination has a lane only up to `next_expected - 1`; gives the records that it gets again.
    ///
    /// # Errors
    /// As [`Journal::replay`].
    pub fn replay(&mut self, destination: usize, lane: Lane, next_expected: u64) -> Result<u64, JournalError> {
        self.journal.replay(destination, lane, next_expected)
    }

    /// The destination has a lane below `next_expected`, and the frame before that has this digest there; gives the records that
    /// it turns out to have.
    ///
    /// # Errors
    /// As [`Journal::skip`].
    pub fn skip(
        &mut self,
        destination: usize,
        lane: Lane,
        next_expected: u64,
        digest: u64,
    ) -> Result<u64, JournalError> {
        let is_same = |frame: &[u8]| link::short_digest(&wire::digest(frame)) == digest;
        Ok(self.journal.skip(destination, lane, next_expected, is_same)?.records)
    }

    /// Keeps what a destination refused for good, durably.
    ///
    /// # Errors
    /// What the disk says: not all of it is kept.
    pub fn keep_dead_letters(&mut self, letters: &[DeadLetter]) -> std::io::Result<()> {
        letters.iter().try_for_each(|letter| self.dead_letters.keep(self.journal.disk(), letter))
    }

    /// Writes the next part of what is undecided at an orderly end.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn write_remaining(&mut self, part: &[u8]) -> std::io::Result<()> {
        let disk = self.journal.disk();
        let writer = match &mut self.remaining {
            Some(writer) => writer,
            none => none.insert(remaining_file::begin(disk)?),
        };
        writer.write(disk, part)
    }

    /// Makes durable what was written of it.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn finish_remaining(&mut self) -> std::io::Result<()> {
        match self.remaining.take() {
            Some(writer) => writer.finish(self.journal.disk()),
            None => Ok(()),
        }
    }

    /// Looks whether the data directory is where it was.
    ///
    /// # Errors
    /// As [`Journal::check_place`].
    pub fn look(&self) -> Result<(), JournalError> {
        self.journal.check_place()
    }

    /// Heads, depths and figures.
    pub fn status(&mut self) -> DiskStatus {
        let depths =
            (0..self.destinations).map(|destination| self.journal.depth(destination).unwrap_or_default()).collect();
        DiskStatus {
            epoch: self.journal.epoch(),
            heads: self.journal.heads(),
            depths,
            stats: self.journal.stats(),
            thinned: self.thinning.points,
            dead_letters: self.dead_letters.counts(),
        }
    }

    /// Writes the cursors, for an orderly end.
    ///
    /// # Errors
    /// [`JournalError`]: some blocks will be sent again.
    pub fn sync_cursors(&mut self) -> Result<(), JournalError> {
        self.journal.sync_cursors()
    }
}
