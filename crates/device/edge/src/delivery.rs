//! One task for each consumer: from its cursor to its server, and the confirmation back. What is to be done, and what an answer means,
//! `drain` decides; the task has the socket, the clock and the disk thread.

mod hub;
#[cfg(feature = "signal-sinks")]
mod signal;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use config::Config;
use drain::ExemplarHold;
#[cfg(feature = "signal-sinks")]
use drain::{Delivered, Delivery};
use drain::{Destination, Failure, Pace, Range, SendError, Step, Windows};
use model::Signal;
use sinks::Credentials;
use tokio::sync::{Notify, watch};

use crate::clock::random;
use crate::consumers::Consumer;
use crate::log;
use crate::outlets::{Outlet, Sink};
use crate::shared::{Shared, disk_error};

/// At most so many bytes of blocks go to a hub in one request.
const HUB_REQUEST_BYTES: usize = 256 << 10;
/// So many bytes of blocks are read for a signal at once; each block goes by itself.
const SIGNAL_REQUEST_BYTES: usize = 64 << 10;

/// How often the cursor of a destination that cannot tell what comes twice is written, at most, while all is well.
const SAVE_EVERY: Duration = Duration::from_secs(10);

/// So long a task sleeps at most before it looks at the clock again.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// How many bytes of blocks a consumer reads at once.
pub(crate) fn request_bytes(consumer: &Consumer) -> usize {
    if consumer.signal.is_some() { SIGNAL_REQUEST_BYTES } else { HUB_REQUEST_BYTES }
}

/// Where each consumer puts exemplars of confirmed traces, or takes them from for its points. They follow their traces within a
/// destination; one that takes points and no traces gets those of the first that takes traces.
pub(crate) fn exemplar_holds(config: &Config, consumers: &[Consumer]) -> Vec<Option<ExemplarHold>> {
    let takes = |destination: usize, signal| {
        consumers.iter().any(|one| one.destination == destination && one.signal == Some(signal))
    };
    let from = consumers.iter().find(|one| one.signal == Some(Signal::Traces)).map(|one| one.destination);
    let mut holds: Vec<Option<ExemplarHold>> = vec![None; consumers.len()];
    for destination in 0..config.destinations.len() {
        let Some(from) = Some(destination).filter(|one| takes(*one, Signal::Traces)).or(from) else { continue };
        let Some(points) =
            consumers.iter().position(|one| one.destination == destination && one.signal == Some(Signal::Metrics))
        else {
            continue;
        };
        let traces = consumers.iter().position(|one| one.destination == from && one.signal == Some(Signal::Traces));
        // A trace's exemplars go to one destination's points.
        if let Some(traces) = traces.filter(|traces| holds[*traces].is_none()) {
            let hold = ExemplarHold::default();
            (holds[traces], holds[points]) = (Some(hold.clone()), Some(hold));
        }
    }
    holds
}

/// The task of one consumer.
pub(crate) struct DrainTask {
    index: usize,
    name: String,
    request_bytes: usize,
    sink: Sink,
    credentials: Rc<Credentials>,
    /// How many changes of its files it knows of.
    changes: u64,
    wake: Rc<Notify>,
    shared: Rc<Shared>,
    /// Blocks on their way, of a consumer of one signal.
    #[cfg(feature = "signal-sinks")]
    delivery: Option<Delivery>,
    /// Exemplars that wait for points, of a consumer of metrics.
    #[cfg_attr(not(feature = "signal-sinks"), allow(dead_code, reason = "a hub takes them with their traces"))]
    exemplars: Option<ExemplarHold>,
    /// Whether something was confirmed since cursors were written, and when that was.
    moved: Cell<bool>,
    saved_ns: u64,
    /// How fast it may be sent to.
    pace: Option<Pace>,
    /// When it may be sent to.
    windows: Windows,
    /// How old what it is sent may be.
    #[cfg_attr(not(feature = "signal-sinks"), allow(dead_code, reason = "a hub takes everything"))]
    max_age: Option<Duration>,
    /// What was decided of a block and could not be booked.
    #[cfg(feature = "signal-sinks")]
    unbooked: Option<(Range, Delivered)>,
}

