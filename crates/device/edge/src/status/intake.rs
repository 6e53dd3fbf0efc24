//! The intake, as it is shown.

use model::{Refusal, RefusalCounts};
use pipeline::Counters;
use sources::Limits;

use crate::exposition::{Family, json_counts};

/// Connections, requests, and what was not taken of them.
pub(super) struct Intake<'a> {
    pub(super) limits: &'a Limits,
    /// Requests and connections refused.
    pub(super) refused: &'a RefusalCounts,
    pub(super) counters: Counters,
}

fn list(counts: &RefusalCounts) -> String {
    counts.iter().map(|(reason, count)| format!("{reason} {count}")).collect::<Vec<_>>().join(", ")
}

impl Intake<'_> {
    /// Its object in `/status`.
    pub(super) fn json(&self) -> String {
        let Self { limits, refused, counters } = self;
        format!(
            "{{\"connections\":{},\"most_connections\":{},\"body_bytes\":{},\"refused_requests\":{},\
             \"rejected_records\":{},\"mended\":{},\"lane_not_allowed\":{},\
             \"duplicates_ambiguous\":{}}}",
            limits.places.open(),
            limits.places.most(),
            limits.held(),
            json_counts(refused),
            json_counts(&counters.rejected),
            json_counts(&counters.mended),
            counters.rejected_lanes,
            counters.duplicates_ambiguous
        )
    }

    /// Its rows for people: what there is to tell.
    pub(super) fn text(&self) -> Vec<String> {
        let Self { limits, refused, counters } = self;
        let mut rows = vec![format!("intake       {} of {} connections", limits.places.open(), limits.places.most())];
        for (what, counts) in [
            ("requests and connections refused", *refused),
            ("records not taken", &counters.rejected),
            ("records dropped by the guard", &counters.dropped_by_guard),
            ("mended", &counters.mended),
        ] {
            if counts.total() > 0 {
                rows.push(format!("             {what}: {}", list(counts)));
            }
        }
        if counters.duplicates_ambiguous > 0 {
            rows.push(format!("             log records that may be there twice: {}", counters.duplicates_ambiguous));
        }
        if counters.rejected_lanes > 0 {
            let name = Refusal::LaneNotAllowed;
            rows.push(format!("             lanes: {name} {}", counters.rejected_lanes));
        }
        rows
    }

    /// Its metrics.
    pub(super) fn families(&self) -> Vec<Family> {
        let Self { limits, refused, counters } = self;
        vec![
            Family::counter("refused_requests_total", "Requests and connections refused, by reason.", *refused),
            Family::counter(
                "rejected_records_total",
                "Records of accepted requests that are not taken, by reason; their producers are told.",
                &counters.rejected,
            ),
            Family::counter(
                "guard_dropped_records_total",
                "Records that the guard took out of accepted requests, by reason; they count as filtered.",
                &counters.dropped_by_guard,
            ),
            Family::counter("mended_total", "Texts, ids and times that were mended, by reason.", &counters.mended),
            Family::counter(
                "lane_not_allowed_total",
                "Records that name a lane they may not choose, and stay in their usual one.",
                counters.rejected_lanes,
            ),
            Family::counter("bad_requests_total", "Requests that were not OTLP.", counters.bad_requests),
            Family::counter(
                "repeated_requests_total",
                "Requests that came again under their idempotency key, and were not taken twice.",
                counters.repeated_requests,
            ),
            Family::counter(
                "duplicates_ambiguous_total",
                "Log records that a source may have read twice, because a crash came between them and its position; at most so many.",
                counters.duplicates_ambiguous,
            ),
            Family::counter(
                "spans_without_trace_total",
                "Spans without a trace id, filtered.",
                counters.spans_without_trace,
            ),
            Family::counter(
                "odd_span_times_total",
                "Spans that end before they start or at a time that nobody can mean: their durations saturate.",
                counters.odd_times,
            ),
            Family::counter(
                "trace_ids_from_fields_total",
                "Log records whose trace id stood in a field of another name.",
                counters.trace_ids_from_fields,
            ),
            Family::counter("exemplars_total", "Exemplars that went with their kept trace.", counters.exemplars),
            Family::counter(
                "exemplars_without_room_total",
                "Exemplars left out because there was no room to wait for their trace.",
                counters.exemplars_without_room,
            ),
            Family::counter(
                "unencodable_records_total",
                "Records that could not be encoded: left out, booked as filtered.",
                counters.unencodable,
            ),
            Family::counter(
                "unreadable_requests_total",
                "Requests that were taken in and could not be read again.",
                counters.unreadable,
            ),
            Family::counter(
                "unknown_fields_total",
                "Fields that the schema does not know, left out.",
                counters.unknown_fields,
            ),
            Family::counter("invalid_utf8_total", "Texts in frames that are not UTF-8.", counters.invalid_utf8),
            Family::gauge("intake_connections", "Open connections of producers.", limits.places.open() as u64),
            Family::gauge("intake_connections_limit", "The most of them at once.", limits.places.most() as u64),
            Family::gauge("intake_body_bytes", "Bytes of request bodies in memory.", limits.held() as u64),
        ]
    }
}
