//! The counters behind P1, and their balance.
//!
//! Per signal: `received + generated = filtered + sampled_out + pending + routed + lost(crash)`; and for each destination
//! `routed = queued + delivered + rejected + lost + skipped`. All counts are records: spans, log records, data points. The ledger
//! rides in the same commit as the frames that it speaks of, so that both survive a crash, or neither.

mod encoded;

use model::Signal;

pub use encoded::LedgerError;

/// One number per signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PerSignal {
    /// Spans.
    pub traces: u64,
    /// Log records.
    pub logs: u64,
    /// Data points.
    pub metrics: u64,
}

impl PerSignal {
    /// The number of one signal.
    pub fn get(&self, signal: Signal) -> u64 {
        match signal {
            Signal::Traces => self.traces,
            Signal::Logs => self.logs,
            Signal::Metrics => self.metrics,
        }
    }

    /// Adds to the number of one signal.
    pub fn add(&mut self, signal: Signal, records: u64) {
        let number = match signal {
            Signal::Traces => &mut self.traces,
            Signal::Logs => &mut self.logs,
            Signal::Metrics => &mut self.metrics,
        };
        *number = number.saturating_add(records);
    }

    /// Takes from the number of one signal.
    pub fn sub(&mut self, signal: Signal, records: u64) {
        let number = match signal {
            Signal::Traces => &mut self.traces,
            Signal::Logs => &mut self.logs,
            Signal::Metrics => &mut self.metrics,
        };
        debug_assert!(*number >= records, "P1: more {} leave than came", signal.name());
        *number = number.saturating_sub(records);
    }

    /// The sum over all signals.
    pub fn total(&self) -> u64 {
        self.traces + self.logs + self.metrics
    }
}

/// The counters of one destination, in records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DestinationLedger {
    /// The destination's name.
    pub name: String,
    /// Records routed since this destination exists.
    pub routed: u64,
    /// Confirmed by it.
    pub delivered: u64,
    /// Refused by it for good.
    pub rejected: u64,
    /// Never to be delivered to it: evicted, corrupt, dropped by an operator.
    pub lost: u64,
    /// Passed over, because it does not take their signal.
    pub skipped: u64,
}

impl DestinationLedger {
    /// Books records that were delivered and are queued again: the destination lost them. Those that were delivered before the
    /// books began, because a damaged ledger began them anew, were routed before that too.
    pub fn queue_again(&mut self, records: u64) {
        let known = records.min(self.delivered);
        self.delivered -= known;
        self.routed = self.routed.saturating_add(records - known);
    }

    /// Books records as lost that were taken for delivered because they are not queued.
    pub fn lose_delivered(&mut self, records: u64) {
        let known = records.min(self.delivered);
        self.delivered -= known;
        self.lost = self.lost.saturating_add(known);
    }
}

/// All counters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ledger {
    /// Accepted from producers.
    pub received: PerSignal,
    /// Made by the agent itself (RED metrics), or delivered once more by order.
    pub generated: PerSignal,
    /// Left out by a rule.
    pub filtered: PerSignal,
    /// Left out by a sampling decision.
    pub sampled_out: PerSignal,
    /// Neither decided nor handed to the journal yet.
    pub pending: PerSignal,
    /// Handed to the journal.
    pub routed: PerSignal,
    /// Was pending when the program stopped without warning.
    pub lost_crash: PerSignal,
    /// Told to wait or refused; never counted as received.
    pub refused: PerSignal,
    /// Traces kept, over all lives of the data directory.
    pub kept_traces: u64,
    /// Traces dropped, over all lives of the data directory.
    pub dropped_traces: u64,
    /// The most records that were answered after the last commit before a kill, over all lives: they are in no other count.
    pub crash_unknown: u64,
    /// The most records that may be answered between the commit of this ledger and of the next one.
    pub allowance: u64,
    /// Per destination.
    pub destinations: Vec<DestinationLedger>,
}

impl Ledger {
    /// The ledger of a program that starts on what `bytes` say was committed last. What was pending then is lost (P1).
    ///
    /// # Errors
    /// [`LedgerError`] when the bytes are no ledger.
    pub fn recover(bytes: &[u8]) -> Result<Self, LedgerError> {
        let (mut ledger, pending) = Self::resume(bytes)?;
        for signal in Signal::ALL {
            ledger.lost_crash.add(signal, pending.get(signal));
        }
        Ok(ledger)
    }

