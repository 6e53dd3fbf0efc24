//! Why something was refused, cut, skipped or set aside: one list of reasons for every part of both programs.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why something was refused, cut, skipped or set aside.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        #[repr(u8)]
        pub enum Refusal {
            $($(#[$doc])* $name,)*
        }

        impl Refusal {
            /// All reasons.
            pub const ALL: &'static [Refusal] = &[$(Refusal::$name),*];

            /// The reason's stable name in metrics, status and log lines.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Refusal::$name => $text,)*
                }
            }
        }
    };
}

reasons! {
    /// A request, message or record has more bytes than allowed.
    TooLarge = "too_large",
    /// A request has more records, or a record more parts, than allowed.
    TooManyRecords = "too_many_records",
    /// Memory for it is in use: the producer is told to come again.
    NoRoom = "no_room",
    /// All places for connections are taken by connections that work.
    TooManyConnections = "too_many_connections",
    /// An idle connection was closed to make room for another one.
    IdleConnection = "idle_connection",
    /// A handshake, head, body or peer took longer than allowed.
    TooSlow = "too_slow",
    /// The connection ended before the request did.
    CutOff = "cut_off",
    /// The media type is not one that is read here.
    UnsupportedContentType = "unsupported_content_type",
    /// The content coding is not one that is read here.
    UnsupportedEncoding = "unsupported_encoding",
    /// The bytes are not what their content coding says.
    Undecodable = "undecodable",
    /// The bytes are not a message of their protocol.
    Malformed = "malformed",
    /// A request carries another signal than its path or method says.
    WrongSignal = "wrong_signal",
    /// No such path or method.
    UnknownPath = "unknown_path",
    /// The path does not take this HTTP method.
    MethodNotAllowed = "method_not_allowed",
    /// A trace id is missing, zero or of the wrong length.
    InvalidTraceId = "invalid_trace_id",
    /// A span id is missing, zero or of the wrong length.
    InvalidSpanId = "invalid_span_id",
    /// An optional id has the wrong length: the record goes on without it.
    InvalidId = "invalid_id",
    /// Values are nested deeper than allowed.
    TooDeep = "too_deep",
    /// A text is not UTF-8: its bad bytes are replaced by U+FFFD.
    InvalidUtf8 = "invalid_utf8",
    /// A record has no time: it gets the time of its arrival.
    NoTime = "no_time",
    /// A time, duration or number is outside of what can be told.
    InvalidTime = "invalid_time",
    /// An idempotency key came again with another request.
    KeyReused = "key_reused",
    /// The `Host` header names a host that is not served.
    HostNotAllowed = "host_not_allowed",
    /// The request comes from a web page that may not send it.
    OriginNotAllowed = "origin_not_allowed",
    /// A token or certificate is missing or wrong.
    Unauthorized = "unauthorized",
    /// The record names a lane that its producer may not choose.
    LaneNotAllowed = "lane_not_allowed",
    /// The producer's share of a lane is used up.
    LaneOverBudget = "lane_over_budget",
    /// It is older than what is still taken.
    TooOld = "too_old",
    /// The destination answered with a status that says "never" (HTTP 4xx and the like; gRPC likewise).
    RejectedStatus = "rejected_status",
    /// The destination answered with a status that says "not now" (HTTP 5xx; gRPC `UNAVAILABLE` and the like).
    FailedStatus = "failed_status",
    /// The destination answered with a redirect that is not followed.
    Redirected = "redirected",
    /// The destination asks for other credentials.
    DestinationUnauthorized = "destination_unauthorized",
    /// The destination does not take this signal.
    SignalNotTaken = "signal_not_taken",
    /// The destination's answer is no answer of its protocol.
    NotAnExportResponse = "not_an_export_response",
    /// The destination asks to send later.
    Throttled = "throttled",
    /// The destination took the request but for some records.
    PartialSuccess = "partial_success",
    /// One record is more than the destination takes at once.
    TooLargeForDestination = "too_large_for_destination",
    /// The peer cannot be reached, or its name or certificate is not good.
    Unreachable = "unreachable",
    /// An answer did not come in time.
    TimedOut = "timed_out",
    /// A batch could not be encoded or read back.
    Unencodable = "unencodable",
    /// Bytes on disk are not as they were written.
    Damaged = "damaged",
    /// There is no space on the disk.
    DiskFull = "disk_full",
    /// The sender is not who its identity says.
    IdentityMismatch = "identity_mismatch",
    /// A name is too long, empty or holds characters that names may not have.
    InvalidName = "invalid_name",
    /// A sequence, epoch or other number of the link is out of bounds.
    OutOfBounds = "out_of_bounds",
    /// Another content came under an identity that is known.
    Quarantined = "quarantined",
    /// A rule of the guard takes the record out.
    Masked = "masked",
    /// A log record of DEBUG or TRACE, which production leaves out.
    BelowInfo = "below_info",
    /// More of its kind came than a limit lets pass.
    Limited = "limited",
    /// It is of a series beyond what its metric may have.
    OverSeries = "over_series",
    /// It would use more memory, cells or bytes than one answer may.
    OverBudget = "over_budget",
    /// It did not end before its deadline, or whoever asked went away.
    Cancelled = "cancelled",
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A counter for each reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RefusalCounts([u64; Refusal::ALL.len()]);

impl Default for RefusalCounts {
    fn default() -> Self {
        Self([0; Refusal::ALL.len()])
    }
}

impl RefusalCounts {
    /// Counts.
    pub fn add(&mut self, reason: Refusal, count: u64) {
        if let Some(counter) = self.0.get_mut(reason as usize) {
            *counter = counter.saturating_add(count);
        }
    }

    /// Adds all of another table.
    pub fn merge(&mut self, other: &Self) {
        for (reason, count) in other.iter() {
            self.add(reason, count);
        }
    }

    /// How often.
    pub fn get(&self, reason: Refusal) -> u64 {
        self.0.get(reason as usize).copied().unwrap_or(0)
    }

    /// Every reason that was met, with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Refusal, u64)> + use<'_> {
        Refusal::ALL.iter().map(|reason| (*reason, self.get(*reason))).filter(|(_, count)| *count > 0)
    }

    /// All together.
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: every reason is counted once. Guarantees: names are different snake_case words, and each has a counter
    /// of its own.
    #[test]
    fn every_reason_has_a_name_and_a_counter() {
        let mut names = std::collections::BTreeSet::new();
        let mut counts = RefusalCounts::default();
        for (index, reason) in Refusal::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
            assert!(reason.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte == b'8'));
            assert!(names.insert(reason.as_str()), "{reason} stands twice");
            counts.add(*reason, index as u64 + 1);
        }
        assert!(Refusal::ALL.iter().enumerate().all(|(index, reason)| counts.get(*reason) == index as u64 + 1));
        let mut twice = counts;
        twice.merge(&counts);
        assert_eq!(twice.total(), 2 * counts.total());
        assert_eq!(counts.iter().count(), Refusal::ALL.len());
    }
}