impl DrainTask {
    /// The task of the consumer at this position; `wake` tells it of new blocks. `exemplars`: see [`exemplar_holds`].
    pub(crate) fn new(
        shared: &Rc<Shared>,
        (index, consumer): (usize, &Consumer),
        outlet: Outlet,
        wake: Rc<Notify>,
        exemplars: Option<ExemplarHold>,
    ) -> Self {
        Self {
            index,
            name: consumer.name.clone(),
            request_bytes: request_bytes(consumer),
            sink: outlet.sink,
            credentials: outlet.credentials,
            changes: 0,
            wake,
            shared: Rc::clone(shared),
            moved: Cell::new(false),
            saved_ns: 0,
            pace: outlet.pace,
            windows: outlet.windows,
            max_age: outlet.max_age,
            #[cfg(feature = "signal-sinks")]
            delivery: consumer.signal.map(|signal| Delivery::new(signal, exemplars.clone()).with_only(outlet.only)),
            exemplars: exemplars.filter(|_| consumer.signal == Some(Signal::Metrics)),
            #[cfg(feature = "signal-sinks")]
            unbooked: None,
        }
    }

    /// Delivers until the program ends.
    pub(crate) async fn run(mut self) {
        let mut leaving = self.shared.leaving.subscribe();
        loop {
            if *leaving.borrow_and_update() {
                // Whom it does not reach now it would not reach in a second either.
                if self.with(|one| one.is_greeted()) {
                    self.goodbye().await;
                }
                return;
            }
            if !self.wait_for_pace(&mut leaving).await || !self.wait_for_window(&mut leaving).await {
                continue;
            }
            let turn = self.turn().await;
            self.tell_files();
            match turn {
                Ok(true) => {
                    self.up(Destination::answered);
                    self.with(Destination::turned);
                }
                Ok(false) => {
                    self.save_cursor(false).await;
                    let rest = self.with(|one| {
                        one.turned();
                        one.rest()
                    });
                    // Woken or not, the next turn looks for blocks.
                    tokio::select! {
                        _woken = tokio::time::timeout(rest, self.wake.notified()) => {}
                        () = self.shared.destinations.resumed(self.index) => {}
                        _leaving = leaving.changed() => {}
                    }
                }
                Err(error) => {
                    self.shared.disk.rewind(self.index).await;
                    self.save_cursor(true).await;
                    let wait = self.failed(&error);
                    let by_operator = tokio::select! {
                        () = tokio::time::sleep(wait) => false,
                        () = self.shared.destinations.resumed(self.index) => true,
                        _leaving = leaving.changed() => false,
                    };
                    self.with(|one| one.waited(by_operator));
                }
            }
        }
    }

    /// Waits as long as its bound of bytes a second asks; false when the program ends meanwhile.
    async fn wait_for_pace(&self, leaving: &mut watch::Receiver<bool>) -> bool {
        let wait = self.pace.map_or(Duration::ZERO, |pace| pace.wait(self.shared.clock.now_ns()));
        if wait.is_zero() {
            return true;
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => true,
            _leaving = leaving.changed() => false,
        }
    }

    /// Waits for the part of the day in which it may be sent to, or for an operator; false when it is to be asked again.
    async fn wait_for_window(&mut self, leaving: &mut watch::Receiver<bool>) -> bool {
        let wall_ns = self.shared.clock.wall_ns();
        let wait = self.windows.wait(wall_ns);
        let at_ns = Some(wall_ns.saturating_add(wait.as_nanos() as u64)).filter(|_| !wait.is_zero());
        self.with(|one| one.window(at_ns));
        if wait.is_zero() {
            return true;
        }
        tokio::select! {
            // The clock may be set meanwhile.
            () = tokio::time::sleep(wait.min(LONGEST_SLEEP)) => {}
            () = self.shared.destinations.resumed(self.index) => self.windows.open(wall_ns),
            _leaving = leaving.changed() => {}
        }
        false
    }

