//! Decisions carried out on the recorder, grouped by entry.

use std::collections::{BTreeSet, HashMap};

use journal::Content;
use ledger::PerSignal;
use model::otlp::{SpanView, for_each_scope, string_attribute};
use model::proto::ProtoError;
use model::{Signal, TraceId};
use sampling::{Decided, EntryId, LineFacts, Remembered, Verdict};

use crate::batch::{Batch, Builder, EncodeFault};
use crate::exemplars;
use crate::marks::{with_ids, with_marks};
use crate::pipeline::{Counters, FRAME_BYTES, Pipeline};

/// What carrying out a decision means for a record.
#[derive(Clone, Copy)]
enum Fate {
    Deliver {
        policy: Option<u16>,
        threshold: u64,
        /// It was booked as sampled out before.
        recalled: bool,
    },
    Discard,
    /// No span came: lines stand alone, exemplars are dead.
    Alone,
    /// That was so, and then a span came whose trace is kept: the lines that did not go alone.
    AfterAll,
}

/// What is carried out together: the fate of each trace, and the entries in which it is meant. An entry that is walked for
/// one trace may hold parts of another one that were let go earlier, before its first span came: they keep that fate.
struct Fates<'a>(HashMap<TraceId, (Fate, &'a [EntryId])>);

impl Fates<'_> {
    fn of(&self, trace: TraceId, entry: EntryId) -> Option<Fate> {
        let (fate, entries) = self.0.get(&trace)?;
        entries.binary_search(&entry).is_ok().then_some(*fate)
    }
}

impl Pipeline {
    pub(crate) fn carry_out(&mut self, decided: &[Decided]) {
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
        let mut fates = Fates(HashMap::with_capacity(decided.len()));
        let mut entries: BTreeSet<EntryId> = BTreeSet::new();
        for one in decided {
            let fate = match one.verdict {
                Some(Verdict::Keep) if one.let_go => Fate::AfterAll,
                Some(Verdict::Keep) => {
                    Fate::Deliver { policy: one.policy, threshold: one.threshold, recalled: one.recalled }
                }
                Some(Verdict::Drop) => Fate::Discard,
                None => Fate::Alone,
            };
            match one.verdict {
                // It was counted with its spans.
                Some(Verdict::Keep) if one.let_go => {}
                Some(Verdict::Keep) => {
                    self.ledger.kept_traces += 1;
                    self.count_policy(one.policy);
                }
                Some(Verdict::Drop) => self.ledger.dropped_traces += 1,
                None if self.is_recorded() => {
                    self.recorded.alone.push(Remembered::new(&one.trace, Verdict::Drop).bits());
                }
                None => {}
            }
            fates.0.insert(one.trace, (fate, &*one.entries));
            entries.extend(&*one.entries);
        }
        let mut builder = Builder::default();
        let mut finished = Finished::default();
        for entry in entries {
            if self.carry_out_entry(entry, &fates, &mut builder, &mut finished).is_err() {
                self.counters.unreadable += 1;
            }
        }
        finish(builder, &mut self.counters, &mut finished);
        self.take_finished(finished);
        self.recorder.rest();
        for one in decided {
            one.entries.iter().for_each(|entry| self.recorder.unpin(*entry));
        }
    }

    /// Takes batches that are ready, and books what could not be encoded.
    pub(crate) fn take_finished(&mut self, finished: Finished) {
        self.batches.extend(finished.batches);
        for signal in Signal::ALL {
            let records = finished.unencodable.get(signal);
            self.counters.unencodable += records;
            self.ledger.pending.sub(signal, records);
            self.ledger.filtered.add(signal, records);
        }
    }

    fn count_policy(&mut self, policy: Option<u16>) {
        let Some(policy) = policy.map(usize::from) else { return };
        if self.policy_keeps.len() <= policy {
            self.policy_keeps.resize(policy + 1, 0);
        }
        if let Some(count) = self.policy_keeps.get_mut(policy) {
            *count += 1;
        }
    }

