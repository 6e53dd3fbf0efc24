//! What makes a trace worth keeping. Names and meaning are those of OpenTelemetry's `tail_sampling` processor.

/// Bit of a span status that was not set.
pub const STATUS_MASK_UNSET: u8 = 1;
/// Bit of the status OK.
pub const STATUS_MASK_OK: u8 = 2;
/// Bit of the status ERROR.
pub const STATUS_MASK_ERROR: u8 = 4;

/// What is known of a trace when it is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// Earliest start of its spans, Unix nanoseconds.
    pub start_ns: u64,
    /// Latest end of its spans, Unix nanoseconds.
    pub end_ns: u64,
    /// Bits of the statuses that its spans have.
    pub statuses: u8,
}

impl Evidence {
    /// How long the whole trace lasted; 0 when it ends before it starts.
    pub fn duration_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }
}

/// A named rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Shown as the reason of a keep.
    pub name: String,
    /// The rule.
    pub rule: PolicyRule,
}

/// The rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyRule {
    /// Keeps everything.
    Always,
    /// Keeps traces that have one of these statuses (bits).
    Status(u8),
    /// Keeps traces that last at least `from_ns`, and at most `to_ns` where there is an upper bound.
    ///
    /// The lower bound belongs to the kept side, as in the Collector before 0.157.
    Latency {
        /// Nanoseconds.
        from_ns: u64,
        /// Nanoseconds.
        to_ns: Option<u64>,
    },
}

impl PolicyRule {
    /// Whether the rule votes to keep the trace.
    pub fn keeps(&self, evidence: &Evidence) -> bool {
        match self {
            PolicyRule::Always => true,
            PolicyRule::Status(wanted) => evidence.statuses & wanted != 0,
            PolicyRule::Latency { from_ns, to_ns } => {
                let duration = evidence.duration_ns();
                duration >= *from_ns && to_ns.is_none_or(|to| duration <= to)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: traces of 199.999, 200.000 and 200.001 ms. Guarantees: the bound itself is kept.
    #[test]
    fn the_latency_bound_is_kept() {
        let rule = PolicyRule::Latency { from_ns: 200_000_000, to_ns: None };
        for (duration, kept) in [(199_999_000, false), (199_999_999, false), (200_000_000, true), (200_001_000, true)] {
            let evidence = Evidence { start_ns: 5, end_ns: 5 + duration, statuses: 0 };
            assert_eq!(rule.keeps(&evidence), kept, "{duration}");
        }
        let banded = PolicyRule::Latency { from_ns: 10, to_ns: Some(20) };
        assert!(banded.keeps(&Evidence { start_ns: 0, end_ns: 20, statuses: 0 }));
        assert!(!banded.keeps(&Evidence { start_ns: 0, end_ns: 21, statuses: 0 }));
        assert!(!banded.keeps(&Evidence { start_ns: 30, end_ns: 21, statuses: 0 }));
    }
}
