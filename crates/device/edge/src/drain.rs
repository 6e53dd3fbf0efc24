//! One task per destination: from its cursor to its server, and the confirmation back.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use journal::StoredBlock;
use link::Outcome;
use model::Lane;
use model::Refusal;
#[cfg(feature = "sink-otlp")]
use sinks::OtlpSink;
use sinks::{HubSink, RetryAfter, SinkError};
use tokio::sync::{Notify, watch};

use crate::clock::{Backoff, Clock, random};
use crate::commits::Commits;
use crate::destination_status::{DestinationStatus, LinkState};
use crate::disk_state::Range;
use crate::disk_thread::{DiskThread, DiskThreadError};
use crate::gate::Gate;
use crate::greeting::{Greeting, goodbye, hello};
use crate::log;
use crate::memory::ProgramPages;
use pipeline::Pipeline;

/// Before a request of so many bytes, code pages are given back: it needs the memory more than they do.
pub(crate) const LARGE_REQUEST: usize = 64 << 10;
/// At most so many bytes of blocks go in one request.
pub(crate) const REQUEST_BYTES: usize = 256 << 10;
/// How long a drain looks for new blocks by itself when nobody wakes it.
#[cfg(feature = "sink-otlp")]
const IDLE: Duration = Duration::from_secs(30);

/// What a drain shares with the rest of the program.
pub(crate) struct Shared {
    pub(crate) device: String,
    pub(crate) clock: Clock,
    pub(crate) disk: DiskThread,
    /// The program's own code, given back where memory is needed for data.
    pub(crate) pages: ProgramPages,
    pub(crate) pipeline: Rc<RefCell<Pipeline>>,
    /// Wall time up to which everything that came in is committed: for lanes without decisions, and for traces.
    pub(crate) watermarks: Cell<(u64, u64)>,
    pub(crate) destinations: RefCell<Vec<DestinationStatus>>,
    /// The destination that wants an incident window open.
    pub(crate) incident_by: Cell<Option<usize>>,
    pub(crate) commits: Commits,
    /// After how long what comes in is committed and decided, whatever it is, as configured.
    pub(crate) settles: Duration,
    /// Where requests come in.
    pub(crate) gate: Rc<Gate>,
    /// The program ends: drains say goodbye.
    pub(crate) leaving: watch::Sender<bool>,
    /// A hub wants a new epoch.
    pub(crate) new_epoch: Notify,
    /// Whether this is the first life of the program, in which one may begin at once.
    pub(crate) first_life: bool,
}

/// How long a life that began with a new epoch goes on before another one may begin: who takes its identities again and again
/// must not keep it from its work.
const RENEW_AGAIN: Duration = Duration::from_secs(30);

impl Shared {
    /// Waits until everything that is ready now is durable.
    pub(crate) async fn all_settled(&self) {
        let ticket = self.pipeline.borrow().ticket();
        self.commits.settled(ticket).await;
    }

    /// Whether a new epoch may begin now.
    pub(crate) fn may_renew(&self) -> bool {
        self.first_life || u128::from(self.clock.now_ns()) >= RENEW_AGAIN.as_nanos()
    }

    /// Pauses or resumes a destination; false when there is none of this name.
    pub(crate) fn pause(&self, name: &str, paused: bool) -> bool {
        let mut destinations = self.destinations.borrow_mut();
        let Some(destination) = destinations.iter_mut().find(|one| one.name == name) else { return false };
        destination.paused = paused;
        if !paused {
            destination.resumed.notify_one();
        }
        log::info(&format!("destination {name}: {} by an operator", if paused { "paused" } else { "resumed" }));
        true
    }

    /// Tells the pipeline what each lane has on disk that some destination has not confirmed, by the lane's number.
    pub(crate) fn set_backlog(&self, bytes: [u64; Lane::ALL.len()]) {
        let changed = self.pipeline.borrow_mut().set_backlog(bytes);
        for one in changed {
            let (lane, waiting) = (one.lane, one.backlog / 1024);
            match one.raised {
                true => log::warn(&format!(
                    "lane {lane}: {waiting} KiB wait to be delivered, above its high watermark; producers of it are told to \
                     wait until it is below {} KiB",
                    one.marks.low / 1024
                )),
                false => log::info(&format!("lane {lane}: {waiting} KiB wait to be delivered; it is taken again")),
            }
        }
    }

