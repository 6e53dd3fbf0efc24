//! What makes a trace worth keeping. Names and meaning are those of OpenTelemetry's `tail_sampling` processor, where
//! docs/sampling.md does not say otherwise.

use std::num::NonZeroU64;

use model::TraceId;

use crate::limits::{PerSecond, TokenBucket};
use crate::probability::{ALWAYS, NEVER, hash, hash_bound, randomness};

/// Bit of a span status that was not set.
pub const STATUS_MASK_UNSET: u8 = 1;
/// Bit of the status OK.
pub const STATUS_MASK_OK: u8 = 2;
/// Bit of the status ERROR.
pub const STATUS_MASK_ERROR: u8 = 4;

/// What is known of a trace when it is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Evidence {
    /// Its id.
    pub trace: TraceId,
    /// Earliest start of its spans, Unix nanoseconds.
    pub start_ns: u64,
    /// Latest end of its spans, Unix nanoseconds.
    pub end_ns: u64,
    /// How many spans came.
    pub spans: u32,
    /// The bytes of its parts, as they came.
    pub bytes: u64,
    /// Bits of the statuses that its spans have.
    pub statuses: u8,
    /// The highest severity of its log records (`SeverityNumber`); 0 when none has one.
    pub severity: u8,
    /// Bits of the [`crate::Conditions`] that its spans and their resources met.
    pub conditions: u64,
    /// One more than the explicit randomness (`rv`), the smallest where its spans differ.
    pub randomness: Option<NonZeroU64>,
    /// Whether a span carried sampling information (`rv` or `th`).
    pub sampled_before: bool,
    /// The threshold of the limits that let it pass; [`NEVER`] where one takes it out, whatever policies say.
    pub limit: u64,
}

impl Evidence {
    /// How long the whole trace lasted; 0 when it ends before it starts.
    pub fn duration_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns).min(model::otlp::LONGEST_NS)
    }

    /// Its randomness: the explicit one, else that of its id.
    pub(crate) fn randomness(&self) -> u64 {
        self.randomness.map_or_else(|| randomness(&self.trace), |one| one.get() - 1)
    }

    /// Whether a span failed.
    pub fn has_error(&self) -> bool {
        self.statuses & STATUS_MASK_ERROR != 0
    }
}

/// A named rule.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Shown as the reason of a keep.
    pub name: String,
    /// The rule.
    pub rule: PolicyRule,
}

/// A part of a composite.
#[derive(Debug, Clone)]
pub struct Share {
    rule: PolicyRule,
    spans_per_second: u64,
    passed: PerSecond,
}

impl Share {
    /// What the rule votes for passes while a second has no more spans of it than this.
    pub fn new(rule: PolicyRule, spans_per_second: u64) -> Self {
        Self { rule, spans_per_second, passed: PerSecond::default() }
    }
}

/// The rules.
#[derive(Debug, Clone)]
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
    /// Keeps traces that last at least the threshold of [`crate::Adaptive`].
    AdaptiveLatency,
    /// Keeps traces of which a span (or its resource) meets a condition, or of which none does.
    Condition {
        /// The bit that [`crate::Conditions::add`] gave.
        bit: u64,
        /// Keep where none meets it.
        invert: bool,
    },
    /// Keeps a share of the traces, by their id.
    Probabilistic {
        /// Hashed before the id, where the trace carries no sampling information of its own.
        salt: Box<[u8]>,
        /// From 0 to 1.
        share: f64,
    },
    /// Keeps traces while there are tokens for their spans.
    SpanRate(TokenBucket),
    /// Keeps traces while there are tokens for their bytes.
    ByteRate(TokenBucket),
    /// Keeps traces of so many spans.
    SpanCount {
        /// At least.
        min: u32,
        /// At most; `None`: no bound.
        max: Option<u32>,
    },
    /// Keeps traces with a log record of at least this severity (`SeverityNumber`).
    LogSeverity(u8),
    /// Keeps what a function says, for programs that are put together in Rust; a configuration cannot name one.
    Function(fn(&Evidence) -> bool),
    /// Keeps what all of them keep.
    And(Vec<PolicyRule>),
    /// Keeps what the other one does not.
    Not(Box<PolicyRule>),
    /// Drops what all of them would keep, whatever other policies say.
    Drop(Vec<PolicyRule>),
    /// The first of them that votes for the trace decides, within its share of spans a second.
    Composite {
        /// In their order.
        parts: Vec<Share>,
        /// Of all parts: none may pass more.
        max_spans_per_second: u64,
    },
}

