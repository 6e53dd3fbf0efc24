//! The books: the ledger behind P1 and the counters beside it. The other parts hand over facts; nobody else adds.

mod allowance;
mod counters;
mod facts;

use ledger::{Ledger, PerSignal};
use model::otlp::Inspection;
use model::{Lane, Refusal, RefusalCounts, Signal};

pub use counters::Counters;
pub use facts::WAIT;
pub(crate) use facts::{Applied, Encoded, Fetched, Incoming, NotAdmitted};

use allowance::Allowance;

/// Ledger, counters, and what may be answered before the next commit.
#[derive(Debug, Default)]
pub struct Books {
    ledger: Ledger,
    counters: Counters,
    /// How often each policy was the first to keep a trace, by its position.
    policy_keeps: Vec<u64>,
    /// Requests that a lane refused by its watermarks, by its number.
    refused_by_lane: [u64; Lane::ALL.len()],
    allowance: Allowance,
}

impl Books {
    /// Books that go on with a ledger.
    pub(crate) fn new(ledger: Ledger) -> Self {
        Self { ledger, ..Self::default() }
    }

    /// The ledger.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The counters beside it.
    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    /// How often each policy was the first to keep a trace, with its position; those that never were are left out.
    pub(crate) fn policy_keeps(&self) -> impl Iterator<Item = (u16, u64)> {
        let keeps = (0u16..).zip(&self.policy_keeps);
        keeps.filter(|(_, keeps)| **keeps > 0).map(|(position, keeps)| (position, *keeps))
    }

    /// Requests that this lane refused by its watermarks.
    pub(crate) fn refused_by_lane(&self, lane: Lane) -> u64 {
        self.refused_by_lane[usize::from(lane.number())]
    }

    /// Whether nothing is undecided or on its way to the journal.
    pub(crate) fn is_idle(&self) -> bool {
        self.ledger.pending.total() == 0
    }
}

/// What comes in.
impl Books {
    /// A request is not admitted.
    pub(crate) fn not_admitted(&mut self, why: &NotAdmitted) {
        match why {
            NotAdmitted::Repeated => self.counters.repeated_requests += 1,
            NotAdmitted::OnItsWay => {}
            NotAdmitted::Bad { reason, .. } => {
                self.counters.bad_requests += 1;
                self.counters.refused.add(*reason, 1);
            }
            NotAdmitted::Later { reason, lane } => {
                if let Some(reason) = reason {
                    self.counters.refused.add(*reason, 1);
                }
                if let Some(lane) = lane {
                    self.refused_by_lane[usize::from(lane.number())] += 1;
                }
            }
        }
    }

    /// The producer of these records is told to wait.
    pub(crate) fn refused(&mut self, signal: Signal, records: u64) {
        self.ledger.refused.add(signal, records);
    }

    /// The look at a request that is taken in: what of it is not, and what is mended.
    pub(crate) fn looked_at(&mut self, found: &Inspection) {
        self.counters.rejected.merge(&found.rejected);
        self.counters.mended.merge(&found.mended);
    }

    /// Records of a request that is taken in name a lane that they may not choose.
    pub(crate) fn lanes_not_allowed(&mut self, records: u64) {
        self.counters.rejected_lanes += records;
    }

    /// The guard took these out of a request that is taken in.
    pub(crate) fn dropped_by_guard(&mut self, signal: Signal, dropped: &RefusalCounts) {
        let records = dropped.total();
        self.counters.dropped_by_guard.merge(dropped);
        self.ledger.received.add(signal, records);
        self.ledger.filtered.add(signal, records);
        self.allowance.took(records);
    }

    /// Records came in and found their way.
    pub(crate) fn came_in(&mut self, signal: Signal, facts: &Incoming) {
        self.ledger.received.add(signal, facts.records());
        self.found_their_way(signal, facts);
    }

    /// They are answered before they are durable.
    pub(crate) fn answered(&mut self, facts: &Incoming) {
        self.allowance.took(facts.records());
    }

    /// Records that came in before a restart found their way again: they were counted as received then. Gives how many are pending.
    pub(crate) fn came_again(&mut self, signal: Signal, facts: &Incoming) -> u64 {
        self.found_their_way(signal, facts);
        facts.waiting + facts.passing
    }

    fn found_their_way(&mut self, signal: Signal, facts: &Incoming) {
        self.ledger.pending.add(signal, facts.waiting + facts.passing);
        self.ledger.filtered.add(signal, facts.filtered + facts.limited);
        self.counters.dropped_by_guard.add(Refusal::Limited, facts.limited);
        self.ledger.sampled_out.add(signal, facts.sampled_out);
        match signal {
            Signal::Traces => self.counters.spans_without_trace += facts.filtered,
            Signal::Logs => self.counters.log_records_by_rule += facts.filtered,
            Signal::Metrics => {}
        }
        self.counters.trace_ids_from_fields += facts.trace_ids_from_fields;
        self.counters.exemplars += facts.exemplars;
        self.counters.exemplars_without_room += facts.exemplars_without_room;
    }

