//! What is known of the destinations, and how it is shown.

use std::rc::Rc;

use model::{Refusal, RefusalCounts};
use query::time::rfc3339;
use tokio::sync::Notify;

use crate::status::{json_text, label};

/// How a destination is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum LinkState {
    /// Nothing was tried yet.
    #[default]
    Starting,
    /// The last request was answered.
    Up,
    /// The last request failed; another try comes by itself.
    Backoff,
    /// The last request failed in a way that needs a person; tries go on, slowly.
    Blocked,
}

impl LinkState {
    /// The state's word in status and metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            LinkState::Starting => "starting",
            LinkState::Up => "up",
            LinkState::Backoff => "backoff",
            LinkState::Blocked => "blocked",
        }
    }
}

/// What is known of a destination.
#[derive(Debug, Clone, Default)]
pub(crate) struct DestinationStatus {
    /// Its name.
    pub(crate) name: String,
    /// How it is doing.
    pub(crate) state: LinkState,
    /// Nothing is sent until an operator resumes it, or the program starts again.
    pub(crate) paused: bool,
    /// What went wrong last; empty when all is well.
    pub(crate) last_error: String,
    /// Of what kind that was.
    pub(crate) last_reason: Option<Refusal>,
    /// When it is tried again, Unix nanoseconds; `None` when it does not wait after a failure.
    pub(crate) retry_at_ns: Option<u64>,
    /// Requests that failed, since start.
    pub(crate) failures: u64,
    /// The same by reason.
    pub(crate) failed: RefusalCounts,
    /// Records that it will never take, by reason, since start.
    pub(crate) rejected: RefusalCounts,
    /// What it said last for each reason.
    pub(crate) words: Vec<(Refusal, String)>,
    /// Ends its waiting: an operator wants to see it tried now.
    pub(crate) resumed: Rc<Notify>,
    /// Exemplars that went there apart from frames (OTLP), and those that did not.
    pub(crate) exemplars: (u64, u64),
    /// Records in the journal that it has not confirmed, those in flight included.
    pub(crate) queued_records: u64,
    /// Bytes of blocks that it confirmed, since start.
    pub(crate) delivered_bytes: u64,
    /// Their bytes on disk.
    pub(crate) queued_bytes: u64,
    /// Event time of the oldest of them, Unix nanoseconds; 0 when there is none.
    pub(crate) oldest_ns: u64,
}

impl DestinationStatus {
    /// A destination of this name.
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Books what it refused for good.
    pub(crate) fn reject(&mut self, reason: Refusal, records: u64, words: &str) {
        self.rejected.add(reason, records);
        match self.words.iter_mut().find(|(other, _)| *other == reason) {
            Some((_, last)) => words.clone_into(last),
            None => self.words.push((reason, words.to_owned())),
        }
    }

    /// Why an operator has to act; `None` when nobody has to.
    pub(crate) fn unwell(&self) -> Option<String> {
        (self.state == LinkState::Blocked && !self.paused)
            .then(|| format!("destination {} is blocked: {}", self.name, self.last_error))
    }

    fn words_of(&self, reason: Refusal) -> &str {
        self.words.iter().find(|(other, _)| *other == reason).map_or("", |(_, words)| words)
    }

    /// Its row in `/status`.
    pub(crate) fn json(&self, oldest_age_s: f64) -> String {
        let by_reason = |counts: &RefusalCounts| {
            let pairs: Vec<String> = counts.iter().map(|(reason, count)| format!("\"{reason}\":{count}")).collect();
            format!("{{{}}}", pairs.join(","))
        };
        let words: Vec<String> =
            self.words.iter().map(|(reason, words)| format!("\"{reason}\":{}", json_text(words))).collect();
        format!(
            "{{\"name\":{},\"state\":\"{}\",\"queued_records\":{},\"queued_bytes\":{},\"oldest_age_s\":{oldest_age_s:.1},\
             \"retry_at\":{},\"failures\":{},\"failed\":{},\"rejected\":{},\"words\":{{{}}},\"last_reason\":{},\"last_error\":{}}}",
            json_text(&self.name),
            self.state_name(),
            self.queued_records,
            self.queued_bytes,
            self.retry_at_ns.map_or("null".to_owned(), |at| format!("\"{}\"", rfc3339(at, 0))),
            self.failures,
            by_reason(&self.failed),
            by_reason(&self.rejected),
            words.join(","),
            self.last_reason.map_or("null".to_owned(), |reason| format!("\"{reason}\"")),
            json_text(&self.last_error)
        )
    }