/// How a rule votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vote {
    /// Keep; the threshold says with which probability such traces are kept.
    Keep {
        /// See [`crate::threshold`].
        threshold: u64,
    },
    /// No vote.
    Pass,
    /// Drop, whatever others say.
    Drop,
}

/// What rules look at beside the evidence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Circumstances {
    pub(crate) now_ns: u64,
    /// The adaptive latency threshold, nanoseconds.
    pub(crate) latency_ns: u64,
    /// What is left of probabilistic shares under the volume budget, from 0 to 1.
    pub(crate) tightened: f64,
    /// Whether rates may be used up: not when a late part is judged again.
    pub(crate) first_time: bool,
}

impl PolicyRule {
    /// How the rule votes.
    pub(crate) fn vote(&mut self, evidence: &Evidence, at: &Circumstances) -> Vote {
        let keep_if = |yes: bool| if yes { Vote::Keep { threshold: ALWAYS } } else { Vote::Pass };
        match self {
            PolicyRule::Always => keep_if(true),
            PolicyRule::Status(wanted) => keep_if(evidence.statuses & *wanted != 0),
            PolicyRule::Latency { from_ns, to_ns } => {
                let duration = evidence.duration_ns();
                keep_if(duration >= *from_ns && to_ns.is_none_or(|to| duration <= to))
            }
            PolicyRule::AdaptiveLatency => keep_if(evidence.duration_ns() >= at.latency_ns),
            PolicyRule::Condition { bit, invert } => keep_if((evidence.conditions & *bit != 0) != *invert),
            PolicyRule::Probabilistic { salt, share } => probabilistic(salt, *share * at.tightened, evidence),
            PolicyRule::SpanRate(bucket) => keep_if(at.first_time && bucket.take(u64::from(evidence.spans), at.now_ns)),
            PolicyRule::ByteRate(bucket) => keep_if(at.first_time && bucket.take(evidence.bytes, at.now_ns)),
            PolicyRule::SpanCount { min, max } => {
                keep_if(evidence.spans >= *min && max.is_none_or(|max| evidence.spans <= max))
            }
            PolicyRule::LogSeverity(least) => keep_if(evidence.severity >= *least),
            PolicyRule::Function(keeps) => keep_if(keeps(evidence)),
            PolicyRule::And(rules) => all_of(rules, evidence, at),
            PolicyRule::Not(rule) => match rule.vote(evidence, at) {
                Vote::Keep { .. } => Vote::Pass,
                Vote::Pass => Vote::Keep { threshold: ALWAYS },
                Vote::Drop => Vote::Drop,
            },
            PolicyRule::Drop(rules) => match all_of(rules, evidence, at) {
                Vote::Keep { .. } => Vote::Drop,
                other => other,
            },
            PolicyRule::Composite { parts, max_spans_per_second } => {
                for part in parts {
                    if let Vote::Keep { threshold } = part.rule.vote(evidence, at) {
                        let most = part.spans_per_second.min(*max_spans_per_second);
                        let passes = at.first_time && part.passed.take(u64::from(evidence.spans), most, at.now_ns);
                        return if passes { Vote::Keep { threshold } } else { Vote::Pass };
                    }
                }
                Vote::Pass
            }
        }
    }

    /// Whether the rule can drop what others keep; such rules are asked first.
    pub(crate) fn can_drop(&self) -> bool {
        matches!(self, PolicyRule::Drop(_))
    }
}

fn all_of(rules: &mut [PolicyRule], evidence: &Evidence, at: &Circumstances) -> Vote {
    let mut strictest = ALWAYS;
    for rule in rules {
        match rule.vote(evidence, at) {
            Vote::Keep { threshold } => strictest = strictest.max(threshold),
            other => return other,
        }
    }
    Vote::Keep { threshold: strictest }
}

