//! Going on after a restart, and leaving what a restart goes on with: undecided traces wait again, decisions are remembered, and what
//! was answered after the last commit comes in once more.

use std::collections::HashMap;

use ledger::PerSignal;
use model::otlp::{count_records, inspect};
use model::proto::ProtoError;
use model::{Signal, TraceId};
use recorder::Progress;
use sampling::{Remembered, Verdict};

use crate::books::Incoming;
use crate::positions::from_recorded;
use crate::undecided::{self, Coming, RemainingRequest};

use super::Pipeline;

/// What a restart took in again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resumed {
    /// Decisions remembered.
    pub decisions: u64,
    /// Records that were undecided at the last commit, and are again.
    pub undecided: PerSignal,
    /// Requests that were answered, or on their way to be, after the last commit.
    pub requests: u64,
    /// Places of the recorder's files that could not be read.
    pub damaged: u64,
    /// Requests that were set aside, because starts died before that took them in.
    pub set_aside: u64,
}

/// A pipeline that takes in again what an earlier life left: first decisions, then keys, then requests.
pub struct Resume<'a> {
    pipeline: &'a mut Pipeline,
    now_ns: u64,
    /// Traces that were released without a decision, and the sequence below which their parts were meant.
    released: HashMap<u64, u64>,
    /// How far the last commit had taken over what is recorded.
    progress: Progress,
    resumed: Resumed,
}

impl Pipeline {
    /// Begins to go on after a restart, at a pipeline that was just made.
    pub fn resume(&mut self, now_ns: u64) -> Resume<'_> {
        Resume {
            pipeline: self,
            now_ns,
            released: HashMap::new(),
            progress: Progress::default(),
            resumed: Resumed::default(),
        }
    }
}

