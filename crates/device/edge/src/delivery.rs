//! One task per destination: from its cursor to its server, and the confirmation back. What is to be done, and what an answer means,
//! `drain` decides; the task has the socket, the clock and the disk thread.

mod hub;
#[cfg(feature = "sink-otlp")]
mod otlp;

use std::rc::Rc;

#[cfg(feature = "sink-otlp")]
use drain::{Delivered, Delivery};
use drain::{Destination, Failure, Range, SendError, Step};
use sinks::HubSink;
#[cfg(feature = "sink-otlp")]
use sinks::OtlpSink;
use tokio::sync::Notify;

use crate::clock::random;
use crate::log;
use crate::shared::{Shared, disk_error};

/// At most so many bytes of blocks go in one request to a hub.
pub(crate) const REQUEST_BYTES: usize = 256 << 10;
/// At most so many bytes of blocks wait while the first of them goes to an OTLP endpoint, which gets one after the other.
#[cfg(feature = "sink-otlp")]
const AHEAD_BYTES: usize = 64 << 10;

/// The protocol of a destination.
pub(crate) enum Sink {
    Hub(HubSink),
    #[cfg(feature = "sink-otlp")]
    Otlp(Box<OtlpSink>),
}

/// The task of one destination.
pub(crate) struct DrainTask {
    index: usize,
    name: String,
    sink: Sink,
    wake: Rc<Notify>,
    shared: Rc<Shared>,
    /// Blocks on their way to an OTLP endpoint.
    #[cfg(feature = "sink-otlp")]
    delivery: Delivery,
    /// What was decided of a block and could not be booked.
    #[cfg(feature = "sink-otlp")]
    unbooked: Option<(Range, Delivered)>,
}

impl DrainTask {
    /// The task of the destination at this position; `wake` tells it of new blocks.
    pub(crate) fn new(shared: &Rc<Shared>, index: usize, name: &str, sink: Sink, wake: Rc<Notify>) -> Self {
        Self {
            index,
            name: name.to_owned(),
            sink,
            wake,
            shared: Rc::clone(shared),
            #[cfg(feature = "sink-otlp")]
            delivery: Delivery::default(),
            #[cfg(feature = "sink-otlp")]
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
            match self.turn().await {
                Ok(true) => {
                    self.up(Destination::answered);
                    self.with(Destination::turned);
                }
                Ok(false) => {
                    let rest = self.with(|one| {
                        one.turned();
                        one.rest()
                    });
                    // Woken or not, the next turn looks for blocks.
                    tokio::select! {
                        _woken = tokio::time::timeout(rest, self.wake.notified()) => {}
                        _leaving = leaving.changed() => {}
                    }
                }
                Err(error) => {
                    self.shared.disk.rewind(self.index).await;
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
        let most = match &self.sink {
            Sink::Hub(_) => REQUEST_BYTES,
            #[cfg(feature = "sink-otlp")]
            Sink::Otlp(_) => AHEAD_BYTES,
        };
        let mut blocks = self.shared.disk.next_blocks(self.index, most).await.map_err(disk_error)?;
        if blocks.is_empty() {
            #[cfg(feature = "sink-otlp")]
            if let Sink::Otlp(sink) = &mut self.sink {
                sink.rest();
            }
            return Ok(false);
        }
        match &mut self.sink {
            Sink::Hub(_) => self.deliver_hub(&mut blocks).await?,
            #[cfg(feature = "sink-otlp")]
            Sink::Otlp(_) => {
                for block in blocks {
                    self.deliver_otlp(block).await?;
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
    fn failed(&self, error: &SendError) -> std::time::Duration {
        let wall_ns = self.shared.clock.wall_ns();
        let Failure { wait, state, is_news } = self.with(|one| one.failed(error, wall_ns, random()));
        if is_news {
            let kind = format!("{} {} {}", self.name, state.name(), error.reason());
            let text = format!("destination {}: {error}; nothing is lost, trying again", self.name);
            log::warn_limited(&kind, self.shared.clock.now_ns(), &text);
        }
        wait
    }

    /// Moves the destination's cursor, and books what the journal says is new, so many of it as rejected; gives the number of records.
    async fn confirm(&self, ranges: Vec<Range>, rejected: u64) -> Result<u64, SendError> {
        let (records, backlog) = self.shared.disk.confirm(self.index, ranges).await.map_err(disk_error)?;
        self.shared.set_backlog(backlog);
        self.shared.pipeline.borrow_mut().books_mut().confirmed(&self.name, records, rejected);
        Ok(records)
    }

    /// What is known of the destination.
    fn with<T>(&self, each: impl FnOnce(&mut Destination) -> T) -> T {
        self.shared.destinations.with(self.index, each)
    }
}
