//! The books, as they are shown.

use drain::Destination;
use ledger::Ledger;

use crate::exposition::{Family, json_per_signal, json_text};

/// The ledger, with what each destination still has to get.
pub(super) struct Books<'a> {
    pub(super) ledger: &'a Ledger,
    pub(super) destinations: &'a [Destination],
}

impl Books<'_> {
    fn queued(&self, name: &str) -> u64 {
        self.destinations.iter().find(|one| one.name() == name).map_or(0, |one| one.status().queued_records)
    }

    /// By how many records the books miss (P1).
    fn difference(&self) -> u64 {
        self.ledger.difference(|name| self.queued(name))
    }

    /// Its object in `/status`.
    pub(super) fn json(&self) -> String {
        let ledger = self.ledger;
        let counts = [
            ("received", &ledger.received),
            ("generated", &ledger.generated),
            ("filtered", &ledger.filtered),
            ("sampled_out", &ledger.sampled_out),
            ("pending", &ledger.pending),
            ("routed", &ledger.routed),
            ("lost_crash", &ledger.lost_crash),
            ("refused", &ledger.refused),
        ];
        let counts: Vec<String> =
            counts.iter().map(|(name, counts)| format!("\"{name}\":{}", json_per_signal(counts))).collect();
        let destination = |one: &ledger::DestinationLedger| {
            format!(
                "{{\"name\":{},\"routed\":{},\"queued\":{},\"delivered\":{},\"rejected\":{},\"lost\":{},\"skipped\":{}}}",
                json_text(&one.name),
                one.routed,
                self.queued(&one.name),
                one.delivered,
                one.rejected,
                one.lost,
                one.skipped
            )
        };
        let destinations: Vec<String> = ledger.destinations.iter().map(destination).collect();
        format!(
            "{{{},\"crash_unknown\":{},\"destinations\":[{}],\"difference\":{}}}",
            counts.join(","),
            ledger.crash_unknown,
            destinations.join(","),
            self.difference()
        )
    }

    /// Its rows for people.
    pub(super) fn text(&self) -> Vec<String> {
        let ledger = self.ledger;
        let mut rows = vec![format!("{:<12} {:>12} {:>12} {:>12}", "records", "traces", "logs", "metrics")];
        for (name, counts) in [
            ("received", &ledger.received),
            ("generated", &ledger.generated),
            ("filtered", &ledger.filtered),
            ("sampled out", &ledger.sampled_out),
            ("pending", &ledger.pending),
            ("routed", &ledger.routed),
            ("lost (crash)", &ledger.lost_crash),
            ("refused", &ledger.refused),
        ] {
            rows.push(format!("{name:<12} {:>12} {:>12} {:>12}", counts.traces, counts.logs, counts.metrics));
        }
        if ledger.crash_unknown > 0 {
            rows.push(format!(
                "at most {} more were answered after the last commit before a kill",
                ledger.crash_unknown
            ));
        }
        rows.push(match self.difference() {
            0 => "the books balance".to_owned(),
            records => format!("the books miss by {records} records"),
        });
        rows
    }

    /// Its metrics.
    pub(super) fn families(&self) -> Vec<Family> {
        let ledger = self.ledger;
        vec![
            Family::counter("received_records_total", "Records accepted from producers.", &ledger.received),
            Family::counter("generated_records_total", "Records made by the agent itself.", &ledger.generated),
            Family::counter("filtered_records_total", "Records left out by a rule.", &ledger.filtered),
            Family::counter(
                "sampled_out_records_total",
                "Records left out by a sampling decision.",
                &ledger.sampled_out,
            ),
            Family::counter("routed_records_total", "Records handed to the journal.", &ledger.routed),
            Family::counter(
                "crash_lost_records_total",
                "Records that were pending when the program was killed.",
                &ledger.lost_crash,
            ),
            Family::counter("refused_records_total", "Records whose producers were told to wait.", &ledger.refused),
            Family::counter(
                "crash_unknown_records_total",
                "The most records that were answered after the last commit before a kill; in no other count.",
                ledger.crash_unknown,
            ),
            Family::gauge("pending_records", "Records undecided or not yet in the journal.", &ledger.pending),
            Family::gauge("ledger_difference_records", "By how much the books do not balance.", self.difference()),
        ]
    }
}
