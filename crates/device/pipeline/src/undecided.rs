//! What waits for a decision: the recorder that holds it, the sampler that decides, and the outcome of each decision. Nobody else
//! pins an entry of the recorder or unpins it.

mod checkpoint;
mod fetched;
mod incoming;
mod outcomes;
mod remaining;

use std::ops::Range;
use std::sync::Arc;

use limit::TraceLimits;
use model::otlp::{PIECE_RECORDS, SpanFacts};
use model::{Signal, TraceId};
use recorder::{Compressed, Content, Recorder};
use sampling::{Decided, EntryId, Fetch, FieldNames, LogRecordRule, Remembered, Sampler, Verdict};

#[cfg(feature = "mutants")]
use crate::mutants::Mutant;

pub use fetched::trace_of;
pub(crate) use incoming::Coming;
pub use incoming::span_part;
pub(crate) use outcomes::groups;
pub use remaining::RemainingRequest;
pub(crate) use remaining::{Remaining, select};

use checkpoint::Checkpoint;

/// How many traces are decided early at once when memory runs short.
const EARLY_TRACES: usize = 64;

/// What becomes of log records that no decision covers, and what is written on kept spans.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// Fields of log records that an operator named.
    pub fields: Arc<FieldNames>,
    /// For log records without a trace.
    pub without_trace: LogRecordRule,
    /// For log records of traces that never sent a span.
    pub without_spans: LogRecordRule,
    /// Whether the root of a kept trace says which policy kept it (`tailsampling.policy`).
    pub record_policy: bool,
    /// Whether the threshold of consistent probability is written into the `tracestate` of kept spans.
    pub tracestate: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            fields: Arc::default(),
            without_trace: LogRecordRule::ALL,
            without_spans: LogRecordRule::WARNINGS,
            record_policy: true,
            tracestate: true,
        }
    }
}

/// Recorder, sampler, and how far both are safe.
pub(crate) struct Undecided {
    recorder: Recorder,
    sampler: Sampler,
    limits: Option<TraceLimits>,
    rules: Rules,
    checkpoint: Checkpoint,
    /// When what was undecided before a restart came again, until all of it is decided.
    resumed_ns: Option<u64>,
    #[cfg(feature = "mutants")]
    mutant: Mutant,
}

impl Undecided {
    /// Nothing, with room for so many bytes in the recorder.
    pub(crate) fn new(recorder_bytes: u64, sampler: Sampler) -> Self {
        Self {
            recorder: Recorder::new(recorder_bytes),
            sampler,
            limits: None,
            rules: Rules::default(),
            checkpoint: Checkpoint::default(),
            resumed_ns: None,
            #[cfg(feature = "mutants")]
            mutant: Mutant::from_environment(),
        }
    }

    /// Sets other rules than the usual ones.
    pub(crate) fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// Sets how many traces may come in.
    pub(crate) fn set_limits(&mut self, limits: Option<TraceLimits>) {
        self.limits = limits;
    }

    /// How many traces may come in, where that is limited.
    pub(crate) fn limits(&self) -> Option<&TraceLimits> {
        self.limits.as_ref()
    }

    /// Its rules.
    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The sampler, to be looked at.
    pub(crate) fn sampler(&self) -> &Sampler {
        &self.sampler
    }

    /// The sampler, to be told of clocks, incidents and routes. Parts of traces reach it through `admit_*` only.
    pub(crate) fn sampler_mut(&mut self) -> &mut Sampler {
        &mut self.sampler
    }

    /// Bytes in use: recorder and index.
    pub(crate) fn bytes(&self) -> u64 {
        self.recorder.bytes() + self.sampler.stats().bytes
    }

    /// The wall time up to which whatever came in of traces is decided, when it is `now_ns` and `wall_ns`; 0 while some of it
    /// is from before a restart, and so nobody knows.
    pub(crate) fn decided_to(&mut self, now_ns: u64, wall_ns: u64) -> u64 {
        let oldest = self.sampler.oldest_pending_ns();
        match (oldest, self.resumed_ns) {
            (Some(oldest), Some(resumed)) if oldest <= resumed => return 0,
            _ => self.resumed_ns = None,
        }
        wall_ns.saturating_sub(oldest.map_or(0, |oldest| now_ns.saturating_sub(oldest)))
    }
}

/// What the recorder holds in memory.
impl Undecided {
    /// The id that the next entry will have.
    pub(crate) fn recorder_end(&self) -> EntryId {
        self.recorder.next_id()
    }

    /// Calls `each` with the entries of these ids that are held, in order, until it says false. Gives the id from which to go on.
    pub(crate) fn read_entries(
        &mut self,
        ids: Range<EntryId>,
        mut each: impl FnMut(EntryId, Content, &[u8]) -> bool,
    ) -> EntryId {
        let mut next = ids.start;
        while next < ids.end {
            let Some(id) = self.recorder.ids(next).next().filter(|id| *id < ids.end) else { break };
            next = id + 1;
            if let Some((content, bytes)) = self.recorder.get(id)
                && !each(id, content, bytes)
            {
                return next;
            }
        }
        self.recorder.release_buffer();
        ids.end
    }
}

