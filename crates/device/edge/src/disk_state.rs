//! What the disk thread owns and does, without the thread: the journal with what the assembly needs of it. The crash model drives the
//! same code on its disk.

use disk::{Disk, DiskError};
use drain::Range;
use journal::{
    AppendError, AttachmentKind, Depth, FrameMeta, JournalError, LaneEnds, Lost, Recovery, Stats, StoredBlock, Unbooked,
};
use ledger::{Ledger, PerSignal};
use model::{Epoch, Lane, Refusal, Signal, Stamp};
use pipeline::{Batch, CommitAttachment, Pipeline, Resumed};
use recorder::{Decisions, RecorderError, RecorderFiles, Recording};

use crate::dead_letters::{DeadLetter, DeadLetterCounts, DeadLetters};
use crate::remaining_file;
use crate::resume::{Aside, resume};
use crate::starting::{self, TakesIn};
use crate::storage::{Storage, StorageOptions};
use crate::thinning::Thinning;

/// What the journal looks like at one moment.
#[derive(Debug, Clone, Default)]
pub struct DiskStatus {
    /// Its epoch.
    pub epoch: Epoch,
    /// The ends of its lanes.
    pub heads: Vec<LaneEnds>,
    /// What each destination still has to get.
    pub depths: Vec<Depth>,
    /// Results.
    pub stats: Stats,
    /// Metric points that were thinned out, since the start.
    pub thinned: u64,
    /// What destinations refused and is kept.
    pub dead_letters: DeadLetterCounts,
    /// Records that destinations were passed by.
    pub passed: Passed,
}

/// (destination's position, records) of signals that it does not take, since they were asked for last; see
/// [`journal::Journal::take_passed`].
pub type Passed = Vec<(usize, i64)>;

/// What a commit did.
#[derive(Debug, Default)]
pub struct Committed {
    /// What will never be delivered to a destination.
    pub lost: Vec<Lost>,
    /// Records that destinations were passed by.
    pub passed: Passed,
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
    storage: Storage<D>,
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
    pub bad_ledger: Option<String>,
}

