//! Sampling, as it is shown.

use pipeline::Pipeline;

use crate::exposition::{Family, json_known};

/// Decisions, and what waits for them.
pub(super) struct Sampling<'a> {
    pub(super) pipeline: &'a Pipeline,
    /// Between which shares the kept one is expected.
    pub(super) expected_share: Option<(f64, f64)>,
}

impl Sampling<'_> {
    /// Its object in `/status`.
    pub(super) fn json(&self) -> String {
        let (ledger, sampling) = (self.pipeline.ledger(), self.pipeline.sampling());
        format!(
            "{{\"pending_traces\":{},\"kept_traces\":{},\"dropped_traces\":{},\"spanless_traces\":{},\"decided_early\":{},\
             \"forgotten_early\":{},\"late_unknown\":{},\"recalled_traces\":{},\"kept_share\":{},\"memory_bytes\":{}}}",
            sampling.pending_traces,
            ledger.kept_traces,
            ledger.dropped_traces,
            sampling.spanless_traces,
            sampling.decided_early,
            sampling.forgotten_early,
            sampling.late_unknown,
            sampling.recalled_traces,
            json_known(Some(sampling.kept_share).filter(|share| *share >= 0.0), 4),
            sampling.bytes
        )
    }

    /// Its rows for people.
    pub(super) fn text(&self) -> Vec<String> {
        let (ledger, sampling) = (self.pipeline.ledger(), self.pipeline.sampling());
        vec![format!(
            "traces       kept {}, dropped {}, undecided {}",
            ledger.kept_traces, ledger.dropped_traces, sampling.pending_traces
        )]
    }

    /// Its metrics.
    pub(super) fn families(&self) -> Vec<Family> {
        let (ledger, sampling, counters) = (self.pipeline.ledger(), self.pipeline.sampling(), self.pipeline.counters());
        let keeps: Vec<_> = self
            .pipeline
            .policy_keeps()
            .map(|(policy, count)| (vec![("policy", policy.to_owned())], count as f64))
            .collect();
        let mut families = vec![
            Family::counter("policy_kept_traces_total", "Traces by the policy that kept them, since start.", keeps),
            Family::gauge("pending_traces", "Traces that wait for their decision.", sampling.pending_traces),
            Family::counter("kept_traces_total", "Traces kept.", ledger.kept_traces),
            Family::counter("dropped_traces_total", "Traces dropped.", ledger.dropped_traces),
            Family::counter(
                "decided_early_traces_total",
                "Traces decided before their wait was over.",
                sampling.decided_early,
            ),
            Family::counter(
                "forgotten_decisions_total",
                "Decisions forgotten before their time.",
                sampling.forgotten_early,
            ),
            Family::counter(
                "late_parts_total",
                "Spans, log records and exemplars that came after the decision of their trace.",
                sampling.late_parts,
            ),
            Family::counter(
                "late_unknown_total",
                "Parts from before the memory of decisions, judged alone.",
                sampling.late_unknown,
            ),
            Family::counter(
                "recalled_traces_total",
                "Traces that were dropped, and kept after all when an error or slow span came.",
                sampling.recalled_traces,
            ),
            Family::counter(
                "recalled_too_late_total",
                "Traces that should have been kept after all, but were overwritten in the recorder.",
                sampling.recalled_too_late,
            ),
            Family::counter(
                "incidents_by_alert_total",
                "Incident windows that alerts opened.",
                sampling.incidents_by_alert,
            ),
            Family::gauge("incident_open", "Whether an incident window is open.", u64::from(sampling.incident_open)),
            Family::gauge("recallable_traces", "Dropped traces that may yet be kept.", sampling.recallable_traces),
            Family::counter(
                "spanless_traces_total",
                "Traces of which only log records or exemplars came.",
                sampling.spanless_traces,
            ),
            Family::counter(
                "log_records_recalled_traces_total",
                "Traces kept after their log records were released for want of a span: these went after all.",
                sampling.log_records_recalled,
            ),
            Family::counter(
                "log_records_recalled_too_late_total",
                "The same, but their log records were overwritten in the recorder.",
                sampling.log_records_recalled_too_late,
            ),
            Family::counter(
                "log_records_by_rule_total",
                "Log records without a trace left out by their rule.",
                counters.log_records_by_rule,
            ),
            Family::gauge("sampling_memory_bytes", "Memory of index and decisions.", sampling.bytes),
            Family::gauge(
                "volume_budget_share",
                "What the volume budget leaves of probabilistic shares.",
                sampling.tightened,
            ),
        ];
        if sampling.kept_share >= 0.0 {
            let help = "Share of spans kept, last five minutes.";
            families.push(Family::gauge("kept_span_share", help, sampling.kept_share));
        }
        if let Some((low, high)) = self.expected_share {
            let bound = |text: &str, share| (vec![("bound", text.to_owned())], share);
            let bounds = vec![bound("low", low), bound("high", high)];
            let help = "Between which shares the kept one is expected.";
            families.push(Family::gauge("expected_kept_span_share", help, bounds));
        }
        if sampling.latency_ns > 0 {
            let seconds = sampling.latency_ns as f64 / 1e9;
            families.push(Family::gauge("adaptive_latency_seconds", "The adaptive latency threshold.", seconds));
        }
        families
    }
}
