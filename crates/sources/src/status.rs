//! `google.rpc.Status`, as the body of OTLP/HTTP errors and the details of gRPC ones.

use std::time::Duration;

use model::proto::{put_bytes, put_message, put_uint};

/// The codes of `google.rpc.Code` that the sources use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Code {
    InvalidArgument = 3,
    ResourceExhausted = 8,
    Unimplemented = 12,
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