    /// Its lines for people.
    pub(crate) fn text(&self, oldest_age_s: f64) -> String {
        let mut text = format!(
            "destination {:<12} {:<8} queued {} records, {} KiB, oldest {oldest_age_s:.0} s{}{}{}",
            self.name,
            self.state_name(),
            self.queued_records,
            self.queued_bytes / 1024,
            self.retry_at_ns.map_or(String::new(), |at| format!(", next try {}", rfc3339(at, 0))),
            if self.last_error.is_empty() { "" } else { ": " },
            self.last_error
        );
        for (reason, records) in self.rejected.iter() {
            text.push_str(&format!("\n  rejected   {records} records ({reason}): {}", self.words_of(reason)));
        }
        text
    }
}

/// Name, kind, help and rows of a family of metrics.
type Family = (&'static str, &'static str, &'static str, Vec<(String, f64)>);

/// The metrics of all destinations.
pub(crate) fn families(
    destinations: &[DestinationStatus],
    oldest_age_s: impl Fn(&DestinationStatus) -> f64,
) -> Vec<Family> {
    let each = |value: &dyn Fn(&DestinationStatus) -> f64| -> Vec<(String, f64)> {
        destinations.iter().map(|one| (format!("{{destination=\"{}\"}}", label(&one.name)), value(one))).collect()
    };
    let by_reason = |counts: &dyn Fn(&DestinationStatus) -> RefusalCounts| -> Vec<(String, f64)> {
        let rows = |one: &DestinationStatus| {
            let name = label(&one.name);
            let row = |(reason, count)| (format!("{{destination=\"{name}\",reason=\"{reason}\"}}"), count as f64);
            counts(one).iter().map(row).collect::<Vec<_>>()
        };
        destinations.iter().flat_map(rows).collect()
    };
    vec![
        (
            "destination_up",
            "gauge",
            "1 when the last request was answered.",
            each(&|one| f64::from(u8::from(one.state == LinkState::Up))),
        ),
        (
            "destination_blocked",
            "gauge",
            "1 while an operator has to act: credentials, address, or what stands in between.",
            each(&|one| f64::from(u8::from(one.state == LinkState::Blocked))),
        ),
        ("queue_records", "gauge", "Records not yet confirmed.", each(&|one| one.queued_records as f64)),
        (
            "delivered_bytes_total",
            "counter",
            "Bytes of blocks confirmed, since start.",
            each(&|one| one.delivered_bytes as f64),
        ),
        ("queue_bytes", "gauge", "Bytes not yet confirmed.", each(&|one| one.queued_bytes as f64)),
        ("queue_oldest_age_seconds", "gauge", "Age of the oldest record not yet confirmed.", each(&oldest_age_s)),
        ("send_failures_total", "counter", "Requests that failed, since start.", each(&|one| one.failures as f64)),
        (
            "send_failures_by_reason_total",
            "counter",
            "Requests that failed, by reason, since start.",
            by_reason(&|one| one.failed),
        ),
        (
            "rejected_records_total",
            "counter",
            "Records that a destination will never take, by reason, since start.",
            by_reason(&|one| one.rejected),
        ),
        (
            "otlp_exemplars_total",
            "counter",
            "Exemplars that followed their trace to an OTLP destination.",
            each(&|one| one.exemplars.0 as f64),
        ),
        (
            "otlp_exemplars_left_out_total",
            "counter",
            "Exemplars whose trace is not known to be there, or that found no point.",
            each(&|one| one.exemplars.1 as f64),
        ),
    ]
}

impl DestinationStatus {
    /// The word for it in status.
    pub(crate) fn state_name(&self) -> &'static str {
        if self.paused { "paused" } else { self.state.name() }
    }
}
