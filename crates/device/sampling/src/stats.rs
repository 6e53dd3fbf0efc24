//! Counters of the sampler.

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
    /// Traces of which only log records or exemplars came.
    pub spanless_traces: u64,
    /// Traces that were released as such, and kept when a span came: their log records went after all.
    pub log_records_recalled: u64,
    /// The same, but the recorder does not hold their log records any more.
    pub log_records_recalled_too_late: u64,
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
