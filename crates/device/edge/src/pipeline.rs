//! The way of a record from a source's hand to the journal's: guard, RED, recorder, sampler, batches. No IO, no clock:
//! `now_ns` is monotonic, `wall_ns` is data.

use std::time::Duration;

use guard::Guard;
use journal::Recorder;
use ledger::{Ledger, PerSignal};
use model::{Lane, RefusalCounts, Signal};
use red::Red;
use sampling::{LineRule, Sampler};

use crate::admission::Recorded;
use crate::batch::{Batch, Builder};
use crate::carry_out::{Finished, finish};
use crate::lanes::{LaneRules, LaneShares};
use crate::pressure::{LaneStanding, Pressure, Watermarks};
use crate::repeats::Repeats;
use crate::reserve::Reserve;
use crate::take::trace_runs;

/// Decisions are carried out together up to so many bytes of records: about one frame.
pub(crate) const FRAME_BYTES: u64 = 48 << 10;
/// What waits for the journal may take so much memory; beyond it producers are told to wait.
pub(crate) const MAX_QUEUED: usize = 256 << 10;
/// So many frames of a large request wait for the journal: small ones may hold many records.
const MAX_FRAMES: usize = 6;
/// How long a producer is told to wait.
pub(crate) const WAIT: Duration = Duration::from_secs(1);
/// How many traces are decided early at once when memory runs short.
const EARLY_TRACES: usize = 64;

/// Counters beside the ledger, since start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests that were not protobuf of their signal.
    pub bad_requests: u64,
    /// Requests that are not taken, by reason; the same ones as far as they were bad.
    pub refused: RefusalCounts,
    /// Records of accepted requests that are not taken, by reason.
    pub rejected: RefusalCounts,
    /// Texts, ids and times that were mended, by reason.
    pub mended: RefusalCounts,
    /// Records that named a lane that they may not choose: they stay in their usual one.
    pub rejected_lanes: u64,
    /// Requests that were accepted before and came again, by their key: answered, not taken twice.
    pub repeated_requests: u64,
    /// Spans without a usable trace id: filtered.
    pub spans_without_trace: u64,
    /// Fields that the pinned schema does not know: left out.
    pub unknown_fields: u64,
    /// Texts that are not UTF-8: kept as bytes.
    pub invalid_utf8: u64,
    /// Lines whose trace id stood in a field of another name than OTLP's.
    pub trace_ids_from_fields: u64,
    /// Lines without a trace, or without spans of theirs, left out by their rule.
    pub lines_by_rule: u64,
    /// Exemplars that went with their kept trace.
    pub exemplars: u64,
    /// Exemplars of incoming points that found no room to wait for their trace: left out.
    pub exemplars_without_room: u64,
    /// Spans that end before they start, or at a time that nobody can mean: their durations saturate.
    pub odd_times: u64,
    /// Records that could not be encoded: left out, booked as filtered.
    pub unencodable: u64,
    /// Requests, taken in or recorded, that could not be read again.
    pub unreadable: u64,
}

/// What the pipeline does with lines that no decision covers, and what it writes on kept spans.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// For lines without a trace.
    pub untraced_lines: LineRule,
    /// For lines of traces that never sent a span.
    pub spanless_lines: LineRule,
    /// Whether the root of a kept trace says which policy kept it (`tailsampling.policy`).
    pub record_policy: bool,
    /// Whether the threshold of consistent probability is written into the `tracestate` of kept spans.
    pub tracestate: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            untraced_lines: LineRule::ALL,
            spanless_lines: LineRule::WARNINGS,
            record_policy: true,
            tracestate: true,
        }
    }
}

/// Everything between a source and the journal.
pub struct Pipeline {
    pub(crate) guard: Guard,
    pub(crate) red: Option<Red>,
    pub(crate) recorder: Recorder,
    pub(crate) sampler: Sampler,
    pub(crate) rules: Rules,
    pub(crate) lanes: LaneRules,
    pub(crate) lane_shares: LaneShares,
    /// Wall time, for records that came without one.
    pub(crate) wall_ns: u64,
    pub(crate) pressure: Pressure,
    pub(crate) ledger: Ledger,
    pub(crate) counters: Counters,
    pub(crate) policy_keeps: Vec<u64>,
    /// What comes in for the metrics and logs lanes, and late parts of kept traces.
    pub(crate) direct: Builder,
    /// Ready for the journal.
    pub(crate) batches: Vec<Batch>,
    pub(crate) repeats: Repeats,
    pub(crate) recorded: Recorded,
    pub(crate) reserve: Reserve,
    /// What was undecided before a restart, and is again.
    pub(crate) resumed_pending: PerSignal,
    /// When that was, until all of it is decided.
    pub(crate) resumed_ns: Option<u64>,
    #[cfg(feature = "mutants")]
    pub(crate) mutant: crate::mutants::Mutant,
}

impl Pipeline {
    /// Where a trace stands with the sampler.
    pub(crate) fn standing(&self, trace: &model::TraceId) -> sampling::Standing {
        self.sampler.standing(trace)
    }

