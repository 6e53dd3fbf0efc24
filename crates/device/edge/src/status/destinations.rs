//! The destinations, as they are shown.

use drain::{Destination, LinkState, Status};
use model::RefusalCounts;
use query::time::rfc3339;

use crate::exposition::{Family, Labels, json_counts, json_text};

/// All destinations.
pub(super) struct Destinations<'a> {
    pub(super) all: &'a [Destination],
    pub(super) wall_ns: u64,
}

impl Destinations<'_> {
    fn each(&self) -> impl Iterator<Item = &Status> {
        self.all.iter().map(Destination::status)
    }

    /// Bytes of blocks that they confirmed, since start.
    pub(super) fn delivered_bytes(&self) -> u64 {
        self.each().map(|one| one.delivered_bytes).sum()
    }

    fn oldest_age_s(&self, one: &Status) -> f64 {
        match one.oldest_ns {
            0 => 0.0,
            oldest => self.wall_ns.saturating_sub(oldest) as f64 / 1e9,
        }
    }

    /// Their array in `/status`.
    pub(super) fn json(&self) -> String {
        let moment = |at: Option<u64>| at.map_or("null".to_owned(), |at| format!("\"{}\"", rfc3339(at, 0)));
        let object = |one: &Status| {
            let words: Vec<String> =
                one.words.iter().map(|(reason, words)| format!("\"{reason}\":{}", json_text(words))).collect();
            format!(
                "{{\"name\":{},\"destination\":{},\"signal\":{},\"state\":\"{}\",\"queued_records\":{},\"queued_bytes\":{},\"oldest_age_s\":{:.1},\
                 \"retry_at\":{},\"window_at\":{},\"failures\":{},\"failed\":{},\"rejected\":{},\"words\":{{{}}},\"last_reason\":{},\
                 \"last_error\":{},\"stale_files\":{}}}",
                json_text(&one.name),
                json_text(&one.destination),
                one.signal.map_or("null".to_owned(), |signal| format!("\"{}\"", signal.name())),
                one.state_name(),
                one.queued_records,
                one.queued_bytes,
                self.oldest_age_s(one),
                moment(one.retry_at_ns),
                moment(one.window_at_ns),
                one.failures,
                json_counts(&one.failed),
                json_counts(&one.rejected),
                words.join(","),
                one.last_reason.map_or("null".to_owned(), |reason| format!("\"{reason}\"")),
                json_text(&one.last_error),
                json_text(&one.stale_files)
            )
        };
        format!("[{}]", self.each().map(object).collect::<Vec<_>>().join(","))
    }

    /// Their rows for people.
    pub(super) fn text(&self) -> Vec<String> {
        let mut rows = Vec::new();
        for one in self.each() {
            rows.push(format!(
                "destination {:<16} {:<8} queued {} records, {} KiB, oldest {:.0} s{}{}{}{}",
                one.name,
                one.state_name(),
                one.queued_records,
                one.queued_bytes / 1024,
                self.oldest_age_s(one),
                one.retry_at_ns.map_or(String::new(), |at| format!(", next try {}", rfc3339(at, 0))),
                one.window_at_ns.map_or(String::new(), |at| format!(", sent to from {}", rfc3339(at, 0))),
                if one.last_error.is_empty() { "" } else { ": " },
                one.last_error
            ));
            if !one.stale_files.is_empty() {
                rows.push(format!("  files      what was read before is used on: {}", one.stale_files));
            }
            for (reason, records) in one.rejected.iter() {
                rows.push(format!("  rejected   {records} records ({reason}): {}", one.words_of(reason)));
            }
        }
        rows
    }

    /// Their metrics.
    pub(super) fn families(&self) -> Vec<Family> {
        let rows = |value: &dyn Fn(&Status) -> f64| -> Vec<(Labels, f64)> {
            self.each().map(|one| (labels(one), value(one))).collect()
        };
        let by_reason = |counts: &dyn Fn(&Status) -> RefusalCounts| -> Vec<(Labels, f64)> {
            let of = |one: &Status| {
                let row = |(reason, count): (_, u64)| {
                    let mut labels = labels(one);
                    labels.push(("reason", format!("{reason}")));
                    (labels, count as f64)
                };
                counts(one).iter().map(row).collect::<Vec<_>>()
            };
            self.each().flat_map(of).collect()
        };
        let is = |one: &Status, state| f64::from(u8::from(one.state == state));
        vec![
            Family::gauge(
                "destination_up",
                "1 when the last request was answered.",
                rows(&|one| is(one, LinkState::Up)),
            ),
            Family::gauge(
                "destination_blocked",
                "1 while an operator has to act: credentials, address, or what stands in between.",
                rows(&|one| is(one, LinkState::Blocked)),
            ),
            Family::gauge(
                "destination_stale_files",
                "1 while a changed file of credentials cannot be used, and what was read before is.",
                rows(&|one| f64::from(u8::from(!one.stale_files.is_empty()))),
            ),
            Family::gauge("queue_records", "Records not yet confirmed.", rows(&|one| one.queued_records as f64)),
            Family::counter(
                "delivered_bytes_total",
                "Bytes of blocks confirmed, since start.",
                rows(&|one| one.delivered_bytes as f64),
            ),
            Family::gauge("queue_bytes", "Bytes not yet confirmed.", rows(&|one| one.queued_bytes as f64)),
            Family::gauge(
                "queue_oldest_age_seconds",
                "Age of the oldest record not yet confirmed.",
                rows(&|one| self.oldest_age_s(one)),
            ),
            Family::counter(
                "send_failures_total",
                "Requests that failed, since start.",
                rows(&|one| one.failures as f64),
            ),
            Family::counter(
                "send_failures_by_reason_total",
                "Requests that failed, by reason, since start.",
                by_reason(&|one| one.failed),
            ),
            Family::counter(
                "destination_rejected_records_total",
                "Records that a destination will never take, by reason, since start.",
                by_reason(&|one| one.rejected),
            ),
            Family::counter(
                "otlp_exemplars_total",
                "Exemplars that followed their trace to an OTLP destination.",
                rows(&|one| one.exemplars.0 as f64),
            ),
            Family::counter(
                "otlp_exemplars_left_out_total",
                "Exemplars whose trace is not known to be there, or that found no point.",
                rows(&|one| one.exemplars.1 as f64),
            ),
        ]
    }
}

/// Whose row it is: the destination, and its signal where signals go apart.
fn labels(one: &Status) -> Labels {
    let signal = one.signal.map(|signal| ("signal", signal.name().to_owned()));
    [("destination", one.destination.clone())].into_iter().chain(signal).collect()
}