    fn carry_out_entry(
        &mut self,
        entry: EntryId,
        fates: &Fates<'_>,
        builder: &mut Builder,
        finished: &mut Finished,
    ) -> Result<(), ProtoError> {
        #[cfg(feature = "mutants")]
        let mutant = &mut self.mutant;
        let Self { recorder, sampler, rules, ledger, red, counters, .. } = self;
        let Some((content, bytes)) = recorder.get(entry) else { return Ok(()) };
        match content {
            Content::Request(Signal::Traces) => for_each_scope::<ProtoError>(bytes, |scope| {
                let service = string_attribute(scope.resource.resource, 1, "service.name").unwrap_or_default();
                for item in scope.items() {
                    let item = item?;
                    let span = SpanView::read(item)?;
                    match span.trace_id.and_then(|trace| fates.of(trace, entry)) {
                        Some(Fate::Deliver { policy, threshold, recalled }) => {
                            if recalled {
                                ledger.sampled_out.sub(Signal::Traces, 1);
                                ledger.pending.add(Signal::Traces, 1);
                            }
                            let policy = policy.filter(|_| rules.record_policy && span.parent_span_id.is_none());
                            let policy = policy.and_then(|position| sampler.policy_name(position));
                            let marked = with_marks(item, &span, policy, rules.tracestate.then_some(threshold));
                            builder.cut(marked.len(), counters, finished);
                            builder.traces.push(&scope, &marked);
                            if let Some(red) = red {
                                let put = red.exemplar(scope.resource.resource, service, &span, &mut builder.exemplars);
                                counters.exemplars += u64::from(put);
                            }
                        }
                        Some(Fate::Discard | Fate::Alone) => {
                            ledger.pending.sub(Signal::Traces, 1);
                            ledger.sampled_out.add(Signal::Traces, 1);
                        }
                        // No span of it was let go.
                        Some(Fate::AfterAll) | None => {}
                    }
                }
                Ok(())
            }),
            Content::Request(_) => for_each_scope::<ProtoError>(bytes, |scope| {
                for item in scope.items() {
                    let item = item?;
                    let line = LineFacts::read(item, &[rules.spanless_lines])?;
                    match line.trace_id.and_then(|trace| fates.of(trace, entry)) {
                        Some(Fate::Deliver { recalled, .. }) => {
                            if recalled {
                                ledger.sampled_out.sub(Signal::Logs, 1);
                                ledger.pending.add(Signal::Logs, 1);
                            }
                            let item = with_ids(item, &line);
                            builder.cut(item.len(), counters, finished);
                            builder.trace_lines.push(&scope, &item);
                        }
                        Some(Fate::AfterAll) if rules.spanless_lines.keeps(&line) => {}
                        Some(Fate::AfterAll) => {
                            ledger.sampled_out.sub(Signal::Logs, 1);
                            ledger.pending.add(Signal::Logs, 1);
                            let item = with_ids(item, &line);
                            builder.cut(item.len(), counters, finished);
                            builder.trace_lines.push(&scope, &item);
                        }
                        Some(Fate::Alone) if rules.spanless_lines.keeps(&line) => {
                            builder.lines.push(&scope, &with_ids(item, &line));
                        }
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
                if let Some(Fate::Deliver { .. } | Fate::AfterAll) = fates.of(trace, entry) {
                    counters.exemplars += 1;
                    exemplars::put(series, &mut builder.exemplars);
                }
                Ok(())
            }),
        }
    }
}

impl Builder {
    /// Ends the frame when one more record would make it too long: a large trace goes in several.
    fn cut(&mut self, more: usize, counters: &mut Counters, finished: &mut Finished) {
        if self.bytes() > 0 && self.bytes() + more > FRAME_BYTES as usize {
            finish(std::mem::take(self), counters, finished);
        }
    }
}

/// Batches that are ready, and what could not become one.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    pub(crate) batches: Vec<Batch>,
    pub(crate) unencodable: PerSignal,
}

/// Encodes what was gathered.
pub(crate) fn finish(builder: Builder, counters: &mut Counters, finished: &mut Finished) {
    for (lane, sections) in builder.into_lanes() {
        let mut book = |fault: &EncodeFault| {
            for signal in Signal::ALL {
                finished.unencodable.add(signal, fault.records.get(signal));
            }
        };
        let mut batches = Vec::new();
        let split = sections.in_parts(|sections| match Batch::encode(lane, sections) {
            Ok((batch, stats)) => {
                counters.unknown_fields += stats.unknown_fields;
                counters.invalid_utf8 += stats.invalid_utf8;
                batches.push(batch);
            }
            Err(fault) => book(&fault),
        });
        if let Err(fault) = split {
            book(&fault);
        }
        finished.batches.append(&mut batches);
    }
}
