//! Requests coming in: what waits goes into the recorder, what does not goes on.

use journal::Content;
use model::otlp::{LogView, SpanView, for_each_scope, string_attribute};
use model::proto::{ProtoError, varint_len};
use model::{Lane, Signal, TraceId};
use sampling::{
    LineFacts, OtState, Part, Route, STATUS_MASK_ERROR, STATUS_MASK_OK, STATUS_MASK_UNSET, SpanPart, Verdict,
};

use crate::exemplars;
use crate::marks::with_ids;
use crate::pipeline::Pipeline;

/// How often the trace id changes from one record of a request to the next: at least as often as it has traces.
pub(crate) fn trace_runs(signal: Signal, request: &[u8]) -> Result<usize, ProtoError> {
    let mut runs = 0;
    let mut last: Option<TraceId> = None;
    for_each_scope::<ProtoError>(request, |scope| {
        for item in scope.items() {
            let trace = match signal {
                Signal::Traces => SpanView::read(item?)?.trace_id,
                // A line's id may stand anywhere: each may be another one.
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

pub(crate) fn span_part(span: &SpanView<'_>, conditions: u64, around: u32) -> Part {
    let state = if span.trace_state.is_empty() { OtState::default() } else { OtState::read(span.trace_state) };
    Part::Span(SpanPart {
        start_ns: span.start_ns,
        end_ns: span.end_ns,
        status: match span.status {
            model::otlp::STATUS_ERROR => STATUS_MASK_ERROR,
            model::otlp::STATUS_OK => STATUS_MASK_OK,
            _ => STATUS_MASK_UNSET,
        },
        root: span.parent_span_id.is_none(),
        conditions,
        randomness: state.randomness,
        sampled_before: state.randomness.is_some() || state.threshold.is_some(),
        around,
    })
}

impl Pipeline {
    /// Takes records in that go into a lane of their own, past sampler and recorder. Their spans count in RED as all do.
    pub(crate) fn take_own(
        &mut self,
        signal: Signal,
        lane: Lane,
        request: &[u8],
        now_ns: u64,
    ) -> Result<(), ProtoError> {
        if signal == Signal::Metrics {
            return self.take_metrics(request, Some(lane), now_ns);
        }
        let Self { red, ledger, counters, direct, .. } = self;
        let own = direct.own(lane);
        for_each_scope::<ProtoError>(request, |scope| {
            let service = string_attribute(scope.resource.resource, 1, "service.name").unwrap_or_default();
            for item in scope.items() {
                let item = item?;
                ledger.received.add(signal, 1);
                ledger.pending.add(signal, 1);
                if signal == Signal::Traces {
                    if let Some(red) = red {
                        red.observe(scope.resource.resource, service, &SpanView::read(item)?);
                    }
                    own.spans.push(&scope, item);
                } else {
                    let line = LineFacts::read(item, &[])?;
                    counters.trace_ids_from_fields += u64::from(line.trace_id.is_some() && !line.has_own_trace_id);
                    own.lines.push(&scope, &with_ids(item, &line));
                }
            }
            Ok(())
        })
    }

    pub(crate) fn take_traces(&mut self, request: &[u8], now_ns: u64) -> Result<(), ProtoError> {
        let entry = self.recorder.next_id();
        let Self { red, sampler, ledger, counters, direct, .. } = self;
        let (mut pins, mut dropped) = (0, false);
        for_each_scope::<ProtoError>(request, |scope| {
            let service = string_attribute(scope.resource.resource, 1, "service.name").unwrap_or_default();
            let around = field_bytes(scope.resource.resource) + field_bytes(scope.scope) + 2 * GROUP_BYTES;
            let of_resource = sampler.conditions().of_resource(scope.resource.resource);
            for item in scope.items() {
                let item = item?;
                let span = SpanView::read(item)?;
                ledger.received.add(Signal::Traces, 1);
                if let Some(red) = red {
                    red.observe(scope.resource.resource, service, &span);
                }
                let Some(trace) = span.trace_id else {
                    counters.spans_without_trace += 1;
                    ledger.filtered.add(Signal::Traces, 1);
                    continue;
                };
                let conditions = of_resource | sampler.conditions().of_span(&span);
                let part = span_part(&span, conditions, around as u32);
                match sampler.part(trace, part, field_bytes(item) as u64, entry, now_ns) {
                    Route::Waits { new_pin } => {
                        pins += u32::from(new_pin);
                        ledger.pending.add(Signal::Traces, 1);
                    }
                    Route::Decided(Verdict::Keep) => {
                        ledger.pending.add(Signal::Traces, 1);
                        direct.traces.push(&scope, item);
                        if let Some(red) = red {
                            counters.exemplars +=
                                u64::from(red.exemplar(scope.resource.resource, service, &span, &mut direct.exemplars));
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

    pub(crate) fn take_logs(&mut self, request: &[u8], now_ns: u64) -> Result<(), ProtoError> {
        let entry = self.recorder.next_id();
        let Self { sampler, ledger, counters, direct, rules, .. } = self;
        let (mut pins, mut dropped) = (0, false);
        for_each_scope::<ProtoError>(request, |scope| {
            for item in scope.items() {
                let item = item?;
                let line = LineFacts::read(item, &[rules.untraced_lines])?;
                ledger.received.add(Signal::Logs, 1);
                let Some(trace) = line.trace_id else {
                    if rules.untraced_lines.keeps(&line) {
                        ledger.pending.add(Signal::Logs, 1);
                        direct.lines.push(&scope, item);
                    } else {
                        counters.lines_by_rule += 1;
                        ledger.filtered.add(Signal::Logs, 1);
                    }
                    continue;
                };
                counters.trace_ids_from_fields += u64::from(!line.has_own_trace_id);
                let part = Part::Line { severity: line.severity, time_ns: line.time_ns };
                match sampler.part(trace, part, item.len() as u64, entry, now_ns) {
                    Route::Waits { new_pin } => {
                        pins += u32::from(new_pin);
                        ledger.pending.add(Signal::Logs, 1);
                    }
                    Route::Decided(Verdict::Keep) => {
                        ledger.pending.add(Signal::Logs, 1);
                        direct.trace_lines.push(&scope, &with_ids(item, &line));
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

    /// Takes points in; `lane` when they go into one of their own.
    pub(crate) fn take_metrics(&mut self, request: &[u8], lane: Option<Lane>, now_ns: u64) -> Result<(), ProtoError> {
        let mut parked = Vec::new();
        let out = match lane {
            None => &mut self.direct.points,
            Some(lane) => &mut self.direct.own(lane).points,
        };
        let points = exemplars::split(request, out, &mut parked)?;
        self.ledger.received.add(Signal::Metrics, points);
        self.ledger.pending.add(Signal::Metrics, points);
        if parked.is_empty() {
            return Ok(());
        }
        let mut count = 0;
        exemplars::for_each(&parked, |_, _| {
            count += 1;
            Ok(())
        })?;
        if !(self.sampler.make_room(count) && self.recorder.make_room(parked.len())) {
            self.counters.exemplars_without_room += count as u64;
            return Ok(());
        }
        let entry = self.recorder.next_id();
        let Self { sampler, counters, direct, .. } = self;
        let (mut pins, mut dropped) = (0, false);
        exemplars::for_each(&parked, |trace, series| {
            match sampler.part(trace, Part::Exemplar, series.len() as u64, entry, now_ns) {
                Route::Waits { new_pin } => pins += u32::from(new_pin),
                Route::Decided(Verdict::Keep) => {
                    counters.exemplars += 1;
                    exemplars::put(series, &mut direct.exemplars);
                }
                Route::Decided(Verdict::Drop) => dropped = true,
            }
            Ok(())
        })?;
        if pins > 0 || dropped {
            self.recorder.push(Content::Exemplars, &parked, pins);
        }
        Ok(())
    }
}
