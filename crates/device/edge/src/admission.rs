//! Taking requests in: first checked, masked and given a place; then, where the acknowledgement level asks for it, recorded
//! in files by whoever owns the disk; then taken in. Nothing counts as received before it is recorded.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use journal::{Content, Recording, Taken};
use model::proto::ProtoError;
use model::{Lane, Refusal, Signal};
use sources::{Answer, Request};

use crate::door::Looked;
use crate::lanes::Split;
use crate::pipeline::{Pipeline, WAIT};
use crate::vault::Rider;

/// Requests that may be on their way to the disk at once, bytes.
pub(crate) const MAX_RECORDING: usize = 512 << 10;

/// A request that may be taken in.
#[derive(Debug)]
pub struct Admitted {
    signal: Signal,
    body: Vec<u8>,
    key: Option<Box<[u8]>>,
    /// Bytes for the lanes mission and audit.
    urgent: [usize; 2],
    /// Whether a record of it names a lane.
    names_lane: bool,
    /// The answer once it is taken.
    answer: Answer,
    /// Its place, until it is taken in.
    permit: Permit,
}

/// What is admitted and not taken in yet.
#[derive(Debug, Default)]
struct Reserved {
    bytes: usize,
    waits: usize,
    traces: usize,
    keys: Vec<Box<[u8]>>,
}

/// A place for a request. Dropped, it is given back: whatever becomes of the request on its way.
#[derive(Debug)]
struct Permit {
    of: Arc<Mutex<Reserved>>,
    bytes: usize,
    waits: usize,
    traces: usize,
    key: Option<Box<[u8]>>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut reserved = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        reserved.bytes -= self.bytes;
        reserved.waits -= self.waits;
        reserved.traces -= self.traces;
        if let Some(key) = &self.key {
            reserved.keys.retain(|other| other != key);
        }
    }
}

impl Admitted {
    /// What is to be recorded.
    pub fn recording(&self) -> Recording<'_> {
        Recording {
            content: Content::Request(self.signal),
            key: self.key.as_deref().unwrap_or_default(),
            bytes: &self.body,
        }
    }

    /// The lanes that are never given up for which it has something, with about how many bytes. Such a request is answered
    /// once it is synced.
    pub fn urgent(&self) -> impl Iterator<Item = (Lane, usize)> + use<> {
        [Lane::Mission, Lane::Audit].into_iter().zip(self.urgent).filter(|(_, bytes)| *bytes > 0)
    }
}

/// What the pipeline keeps for the recorder in files.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    /// Everything below this sequence was taken in.
    next: u64,
    /// Taken in beyond it, out of order.
    ahead: BTreeSet<u64>,
    reserved: Arc<Mutex<Reserved>>,
    /// Whether there is one.
    on: bool,
    /// Traces let go without a decision since the last commit.
    pub(crate) alone: Vec<u64>,
    decided: Vec<u64>,
}

impl Recorded {
    fn reserved(&self) -> MutexGuard<'_, Reserved> {
        self.reserved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn permit(&self, bytes: usize, waits: usize, traces: usize, key: Option<Box<[u8]>>) -> Permit {
        let mut reserved = self.reserved();
        reserved.bytes += bytes;
        reserved.waits += waits;
        reserved.traces += traces;
        reserved.keys.extend(key.clone());
        Permit { of: Arc::clone(&self.reserved), bytes, waits, traces, key }
    }

    pub(crate) fn skip_to(&mut self, next: u64) {
        self.next = self.next.max(next);
        self.ahead.retain(|sequence| *sequence >= next);
    }
}

impl Pipeline {
    /// Takes a request in at once: it is held in memory only.
    pub fn accept(&mut self, request: Request, now_ns: u64) -> Answer {
        match self.admit(request, now_ns) {
            Ok(admitted) => self.take(admitted, None, now_ns),
            Err(answer) => answer,
        }
    }

    /// Checks and masks a request and sees to it that there is room. What is admitted is given to
    /// [`Pipeline::take`], or to [`Pipeline::refuse`]; dropped, it gives its place back.
    ///
    /// # Errors
    /// The answer, when there is nothing to take in: it came before, it is bad, or there is no room.
    pub fn admit(&mut self, request: Request, now_ns: u64) -> Result<Admitted, Answer> {
        let looked = self.look(&request)?;
        let Request { signal, body, .. } = request;
        self.admit_looked(signal, body, &looked, now_ns)
    }

