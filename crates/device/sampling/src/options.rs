//! What a sampler is made of.

use crate::adapt::Adaptive;
use crate::alarm::Alert;
use crate::conditions::Conditions;
use crate::policy::Policy;

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
    /// From the first log record of a trace to the moment when its log records stand alone, when no span came.
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