    /// A request that was taken in cannot be read: validation is wrong, and its producer is told.
    pub(crate) fn unreadable_request(&mut self) {
        self.counters.unreadable += 1;
        self.counters.bad_requests += 1;
    }

    /// What is recorded cannot be read again.
    pub(crate) fn unreadable(&mut self, entries: u64) {
        self.counters.unreadable += entries;
    }
}

/// What is decided, and what goes to the journal.
impl Books {
    /// Decisions were applied.
    pub(crate) fn applied(&mut self, facts: &Applied) {
        self.ledger.kept_traces += facts.kept_traces;
        self.ledger.dropped_traces += facts.dropped_traces;
        for policy in &facts.policies {
            let policy = usize::from(*policy);
            if self.policy_keeps.len() <= policy {
                self.policy_keeps.resize(policy + 1, 0);
            }
            self.policy_keeps[policy] += 1;
        }
        for signal in Signal::ALL {
            let (recalled, left_out) = (facts.recalled.get(signal), facts.left_out.get(signal));
            self.ledger.sampled_out.sub(signal, recalled);
            self.ledger.pending.add(signal, recalled);
            self.ledger.pending.sub(signal, left_out);
            self.ledger.sampled_out.add(signal, left_out);
        }
        self.counters.exemplars += facts.exemplars;
        self.counters.unreadable += facts.unreadable;
    }

    /// Records were encoded, or could not be.
    pub(crate) fn encoded(&mut self, facts: &Encoded) {
        self.counters.unknown_fields += facts.unknown_fields;
        self.counters.invalid_utf8 += facts.invalid_utf8;
        for signal in Signal::ALL {
            let records = facts.unencodable.get(signal);
            self.counters.unencodable += records;
            self.ledger.pending.sub(signal, records);
            self.ledger.filtered.add(signal, records);
        }
    }

    /// The agent made records itself.
    pub(crate) fn generated(&mut self, signal: Signal, records: u64) {
        self.ledger.generated.add(signal, records);
        self.ledger.pending.add(signal, records);
    }

    /// Records are delivered after all, or once more, by request.
    pub(crate) fn fetched(&mut self, signal: Signal, facts: &Fetched) {
        // Books that began anew do not know of all.
        let sampled_out = facts.sampled_out.min(self.ledger.sampled_out.get(signal));
        let filtered = facts.filtered.min(self.ledger.filtered.get(signal));
        self.ledger.sampled_out.sub(signal, sampled_out);
        self.ledger.filtered.sub(signal, filtered);
        self.ledger.generated.add(signal, facts.records - sampled_out - filtered);
        self.ledger.pending.add(signal, facts.records);
    }

    /// Traces are kept by request, all of their records were fetched.
    pub(crate) fn kept_by_request(&mut self, traces: u64) {
        self.ledger.kept_traces += traces;
    }

    /// A batch goes to the journal.
    pub(crate) fn routed(&mut self, records: &PerSignal) {
        Signal::ALL.into_iter().for_each(|signal| self.ledger.route(signal, records.get(signal)));
    }

    /// The journal had no room for a batch.
    pub(crate) fn put_back(&mut self, records: &PerSignal) {
        Signal::ALL.into_iter().for_each(|signal| self.ledger.unroute(signal, records.get(signal)));
    }

    /// The journal will never take a batch, because it is larger than any frame can be.
    pub(crate) fn unfit(&mut self, records: &PerSignal) {
        self.put_back(records);
        self.encoded(&Encoded { unencodable: *records, ..Encoded::default() });
    }
}

/// Commits.
impl Books {
    /// The bytes of the ledger to commit now. With `recorded` whatever is answered comes back after a crash; else it says
    /// how much may be answered before the next one.
    pub(crate) fn encoded_ledger(&mut self, recorded: bool) -> Vec<u8> {
        self.ledger.allowance = if recorded { 0 } else { self.allowance.grant() };
        self.ledger.encode()
    }

    /// The ledger that was encoded last is on disk.
    pub(crate) fn committed(&mut self) {
        self.allowance.committed();
    }

    /// Whether more was taken in than may be answered before the next commit.
    pub(crate) fn is_beyond_allowance(&self) -> bool {
        self.allowance.is_beyond()
    }

