//! What was not delivered, for those who ask for it after all.

use filter::{Query, Record};
use model::otlp::{Selection, SpanView, for_each_scope};
use model::proto::ProtoError;
use model::{Signal, TraceId};
use query::{View, What, each_record};
use recorder::Content;
use sampling::{LogRecordFacts, Verdict};

use crate::attributes::with_ids;

use super::Undecided;

/// The trace of a record, also when a log record has it in a field of another name.
pub fn trace_of(view: &View<'_>) -> Option<TraceId> {
    match view.what {
        What::Log(record) if record.trace_id.is_none() => LogRecordFacts::read(view.item, &[]).ok()?.trace_id,
        _ => view.trace_id(),
    }
}

/// The records of a request that were not delivered, and how they were booked.
#[derive(Default)]
pub(crate) struct NotDelivered {
    selected: Selection,
    pub(crate) sampled_out: u64,
    pub(crate) filtered: u64,
}

impl NotDelivered {
    /// They as an OTLP export request.
    pub(crate) fn request(&self) -> Vec<u8> {
        let mut request = Vec::with_capacity(self.selected.bytes());
        self.selected.write(&mut request);
        request
    }
}

impl Undecided {
    /// What of a request was not delivered: spans and log records of dropped traces, and log records that a rule left out. All points
    /// were.
    ///
    /// # Errors
    /// Where the bytes do not walk.
    pub(crate) fn not_delivered(&self, signal: Signal, request: &[u8]) -> Result<NotDelivered, ProtoError> {
        let mut found = NotDelivered::default();
        let dropped = |trace: &TraceId| self.sampler.verdict(trace) == Some(Verdict::Drop);
        match signal {
            Signal::Traces => for_each_scope::<ProtoError>(request, |scope| {
                for item in scope.items() {
                    let item = item?;
                    if SpanView::read(item)?.trace_id.is_some_and(|trace| dropped(&trace)) {
                        found.selected.push(&scope, item);
                        found.sampled_out += 1;
                    }
                }
                Ok(())
            })?,
            Signal::Logs => for_each_scope::<ProtoError>(request, |scope| {
                for item in scope.items() {
                    let item = item?;
                    let record = LogRecordFacts::read_with(item, &[self.rules.without_trace], &self.rules.fields)?;
                    let count = match record.trace_id {
                        Some(trace) if dropped(&trace) => &mut found.sampled_out,
                        None if !self.rules.without_trace.keeps(&record) => &mut found.filtered,
                        _ => continue,
                    };
                    *count += 1;
                    found.selected.push(&scope, &with_ids(item, &record));
                }
                Ok(())
            })?,
            Signal::Metrics => {}
        }
        Ok(found)
    }

    /// Calls `each` with the trace of every span or log record in the recorder that passes a query. Gives how many entries could not
    /// be read.
    pub(crate) fn each_trace_of(&mut self, query: &Query, device: &str, mut each: impl FnMut(TraceId)) -> u64 {
        let mut unreadable = 0;
        let ids: Vec<_> = self.recorder.ids(self.recorder.oldest_id()).collect();
        for id in ids {
            let Some((Content::Request(signal), bytes)) = self.recorder.get(id) else { continue };
            let walked = each_record(signal, bytes, device, |view| {
                let passes = query.range.contains(view.time_ns()) && query.filter.matches(&view);
                if let Some(trace) = passes.then(|| trace_of(&view)).flatten() {
                    each(trace);
                }
            });
            unreadable += u64::from(walked.is_err());
        }
        self.recorder.release_buffer();
        unreadable
    }
}
