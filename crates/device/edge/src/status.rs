//! What the agent says of itself: `/status` as JSON, `/metrics` as Prometheus text.

use std::fmt::Write;

use ledger::PerSignal;
use model::{Lane, RefusalCounts, Signal};

use crate::dead_letters::DeadLetterCounts;
use crate::destination_status::{DestinationStatus, families};
use crate::status_intake::Intake;
use pipeline::LaneStanding;
use pipeline::Pipeline;

/// The forms in which the agent shows itself.
#[derive(Debug, Clone, Copy)]
pub(crate) enum View {
    /// One screen for people.
    Text,
    /// For scripts.
    Json,
    /// For scrapers.
    Prometheus,
}

/// Everything that status and metrics tell, gathered at one moment.
pub(crate) struct Snapshot<'a> {
    pub(crate) device: &'a str,
    pub(crate) epoch: String,
    pub(crate) uptime_ns: u64,
    pub(crate) wall_ns: u64,
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) destinations: &'a [DestinationStatus],
    pub(crate) refusals: RefusalCounts,
    pub(crate) intake: Intake,
    pub(crate) disk_bytes: u64,
    pub(crate) bytes_written: u64,
    /// Points thinned out for want of room, since start.
    pub(crate) thinned: u64,
    /// What destinations refused and is kept.
    pub(crate) dead_letters: DeadLetterCounts,
    /// Bytes of entries by the lane's number, since start.
    pub(crate) lane_bytes: [u64; Lane::ALL.len()],
    pub(crate) fsyncs: u64,
    pub(crate) disk_error: &'a str,
    pub(crate) expected_share: Option<(f64, f64)>,
}

