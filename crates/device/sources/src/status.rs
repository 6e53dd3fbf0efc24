//! `google.rpc.Status` and `partial_success`: what answers carry besides "taken".

use std::time::Duration;

use model::Signal;
use model::proto::{put_bytes, put_message, put_uint};

/// The codes of `google.rpc.Code` that the sources use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Code {
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
}

/// The bytes of a `Status`, with `RetryInfo` where the producer is to come back.
pub(crate) fn status(code: Code, message: &str, retry: Option<Duration>) -> Vec<u8> {
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

/// The same as JSON.
pub(crate) fn status_json(code: Code, message: &str) -> Vec<u8> {
    let mut out = format!("{{\"code\":{},\"message\":", code as u64);
    text(&mut out, message);
    out.push('}');
    out.into_bytes()
}

/// The export response of a request of which some records are not taken.
pub(crate) fn partial(rejected: u64, why: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put_message(&mut out, 1, |out| {
        put_uint(out, 1, rejected);
        put_bytes(out, 2, why.as_bytes());
    });
    out
}

/// The same as JSON; 64-bit numbers are texts there.
pub(crate) fn partial_json(signal: Signal, rejected: u64, why: &str) -> Vec<u8> {
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
