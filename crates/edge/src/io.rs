//! The IO thread: it alone owns the disk, behind a bounded queue, so that a disk that stalls stops neither intake nor
//! health answers.

use std::time::Duration;

use journal::{AppendError, Depth, FrameMeta, Journal, LaneEnds, RealDisk, Stats, StoredBlock};
use model::{Epoch, Lane, Stamp};
use tokio::sync::{mpsc, oneshot};

use crate::batch::Batch;
use crate::log;

/// Jobs that may wait for the disk. Commits wait one at a time, so that these are small.
const QUEUE: usize = 32;
/// The IO thread does no recursion and holds its buffers on the heap.
const STACK: usize = 256 << 10;
/// How long health and status wait for a disk that stalls, before they tell what they knew.
const PATIENCE: Duration = Duration::from_millis(500);

/// A stretch of a lane that a destination has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    pub(crate) lane: Lane,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// What the journal looks like at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub(crate) epoch: Epoch,
    pub(crate) heads: Vec<LaneEnds>,
    pub(crate) depths: Vec<Depth>,
    pub(crate) stats: Stats,
}

/// What a commit did.
#[derive(Debug, Default)]
pub(crate) struct Committed {
    /// (destination's position, records) that will never be delivered there.
    pub(crate) lost: Vec<(usize, u64)>,
    /// Batches that found no room: they come back, to be tried again.
    pub(crate) left: Vec<Batch>,
    /// Why the disk did not take everything.
    pub(crate) error: Option<String>,
}

/// The IO thread has ended, or does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the disk thread {0}")]
pub(crate) struct IoError(&'static str);

enum Job {
    Commit { batches: Vec<Batch>, stamp: Stamp, note: Vec<u8>, reply: oneshot::Sender<Committed> },
    Next { destination: usize, max: usize, reply: oneshot::Sender<Vec<StoredBlock>> },
    Confirm { destination: usize, ranges: Vec<Range>, reply: oneshot::Sender<u64> },
    Rewind { destination: usize },
    State { reply: oneshot::Sender<State> },
    Stop { reply: oneshot::Sender<()> },
}

/// Speaks to the IO thread.
#[derive(Clone)]
pub(crate) struct IoHandle {
    jobs: mpsc::Sender<Job>,
}

impl IoHandle {
    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Result<T, IoError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(job(reply)).await.map_err(|_| IoError("has ended"))?;
        answer.await.map_err(|_| IoError("gave no answer"))
    }

    /// Appends batches and makes everything durable, the note with it.
    pub(crate) async fn commit(&self, batches: Vec<Batch>, stamp: Stamp, note: Vec<u8>) -> Result<Committed, IoError> {
        self.ask(|reply| Job::Commit { batches, stamp, note, reply }).await
    }

    /// The next durable blocks for a destination.
    pub(crate) async fn next_blocks(&self, destination: usize, max: usize) -> Result<Vec<StoredBlock>, IoError> {
        self.ask(|reply| Job::Next { destination, max, reply }).await
    }

    /// A destination has these; tells how many records of them it was not known to have.
    pub(crate) async fn confirm(&self, destination: usize, ranges: Vec<Range>) -> Result<u64, IoError> {
        self.ask(|reply| Job::Confirm { destination, ranges, reply }).await
    }

    /// Sending failed: the next blocks are again those behind the cursor.
    pub(crate) async fn rewind(&self, destination: usize) {
        // Without the thread there are no next blocks.
        let _sent = self.jobs.send(Job::Rewind { destination }).await;
    }

    /// Heads, depths and figures; an error when the disk stalls.
    pub(crate) async fn state(&self) -> Result<State, IoError> {
        let state = self.ask(|reply| Job::State { reply });
        tokio::time::timeout(PATIENCE, state).await.unwrap_or(Err(IoError("does not answer: the disk stalls")))
    }

    /// Writes what is open and ends the thread.
    pub(crate) async fn stop(&self) {
        // It has ended when it does not answer any more.
        let _ended = self.ask(|reply| Job::Stop { reply }).await;
    }
}

/// Starts the thread on an open journal with so many destinations.
pub(crate) fn start(journal: Journal<RealDisk>, destinations: usize) -> std::io::Result<IoHandle> {
    let (jobs, queue) = mpsc::channel(QUEUE);
    std::thread::Builder::new()
        .name("disk".into())
        .stack_size(STACK)
        .spawn(move || Worker { journal, destinations }.run(queue))?;
    Ok(IoHandle { jobs })
}

struct Worker {
    journal: Journal<RealDisk>,
    destinations: usize,
}

impl Worker {
    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        // A reply that nobody waits for any more is no fault.
        while let Some(job) = queue.blocking_recv() {
            match job {
                Job::Commit { batches, stamp, note, reply } => {
                    let _heard = reply.send(self.commit(batches, stamp, &note));
                }
                Job::Next { destination, max, reply } => {
                    let mut blocks = Vec::new();
                    if let Err(error) = self.journal.next_blocks(destination, max, &mut blocks) {
                        log::error(&format!("cannot read the journal: {error}"));
                    }
                    let _heard = reply.send(blocks);
                }
                Job::Confirm { destination, ranges, reply } => {
                    let mut records = 0;
                    for range in ranges {
                        match self.journal.confirm(destination, range.lane, range.first, range.last) {
                            Ok(confirmed) => records += confirmed.records,
                            Err(error) => log::error(&format!("cannot note a confirmation: {error}")),
                        }
                    }
                    let _heard = reply.send(records);
                }
                Job::Rewind { destination } => self.journal.rewind(destination),
                Job::State { reply } => {
                    let depths = (0..self.destinations)
                        .map(|destination| self.journal.depth(destination).unwrap_or_default())
                        .collect();
                    let _heard = reply.send(State {
                        epoch: self.journal.epoch(),
                        heads: self.journal.heads(),
                        depths,
                        stats: self.journal.stats(),
                    });
                }
                Job::Stop { reply } => {
                    if let Err(error) = self.journal.sync_cursors() {
                        log::warn(&format!("cursors are not written ({error}): some blocks will be sent again"));
                    }
                    let _heard = reply.send(());
                    return;
                }
            }
        }
    }

    fn commit(&mut self, batches: Vec<Batch>, stamp: Stamp, note: &[u8]) -> Committed {
        let mut committed = Committed::default();
        for batch in batches {
            let records = u32::try_from(batch.records.total()).unwrap_or(u32::MAX);
            let meta = FrameMeta { records, start_ns: batch.start_ns, end_ns: batch.end_ns };
            if let Err(error) = self.journal.append(batch.lane, &batch.body, meta, stamp) {
                let error = match error {
                    AppendError::Journal(error) => error.to_string(),
                    other => other.to_string(),
                };
                committed.error = Some(error);
                committed.left.push(batch);
            }
        }
        // Without all batches the note would speak of what is not there: it waits for the next commit.
        let note = committed.left.is_empty().then_some(note);
        if let Err(error) = self.journal.commit(stamp, note) {
            committed.error = Some(error.to_string());
        }
        committed.lost = self.journal.take_lost().iter().map(|lost| (lost.destination, lost.records)).collect();
        committed
    }
}
