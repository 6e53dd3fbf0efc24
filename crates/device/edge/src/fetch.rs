//! What was not delivered, or was delivered before, asked for after all: dropped traces while the recorder holds them, and
//! records that whoever asks has read from the recorder's files or from history.

use std::collections::BTreeSet;
use std::fmt;

use filter::{Query, Record};
use journal::Content;
use model::otlp::{Selection, SpanView, for_each_scope, inspect};
use model::proto::ProtoError;
use model::{Lane, Signal, TraceId};
use query::{View, What, each_record};
use sampling::{Fetch, LineFacts, Verdict};

use crate::batch::{Batch, Sections};
use crate::marks::with_ids;
use crate::pipeline::{MAX_QUEUED, Pipeline};

/// The most traces that one order fetches.
const MOST: usize = 1000;

/// What an order came to.
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
    /// Whether there were more than one order fetches.
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

/// Where records come from that are delivered by order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// From the recorder: only what was not delivered is taken, and its booking goes over.
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

/// The trace of a record, also when a line has it in a field of another name than OTLP's.
pub fn trace_of(view: &View<'_>) -> Option<TraceId> {
    match view.what {
        What::Log(line) if line.trace_id.is_none() => LineFacts::read(view.item, &[]).ok()?.trace_id,
        _ => view.trace_id(),
    }
}

/// What was selected of a request, and of which booking.
#[derive(Default)]
struct Selected {
    selection: Selection,
    sampled_out: u64,
    filtered: u64,
}

impl Pipeline {
    /// Tells how traces stand. What is dropped and held in memory is delivered.
    pub fn standings(&mut self, traces: &[TraceId], lane: Option<Lane>, now_ns: u64) -> Vec<Standing> {
        let asked: Vec<Fetch> = traces.iter().map(|trace| self.sampler.fetch(trace)).collect();
        self.recall_into(lane, now_ns);
        let standing = |(trace, asked): (&TraceId, Fetch)| match (asked, self.sampler.verdict(trace)) {
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
            self.sampler.remember(*trace, Verdict::Keep, now_ns);
        }
        self.ledger.kept_traces += traces.len() as u64;
    }

    /// Takes records that were read from the recorder or from history, through the guard, into a lane: its own, or another
    /// one. Gives how many were taken. From the recorder these are spans and lines of dropped traces, and lines that a rule
    /// left out; everything else of it was delivered.
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
        if self.queued_bytes() > 0 && self.queued_bytes() + request.len() > MAX_QUEUED {
            return Err(NotTaken::Wait);
        }
        let bad = |error: ProtoError| NotTaken::Bad(error.to_string());
        let found = inspect(signal, &request).map_err(bad)?;
        let request = self.mended(signal, request, &found);
        let request = self.guard.admit(signal, request);
        let (request, sampled_out, filtered) = match source {
            Source::History => (request, 0, 0),
            Source::Recorder => {
                let Selected { selection, sampled_out, filtered } =
                    self.not_delivered(signal, &request).map_err(bad)?;
                let mut request = Vec::with_capacity(selection.bytes());
                selection.write(&mut request);
                (request, sampled_out, filtered)
            }
        };
        let encoded = Batch::encode(lane, Sections::of(signal, request));
        let (batch, stats) = encoded.map_err(|fault| bad(fault.error))?;
        let records = batch.records.get(signal);
        if records == 0 {
            return Ok(0);
        }
        self.counters.unknown_fields += stats.unknown_fields;
        self.counters.invalid_utf8 += stats.invalid_utf8;
        // Books that began anew do not know of all.
        let sampled_out = sampled_out.min(self.ledger.sampled_out.get(signal));
        let filtered = filtered.min(self.ledger.filtered.get(signal));
        self.ledger.sampled_out.sub(signal, sampled_out);
        self.ledger.filtered.sub(signal, filtered);
        self.ledger.generated.add(signal, records - sampled_out - filtered);
        self.ledger.pending.add(signal, records);
        self.batches.push(batch);
        Ok(records)
    }

    fn not_delivered(&self, signal: Signal, request: &[u8]) -> Result<Selected, ProtoError> {
        let mut selected = Selected::default();
        // What went into lanes of its own was delivered, and so were all points.
        let split = self.lanes.split(signal, request)?;
        let request = split.as_ref().map_or(request, |split| &split.rest);
        let dropped = |trace: &TraceId| self.sampler.verdict(trace) == Some(Verdict::Drop);
        match signal {
            Signal::Traces => for_each_scope::<ProtoError>(request, |scope| {
                for item in scope.items() {
                    let item = item?;
                    if SpanView::read(item)?.trace_id.is_some_and(|trace| dropped(&trace)) {
                        selected.selection.push(&scope, item);
                        selected.sampled_out += 1;
                    }
                }
                Ok(())
            })?,
            Signal::Logs => for_each_scope::<ProtoError>(request, |scope| {
                for item in scope.items() {
                    let item = item?;
                    let line = LineFacts::read(item, &[self.rules.untraced_lines])?;
                    let count = match line.trace_id {
                        Some(trace) if dropped(&trace) => &mut selected.sampled_out,
                        None if !self.rules.untraced_lines.keeps(&line) => &mut selected.filtered,
                        _ => continue,
                    };
                    *count += 1;
                    selected.selection.push(&scope, &with_ids(item, &line));
                }
                Ok(())
            })?,
            Signal::Metrics => {}
        }
        Ok(selected)
    }

    /// Carries recalls out, into another lane than that of traces where one is named.
    fn recall_into(&mut self, lane: Option<Lane>, now_ns: u64) {
        let before = self.batches.len();
        self.recall(now_ns);
        if let Some(lane) = lane {
            self.batches.iter_mut().skip(before).for_each(|batch| batch.lane = lane);
        }
    }

    /// Keeps every dropped trace after all of which a span or line passes, with its lines, as far as memory holds it. What
    /// is recorded was masked when it came in.
    pub fn fetch(&mut self, query: &Query, lane: Option<Lane>, now_ns: u64) -> Fetched {
        let mut wanted: BTreeSet<TraceId> = BTreeSet::new();
        let mut fetched = Fetched::default();
        let ids: Vec<_> = self.recorder.ids(self.recorder.oldest_id()).collect();
        for id in ids {
            let Some((Content::Request(signal), bytes)) = self.recorder.get(id) else { continue };
            let walked = each_record(signal, bytes, &self.lanes.device, |view| {
                let passes = query.range.contains(view.time_ns()) && query.filter.matches(&view);
                let Some(trace) = passes.then(|| trace_of(&view)).flatten() else { return };
                if wanted.len() < MOST || wanted.contains(&trace) {
                    wanted.insert(trace);
                } else {
                    fetched.more = true;
                }
            });
            self.counters.unreadable += u64::from(walked.is_err());
        }
        self.recorder.rest();
        for trace in wanted {
            match self.sampler.fetch(&trace) {
                Fetch::Recalled => fetched.traces += 1,
                Fetch::Undecided => fetched.undecided += 1,
                Fetch::Kept => fetched.kept += 1,
                Fetch::Gone => fetched.gone += 1,
            }
        }
        let before = self.sampling().recalled_too_late;
        self.recall_into(lane, now_ns);
        let late = self.sampling().recalled_too_late - before;
        (fetched.traces, fetched.gone) = (fetched.traces.saturating_sub(late), fetched.gone + late);
        fetched
    }
}