    /// A pipeline that goes on with a ledger.
    pub fn new(recorder_bytes: u64, sampler: Sampler, red: Option<Red>, ledger: Ledger) -> Self {
        Self {
            guard: Guard::default(),
            red,
            recorder: Recorder::new(recorder_bytes),
            sampler,
            rules: Rules::default(),
            lanes: LaneRules::default(),
            lane_shares: LaneShares::default(),
            wall_ns: 0,
            pressure: Pressure::default(),
            ledger,
            counters: Counters::default(),
            policy_keeps: Vec::new(),
            direct: Builder::default(),
            batches: Vec::new(),
            repeats: Repeats::default(),
            recorded: Recorded::default(),
            reserve: Reserve::default(),
            resumed_pending: PerSignal::default(),
            resumed_ns: None,
            #[cfg(feature = "mutants")]
            mutant: crate::mutants::Mutant::from_environment(),
        }
    }

    /// Sets other rules than the usual ones.
    #[must_use]
    pub fn with_rules(self, rules: Rules) -> Self {
        Self { rules, ..self }
    }

    /// Sets who goes into lanes of their own.
    #[must_use]
    pub fn with_lanes(self, lanes: LaneRules) -> Self {
        Self { lanes, ..self }
    }

    /// Sets between which backlogs lanes refuse, by the lane's number; without, none does.
    #[must_use]
    pub fn with_watermarks(self, marks: [Option<Watermarks>; Lane::ALL.len()]) -> Self {
        Self { pressure: Pressure::new(marks), ..self }
    }

    /// Tells what each lane has on disk that some destination has not confirmed, by the lane's number; gives the lanes that begin
    /// or end to refuse by that.
    pub fn set_backlog(&mut self, bytes: [u64; Lane::ALL.len()]) -> Vec<LaneStanding> {
        self.pressure.set_backlog(bytes)
    }

    /// How each lane that has watermarks stands.
    pub fn lane_standings(&self) -> impl Iterator<Item = LaneStanding> {
        self.pressure.lane_standings()
    }

    /// Everything recorded below this sequence was taken in, or cannot be read any more.
    pub(crate) fn skip_to(&mut self, next: u64) {
        self.recorded.skip_to(next);
    }

    /// The most traces that a request can add to the index.
    pub(crate) fn traces_of(&self, signal: Signal, request: &[u8]) -> usize {
        /// The least bytes of a span or line with a trace id.
        const LEAST: usize = 20;
        let most = request.len() / LEAST + 1;
        match signal {
            Signal::Metrics => 0,
            _ if self.sampler.could_hold(most) && self.sampler.has_room(most) => most,
            _ => trace_runs(signal, request).unwrap_or(most),
        }
    }

    /// Whether there is room for a request of which so many bytes and traces may wait for decisions.
    pub(crate) fn has_room(&mut self, waits: usize, traces: usize, now_ns: u64) -> bool {
        if self.queued_bytes() > MAX_QUEUED {
            return false;
        }
        // A request may split into what waits and what goes on: it is counted whole.
        while waits > 0 && !(self.sampler.make_room(traces) && self.recorder.make_room(waits)) {
            let mut decided = Vec::new();
            if self.sampler.decide_early(now_ns, EARLY_TRACES, |one| decided.push(one)) == 0 {
                return false;
            }
            self.carry_out(&decided);
        }
        true
    }

