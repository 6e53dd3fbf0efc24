//! A block on its way to an OTLP endpoint (OTLP 1.11): at least once, as that protocol has it.
//!
//! Each signal of a block goes as one request. When the server refuses that for good, its frames go one by one, so that only the ones
//! at fault are rejected. A signal that fails does not keep the others from being sent, and what was answered is not sent again when
//! the same block is given once more.

use model::otlp::count_records;
use model::{Epoch, Lane, Refusal, Signal};
use wire::{Inflater, RawBlock, Section};

use crate::error::SendError;
use crate::exemplars::{Attached, Exemplars};

/// After so many failures that may be because of the bytes, the server is asked whether it is well.
const DOUBTS: u32 = 3;

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
    /// What it holds.
    pub signal: Signal,
    /// Why.
    pub reason: Refusal,
    /// The server's words.
    pub words: String,
    /// How many records.
    pub records: u64,
    /// The request that was refused: a dead letter; empty when the server did not say which records it refused.
    pub request: Vec<u8>,
}

/// What became of a block's records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delivered {
    /// Records that the server took.
    pub delivered: u64,
    /// Records that it will never take.
    pub rejected: u64,
    /// Why, and which.
    pub refused: Vec<Refused>,
}

/// What became of exemplars, since start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExemplarCounts {
    /// That went with a point of their series, after their trace was confirmed.
    pub sent: u64,
    /// Whose trace is not known to be there, or that found no point in time.
    pub left_out: u64,
}

/// Names a block.
type BlockId = (Epoch, Lane, u64, u64);

/// How far one signal of a block is.
#[derive(Default)]
struct Part {
    done: bool,
    /// The whole was refused: frame by frame, from this one on.
    next_frame: Option<usize>,
    /// Failures that may be because of the bytes.
    doubts: u32,
    delivered: u64,
    /// By frame, whether the server took it.
    taken: Vec<bool>,
}

/// How far a block is.
#[derive(Default)]
struct Progress {
    block: Option<BlockId>,
    parts: [Part; Signal::ALL.len()],
    refused: Vec<Refused>,
}

/// One export request per signal, in the order of [`Signal::ALL`]; empty where there is nothing.
#[derive(Default)]
struct Requests {
    bodies: [Vec<u8>; Signal::ALL.len()],
    /// `ExemplarsData`, not sent by itself.
    exemplars: Vec<u8>,
}

/// The place of points among the bodies.
const METRICS: usize = 2;

impl Requests {
    fn of(sections: Vec<Section>) -> Self {
        let mut requests = Self::default();
        let Self { bodies: [traces, logs, metrics], exemplars } = &mut requests;
        for section in sections {
            let (body, bytes) = match section {
                Section::Traces(bytes) => (&mut *traces, bytes),
                Section::Logs(bytes) => (&mut *logs, bytes),
                Section::Metrics(bytes) => (&mut *metrics, bytes),
                Section::Exemplars(bytes) => (&mut *exemplars, bytes),
                // Gap records have no place in OTLP and stay behind.
                Section::Gap(_) => continue,
            };
            match body.is_empty() {
                // A large section is not there twice.
                true => *body = bytes,
                // Repeated fields of one message type: one after the other they are one message.
                false => body.extend(bytes),
            }
        }
        requests
    }
}

/// All frames' requests of a signal as one, with the exemplars that go with it.
struct Whole {
    request: Joined,
    attached: Option<Attached>,
}

/// Frames' requests of a signal as one.
enum Joined {
    /// One frame alone has something: its bytes are not there twice.
    Frame(usize),
    Bytes(Vec<u8>),
}

impl Joined {
    fn bytes<'a>(&'a self, place: usize, frames: &'a [Requests]) -> &'a [u8] {
        match self {
            Joined::Frame(index) => &frames[*index].bodies[place],
            Joined::Bytes(bytes) => bytes,
        }
    }
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

/// One turn with a block: from its first signal to its last.
#[derive(Default)]
struct Turn {
    frames: Vec<Requests>,
    /// The signal that is at work.
    place: usize,
    attempt: Attempt,
    whole: Option<Whole>,
    failed: Option<SendError>,
}

/// Blocks on their way to one OTLP endpoint. Exemplars go with the next point of their series once their trace was confirmed here;
/// what waits for that lives in memory, at most [`crate::EXEMPLAR_BYTES`].
///
/// [`Delivery::begin`] with a block, then send what [`Delivery::request`] gives and tell the answer to [`Delivery::answered`] until there
/// is no more, then [`Delivery::finish`].
pub struct Delivery {
    inflater: Inflater,
    exemplars: Exemplars,
    progress: Progress,
    turn: Turn,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            inflater: Inflater::new(),
            exemplars: Exemplars::default(),
            progress: Progress::default(),
            turn: Turn::default(),
        }
    }
}

