//! A bounded queue of batches for one signal, and the task that hands them over in order, each until it is taken.

use crate::otlp::client::{Answer, Client, Protocol, Target};
use crate::rng::Rng;
use anyhow::{Result, anyhow};
use bytes::Bytes;
use model::Signal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

/// Batches that may wait; then whoever makes them waits.
const QUEUE: usize = 16;
/// First and longest wait between two attempts.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// What became of the records of one signal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Records that the receiver took.
    pub(crate) taken: u64,
    /// Records that it said it would never take, or that were given up after too many attempts.
    pub(crate) not_taken: u64,
    /// Attempts after the first one.
    pub(crate) retries: u64,
    /// What the receiver said last when it did not take something.
    pub(crate) last_refusal: Option<String>,
}

enum Job {
    Batch { body: Bytes, records: u64 },
    Barrier(oneshot::Sender<()>),
}

/// The near end of the queue.
pub(crate) struct Pipe {
    jobs: mpsc::Sender<Job>,
    tally: Arc<Mutex<Tally>>,
}

impl Pipe {
    /// Starts the task. A batch is given up when it was not taken within `patience`. `seed` makes the idempotency keys.
    pub(crate) fn start(protocol: Protocol, signal: Signal, target: Target, patience: Duration, seed: u64) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let tally = Arc::new(Mutex::new(Tally::default()));
        let client = Client::new(protocol, signal, target);
        let keys = Rng::new(seed, u64::MAX - signal as u64);
        tokio::spawn(run(client, queue, Arc::clone(&tally), patience, keys));
        Self { jobs, tally }
    }

    /// Queues one encoded request; waits while the queue is full.
    pub(crate) async fn send(&self, body: Bytes, records: u64) -> Result<()> {
        self.jobs.send(Job::Batch { body, records }).await.map_err(|_| anyhow!("the exporter has ended"))
    }

    /// Whether [`Pipe::send`] would wait now.
    pub(crate) fn is_full(&self) -> bool {
        self.jobs.capacity() == 0
    }

    /// Waits until everything queued so far was taken or given up.
    pub(crate) async fn settled(&self) -> Result<()> {
        let (reached, wait) = oneshot::channel();
        self.jobs.send(Job::Barrier(reached)).await.map_err(|_| anyhow!("the exporter has ended"))?;
        wait.await.map_err(|_| anyhow!("the exporter has ended"))
    }

    /// What became of the records so far; goes on being counted.
    pub(crate) fn tally(&self) -> Arc<Mutex<Tally>> {
        Arc::clone(&self.tally)
    }
}

async fn run(
    mut client: Client,
    mut queue: mpsc::Receiver<Job>,
    tally: Arc<Mutex<Tally>>,
    patience: Duration,
    mut keys: Rng,
) {
    let note = |change: &mut dyn FnMut(&mut Tally)| change(&mut tally.lock().unwrap_or_else(PoisonError::into_inner));
    while let Some(job) = queue.recv().await {
        let (body, records) = match job {
            Job::Batch { body, records } => (body, records),
            Job::Barrier(reached) => {
                // Whoever waited may have gone.
                let _ = reached.send(());
                continue;
            }
        };
        let key = format!("{:016x}{:016x}", keys.bits(), keys.bits());
        let deadline = Instant::now() + patience;
        let mut backoff = BACKOFF.0;
        loop {
            match client.send(&body, Some(&key)).await {
                Answer::Taken(0, _) => note(&mut |tally| tally.taken += records),
                Answer::Taken(rejected, why) => note(&mut |tally| {
                    tally.taken += records.saturating_sub(rejected);
                    tally.not_taken += rejected;
                    tally.last_refusal = Some(why.clone());
                }),
                Answer::Refused(why) => note(&mut |tally| {
                    tally.not_taken += records;
                    tally.last_refusal = Some(why.clone());
                }),
                again @ (Answer::Later(..) | Answer::Unreachable(_) | Answer::Lost(_)) => {
                    let (wait, why) = again.later();
                    // Full jitter, so that the three signals do not come back in step.
                    let wait = wait.unwrap_or_else(|| backoff.mul_f64(keys.unit()));
                    let patient = Instant::now() + wait < deadline;
                    note(&mut |tally| {
                        tally.retries += u64::from(patient);
                        tally.not_taken += if patient { 0 } else { records };
                        tally.last_refusal = Some(why.clone());
                    });
                    if patient {
                        sleep(wait).await;
                        backoff = (backoff * 2).min(BACKOFF.1);
                        continue;
                    }
                }
            }
            break;
        }
    }
}
