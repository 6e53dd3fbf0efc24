//! The disk thread: it alone owns the disk, behind a bounded queue, so that a disk that stalls stops neither intake nor
//! health answers.

use std::time::Duration;

use disk::Disk;
use drain::Range;
use journal::StoredBlock;
use model::{Lane, Stamp};
use pipeline::{Admitted, Batch, CommitAttachment};
use recorder::Recording;
use tokio::sync::{mpsc, oneshot};

use crate::dead_letters::DeadLetter;
use crate::disk_state::{Committed, DiskState, DiskStatus, Passed};
use crate::log;

/// Jobs that may wait for the disk. Commits wait one at a time, and requests are bounded by their bytes.
const QUEUE: usize = 64;
/// Requests that are recorded together, and synced once.
const GROUP: usize = 32;
/// The disk thread does no recursion and holds its buffers on the heap.
const STACK: usize = 256 << 10;
/// How long health and status wait for a disk that stalls, before they tell what they knew.
const PATIENCE: Duration = Duration::from_millis(500);

/// The disk thread has ended, or does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the disk thread {0}")]
pub(crate) struct DiskThreadError(&'static str);

/// A request that comes back from the disk, with its sequence when it was recorded.
type Recorded = (Admitted, Result<u64, String>);

struct Record {
    request: Admitted,
    wall_ns: u64,
    durable: bool,
    reply: oneshot::Sender<Recorded>,
}

/// Records that a destination was not known to have, what each lane still has to give, by its number, and what destinations were
/// passed by meanwhile.
type Confirmed = (u64, [u64; Lane::ALL.len()], Passed);

enum Job {
    Record(Record),
    Room {
        lane: Lane,
        bytes: usize,
        stamp: Stamp,
        reply: oneshot::Sender<Result<(), String>>,
    },
    Commit {
        batches: Vec<Batch>,
        stamp: Stamp,
        attachment: CommitAttachment,
        reply: oneshot::Sender<(Committed, CommitAttachment)>,
    },
    Next {
        destination: usize,
        max: usize,
        reply: oneshot::Sender<(Vec<StoredBlock>, Passed)>,
    },
    Confirm {
        destination: usize,
        ranges: Vec<Range>,
        reply: oneshot::Sender<Confirmed>,
    },
    Replay {
        destination: usize,
        lane: Lane,
        next_expected: u64,
        reply: oneshot::Sender<u64>,
    },
    Skip {
        destination: usize,
        lane: Lane,
        next_expected: u64,
        digest: u64,
        reply: oneshot::Sender<Confirmed>,
    },
    Rewind {
        destination: usize,
    },
    SyncCursors,
    DeadLetters {
        letters: Vec<DeadLetter>,
        reply: oneshot::Sender<Result<(), String>>,
    },
    ReadDeadLetter {
        name: String,
        reply: oneshot::Sender<Result<Vec<u8>, String>>,
    },
    RemoveDeadLetter {
        name: String,
        reply: oneshot::Sender<Result<(), String>>,
    },
    /// A part of what is undecided; `None` behind the last one.
    Remaining {
        part: Option<Vec<u8>>,
        reply: oneshot::Sender<Result<(), String>>,
    },
    Look {
        reply: oneshot::Sender<Option<String>>,
    },
    Drop {
        destination: usize,
        lane: Option<Lane>,
        reply: oneshot::Sender<Result<u64, String>>,
    },
    Status {
        reply: oneshot::Sender<DiskStatus>,
    },
    Stop {
        reply: oneshot::Sender<()>,
    },
}

/// Speaks to the disk thread.
#[derive(Clone)]
pub(crate) struct DiskThread {
    jobs: mpsc::Sender<Job>,
}

impl DiskThread {
    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Result<T, DiskThreadError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(job(reply)).await.map_err(|_| DiskThreadError("has ended"))?;
        answer.await.map_err(|_| DiskThreadError("gave no answer"))
    }

    /// Records a request, and with `durable` syncs it.
    pub(crate) async fn record(
        &self,
        request: Admitted,
        wall_ns: u64,
        durable: bool,
    ) -> Result<Recorded, DiskThreadError> {
        self.ask(|reply| Job::Record(Record { request, wall_ns, durable, reply })).await
    }

    /// Sees to it that records of about so many bytes find room in a lane with the next commit; else tells why not.
    pub(crate) async fn make_room(
        &self,
        lane: Lane,
        bytes: usize,
        stamp: Stamp,
    ) -> Result<Result<(), String>, DiskThreadError> {
        self.ask(|reply| Job::Room { lane, bytes, stamp, reply }).await
    }

    /// Appends batches and makes everything durable, the attachment with it, which comes back.
    pub(crate) async fn commit(
        &self,
        batches: Vec<Batch>,
        stamp: Stamp,
        attachment: CommitAttachment,
    ) -> Result<(Committed, CommitAttachment), DiskThreadError> {
        self.ask(|reply| Job::Commit { batches, stamp, attachment, reply }).await
    }

    /// The next durable blocks for a destination.
    pub(crate) async fn next_blocks(
        &self,
        destination: usize,
        max: usize,
    ) -> Result<(Vec<StoredBlock>, Passed), DiskThreadError> {
        self.ask(|reply| Job::Next { destination, max, reply }).await
    }

    /// A destination has these.
    pub(crate) async fn confirm(&self, destination: usize, ranges: Vec<Range>) -> Result<Confirmed, DiskThreadError> {
        self.ask(|reply| Job::Confirm { destination, ranges, reply }).await
    }

    /// A destination has a lane only up to `next_expected - 1`; tells how many records it gets again.
    pub(crate) async fn replay(
        &self,
        destination: usize,
        lane: Lane,
        next_expected: u64,
    ) -> Result<u64, DiskThreadError> {
        self.ask(|reply| Job::Replay { destination, lane, next_expected, reply }).await
    }

    /// A destination has a lane below `next_expected`, if the frame before that is this one.
    pub(crate) async fn skip(
        &self,
        destination: usize,
        lane: Lane,
        next_expected: u64,
        digest: u64,
    ) -> Result<Confirmed, DiskThreadError> {
        self.ask(|reply| Job::Skip { destination, lane, next_expected, digest, reply }).await
    }

    /// Empties a destination's queue, of one lane or of all but mission and audit; gives the records that are dropped.
    pub(crate) async fn drop_queue(
        &self,
        destination: usize,
        lane: Option<Lane>,
    ) -> Result<Result<u64, String>, DiskThreadError> {
        self.ask(|reply| Job::Drop { destination, lane, reply }).await
    }

    /// Sending failed: the next blocks are again those behind the cursor.
    pub(crate) async fn rewind(&self, destination: usize) {
        // Without the thread there are no next blocks.
        let _sent = self.jobs.send(Job::Rewind { destination }).await;
    }

    /// Writes the cursors that moved: what was confirmed is not sent again after a kill.
    #[cfg_attr(not(feature = "signal-sinks"), allow(dead_code, reason = "a hub tells what comes twice"))]
    pub(crate) async fn sync_cursors(&self) {
        // Without the thread there is nothing to write.
        let _sent = self.jobs.send(Job::SyncCursors).await;
    }

    /// Writes a part of what is undecided; with `None` makes all of it durable.
    pub(crate) async fn write_remaining(&self, part: Option<Vec<u8>>) -> Result<Result<(), String>, DiskThreadError> {
        self.ask(|reply| Job::Remaining { part, reply }).await
    }

    /// Keeps what a destination refused for good.
    #[cfg_attr(not(feature = "signal-sinks"), allow(dead_code, reason = "only exporters have records refused"))]
    pub(crate) async fn keep_dead_letters(
        &self,
        letters: Vec<DeadLetter>,
    ) -> Result<Result<(), String>, DiskThreadError> {
        self.ask(|reply| Job::DeadLetters { letters, reply }).await
    }

    /// A request that a destination refused.
    #[cfg_attr(not(feature = "signal-sinks"), allow(dead_code, reason = "only exporters have records refused"))]
    pub(crate) async fn read_dead_letter(&self, name: String) -> Result<Result<Vec<u8>, String>, DiskThreadError> {
        self.ask(|reply| Job::ReadDeadLetter { name, reply }).await
    }

    /// Removes a request that a destination refused.
    pub(crate) async fn remove_dead_letter(&self, name: String) -> Result<Result<(), String>, DiskThreadError> {
        self.ask(|reply| Job::RemoveDeadLetter { name, reply }).await
    }

    /// Whether the data directory is where it was; else what is wrong.
    pub(crate) async fn look(&self) -> Result<Option<String>, DiskThreadError> {
        self.ask(|reply| Job::Look { reply }).await
    }

    /// Heads, depths and counts; an error when the disk stalls.
    pub(crate) async fn status(&self) -> Result<DiskStatus, DiskThreadError> {
        let status = self.ask(|reply| Job::Status { reply });
        tokio::time::timeout(PATIENCE, status).await.unwrap_or(Err(DiskThreadError("does not answer: the disk stalls")))
    }

    /// Writes what is open and ends the thread.
    pub(crate) async fn stop(&self) {
        // It has ended when it does not answer any more.
        let _ended = self.ask(|reply| Job::Stop { reply }).await;
    }
}

