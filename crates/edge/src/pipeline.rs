//! The way of a record from a source's hand to the journal's: guard, RED, recorder, sampler, batches. No IO, no clock:
//! `now_ns` is monotonic, `wall_ns` is data.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use guard::Guard;
use journal::{Content, Recorder};
use ledger::Ledger;
use model::otlp::{LogView, SpanView, for_each_scope, string_attribute, validate};
use model::proto::ProtoError;
use model::{Signal, TraceId};
use red::Red;
use sampling::{Decided, EntryId, Part, Route, STATUS_MASK_ERROR, STATUS_MASK_OK, STATUS_MASK_UNSET, Sampler, Verdict};
use sources::{Answer, Request};

use crate::batch::{Batch, Builder};
use crate::exemplars;
use crate::repeats::Repeats;

/// Decisions are carried out together up to so many bytes of records: about one frame.
const FRAME_BYTES: u64 = 48 << 10;
/// What waits for the journal may take so much memory; beyond it producers are told to wait.
pub(crate) const MAX_QUEUED: usize = 256 << 10;
/// How long a producer is told to wait.
const WAIT: Duration = Duration::from_secs(1);
/// `SeverityNumber` of WARN: lines from here on are kept when their trace sent no span.
const SEVERITY_WARN: u64 = 13;
/// How many traces are decided early at once when memory runs short.
const EARLY_TRACES: usize = 64;

/// Counters beside the ledger, since start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests that were not protobuf of their signal.
    pub bad_requests: u64,
    /// Requests that were accepted before and came again, by their key: answered, not taken twice.
    pub repeated_requests: u64,
    /// Spans without a usable trace id: filtered.
    pub spans_without_trace: u64,
    /// Fields that the pinned schema does not know: left out.
    pub unknown_fields: u64,
    /// Texts that are not UTF-8: kept as bytes.
    pub invalid_utf8: u64,
    /// Exemplars that went with their kept trace.
    pub exemplars: u64,
    /// Exemplars of incoming points that found no room to wait for their trace: left out.
    pub exemplars_without_room: u64,
}

/// Everything between a source and the journal.
pub struct Pipeline {
    guard: Guard,
    red: Option<Red>,
    recorder: Recorder,
    sampler: Sampler,
    ledger: Ledger,
    counters: Counters,
    policy_keeps: Vec<u64>,
    /// What comes in for the metrics and logs lanes, and late parts of kept traces.
    direct: Builder,
    /// Ready for the journal.
    batches: Vec<Batch>,
    repeats: Repeats,
    #[cfg(feature = "mutants")]
    mutant: crate::mutants::Mutant,
}

/// What carrying out a decision means for a record.
#[derive(Clone, Copy)]
enum Fate {
    Deliver,
    Discard,
    /// No span came: lines stand alone, exemplars are dead.
    Alone,
}

impl Pipeline {
    /// A pipeline that goes on with a ledger.
    pub fn new(recorder_bytes: u64, sampler: Sampler, red: Option<Red>, ledger: Ledger) -> Self {
        Self {
            guard: Guard::default(),
            red,
            recorder: Recorder::new(recorder_bytes),
            sampler,
            ledger,
            counters: Counters::default(),
            policy_keeps: Vec::new(),
            direct: Builder::default(),
            batches: Vec::new(),
            repeats: Repeats::default(),
            #[cfg(feature = "mutants")]
            mutant: crate::mutants::Mutant::from_environment(),
        }
    }

    /// Takes a request in, unless it was accepted before.
    pub fn accept(&mut self, request: Request, now_ns: u64) -> Answer {
        let Request { signal, body, key } = request;
        if key.as_deref().is_some_and(|key| self.repeats.contains(key)) {
            self.counters.repeated_requests += 1;
            return Answer::Accepted;
        }
        let answer = self.accept_new(signal, body, now_ns);
        if let (Answer::Accepted, Some(key)) = (&answer, key) {
            self.repeats.remember(key);
        }
        answer
    }

