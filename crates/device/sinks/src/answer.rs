//! What answers mean (OTLP 1.11, "OTLP/HTTP Response", "Failures", "Throttling"; RFC 9110).

use std::time::Duration;

#[cfg(any(feature = "otlp-http", feature = "otlp-grpc"))]
use drain::PartialSuccess;
use drain::{RetryAfter, SendError, words};
use http::{HeaderMap, StatusCode, header};
use model::Refusal;
#[cfg(any(feature = "otlp-http", feature = "otlp-grpc"))]
use model::proto::{Reader, Value};

use client::text::unix_seconds;

/// An answer over HTTP.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The wait that the server asks for.
    pub(crate) fn retry_after(&self) -> Option<RetryAfter> {
        let wish = self.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = wish.parse() {
            return Some(RetryAfter::In(Duration::from_secs(seconds)));
        }
        let at = http_date(wish)?;
        // The server's own clock, where it tells it: this machine's may be wrong.
        let now = self.headers.get(header::DATE).and_then(|date| http_date(date.to_str().ok()?.trim()));
        Some(now.map_or(RetryAfter::At(at), |now| RetryAfter::In(Duration::from_secs(at.saturating_sub(now)))))
    }

    /// Whether it is a page for people, as captive portals and wrong servers send it.
    #[cfg(any(feature = "loki", feature = "remote-write"))]
    pub(crate) fn is_page(&self) -> bool {
        let html = self.header(header::CONTENT_TYPE).trim_start().to_ascii_lowercase().starts_with("text/html");
        html || self.body.trim_ascii_start().starts_with(b"<")
    }

    fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}

/// Seconds since the Unix epoch of an IMF-fixdate (`Sun, 06 Nov 1994 08:49:37 GMT`).
fn http_date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, rest) = text.split_once(", ")?;
    let mut parts = rest.split(' ');
    let day: u64 = parts.next()?.parse().ok()?;
    let name = parts.next()?;
    let month = MONTHS.iter().position(|month| *month == name)? as u64 + 1;
    let year: u64 = parts.next()?.parse().ok()?;
    let mut clock = parts.next()?.split(':').map(|part| part.parse::<u64>().ok());
    let (hours, minutes, seconds) = (clock.next()??, clock.next()??, clock.next()??);
    if parts.next() != Some("GMT") {
        return None;
    }
    unix_seconds([year, month, day, hours, minutes, seconds])
}

/// What an answer that is not 2xx means. Where `permanent` says so, a 4xx may mean that the bytes themselves are refused.
pub(crate) fn failure(answer: &Answer, permanent: bool) -> SendError {
    let said = words(&answer.body);
    let why = format!("the server answers {}{}{said}", answer.status, if said.is_empty() { "" } else { ": " });
    let blocked = |reason, hint: &str| SendError::blocked(reason, format!("{why}; {hint}"));
    let retry = |reason, doubtful| SendError::Retry {
        reason,
        why: why.clone(),
        after: answer.retry_after(),
        doubtful: doubtful && permanent,
    };
    match answer.status.as_u16() {
        429 => retry(Refusal::Throttled, false),
        408 | 425 | 502 | 503 | 504 | 507 | 509 => retry(Refusal::FailedStatus, false),
        401 | 402 | 403 | 407 | 511 => blocked(
            Refusal::DestinationUnauthorized,
            "check the token, and what stands between this device and the server",
        ),
        404 | 405 | 410 | 421 | 501 => blocked(
            Refusal::SignalNotTaken,
            "check the address and the protocol; a server that does not take this signal cannot be a destination",
        ),
        406 | 411 | 414 | 415 | 426 | 428 | 431 | 451 | 505 | 506 | 510 => {
            blocked(Refusal::RejectedStatus, "check the address and the protocol")
        }
        300..=399 => {
            let to = words(answer.header(header::LOCATION).as_bytes());
            blocked(
                Refusal::Redirected,
                &format!("it sends to '{to}', which is not followed; set the address to where it is"),
            )
        }
        413 if permanent => SendError::Rejected { reason: Refusal::TooLargeForDestination, why },
        400..=499 if permanent => SendError::Rejected { reason: Refusal::RejectedStatus, why },
        100..=499 => retry(Refusal::RejectedStatus, false),
        _ => retry(Refusal::FailedStatus, true),
    }
}

