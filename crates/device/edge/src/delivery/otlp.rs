//! Blocks on their way to an OTLP endpoint: what it refuses for good is kept, told and booked before the cursor moves.

use drain::{Delivered, Range, Refused, SendError};
use journal::StoredBlock;
use model::Refusal;

use crate::dead_letters::DeadLetter;
use crate::log;
use crate::shared::disk_error;

use super::{DrainTask, Sink};

impl DrainTask {
    /// Sends a block, unless that is done and only its booking failed.
    pub(super) async fn deliver_otlp(&mut self, block: StoredBlock) -> Result<(), SendError> {
        let Sink::Otlp(sink) = &mut self.sink else { return Ok(()) };
        let (range, length) = (Range::of(&block), block.bytes.len());
        let delivered = match self.unbooked.take_if(|(of, _)| *of == range) {
            Some((_, delivered)) => delivered,
            None => {
                self.delivery.begin(&block.bytes)?;
                // What is being sent is not there twice; a block that fails is read again.
                drop(block);
                sink.deliver(&mut self.delivery).await?
            }
        };
        let booked = self.book(range, length, &delivered).await;
        if booked.is_err() {
            self.unbooked = Some((range, delivered));
        }
        let counts = self.delivery.exemplars();
        self.with(|one| one.exemplars(counts.sent, counts.left_out));
        booked
    }

    async fn book(&self, range: Range, bytes: usize, delivered: &Delivered) -> Result<(), SendError> {
        self.keep(&delivered.refused).await?;
        self.confirm(vec![range], delivered.rejected).await?;
        for refused in &delivered.refused {
            self.tell_refused(refused);
        }
        self.with(|one| one.delivered(bytes));
        Ok(())
    }

    /// Keeps what was refused. A disk that does not take it is waited for: the records are still in the journal.
    async fn keep(&self, refused: &[Refused]) -> Result<(), SendError> {
        let wall_s = self.shared.clock.wall_ns() / 1_000_000_000;
        let with_request = refused.iter().filter(|one| !one.request.is_empty());
        let letters: Vec<DeadLetter> = with_request
            .map(|one| DeadLetter {
                destination: self.name.clone(),
                signal: one.signal,
                reason: one.reason,
                request: one.request.clone(),
                wall_s,
            })
            .collect();
        if letters.is_empty() {
            return Ok(());
        }
        self.shared.disk.keep_dead_letters(letters).await.map_err(disk_error)?.map_err(|error| {
            SendError::retry(
                Refusal::DiskFull,
                format!("what the server refuses cannot be kept in dead-letters: {error}"),
            )
        })
    }

    fn tell_refused(&self, refused: &Refused) {
        let Refused { signal, reason, words, records, request } = refused;
        if *records > 0 {
            self.with(|one| one.rejected(*reason, *records, words));
        }
        let (signal, now) = (signal.name(), self.shared.clock.now_ns());
        if *records == 0 {
            let text = format!("destination {}: it took {signal} and says: {words}", self.name);
            log::warn_limited(&format!("{} warns", self.name), now, &text);
            return;
        }
        let kept = if request.is_empty() { "it does not say which ones" } else { "they are kept in dead-letters" };
        let text = format!(
            "destination {}: {records} records of {signal} are refused for good ({reason}; {kept}): {words}",
            self.name
        );
        log::error_limited(&format!("{} rejects {reason}", self.name), now, &text);
    }
}