    /// As [`Pipeline::admit`], of a request that was looked at.
    pub(crate) fn admit_looked(
        &mut self,
        signal: Signal,
        body: Vec<u8>,
        looked: &Looked,
        now_ns: u64,
    ) -> Result<Admitted, Answer> {
        let body = self.mended(signal, body, &looked.found);
        let records = looked.found.records;
        let admitted = self.admit_piece(signal, body, looked.key.clone(), looked.found.names_lane, now_ns);
        match admitted {
            Ok(admitted) => {
                self.book_look(&looked.found);
                Ok(Admitted { answer: looked.answer(), ..admitted })
            }
            Err(answer) => {
                self.ledger.refused.add(signal, if matches!(answer, Answer::Wait(_)) { records } else { 0 });
                Err(answer)
            }
        }
    }

    /// Sees to it that there is room for a clean request, or for a piece of one. What it refuses is not booked.
    pub(crate) fn admit_piece(
        &mut self,
        signal: Signal,
        body: Vec<u8>,
        key: Option<Box<[u8]>>,
        names_lane: bool,
        now_ns: u64,
    ) -> Result<Admitted, Answer> {
        let body = self.guard.admit(signal, body);
        let traces = self.traces_of(signal, &body);
        if !self.sampler.could_hold(traces) {
            self.counters.bad_requests += 1;
            self.counters.refused.add(Refusal::TooManyRecords, 1);
            return Err(Answer::Bad(format!(
                "the request holds {traces} traces, more than sampling.memory has place for; send fewer at once, or raise it"
            )));
        }
        // Points never wait for a decision: a recorder full of undecided traces must not stop them.
        let split = self.lanes.split_named(signal, &body, names_lane).ok().flatten();
        self.counters.rejected_lanes += self.lanes.not_allowed();
        let untraced = &self.rules.untraced_lines;
        let refused = self.pressure.refuses(signal, &body, split.as_ref(), untraced).unwrap_or(false);
        let waits = if signal == Signal::Metrics { 0 } else { body.len() };
        let (reserved_bytes, reserved_waits, reserved_traces) = {
            let reserved = self.recorded.reserved();
            (reserved.bytes, reserved.waits, reserved.traces)
        };
        let all_waits = if waits == 0 { 0 } else { waits + reserved_waits };
        let recording = reserved_bytes > 0 && reserved_bytes + body.len() > MAX_RECORDING;
        if refused || recording || !self.has_room(all_waits, traces + reserved_traces, now_ns) {
            return Err(Answer::Wait(WAIT));
        }
        let urgent = split.as_ref().map_or([0; 2], Split::urgent);
        let claims = split.map(|split| split.claims).unwrap_or_default();
        if !self.lane_shares.take(&claims, self.lanes.bytes_per_minute, now_ns) {
            self.counters.refused.add(Refusal::LaneOverBudget, 1);
            return Err(Answer::Wait(WAIT));
        }
        let permit = self.recorded.permit(body.len(), waits, traces, key.clone());
        Ok(Admitted { signal, body, key, urgent, names_lane, answer: Answer::Accepted, permit })
    }

    /// Takes an admitted request in. `sequence` is its place in the recorder's files, when it was recorded.
    pub fn take(&mut self, admitted: Admitted, sequence: Option<u64>, now_ns: u64) -> Answer {
        let Admitted { signal, body, key, permit, names_lane, answer, .. } = admitted;
        drop(permit);
        let before = self.ledger.received.total();
        let taken = self.take_tagged(signal, &body, sequence, Some(names_lane), now_ns);
        self.reserve.took(self.ledger.received.total() - before);
        match taken {
            Ok(()) => {
                if let Some(key) = &key {
                    self.repeats.remember(key);
                }
                answer
            }
            // Validation has walked these very bytes; if it is wrong, say so rather than lose a request in silence.
            Err(error) => {
                self.counters.unreadable += 1;
                self.counters.bad_requests += 1;
                Answer::Bad(error.to_string())
            }
        }
    }

    /// Takes a recorded request in again.
    pub(crate) fn take_in(
        &mut self,
        signal: Signal,
        body: &[u8],
        sequence: Option<u64>,
        now_ns: u64,
    ) -> Result<(), ProtoError> {
        self.take_tagged(signal, body, sequence, None, now_ns)
    }

