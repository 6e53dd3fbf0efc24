//! The records of one signal of a block on their way to a server that takes requests of OTLP or makes its own of them: at least once.
//!
//! They go as one request, or as several where the server takes only smaller ones. What it refuses for good is halved until only the
//! records at fault are left; what was answered is not sent again when the same block is given once more.

use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use model::otlp::{count_records, slice};
use model::proto::ProtoError;
use model::{Epoch, Lane, Refusal, Signal};
use wire::{Inflater, RawBlock, Section};

use crate::age::ByAge;
use crate::error::SendError;
use crate::exemplars::{Attached, ExemplarHold};
use crate::only::Only;

/// After so many failures that may be because of the bytes, the server is asked whether it is well.
const DOUBTS: u32 = 3;
/// So large a request may be before a server says otherwise, bytes: servers take at least twice that.
const MOST_BYTES: usize = 2 << 20;
/// After so many records were refused one by one, and none was taken, the rest of the block is refused without looking for the ones
/// at fault: it is all of them.
const SINGLES: u32 = 16;

/// An answer of success: in full, or but for some records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartialSuccess {
    /// Records that the server does not take; which ones it does not say.
    pub rejected: u64,
    /// Its words.
    pub message: String,
}

/// What a server refused for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub reason: Refusal,
    /// The server's words.
    pub words: String,
    /// How many records.
    pub records: u64,
    /// The request that was refused: a dead letter; empty when the server did not say which records it refused.
    pub request: Vec<u8>,
}

/// What became of a block's records of the signal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delivered {
    /// Records that the server took.
    pub delivered: u64,
    /// Records that it will never take.
    pub rejected: u64,
    /// Why, and which.
    pub refused: Vec<Refused>,
}

/// Names a block.
type BlockId = (Epoch, Lane, u64, u64);

/// Names what a request carries: as long as a block is in the journal, the same records have the same name, whatever was tried before and
/// however often the program was started. As text, for a server that leaves out what it has under the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId {
    block: BlockId,
    signal: Signal,
    /// The block's records of the signal that are in the request.
    first: u64,
    end: u64,
    /// All of them: a block whose metrics were thinned has fewer, which are others.
    of: u64,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (epoch, lane, first, last) = self.block;
        let Self { signal, first: from, end, of, .. } = self;
        write!(f, "{}-{lane}-{first}-{last}-{}-{from}-{end}-{of}", epoch.0, signal.name())
    }
}

/// How far a block is, over all its turns.
#[derive(Default)]
struct Progress {
    block: Option<BlockId>,
    /// Ordinals of the records that are not decided; the last range is next.
    to_send: Vec<Range<u64>>,
    /// Failures at the next range that may be because of the bytes.
    doubts: u32,
    /// The server fails at these bytes, and is well otherwise.
    is_guilty: bool,
    /// Exemplars that were attached are refused, or may be.
    without_exemplars: bool,
    /// Records that were refused one by one.
    singles: u32,
    delivered: u64,
    refused: Vec<Refused>,
}

/// What was sent last, or comes next.
#[derive(Default)]
enum Attempt {
    /// The request.
    #[default]
    Request,
    /// An empty one: is the server well, which failed again and again at these bytes?
    Probe(SendError),
    /// The request once more: it may have become well only now.
    Again,
}

/// A request that is on its way.
struct Current {
    /// Empty where it is the whole body.
    part: Vec<u8>,
    /// The body with exemplars.
    attached: Option<Attached>,
}

/// One turn with a block.
#[derive(Default)]
struct Turn {
    /// All its records, as one request.
    body: Vec<u8>,
    /// Of its traces, `ExemplarsData`.
    exemplars: Vec<u8>,
    records: u64,
    attempt: Attempt,
    current: Option<Current>,
    failed: Option<SendError>,
}

impl Turn {
    /// The request that is on its way.
    fn request(&self) -> &[u8] {
        match &self.current {
            Some(Current { attached: Some(attached), .. }) => &attached.metrics,
            Some(Current { part, .. }) if !part.is_empty() => part,
            _ => &self.body,
        }
    }
}