/// What frames behind the last ledger hold, by signal: their sum is what the journal counts. Where frames cannot be read any more, it is
/// what their lane usually holds.
fn booked_by_signal(after: &Unbooked) -> [(Signal, u64); Signal::ALL.len()] {
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
    /// As [`journal::Journal::open`].
    pub fn open(
        disk: D,
        options: &StorageOptions,
        stamp: Stamp,
        now_ns: u64,
        make: impl FnOnce(Ledger) -> Pipeline,
    ) -> Result<Opened<D>, JournalError> {
        let names: Vec<String> = options.journal.consumers.iter().map(|one| one.name.clone()).collect();
        let budget = options.journal.total_bytes;
        let (mut storage, recovery) = Storage::open(disk, options, stamp)?;
        let journal = &mut storage.journal;
        let mut bad_ledger = None;
        let (mut ledger, pending) = match recovery.attachment(AttachmentKind::Ledger) {
            Some(ledger) => Ledger::resume(ledger).unwrap_or_else(|error| {
                bad_ledger = Some(error.to_string());
                <(Ledger, PerSignal)>::default()
            }),
            None => <(Ledger, PerSignal)>::default(),
        };
        ledger.keep_destinations(&names);
        for after in &recovery.unbooked {
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
        let lost = journal.take_lost().into_iter().map(|lost| (lost.destination, lost.records));
        for (destination, records) in recovery.lost.iter().copied().chain(lost) {
            if let Some(name) = names.get(destination) {
                ledger.destination(name).lost += records;
            }
        }
        for (index, records) in journal.take_passed() {
            if let Some(name) = names.get(index) {
                let entry = ledger.destination(name);
                entry.skipped = entry.skipped.saturating_add_signed(records);
            }
        }
        for (index, name) in names.iter().enumerate() {
            let queued = journal.depth(index)?.records;
            let entry = ledger.destination(name);
            // A confirmation and its count are not written together: the cursor on disk is what counts.
            entry.delivered = entry.routed.saturating_sub(queued + entry.rejected + entry.lost + entry.skipped);
            entry.routed = queued + entry.delivered + entry.rejected + entry.lost + entry.skipped;
        }
        let mut pipeline = make(ledger);
        let mut dead_letters = DeadLetters::open(journal.disk(), budget);
        let mut resuming = pipeline.resume(now_ns);
        if let Some(positions) = recovery.attachment(AttachmentKind::Positions) {
            resuming.positions(positions);
            let unbooked = recovery.unbooked.iter().flat_map(booked_by_signal);
            resuming
                .ambiguous(unbooked.filter(|(signal, _)| *signal == Signal::Logs).map(|(_, records)| records).sum());
        }
        let mut next = 0;
        if let Some(recorder) = &storage.recorder {
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
            next = resume(disk, recorder, &mut resuming, stamp.wall_ns, &mut aside).inspect_err(|_| {
                // It ends with a word, so it is not counted among those that died; where the file stays, it is.
                let _counted = starting::end(journal.disk());
            })?;
        } else {
            remaining_file::resume(journal.disk(), recovery.attachment(AttachmentKind::Ledger), &mut resuming);
        }
        let resumed = resuming.finish(&pending, next);
        let disk = Self {
            storage,
            destinations: names.len(),
            promised: [0; Lane::ALL.len()],
            thinning: Thinning::default(),
            dead_letters,
            remaining: None,
            stale_remaining: true,
            starting: true,
        };
        Ok(Opened { disk, pipeline, recovery, resumed, bad_ledger })
    }

    /// Thins metrics to steps of so many nanoseconds when room runs short, before any are evicted; 0 for never.
    pub fn thin_to(&mut self, step_ns: u64) {
        self.thinning.step_ns = step_ns;
    }

    /// Metric points that were thinned out, since the start.
    pub fn thinned(&self) -> u64 {
        self.thinning.points
    }

    /// Records requests; see [`RecorderFiles::record`].
    ///
    /// # Errors
    /// [`RecorderError`]: nothing was recorded for good.
    pub fn record(&mut self, requests: &[Recording<'_>], wall_ns: u64, durable: bool) -> Result<u64, RecorderError> {
        let Storage { journal, recorder } = &mut self.storage;
        match recorder {
            Some(recorder) => recorder.record(journal.disk(), requests, wall_ns, durable),
            None => {
                let none = std::io::Error::other("the recorder has no files");
                Err(DiskError::io("record in", "recorder")(none).into())
            }
        }
    }

    /// Sees to it that records of about so many bytes find room in a lane with the next commit.
    ///
    /// # Errors
    /// [`AppendError::Full`] when there is none, also after others yielded.
    pub fn make_room(&mut self, lane: Lane, bytes: usize, stamp: Stamp) -> Result<(), AppendError> {
        let promised = self.promised[usize::from(lane.number())] + bytes;
        self.storage.journal.make_room(lane, promised, stamp)?;
        self.promised[usize::from(lane.number())] = promised;
        Ok(())
    }

    /// Appends batches and makes everything durable, the attachment with it.
    pub fn commit(&mut self, batches: Vec<Batch>, stamp: Stamp, attachment: &CommitAttachment) -> Committed {
        let mut committed = Committed::default();
        self.promised = [0; Lane::ALL.len()];
        for batch in batches {
            let records = u32::try_from(batch.records.total()).unwrap_or(u32::MAX);
            let meta =
                FrameMeta { records, start_ns: batch.start_ns, end_ns: batch.end_ns, signals: Some(batch.signals) };
            if let Err(error) = self.storage.journal.append(batch.lane, &batch.body, meta, stamp) {
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
        if let Err(error) = self.thinning.run(&mut self.storage.journal, stamp) {
            committed.error = Some(error.to_string());
        }
        // Without all batches the record would speak of what is not there: it waits for the next commit.
        let CommitAttachment { ledger, decided, without_spans, progress, positions, .. } = attachment;
        let decisions = Decisions { remembered: decided, without_spans };
        let recorded = progress.map(|progress| (&decisions, progress));
        let done = match committed.left.is_empty() {
            true => self.storage.commit(stamp, ledger, positions.as_deref(), recorded),
            false => self.storage.journal.commit(stamp, &[]).map(drop),
        };
        if let Err(error) = done {
            committed.error = Some(error.to_string());
        } else if self.stale_remaining && committed.error.is_none() {
            // It names the ledger before this one: where it cannot be removed, it says nothing to the next start.
            self.stale_remaining = remaining_file::remove(self.storage.journal.disk()).is_err();
        }
        if self.starting {
            self.starting = starting::end(self.storage.journal.disk()).is_err();
        }
        committed.lost = self.storage.journal.take_lost();
        committed.passed = self.storage.journal.take_passed();
        committed.backlog = self.backlog();
        committed
    }

    /// The next committed blocks for a destination; see [`journal::Journal::next_blocks`].
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn next_blocks(&mut self, destination: usize, max: usize) -> Result<Vec<StoredBlock>, JournalError> {
        let mut blocks = Vec::new();
        self.storage.journal.next_blocks(destination, max, &mut blocks)?;
        Ok(blocks)
    }

    /// Records that destinations were passed by since the last call.
    pub(crate) fn take_passed(&mut self) -> Passed {
        self.storage.journal.take_passed()
    }

    /// A destination has these; tells how many records of them it was not known to have.
    ///
    /// # Errors
    /// [`JournalError`] of the last range that failed; the others are confirmed.
    pub fn confirm(&mut self, destination: usize, ranges: &[Range]) -> (u64, Option<JournalError>) {
        let (mut records, mut failed) = (0, None);
        for range in ranges {
            match self.storage.journal.confirm(destination, range.lane, range.first, range.last) {
                Ok(confirmed) => records += confirmed.records,
                Err(error) => failed = Some(error),
            }
        }
        (records, failed)
    }

    /// What each lane has that some destination has not confirmed, bytes by the lane's number.
    pub fn backlog(&self) -> [u64; Lane::ALL.len()] {
        self.storage.journal.backlog()
    }

    /// Empties a destination's queue, of one lane or of all but mission and audit; gives the records that are dropped. They are booked
    /// with the next commit.
    ///
    /// # Errors
    /// As [`journal::Journal::drop_queue`].
    pub fn drop_queue(&mut self, destination: usize, lane: Option<Lane>) -> Result<u64, JournalError> {
        self.storage.journal.drop_queue(destination, lane)
    }

    /// What was handed out is handed out again.
    pub fn rewind(&mut self, destination: usize) {
        self.storage.journal.rewind(destination);
    }

    /// The destination has a lane only up to `next_expected - 1`; gives the records that it gets again.
    ///
    /// # Errors
    /// As [`journal::Journal::replay`].
    pub fn replay(&mut self, destination: usize, lane: Lane, next_expected: u64) -> Result<u64, JournalError> {
        self.storage.journal.replay(destination, lane, next_expected)
    }

    /// The destination has a lane below `next_expected`, and the frame before that has this digest there; gives the records that
    /// it turns out to have.
    ///
    /// # Errors
    /// As [`journal::Journal::skip`].
    pub fn skip(
        &mut self,
        destination: usize,
        lane: Lane,
        next_expected: u64,
        digest: u64,
    ) -> Result<u64, JournalError> {
        let is_same = |frame: &[u8]| link::short_digest(&wire::digest(frame)) == digest;
        Ok(self.storage.journal.skip(destination, lane, next_expected, is_same)?.records)
    }

    /// Keeps what a destination refused for good, durably.
    ///
    /// # Errors
    /// What the disk says: not all of it is kept.
    pub fn keep_dead_letters(&mut self, letters: &[DeadLetter]) -> std::io::Result<()> {
        letters.iter().try_for_each(|letter| self.dead_letters.keep(self.storage.journal.disk(), letter))
    }

    /// A request that a destination refused; see [`DeadLetters::read`].
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn read_dead_letter(&self, name: &str) -> std::io::Result<Vec<u8>> {
        self.dead_letters.read(self.storage.journal.disk(), name)
    }

    /// Removes a request that a destination refused.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn remove_dead_letter(&mut self, name: &str) -> std::io::Result<()> {
        self.dead_letters.remove(self.storage.journal.disk(), name)
    }

    /// Writes the next part of what is undecided at an orderly end.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn write_remaining(&mut self, part: &[u8]) -> std::io::Result<()> {
        let disk = self.storage.journal.disk();
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
            Some(writer) => writer.finish(self.storage.journal.disk()),
            None => Ok(()),
        }
    }

    /// Looks whether the data directory is where it was.
    ///
    /// # Errors
    /// As [`journal::Journal::check_place`].
    pub fn look(&self) -> Result<(), JournalError> {
        self.storage.check_place()
    }

    /// Heads, depths and counts.
    pub fn status(&mut self) -> DiskStatus {
        let depths = (0..self.destinations)
            .map(|destination| self.storage.journal.depth(destination).unwrap_or_default())
            .collect();
        let mut stats = self.storage.journal.stats();
        let recorder = self.storage.recorder.as_ref().map(RecorderFiles::counts).unwrap_or_default();
        stats.bytes_written += recorder.written;
        stats.syncs += recorder.syncs;
        stats.failed_syncs += recorder.failed_syncs;
        DiskStatus {
            passed: self.take_passed(),
            epoch: self.storage.journal.epoch(),
            heads: self.storage.journal.heads(),
            depths,
            stats,
            thinned: self.thinning.points,
            dead_letters: self.dead_letters.counts(),
        }
    }

    /// Writes the cursors, for an orderly end.
    ///
    /// # Errors
    /// [`JournalError`]: some blocks will be sent again.
    pub fn sync_cursors(&mut self) -> Result<(), JournalError> {
        self.storage.journal.sync_cursors()
    }
}