impl Delivery {
    /// Begins with a block, or goes on with the one that was not finished.
    ///
    /// # Errors
    /// [`SendError::Retry`] when it cannot be read.
    pub fn begin(&mut self, block: &[u8]) -> Result<(), SendError> {
        let unreadable =
            |why: String| SendError::retry(Refusal::Damaged, format!("a block on disk cannot be read: {why}"));
        let (raw, _) = RawBlock::parse(block).map_err(|error| unreadable(error.to_string()))?;
        let content = raw.frames(&mut self.inflater).map_err(|error| unreadable(error.to_string()))?;
        let mut frames: Vec<Requests> = Vec::new();
        for (_, bytes) in content {
            let frame = wire::decode_frame(bytes).map_err(|error| unreadable(error.to_string()))?;
            frames.push(Requests::of(frame.sections));
        }
        self.inflater.release();
        let header = raw.header();
        let id = (header.epoch, header.lane, header.first, header.last());
        if self.progress.block != Some(id) {
            self.progress = Progress { block: Some(id), ..Progress::default() };
        }
        self.turn = Turn { frames, ..Turn::default() };
        Ok(())
    }

    /// The next request; `None` when there is none any more.
    pub fn request(&mut self) -> Option<(Signal, &[u8])> {
        while let Some(signal) = Signal::ALL.get(self.turn.place).copied() {
            if let Attempt::Probe(_) = self.turn.attempt {
                return Some((signal, &[]));
            }
            let (place, part) = (self.turn.place, &mut self.progress.parts[self.turn.place]);
            let frames = &self.turn.frames;
            let filled = |index: &usize| frames.get(*index).is_some_and(|frame| !frame.bodies[place].is_empty());
            let first = if part.done { None } else { (part.next_frame.unwrap_or(0)..frames.len()).find(filled) };
            let Some(first) = first else {
                part.done = true;
                self.turn.place += 1;
                continue;
            };
            part.taken.resize(frames.len(), false);
            if let Some(next) = &mut part.next_frame {
                *next = first;
                return Some((signal, &self.turn.frames[first].bodies[place]));
            }
            let whole = self.turn.whole.take().unwrap_or_else(|| whole(place, frames, &self.exemplars));
            return Some((signal, self.turn.whole.insert(whole).request.bytes(place, frames)));
        }
        None
    }

    /// What the server said to the last request.
    pub fn answered(&mut self, answer: Result<PartialSuccess, SendError>) {
        let part = &mut self.progress.parts[self.turn.place];
        match (std::mem::take(&mut self.turn.attempt), answer) {
            // A server that fails again and again at the same bytes, and takes an empty request meanwhile, will not take them; one that
            // does not take that either is not well, and is waited for.
            (Attempt::Request, Err(error @ SendError::Retry { doubtful: true, .. })) => {
                part.doubts += 1;
                if part.doubts < DOUBTS { self.fail(error) } else { self.turn.attempt = Attempt::Probe(error) }
            }
            (Attempt::Probe(error), Err(_)) => self.fail(error),
            (Attempt::Probe(_), Ok(_)) => self.turn.attempt = Attempt::Again,
            (Attempt::Again, Err(error @ SendError::Retry { doubtful: true, .. })) => {
                let why = format!("{error} (again and again, for these records only)");
                self.refused(error.reason(), why);
            }
            (_, Ok(partial)) => self.took(partial),
            (_, Err(SendError::Rejected { reason, why })) => self.refused(reason, why),
            (_, Err(error)) => self.fail(error),
        }
    }

    /// What became of the block's records, once there is no request any more.
    ///
    /// # Errors
    /// [`SendError::Retry`] and [`SendError::Blocked`]: not everything is decided, the block is to be given again.
    pub fn finish(&mut self) -> Result<Delivered, SendError> {
        let Turn { frames, failed, .. } = std::mem::take(&mut self.turn);
        if let Some(error) = failed {
            return Err(error);
        }
        let Progress { parts, refused, .. } = std::mem::take(&mut self.progress);
        let [traces, ..] = &parts;
        for (index, frame) in frames.iter().enumerate() {
            // Which ones were rejected of a partial success is not told.
            if frame.bodies[0].is_empty() || traces.taken.get(index) == Some(&true) {
                self.confirmed(frame);
            }
        }
        let rejected = refused.iter().map(|one| one.records).sum();
        let delivered = parts.iter().map(|part| part.delivered).sum();
        Ok(Delivered { delivered, rejected, refused })
    }