/// Blocks on their way to one server, of which it takes one signal.
///
/// [`Delivery::begin`] with a block, or [`Delivery::begin_request`] with a request, then send what [`Delivery::request`] gives and tell the answer to [`Delivery::answered`] until there
/// is no more, then [`Delivery::finish`].
pub struct Delivery {
    signal: Signal,
    /// Where exemplars of traces wait for their points.
    exemplars: Option<ExemplarHold>,
    inflater: Inflater,
    /// The largest request that the server is known to take, or not known to refuse.
    most_bytes: usize,
    /// What is older is not sent, Unix nanoseconds; 0 where everything is.
    oldest_ns: u64,
    /// Which records are sent at all; `None` where all are.
    only: Option<Rc<Only>>,
    progress: Progress,
    turn: Turn,
}

impl Delivery {
    /// Of this signal. `exemplars`: where those of traces that were confirmed are put, or those for points are taken from.
    pub fn new(signal: Signal, exemplars: Option<ExemplarHold>) -> Self {
        Self {
            signal,
            exemplars,
            inflater: Inflater::new(),
            most_bytes: MOST_BYTES,
            oldest_ns: 0,
            only: None,
            progress: Progress::default(),
            turn: Turn::default(),
        }
    }

    /// The signal whose records it sends.
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// Only records that a filter means are sent: the others are neither delivered nor refused.
    #[must_use]
    pub fn with_only(self, only: Option<Rc<Only>>) -> Self {
        Self { only, ..self }
    }

    /// From the next block on, records that ended before this time, Unix nanoseconds, are refused here and not sent.
    pub fn refuse_before(&mut self, oldest_ns: u64) {
        self.oldest_ns = oldest_ns;
    }

    /// Begins with a block, or goes on with the one that was not finished. Gives how many records of the signal it has.
    ///
    /// # Errors
    /// [`SendError::Retry`] when it cannot be read.
    pub fn begin(&mut self, block: &[u8]) -> Result<u64, SendError> {
        let unreadable =
            |why: String| SendError::retry(Refusal::Damaged, format!("a block on disk cannot be read: {why}"));
        let (raw, _) = RawBlock::parse(block).map_err(|error| unreadable(error.to_string()))?;
        let content = raw.frames(&mut self.inflater).map_err(|error| unreadable(error.to_string()))?;
        let mut turn = Turn::default();
        for (_, bytes) in content {
            let frame = wire::decode_frame(bytes).map_err(|error| unreadable(error.to_string()))?;
            for section in frame.sections {
                match (self.signal, section) {
                    (Signal::Traces, Section::Traces(bytes))
                    | (Signal::Logs, Section::Logs(bytes))
                    | (Signal::Metrics, Section::Metrics(bytes)) => join(&mut turn.body, bytes),
                    (Signal::Traces, Section::Exemplars(bytes)) => join(&mut turn.exemplars, bytes),
                    // What others send.
                    _ => {}
                }
            }
        }
        self.inflater.release();
        turn.records = count_records(self.signal, &turn.body).map_err(|error| unreadable(error.to_string()))?;
        let header = raw.header();
        let id = (header.epoch, header.lane, header.first, header.last());
        if self.progress.block != Some(id) {
            let (to_send, refused) = self.by_age(&turn).map_err(|error| unreadable(error.to_string()))?;
            self.progress = Progress { block: Some(id), to_send, refused, ..Progress::default() };
        }
        self.turn = turn;
        Ok(self.turn.records)
    }

    /// What of a block is to be sent, the last range first, and what of that is refused as too old.
    fn by_age(&self, turn: &Turn) -> Result<(Vec<Range<u64>>, Vec<Refused>), ProtoError> {
        if self.oldest_ns == 0 && self.only.is_none() {
            let all = Some(0..turn.records).filter(|all| !all.is_empty());
            return Ok((all.into_iter().collect(), Vec::new()));
        }
        let ByAge { mut young, old } = ByAge::of(self.signal, &turn.body, self.oldest_ns, self.only.as_deref())?;
        young.reverse();
        let (mut request, mut records) = (Vec::new(), 0);
        for range in old {
            records += range.end - range.start;
            request.extend(slice(self.signal, &turn.body, range)?);
        }
        let words = "older than max_age of this destination: not sent".to_owned();
        let refused = Refused { reason: Refusal::TooOld, words, records, request };
        Ok((young, Some(refused).filter(|refused| refused.records > 0).into_iter().collect()))
    }

