//! What is still undecided, told record by record: at an orderly end, and when a restart takes in again what is recorded.

use model::otlp::{LogView, ScopeGroup, Selection, SpanView, for_each_scope};
use model::proto::ProtoError;
use model::{Signal, TraceId};
use recorder::Content;
use sampling::{EntryId, LogRecordFacts, Remembered};

use super::Undecided;

/// The trace of a span or log record.
fn trace_of(signal: Signal, item: &[u8]) -> Result<Option<TraceId>, ProtoError> {
    Ok(match signal {
        Signal::Traces => SpanView::read(item)?.trace_id,
        Signal::Logs => {
            let own = LogView::read(item)?.trace_id;
            if own.is_some() { own } else { LogRecordFacts::read(item, &[])?.trace_id }
        }
        // Points were routed; their exemplars stay behind.
        Signal::Metrics => None,
    })
}

/// The records of a request whose trace passes.
pub(crate) fn select(
    signal: Signal,
    request: &[u8],
    mut passes: impl FnMut(&TraceId) -> bool,
) -> Result<Selection, ProtoError> {
    let mut selected = Selection::default();
    for_each_scope::<ProtoError>(request, |scope: ScopeGroup<'_>| {
        for item in scope.items() {
            let item = item?;
            if trace_of(signal, item)?.is_some_and(|trace| passes(&trace)) {
                selected.push(&scope, item);
            }
        }
        Ok(())
    })?;
    Ok(selected)
}

fn written(selected: &Selection) -> Vec<u8> {
    let mut request = Vec::with_capacity(selected.bytes());
    selected.write(&mut request);
    request
}

/// A walk over the recorder for what is undecided.
#[derive(Debug)]
pub(crate) struct Remaining {
    next: EntryId,
    end: EntryId,
}

/// Undecided records of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemainingRequest {
    /// Their signal.
    pub signal: Signal,
    /// How many they are.
    pub records: u64,
    /// They as an OTLP export request.
    pub request: Vec<u8>,
}

impl Undecided {
    /// Decisions that are remembered, with their ages in nanoseconds, oldest first.
    pub(crate) fn decisions(&self, now_ns: u64) -> impl Iterator<Item = (Remembered, u64)> {
        self.sampler.decisions(now_ns)
    }

    /// Begins to tell what is undecided.
    pub(crate) fn remaining(&self) -> Remaining {
        Remaining { next: self.recorder.oldest_id(), end: self.recorder.next_id() }
    }

    /// The next request with undecided records, and how many entries before it could not be read; `None` behind the last one.
    pub(crate) fn next_remaining(&mut self, walk: &mut Remaining) -> (Option<RemainingRequest>, u64) {
        let mut unreadable = 0;
        while walk.next < walk.end {
            let Some(id) = self.recorder.ids(walk.next).next().filter(|id| *id < walk.end) else { break };
            walk.next = id + 1;
            let found = self.remaining_of(id);
            if !matches!(found, Ok(None)) {
                self.recorder.release_buffer();
            }
            match found {
                Ok(Some(found)) => return (Some(found), unreadable),
                Ok(None) => {}
                Err(_) => unreadable += 1,
            }
        }
        self.recorder.release_buffer();
        (None, unreadable)
    }

    fn remaining_of(&mut self, entry: EntryId) -> Result<Option<RemainingRequest>, ProtoError> {
        let Self { recorder, sampler, .. } = self;
        let Some((Content::Request(signal), bytes)) = recorder.get(entry) else { return Ok(None) };
        let selected = select(signal, bytes, |trace| sampler.is_waiting(trace, entry))?;
        let records = selected.records();
        Ok((records > 0).then(|| RemainingRequest { signal, records, request: written(&selected) }))
    }

    /// The traces of those records of a request that wait in this entry, one for each record.
    pub(crate) fn waiting_in(&self, signal: Signal, request: &[u8], entry: EntryId) -> Vec<TraceId> {
        let mut traces = Vec::new();
        // What was taken in walks.
        let _walked = select(signal, request, |trace| {
            if self.sampler.is_waiting(trace, entry) {
                traces.push(*trace);
            }
            false
        });
        traces
    }

    /// The records of a request of an earlier life that still wait: their trace is not decided, and was not released. `None` when
    /// there are none.
    ///
    /// # Errors
    /// Where the bytes do not walk.
    pub(crate) fn still_waiting(
        &self,
        signal: Signal,
        request: &[u8],
        mut released: impl FnMut(&TraceId) -> bool,
    ) -> Result<Option<Vec<u8>>, ProtoError> {
        let waits = |trace: &TraceId| !released(trace) && self.sampler.verdict(trace).is_none();
        let selected = select(signal, request, waits)?;
        Ok((selected.records() > 0).then(|| written(&selected)))
    }
}