    fn is_paused(&self, index: usize) -> bool {
        self.destinations.borrow().get(index).is_some_and(|destination| destination.paused)
    }
}

/// The protocol of a destination.
pub(crate) enum Sink {
    Hub {
        sink: HubSink,
        heartbeat: Duration,
    },
    #[cfg(feature = "sink-otlp")]
    Otlp(Box<OtlpSink>),
}

/// The drain of one destination.
pub(crate) struct Drain {
    pub(crate) index: usize,
    pub(crate) name: String,
    pub(crate) sink: Sink,
    pub(crate) max_backoff: Duration,
    pub(crate) wake: Rc<Notify>,
    pub(crate) shared: Rc<Shared>,
    /// What was decided of a block and could not be booked.
    #[cfg(feature = "sink-otlp")]
    pub(crate) unbooked: Option<((Lane, u64, u64), sinks::Delivered)>,
}

impl Drain {
    /// Delivers until the program ends.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::new(self.max_backoff);
        let mut last_hello: Option<u64> = None;
        let mut leaving = self.shared.leaving.subscribe();
        let resumed =
            self.shared.destinations.borrow().get(self.index).map(|one| Rc::clone(&one.resumed)).unwrap_or_default();
        loop {
            if *leaving.borrow_and_update() {
                // Whom it does not reach now it would not reach in a second either.
                if last_hello.is_some() {
                    self.goodbye().await;
                }
                return;
            }
            let turn = self.turn(&mut last_hello).await;
            match turn {
                Ok(true) => {
                    self.up();
                    backoff.reset();
                }
                Ok(false) => {
                    backoff.reset();
                    let idle = match &self.sink {
                        Sink::Hub { heartbeat, .. } => *heartbeat,
                        #[cfg(feature = "sink-otlp")]
                        Sink::Otlp(_) => IDLE,
                    };
                    // Woken or not, the next turn looks for blocks.
                    tokio::select! {
                        _woken = tokio::time::timeout(idle, self.wake.notified()) => {}
                        _leaving = leaving.changed() => {}
                    }
                }
                Err(error) => {
                    last_hello = None;
                    self.shared.disk.rewind(self.index).await;
                    let state = match &error {
                        SinkError::Retry { .. } => LinkState::Backoff,
                        SinkError::Blocked { .. } | SinkError::Rejected { .. } => LinkState::Blocked,
                    };
                    self.failed(state, &error);
                    let wait = match state {
                        LinkState::Blocked => self.max_backoff,
                        _ => backoff.next(self.asked(&error), random()),
                    };
                    let at_ns = self.shared.clock.wall_ns().saturating_add(wait.as_nanos() as u64);
                    self.with_status(|status| status.retry_at_ns = Some(at_ns));
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        // An operator wants to see it tried now.
                        () = resumed.notified() => backoff.reset(),
                        _leaving = leaving.changed() => {}
                    }
                    self.with_status(|status| status.retry_at_ns = None);
                }
            }
        }
    }

    /// Tells a hub that the silence from now on is meant.
    async fn goodbye(&mut self) {
        #[cfg_attr(not(feature = "sink-otlp"), allow(irrefutable_let_patterns, reason = "the only sink of this build"))]
        if let Sink::Hub { sink, heartbeat } = &mut self.sink
            && let Err(error) = goodbye(&self.shared, sink, *heartbeat).await
        {
            log::info(&format!("destination {}: it could not be told that the agent stops: {error}", self.name));
        }
    }

    /// Sends once; false when there was nothing to send.
    async fn turn(&mut self, last_hello: &mut Option<u64>) -> Result<bool, SinkError> {
        let now = self.shared.clock.now_ns();
        #[cfg_attr(not(feature = "sink-otlp"), allow(irrefutable_let_patterns, reason = "the only sink of this build"))]
        if let Sink::Hub { sink, heartbeat } = &mut self.sink {
            let due = last_hello.is_none_or(|last| now.saturating_sub(last) >= heartbeat.as_nanos() as u64);
            if due {
                let greeting = Greeting { shared: &self.shared, index: self.index, name: &self.name };
                hello(&greeting, sink, *heartbeat).await?;
                *last_hello = Some(now);
                self.up();
            }
        }
        // The hub is still greeted, so that it knows what is held here.
        if self.shared.is_paused(self.index) {
            return Ok(false);
        }
        let mut blocks = self.shared.disk.next_blocks(self.index, REQUEST_BYTES).await.map_err(disk_error)?;
        if blocks.is_empty() {
            return Ok(false);
        }
        match &mut self.sink {
            Sink::Hub { sink, .. } => {
                let sizes: Vec<usize> = blocks.iter().map(|block| block.bytes.len()).collect();
                let request = joined(&mut blocks);
                if request.len() >= LARGE_REQUEST {
                    self.shared.pages.give_back();
                }
                let ack = sink.deliver(request).await?;
                self.confirm_hub(&blocks, &sizes, &ack).await?;
            }
            #[cfg(feature = "sink-otlp")]
            Sink::Otlp(_) => {
                for block in &blocks {
                    self.deliver_otlp(block).await?;
                }
            }
        }
        Ok(true)
    }

    /// `sizes` are the blocks' bytes, which have been sent.
    async fn confirm_hub(
        &self,
        blocks: &[StoredBlock],
        sizes: &[usize],
        ack: &link::BlocksAck,
    ) -> Result<(), SinkError> {
        let mut confirmed = Vec::with_capacity(blocks.len());
        let (mut quarantined, mut unreadable) = (Vec::new(), Vec::new());
        let (mut unconfirmed, mut bytes) = (0, 0);
        for (block, size) in blocks.iter().zip(sizes) {
            let answer = ack
                .blocks
                .iter()
                .find(|one| one.lane() == Some(block.lane) && (one.first, one.last) == (block.first, block.last));
            match answer.map(|one| one.outcome) {
                Some(Outcome::Stored | Outcome::Duplicate) => {}
                Some(Outcome::Quarantined) => {
                    quarantined.push(range_of(block));
                    continue;
                }
                Some(Outcome::Unreadable) => {
                    unreadable.push(range_of(block));
                    continue;
                }
                Some(Outcome::Corrupt) | None => {
                    unconfirmed += 1;
                    continue;
                }
            }
            confirmed.push(range_of(block));
            bytes += size;
        }
        confirm(&self.shared, self.index, &self.name, confirmed, 0).await?;
        delivered_to(&self.shared, self.index, bytes);
        if !unreadable.is_empty() {
            self.unreadable(unreadable).await?;
        }
        if let Some(first) = quarantined.first() {
            return Err(self.quarantined(first));
        }
        if unconfirmed > 0 {
            let why = format!("the hub could not read {unconfirmed} of {} blocks", blocks.len());
            return Err(SinkError::retry(Refusal::Damaged, why));
        }
        Ok(())
    }

    /// The hub cannot read these, or they are more than it takes: it keeps them aside, and tells of them as lost.
    async fn unreadable(&self, ranges: Vec<Range>) -> Result<(), SinkError> {
        let first = ranges.first().map_or(String::new(), named);
        let records = confirm(&self.shared, self.index, &self.name, ranges, u64::MAX).await?;
        let words = format!("put aside, from {first} on");
        self.with_status(|status| status.reject(Refusal::Quarantined, records, &words));
        let (kind, now) = (format!("{} put aside", self.name), self.shared.clock.now_ns());
        log::error_limited(
            &kind,
            now,
            &format!(
                "destination {}: the hub put {records} records aside (from {first} on): it cannot read them, or they are more \
                 than it takes",
                self.name
            ),
        );
        Ok(())
    }

    /// The hub has other content under these identities: a copy of the data directory went another way under the same epoch, or
    /// somebody took its name. The cursor stays, and what it is at goes out again under a new epoch.
    fn quarantined(&self, first: &Range) -> SinkError {
        let why = format!(
            "the hub has other content under {}: a copy of this data directory is in use elsewhere under the same epoch; \
             the hub keeps both, and nothing is confirmed; ",
            named(first)
        );
        if self.shared.may_renew() {
            self.shared.new_epoch.notify_one();
            return SinkError::retry(Refusal::Quarantined, format!("{why}a new epoch begins"));
        }
        SinkError::retry(Refusal::Quarantined, format!("{why}a new epoch begins a while after the last one"))
    }

    /// Whatever was tried last was answered.
    fn up(&self) {
        self.with_status(|status| {
            if status.state != LinkState::Up {
                let (kind, now) = (format!("{} up", self.name), self.shared.clock.now_ns());
                log::info_limited(&kind, now, &format!("destination {}: connected", self.name));
            }
            status.state = LinkState::Up;
            status.last_reason = None;
            status.last_error.clear();
        });
    }

    /// What was tried last failed. It is told when it is of another kind than before, and not again and again.
    fn failed(&self, state: LinkState, error: &SinkError) {
        let reason = error.reason();
        self.with_status(|status| {
            if (status.state, status.last_reason) != (state, Some(reason)) {
                let (kind, now) = (format!("{} {} {reason}", self.name, state.name()), self.shared.clock.now_ns());
                log::warn_limited(
                    &kind,
                    now,
                    &format!("destination {}: {error}; nothing is lost, trying again", self.name),
                );
            }
            status.failures += 1;
            status.failed.add(reason, 1);
            status.state = state;
            status.last_reason = Some(reason);
            status.last_error = error.to_string();
        });
    }

    pub(crate) fn with_status(&self, change: impl FnOnce(&mut DestinationStatus)) {
        if let Some(status) = self.shared.destinations.borrow_mut().get_mut(self.index) {
            change(status);
        }
    }

    /// The wait that the server asked for.
    fn asked(&self, error: &SinkError) -> Option<Duration> {
        match error {
            SinkError::Retry { after: Some(RetryAfter::In(wait)), .. } => Some(*wait),
            SinkError::Retry { after: Some(RetryAfter::At(at)), .. } => {
                Some(Duration::from_secs(at.saturating_sub(self.shared.clock.wall_ns() / 1_000_000_000)))
            }
            _ => None,
        }
    }
}

