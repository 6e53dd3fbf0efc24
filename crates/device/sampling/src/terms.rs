//! What goes into the sampler, and what comes out.

use model::TraceId;

use crate::adapt::Adaptive;
use crate::alarm::Alert;
use crate::conditions::Conditions;
use crate::decisions::Verdict;
use crate::index::Entries;
use crate::policy::Policy;

/// Names an entry of the recorder.
pub type EntryId = u64;

/// What the sampler is made of. Times are nanoseconds; 0 stands for "not at all" where it says so.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// A trace is kept when one of them votes for it; none: every trace is kept.
    pub policies: Vec<Policy>,
    /// What the policies ask of single spans.
    pub conditions: Conditions,
    /// Whether the first vote for a trace ends the asking.
    pub first_match: bool,
    /// From a trace's first span to its decision.
    pub decision_wait_ns: u64,
    /// From a trace's root to its decision, where that is earlier; 0: never earlier.
    pub after_root_ns: u64,
    /// Decided when its root was seen and nothing came for so long; 0: never earlier.
    pub quiet_ns: u64,
    /// From the first line of a trace to the moment when its lines stand alone, when no span came.
    pub log_wait_ns: u64,
    /// How long decisions are remembered at least.
    pub remember_ns: u64,
    /// The most memory for the index and the decisions, bytes.
    pub memory: u64,
    /// For [`crate::PolicyRule::AdaptiveLatency`].
    pub adaptive: Option<Adaptive>,
    /// Bytes of kept parts an hour; 0: no bound.
    pub bytes_per_hour: u64,
    /// Routes that are judged by a share of their own.
    pub route_shares: Vec<RouteShare>,
    /// The share of all traces that is kept while an incident window is open, from 0 to 1.
    pub incident_share: f64,
    /// The longest that the hub may keep one open at once.
    pub longest_incident_ns: u64,
    /// What opens such a window by itself.
    pub alerts: Vec<Alert>,
    /// Whether probabilistic policies go by the randomness that a trace carries.
    pub reads_tracestate: bool,
}

/// A low-risk route: its traces are kept by a share (and when they failed), whatever other policies say.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteShare {
    /// The bit of its [`crate::Condition::Route`].
    pub bit: u64,
    /// From 0 to 1.
    pub share: f64,
    /// Whether failed traces are kept all the same.
    pub keep_errors: bool,
}

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
    /// From [`Conditions::of_span`] and [`Conditions::of_resource`].
    pub conditions: u64,
    /// Explicit randomness in its `tracestate`.
    pub randomness: Option<u64>,
    /// Whether its `tracestate` says anything of sampling.
    pub sampled_before: bool,
    /// The bytes of its resource and scope, which count once for each recorder entry.
    pub around: u32,
}

/// A part of a trace, as the sampler sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A span.
    Span(SpanPart),
    /// A log line.
    Line {
        /// `SeverityNumber`; 0 when unset.
        severity: u8,
        /// Unix nanoseconds; 0 when unknown.
        time_ns: u64,
    },
    /// An exemplar of a metric point.
    Exemplar,
}

/// What asking for a trace comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetch {
    /// It was dropped, and is kept after all.
    Recalled,
    /// It waits for its decision.
    Undecided,
    /// It was kept before.
    Kept,
    /// Nothing of it is held any more.
    Gone,
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

/// A decision, to be carried out on the recorder. Every entry named loses one pin, unless it was recalled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The trace.
    pub trace: TraceId,
    /// Keep or drop; `None` for a trace of which no span came: its lines stand alone, its exemplars are dead.
    pub verdict: Option<Verdict>,
    /// Position of the policy that kept it (or dropped it, for a drop policy); see [`crate::Sampler::policy_name`].
    pub policy: Option<u16>,
    /// With which probability such traces are kept (see [`crate::threshold`]).
    pub threshold: u64,
    /// The recorder entries that hold its parts.
    pub entries: Entries,
    /// The bytes of its parts, as they came.
    pub bytes: u64,
    /// It was dropped before; the parts in the recorder are to be kept after all.
    pub recalled: bool,
    /// Parts that were let go when no span had come; what went alone then has been delivered.
    pub let_go: bool,
}

/// Counters since start, and gauges.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Stats {
    /// Traces that wait for their decision.
    pub pending_traces: u64,
    /// Dropped traces that would be kept if something worth it came.
    pub recallable_traces: u64,
    /// Traces kept.
    pub kept_traces: u64,
    /// Traces dropped.
    pub dropped_traces: u64,
    /// Traces that were dropped and then kept after all; they count in both.
    pub recalled_traces: u64,
    /// Traces that should have been kept after all, but were overwritten.
    pub recalled_too_late: u64,
    /// Traces of which only lines or exemplars came.
    pub spanless_traces: u64,
    /// Traces that were let go as such, and kept when a span came: their lines went after all.
    pub lines_recalled: u64,
    /// The same, but the recorder does not hold their lines any more.
    pub lines_recalled_too_late: u64,
    /// Traces decided before their wait was over, because memory ran short.
    pub decided_early: u64,
    /// Decisions forgotten before their time, because memory ran short.
    pub forgotten_early: u64,
    /// Parts that ended before the memory of decisions begins, of traces that are not known: judged alone.
    pub late_unknown: u64,
    /// Parts of traces that were decided when they came.
    pub late_parts: u64,
    /// Memory in use, bytes.
    pub bytes: u64,
    /// The share of spans that was kept in the last minutes; below zero while nothing was decided.
    pub kept_share: f64,
    /// The adaptive latency threshold, nanoseconds; 0 when there is none.
    pub latency_ns: u64,
    /// What is left of probabilistic shares under the volume budget.
    pub tightened: f64,
    /// Whether an incident window was open at the last tick.
    pub incident_open: bool,
    /// Incident windows that alerts opened.
    pub incidents_by_alert: u64,
}

/// Where a trace stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It waits for its decision.
    Undecided,
    /// It was kept.
    Kept,
    /// It was dropped.
    Dropped,
    /// No decision is remembered.
    Unknown,
}

impl Standing {
    /// `undecided`, `kept`, `dropped` or `unknown`.
    pub fn name(self) -> &'static str {
        match self {
            Standing::Undecided => "undecided",
            Standing::Kept => "kept",
            Standing::Dropped => "dropped",
            Standing::Unknown => "unknown",
        }
    }
}