    fn accept_new(&mut self, signal: Signal, request: Vec<u8>, now_ns: u64) -> Answer {
        if let Err(error) = validate(signal, &request) {
            self.counters.bad_requests += 1;
            return Answer::Bad(format!("the body is not an OTLP {} request: {error}", signal.name()));
        }
        let request = self.guard.admit(signal, request);
        // Points never wait for a decision: a recorder full of undecided traces must not stop them.
        let waits = if signal == Signal::Metrics { 0 } else { request.len() };
        if !self.has_room(waits, now_ns) {
            let records = model::otlp::count_records(signal, &request).unwrap_or(0);
            self.ledger.refused.add(signal, records);
            return Answer::Wait(WAIT);
        }
        let taken = match signal {
            Signal::Traces => self.take_traces(&request, now_ns),
            Signal::Logs => self.take_logs(&request, now_ns),
            Signal::Metrics => self.take_metrics(&request, now_ns),
        };
        match taken {
            Ok(()) => Answer::Accepted,
            // Validation has walked these very bytes; if it is wrong, say so rather than lose a request in silence.
            Err(error) => {
                debug_assert!(false, "validated bytes do not walk: {error}");
                self.counters.bad_requests += 1;
                Answer::Bad(error.to_string())
            }
        }
    }

    /// Whether there is room for a request of which so many bytes may wait for decisions.
    fn has_room(&mut self, waits: usize, now_ns: u64) -> bool {
        if self.queued_bytes() > MAX_QUEUED {
            return false;
        }
        // A request may split into what waits and what goes on: it is counted whole.
        while waits > 0 && !(self.sampler.has_room() && self.recorder.make_room(waits)) {
            let mut decided = Vec::new();
            if self.sampler.decide_early(now_ns, EARLY_TRACES, |one| decided.push(one)) == 0 {
                return false;
            }
            self.carry_out(&decided);
        }
        true
    }

    /// Bytes that wait for the journal.
    fn queued_bytes(&self) -> usize {
        self.direct.bytes() + self.batches.iter().map(|batch| batch.body.len()).sum::<usize>()
    }

    fn take_traces(&mut self, request: &[u8], now_ns: u64) -> Result<(), ProtoError> {
        let entry = self.recorder.next_id();
        let Self { red, sampler, ledger, counters, direct, .. } = self;
        let (mut pins, mut dropped) = (0, false);
        for_each_scope::<ProtoError>(request, |scope| {
            let service = string_attribute(scope.resource.resource, 1, "service.name").unwrap_or_default();
            for item in scope.items() {
                let item = item?;
                let span = SpanView::read(item)?;
                ledger.received.add(Signal::Traces, 1);
                if let Some(red) = red {
                    red.observe(service, &span);
                }
                let Some(trace) = span.trace_id else {
                    counters.spans_without_trace += 1;
                    ledger.filtered.add(Signal::Traces, 1);
                    continue;
                };
                let part = Part::Span {
                    start_ns: span.start_ns,
                    end_ns: span.end_ns,
                    status: match span.status {
                        model::otlp::STATUS_ERROR => STATUS_MASK_ERROR,
                        model::otlp::STATUS_OK => STATUS_MASK_OK,
                        _ => STATUS_MASK_UNSET,
                    },
                    root: span.parent_span_id.is_none(),
                };
                match sampler.part(trace, part, item.len() as u64, entry, now_ns) {
                    Route::Waits { new_pin } => {
                        pins += u32::from(new_pin);
                        ledger.pending.add(Signal::Traces, 1);
                    }
                    Route::Decided(Verdict::Keep) => {
                        ledger.pending.add(Signal::Traces, 1);
                        direct.traces.push(&scope, item);
                        if let Some(red) = red {
                            counters.exemplars += u64::from(red.exemplar(service, &span, &mut direct.exemplars));
                        }
                    }
                    Route::Decided(Verdict::Drop) => {
                        dropped = true;
                        ledger.sampled_out.add(Signal::Traces, 1);
                    }
                }
            }
            Ok(())
        })?;
        // What was dropped stays readable for a while, and may still be kept after all.
        if pins > 0 || dropped {
            self.recorder.push(Content::Request(Signal::Traces), request, pins);
        }
        Ok(())
    }

    fn take_logs(&mut self, request: &[u8], now_ns: u64) -> Result<(), ProtoError> {
        let entry = self.recorder.next_id();
        let Self { sampler, ledger, direct, .. } = self;
        let (mut pins, mut dropped) = (0, false);
        for_each_scope::<ProtoError>(request, |scope| {
            for item in scope.items() {
                let item = item?;
                let line = LogView::read(item)?;
                ledger.received.add(Signal::Logs, 1);
                let Some(trace) = line.trace_id else {
                    ledger.pending.add(Signal::Logs, 1);
                    direct.lines.push(&scope, item);
                    continue;
                };
                match sampler.part(trace, Part::Line, item.len() as u64, entry, now_ns) {
                    Route::Waits { new_pin } => {
                        pins += u32::from(new_pin);
                        ledger.pending.add(Signal::Logs, 1);
                    }
                    Route::Decided(Verdict::Keep) => {
                        ledger.pending.add(Signal::Logs, 1);
                        direct.trace_lines.push(&scope, item);
                    }
                    Route::Decided(Verdict::Drop) => {
                        dropped = true;
                        ledger.sampled_out.add(Signal::Logs, 1);
                    }
                }
            }
            Ok(())
        })?;
        // What was dropped stays readable for a while, and may still be kept after all.
        if pins > 0 || dropped {
            self.recorder.push(Content::Request(Signal::Logs), request, pins);
        }
        Ok(())
    }

