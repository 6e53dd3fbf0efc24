//! A body on its way in: as protobuf, and what of it can be taken.

use model::otlp::{Inspection, Pieces, SpanFacts, fits, inspect, inspect_spans, json};
use model::proto::ProtoError;
use model::{Refusal, RefusalCounts, Signal};

use crate::Form;

/// Why nothing of a body can be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The reason, as counters name it.
    pub reason: Refusal,
    /// What is wrong, for the producer.
    pub why: String,
}

/// The bytes of a request as protobuf; `most` is the largest that JSON may become.
///
/// # Errors
/// [`Unreadable`] where JSON is not OTLP's.
pub fn to_protobuf(signal: Signal, form: Form, body: &[u8], most: usize) -> Result<Option<Vec<u8>>, Unreadable> {
    match form {
        Form::Protobuf => Ok(None),
        Form::Json => json::to_protobuf(signal, body, most).map(Some).map_err(|error| match error {
            json::JsonError::TooLarge => {
                Unreadable { reason: Refusal::TooLarge, why: format!("as protobuf it is larger than {most} bytes") }
            }
            error => Unreadable { reason: Refusal::Malformed, why: format!("the body is not OTLP/JSON: {error}") },
        }),
    }
}

/// Looks at a request: what of it can be taken.
///
/// # Errors
/// [`Unreadable`] when it is no request of its signal.
pub fn look(signal: Signal, request: &[u8]) -> Result<Inspection, Unreadable> {
    told_apart(signal, request, inspect(signal, request))
}

/// Looks at a request as [`look`] does, and tells facts of its spans where it has some and all of it can be taken as it is.
///
/// # Errors
/// As [`look`].
pub fn look_for_facts(signal: Signal, request: &[u8]) -> Result<(Inspection, Option<SpanFacts>), Unreadable> {
    match signal {
        Signal::Traces => {
            let (found, facts) =
                inspect_spans(request).map_or_else(|error| (Err(error), None), |(found, facts)| (Ok(found), facts));
            told_apart(signal, request, found).map(|found| (found, facts))
        }
        _ => look(signal, request).map(|found| (found, None)),
    }
}

/// What was found, unless the request is one of another signal.
fn told_apart(signal: Signal, request: &[u8], found: Result<Inspection, ProtoError>) -> Result<Inspection, Unreadable> {
    let may_be_another = found.as_ref().map_or(true, |found| found.records == 0 && !request.is_empty());
    if may_be_another
        && let Some(other) = Signal::ALL.into_iter().find(|other| *other != signal && fits(*other, request))
    {
        let why = format!("this is a request of {}, sent where {} go", other.name(), signal.name());
        return Err(Unreadable { reason: Refusal::WrongSignal, why });
    }
    found.map_err(|error| Unreadable {
        reason: Refusal::Malformed,
        why: format!("the body is not an OTLP {} request: {error}", signal.name()),
    })
}

/// The request with what can be taken of it, mended; and what cannot.
///
/// # Errors
/// As [`look`].
pub fn take(signal: Signal, request: Vec<u8>, now_ns: u64) -> Result<(Vec<u8>, RefusalCounts), Unreadable> {
    let found = look(signal, &request)?;
    let rejected = found.rejected;
    // Requests one after the other are one request.
    let taken = if found.is_clean() { request } else { Pieces::new(signal, &request, now_ns).flatten().collect() };
    Ok((taken, rejected))
}
