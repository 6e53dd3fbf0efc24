//! Going on after a restart with what the recorder's files hold: undecided traces wait again, decisions are remembered, and
//! what was answered after the last commit comes in once more.

use std::collections::HashMap;

use journal::{Disk, Journal, JournalError, Recording};
use ledger::PerSignal;
use model::otlp::{LogView, ScopeGroup, Selection, SpanView, count_records, for_each_scope};
use model::proto::ProtoError;
use model::{Signal, TraceId};
use sampling::{LineFacts, Remembered, Verdict};

use crate::pipeline::Pipeline;
use crate::starting::TakesIn;

/// Keys of so many last requests are remembered.
const KEYS: u64 = 512;

/// What a restart took in again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resumed {
    /// Decisions remembered.
    pub decisions: u64,
    /// Records that were undecided at the last commit, and are again.
    pub undecided: PerSignal,
    /// Requests that were answered, or on their way to be, after the last commit.
    pub requests: u64,
    /// Places of the recorder's files that could not be read.
    pub damaged: u64,
    /// Requests that were set aside, because starts died before that took them in.
    pub set_aside: u64,
}

/// From which sequence on requests are set aside, and who keeps them; false when one could not be kept.
pub(crate) struct Aside<'a> {
    pub(crate) takes_in: TakesIn,
    pub(crate) keep: &'a mut dyn FnMut(Signal, &[u8]) -> bool,
}

/// Traces that were let go without a decision, and the sequence below which their parts were meant.
type Alone = HashMap<u64, u64>;

/// Feeds a pipeline that was just made with what is recorded. `pending` is what the last commit had as undecided: what of it
/// is not found again is booked as lost in the crash.
///
/// # Errors
/// [`JournalError::Io`] when the disk refuses.
pub(crate) fn resume<D: Disk>(
    journal: &Journal<D>,
    pipeline: &mut Pipeline,
    pending: &PerSignal,
    now_ns: u64,
    wall_ns: u64,
    aside: &mut Aside<'_>,
) -> Result<Resumed, JournalError> {
    let mut resumed = Resumed::default();
    let mut alone = Alone::new();
    let taken = journal.taken();
    journal.each_decisions(|read| {
        resumed.decisions += read.remembered.len() as u64;
        let age = if read.wall_ns == 0 { 0 } else { wall_ns.saturating_sub(read.wall_ns) };
        pipeline.sampler.restore(read.remembered.iter().map(|bits| Remembered::from_bits(*bits)), age, now_ns);
        if read.before > taken.needed {
            alone.extend(read.alone.iter().map(|bits| (*bits, read.before)));
        }
    })?;
    // What was restored is on disk already.
    let _known = pipeline.sampler.take_new_decisions();
    let (_, next) = journal.recorded();
    pipeline.record_from(taken.next.max(1));
    journal.each_recorded(next.saturating_sub(KEYS), |_, request| {
        if !request.key.is_empty() {
            pipeline.repeats.remember(request.key);
        }
    })?;
    let from = match aside.takes_in {
        TakesIn::All => u64::MAX,
        TakesIn::Committed => taken.next,
        TakesIn::Nothing => 0,
    };
    resumed.damaged = journal.each_recorded(taken.needed, |sequence, request| {
        let journal::Content::Request(signal) = request.content else { return };
        if sequence >= from && (aside.keep)(signal, request.bytes) {
            resumed.set_aside += 1;
            if sequence >= taken.next {
                // It was answered, and no note speaks of it.
                let records = count_records(signal, request.bytes).unwrap_or(0);
                pipeline.ledger.received.add(signal, records);
                pipeline.ledger.lost_crash.add(signal, records);
            }
            return;
        }
        let walked = if sequence < taken.next {
            wait_again(pipeline, &alone, sequence, signal, &request, now_ns)
        } else {
            resumed.requests += 1;
            let waits = if signal == Signal::Metrics { 0 } else { request.bytes.len() };
            // It was answered: it has to come in, room or not.
            let _room = pipeline.recorder.make_room(waits);
            pipeline.take_in(signal, request.bytes, Some(sequence), now_ns)
        };
        pipeline.counters.unreadable += u64::from(walked.is_err());
    })?;
    // Requests whose bytes cannot be read any more leave holes.
    pipeline.skip_to(next);
    resumed.undecided = pipeline.resumed_pending;
    pipeline.resumed_ns = Some(now_ns);
    for signal in Signal::ALL {
        let lost = pending.get(signal).saturating_sub(resumed.undecided.get(signal));
        pipeline.ledger.lost_crash.add(signal, lost);
        // Where decisions cannot be read any more, what they decided comes in a second time.
        let twice = resumed.undecided.get(signal).saturating_sub(pending.get(signal));
        pipeline.ledger.received.add(signal, twice);
    }
    Ok(resumed)
}

/// Takes the undecided parts of a request in again: as pending, not as received.
fn wait_again(
    pipeline: &mut Pipeline,
    alone: &Alone,
    sequence: u64,
    signal: Signal,
    request: &Recording<'_>,
    now_ns: u64,
) -> Result<(), ProtoError> {
    let waits = |pipeline: &Pipeline, trace: &TraceId| {
        let let_go = alone.get(&Remembered::new(trace, Verdict::Drop).bits()).is_some_and(|before| sequence < *before);
        !let_go && pipeline.sampler.verdict(trace).is_none()
    };
    let mut selected = Selection::default();
    let mut count = 0;
    let mut choose = |scope: &ScopeGroup<'_>, item: &[u8], trace: Option<TraceId>| {
        if trace.is_some_and(|trace| waits(pipeline, &trace)) {
            selected.push(scope, item);
            count += 1;
        }
    };
    // What went into lanes of its own is there.
    let split = pipeline.lanes.split(signal, request.bytes)?;
    let bytes = split.as_ref().map_or(request.bytes, |split| &split.rest);
    match signal {
        Signal::Traces => for_each_scope::<ProtoError>(bytes, |scope| {
            for item in scope.items() {
                let item = item?;
                choose(&scope, item, SpanView::read(item)?.trace_id);
            }
            Ok(())
        })?,
        Signal::Logs => for_each_scope::<ProtoError>(bytes, |scope| {
            for item in scope.items() {
                let item = item?;
                let own = LogView::read(item)?.trace_id;
                let trace = if own.is_some() { own } else { LineFacts::read(item, &[])?.trace_id };
                choose(&scope, item, trace);
            }
            Ok(())
        })?,
        // Points were routed; their exemplars stay behind.
        Signal::Metrics => {}
    }
    if count == 0 {
        return Ok(());
    }
    let mut body = Vec::new();
    selected.write(&mut body);
    pipeline.recorder.set_tag(sequence);
    let again = pipeline.wait_on(signal, &body, now_ns)?;
    pipeline.resumed_pending.add(signal, again);
    Ok(())
}