    /// Bytes that wait for the journal.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.direct.bytes() + self.batches.iter().map(|batch| batch.body.len()).sum::<usize>()
    }

    /// Carries out the decisions whose time has come.
    pub fn tick(&mut self, now_ns: u64) {
        let mut decided = Vec::new();
        self.sampler.tick(now_ns, |one| decided.push(one));
        self.carry_out(&decided);
        self.recall(now_ns);
        self.sampler.overwritten_before(self.recorder.oldest_id());
    }

    /// Tells how both clocks stand.
    pub fn set_clocks(&mut self, now_ns: u64, wall_ns: u64) {
        self.sampler.set_clocks(now_ns, wall_ns);
        if let Some(red) = &mut self.red {
            red.set_now(wall_ns);
        }
        self.wall_ns = wall_ns;
    }

    /// Tells the wall time that records without one get.
    pub(crate) fn set_wall(&mut self, wall_ns: u64) {
        self.wall_ns = wall_ns;
    }

    /// Keeps dropped traces after all for which something worth it came, where the recorder still holds them.
    pub(crate) fn recall(&mut self, now_ns: u64) {
        if !self.sampler.has_recalls() {
            return;
        }
        let Self { sampler, recorder, .. } = self;
        let pin_all = |entries: &[sampling::EntryId]| {
            let pinned = entries.iter().take_while(|entry| recorder.pin(**entry)).count();
            let all = pinned == entries.len();
            if !all {
                entries.iter().take(pinned).for_each(|entry| recorder.unpin(*entry));
            }
            all
        };
        let mut decided = Vec::new();
        sampler.recall(now_ns, pin_all, |one| decided.push(one));
        // A trace may be there twice: with what was dropped of it, and with what was let go before.
        let (let_go, dropped): (Vec<_>, Vec<_>) = decided.into_iter().partition(|one| one.let_go);
        self.carry_out(&dropped);
        self.carry_out(&let_go);
    }

    /// Adds the RED metrics of now. They are cumulative: while the journal takes nothing, the next ones will say it all.
    pub fn write_red(&mut self, wall_ns: u64) {
        if self.queued_bytes() > MAX_QUEUED {
            return;
        }
        let Some(red) = &mut self.red else { return };
        let points = red.write(wall_ns, &mut self.direct.points);
        self.ledger.generated.add(Signal::Metrics, points);
        self.ledger.pending.add(Signal::Metrics, points);
    }

    /// Whether what is ready is enough for a frame of its own.
    pub fn is_full(&self) -> bool {
        self.queued_bytes() as u64 >= FRAME_BYTES
    }

    /// Makes a frame of what goes on without a decision. Each piece of a large request is about one: few bytes may be many
    /// records, and encoding them needs memory for each.
    pub(crate) fn seal(&mut self) {
        if self.direct.bytes() > 0 {
            let mut finished = Finished::default();
            finish(std::mem::take(&mut self.direct), &mut self.counters, &mut finished);
            self.take_finished(finished);
        }
    }

    /// Whether so much waits for the journal that the next piece of a large request is to wait, too.
    pub(crate) fn is_crowded(&self) -> bool {
        self.queued_bytes() > MAX_QUEUED / 2 || self.batches.len() > MAX_FRAMES
    }

    /// Hands over everything that is ready for the journal, and books it as routed.
    pub fn take_batches(&mut self) -> Vec<Batch> {
        let direct = std::mem::take(&mut self.direct);
        let mut finished = Finished::default();
        finish(direct, &mut self.counters, &mut finished);
        self.take_finished(finished);
        let batches = std::mem::take(&mut self.batches);
        for batch in &batches {
            for signal in Signal::ALL {
                self.ledger.route(signal, batch.records.get(signal));
            }
        }
        #[cfg(feature = "mutants")]
        let batches = {
            let mut batches = batches;
            self.mutant.drop_frame(&mut batches);
            batches
        };
        batches
    }

    /// Takes batches back that the journal had no room for.
    pub fn put_back(&mut self, batches: Vec<Batch>) {
        for batch in &batches {
            for signal in Signal::ALL {
                self.ledger.unroute(signal, batch.records.get(signal));
            }
        }
        self.batches.splice(0..0, batches);
    }

    /// Books what the journal will never take, because it is larger than any frame can be.
    pub fn unfit(&mut self, records: &PerSignal) {
        for signal in Signal::ALL {
            let records = records.get(signal);
            self.ledger.unroute(signal, records);
            self.ledger.pending.sub(signal, records);
            self.ledger.filtered.add(signal, records);
            self.counters.unencodable += records;
        }
    }

    /// The books.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The books, to write what happened after the journal.
    pub fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// Counters beside the ledger.
    pub fn counters(&self) -> Counters {
        Counters { odd_times: self.red.as_ref().map_or(0, Red::odd_times), ..self.counters }
    }

    /// The sampler, for orders to it.
    pub fn sampler_mut(&mut self) -> &mut Sampler {
        &mut self.sampler
    }

    /// The sampler's counters.
    pub fn sampling(&self) -> sampling::Stats {
        self.sampler.stats()
    }

    /// How often each policy was the first to keep a trace, by name.
    pub fn policy_keeps(&self) -> impl Iterator<Item = (&str, u64)> {
        self.policy_keeps
            .iter()
            .enumerate()
            .filter(|(_, keeps)| **keeps > 0)
            .filter_map(|(position, keeps)| Some((self.sampler.policy_name(u16::try_from(position).ok()?)?, *keeps)))
    }

    /// Bytes in use: recorder, index, and what waits for the journal.
    pub fn bytes(&self) -> u64 {
        self.recorder.bytes() + self.sampler.stats().bytes + self.queued_bytes() as u64
    }

    /// The wall time up to which whatever came in of traces is decided, when it is `now_ns` and `wall_ns`; 0 while some of it
    /// is from before a restart, and so nobody knows.
    pub fn decided_to(&mut self, now_ns: u64, wall_ns: u64) -> u64 {
        let oldest = self.sampler.oldest_pending_ns();
        match (oldest, self.resumed_ns) {
            (Some(oldest), Some(resumed)) if oldest <= resumed => return 0,
            _ => self.resumed_ns = None,
        }
        wall_ns.saturating_sub(oldest.map_or(0, |oldest| now_ns.saturating_sub(oldest)))
    }

    /// Whether any lane of undecided or unwritten records is not empty.
    pub fn is_idle(&self) -> bool {
        self.ledger.pending.total() == 0
    }
}