    /// What became of exemplars.
    pub fn exemplars(&self) -> ExemplarCounts {
        ExemplarCounts { sent: self.exemplars.sent(), left_out: self.exemplars.left_out() }
    }

    /// The signal at work cannot be sent now. What an operator has to mend is told before what mends itself.
    fn fail(&mut self, error: SendError) {
        let is_worse = self.turn.failed.is_none() || matches!(error, SendError::Blocked { .. });
        if is_worse {
            self.turn.failed = Some(error);
        }
        self.next_signal();
    }

    fn next_signal(&mut self) {
        self.turn.place += 1;
        self.turn.whole = None;
    }

    /// The request was answered with success, in full or in part.
    fn took(&mut self, partial: PartialSuccess) {
        let (place, signal) = (self.turn.place, Signal::ALL[self.turn.place]);
        let whole = self.turn.whole.take();
        let Progress { parts, refused, .. } = &mut self.progress;
        let part = &mut parts[place];
        let request = match (&whole, part.next_frame) {
            (Some(whole), _) => whole.request.bytes(place, &self.turn.frames),
            (None, frame) => &self.turn.frames[frame.unwrap_or(0)].bodies[place],
        };
        let records = count_records(signal, request).unwrap_or(0);
        let rejected = partial.rejected.min(records);
        part.delivered += records - rejected;
        if rejected > 0 || !partial.message.is_empty() {
            let (reason, words) = (Refusal::PartialSuccess, partial.message);
            refused.push(Refused { signal, reason, words, records: rejected, request: Vec::new() });
        }
        match whole {
            Some(whole) => {
                part.taken.fill(rejected == 0);
                part.done = true;
                self.release(whole.attached.as_ref(), true);
                self.next_signal();
            }
            None => {
                let frame = part.next_frame.unwrap_or(0);
                part.taken[frame] = partial.rejected == 0;
                part.next_frame = Some(frame + 1);
            }
        }
    }

    /// The server will never take the request.
    fn refused(&mut self, reason: Refusal, words: String) {
        let (place, signal) = (self.turn.place, Signal::ALL[self.turn.place]);
        let whole = self.turn.whole.take();
        let part = &mut self.progress.parts[place];
        let request = match whole {
            Some(Whole { request, attached }) => {
                // They may be what was refused.
                self.release(attached.as_ref(), false);
                let filled = self.turn.frames.iter().filter(|frame| !frame.bodies[place].is_empty()).count();
                if filled > 1 || attached.is_some() {
                    self.progress.parts[place].next_frame = Some(0);
                    return;
                }
                self.progress.parts[place].done = true;
                request.bytes(place, &self.turn.frames).to_vec()
            }
            None => {
                let frame = part.next_frame.unwrap_or(0);
                part.next_frame = Some(frame + 1);
                self.turn.frames[frame].bodies[place].clone()
            }
        };
        let records = count_records(signal, &request).unwrap_or(0);
        self.progress.refused.push(Refused { signal, reason, words, records, request });
    }

    fn release(&mut self, attached: Option<&Attached>, sent: bool) {
        if let Some(attached) = attached {
            self.exemplars.release(attached, sent);
        }
    }

    /// A frame's spans are there: what links to its traces may follow.
    fn confirmed(&mut self, frame: &Requests) {
        let [traces, ..] = &frame.bodies;
        let noted = self.exemplars.confirm(traces).and_then(|()| self.exemplars.hold(&frame.exemplars));
        if noted.is_err() {
            self.exemplars.leave_out();
        }
    }
}

/// All frames' requests of a signal as one, with the exemplars that may go now.
fn whole(place: usize, frames: &[Requests], exemplars: &Exemplars) -> Whole {
    let filled = || (0..).zip(frames).filter(|(_, frame)| !frame.bodies[place].is_empty());
    let request = match (filled().next(), filled().nth(1)) {
        (Some((only, _)), None) => Joined::Frame(only),
        _ => {
            let mut bytes = Vec::with_capacity(filled().map(|(_, frame)| frame.bodies[place].len()).sum());
            filled().for_each(|(_, frame)| bytes.extend_from_slice(&frame.bodies[place]));
            Joined::Bytes(bytes)
        }
    };
    if place != METRICS {
        return Whole { request, attached: None };
    }
    match exemplars.attach(request.bytes(place, frames)).unwrap_or_default() {
        Some(mut attached) => {
            Whole { request: Joined::Bytes(std::mem::take(&mut attached.metrics)), attached: Some(attached) }
        }
        None => Whole { request, attached: None },
    }
}
