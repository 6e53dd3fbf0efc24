//! Limits, as they are shown.

use limit::Tally;
use pipeline::Pipeline;

use crate::exposition::{Family, Labels, json_text};

/// What the rules of the limits took out.
pub(super) struct Limiting<'a> {
    pub(super) pipeline: &'a Pipeline,
}

impl Limiting<'_> {
    /// Its object in `/status`: records by rule.
    pub(super) fn json(&self) -> String {
        let rules = self.pipeline.limit_tallies();
        let members = rules.map(|Tally { rule, records, .. }| format!("{}:{records}", json_text(rule)));
        format!("{{\"limited\":{{{}}}}}", members.collect::<Vec<_>>().join(","))
    }

    /// Its row for people; none where nothing is limited.
    pub(super) fn text(&self) -> Vec<String> {
        let mut taken = Vec::new();
        let mut rules = 0;
        for Tally { rule, signal, records } in self.pipeline.limit_tallies() {
            rules += 1;
            if records > 0 {
                taken.push(format!("{rule} {records} ({})", signal.name()));
            }
        }
        let taken = if taken.is_empty() { "nothing yet".to_owned() } else { taken.join(", ") };
        if rules == 0 { Vec::new() } else { vec![format!("limits       {rules} rules, taken out: {taken}")] }
    }

    /// Its metrics.
    pub(super) fn families(&self) -> Vec<Family> {
        let labels = |rule: &str, signal: &str| vec![("rule", rule.to_owned()), ("signal", signal.to_owned())];
        let rules = self.pipeline.limit_tallies();
        let rows: Vec<(Labels, f64)> =
            rules.map(|one| (labels(one.rule, one.signal.name()), one.records as f64)).collect();
        let help = "Records that limits took out, by rule; of rules for traces their spans and log records.";
        vec![Family::counter("limited_records_total", help, rows)]
    }
}