/// What a page means where no body is expected.
#[cfg(any(feature = "loki", feature = "remote-write"))]
pub(crate) fn no_answer(answer: &Answer) -> SendError {
    SendError::blocked(
        Refusal::NotAnExportResponse,
        format!(
            "the server answers {} with a page; nothing counts as delivered: is a portal or proxy in between, or is this another \
             server? {}",
            answer.status,
            words(&answer.body)
        ),
    )
}

/// What an answer with a status of success says. One that is no export response comes from something else: a captive portal, another
/// server. An empty body is one, unless its type says otherwise.
#[cfg(feature = "otlp-http")]
pub(crate) fn export_response(answer: &Answer) -> Result<PartialSuccess, SendError> {
    let stated = answer.header(header::CONTENT_TYPE);
    let essence = stated.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let odd = |what: &str| {
        let said = words(&answer.body);
        SendError::blocked(
            Refusal::NotAnExportResponse,
            format!(
                "the server answers {} with {what}, which is no OTLP answer; nothing counts as delivered: is a portal or proxy in \
                 between, or is this another server? {said}",
                answer.status
            ),
        )
    };
    match essence.as_str() {
        "" if answer.body.is_empty() => Ok(PartialSuccess::default()),
        "application/x-protobuf" | "" => partial_success(&answer.body).ok_or_else(|| odd("bytes that cannot be read")),
        "application/json" => json_partial(&answer.body).ok_or_else(|| odd("JSON that is none")),
        other => Err(odd(&words(other.as_bytes()))),
    }
}

/// Reads an export response; `None` when the bytes are none.
#[cfg(any(feature = "otlp-http", feature = "otlp-grpc"))]
pub(crate) fn partial_success(response: &[u8]) -> Option<PartialSuccess> {
    let mut partial = PartialSuccess::default();
    let mut reader = Reader::new(response);
    while let Some((number, value)) = reader.next_field().ok()? {
        let Value::Bytes(bytes) = value else {
            if number == 1 {
                return None;
            }
            continue;
        };
        if number != 1 {
            continue;
        }
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.next_field().ok()? {
            match (number, value) {
                // A negative number is none.
                (1, Value::Varint(rejected)) => {
                    partial.rejected = if rejected > i64::MAX as u64 { 0 } else { rejected }
                }
                (2, Value::Bytes(message)) => partial.message = words(message),
                (1 | 2, _) => return None,
                _ => {}
            }
        }
    }
    Some(partial)
}

/// The same of a server that answers in JSON whatever it is asked in. What it says is looked for, not parsed: its form is small.
#[cfg(feature = "otlp-http")]
fn json_partial(body: &[u8]) -> Option<PartialSuccess> {
    let text = std::str::from_utf8(body).ok()?.trim();
    if text.is_empty() {
        return Some(PartialSuccess::default());
    }
    if !(text.starts_with('{') && text.ends_with('}')) {
        return None;
    }
    let names = ["rejectedSpans", "rejectedLogRecords", "rejectedDataPoints"];
    let number = names.iter().find_map(|name| {
        let rest = text.split_once(&format!("\"{name}\""))?.1.trim_start().strip_prefix(':')?;
        let digits: String =
            rest.trim_start().trim_start_matches('"').chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    });
    Some(PartialSuccess {
        rejected: number.unwrap_or(0),
        message: if number.is_some() { words(body) } else { String::new() },
    })
}

