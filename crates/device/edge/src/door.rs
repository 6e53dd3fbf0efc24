//! The look at a request before anything of it is admitted: whether it came before, what of it can be taken, what has to be
//! mended. A large one is then admitted in pieces.

use model::otlp::{Inspection, PIECE_BYTES, PIECE_PARTS, PIECE_RECORDS, Pieces, fits, inspect};
use model::{Refusal, Signal};
use sources::{Answer, Request};

use crate::pipeline::{Pipeline, WAIT};
use crate::repeats::{Seen, tag};

/// What the look at a request found.
#[derive(Debug)]
pub(crate) struct Looked {
    pub(crate) found: Inspection,
    /// The producer's key with the digest of what came under it.
    pub(crate) key: Option<Box<[u8]>>,
    /// Records that go together at most.
    most: u64,
}

impl Looked {
    /// Whether the bytes can go on as they are, at once: they are few, or one record that no piece is smaller than. As a piece it
    /// would be there twice.
    pub(crate) fn is_one_piece(&self, body: &[u8]) -> bool {
        let few = body.len() <= PIECE_BYTES && self.found.records <= self.most && self.found.parts <= PIECE_PARTS;
        self.found.is_clean() && (few || self.found.records <= 1)
    }

    /// The request in pieces.
    pub(crate) fn pieces<'a>(&self, signal: Signal, body: &'a [u8], wall_ns: u64) -> Pieces<'a> {
        Pieces::new(signal, body, wall_ns).with_records(self.most)
    }

    /// The answer to a request of which everything is taken that can be.
    pub(crate) fn answer(&self) -> Answer {
        let rejected = self.found.rejected.total();
        if rejected == 0 {
            return Answer::Accepted;
        }
        let reasons: Vec<_> = self.found.rejected.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        Answer::Partial { rejected, why: format!("records that are not valid are not taken: {}", reasons.join(", ")) }
    }
}

impl Pipeline {
    /// Looks at a request.
    ///
    /// # Errors
    /// The answer, when there is nothing to take in: it came before, or it is bad.
    pub(crate) fn look(&mut self, request: &Request) -> Result<Looked, Answer> {
        let key = request.key.as_deref().map(|key| tag(request.signal, &request.body, key));
        if let Some(key) = &key {
            self.known(key)?;
        }
        let found = match inspect(request.signal, &request.body) {
            Ok(found) => found,
            Err(error) => {
                let why = match another_signal(request) {
                    Some(other) => return Err(self.wrong(request.signal, other)),
                    None => format!("the body is not an OTLP {} request: {error}", request.signal.name()),
                };
                return Err(self.bad(Refusal::Malformed, why));
            }
        };
        if found.records == 0
            && found.rejected.total() > 0
            && let Some(other) = another_signal(request)
        {
            return Err(self.wrong(request.signal, other));
        }
        Ok(Looked { found, key, most: self.most_together(request.signal) })
    }

    /// How many records may go together: each may be a trace of its own, and the index has to have a place for them.
    fn most_together(&self, signal: Signal) -> u64 {
        let halves = std::iter::successors(Some(PIECE_RECORDS), |most| Some(most / 2));
        let fits = |most: &u64| *most <= 1 || signal == Signal::Metrics || self.sampler.could_hold(*most as usize);
        halves.into_iter().find(fits).unwrap_or(1).max(1)
    }

    /// Whether a request with this key came before.
    fn known(&mut self, key: &[u8]) -> Result<(), Answer> {
        match self.repeats.seen(key) {
            Seen::New => {}
            Seen::Same => {
                self.counters.repeated_requests += 1;
                return Err(Answer::Accepted);
            }
            Seen::Other => {
                self.counters.bad_requests += 1;
                self.counters.refused.add(Refusal::KeyReused, 1);
                let why = "this idempotency-key came before with another request; every request needs its own";
                return Err(Answer::Conflict(why.into()));
            }
        }
        if self.is_on_its_way(key) {
            // The same request is on its way to the disk.
            return Err(Answer::Wait(WAIT));
        }
        Ok(())
    }

    fn bad(&mut self, reason: Refusal, why: String) -> Answer {
        self.counters.bad_requests += 1;
        self.counters.refused.add(reason, 1);
        Answer::Bad(why)
    }

    fn wrong(&mut self, meant: Signal, is: Signal) -> Answer {
        let why = format!("this is a request of {}, sent where {} go", is.name(), meant.name());
        self.bad(Refusal::WrongSignal, why)
    }

    /// Books what of a request is not taken, and what is mended.
    pub(crate) fn book_look(&mut self, found: &Inspection) {
        self.counters.rejected.merge(&found.rejected);
        self.counters.mended.merge(&found.mended);
    }

    /// The request as it goes on: mended, without what is not taken.
    pub(crate) fn mended(&self, signal: Signal, body: Vec<u8>, found: &Inspection) -> Vec<u8> {
        // Requests one after the other are one request.
        if found.is_clean() { body } else { Pieces::new(signal, &body, self.wall_ns).flatten().collect() }
    }
}

/// The signal whose request this is, when it is another one.
fn another_signal(request: &Request) -> Option<Signal> {
    Signal::ALL.into_iter().find(|other| *other != request.signal && fits(*other, &request.body))
}
