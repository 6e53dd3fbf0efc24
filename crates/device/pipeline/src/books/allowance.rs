//! What a kill may take without a trace at level `received`: each committed ledger says how many records may be answered before
//! the next one, and answers beyond that wait for it. So a restart can tell the most that it does not know of (P1).

/// A committed ledger lets at least so many records be answered.
const LEAST: u64 = 1_024;
/// It lets so many times as many be answered as came since the last one: a disk that stalls for seconds holds no answer up.
const TIMES: u64 = 8;

/// Records since the last commits.
#[derive(Debug, Default)]
pub(crate) struct Allowance {
    /// Taken in since the ledger that is committed last, and how many it allows.
    since: u64,
    allowed: u64,
    /// The same for a ledger on its way to the disk.
    coming: Option<(u64, u64)>,
    /// Nothing more is answered.
    closed: bool,
}

impl Allowance {
    /// Records are taken in.
    pub(crate) fn took(&mut self, records: u64) {
        self.since += records;
        if let Some((since, _)) = &mut self.coming {
            *since += records;
        }
    }

    /// Whether more were taken in than may be answered before the next commit.
    pub(crate) fn is_beyond(&self) -> bool {
        self.since > self.allowed || self.coming.is_some_and(|(since, allowed)| since > allowed)
    }

    /// A ledger is encoded: what it allows.
    pub(crate) fn grant(&mut self) -> u64 {
        let allowed = if self.closed { 0 } else { LEAST.max(TIMES * self.since) };
        self.coming = Some((0, allowed));
        allowed
    }

    /// The ledger that was encoded last is committed.
    pub(crate) fn committed(&mut self) {
        if let Some((since, allowed)) = self.coming.take() {
            (self.since, self.allowed) = (since, allowed);
        }
    }

    /// Whether nothing more is answered.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Nothing more is answered: the last one allows nothing.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: records come before the first commit, between two, while one is on its way, and one is never committed.
    /// Guarantees: whatever ledger is the readable one after a kill, no more than it allows was answered since (P1).
    #[test]
    fn a_committed_ledger_covers_what_is_answered_after_it() {
        let mut allowance = Allowance::default();
        allowance.took(1);
        assert!(allowance.is_beyond(), "no ledger covers it");
        assert_eq!(allowance.grant(), LEAST);
        assert!(allowance.is_beyond(), "it is not committed");
        allowance.committed();
        allowance.took(LEAST);
        assert!(!allowance.is_beyond());
        assert_eq!(allowance.grant(), TIMES * LEAST);
        allowance.took(1);
        assert!(allowance.is_beyond(), "the older one still counts");
        allowance.committed();
        assert!(!allowance.is_beyond());
        // The next commit fails, and the one after it is made anew.
        assert_eq!(allowance.grant(), LEAST);
        allowance.took(LEAST + 1);
        assert!(allowance.is_beyond(), "the newer one may be the readable one already");
        assert_eq!(allowance.grant(), TIMES * (LEAST + 2));
        assert!(!allowance.is_beyond());
        allowance.committed();
        allowance.close();
        assert_eq!(allowance.grant(), 0);
    }
}