/// Starts the thread on an open data directory.
pub(crate) fn start<D: Disk + Send + 'static>(disk: DiskState<D>) -> std::io::Result<DiskThread>
where
    D::File: Send,
{
    let (jobs, queue) = mpsc::channel(QUEUE);
    std::thread::Builder::new().name("disk".into()).stack_size(STACK).spawn(move || Worker { disk }.run(queue))?;
    Ok(DiskThread { jobs })
}

struct Worker<D: Disk> {
    disk: DiskState<D>,
}

impl<D: Disk> Worker<D> {
    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut next = None;
        // A reply that nobody waits for any more is no fault.
        while let Some(job) = next.take().or_else(|| queue.blocking_recv()) {
            match job {
                Job::Record(first) => {
                    let mut group = vec![first];
                    while group.len() < GROUP {
                        match queue.try_recv() {
                            Ok(Job::Record(more)) => group.push(more),
                            Ok(other) => {
                                next = Some(other);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    self.record(group);
                }
                Job::Room { lane, bytes, stamp, reply } => {
                    let room = self.disk.make_room(lane, bytes, stamp).map_err(|error| error.to_string());
                    let _heard = reply.send(room);
                }
                Job::Commit { batches, stamp, attachment, reply } => {
                    let _heard = reply.send((self.disk.commit(batches, stamp, &attachment), attachment));
                }
                Job::Next { destination, max, reply } => {
                    let blocks = self.disk.next_blocks(destination, max).unwrap_or_else(|error| {
                        log::error(&format!("cannot read the journal: {error}"));
                        Vec::new()
                    });
                    let _heard = reply.send((blocks, self.disk.take_passed()));
                }
                Job::Confirm { destination, ranges, reply } => {
                    let (records, failed) = self.disk.confirm(destination, &ranges);
                    if let Some(error) = failed {
                        log::error(&format!("cannot note a confirmation: {error}"));
                    }
                    let _heard = reply.send((records, self.disk.backlog(), self.disk.take_passed()));
                }
                Job::Replay { destination, lane, next_expected, reply } => {
                    let again = self.disk.replay(destination, lane, next_expected).unwrap_or_else(|error| {
                        log::error(&format!("cannot send lane {lane} again: {error}"));
                        0
                    });
                    let _heard = reply.send(again);
                }
                Job::Skip { destination, lane, next_expected, digest, reply } => {
                    let skipped = self.disk.skip(destination, lane, next_expected, digest).unwrap_or_else(|error| {
                        log::error(&format!("cannot look at what a destination has of lane {lane}: {error}"));
                        0
                    });
                    let _heard = reply.send((skipped, self.disk.backlog(), self.disk.take_passed()));
                }
                Job::Drop { destination, lane, reply } => {
                    let dropped = self.disk.drop_queue(destination, lane).map_err(|error| error.to_string());
                    let _heard = reply.send(dropped);
                }
                Job::Rewind { destination } => self.disk.rewind(destination),
                Job::SyncCursors => {
                    if let Err(error) = self.disk.sync_cursors() {
                        log::warn(&format!("cursors are not written ({error}): some blocks may be sent again"));
                    }
                }
                Job::DeadLetters { letters, reply } => {
                    let kept = self.disk.keep_dead_letters(&letters).map_err(|error| error.to_string());
                    let _heard = reply.send(kept);
                }
                Job::ReadDeadLetter { name, reply } => {
                    let _heard = reply.send(self.disk.read_dead_letter(&name).map_err(|error| error.to_string()));
                }
                Job::RemoveDeadLetter { name, reply } => {
                    let _heard = reply.send(self.disk.remove_dead_letter(&name).map_err(|error| error.to_string()));
                }
                Job::Remaining { part, reply } => {
                    let written = match part {
                        Some(part) => self.disk.write_remaining(&part),
                        None => self.disk.finish_remaining(),
                    };
                    let _heard = reply.send(written.map_err(|error| error.to_string()));
                }
                Job::Look { reply } => {
                    let _heard = reply.send(self.disk.look().err().map(|error| error.to_string()));
                }
                Job::Status { reply } => {
                    let _heard = reply.send(self.disk.status());
                }
                Job::Stop { reply } => {
                    if let Err(error) = self.disk.sync_cursors() {
                        log::warn(&format!("cursors are not written ({error}): some blocks will be sent again"));
                    }
                    // The directory is free when the answer comes.
                    drop(self);
                    let _heard = reply.send(());
                    return;
                }
            }
        }
    }

    /// Records requests together: one entry, and one sync where one of them asks for it.
    fn record(&mut self, group: Vec<Record>) {
        let requests: Vec<Recording<'_>> = group.iter().map(|one| one.request.recording()).collect();
        let wall_ns = group.last().map_or(0, |one| one.wall_ns);
        let durable = group.iter().any(|one| one.durable);
        let recorded = self.disk.record(&requests, wall_ns, durable).map_err(|error| error.to_string());
        for (place, one) in (0u64..).zip(group) {
            let sequence = recorded.as_ref().map(|first| first + place).map_err(Clone::clone);
            let _heard = one.reply.send((one.request, sequence));
        }
    }
}
