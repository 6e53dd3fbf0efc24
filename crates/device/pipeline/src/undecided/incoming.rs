//! Records that come in: what waits goes into the recorder, what is decided or needs no decision goes on.

use limit::{TraceLimits, Word};
use model::otlp::{
    LogView, STATUS_ERROR, STATUS_OK, ScopeGroup, SpanFacts, SpanView, for_each_scope, for_each_scope_of_spans,
    string_attribute,
};
use model::proto::{ProtoError, varint_len};
use model::{Signal, TraceId};
use query::{View, What};
use recorder::{Compressed, Content};
use red::Red;
use sampling::{
    ALWAYS, LogRecordFacts, OtState, Part, Route, STATUS_MASK_ERROR, STATUS_MASK_OK, STATUS_MASK_UNSET, Sampler,
    SpanPart, Verdict,
};

use crate::attributes::with_ids;
use crate::books::Incoming;
use crate::exemplars;
use crate::outbox::Builder;

use super::Undecided;

/// How often the trace id changes from one record of a request to the next: at least as often as it has traces.
pub(super) fn trace_runs(signal: Signal, request: &[u8]) -> Result<usize, ProtoError> {
    let mut runs = 0;
    let mut last: Option<TraceId> = None;
    for_each_scope::<ProtoError>(request, |scope| {
        for item in scope.items() {
            let trace = match signal {
                Signal::Traces => SpanView::read(item?)?.trace_id,
                // A log record's id may stand anywhere: each may be another one.
                _ => LogView::read(item?)?.trace_id.or(Some(TraceId::default())),
            };
            if trace.is_some() && (trace != last || trace == Some(TraceId::default())) {
                runs += 1;
                last = trace;
            }
        }
        Ok(())
    })?;
    Ok(runs)
}

/// Key and length of the messages around a trace's spans, as they are when the trace stands alone.
const GROUP_BYTES: usize = 3;

/// The bytes of a message as a field.
fn field_bytes(message: &[u8]) -> usize {
    1 + varint_len(message.len() as u64) + message.len()
}

/// What the sampler has to know of a span: the conditions that it and its resource fulfil, the threshold of limits, and the bytes around it (resource and
/// scope), which count once for each entry of the recorder.
pub fn span_part(span: &SpanView<'_>, conditions: u64, limit: u64, around: u32) -> Part {
    let state = if span.trace_state.is_empty() { OtState::default() } else { OtState::read(span.trace_state) };
    Part::Span(SpanPart {
        start_ns: span.start_ns,
        end_ns: span.end_ns,
        status: match span.status {
            STATUS_ERROR => STATUS_MASK_ERROR,
            STATUS_OK => STATUS_MASK_OK,
            _ => STATUS_MASK_UNSET,
        },
        root: span.parent_span_id.is_none(),
        conditions,
        randomness: state.randomness,
        sampled_before: state.randomness.is_some() || state.threshold.is_some(),
        around,
        limit,
    })
}

/// The threshold with which limits let a span pass; `None` where they take its trace out, which the sampler is told.
fn within(
    limits: &mut TraceLimits,
    sampler: &mut Sampler,
    scope: &ScopeGroup<'_>,
    span: &SpanView<'_>,
    now_ns: u64,
) -> Option<u64> {
    let trace = span.trace_id?;
    let (resource, scope) = (scope.resource.resource, scope.scope);
    let view = View { device: "", resource, scope, item: span.bytes(), what: What::Span(*span) };
    match limits.judge(&view, now_ns) {
        Word::Passes { threshold } => return Some(threshold),
        Word::ToBeLimited { .. } if !sampler.limit(trace, now_ns) => {
            limits.let_pass(trace);
            return Some(ALWAYS);
        }
        Word::ToBeLimited { rule } => limits.take_out(trace, rule),
        Word::Limited => {}
    }
    limits.takes_out(&trace);
    None
}

/// A request whose records come in.
pub(crate) struct Coming<'a> {
    pub(crate) request: &'a [u8],
    /// Of its spans, where they are known.
    pub(crate) facts: Option<&'a SpanFacts>,
    /// The request as the recorder has it, where it is compressed already.
    pub(crate) compressed: Option<Compressed>,
    /// Whether it was undecided in an earlier life.
    pub(crate) again: bool,
}

impl<'a> Coming<'a> {
    /// One of which no more is known.
    pub(crate) fn of(request: &'a [u8]) -> Self {
        Self { request, facts: None, compressed: None, again: false }
    }

    /// One that was undecided in an earlier life.
    pub(crate) fn again(request: &'a [u8]) -> Self {
        Self { again: true, ..Self::of(request) }
    }
}

/// What a request leaves in the recorder: an entry, where parts of it wait, or were dropped and may yet be kept.
#[derive(Default)]
struct EntryUse {
    pins: u32,
    dropped: bool,
}

impl EntryUse {
    /// What the sampler said of a part; true when it goes on at once.
    fn note(&mut self, route: Route, facts: &mut Incoming) -> bool {
        match route {
            Route::Waits { new_pin } => {
                self.pins += u32::from(new_pin);
                facts.waiting += 1;
                false
            }
            Route::Decided(Verdict::Keep) => {
                facts.passing += 1;
                true
            }
            Route::Decided(Verdict::Drop) => {
                self.dropped = true;
                facts.sampled_out += 1;
                false
            }
        }
    }
}