impl Resume<'_> {
    /// Remembers decisions of this age.
    pub fn decisions(&mut self, decided: &[u64], age_ns: u64) {
        self.resumed.decisions += decided.len() as u64;
        self.pipeline.undecided.restore(decided.iter().copied(), age_ns, self.now_ns);
    }

    /// Remembers traces that were released without a decision; their parts below this sequence are meant.
    pub fn released(&mut self, without_spans: &[u64], before: u64) {
        self.released.extend(without_spans.iter().map(|bits| (*bits, before)));
    }

    /// All decisions are remembered; from now on requests are recorded. `taken` is how far the last commit had taken over what is.
    pub fn record(&mut self, progress: Progress) {
        // What was restored is on disk already.
        self.pipeline.undecided.decisions_are_known();
        self.pipeline.undecided.record_from(progress.booked.max(1));
        self.progress = progress;
    }

    /// Remembers the key, behind its digest, of a request that was accepted.
    pub fn key(&mut self, key: &[u8]) {
        if !key.is_empty() {
            self.pipeline.admission.remember(key);
        }
    }

    /// Goes on from how far sources that read were at the last commit.
    pub fn positions(&mut self, bytes: &[u8]) {
        self.pipeline.positions.resume(bytes);
    }

    /// So many log records were committed without the positions behind them.
    pub fn ambiguous(&mut self, records: u64) {
        self.pipeline.books.ambiguous(records);
    }

    /// What was undecided comes from what an orderly end left: no source has to read it again.
    pub fn all_comes_again(&mut self) {
        self.pipeline.positions.nothing_is_missing();
    }

    /// Takes in a recorded request: what of it the last commit had waits again, what came after it comes in, and with it the position of the
    /// source that read it.
    pub fn request(&mut self, sequence: u64, signal: Signal, request: &[u8], position: &[u8]) {
        let walked = match sequence < self.progress.booked {
            true => self.undecided_of(sequence, signal, request),
            false => {
                self.read_to(position);
                self.came_after(sequence, signal, request)
            }
        };
        if walked.is_err() {
            self.pipeline.books.unreadable(1);
        }
    }

    fn read_to(&mut self, position: &[u8]) {
        if let Some((position, is_last)) = from_recorded(position) {
            self.pipeline.positions.took(&position, is_last, None);
        }
    }

    /// A recorded request is set aside instead.
    pub fn set_aside(&mut self, sequence: u64, signal: Signal, request: &[u8], position: &[u8]) {
        self.resumed.set_aside += 1;
        if sequence >= self.progress.booked {
            self.read_to(position);
            // It was answered, and no ledger speaks of it.
            self.pipeline.books.lost_with_the_start(signal, count_records(signal, request).unwrap_or(0));
        }
    }

    /// Takes in a request of records that were undecided when an earlier life ended.
    pub fn waiting_request(&mut self, signal: Signal, request: &[u8]) {
        self.resumed.requests += 1;
        if self.waiting(signal, request).is_err() {
            self.resumed.damaged += 1;
        }
    }

    fn waiting(&mut self, signal: Signal, request: &[u8]) -> Result<(), ProtoError> {
        // They were counted as received and in the span metrics when they came. Their room was theirs before.
        self.pipeline.undecided.make_room_if_possible(request.len());
        let Pipeline { undecided, outbox, books, .. } = &mut *self.pipeline;
        let (passing, mut facts) = (outbox.passing(), Incoming::default());
        let walked = match signal {
            Signal::Traces => undecided.admit_spans(Coming::again(request), self.now_ns, None, passing, &mut facts),
            _ => undecided.admit_log_records(Coming::again(request), self.now_ns, passing, &mut facts),
        };
        let again = books.came_again(signal, &facts);
        self.resumed.undecided.add(signal, again);
        walked
    }

    /// Places of files that could not be read.
    pub fn damaged(&mut self, places: u64) {
        self.resumed.damaged += places;
    }

    /// All of it is taken in: of the records that were pending at the last commit, what is not found again is lost in the crash.
    /// Everything recorded below `next` is done with.
    pub fn finish(self, pending: &PerSignal, next: u64) -> Resumed {
        let Self { pipeline, now_ns, resumed, .. } = self;
        let mut pending = *pending;
        let missing = pipeline.positions.missing();
        pipeline.books.read_again(missing, &mut pending);
        // Requests whose bytes cannot be read any more leave gaps.
        pipeline.undecided.skip_to(next);
        pipeline.undecided.set_resumed(now_ns);
        pipeline.books.resumed(&pending, &resumed.undecided);
        resumed
    }

    /// The parts of a request whose traces were undecided at the last commit.
    fn undecided_of(&mut self, sequence: u64, signal: Signal, request: &[u8]) -> Result<(), ProtoError> {
        let released = |trace: &TraceId| {
            self.released.get(&Remembered::new(trace, Verdict::Drop).bits()).is_some_and(|before| sequence < *before)
        };
        // What went into lanes of its own is there.
        let plan = self.pipeline.admission.plan_of_passed(signal, request, inspect(signal, request)?.names_lane)?;
        let waiting = self.pipeline.undecided.still_waiting(signal, plan.rest(request), released)?;
        let Some(waiting) = waiting else { return Ok(()) };
        self.pipeline.undecided.set_sequence(sequence);
        self.waiting(signal, &waiting)
    }

    /// A request of which the last commit has nothing.
    fn came_after(&mut self, sequence: u64, signal: Signal, request: &[u8]) -> Result<(), ProtoError> {
        self.resumed.requests += 1;
        let plan = self.pipeline.admission.plan_of_passed(signal, request, inspect(signal, request)?.names_lane)?;
        // It was answered: it has to come in, room or not.
        let waiting = if signal == Signal::Metrics { 0 } else { request.len() };
        self.pipeline.undecided.make_room_if_possible(waiting);
        self.pipeline.take_planned((signal, request), &plan, None, Some(sequence), self.now_ns).1
    }
}

/// A walk over what is undecided.
#[derive(Debug)]
pub struct Remaining(undecided::Remaining);

impl Pipeline {
    /// Begins to tell what is undecided, for a next life that goes on with it.
    pub fn remaining(&self) -> Remaining {
        Remaining(self.undecided.remaining())
    }

    /// The next request with undecided records; `None` behind the last one.
    pub fn next_remaining(&mut self, walk: &mut Remaining) -> Option<RemainingRequest> {
        let (found, unreadable) = self.undecided.next_remaining(&mut walk.0);
        self.books.unreadable(unreadable);
        found
    }
}
