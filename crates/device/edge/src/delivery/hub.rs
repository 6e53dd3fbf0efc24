//! Greeting a hub, doing what it asks for, and sending it blocks.

use drain::{Device, Wish, hello, quarantined, sort_ack, unconfirmed, wants_new_epoch, wishes};
use drain::{Range, SendError};
use journal::StoredBlock;
use link::Hello;
use model::{Lane, Refusal};

use crate::log;
use crate::shared::{LARGE_REQUEST, disk_error};

use super::{DrainTask, Sink};

impl DrainTask {
    /// What this device says to the hub now.
    async fn hello(&self, stops: bool) -> Result<Hello, SendError> {
        let shared = &self.shared;
        let state = shared.disk_status().await.map_err(disk_error)?;
        let (committed_to_ns, decided_to_ns) = shared.watermarks.get();
        let device = Device {
            name: &shared.device,
            version: env!("CARGO_PKG_VERSION"),
            epoch: state.epoch,
            stamp: shared.clock.stamp(),
            lanes: &state.heads,
            committed_to_ns,
            decided_to_ns,
            settles: shared.settles,
        };
        Ok(hello(&device, self.with(|one| one.rest()), stops))
    }

    /// Tells a hub that the silence from now on is meant: all that was taken in is on disk.
    pub(super) async fn goodbye(&mut self) {
        let told = match self.hello(true).await {
            Ok(message) => match &mut self.sink {
                Sink::Hub(sink) => sink.hello(&message).await.map(drop),
                #[cfg(feature = "signal-sinks")]
                Sink::Exporter(_) => Ok(()),
            },
            Err(error) => Err(error),
        };
        if let Err(error) = told {
            log::info(&format!("destination {}: it could not be told that the agent stops: {error}", self.name));
        }
    }

    /// Greets the hub, and does what it asks for.
    pub(super) async fn greet(&mut self) -> Result<(), SendError> {
        let message = self.hello(false).await?;
        let answer = match &mut self.sink {
            Sink::Hub(sink) => sink.hello(&message).await?,
            #[cfg(feature = "signal-sinks")]
            Sink::Exporter(_) => return Ok(()),
        };
        let shared = &self.shared;
        if let Some(for_ns) = shared.destinations.incident(self.index, answer.incident_s) {
            shared.pipeline.borrow_mut().set_remote_incident(for_ns, shared.clock.now_ns());
        }
        let mut again = 0;
        for wish in wishes(&answer) {
            match wish {
                Wish::Skip { lane, next_expected, digest } => self.skip(lane, next_expected, digest).await?,
                Wish::Replay { lane, next_expected } => {
                    again += shared.disk.replay(self.index, lane, next_expected).await.map_err(disk_error)?;
                }
                Wish::NewEpoch => return Err(self.renewing(wants_new_epoch)),
            }
        }
        if again > 0 {
            log::warn(&format!(
                "destination {}: the hub has less than it confirmed (restored from a backup?); {again} records are sent again, and \
                 a gap tells of what is not held any more",
                self.name
            ));
            shared.pipeline.borrow_mut().books_mut().queued_again(&self.name, again);
        }
        Ok(())
    }

    /// Goes round what the hub has: the answers that said so were lost with an earlier life, or on their way.
    async fn skip(&self, lane: Lane, next_expected: u64, digest: u64) -> Result<(), SendError> {
        let skipped = self.shared.disk.skip(self.index, lane, next_expected, digest).await;
        let (records, backlog, passed) = skipped.map_err(disk_error)?;
        self.shared.book_passed(&passed);
        if records > 0 {
            self.shared.set_backlog(backlog);
            self.shared.pipeline.borrow_mut().books_mut().confirmed(&self.name, records, 0, 0);
            log::info(&format!(
                "destination {}: the hub has {records} records of lane {lane} already; they are not sent again",
                self.name
            ));
        }
        Ok(())
    }

    /// Sends blocks in one request, and confirms what the hub has of them.
    pub(super) async fn deliver_hub(&mut self, blocks: &mut [StoredBlock]) -> Result<(), SendError> {
        let sent: Vec<(Range, usize)> = blocks.iter().map(|block| (Range::of(block), block.bytes.len())).collect();
        let request = joined(blocks);
        if request.len() >= LARGE_REQUEST {
            self.shared.pages.give_back();
        }
        let ack = match &mut self.sink {
            Sink::Hub(sink) => sink.deliver(request).await?,
            #[cfg(feature = "signal-sinks")]
            Sink::Exporter(_) => return Ok(()),
        };
        let sorted = sort_ack(&sent, &ack);
        self.confirm(sorted.confirmed, 0, 0).await?;
        self.with(|one| one.delivered(sorted.bytes));
        if !sorted.put_aside.is_empty() {
            self.put_aside(sorted.put_aside).await?;
        }
        if let Some(first) = sorted.quarantined {
            return Err(self.renewing(|may_renew| quarantined(&first, may_renew)));
        }
        if sorted.unconfirmed > 0 {
            return Err(unconfirmed(sorted.unconfirmed, sent.len()));
        }
        Ok(())
    }

    /// The hub cannot read these, or they are more than it takes: it keeps them aside, and tells of them as lost.
    async fn put_aside(&self, ranges: Vec<Range>) -> Result<(), SendError> {
        let first = ranges.first().map_or(String::new(), Range::to_string);
        let records = self.confirm(ranges, u64::MAX, 0).await?;
        self.with(|one| one.rejected(Refusal::Quarantined, records, &format!("put aside, from {first} on")));
        let (kind, now) = (format!("{} put aside", self.name), self.shared.clock.now_ns());
        let text = format!(
            "destination {}: the hub put {records} records aside (from {first} on): it cannot read them, or they are more than it takes",
            self.name
        );
        log::error_limited(&kind, now, &text);
        Ok(())
    }

    /// An error that a new epoch mends, which begins now where it may.
    fn renewing(&self, error: impl FnOnce(bool) -> SendError) -> SendError {
        let may_renew = self.shared.may_renew();
        if may_renew {
            self.shared.new_epoch.notify_one();
        }
        error(may_renew)
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