    /// As [`Ledger::recover`] for a program that has recorded what was pending: it is told beside the ledger, to be booked when
    /// it is known what of it is there.
    ///
    /// # Errors
    /// [`LedgerError`] when the bytes are no ledger.
    pub fn resume(bytes: &[u8]) -> Result<(Self, PerSignal), LedgerError> {
        let mut ledger = encoded::decode(bytes)?;
        let pending = std::mem::take(&mut ledger.pending);
        ledger.crash_unknown = ledger.crash_unknown.saturating_add(std::mem::take(&mut ledger.allowance));
        Ok((ledger, pending))
    }

    /// The bytes to commit.
    pub fn encode(&self) -> Vec<u8> {
        encoded::encode(self)
    }

    /// The entry of a destination, made when new.
    pub fn destination(&mut self, name: &str) -> &mut DestinationLedger {
        let position = self.destinations.iter().position(|one| one.name == name).unwrap_or_else(|| {
            self.destinations.push(DestinationLedger { name: name.to_owned(), ..DestinationLedger::default() });
            self.destinations.len() - 1
        });
        &mut self.destinations[position]
    }

    /// Keeps the entries of these destinations, made when new; those of others end.
    pub fn keep_destinations(&mut self, names: &[String]) {
        self.destinations.retain(|one| names.contains(&one.name));
        for name in names {
            self.destination(name);
        }
    }

    /// Books records that were handed to the journal, for every destination.
    pub fn route(&mut self, signal: Signal, records: u64) {
        self.pending.sub(signal, records);
        self.routed.add(signal, records);
        for destination in &mut self.destinations {
            destination.routed = destination.routed.saturating_add(records);
        }
    }

    /// Takes a booking of [`Ledger::route`] back: the journal had no room.
    pub fn unroute(&mut self, signal: Signal, records: u64) {
        self.routed.sub(signal, records);
        self.pending.add(signal, records);
        for destination in &mut self.destinations {
            destination.routed = destination.routed.saturating_sub(records);
        }
    }

    /// By how many records the equations of P1 miss; `queued` gives a destination's depth as the journal counts it.
    pub fn difference(&self, queued: impl Fn(&str) -> u64) -> u64 {
        let mut difference = 0;
        for signal in Signal::ALL {
            let came = self.received.get(signal) + self.generated.get(signal);
            let went = self.filtered.get(signal)
                + self.sampled_out.get(signal)
                + self.pending.get(signal)
                + self.routed.get(signal)
                + self.lost_crash.get(signal);
            difference += came.abs_diff(went);
        }
        for one in &self.destinations {
            let went = queued(&one.name) + one.delivered + one.rejected + one.lost + one.skipped;
            difference += one.routed.abs_diff(went);
        }
        difference
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.destination("hub");
        ledger.received.add(Signal::Traces, 10);
        ledger.pending.add(Signal::Traces, 10);
        ledger.pending.sub(Signal::Traces, 4);
        ledger.sampled_out.add(Signal::Traces, 4);
        ledger.route(Signal::Traces, 5);
        ledger.destination("hub").delivered = 2;
        ledger
    }

    /// Scenario: ten spans come; four are sampled out, five routed, two delivered, one pends.
    /// Guarantees: the books balance with three queued, and one record less is seen (P1).
    #[test]
    fn the_books_balance() {
        let ledger = ledger();
        assert_eq!(ledger.difference(|_| 3), 0);
        assert_eq!(ledger.difference(|_| 2), 1);
    }

    /// Scenario: a destination that was restored from a backup gets again what the books know of, and more than that.
    /// Guarantees: its equation holds both times (P1).
    #[test]
    fn what_is_queued_again_is_booked() {
        let mut ledger = ledger();
        ledger.destination("hub").queue_again(1);
        assert_eq!(ledger.difference(|_| 4), 0);
        ledger.destination("hub").queue_again(3);
        assert_eq!(ledger.difference(|_| 7), 0);
        ledger.destination("hub").delivered += 2;
        ledger.destination("hub").lose_delivered(1);
        assert_eq!((ledger.difference(|_| 5), ledger.destination("hub").lost), (0, 1));
    }

    /// Scenario: a crash after the commit of that ledger. Guarantees: what was pending is booked as lost, and the books
    /// balance again; what may have been answered after it is told; a cut one is an error (P1).
    #[test]
    fn a_crash_is_booked() {
        let mut ledger = ledger();
        (ledger.crash_unknown, ledger.allowance) = (5, 7);
        let recovered = Ledger::recover(&ledger.encode()).unwrap();
        assert_eq!(recovered.lost_crash.traces, 1);
        assert_eq!(recovered.pending, PerSignal::default());
        assert_eq!((recovered.crash_unknown, recovered.allowance), (12, 0));
        assert_eq!(recovered.difference(|_| 3), 0);
        let bytes = ledger.encode();
        for cut in 0..bytes.len() {
            assert!(Ledger::recover(&bytes[..cut]).is_err());
        }
    }
}
