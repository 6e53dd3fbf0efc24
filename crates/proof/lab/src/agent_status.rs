//! What the agent says about itself: `GET /status` of its admin endpoint.

use serde::Deserialize;

/// The whole answer, as far as the lab reads it. Counts are records: spans, log records, data points.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Status {
    pub(crate) epoch: String,
    pub(crate) ledger: Ledger,
    pub(crate) sampling: Sampling,
    pub(crate) destinations: Vec<Destination>,
}

/// One count for each signal.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(crate) struct Counts {
    pub(crate) traces: u64,
    pub(crate) logs: u64,
    pub(crate) metrics: u64,
}

impl Counts {
    /// The counts of traces, logs and metrics.
    pub(crate) fn each(self) -> [u64; 3] {
        [self.traces, self.logs, self.metrics]
    }

    pub(crate) fn sum(self) -> u64 {
        self.each().iter().sum()
    }
}

/// The counters behind promise P1.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Ledger {
    pub(crate) received: Counts,
    pub(crate) generated: Counts,
    pub(crate) filtered: Counts,
    pub(crate) sampled_out: Counts,
    pub(crate) pending: Counts,
    pub(crate) routed: Counts,
    pub(crate) lost_crash: Counts,
    /// The most that was answered after the last commit before a kill.
    #[serde(default)]
    pub(crate) crash_unknown: u64,
    pub(crate) destinations: Vec<LedgerDestination>,
    /// The agent's own opinion of what does not add up.
    pub(crate) difference: i64,
}

/// The counters of one destination.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct LedgerDestination {
    pub(crate) routed: u64,
    pub(crate) queued: u64,
    pub(crate) delivered: u64,
    pub(crate) rejected: u64,
    pub(crate) lost: u64,
    /// Of signals that it does not take.
    #[serde(default)]
    pub(crate) skipped: u64,
}

/// How the sampler stands.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Sampling {
    pub(crate) pending_traces: u64,
    pub(crate) kept_traces: u64,
    #[serde(default)]
    pub(crate) decided_early: u64,
    #[serde(default)]
    pub(crate) forgotten_early: u64,
    #[serde(default)]
    pub(crate) recalled_traces: u64,
}

/// How one destination stands.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Destination {
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) queued_records: u64,
    pub(crate) queued_bytes: u64,
    pub(crate) oldest_age_s: f64,
    /// Empty when all is well.
    pub(crate) last_error: String,
}

impl Status {
    /// Whether every trace is decided and everything was delivered.
    pub(crate) fn is_drained(&self) -> bool {
        self.is_decided() && self.destinations.iter().all(|destination| destination.queued_records == 0)
    }

    /// Whether no trace waits for its decision.
    pub(crate) fn is_decided(&self) -> bool {
        self.sampling.pending_traces == 0 && self.ledger.pending.sum() == 0
    }

    /// By how much the equations of P1 do not hold: for each signal, received + generated = filtered + sampled out +
    /// pending + routed + lost in a crash; for each destination, routed = queued + delivered + rejected + lost + skipped, and what
    /// was routed to it is what was routed at all.
    pub(crate) fn imbalance(&self) -> u64 {
        let ledger = &self.ledger;
        let signals = (0..3).map(|signal| {
            let sum = |counts: &[Counts]| counts.iter().map(|counts| counts.each()[signal]).sum::<u64>();
            let came = sum(&[ledger.received, ledger.generated]);
            came.abs_diff(sum(&[ledger.filtered, ledger.sampled_out, ledger.pending, ledger.routed, ledger.lost_crash]))
        });
        let destinations = ledger.destinations.iter().map(|destination| {
            let accounted = destination.queued
                + destination.delivered
                + destination.rejected
                + destination.lost
                + destination.skipped;
            destination.routed.abs_diff(accounted) + ledger.routed.sum().abs_diff(destination.routed)
        });
        signals.chain(destinations).sum::<u64>() + ledger.difference.unsigned_abs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The documented form of the answer.
    const ANSWER: &str = r#"{"device":"vessel-1","epoch":"00000000000000aa","uptime_s":1.0,
        "ledger":{"received":{"traces":10,"logs":7,"metrics":3},"generated":{"traces":0,"logs":0,"metrics":2},
          "filtered":{"traces":1,"logs":0,"metrics":0},"lost_crash":{"traces":0,"logs":0,"metrics":1},
          "sampled_out":{"traces":4,"logs":4,"metrics":0},"pending":{"traces":2,"logs":1,"metrics":0},
          "routed":{"traces":3,"logs":2,"metrics":4},"refused":{"traces":0,"logs":0,"metrics":0},
          "destinations":[{"name":"hub","routed":9,"queued":1,"delivered":6,"rejected":1,"lost":1}],"difference":0},
        "sampling":{"pending_traces":1,"kept_traces":2,"dropped_traces":1,"late_unknown":0},
        "destinations":[{"name":"hub","state":"up","queued_records":1,"queued_bytes":90,"oldest_age_s":0.5,
          "last_error":""}]}"#;

    /// Scenario: the documented answer, then with one count changed in each equation. Guarantees: the balance is seen,
    /// and each difference by its size (P1).
    #[test]
    fn differences_of_the_ledger_are_seen() {
        let read = |text: &str| serde_json::from_str::<Status>(text).unwrap();
        assert_eq!(read(ANSWER).imbalance(), 0);
        assert_eq!(read(&ANSWER.replace("\"logs\":7", "\"logs\":9")).imbalance(), 2);
        assert_eq!(read(&ANSWER.replace("\"delivered\":6", "\"delivered\":5")).imbalance(), 1);
        assert_eq!(read(&ANSWER.replace("\"routed\":9", "\"routed\":8")).imbalance(), 2);
        assert_eq!(read(&ANSWER.replace("\"difference\":0", "\"difference\":-3")).imbalance(), 3);
        assert!(!read(ANSWER).is_decided());
    }
}
