//! What answers say: the export response with its `partial_success`, and `google.rpc.Status`, in the request's form (OTLP 1.11,
//! "OTLP/HTTP Response").

use std::time::Duration;

use model::proto::{put_bytes, put_message, put_uint};
use model::{RefusalCounts, Signal};

use crate::Form;

/// The codes of `google.rpc.Code` that answers use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "google.rpc.Code says what they mean")]
pub enum Code {
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

/// The body of an error: a `Status`, with `RetryInfo` where the producer is to come back (JSON leaves that to `Retry-After`).
pub fn status(form: Form, code: Code, message: &str, retry: Option<Duration>) -> Vec<u8> {
    if form == Form::Json {
        let mut out = format!("{{\"code\":{},\"message\":", code as u64);
        text(&mut out, message);
        out.push('}');
        return out.into_bytes();
    }
    let mut out = Vec::new();
    put_uint(&mut out, 1, code as u64);
    put_bytes(&mut out, 2, message.as_bytes());
    if let Some(delay) = retry {
        put_message(&mut out, 3, |out| {
            put_bytes(out, 1, b"type.googleapis.com/google.rpc.RetryInfo");
            put_message(out, 2, |out| {
                put_message(out, 1, |out| {
                    put_uint(out, 1, delay.as_secs());
                    put_uint(out, 2, u64::from(delay.subsec_nanos()));
                });
            });
        });
    }
    out
}

/// The export response to a request that is taken whole.
pub fn accepted(form: Form) -> Vec<u8> {
    match form {
        Form::Protobuf => Vec::new(),
        Form::Json => b"{}".to_vec(),
    }
}

/// The export response to a request of which some records are not taken; JSON writes 64-bit numbers as texts.
pub fn partial(form: Form, signal: Signal, rejected: u64, why: &str) -> Vec<u8> {
    if form == Form::Protobuf {
        let mut out = Vec::new();
        put_message(&mut out, 1, |out| {
            put_uint(out, 1, rejected);
            put_bytes(out, 2, why.as_bytes());
        });
        return out;
    }
    let name = match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Logs => "rejectedLogRecords",
        Signal::Metrics => "rejectedDataPoints",
    };
    let mut out = format!("{{\"partialSuccess\":{{\"{name}\":\"{rejected}\",\"errorMessage\":");
    text(&mut out, why);
    out.push_str("}}");
    out.into_bytes()
}

/// The reasons of rejected records in words, for `error_message` and logs.
pub fn why_rejected(rejected: &RefusalCounts) -> String {
    let reasons: Vec<_> = rejected.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    format!("records that are not valid are not taken: {}", reasons.join(", "))
}

/// A JSON string (RFC 8259 section 7).
fn text(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                out.push('\\');
                out.push(character);
            }
            control if control < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: words with quotes, backslashes, line breaks and letters of other scripts, in an error and in a partial success.
    /// Guarantees: the JSON form parses and says the same; protobuf's form of a request that was taken whole is empty.
    #[test]
    fn i5_json_answers_are_json() {
        let words = "a \"b\" \\ c\n\u{1} \u{e9}";
        let error: serde_json::Value =
            serde_json::from_slice(&status(Form::Json, Code::Unavailable, words, None)).unwrap();
        assert_eq!((&error["code"], &error["message"]), (&14.into(), &words.into()));
        for (signal, name) in [
            (Signal::Traces, "rejectedSpans"),
            (Signal::Logs, "rejectedLogRecords"),
            (Signal::Metrics, "rejectedDataPoints"),
        ] {
            let taken: serde_json::Value =
                serde_json::from_slice(&partial(Form::Json, signal, 1 << 60, words)).unwrap();
            assert_eq!(taken["partialSuccess"][name], (1_u64 << 60).to_string());
            assert_eq!(taken["partialSuccess"]["errorMessage"], words);
        }
        assert_eq!((accepted(Form::Protobuf), accepted(Form::Json)), (Vec::new(), b"{}".to_vec()));
    }
}
