//! Parts of traces on their way into the sampler, and what becomes of them.

use crate::decisions::Verdict;

/// What the sampler has to know of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpanPart {
    /// Unix nanoseconds.
    pub start_ns: u64,
    /// Unix nanoseconds.
    pub end_ns: u64,
    /// One of the `STATUS_MASK_` bits.
    pub status: u8,
    /// Whether it has no parent.
    pub root: bool,
    /// From [`crate::Conditions::of_span`] and [`crate::Conditions::of_resource`].
    pub conditions: u64,
    /// Explicit randomness in its `tracestate`.
    pub randomness: Option<u64>,
    /// Whether its `tracestate` says anything of sampling.
    pub sampled_before: bool,
    /// The bytes of its resource and scope, which count once for each recorder entry.
    pub around: u32,
    /// The threshold of the limits that let its trace pass; [`crate::ALWAYS`] where there is none.
    pub limit: u64,
}

/// A part of a trace, as the sampler sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A span.
    Span(SpanPart),
    /// A log record.
    LogRecord {
        /// `SeverityNumber`; 0 when unset.
        severity: u8,
        /// Unix nanoseconds; 0 when unknown.
        time_ns: u64,
    },
    /// An exemplar of a metric point.
    Exemplar,
}

/// What becomes of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// It waits in its recorder entry for the decision. True when this trace had no part in that entry before: the entry
    /// gains one pin.
    Waits {
        /// Whether the entry gains a pin.
        new_pin: bool,
    },
    /// Its trace was decided before. Parts of dropped traces should go into the recorder too, without a pin:
    /// [`crate::Sampler::recall`] may name them.
    Decided(Verdict),
}
