//! Decisions applied to the recorder, grouped by entry: the outcome of each trace for each of its records.

use std::collections::{BTreeSet, HashMap};

use foldhash::fast::RandomState;
use model::otlp::{ScopeGroup, SpanView, for_each_scope, string_attribute};
use model::proto::ProtoError;
use model::{Signal, TraceId};
use recorder::Content;
use red::Red;
use sampling::{Decided, EntryId, LogRecordFacts, Sampler, Verdict};

use crate::attributes::{with_decision, with_ids};
use crate::books::Applied;
use crate::exemplars;
use crate::outbox::{FRAME_BYTES, Frames};

use super::{Rules, Undecided};

/// How a kept trace is delivered.
#[derive(Clone, Copy)]
struct Delivered {
    policy: Option<u16>,
    threshold: u64,
    /// It was booked as sampled out before.
    recalled: bool,
}

/// What a decision means for a record.
#[derive(Clone, Copy)]
enum Outcome {
    Deliver(Delivered),
    Discard,
    /// No span came: log records fall to their rule, exemplars are dead.
    WithoutSpans,
    /// That was so, and then a span came whose trace is kept: the log records that did not go alone.
    AfterAll,
}

impl Outcome {
    fn of(decided: &Decided) -> Self {
        match decided.verdict {
            Some(Verdict::Keep) if decided.released => Outcome::AfterAll,
            Some(Verdict::Keep) => {
                let Decided { policy, threshold, recalled, .. } = *decided;
                Outcome::Deliver(Delivered { policy, threshold, recalled })
            }
            Some(Verdict::Drop) => Outcome::Discard,
            None => Outcome::WithoutSpans,
        }
    }
}

/// What is applied together: the outcome of each trace, and the entries in which it is meant. An entry that is walked for one trace
/// may hold parts of another one that were released earlier, before its first span came: they keep that outcome.
struct Outcomes<'a>(HashMap<TraceId, (Outcome, &'a [EntryId]), RandomState>);

impl Outcomes<'_> {
    fn of(&self, trace: TraceId, entry: EntryId) -> Option<Outcome> {
        let (outcome, entries) = self.0.get(&trace)?;
        entries.binary_search(&entry).is_ok().then_some(*outcome)
    }
}

/// Decisions in groups of about one frame of records each.
pub(crate) fn groups(decided: &[Decided]) -> impl Iterator<Item = &[Decided]> {
    let mut rest = decided;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let count = rest.iter().take_while(|one| {
            let fits = bytes == 0 || bytes + one.bytes <= FRAME_BYTES as u64;
            // What is dropped takes no place in a frame.
            bytes += if one.verdict == Some(Verdict::Drop) { 0 } else { one.bytes };
            fits
        });
        let (group, later) = rest.split_at(count.count().max(1).min(rest.len()));
        rest = later;
        (!group.is_empty()).then_some(group)
    })
}

/// Where the outcomes of a group go.
struct Applying<'a> {
    outcomes: Outcomes<'a>,
    rules: Rules,
    frames: Frames,
    facts: Applied,
}

impl Undecided {
    /// Applies a group of decisions: goes once through every entry of the recorder that holds parts of these traces, gathers what is
    /// delivered, and takes the pins off. `red` gives exemplars for kept spans.
    pub(crate) fn apply(&mut self, decided: &[Decided], mut red: Option<&mut Red>) -> (Frames, Applied) {
        let mut facts = Applied::default();
        let mut outcomes = Outcomes(HashMap::with_capacity_and_hasher(decided.len(), RandomState::default()));
        let mut entries: BTreeSet<EntryId> = BTreeSet::new();
        for one in decided {
            match one.verdict {
                // It was counted with its spans.
                Some(Verdict::Keep) if one.released => {}
                Some(Verdict::Keep) => {
                    facts.kept_traces += 1;
                    facts.policies.extend(one.policy);
                }
                Some(Verdict::Drop) => facts.dropped_traces += 1,
                None => self.checkpoint.released(&one.trace),
            }
            outcomes.0.insert(one.trace, (Outcome::of(one), &*one.entries));
            entries.extend(&*one.entries);
        }
        let mut applying = Applying { outcomes, rules: self.rules.clone(), frames: Frames::default(), facts };
        for entry in entries {
            if self.apply_to(entry, &mut applying, red.as_deref_mut()).is_err() {
                applying.facts.unreadable += 1;
            }
        }
        self.recorder.release_large_buffer();
        for one in decided {
            one.entries.iter().for_each(|entry| self.recorder.unpin(*entry));
        }
        (applying.frames, applying.facts)
    }

