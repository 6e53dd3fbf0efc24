//! Remembered decisions: exact, in two generations, bounded in bytes.

use std::collections::HashMap;

use model::TraceId;

/// What was decided for a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Delivered, whole.
    Keep,
    /// Not delivered.
    Drop,
}

/// Bytes that one remembered decision is counted with: id, verdict, and the table's slack.
pub(crate) const DECISION_BYTES: u64 = 40;

/// The newer generation takes decisions in; when it is old or full it becomes the older one, and the one before that is
/// forgotten. A decision is so remembered for at least `remember_ns`, unless memory ran short (counted).
#[derive(Debug)]
pub(crate) struct Decisions {
    newer: HashMap<TraceId, Verdict>,
    older: HashMap<TraceId, Verdict>,
    started_ns: u64,
    remember_ns: u64,
    max_entries: usize,
    pub(crate) forgotten_early: u64,
}

impl Decisions {
    pub(crate) fn new(remember_ns: u64, max_bytes: u64) -> Self {
        let per_generation = (max_bytes / DECISION_BYTES / 2).max(16);
        Self {
            newer: HashMap::new(),
            older: HashMap::new(),
            started_ns: 0,
            remember_ns,
            max_entries: usize::try_from(per_generation).unwrap_or(usize::MAX),
            forgotten_early: 0,
        }
    }

    pub(crate) fn get(&self, trace: &TraceId) -> Option<Verdict> {
        self.newer.get(trace).or_else(|| self.older.get(trace)).copied()
    }

    pub(crate) fn remember(&mut self, trace: TraceId, verdict: Verdict, now_ns: u64) {
        let old = now_ns.saturating_sub(self.started_ns) >= self.remember_ns;
        let full = self.newer.len() >= self.max_entries;
        if old || full {
            if !old {
                self.forgotten_early += self.older.len() as u64;
            }
            self.older = std::mem::take(&mut self.newer);
            self.started_ns = now_ns;
        }
        self.newer.insert(trace, verdict);
    }

    pub(crate) fn bytes(&self) -> u64 {
        (self.newer.len() + self.older.len()) as u64 * DECISION_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> TraceId {
        let mut bytes = [1; 16];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        TraceId(bytes)
    }

    /// Scenario: decisions over three periods, then more of them than fit.
    /// Guarantees: remembered for at least one period; memory never above the bound; what is forgotten early is counted
    /// (P4, P9).
    #[test]
    fn decisions_last_a_period_and_stay_bounded() {
        let mut decisions = Decisions::new(1000, 1 << 20);
        decisions.remember(id(1), Verdict::Keep, 0);
        decisions.remember(id(2), Verdict::Drop, 999);
        decisions.remember(id(3), Verdict::Drop, 1000);
        assert_eq!(decisions.get(&id(1)), Some(Verdict::Keep));
        decisions.remember(id(4), Verdict::Drop, 2000);
        assert_eq!(decisions.get(&id(2)), None);
        assert_eq!(decisions.get(&id(3)), Some(Verdict::Drop));
        assert_eq!(decisions.forgotten_early, 0);
        let mut small = Decisions::new(1_000_000, 64 * DECISION_BYTES);
        for number in 0..1000 {
            small.remember(id(number), Verdict::Drop, 5);
            assert!(small.bytes() <= 64 * DECISION_BYTES);
        }
        assert_eq!(small.get(&id(999)), Some(Verdict::Drop));
        assert!(small.forgotten_early > 900);
    }
}
