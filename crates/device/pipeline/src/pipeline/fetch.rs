//! What was not delivered, or was delivered before, asked for after all: dropped traces while the recorder holds them, and
//! records that whoever asks has read from the recorder's files or from history.

use std::collections::BTreeSet;
use std::fmt;

use filter::Query;
use model::otlp::inspect;
use model::proto::ProtoError;
use model::{Lane, Signal, TraceId};
use sampling::{Fetch, Verdict};

use crate::books;
use crate::outbox::{Batch, Sections};

use super::Pipeline;

/// The most traces that one request fetches.
const MOST: usize = 1000;

/// What a fetch request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fetched {
    /// Dropped traces that are delivered now, whole.
    pub traces: u64,
    /// Traces that were kept before.
    pub kept: u64,
    /// Traces that still wait for their decision.
    pub undecided: u64,
    /// Traces of which the recorder holds a part only.
    pub gone: u64,
    /// Whether there were more than one request fetches.
    pub more: bool,
}

impl fmt::Display for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { traces, kept, undecided, gone, more } = self;
        write!(
            f,
            "{traces} traces fetched; {kept} were kept before, {undecided} are undecided, {gone} are not whole any more"
        )?;
        if *more { write!(f, "; there are more: ask again") } else { Ok(()) }
    }
}

/// How a trace stands that somebody asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It was dropped, memory held all of it, and it is delivered now.
    Fetched,
    /// It was kept before.
    Kept,
    /// It still waits for its decision.
    Undecided,
    /// It was dropped, and memory does not hold all of it.
    Dropped,
    /// Nothing is remembered of it.
    Unknown,
}

impl Standing {
    /// One letter, for the answer on the socket.
    pub fn letter(self) -> char {
        match self {
            Standing::Fetched => 'f',
            Standing::Kept => 'k',
            Standing::Undecided => 'u',
            Standing::Dropped => 'd',
            Standing::Unknown => '-',
        }
    }
}

/// Where records come from that are delivered by request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// From the recorder: only what was not delivered is taken, and their booking changes.
    Recorder,
    /// From history: everything is taken, as new records.
    History,
}

/// Why records are not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotTaken {
    /// Too much waits for the disk: later.
    Wait,
    /// They are no OTLP.
    Bad(String),
}

impl Pipeline {
    /// Tells how traces stand. What is dropped and held in memory is delivered.
    pub fn standings(&mut self, traces: &[TraceId], lane: Option<Lane>, now_ns: u64) -> Vec<Standing> {
        let asked: Vec<Fetch> = traces.iter().map(|trace| self.undecided.fetch(trace)).collect();
        self.recall(lane, now_ns);
        let standing = |(trace, asked): (&TraceId, Fetch)| match (asked, self.undecided.verdict(trace)) {
            (Fetch::Undecided, _) => Standing::Undecided,
            (Fetch::Recalled, Some(Verdict::Keep)) => Standing::Fetched,
            (_, Some(Verdict::Keep)) => Standing::Kept,
            (_, Some(Verdict::Drop)) => Standing::Dropped,
            (_, None) => Standing::Unknown,
        };
        traces.iter().zip(asked).map(standing).collect()
    }

    /// Remembers that dropped traces are kept: all of them was given to [`Pipeline::take_fetched`].
    pub fn keep_fetched(&mut self, traces: &[TraceId], now_ns: u64) {
        for trace in traces {
            self.undecided.sampler_mut().remember(*trace, Verdict::Keep, now_ns);
        }
        self.books.kept_by_request(traces.len() as u64);
    }

    /// Takes records that were read from the recorder or from history, by the plan that every request gets, into a lane: its own, or
    /// another one. Gives how many were taken. From the recorder these are spans and log records of dropped traces, and log records
    /// that a rule left out; everything else of it was delivered.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub fn take_fetched(
        &mut self,
        signal: Signal,
        lane: Lane,
        source: Source,
        request: Vec<u8>,
    ) -> Result<u64, NotTaken> {
        if self.outbox.is_too_full_for(request.len()) {
            return Err(NotTaken::Wait);
        }
        let bad = |error: ProtoError| NotTaken::Bad(error.to_string());
        let found = inspect(signal, &request).map_err(bad)?;
        let request = self.admission.mended(signal, request, &found, None);
        let (request, plan) = self.admission.plan(signal, request, found.names_lane, None)?;
        let mut facts = books::Fetched::default();
        let request = match source {
            Source::History => request,
            Source::Recorder => {
                // What went into lanes of its own was delivered.
                let missing = self.undecided.not_delivered(signal, plan.rest(&request)).map_err(bad)?;
                (facts.sampled_out, facts.filtered) = (missing.sampled_out, missing.filtered);
                missing.request()
            }
        };
        let encoded = Batch::encode(lane, Sections::of(signal, request));
        let (batch, stats) = encoded.map_err(|fault| bad(fault.error))?;
        facts.records = batch.records.get(signal);
        if facts.records == 0 {
            return Ok(0);
        }
        self.books.fetched(signal, &facts);
        self.books.encoded(&stats);
        self.outbox.add([batch], None);
        Ok(facts.records)
    }

    /// Keeps every dropped trace after all of which a span or log record passes, with its log records, as far as memory holds it. What
    /// is recorded was masked when it came in.
    pub fn fetch(&mut self, query: &Query, lane: Option<Lane>, now_ns: u64) -> Fetched {
        let mut wanted: BTreeSet<TraceId> = BTreeSet::new();
        let mut fetched = Fetched::default();
        let unreadable = self.undecided.each_trace_of(query, self.admission.device(), |trace| {
            if wanted.len() < MOST || wanted.contains(&trace) {
                wanted.insert(trace);
            } else {
                fetched.more = true;
            }
        });
        self.books.unreadable(unreadable);
        for trace in wanted {
            match self.undecided.fetch(&trace) {
                Fetch::Recalled => fetched.traces += 1,
                Fetch::Undecided => fetched.undecided += 1,
                Fetch::Kept => fetched.kept += 1,
                Fetch::Gone => fetched.gone += 1,
            }
        }
        let before = self.sampling().recalled_too_late;
        self.recall(lane, now_ns);
        let late = self.sampling().recalled_too_late - before;
        (fetched.traces, fetched.gone) = (fetched.traces.saturating_sub(late), fetched.gone + late);
        fetched
    }
}

impl From<books::NotAdmitted> for NotTaken {
    fn from(why: books::NotAdmitted) -> Self {
        match why {
            books::NotAdmitted::Bad { why, .. } => NotTaken::Bad(why),
            _ => NotTaken::Wait,
        }
    }
}