impl Undecided {
    /// Takes in the spans of a request, by their facts where they are known, and counts each in `red`. Those of kept traces go on to
    /// `passing`.
    ///
    /// # Errors
    /// Where the bytes do not walk; `facts` tell what came before.
    pub(crate) fn admit_spans(
        &mut self,
        coming: Coming<'_>,
        now_ns: u64,
        mut red: Option<&mut Red>,
        passing: &mut Builder,
        facts: &mut Incoming,
    ) -> Result<(), ProtoError> {
        let entry = self.recorder.next_id();
        let Self { sampler, limits, .. } = self;
        // What waits from an earlier life was judged when it came.
        let mut limits = limits.as_mut().filter(|_| !coming.again);
        let mut used = EntryUse::default();
        for_each_scope_of_spans::<ProtoError>(coming.request, coming.facts, |scope, spans| {
            let service = string_attribute(scope.resource.resource, 1, "service.name").unwrap_or_default();
            let around = field_bytes(scope.resource.resource) + field_bytes(scope.scope) + 2 * GROUP_BYTES;
            let of_resource = sampler.conditions().of_resource(scope.resource.resource);
            for span in spans {
                let span = span?;
                if let Some(red) = &mut red {
                    red.observe(scope.resource.resource, service, &span);
                }
                let Some(trace) = span.trace_id else {
                    facts.filtered += 1;
                    continue;
                };
                let mut limit = ALWAYS;
                if let Some(limits) = &mut limits {
                    match within(limits, sampler, &scope, &span, now_ns) {
                        Some(threshold) => limit = threshold,
                        None => {
                            facts.limited += 1;
                            continue;
                        }
                    }
                }
                let conditions = of_resource | sampler.conditions().of_span(&span);
                let part = span_part(&span, conditions, limit, around as u32);
                let route = sampler.part(trace, part, field_bytes(span.bytes()) as u64, entry, now_ns);
                if used.note(route, facts) {
                    passing.span(&scope, span.bytes());
                    if let Some(red) = &mut red {
                        let put = red.exemplar(scope.resource.resource, service, &span, passing.exemplars());
                        facts.exemplars += u64::from(put);
                    }
                }
            }
            Ok(())
        })?;
        self.record(Content::Request(Signal::Traces), coming, &used);
        Ok(())
    }

    /// Takes in the log records of a request. Those of kept traces go on to `passing`, and those without a trace by their rule.
    ///
    /// # Errors
    /// As [`Undecided::admit_spans`].
    pub(crate) fn admit_log_records(
        &mut self,
        coming: Coming<'_>,
        now_ns: u64,
        passing: &mut Builder,
        facts: &mut Incoming,
    ) -> Result<(), ProtoError> {
        let entry = self.recorder.next_id();
        let Self { sampler, limits, rules, .. } = self;
        let mut used = EntryUse::default();
        for_each_scope::<ProtoError>(coming.request, |scope| {
            for item in scope.items() {
                let item = item?;
                let record = LogRecordFacts::read_with(item, &[rules.without_trace], &rules.fields)?;
                let Some(trace) = record.trace_id else {
                    if rules.without_trace.keeps(&record) {
                        facts.passing += 1;
                        passing.log_record(&scope, item);
                    } else {
                        facts.filtered += 1;
                    }
                    continue;
                };
                if limits.as_mut().is_some_and(|limits| limits.takes_out(&trace)) {
                    facts.limited += 1;
                    continue;
                }
                facts.trace_ids_from_fields += u64::from(!record.has_own_trace_id);
                let part = Part::LogRecord { severity: record.severity, time_ns: record.time_ns };
                let route = sampler.part(trace, part, item.len() as u64, entry, now_ns);
                if used.note(route, facts) {
                    passing.trace_log_record(&scope, &with_ids(item, &record));
                }
            }
            Ok(())
        })?;
        self.record(Content::Request(Signal::Logs), coming, &used);
        Ok(())
    }

    /// Takes in exemplars (an `ExemplarsData`) that were taken out of points. Those of kept traces go on to `passing`.
    ///
    /// # Errors
    /// As [`Undecided::admit_spans`].
    pub(crate) fn admit_exemplars(
        &mut self,
        parked: &[u8],
        now_ns: u64,
        passing: &mut Builder,
        facts: &mut Incoming,
    ) -> Result<(), ProtoError> {
        if parked.is_empty() {
            return Ok(());
        }
        let mut count = 0;
        exemplars::for_each(parked, |_, _| {
            count += 1;
            Ok(())
        })?;
        if !self.make_room(count, parked.len()) {
            facts.exemplars_without_room += count as u64;
            return Ok(());
        }
        let entry = self.recorder.next_id();
        let mut used = EntryUse::default();
        // They are no records: only the pins and the one that goes on count.
        let mut ways = Incoming::default();
        exemplars::for_each(parked, |trace, series| {
            let route = self.sampler.part(trace, Part::Exemplar, series.len() as u64, entry, now_ns);
            if used.note(route, &mut ways) {
                exemplars::put(series, passing.exemplars());
            }
            Ok(())
        })?;
        facts.exemplars += ways.passing;
        self.record(Content::Exemplars, Coming::of(parked), &used);
        Ok(())
    }

    /// What was dropped stays readable for a while too, and may still be kept after all.
    fn record(&mut self, content: Content, coming: Coming<'_>, used: &EntryUse) {
        if used.pins == 0 && !used.dropped {
            return;
        }
        match coming.compressed {
            Some(compressed) => self.recorder.push_compressed(content, coming.request.len(), compressed, used.pins),
            None => self.recorder.push(content, coming.request, used.pins),
        };
    }
}