    /// Whether nothing more is answered.
    pub(crate) fn is_closed(&self) -> bool {
        self.allowance.is_closed()
    }

    /// Nothing more is answered.
    pub(crate) fn close(&mut self) {
        self.allowance.close();
    }
}

/// What happened behind the journal, and over a restart.
impl Books {
    /// A destination is done with records; so many of them it refused for good, and so many are of signals that it does not take.
    pub fn confirmed(&mut self, destination: &str, records: u64, rejected: u64, skipped: u64) {
        let entry = self.ledger.destination(destination);
        let skipped = skipped.min(records);
        let rejected = rejected.min(records - skipped);
        entry.delivered += records - rejected - skipped;
        entry.rejected += rejected;
        entry.skipped += skipped;
    }

    /// A destination took records after all that it had refused.
    pub fn taken_after_all(&mut self, destination: &str, records: u64) {
        let entry = self.ledger.destination(destination);
        let known = records.min(entry.rejected);
        entry.rejected -= known;
        entry.delivered += known;
    }

    /// A destination was passed by records of signals that it does not take; fewer than none where those will come by again, as others.
    pub fn skipped(&mut self, destination: &str, records: i64) {
        let entry = self.ledger.destination(destination);
        entry.skipped = entry.skipped.saturating_add_signed(records);
    }

    /// Records will never be delivered to a destination.
    pub fn lost(&mut self, destination: &str, records: u64) {
        self.ledger.destination(destination).lost += records;
    }

    /// Records that were taken for delivered are lost to a destination.
    pub fn delivered_are_lost(&mut self, destination: &str, records: u64) {
        self.ledger.destination(destination).lose_delivered(records);
    }

    /// A destination lost records that it had confirmed: they are queued again.
    pub fn queued_again(&mut self, destination: &str, records: u64) {
        self.ledger.destination(destination).queue_again(records);
    }

    /// A request was answered, no committed ledger speaks of it, and it is not taken in again.
    pub(crate) fn lost_with_the_start(&mut self, signal: Signal, records: u64) {
        self.ledger.received.add(signal, records);
        self.ledger.lost_crash.add(signal, records);
    }

    /// So many log records are in the journal, and their source may read them again.
    pub(crate) fn ambiguous(&mut self, records: u64) {
        self.counters.duplicates_ambiguous += records;
    }

    /// So many log records that were pending at the last commit are read again by their source: they are received then.
    pub(crate) fn read_again(&mut self, records: u64, pending: &mut PerSignal) {
        let records = records.min(pending.logs).min(self.ledger.received.logs);
        pending.logs -= records;
        self.ledger.received.logs -= records;
    }

    /// After a restart so many records wait again, of those that were pending at the last commit.
    pub(crate) fn resumed(&mut self, pending: &PerSignal, again: &PerSignal) {
        for signal in Signal::ALL {
            self.ledger.lost_crash.add(signal, pending.get(signal).saturating_sub(again.get(signal)));
            // Where decisions cannot be read any more, what they decided comes in a second time.
            self.ledger.received.add(signal, again.get(signal).saturating_sub(pending.get(signal)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the guard takes records out of a request. Guarantees: they are received and filtered, counted by reason, and the books
    /// balance (P1, P10).
    #[test]
    fn what_the_guard_drops_is_counted() {
        let mut books = Books::new(Ledger::default());
        let mut dropped = RefusalCounts::default();
        dropped.add(Refusal::OverBudget, 3);
        books.dropped_by_guard(Signal::Logs, &dropped);
        assert_eq!((books.ledger().received.logs, books.ledger().filtered.logs), (3, 3));
        assert_eq!(books.counters().dropped_by_guard.get(Refusal::OverBudget), 3);
        assert_eq!(books.ledger().difference(|_| 0), 0);
    }

    /// Scenario: 5 records were pending at the last commit; 3 or 7 of them wait again. Guarantees: what is missing is lost in the crash,
    /// what comes a second time is received a second time, and the books balance (P1).
    #[test]
    fn what_a_restart_finds_is_booked() {
        for (again, lost, received) in [(3, 2, 5), (7, 0, 7)] {
            let mut ledger = Ledger::default();
            ledger.received.traces = 5;
            let mut books = Books::new(ledger);
            let facts = Incoming { waiting: again, ..Incoming::default() };
            assert_eq!(books.came_again(Signal::Traces, &facts), again);
            let of = |traces| PerSignal { traces, ..PerSignal::default() };
            books.resumed(&of(5), &of(again));
            assert_eq!((books.ledger().lost_crash.traces, books.ledger().received.traces), (lost, received));
            assert_eq!(books.ledger().difference(|_| 0), 0);
        }
    }
}
