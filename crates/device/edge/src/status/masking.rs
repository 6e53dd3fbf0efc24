//! Masking, as it is shown.

use pipeline::Pipeline;

use crate::exposition::{Family, Labels, json_text};

/// What the rules of the guard masked.
pub(super) struct Masking<'a> {
    pub(super) pipeline: &'a Pipeline,
}

impl Masking<'_> {
    /// Its object in `/status`.
    pub(super) fn json(&self) -> String {
        let guard = self.pipeline.guard();
        let counts = guard.counts().map(|(rule, count)| format!("{}:{count}", json_text(rule)));
        format!("{{\"version\":\"{}\",\"masked\":{{{}}}}}", guard.version(), counts.collect::<Vec<_>>().join(","))
    }

    /// Its row for people.
    pub(super) fn text(&self) -> Vec<String> {
        let guard = self.pipeline.guard();
        let rules = guard.counts().count();
        let masked: Vec<String> =
            guard.counts().filter(|(_, count)| *count > 0).map(|(rule, count)| format!("{rule} {count}")).collect();
        let masked = if masked.is_empty() { "nothing yet".to_owned() } else { masked.join(", ") };
        let none = if rules == 0 { "; no rule holds: values are written as they come" } else { "" };
        vec![format!("guard        {rules} rules ({}), masked: {masked}{none}", guard.version())]
    }

    /// Its metrics.
    pub(super) fn families(&self) -> Vec<Family> {
        let counts = self.pipeline.guard().counts();
        let rows: Vec<(Labels, f64)> =
            counts.map(|(rule, count)| (vec![("rule", rule.to_owned())], count as f64)).collect();
        vec![Family::counter("guard_masked_total", "Values that the guard masked, by rule.", rows)]
    }
}