fn probabilistic(salt: &[u8], share: f64, evidence: &Evidence) -> Vote {
    let threshold = crate::probability::threshold(share);
    let keeps = if evidence.sampled_before {
        threshold < NEVER && evidence.randomness() >= threshold
    } else {
        share > 0.0 && hash(salt, &evidence.trace) <= hash_bound(share)
    };
    if keeps { Vote::Keep { threshold } } else { Vote::Pass }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Circumstances = Circumstances { now_ns: 0, latency_ns: 300, tightened: 1.0, first_time: true };

    fn keeps(rule: &mut PolicyRule, evidence: &Evidence) -> bool {
        matches!(rule.vote(evidence, &AT), Vote::Keep { .. })
    }

    fn id(number: u64) -> TraceId {
        let mut bytes = [7; 16];
        bytes[8..].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        TraceId(bytes)
    }

    /// Scenario: traces of 199.999, 200.000 and 200.001 ms. Guarantees: the bound itself is kept.
    #[test]
    fn the_latency_bound_is_kept() {
        let mut rule = PolicyRule::Latency { from_ns: 200_000_000, to_ns: None };
        for (duration, kept) in [(199_999_000, false), (199_999_999, false), (200_000_000, true), (200_001_000, true)] {
            let evidence = Evidence { start_ns: 5, end_ns: 5 + duration, ..Evidence::default() };
            assert_eq!(keeps(&mut rule, &evidence), kept, "{duration}");
        }
        let mut banded = PolicyRule::Latency { from_ns: 10, to_ns: Some(20) };
        for (start_ns, end_ns, kept) in [(0, 20, true), (0, 21, false), (30, 21, false)] {
            assert_eq!(keeps(&mut banded, &Evidence { start_ns, end_ns, ..Evidence::default() }), kept);
        }
        let at_bound = Evidence { end_ns: 300, ..Evidence::default() };
        assert!(keeps(&mut PolicyRule::AdaptiveLatency, &at_bound));
        assert!(!keeps(&mut PolicyRule::AdaptiveLatency, &Evidence { end_ns: 299, ..at_bound }));
    }

    /// Scenario: rules around other rules. Guarantees: and, not, drop and composite are what their names say.
    #[test]
    fn rules_combine() {
        let error =
            Evidence { statuses: STATUS_MASK_ERROR, spans: 3, severity: 17, conditions: 2, ..Evidence::default() };
        let fine = Evidence { statuses: STATUS_MASK_OK, spans: 9, ..Evidence::default() };
        let failed = || PolicyRule::Status(STATUS_MASK_ERROR);
        let few = || PolicyRule::SpanCount { min: 2, max: Some(3) };
        assert!(keeps(&mut PolicyRule::And(vec![failed(), few()]), &error));
        assert!(!keeps(&mut PolicyRule::And(vec![few(), failed()]), &fine));
        assert!(keeps(&mut PolicyRule::Not(Box::new(failed())), &fine));
        assert!(!keeps(&mut PolicyRule::Not(Box::new(failed())), &error));
        assert_eq!(PolicyRule::Drop(vec![failed(), few()]).vote(&error, &AT), Vote::Drop);
        assert_eq!(PolicyRule::Drop(vec![failed(), few()]).vote(&fine, &AT), Vote::Pass);
        assert!(keeps(&mut PolicyRule::LogSeverity(17), &error) && !keeps(&mut PolicyRule::LogSeverity(18), &error));
        assert!(keeps(&mut PolicyRule::Condition { bit: 2, invert: false }, &error));
        assert!(keeps(&mut PolicyRule::Condition { bit: 2, invert: true }, &fine));
        let mut composite = PolicyRule::Composite {
            parts: vec![Share::new(failed(), 6), Share::new(PolicyRule::Always, 10)],
            max_spans_per_second: 100,
        };
        let votes = [&error, &error, &error, &fine, &fine].map(|evidence| keeps(&mut composite, evidence));
        assert_eq!(votes, [true, true, false, true, false], "each within its share of the second");
    }

    /// Scenario: 20,000 ids at 10 %, with the hash and with explicit randomness; then a late part asks the limiting rules.
    /// Guarantees: a tenth is kept, the same ids each time; `rv` decides where it is there; rates are used up once only.
    #[test]
    fn probability_is_consistent() {
        let mut rule = PolicyRule::Probabilistic { salt: b"salt".as_slice().into(), share: 0.1 };
        let kept = |rule: &mut PolicyRule| -> Vec<u64> {
            (0..20_000).filter(|number| keeps(rule, &Evidence { trace: id(*number), ..Evidence::default() })).collect()
        };
        let first = kept(&mut rule);
        assert!((1_850..2_150).contains(&first.len()), "{}", first.len());
        assert_eq!(first, kept(&mut rule));
        let threshold = crate::probability::threshold(0.1);
        for (randomness, expected) in [(threshold, true), (threshold - 1, false)] {
            let evidence =
                Evidence { randomness: NonZeroU64::new(randomness + 1), sampled_before: true, ..Evidence::default() };
            assert_eq!(keeps(&mut rule, &evidence), expected);
        }
        let mut never = PolicyRule::Probabilistic { salt: Box::default(), share: 0.0 };
        assert!(kept(&mut never).is_empty());
        let mut rate = PolicyRule::SpanRate(TokenBucket::new(5, 5));
        let evidence = Evidence { spans: 5, ..Evidence::default() };
        assert_eq!(rate.vote(&evidence, &Circumstances { first_time: false, ..AT }), Vote::Pass);
        assert!(keeps(&mut rate, &evidence) && !keeps(&mut rate, &evidence));
    }
}
