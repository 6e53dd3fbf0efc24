//! Records of one signal on their way to a server: what it refuses for good is kept, told and booked before the cursor moves.

use drain::{Delivered, Delivery, Range, Refused, SendError};
use journal::StoredBlock;
use model::{Refusal, Signal};

use crate::dead_letters::DeadLetter;
use crate::log;
use crate::shared::{LARGE_REQUEST, disk_error};

use super::{DrainTask, Sink};

/// What a block was that is being sent.
struct Sent {
    range: Range,
    bytes: usize,
    records: u64,
}

impl Sent {
    fn of(block: &StoredBlock) -> Self {
        Self { range: Range::of(block), bytes: block.bytes.len(), records: block.records }
    }
}

impl DrainTask {
    /// Sends a block, unless that is done and only its booking failed.
    pub(super) async fn deliver_signal(&mut self, block: StoredBlock) -> Result<(), SendError> {
        let (Sink::Exporter(sink), Some(delivery)) = (&mut self.sink, &mut self.delivery) else { return Ok(()) };
        let (signal, sent) = (delivery.signal(), Sent::of(&block));
        let delivered = match self.unbooked.take_if(|(of, _)| *of == sent.range) {
            Some((_, delivered)) => delivered,
            None => {
                if let Some(max_age) = self.max_age {
                    delivery.refuse_before(self.shared.clock.wall_ns().saturating_sub(max_age.as_nanos() as u64));
                }
                delivery.begin(&block.bytes)?;
                // What is being sent is not there twice; a block that fails is read again.
                drop(block);
                if sent.bytes >= LARGE_REQUEST {
                    // What read the journal is not what sends.
                    self.shared.pages.give_back();
                }
                sink.deliver(delivery).await?
            }
        };
        let booked = self.book(signal, &sent, &delivered).await;
        if booked.is_err() {
            self.unbooked = Some((sent.range, delivered));
        }
        if let Some(counts) = self.exemplars.as_ref().map(drain::ExemplarHold::counts) {
            self.with(|one| one.exemplars(counts.sent, counts.left_out));
        }
        booked
    }

    /// Sends a dead letter once more that an operator wants to see sent; false when there is none.
    pub(super) async fn retry_letter(&mut self) -> Result<bool, SendError> {
        let destinations = &self.shared.destinations;
        let Some(name) = destinations.next_letter(self.index) else { return Ok(false) };
        let (Sink::Exporter(sink), Some(delivery)) = (&mut self.sink, &self.delivery) else { return Ok(false) };
        let signal = delivery.signal();
        let request = match self.shared.disk.read_dead_letter(name.clone()).await.map_err(disk_error)? {
            Ok(request) => request,
            Err(why) => {
                destinations.letter_done(self.index);
                log::warn(&format!("destination {}: a dead letter is not sent once more: {why}", self.name));
                return Ok(true);
            }
        };
        // Apart from the block that may be on its way.
        let mut letter = Delivery::new(signal, None);
        let said = match letter.begin_request(request) {
            Ok(_records) => {
                let delivered = sink.deliver(&mut letter).await?;
                self.replace_letter(&name, signal, &delivered).await?
            }
            Err(error) => format!("is not sent once more: {error}"),
        };
        self.shared.destinations.letter_done(self.index);
        log::info(&format!("destination {}: dead letter {name} {said}", self.name));
        Ok(true)
    }

    /// Books what a dead letter came to that was sent once more, and keeps of it what is refused again. Gives what is told of it.
    async fn replace_letter(&self, name: &str, signal: Signal, delivered: &Delivered) -> Result<String, SendError> {
        let Delivered { delivered, rejected, refused } = delivered;
        let words: Vec<&str> = refused.iter().map(|one| one.words.as_str()).take(1).collect();
        let again = format!("{rejected} of its records are refused again: {}", words.concat());
        if *delivered == 0 && *rejected > 0 {
            return Ok(again);
        }
        if refused.iter().any(|one| one.records > 0 && one.request.is_empty()) {
            return Ok(format!("stays: {again} (which ones it does not say)"));
        }
        self.keep(signal, refused).await?;
        // Where it cannot be removed it may be sent again, as it may after a crash.
        let removed = self.shared.disk.remove_dead_letter(name.to_owned()).await.map_err(disk_error)?;
        self.shared.pipeline.borrow_mut().books_mut().taken_after_all(&self.name, *delivered);
        self.shared.commits.force();
        let mut said = format!("is sent: {delivered} of its records are delivered");
        if *rejected > 0 {
            said.push_str(&format!("; {again}"));
        }
        if let Err(why) = removed {
            said.push_str(&format!("; it stays all the same: {why}"));
        }
        Ok(said)
    }

    async fn book(&self, signal: Signal, sent: &Sent, delivered: &Delivered) -> Result<(), SendError> {
        self.keep(signal, &delivered.refused).await?;
        let skipped = sent.records.saturating_sub(delivered.delivered + delivered.rejected);
        self.confirm(vec![sent.range], delivered.rejected, skipped).await?;
        for refused in &delivered.refused {
            self.tell_refused(signal, refused);
        }
        self.with(|one| one.delivered(sent.bytes));
        Ok(())
    }

    /// Keeps what was refused. A disk that does not take it is waited for: the records are still in the journal.
    async fn keep(&self, signal: Signal, refused: &[Refused]) -> Result<(), SendError> {
        let wall_s = self.shared.clock.wall_ns() / 1_000_000_000;
        let destination = self.with(|one| one.status().destination.clone());
        // What is refused for one reason is one request: repeated fields of one message, one after the other.
        let mut letters: Vec<DeadLetter> = Vec::new();
        for one in refused.iter().filter(|one| !one.request.is_empty()) {
            match letters.iter_mut().find(|letter| letter.reason == one.reason) {
                Some(letter) => letter.request.extend_from_slice(&one.request),
                None => letters.push(DeadLetter {
                    destination: destination.clone(),
                    signal,
                    reason: one.reason,
                    request: one.request.clone(),
                    wall_s,
                }),
            }
        }
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

    fn tell_refused(&self, signal: Signal, refused: &Refused) {
        let Refused { reason, words, records, request } = refused;
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