    fn take_tagged(
        &mut self,
        signal: Signal,
        body: &[u8],
        sequence: Option<u64>,
        names_lane: Option<bool>,
        now_ns: u64,
    ) -> Result<(), ProtoError> {
        if let Some(sequence) = sequence {
            self.recorder.set_tag(sequence);
            self.recorded.ahead.insert(sequence);
            while self.recorded.ahead.remove(&self.recorded.next) {
                self.recorded.next += 1;
            }
        }
        let split = match names_lane {
            Some(named) => self.lanes.split_named(signal, body, named)?,
            None => self.lanes.split(signal, body)?,
        };
        let taken = self.take_split(signal, body, split, now_ns);
        self.recall(now_ns);
        taken
    }

    fn take_split(&mut self, signal: Signal, body: &[u8], split: Option<Split>, now_ns: u64) -> Result<(), ProtoError> {
        let Some(split) = split else { return self.take_rest(signal, body, now_ns) };
        for (lane, own) in &split.own {
            self.take_own(signal, *lane, own, now_ns)?;
        }
        self.take_rest(signal, &split.rest, now_ns)
    }

    fn take_rest(&mut self, signal: Signal, body: &[u8], now_ns: u64) -> Result<(), ProtoError> {
        match signal {
            Signal::Traces => self.take_traces(body, now_ns),
            Signal::Logs => self.take_logs(body, now_ns),
            Signal::Metrics => self.take_metrics(body, None, now_ns),
        }
    }

    /// Books an admitted request as refused: it could not be recorded. Its place is given back when it is dropped.
    pub fn refuse(&mut self, admitted: &Admitted) -> Answer {
        let records = model::otlp::count_records(admitted.signal, &admitted.body).unwrap_or(0);
        self.ledger.refused.add(admitted.signal, records);
        Answer::Wait(WAIT)
    }

    /// Books a piece and those after it as refused.
    pub(crate) fn refuse_rest(&mut self, signal: Signal, piece: &[u8], rest: impl Iterator<Item = Vec<u8>>) {
        let count = |piece: &[u8]| model::otlp::count_records(signal, piece).unwrap_or(0);
        let records = count(piece) + rest.map(|piece| count(&piece)).sum::<u64>();
        self.ledger.refused.add(signal, records);
    }

    /// Whether a request with this key, behind its digest, is on its way to the disk.
    pub(crate) fn is_on_its_way(&self, key: &[u8]) -> bool {
        self.recorded.reserved().keys.iter().any(|other| **other == *key)
    }

    /// From now on requests are recorded in files; the next one under this sequence.
    pub fn record_from(&mut self, next: u64) {
        self.recorded = Recorded { next, on: true, ..Recorded::default() };
    }

    /// Whether traces that are let go without a decision have to be told.
    pub(crate) fn is_recorded(&self) -> bool {
        self.recorded.on
    }

    /// How far everything recorded is in what [`Pipeline::take_batches`] gave so far, and what is still needed of it. At the
    /// same moment as the batches and the ledger's note.
    fn taken(&self) -> Taken {
        let next = self.recorded.next;
        Taken { next, needed: self.recorder.oldest_pinned_tag().map_or(next, |tag| tag.min(next)) }
    }

    /// What rides with the batches that [`Pipeline::take_batches`] gave at the same moment: books, decisions, and how far the
    /// recorder is taken over. The decisions are given again until [`Pipeline::committed`].
    pub fn rider(&mut self, now_ns: u64) -> Rider {
        let news = self.sampler.take_new_decisions();
        // What is recorded in files comes back.
        self.ledger.reserve = if self.recorded.on { 0 } else { self.reserve.note() };
        if !self.recorded.on {
            return Rider { note: self.ledger.note(), ..Rider::default() };
        }
        if !news.complete {
            self.recorded.decided = self.sampler.decisions(now_ns).map(|(one, _)| one.bits()).collect();
        }
        self.recorded.decided.extend(news.decisions.iter().map(|one| one.bits()));
        Rider {
            note: self.ledger.note(),
            remembered: self.recorded.decided.clone(),
            alone: self.recorded.alone.clone(),
            taken: Some(self.taken()),
        }
    }

    /// Whether what was taken in last has to be committed before it is answered, because a restart after a kill would not
    /// know of it at all.
    pub(crate) fn must_commit(&self) -> bool {
        !self.recorded.on && self.reserve.is_beyond()
    }

    /// Nothing more is answered.
    pub(crate) fn close_books(&mut self) {
        self.reserve.close();
    }

    /// A rider is committed.
    pub fn committed(&mut self, rider: &Rider) {
        self.reserve.committed();
        // What was decided since stands behind it.
        self.recorded.decided.drain(..rider.remembered.len().min(self.recorded.decided.len()));
        self.recorded.alone.drain(..rider.alone.len().min(self.recorded.alone.len()));
    }
}