    fn take_metrics(&mut self, request: &[u8], now_ns: u64) -> Result<(), ProtoError> {
        let mut parked = Vec::new();
        let points = exemplars::split(request, &mut self.direct.points, &mut parked)?;
        self.ledger.received.add(Signal::Metrics, points);
        self.ledger.pending.add(Signal::Metrics, points);
        if parked.is_empty() {
            return Ok(());
        }
        if !(self.sampler.has_room() && self.recorder.make_room(parked.len())) {
            exemplars::for_each(&parked, |_, _| {
                self.counters.exemplars_without_room += 1;
                Ok(())
            })?;
            return Ok(());
        }
        let entry = self.recorder.next_id();
        let Self { sampler, counters, direct, .. } = self;
        let mut pins = 0;
        exemplars::for_each(&parked, |trace, series| {
            match sampler.part(trace, Part::Exemplar, series.len() as u64, entry, now_ns) {
                Route::Waits { new_pin } => pins += u32::from(new_pin),
                Route::Decided(Verdict::Keep) => {
                    counters.exemplars += 1;
                    exemplars::put(series, &mut direct.exemplars);
                }
                Route::Decided(Verdict::Drop) => {}
            }
            Ok(())
        })?;
        if pins > 0 {
            self.recorder.push(Content::Exemplars, &parked, pins);
        }
        Ok(())
    }