    /// One turn; false when there was nothing to send.
    async fn turn(&mut self) -> Result<bool, SendError> {
        loop {
            match self.with(|one| one.step(self.shared.clock.now_ns())) {
                Step::Greet => {
                    self.greet().await?;
                    let now = self.shared.clock.now_ns();
                    self.up(|one| one.greeted(now));
                }
                Step::Rest => return Ok(false),
                Step::Deliver => break,
            }
        }
        #[cfg(feature = "signal-sinks")]
        if self.retry_letter().await? {
            return Ok(true);
        }
        let (mut blocks, passed) =
            self.shared.disk.next_blocks(self.index, self.request_bytes).await.map_err(disk_error)?;
        self.shared.book_passed(&passed);
        if blocks.is_empty() {
            #[cfg(feature = "signal-sinks")]
            if let Sink::Exporter(sink) = &mut self.sink {
                sink.rest();
            }
            return Ok(false);
        }
        let bytes: usize = blocks.iter().map(|block| block.bytes.len()).sum();
        if let Some(pace) = &mut self.pace {
            pace.sent(bytes as u64, self.shared.clock.now_ns());
        }
        match &mut self.sink {
            Sink::Hub(_) => self.deliver_hub(&mut blocks).await?,
            #[cfg(feature = "signal-sinks")]
            Sink::Exporter(_) => {
                for block in blocks {
                    self.deliver_signal(block).await?;
                }
            }
        }
        Ok(true)
    }

    /// Whatever was tried last was answered; `tell` says whether it was not up before.
    fn up(&self, tell: impl FnOnce(&mut Destination) -> bool) {
        if self.with(tell) {
            let (kind, now) = (format!("{} up", self.name), self.shared.clock.now_ns());
            log::info_limited(&kind, now, &format!("destination {}: connected", self.name));
        }
    }

    /// What was tried last failed: for how long to wait. It is told when it is of another kind than before, and not again and again.
    fn failed(&self, error: &SendError) -> Duration {
        let wall_ns = self.shared.clock.wall_ns();
        let Failure { wait, state, is_news } = self.with(|one| one.failed(error, wall_ns, random()));
        if is_news {
            let kind = format!("{} {} {}", self.name, state.name(), error.reason());
            let text = format!("destination {}: {error}; nothing is lost, trying again", self.name);
            log::warn_limited(&kind, self.shared.clock.now_ns(), &text);
        }
        wait
    }

    /// Tells of files that were found changed, once for the destination: they are in use now, or why they cannot be.
    fn tell_files(&mut self) {
        let changes = self.credentials.changes();
        if self.changes == changes {
            return;
        }
        self.changes = changes;
        let faults = self.credentials.faults();
        let destination = self.with(|one| {
            one.stale_files(&faults);
            one.status().destination.clone()
        });
        if !self.credentials.is_news() {
            return;
        }
        match faults.is_empty() {
            true => log::info(&format!(
                "destination {destination}: its files changed on disk, and are in use as they are now"
            )),
            false => log::error(&format!(
                "destination {destination}: files changed on disk, and what was read before is used on: {faults}"
            )),
        }
    }

    /// Moves the destination's cursor, and books what the journal says is new, so many of it as rejected, and so many as of signals that it
    /// does not take; gives the number of records.
    async fn confirm(&self, ranges: Vec<Range>, rejected: u64, skipped: u64) -> Result<u64, SendError> {
        let (records, backlog, passed) = self.shared.disk.confirm(self.index, ranges).await.map_err(disk_error)?;
        self.shared.book_passed(&passed);
        self.moved.set(true);
        self.shared.set_backlog(backlog);
        self.shared.pipeline.borrow_mut().books_mut().confirmed(&self.name, records, rejected, skipped);
        Ok(records)
    }

    /// Has the cursor written where the destination cannot tell what comes twice: every few seconds, and when the link is lost.
    async fn save_cursor(&mut self, now: bool) {
        let now_ns = self.shared.clock.now_ns();
        let is_due = now || now_ns.saturating_sub(self.saved_ns) >= SAVE_EVERY.as_nanos() as u64;
        if matches!(self.sink, Sink::Hub(_)) || !self.moved.get() || !is_due {
            return;
        }
        self.moved.set(false);
        self.saved_ns = now_ns;
        self.shared.disk.sync_cursors().await;
    }

    /// What is known of the destination.
    fn with<T>(&self, each: impl FnOnce(&mut Destination) -> T) -> T {
        self.shared.destinations.with(self.index, each)
    }
}