/// Room.
impl Undecided {
    /// How many records may go together: each may be a trace of its own, and the index has to have a place for them.
    pub(crate) fn most_together(&self, signal: Signal) -> u64 {
        let halves = std::iter::successors(Some(PIECE_RECORDS), |most| Some(most / 2));
        let fits = |most: &u64| *most <= 1 || signal == Signal::Metrics || self.sampler.could_hold(*most as usize);
        halves.into_iter().find(fits).unwrap_or(1).max(1)
    }

    /// The most traces that a request can add to the index; `facts` of its spans, where they are known.
    pub(crate) fn traces_of(&self, signal: Signal, request: &[u8], facts: Option<&SpanFacts>) -> usize {
        /// The least bytes of a span or log record with a trace id.
        const LEAST: usize = 20;
        let most = facts.map_or(request.len() / LEAST + 1, SpanFacts::len);
        match (signal, facts) {
            (Signal::Metrics, _) => 0,
            _ if self.sampler.could_hold(most) && self.sampler.has_room(most) => most,
            (_, Some(facts)) => facts.trace_runs(),
            _ => incoming::trace_runs(signal, request).unwrap_or(most),
        }
    }

    /// Whether so many traces can wait at all.
    pub(crate) fn could_hold(&self, traces: usize) -> bool {
        self.sampler.could_hold(traces)
    }

    /// Makes room for so many traces and bytes; false when what is undecided is in the way.
    pub(crate) fn make_room(&mut self, traces: usize, bytes: usize) -> bool {
        self.sampler.make_room(traces) && self.recorder.make_room(bytes)
    }

    /// Compresses what is to wait as one entry, where it is large enough for that.
    pub(crate) fn compressed(&mut self, bytes: &[u8]) -> Option<Compressed> {
        self.recorder.compressed(bytes)
    }

    /// Makes room for bytes that have to come in, as far as that can be.
    pub(crate) fn make_room_if_possible(&mut self, bytes: usize) {
        let _made = self.recorder.make_room(bytes);
    }
}

/// Decisions.
impl Undecided {
    /// The decisions whose time has come.
    pub(crate) fn due(&mut self, now_ns: u64) -> Vec<Decided> {
        let mut decided = Vec::new();
        self.sampler.tick(now_ns, |one| decided.push(one));
        decided
    }

    /// Decisions before their time, because memory runs short: complete, quiet traces; empty when there is none.
    pub(crate) fn decided_early(&mut self, now_ns: u64) -> Vec<Decided> {
        let mut decided = Vec::new();
        self.sampler.decide_early(now_ns, EARLY_TRACES, |one| decided.push(one));
        decided
    }

    /// Whether a dropped trace is to be kept after all.
    pub(crate) fn has_recalls(&self) -> bool {
        self.sampler.has_recalls()
    }

    /// Dropped traces that are kept after all because something worth it came, where the recorder still holds them; then those whose
    /// log records were released before. A trace may be in both: with what was dropped of it, and with what was released.
    pub(crate) fn recalled(&mut self, now_ns: u64) -> (Vec<Decided>, Vec<Decided>) {
        let Self { sampler, recorder, .. } = self;
        let pin_all = |entries: &[EntryId]| {
            let pinned = entries.iter().take_while(|entry| recorder.pin(**entry)).count();
            let all = pinned == entries.len();
            if !all {
                entries.iter().take(pinned).for_each(|entry| recorder.unpin(*entry));
            }
            all
        };
        let mut decided = Vec::new();
        sampler.recall(now_ns, pin_all, |one| decided.push(one));
        let (released, dropped) = decided.into_iter().partition(|one| one.released);
        (dropped, released)
    }

    /// Tells the sampler what the recorder does not hold any more.
    pub(crate) fn forget_overwritten(&mut self) {
        self.sampler.overwritten_before(self.recorder.oldest_id());
    }

    /// Asks for a trace after all.
    pub(crate) fn fetch(&mut self, trace: &TraceId) -> Fetch {
        self.sampler.fetch(trace)
    }

    /// The decision over a trace, where one is remembered.
    pub(crate) fn verdict(&self, trace: &TraceId) -> Option<Verdict> {
        self.sampler.verdict(trace)
    }

    /// Remembers decisions of an earlier life, of this age.
    pub(crate) fn restore(&mut self, bits: impl IntoIterator<Item = u64>, age_ns: u64, now_ns: u64) {
        self.sampler.restore(bits.into_iter().map(Remembered::from_bits), age_ns, now_ns);
    }

    /// What was undecided before a restart is again.
    pub(crate) fn set_resumed(&mut self, now_ns: u64) {
        self.resumed_ns = Some(now_ns);
    }
}
