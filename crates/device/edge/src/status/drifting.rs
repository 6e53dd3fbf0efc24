//! Drifting fields, as they are shown.

use pipeline::Pipeline;

use crate::exposition::{Family, Labels};

/// What was found of drifting fields.
pub(super) struct Drifting<'a> {
    pub(super) pipeline: &'a Pipeline,
}

impl Drifting<'_> {
    /// Its object in `/status`.
    pub(super) fn json(&self) -> String {
        let drift = self.pipeline.drift();
        let found = drift.counts().map(|(kind, count)| format!("\"{}\":{count}", kind.id()));
        let (watched, unwatched) = drift.watched();
        let found = found.collect::<Vec<_>>().join(",");
        format!("{{\"findings\":{{{found}}},\"watched\":{watched},\"unwatched_records\":{unwatched}}}")
    }

    /// Its row for people; none while nothing drifts.
    pub(super) fn text(&self) -> Vec<String> {
        let found = self.pipeline.drift().counts().filter(|(_, count)| *count > 0);
        let found: Vec<String> = found.map(|(kind, count)| format!("{} {count}", kind.id())).collect();
        if found.is_empty() { Vec::new() } else { vec![format!("drift        {}", found.join(", "))] }
    }

    /// Its metrics.
    pub(super) fn families(&self) -> Vec<Family> {
        let drift = self.pipeline.drift();
        let row = |id: &str, count: u64| (vec![("id", id.to_owned())], count as f64);
        let rows: Vec<(Labels, f64)> = drift.counts().map(|(kind, count)| row(kind.id(), count)).collect();
        let help = "Fields of records that changed while their service ran, by the ids of Weaver's live check.";
        let unwatched = drift.watched().1;
        vec![
            Family::counter("drift_findings_total", help, rows),
            Family::counter("drift_unwatched_records_total", "Records looked at whose kind found no room.", unwatched),
        ]
    }
}