impl Snapshot<'_> {
    /// The snapshot in one of its forms.
    pub(crate) fn show(&self, view: View) -> String {
        match view {
            View::Text => self.text(),
            View::Json => self.json(),
            View::Prometheus => self.prometheus(),
        }
    }

    /// Each lane that took something since start, with the bytes of its entries.
    fn lanes<T>(&self, each: impl Fn(Lane, u64) -> T) -> Vec<T> {
        let lanes = Lane::ALL.into_iter().zip(self.lane_bytes).filter(|(_, bytes)| *bytes > 0);
        lanes.map(|(lane, bytes)| each(lane, bytes)).collect()
    }

    /// Bytes written to disk for each byte that a destination confirmed; 0 before the first.
    fn written_per_delivered(&self) -> f64 {
        match self.destinations.iter().map(|one| one.delivered_bytes).sum::<u64>() {
            0 => 0.0,
            delivered => self.bytes_written as f64 / delivered as f64,
        }
    }

    /// What a flash card has to bear, at the rate since start: bytes written in a day. Not known before ten minutes, since a start
    /// writes more than what follows.
    fn written_per_day(&self) -> Option<f64> {
        let uptime_s = self.uptime_ns as f64 / 1e9;
        (uptime_s >= 600.0).then(|| self.bytes_written as f64 / uptime_s * 86_400.0)
    }

    /// One row for each lane that has watermarks.
    fn marked(&self, value: impl Fn(&LaneStanding) -> f64) -> Vec<(String, f64)> {
        self.pipeline.lane_standings().map(|one| (format!("{{lane=\"{}\"}}", one.lane), value(&one))).collect()
    }

    fn queued(&self, name: &str) -> u64 {
        self.destinations.iter().find(|one| one.name == name).map_or(0, |one| one.queued_records)
    }

    fn oldest_age_s(&self, destination: &DestinationStatus) -> f64 {
        match destination.oldest_ns {
            0 => 0.0,
            oldest => self.wall_ns.saturating_sub(oldest) as f64 / 1e9,
        }
    }

    /// By how many records the books miss (P1).
    fn difference(&self) -> u64 {
        self.pipeline.ledger().difference(|name| self.queued(name))
    }

    /// `/status`.
    fn json(&self) -> String {
        let ledger = self.pipeline.ledger();
        let sampling = self.pipeline.sampling();
        let mut out = String::with_capacity(2048);
        let per_signal = |counts: &PerSignal| {
            format!("{{\"traces\":{},\"logs\":{},\"metrics\":{}}}", counts.traces, counts.logs, counts.metrics)
        };
        // Writing into a String cannot fail.
        let _written = write!(
            out,
            "{{\"device\":{},\"version\":\"{}\",\"epoch\":\"{}\",\"uptime_s\":{:.1},\"ledger\":{{",
            json_text(self.device),
            env!("CARGO_PKG_VERSION"),
            self.epoch,
            self.uptime_ns as f64 / 1e9
        );
        for (name, counts) in [
            ("received", &ledger.received),
            ("generated", &ledger.generated),
            ("filtered", &ledger.filtered),
            ("sampled_out", &ledger.sampled_out),
            ("pending", &ledger.pending),
            ("routed", &ledger.routed),
            ("lost_crash", &ledger.lost_crash),
            ("refused", &ledger.refused),
        ] {
            let _written = write!(out, "\"{name}\":{},", per_signal(counts));
        }
        let _written = write!(out, "\"crash_unknown\":{},\"destinations\":[", ledger.crash_unknown);
        for (index, one) in ledger.destinations.iter().enumerate() {
            let _written = write!(
                out,
                "{}{{\"name\":{},\"routed\":{},\"queued\":{},\"delivered\":{},\"rejected\":{},\"lost\":{}}}",
                if index > 0 { "," } else { "" },
                json_text(&one.name),
                one.routed,
                self.queued(&one.name),
                one.delivered,
                one.rejected,
                one.lost
            );
        }
        let _written = write!(
            out,
            "],\"difference\":{}}},\"sampling\":{{\"pending_traces\":{},\"kept_traces\":{},\"dropped_traces\":{},\
             \"spanless_traces\":{},\"decided_early\":{},\"forgotten_early\":{},\"late_unknown\":{},\
             \"recalled_traces\":{},\"kept_share\":{},\"memory_bytes\":{}}},\"memory\":{{\"pipeline_bytes\":{}}},\
             \"disk\":{{\"bytes\":{},\"written\":{},\"written_per_delivered\":{:.2},\"written_per_day\":{},\
             \"fsyncs\":{},\"dead_letters\":{{\"files\":{},\"bytes\":{},\"dropped\":{}}},\"error\":{},\
             \"lanes\":{{{}}}}},\"watermarks\":[{}],{},\"destinations\":[",
            self.difference(),
            sampling.pending_traces,
            ledger.kept_traces,
            ledger.dropped_traces,
            sampling.spanless_traces,
            sampling.decided_early,
            sampling.forgotten_early,
            sampling.late_unknown,
            sampling.recalled_traces,
            known(Some(sampling.kept_share).filter(|share| *share >= 0.0), 4),
            sampling.bytes,
            self.pipeline.bytes(),
            self.disk_bytes,
            self.bytes_written,
            self.written_per_delivered(),
            known(self.written_per_day(), 0),
            self.fsyncs,
            self.dead_letters.files,
            self.dead_letters.bytes,
            self.dead_letters.dropped,
            json_text(self.disk_error),
            self.lanes(|lane, bytes| format!("\"{lane}\":{bytes}")).join(","),
            self.pipeline
                .lane_standings()
                .map(|one| standing_json(&one, self.pipeline.refused_by_lane(one.lane)))
                .collect::<Vec<_>>()
                .join(","),
            self.intake.json(&self.refusals, &self.pipeline.counters())
        );
        for (index, one) in self.destinations.iter().enumerate() {
            out.push_str(if index > 0 { "," } else { "" });
            out.push_str(&one.json(self.oldest_age_s(one)));
        }
        out.push_str("]}\n");
        out
    }

    /// `/status?format=text`: one screen for people.
    fn text(&self) -> String {
        let ledger = self.pipeline.ledger();
        let sampling = self.pipeline.sampling();
        let mut out = String::with_capacity(1024);
        // Writing into a String cannot fail.
        let mut line = |text: String| {
            let _written = writeln!(out, "{text}");
        };
        line(format!("{} (epoch {}), up {:.0} s", self.device, self.epoch, self.uptime_ns as f64 / 1e9));
        for one in self.destinations {
            line(one.text(self.oldest_age_s(one)));
        }
        line(format!("{:<12} {:>12} {:>12} {:>12}", "records", "traces", "logs", "metrics"));
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
            line(format!("{name:<12} {:>12} {:>12} {:>12}", counts.traces, counts.logs, counts.metrics));
        }
        if ledger.crash_unknown > 0 {
            line(format!("at most {} more were answered after the last commit before a kill", ledger.crash_unknown));
        }
        line(format!(
            "the books {}",
            match self.difference() {
                0 => "balance".to_owned(),
                records => format!("miss by {records} records"),
            }
        ));
        for one in
            self.pipeline.lane_standings().filter(|one| one.raised || self.pipeline.refused_by_lane(one.lane) > 0)
        {
            line(format!(
                "lane         {} {}: {} KiB of backlog, watermarks {} and {} KiB, {} requests refused",
                one.lane,
                if one.raised { "refuses" } else { "takes again" },
                one.backlog / 1024,
                one.marks.high / 1024,
                one.marks.low / 1024,
                self.pipeline.refused_by_lane(one.lane)
            ));
        }
        self.intake.text(&self.refusals, &self.pipeline.counters()).into_iter().for_each(&mut line);
        line(format!(
            "traces       kept {}, dropped {}, undecided {}",
            ledger.kept_traces, ledger.dropped_traces, sampling.pending_traces
        ));
        let letters = self.dead_letters;
        if letters.files + letters.dropped > 0 {
            line(format!(
                "dead letters {} requests that destinations refused, {} KiB, in dead-letters; {} more are gone for want of room",
                letters.files,
                letters.bytes / 1024,
                letters.dropped
            ));
        }
        line(format!(
            "disk         {} KiB, written {} KiB ({:.2} for each byte delivered{}), {} fsyncs{}{}",
            self.disk_bytes / 1024,
            self.bytes_written / 1024,
            self.written_per_delivered(),
            self.written_per_day().map_or(String::new(), |bytes| format!(", {:.1} MiB a day", bytes / 1_048_576.0)),
            self.fsyncs,
            if self.disk_error.is_empty() { "" } else { ": " },
            self.disk_error
        ));
        out
    }

    /// `/metrics`.
    fn prometheus(&self) -> String {
        let ledger = self.pipeline.ledger();
        let sampling = self.pipeline.sampling();
        let counters = self.pipeline.counters();
        let mut out = String::with_capacity(4096);
        let mut family = |name: &str, kind: &str, help: &str, rows: &[(String, f64)]| {
            let _written = writeln!(out, "# HELP lightship_{name} {help}\n# TYPE lightship_{name} {kind}");
            for (labels, value) in rows {
                let _written = writeln!(out, "lightship_{name}{labels} {value}");
            }
        };
        let by_signal = |counts: &PerSignal| -> Vec<(String, f64)> {
            Signal::ALL
                .into_iter()
                .map(|signal| (format!("{{signal=\"{}\"}}", signal.name()), counts.get(signal) as f64))
                .collect()
        };
        for (name, counts, help) in [
            ("received_records_total", &ledger.received, "Records accepted from producers."),
            ("generated_records_total", &ledger.generated, "Records made by the agent itself."),
            ("filtered_records_total", &ledger.filtered, "Records left out by a rule."),
            ("sampled_out_records_total", &ledger.sampled_out, "Records left out by a sampling decision."),
            ("routed_records_total", &ledger.routed, "Records handed to the journal."),
            ("crash_lost_records_total", &ledger.lost_crash, "Records that were pending when the program was killed."),
            ("refused_records_total", &ledger.refused, "Records whose producers were told to wait."),
        ] {
            family(name, "counter", help, &by_signal(counts));
        }
        let unknown = [(String::new(), ledger.crash_unknown as f64)];
        let help = "The most records that were answered after the last commit before a kill; in no other count.";
        family("crash_unknown_records_total", "counter", help, &unknown);
        family("pending_records", "gauge", "Records undecided or not yet in the journal.", &by_signal(&ledger.pending));
        let keeps: Vec<_> = self
            .pipeline
            .policy_keeps()
            .map(|(policy, count)| (format!("{{policy=\"{}\"}}", label(policy)), count as f64))
            .collect();
        family("policy_kept_traces_total", "counter", "Traces by the policy that kept them, since start.", &keeps);
        for (name, kind, help, value) in [
            ("pending_traces", "gauge", "Traces that wait for their decision.", sampling.pending_traces),
            ("kept_traces_total", "counter", "Traces kept.", ledger.kept_traces),
            ("dropped_traces_total", "counter", "Traces dropped.", ledger.dropped_traces),
            (
                "decided_early_traces_total",
                "counter",
                "Traces decided before their wait was over.",
                sampling.decided_early,
            ),
            (
                "forgotten_decisions_total",
                "counter",
                "Decisions forgotten before their time.",
                sampling.forgotten_early,
            ),
            (
                "late_parts_total",
                "counter",
                "Spans, lines and exemplars that came after the decision of their trace.",
                sampling.late_parts,
            ),
            (
                "late_unknown_total",
                "counter",
                "Parts from before the memory of decisions, judged alone.",
                sampling.late_unknown,
            ),
            (
                "recalled_traces_total",
                "counter",
                "Traces that were dropped, and kept after all when an error or slow span came.",
                sampling.recalled_traces,
            ),
            (
                "recalled_too_late_total",
                "counter",
                "Traces that should have been kept after all, but were overwritten in the recorder.",
                sampling.recalled_too_late,
            ),
            (
                "incidents_by_alert_total",
                "counter",
                "Incident windows that alerts opened.",
                sampling.incidents_by_alert,
            ),
            ("incident_open", "gauge", "Whether an incident window is open.", u64::from(sampling.incident_open)),
            ("recallable_traces", "gauge", "Dropped traces that may yet be kept.", sampling.recallable_traces),
            (
                "spanless_traces_total",
                "counter",
                "Traces of which only lines or exemplars came.",
                sampling.spanless_traces,
            ),
            (
                "lines_recalled_traces_total",
                "counter",
                "Traces kept after their lines were let go for want of a span: the lines went after all.",
                sampling.lines_recalled,
            ),
            (
                "lines_recalled_too_late_total",
                "counter",
                "The same, but their lines were overwritten in the recorder.",
                sampling.lines_recalled_too_late,
            ),
            (
                "lines_by_rule_total",
                "counter",
                "Lines without a trace left out by their rule.",
                counters.log_records_by_rule,
            ),
            (
                "trace_ids_from_fields_total",
                "counter",
                "Lines whose trace id stood in a field of another name.",
                counters.trace_ids_from_fields,
            ),
            ("sampling_memory_bytes", "gauge", "Memory of index and decisions.", sampling.bytes),
            ("exemplars_total", "counter", "Exemplars that went with their kept trace.", counters.exemplars),
            (
                "repeated_requests_total",
                "counter",
                "Requests that came again under their idempotency key, and were not taken twice.",
                counters.repeated_requests,
            ),
            (
                "exemplars_without_room_total",
                "counter",
                "Exemplars left out because there was no room to wait for their trace.",
                counters.exemplars_without_room,
            ),
            (
                "odd_span_times_total",
                "counter",
                "Spans that end before they start or at a time that nobody can mean: their durations saturate.",
                counters.odd_times,
            ),
            (
                "unencodable_records_total",
                "counter",
                "Records that could not be encoded: left out, booked as filtered.",
                counters.unencodable,
            ),
            (
                "unreadable_requests_total",
                "counter",
                "Requests that were taken in and could not be read again.",
                counters.unreadable,
            ),
            ("bad_requests_total", "counter", "Requests that were not OTLP.", counters.bad_requests),
            (
                "unknown_fields_total",
                "counter",
                "Fields that the schema does not know, left out.",
                counters.unknown_fields,
            ),
            ("invalid_utf8_total", "counter", "Texts in frames that are not UTF-8.", counters.invalid_utf8),
            (
                "spans_without_trace_total",
                "counter",
                "Spans without a trace id, filtered.",
                counters.spans_without_trace,
            ),
            ("ledger_difference_records", "gauge", "By how much the books do not balance.", self.difference()),
            ("pipeline_memory_bytes", "gauge", "Memory of recorder, index and queue.", self.pipeline.bytes()),
            ("journal_disk_bytes", "gauge", "Bytes of the journal on disk.", self.disk_bytes),
            ("journal_written_bytes_total", "counter", "Bytes written to disk, since start.", self.bytes_written),
            ("journal_fsyncs_total", "counter", "Calls of fsync, since start.", self.fsyncs),
            ("dead_letter_files", "gauge", "Refused requests that are kept in dead-letters.", self.dead_letters.files),
            ("dead_letter_bytes", "gauge", "Their bytes.", self.dead_letters.bytes),
            (
                "dead_letters_dropped_total",
                "counter",
                "Refused requests that were not kept any longer for want of room, since start.",
                self.dead_letters.dropped,
            ),
            (
                "journal_thinned_points_total",
                "counter",
                "Metric points thinned out for want of room, since start.",
                self.thinned,
            ),
        ] {
            family(name, kind, help, &[(String::new(), value as f64)]);
        }
        let gauge = |value: f64| [(String::new(), value)];
        if sampling.kept_share >= 0.0 {
            family("kept_span_share", "gauge", "Share of spans kept, last five minutes.", &gauge(sampling.kept_share));
        }
        if let Some((low, high)) = self.expected_share {
            let bounds = [("{bound=\"low\"}".to_owned(), low), ("{bound=\"high\"}".to_owned(), high)];
            family("expected_kept_span_share", "gauge", "Between which shares the kept one is expected.", &bounds);
        }
        if sampling.latency_ns > 0 {
            let seconds = sampling.latency_ns as f64 / 1e9;
            family("adaptive_latency_seconds", "gauge", "The adaptive latency threshold.", &gauge(seconds));
        }
        family(
            "journal_lane_bytes_total",
            "counter",
            "Bytes of entries that went into each lane, since start.",
            &self.lanes(|lane, bytes| (format!("{{lane=\"{lane}\"}}"), bytes as f64)),
        );
        for (name, kind, help, rows) in [
            (
                "lane_backlog_bytes",
                "gauge",
                "Bytes on disk that some destination has not confirmed, of lanes with watermarks.",
                self.marked(|one| one.backlog as f64),
            ),
            (
                "lane_refuses",
                "gauge",
                "1 while a lane refuses because of its watermarks.",
                self.marked(|one| f64::from(u8::from(one.raised))),
            ),
            (
                "lane_refused_requests_total",
                "counter",
                "Requests refused because a lane of theirs was above its high watermark, since start.",
                self.marked(|one| self.pipeline.refused_by_lane(one.lane) as f64),
            ),
        ] {
            if !rows.is_empty() {
                family(name, kind, help, &rows);
            }
        }
        family(
            "volume_budget_share",
            "gauge",
            "What the volume budget leaves of probabilistic shares.",
            &gauge(sampling.tightened),
        );
        for (name, kind, help, rows) in self.intake.families(&self.refusals, &counters) {
            family(name, kind, help, &rows);
        }
        for (name, kind, help, rows) in families(self.destinations, |one| self.oldest_age_s(one)) {
            family(name, kind, help, &rows);
        }
        out
    }
}

fn standing_json(one: &LaneStanding, refused: u64) -> String {
    format!(
        "{{\"lane\":\"{}\",\"refuses\":{},\"backlog_bytes\":{},\"high_bytes\":{},\"low_bytes\":{},\
         \"refused_requests\":{}}}",
        one.lane, one.raised, one.backlog, one.marks.high, one.marks.low, refused
    )
}

/// A number with so many places in JSON; `null` while it is not known.
fn known(number: Option<f64>, places: usize) -> String {
    number.map_or("null".to_owned(), |number| format!("{number:.places$}"))
}

/// A text as a JSON string.
pub(crate) fn json_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    query::json::text(&mut out, text);
    out
}

/// A text as the value of a Prometheus label.
pub(crate) fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