    /// Begins with a request that is in no block: a dead letter. Gives how many records it has.
    ///
    /// # Errors
    /// [`SendError::Rejected`] when it is none of this signal.
    pub fn begin_request(&mut self, body: Vec<u8>) -> Result<u64, SendError> {
        let records = count_records(self.signal, &body).map_err(|error| SendError::Rejected {
            reason: Refusal::Damaged,
            why: format!("it is no request for {}: {error}", self.signal.name()),
        })?;
        let all = Some(0..records).filter(|all| !all.is_empty());
        self.progress = Progress { to_send: all.into_iter().collect(), ..Progress::default() };
        self.turn = Turn { body, records, ..Turn::default() };
        Ok(records)
    }

    /// The next request; `None` when there is none any more.
    pub fn request(&mut self) -> Option<&[u8]> {
        if self.turn.failed.is_some() {
            return None;
        }
        if let Attempt::Probe(_) = self.turn.attempt {
            return Some(&[]);
        }
        if self.turn.current.is_none() {
            let range = self.next_range()?;
            match self.prepare(range) {
                Ok(current) => self.turn.current = Some(current),
                Err(error) => {
                    self.turn.failed = Some(error);
                    return None;
                }
            }
        }
        Some(self.turn.request())
    }

    /// The name of what [`Delivery::request`] gives; `None` where that is nothing, or an empty one.
    pub fn request_id(&mut self) -> Option<RequestId> {
        if self.request()?.is_empty() {
            return None;
        }
        let (block, range) = (self.progress.block?, self.progress.to_send.last()?);
        let (first, end, of) = (range.start, range.end, self.turn.records);
        Some(RequestId { block, signal: self.signal, first, end, of })
    }

    /// The next range, of a size that the server takes as far as is known.
    fn next_range(&mut self) -> Option<Range<u64>> {
        loop {
            let range = self.progress.to_send.last()?.clone();
            let records = range.end - range.start;
            let bytes = self.turn.body.len() as u64 / self.turn.records.max(1) * records;
            if records == 1 || bytes <= self.most_bytes as u64 {
                return Some(range);
            }
            self.halve();
        }
    }

    fn prepare(&self, range: Range<u64>) -> Result<Current, SendError> {
        let is_whole = range == (0..self.turn.records);
        let part = match is_whole {
            true => Vec::new(),
            false => slice(self.signal, &self.turn.body, range).map_err(|error| {
                SendError::retry(Refusal::Damaged, format!("a block on disk cannot be taken apart: {error}"))
            })?,
        };
        let attaches = is_whole && self.signal == Signal::Metrics && !self.progress.without_exemplars;
        let attached = match self.exemplars.as_ref().filter(|_| attaches) {
            Some(exemplars) => exemplars.attach(&self.turn.body),
            None => None,
        };
        Ok(Current { part, attached })
    }

    /// What the server said to the last request.
    pub fn answered(&mut self, answer: Result<PartialSuccess, SendError>) {
        match (std::mem::take(&mut self.turn.attempt), answer) {
            // A server that fails again and again at the same bytes, and takes an empty request meanwhile, will not take them; one that
            // does not take that either is not well, and is waited for.
            (Attempt::Request, Err(error @ SendError::Retry { doubtful: true, .. })) => {
                self.progress.doubts += 1;
                match self.progress.doubts >= DOUBTS || self.progress.is_guilty {
                    true => self.turn.attempt = Attempt::Probe(error),
                    false => self.fail(error),
                }
            }
            (Attempt::Probe(error), Err(_)) => self.fail(error),
            (Attempt::Probe(error), Ok(_)) if self.progress.is_guilty => self.refused_in_doubt(&error),
            (Attempt::Probe(_), Ok(_)) => self.turn.attempt = Attempt::Again,
            (Attempt::Again, Err(error @ SendError::Retry { doubtful: true, .. })) => {
                self.progress.is_guilty = true;
                self.refused_in_doubt(&error);
            }
            (_, Ok(partial)) => self.took(partial),
            (_, Err(SendError::Rejected { reason, why })) => self.refused(reason, why),
            (_, Err(error)) => self.fail(error),
        }
    }

