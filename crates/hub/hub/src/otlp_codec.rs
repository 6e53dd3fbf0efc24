//! The hub's side of OTLP's protocol: bodies under one limit, refusals in its own words.

use axum::http::{HeaderMap, HeaderName, header};
use model::{Refusal as Reason, RefusalCounts, Signal};
use otlp::answer::Code;
use otlp::coding::{self, Buffer};
use otlp::intake::{Unreadable, take, to_protobuf};
use otlp::{Form, answer};

use crate::refusal::Refusal;

/// Largest request at any step of its codings.
pub(crate) const MAX_INFLATED: usize = 16 << 20;

/// The form of a request, by `content-type`.
pub(crate) fn form(headers: &HeaderMap) -> Result<Form, Refusal> {
    let name = text(headers, header::CONTENT_TYPE);
    let wrong = || format!("content-type is `{name}`; this hub reads application/x-protobuf and application/json");
    Form::of(&name).ok_or_else(|| Refusal::MediaType(Reason::UnsupportedContentType, wrong()))
}

/// The codings of a request, as `content-encoding` lists them.
pub(crate) fn codings(headers: &HeaderMap) -> String {
    text(headers, header::CONTENT_ENCODING)
}

fn text(headers: &HeaderMap, name: HeaderName) -> String {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.collect::<Vec<_>>().join(",")
}

/// A body of at most [`MAX_INFLATED`] bytes at any step.
struct Inflated(Vec<u8>);

impl Buffer for Inflated {
    fn empty(&self) -> Self {
        Self(Vec::new())
    }

    fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn append(&mut self, data: &[u8], _beside: &Self) -> Result<(), Reason> {
        if self.0.len() + data.len() > MAX_INFLATED {
            return Err(Reason::TooLarge);
        }
        self.0.extend_from_slice(data);
        Ok(())
    }

    fn room(&self) -> (usize, Reason) {
        (MAX_INFLATED, Reason::TooLarge)
    }

    fn adopt(&self, bytes: Vec<u8>) -> Result<Self, Reason> {
        Ok(Self(bytes))
    }
}

/// Reads a request: what of it is taken, and what is not. Records that cannot be taken cost only themselves.
pub(crate) fn read(
    signal: Signal,
    form: Form,
    codings: &str,
    body: &[u8],
    now_ns: u64,
) -> Result<(Vec<u8>, RefusalCounts), Refusal> {
    let inflated = coding::undo(codings, Inflated(body.to_vec())).map_err(|reason| match reason {
        Reason::TooLarge => Refusal::TooLarge { limit: MAX_INFLATED },
        Reason::UnsupportedEncoding => {
            let what = format!("content-encoding is `{codings}`; this hub reads {}", coding::ACCEPTED);
            Refusal::MediaType(Reason::UnsupportedEncoding, what)
        }
        Reason::NoRoom => Refusal::Busy(Reason::NoRoom, "too many requests are in memory".into()),
        _ => Refusal::Malformed(format!("the body is not what its encoding `{codings}` says, or is cut off")),
    })?;
    let unreadable = |error: Unreadable| match error.reason {
        Reason::TooLarge => Refusal::TooLarge { limit: MAX_INFLATED },
        Reason::Malformed => Refusal::Malformed(error.why),
        reason => Refusal::Bad(reason, error.why),
    };
    let request = to_protobuf(signal, form, &inflated.0, MAX_INFLATED).map_err(unreadable)?.unwrap_or(inflated.0);
    take(signal, request, now_ns).map_err(unreadable)
}

/// The body of an answer to a request that was taken, whole or in part.
pub(crate) fn taken(signal: Signal, form: Form, rejected: &RefusalCounts) -> Vec<u8> {
    match rejected.total() {
        0 => answer::accepted(form),
        count => answer::partial(form, signal, count, &answer::why_rejected(rejected)),
    }
}

/// The body of an error.
pub(crate) fn refused(form: Form, refusal: &Refusal) -> Vec<u8> {
    let code = match refusal.status() {
        401 => Code::Unauthenticated,
        408 => Code::DeadlineExceeded,
        413 | 429 => Code::ResourceExhausted,
        503 => Code::Unavailable,
        _ => Code::InvalidArgument,
    };
    answer::status(form, code, &refusal.to_string(), None)
}
