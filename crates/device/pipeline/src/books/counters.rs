//! Counters beside the ledger.

use model::RefusalCounts;

/// Counters beside the ledger, since start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests that were not protobuf of their signal.
    pub bad_requests: u64,
    /// Requests that are not taken, by reason; the same ones as far as they were bad.
    pub refused: RefusalCounts,
    /// Records of accepted requests that are not taken, by reason.
    pub rejected: RefusalCounts,
    /// Records that the guard and limits took out of accepted requests, by reason.
    pub dropped_by_guard: RefusalCounts,
    /// Texts, ids and times that were mended, by reason.
    pub mended: RefusalCounts,
    /// Records that named a lane that they may not choose: they stay in their usual one.
    pub rejected_lanes: u64,
    /// Requests that were accepted before and came again, by their key: answered, not taken twice.
    pub repeated_requests: u64,
    /// Log records that a source may have read a second time: a crash left them in the journal, and no position behind them. An upper bound.
    pub duplicates_ambiguous: u64,
    /// Spans without a usable trace id: filtered.
    pub spans_without_trace: u64,
    /// Fields that the pinned schema does not know: left out.
    pub unknown_fields: u64,
    /// Texts that are not UTF-8: kept as bytes.
    pub invalid_utf8: u64,
    /// Log records whose trace id stood in a field of another name than OTLP's.
    pub trace_ids_from_fields: u64,
    /// Log records without a trace, left out by their rule.
    pub log_records_by_rule: u64,
    /// Exemplars that went with their kept trace.
    pub exemplars: u64,
    /// Exemplars of incoming points that found no room to wait for their trace: left out.
    pub exemplars_without_room: u64,
    /// Spans that end before they start, or at a time that nobody can mean: their durations saturate.
    pub odd_times: u64,
    /// Records that could not be encoded: left out, booked as filtered.
    pub unencodable: u64,
    /// Requests, taken in or recorded, that could not be read again.
    pub unreadable: u64,
}