    /// Carries out the decisions whose time has come.
    pub fn tick(&mut self, now_ns: u64) {
        let mut decided = Vec::new();
        self.sampler.tick(now_ns, |one| decided.push(one));
        self.carry_out(&decided);
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

    fn carry_out(&mut self, decided: &[Decided]) {
        let mut rest = decided;
        while !rest.is_empty() {
            let mut bytes = 0;
            let count = rest.iter().take_while(|one| {
                let fits = bytes == 0 || bytes + one.bytes <= FRAME_BYTES;
                // What is dropped takes no place in a frame.
                bytes += if one.verdict == Some(Verdict::Drop) { 0 } else { one.bytes };
                fits
            });
            let (now, later) = rest.split_at(count.count().max(1));
            self.carry_out_group(now);
            rest = later;
        }
    }

    /// Goes once through every recorder entry that holds parts of these traces.
    fn carry_out_group(&mut self, decided: &[Decided]) {
        let mut fates: HashMap<TraceId, Fate> = HashMap::with_capacity(decided.len());
        let mut entries: BTreeSet<EntryId> = BTreeSet::new();
        for one in decided {
            let fate = match one.verdict {
                Some(Verdict::Keep) => Fate::Deliver,
                Some(Verdict::Drop) => Fate::Discard,
                None => Fate::Alone,
            };
            match one.verdict {
                Some(Verdict::Keep) => self.ledger.kept_traces += 1,
                Some(Verdict::Drop) => self.ledger.dropped_traces += 1,
                None => {}
            }
            if let Some(policy) = one.policy {
                if self.policy_keeps.len() <= policy {
                    self.policy_keeps.resize(policy + 1, 0);
                }
                if let Some(count) = self.policy_keeps.get_mut(policy) {
                    *count += 1;
                }
            }
            fates.insert(one.trace, fate);
            entries.extend(&one.entries);
        }
        let mut builder = Builder::default();
        let mut finished = Vec::new();
        for entry in entries {
            let walked = self.carry_out_entry(entry, &fates, &mut builder, &mut finished);
            debug_assert!(walked.is_ok(), "validated bytes do not walk");
        }
        finish(builder, &mut self.counters, &mut finished);
        self.batches.append(&mut finished);
        self.recorder.rest();
        for one in decided {
            one.entries.iter().for_each(|entry| self.recorder.unpin(*entry));
        }
    }

    fn carry_out_entry(
        &mut self,
        entry: EntryId,
        fates: &HashMap<TraceId, Fate>,
        builder: &mut Builder,
        finished: &mut Vec<Batch>,
    ) -> Result<(), ProtoError> {
        #[cfg(feature = "mutants")]
        let mutant = &mut self.mutant;
        let Self { recorder, ledger, red, counters, .. } = self;
        let Some((content, bytes)) = recorder.get(entry) else { return Ok(()) };
        match content {
            Content::Request(Signal::Traces) => for_each_scope::<ProtoError>(bytes, |scope| {
                let service = string_attribute(scope.resource.resource, 1, "service.name").unwrap_or_default();
                for item in scope.items() {
                    let item = item?;
                    let span = SpanView::read(item)?;
                    match span.trace_id.and_then(|trace| fates.get(&trace)) {
                        Some(Fate::Deliver) => {
                            builder.cut(item.len(), counters, finished);
                            builder.traces.push(&scope, item);
                            if let Some(red) = red {
                                let put = red.exemplar(service, &span, &mut builder.exemplars);
                                counters.exemplars += u64::from(put);
                            }
                        }
                        Some(Fate::Discard | Fate::Alone) => {
                            ledger.pending.sub(Signal::Traces, 1);
                            ledger.sampled_out.add(Signal::Traces, 1);
                        }
                        None => {}
                    }
                }
                Ok(())
            }),
            Content::Request(_) => for_each_scope::<ProtoError>(bytes, |scope| {
                for item in scope.items() {
                    let item = item?;
                    let line = LogView::read(item)?;
                    match line.trace_id.and_then(|trace| fates.get(&trace)) {
                        Some(Fate::Deliver) => {
                            builder.cut(item.len(), counters, finished);
                            builder.trace_lines.push(&scope, item);
                        }
                        Some(Fate::Alone) if line.severity >= SEVERITY_WARN => builder.lines.push(&scope, item),
                        #[cfg(feature = "mutants")]
                        Some(Fate::Discard) if mutant.keep_orphan_line() => builder.trace_lines.push(&scope, item),
                        Some(Fate::Discard | Fate::Alone) => {
                            ledger.pending.sub(Signal::Logs, 1);
                            ledger.sampled_out.add(Signal::Logs, 1);
                        }
                        None => {}
                    }
                }
                Ok(())
            }),
            Content::Exemplars => exemplars::for_each(bytes, |trace, series| {
                if let Some(Fate::Deliver) = fates.get(&trace) {
                    counters.exemplars += 1;
                    exemplars::put(series, &mut builder.exemplars);
                }
                Ok(())
            }),
        }
    }

    /// Whether what goes on without a decision is enough for a frame of its own.
    pub fn is_full(&self) -> bool {
        self.direct.bytes() as u64 >= FRAME_BYTES
    }

    /// Hands over everything that is ready for the journal, and books it as routed.
    pub fn take_batches(&mut self) -> Vec<Batch> {
        let direct = std::mem::take(&mut self.direct);
        finish(direct, &mut self.counters, &mut self.batches);
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
        self.counters
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
            .filter_map(|(position, keeps)| self.sampler.policy_name(position).map(|name| (name, *keeps)))
    }

    /// Bytes in use: recorder, index, and what waits for the journal.
    pub fn bytes(&self) -> u64 {
        self.recorder.bytes() + self.sampler.stats().bytes + self.queued_bytes() as u64
    }

    /// Whether any lane of undecided or unwritten records is not empty.
    pub fn is_idle(&self) -> bool {
        self.ledger.pending.total() == 0
    }
}

impl Builder {
    /// Ends the frame when one more record would make it too long: a large trace goes in several.
    fn cut(&mut self, more: usize, counters: &mut Counters, finished: &mut Vec<Batch>) {
        if self.bytes() > 0 && self.bytes() + more > FRAME_BYTES as usize {
            finish(std::mem::take(self), counters, finished);
        }
    }
}

/// Encodes what was gathered.
fn finish(builder: Builder, counters: &mut Counters, batches: &mut Vec<Batch>) {
    for (lane, sections) in builder.into_lanes() {
        match Batch::encode(lane, sections) {
            Ok((batch, stats)) => {
                counters.unknown_fields += stats.unknown_fields;
                counters.invalid_utf8 += stats.invalid_utf8;
                batches.push(batch);
            }
            Err(error) => debug_assert!(false, "validated bytes do not encode: {error}"),
        }
    }
}