/// Moves a destination's cursor, and books what the journal says is new; gives the number of its records.
pub(crate) async fn confirm(
    shared: &Shared,
    index: usize,
    name: &str,
    ranges: Vec<Range>,
    rejected: u64,
) -> Result<u64, SinkError> {
    let (records, backlog) = shared.disk.confirm(index, ranges).await.map_err(disk_error)?;
    shared.set_backlog(backlog);
    shared.pipeline.borrow_mut().books_mut().confirmed(name, records, rejected);
    Ok(records)
}

pub(crate) fn delivered_to(shared: &Shared, index: usize, bytes: usize) {
    if let Some(status) = shared.destinations.borrow_mut().get_mut(index) {
        status.delivered_bytes += bytes as u64;
    }
}

/// The bytes of all blocks, moved out of them: a large block is never in memory twice.
fn joined(blocks: &mut [StoredBlock]) -> Vec<u8> {
    if let [block] = blocks {
        return std::mem::take(&mut block.bytes);
    }
    let mut request = Vec::with_capacity(blocks.iter().map(|block| block.bytes.len()).sum());
    for block in blocks {
        request.append(&mut block.bytes);
        block.bytes = Vec::new();
    }
    request
}

pub(crate) fn range_of(block: &StoredBlock) -> Range {
    Range { lane: block.lane, first: block.first, last: block.last }
}

pub(crate) fn disk_error(error: DiskThreadError) -> SinkError {
    SinkError::retry(Refusal::Cancelled, error.to_string())
}

fn named(range: &Range) -> String {
    format!("{} {}-{}", range.lane, range.first, range.last)
}