    fn apply_to(
        &mut self,
        entry: EntryId,
        applying: &mut Applying<'_>,
        mut red: Option<&mut Red>,
    ) -> Result<(), ProtoError> {
        let Self { recorder, sampler, .. } = self;
        let Some((content, bytes)) = recorder.get(entry) else { return Ok(()) };
        match content {
            Content::Request(Signal::Traces) => for_each_scope::<ProtoError>(bytes, |scope| {
                let service = string_attribute(scope.resource.resource, 1, "service.name").unwrap_or_default();
                // Spans of a trace stand beside each other.
                let mut last = (None, None);
                for item in scope.items() {
                    let item = item?;
                    let trace = SpanView::trace_id_of(item)?;
                    if trace != last.0 {
                        last = (trace, trace.and_then(|trace| applying.outcomes.of(trace, entry)));
                    }
                    let outcome = last.1;
                    let Some(Outcome::Deliver(delivered)) = outcome else {
                        applying.left_out_span(outcome);
                        continue;
                    };
                    // Most are not delivered: only those that are get read.
                    let span = SpanView::read(item)?;
                    applying.deliver_span(delivered, &scope, &span, sampler);
                    if let Some(red) = &mut red {
                        let exemplars = applying.frames.builder().exemplars();
                        let put = red.exemplar(scope.resource.resource, service, &span, exemplars);
                        applying.facts.exemplars += u64::from(put);
                    }
                }
                Ok(())
            }),
            Content::Request(_) => for_each_scope::<ProtoError>(bytes, |scope| {
                for item in scope.items() {
                    let item = item?;
                    let rules = &applying.rules;
                    let record = LogRecordFacts::read_with(item, &[rules.without_spans], &rules.fields)?;
                    let outcome = record.trace_id.and_then(|trace| applying.outcomes.of(trace, entry));
                    #[cfg(feature = "mutants")]
                    if matches!(outcome, Some(Outcome::Discard)) && self.mutant.keep_orphan_log_record() {
                        applying.frames.builder().trace_log_record(&scope, item);
                        continue;
                    }
                    applying.log_record(outcome, &scope, item, &record);
                }
                Ok(())
            }),
            Content::Exemplars => exemplars::for_each(bytes, |trace, series| {
                if let Some(Outcome::Deliver(_) | Outcome::AfterAll) = applying.outcomes.of(trace, entry) {
                    applying.facts.exemplars += 1;
                    exemplars::put(series, applying.frames.builder().exemplars());
                }
                Ok(())
            }),
        }
    }
}

impl Applying<'_> {
    /// A span that is not delivered.
    fn left_out_span(&mut self, outcome: Option<Outcome>) {
        match outcome {
            Some(Outcome::Discard | Outcome::WithoutSpans) => self.facts.left_out.add(Signal::Traces, 1),
            // No span of it was released.
            Some(Outcome::AfterAll | Outcome::Deliver(_)) | None => {}
        }
    }

    fn deliver_span(&mut self, delivered: Delivered, scope: &ScopeGroup<'_>, span: &SpanView<'_>, sampler: &Sampler) {
        let Delivered { policy, threshold, recalled } = delivered;
        if recalled {
            self.facts.recalled.add(Signal::Traces, 1);
        }
        let policy = policy.filter(|_| self.rules.record_policy && span.parent_span_id.is_none());
        let policy = policy.and_then(|position| sampler.policy_name(position));
        let written = with_decision(span.bytes(), span, policy, self.rules.tracestate.then_some(threshold));
        self.frames.room_for(written.len()).span(scope, &written);
    }

    fn log_record(&mut self, outcome: Option<Outcome>, scope: &ScopeGroup<'_>, item: &[u8], record: &LogRecordFacts) {
        let goes_alone = || self.rules.without_spans.keeps(record);
        let recalled = match outcome {
            None => return,
            Some(Outcome::WithoutSpans) if goes_alone() => {
                self.frames.builder().log_record(scope, &with_ids(item, record));
                return;
            }
            Some(Outcome::Discard | Outcome::WithoutSpans) => {
                self.facts.left_out.add(Signal::Logs, 1);
                return;
            }
            Some(Outcome::AfterAll) if goes_alone() => return,
            Some(Outcome::AfterAll) => true,
            Some(Outcome::Deliver(delivered)) => delivered.recalled,
        };
        if recalled {
            self.facts.recalled.add(Signal::Logs, 1);
        }
        let item = with_ids(item, record);
        self.frames.room_for(item.len()).trace_log_record(scope, &item);
    }
}

#[cfg(test)]
mod tests {
    use sampling::{Options, Part, Policy, PolicyRule, STATUS_MASK_ERROR, STATUS_MASK_OK, SpanPart};

    use super::*;

    /// The decision over a trace of so many bytes.
    fn decided(number: u8, bytes: u64, error: bool) -> Decided {
        let policies = vec![Policy { name: "errors".into(), rule: PolicyRule::Status(STATUS_MASK_ERROR) }];
        let options = Options { policies, decision_wait_ns: 1, memory: 1 << 16, ..Options::default() };
        let mut sampler = Sampler::new(options);
        let status = if error { STATUS_MASK_ERROR } else { STATUS_MASK_OK };
        let part = Part::Span(SpanPart { status, ..SpanPart::default() });
        sampler.part(TraceId([number; 16]), part, bytes, 0, 0);
        let mut decided = Vec::new();
        sampler.tick(2, |one| decided.push(one));
        decided.remove(0)
    }

    /// Scenario: decisions over small traces, a large one, dropped ones. Guarantees: groups of a frame's bytes, none empty, none left
    /// out (P9).
    #[test]
    fn decisions_are_applied_a_frame_at_a_time() {
        let frame = FRAME_BYTES as u64;
        let of = [(frame / 2, true), (frame / 2, true), (99 * frame, false), (1, true), (9 * frame, true), (1, true)];
        let all: Vec<Decided> = (1..).zip(of).map(|(number, (bytes, error))| decided(number, bytes, error)).collect();
        let sizes: Vec<usize> = groups(&all).map(<[Decided]>::len).collect();
        assert_eq!(sizes, [2, 2, 1, 1]);
        assert_eq!(groups(&[]).count(), 0);
    }
}