#[cfg(feature = "otlp-http")]
#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &[u8]) -> Answer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Answer { status: StatusCode::from_u16(status).unwrap(), headers: map, body: body.to_vec() }
    }

    /// Scenario: every status from 300 to 599. Guarantees: only those that speak of the bytes reject them; what the specification
    /// calls retryable is; credentials, addresses and redirects wait for a person; nothing else is dropped (P3).
    #[test]
    fn d2_what_each_status_means() {
        let rejected = [400, 409, 412, 413, 416, 417, 418, 422, 423, 424];
        let blocked =
            [401, 402, 403, 404, 405, 406, 407, 410, 411, 414, 415, 421, 426, 428, 431, 451, 501, 505, 506, 510, 511];
        for status in 300..600 {
            let error = failure(&answer(status, &[], b"words"), true);
            match error {
                SendError::Rejected { .. } => assert!((400..500).contains(&status) && !blocked.contains(&status)),
                SendError::Blocked { .. } => assert!(status < 400 || blocked.contains(&status), "{status}"),
                SendError::Retry { doubtful, .. } => {
                    let sure = [408, 425, 429, 502, 503, 504, 507, 509].contains(&status);
                    assert!(sure || doubtful && status >= 500, "{status}");
                }
            }
            assert!(
                !rejected.contains(&status)
                    || matches!(failure(&answer(status, &[], b""), true), SendError::Rejected { .. })
            );
            // A hub refuses no bytes for good.
            assert!(!matches!(failure(&answer(status, &[], b""), false), SendError::Rejected { .. }));
        }
        assert_eq!(failure(&answer(413, &[], b""), true).reason(), Refusal::TooLargeForDestination);
        assert_eq!(failure(&answer(307, &[("location", "http://portal/")], b""), true).reason(), Refusal::Redirected);
    }

    /// Scenario: waits in seconds, in decades, as a date with and without the server's clock, and as nonsense. Guarantees: each is
    /// heard as it is meant (P3).
    #[test]
    fn d7_every_form_of_a_wait_is_heard() {
        let wish = |headers: &[(&'static str, &str)]| answer(503, headers, b"").retry_after();
        let seconds = |seconds| Some(RetryAfter::In(Duration::from_secs(seconds)));
        assert_eq!(wish(&[("retry-after", "7")]), seconds(7));
        assert_eq!(wish(&[("retry-after", "1795928527")]), seconds(1_795_928_527));
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(wish(&[("retry-after", date)]), Some(RetryAfter::At(784_111_777)));
        assert_eq!(wish(&[("retry-after", date), ("date", "Sun, 06 Nov 1994 08:49:00 GMT")]), seconds(37));
        assert_eq!(wish(&[("retry-after", date), ("date", "Sun, 06 Nov 1994 09:00:00 GMT")]), seconds(0));
        assert_eq!(http_date("Tue, 29 Feb 2000 00:00:00 GMT"), Some(951_782_400));
        assert_eq!(http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        for nonsense in
            ["", "-5", "soon", "Sun, 99 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 25:49:37 GMT", "Sun, 06 Nov"]
        {
            assert_eq!(wish(&[("retry-after", nonsense)]), None, "{nonsense}");
        }
    }

    /// Scenario: 200 with an empty body of no type and of the right one, a response with and without partial success, JSON; and with
    /// the page of a portal, an empty one, text, junk. Guarantees: only an export response is one (P3).
    #[test]
    fn d6_only_an_export_response_is_one() {
        let read = |kind: Option<&str>, body: &[u8]| {
            let headers: Vec<_> = kind.iter().map(|kind| ("content-type", *kind)).collect();
            export_response(&answer(200, &headers, body))
        };
        let protobuf = Some("application/x-protobuf");
        assert_eq!(read(None, b""), Ok(PartialSuccess::default()));
        assert_eq!(read(protobuf, b""), Ok(PartialSuccess::default()));
        let said = PartialSuccess { rejected: 3, message: "no".into() };
        assert_eq!(read(protobuf, b"\x0a\x06\x08\x03\x12\x02no"), Ok(said));
        assert_eq!(read(Some("Application/JSON; charset=utf-8"), b"{}"), Ok(PartialSuccess::default()));
        let json = br#"{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"no"}}"#;
        assert_eq!(read(Some("application/json"), json).unwrap().rejected, 2);
        for (kind, body) in [
            (Some("text/html"), &b"<html>log in</html>"[..]),
            (Some("text/html"), b""),
            (Some("text/plain"), b"ok"),
            (protobuf, b"<html>"),
            (protobuf, b"\x08\x01"),
            (None, b"junk"),
            (Some("application/json"), b"[1]"),
        ] {
            let error = read(kind, body).unwrap_err();
            assert!(
                matches!(error, SendError::Blocked { reason: Refusal::NotAnExportResponse, .. }),
                "{kind:?} {error}"
            );
        }
    }
}
