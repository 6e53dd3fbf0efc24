//! What is to be known of a pipeline.

use std::ops::Range;

use drift::Drift;
use guard::Guard;
use ledger::Ledger;
use limit::{Overflow, SeriesLimit, Tally};
use model::{Lane, TraceId};
use recorder::{Content, EntryId};

use crate::books::{Books, Counters};
use crate::outbox::LaneStanding;

use super::Pipeline;

impl Pipeline {
    /// The books.
    pub fn books(&self) -> &Books {
        &self.books
    }

    /// The books, to be told what happened behind the journal.
    pub fn books_mut(&mut self) -> &mut Books {
        &mut self.books
    }

    /// The ledger.
    pub fn ledger(&self) -> &Ledger {
        self.books.ledger()
    }

    /// Counters beside the ledger.
    pub fn counters(&self) -> Counters {
        Counters { odd_times: self.admission.odd_times(), ..self.books.counters() }
    }

    /// The guard.
    pub fn guard(&self) -> &Guard {
        self.admission.guard()
    }

    /// The guard, to be told of an exception.
    pub fn guard_mut(&mut self) -> &mut Guard {
        self.admission.guard_mut()
    }

    /// What each rule of the limits took out.
    pub fn limit_tallies(&self) -> impl Iterator<Item = Tally<'_>> {
        let traces = self.undecided.limits().into_iter().flat_map(limit::TraceLimits::tallies);
        self.admission.limits().tallies().chain(traces)
    }

    /// What looks for drifting fields.
    pub fn drift(&self) -> &Drift {
        &self.drift
    }

    /// What was found of drifting fields since the last call.
    pub fn take_drift(&mut self) -> Vec<drift::Finding> {
        self.drift.take_found()
    }

    /// Which series of metrics there are.
    pub fn series(&self) -> &SeriesLimit {
        self.admission.series()
    }

    /// What of metrics is beyond their series.
    pub fn overflow(&self) -> &Overflow {
        &self.overflow
    }

    /// Where a trace stands with the sampler.
    pub fn decision(&self, trace: &TraceId) -> sampling::Standing {
        self.undecided.sampler().standing(trace)
    }

    /// The id that the recorder's next entry will have.
    pub fn recorder_end(&self) -> EntryId {
        self.undecided.recorder_end()
    }

    /// Calls `each` with the entries that the recorder holds in memory of these ids, in order, until it says false. Gives the id from
    /// which to go on.
    pub fn read_recorder(&mut self, ids: Range<EntryId>, each: impl FnMut(EntryId, Content, &[u8]) -> bool) -> EntryId {
        self.undecided.read_entries(ids, each)
    }

    /// The sampler's counters.
    pub fn sampling(&self) -> sampling::Stats {
        self.undecided.sampler().stats()
    }

    /// How often each policy was the first to keep a trace, by name.
    pub fn policy_keeps(&self) -> impl Iterator<Item = (&str, u64)> {
        let sampler = self.undecided.sampler();
        self.books.policy_keeps().filter_map(|(position, keeps)| Some((sampler.policy_name(position)?, keeps)))
    }

    /// How each lane that has watermarks stands.
    pub fn lane_standings(&self) -> impl Iterator<Item = LaneStanding> {
        self.outbox.pressure().lane_standings()
    }

    /// Requests that a lane refused by its watermarks, since start.
    pub fn refused_by_lane(&self, lane: Lane) -> u64 {
        self.books.refused_by_lane(lane)
    }

    /// Bytes in use: recorder, index, and what waits for the journal.
    pub fn bytes(&self) -> u64 {
        self.undecided.bytes() + self.outbox.bytes() as u64
    }

    /// The wall time up to which whatever came in of traces is decided, when it is `now_ns` and `wall_ns`; 0 while some of it
    /// is from before a restart, and so nobody knows.
    pub fn decided_to(&mut self, now_ns: u64, wall_ns: u64) -> u64 {
        self.undecided.decided_to(now_ns, wall_ns)
    }

    /// Whether nothing is undecided or on its way to the journal.
    pub fn is_idle(&self) -> bool {
        self.books.is_idle()
    }
}