    /// What became of the records, once there is no request any more.
    ///
    /// # Errors
    /// [`SendError::Retry`] and [`SendError::Blocked`]: not everything is decided, the block or request is to be given again.
    pub fn finish(&mut self) -> Result<Delivered, SendError> {
        let turn = std::mem::take(&mut self.turn);
        if let Some(error) = turn.failed {
            return Err(error);
        }
        if let Some(exemplars) = self.exemplars.as_ref().filter(|_| !turn.exemplars.is_empty()) {
            exemplars.hold(&turn.exemplars);
        }
        let Progress { delivered, refused, .. } = std::mem::take(&mut self.progress);
        let rejected = refused.iter().map(|one| one.records).sum();
        Ok(Delivered { delivered, rejected, refused })
    }

    /// Nothing more can be sent now.
    fn fail(&mut self, error: SendError) {
        self.turn.failed = Some(error);
    }

    /// The request was answered with success, in full or in part.
    fn took(&mut self, partial: PartialSuccess) {
        let Some(range) = self.progress.to_send.pop() else { return };
        let records = range.end - range.start;
        let rejected = partial.rejected.min(records);
        self.progress.delivered += records - rejected;
        if rejected > 0 || !partial.message.is_empty() {
            let (reason, words) = (Refusal::PartialSuccess, partial.message);
            self.progress.refused.push(Refused { reason, words, records: rejected, request: Vec::new() });
        }
        if let Some(exemplars) = &self.exemplars {
            match &self.turn.current {
                Some(Current { attached: Some(attached), .. }) => exemplars.release(attached, true),
                // Which ones were rejected of a partial success is not told.
                _ if self.signal == Signal::Traces && rejected == 0 => exemplars.confirm(self.turn.request()),
                _ => {}
            }
        }
        self.decided();
    }

    /// The next range is decided, or another one.
    fn decided(&mut self) {
        self.turn.current = None;
        self.progress.doubts = 0;
    }

    fn refused_in_doubt(&mut self, error: &SendError) {
        self.refused(error.reason(), format!("{error} (again and again, for these records only)"));
    }

    /// The server will never take the request.
    fn refused(&mut self, reason: Refusal, words: String) {
        let Some(range) = self.progress.to_send.last().cloned() else { return };
        if let (Some(Current { attached: Some(attached), .. }), Some(exemplars)) = (&self.turn.current, &self.exemplars)
        {
            // They may be what was refused.
            exemplars.release(attached, false);
            self.progress.without_exemplars = true;
            self.decided();
            return;
        }
        let records = range.end - range.start;
        let is_large = reason == Refusal::TooLargeForDestination;
        if is_large {
            self.most_bytes = (self.turn.request().len() / 2).clamp(1, self.most_bytes);
        }
        let all_are_refused = self.progress.singles >= SINGLES && self.progress.delivered == 0 && !is_large;
        if records > 1 && !all_are_refused {
            self.decided();
            self.halve();
            return;
        }
        self.progress.singles += u32::from(records == 1);
        let request = match self.turn.current.take() {
            Some(Current { part, .. }) if !part.is_empty() => part,
            _ => self.turn.body.clone(),
        };
        self.progress.to_send.pop();
        self.progress.refused.push(Refused { reason, words, records, request });
        self.decided();
    }

    /// The next range becomes two.
    fn halve(&mut self) {
        if let Some(range) = self.progress.to_send.pop() {
            let middle = range.start + (range.end - range.start) / 2;
            self.progress.to_send.extend([middle..range.end, range.start..middle]);
        }
    }
}

/// Puts bytes behind a request. Repeated fields of one message type: one after the other they are one message.
fn join(body: &mut Vec<u8>, bytes: Vec<u8>) {
    match body.is_empty() {
        // A large section is not there twice.
        true => *body = bytes,
        false => body.extend(bytes),
    }
}
