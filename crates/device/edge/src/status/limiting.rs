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
        let (series, overflow) = (self.pipeline.series(), self.pipeline.overflow());
        format!(
            "{{\"limited\":{{{}}},\"series\":{},\"unwatched_points\":{},\"overflow\":{{\"added\":{},\"left_out\":{},\"metric\":{}}}}}",
            members.collect::<Vec<_>>().join(","),
            series.series(),
            series.unwatched(),
            overflow.added(),
            overflow.left_out(),
            json_text(&overflow.newest())
        )
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
        let mut rows =
            if rules == 0 { Vec::new() } else { vec![format!("limits       {rules} rules, taken out: {taken}")] };
        let overflow = self.pipeline.overflow();
        let (added, left_out) = (overflow.added(), overflow.left_out());
        if added + left_out > 0 {
            let newest = overflow.newest();
            rows.push(format!("series       {added} points in overflow series, {left_out} left out; last of {newest}"));
        }
        rows
    }

    /// Its metrics.
    pub(super) fn families(&self) -> Vec<Family> {
        let labels = |rule: &str, signal: &str| vec![("rule", rule.to_owned()), ("signal", signal.to_owned())];
        let rules = self.pipeline.limit_tallies();
        let rows: Vec<(Labels, f64)> =
            rules.map(|one| (labels(one.rule, one.signal.name()), one.records as f64)).collect();
        let help = "Records that limits took out, by rule; of rules for traces their spans and log records.";
        let (series, overflow) = (self.pipeline.series(), self.pipeline.overflow());
        let kind = |kind: &str| vec![("kind", kind.to_owned())];
        let points = vec![(kind("added"), overflow.added() as f64), (kind("left_out"), overflow.left_out() as f64)];
        vec![
            Family::counter("limited_records_total", help, rows),
            Family::gauge("metric_series", "Series of metrics that are known.", series.series() as f64),
            Family::counter(
                "overflow_points_total",
                "Points beyond the series of their metric: added to its overflow series, or left out.",
                points,
            ),
            Family::counter(
                "unwatched_points_total",
                "Points of series that are not counted, because there are too many.",
                series.unwatched(),
            ),
        ]
    }
}
