//! OTLP requests as bytes: content codings, JSON and protobuf, what of them is taken, and the answers in the request's own
//! form (OTLP 1.11, "OTLP/HTTP").

use std::io::Read;

use axum::http::{HeaderMap, HeaderName, header};
use model::otlp::{Pieces, fits, inspect, json};
use model::{Refusal as Reason, RefusalCounts, Signal};
use prost::Message;
use serde_json::json;

use crate::refusal::Refusal;

/// Largest request at any step of its codings.
pub(crate) const MAX_INFLATED: usize = 16 << 20;
/// More codings than this on one body are nobody's wish.
const MOST_CODINGS: usize = 3;

/// In what form a request came: its answer has the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Protobuf,
    Json,
}

impl Form {
    /// The media type of the answer.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Form::Protobuf => "application/x-protobuf",
            Form::Json => "application/json",
        }
    }

    /// By `content-type`, without regard to case (RFC 9110 section 8.3.1).
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let whole = text(headers, header::CONTENT_TYPE);
        let media_type = whole.split(';').next().unwrap_or_default().trim();
        match media_type.to_ascii_lowercase().as_str() {
            "application/x-protobuf" | "application/protobuf" => Ok(Form::Protobuf),
            "application/json" => Ok(Form::Json),
            _ => Err(Refusal::MediaType(
                Reason::UnsupportedContentType,
                format!("content-type is `{media_type}`; this hub reads application/x-protobuf and application/json"),
            )),
        }
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> String {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.collect::<Vec<_>>().join(",")
}

/// The codings of a body, in the order in which they were applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Codings(Vec<Coding>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Zstd,
}

impl Codings {
    /// By `content-encoding`: names without regard to case, several of them (RFC 9110 section 8.4).
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let list = text(headers, header::CONTENT_ENCODING).to_ascii_lowercase();
        let wrong = || {
            let what = format!("content-encoding is `{list}`; this hub reads gzip, zstd, deflate and identity");
            Refusal::MediaType(Reason::UnsupportedEncoding, what)
        };
        let mut codings = Vec::new();
        for name in list.split(',') {
            match name.trim() {
                "" | "identity" | "none" => {}
                "gzip" | "x-gzip" => codings.push(Coding::Gzip),
                "deflate" | "zlib" => codings.push(Coding::Deflate),
                "zstd" => codings.push(Coding::Zstd),
                _ => return Err(wrong()),
            }
        }
        if codings.len() > MOST_CODINGS { Err(wrong()) } else { Ok(Self(codings)) }
    }

    /// Undoes them, the last one first; never more than [`MAX_INFLATED`] at any step.
    pub(crate) fn undo(&self, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        let mut bytes = body.to_vec();
        for coding in self.0.iter().rev() {
            bytes = match coding {
                Coding::Gzip => copy(flate2::read::MultiGzDecoder::new(&*bytes))?,
                // The name means zlib; some senders leave its two bytes out (RFC 9110 section 8.4.1.2).
                Coding::Deflate if is_zlib(&bytes) => copy(flate2::read::ZlibDecoder::new(&*bytes))?,
                Coding::Deflate => copy(flate2::read::DeflateDecoder::new(&*bytes))?,
                Coding::Zstd => {
                    let mut inflater = wire::Inflater::new();
                    match inflater.inflate(&bytes, MAX_INFLATED) {
                        Ok(_) => inflater.into_output(),
                        Err(wire::InflateError::Corrupt { .. }) => {
                            return Err(Refusal::Malformed("the body is not zstd".into()));
                        }
                        Err(_) => return Err(Refusal::TooLarge { limit: MAX_INFLATED }),
                    }
                }
            };
        }
        Ok(bytes)
    }
}

/// CMF and FLG of RFC 1950.
fn is_zlib(bytes: &[u8]) -> bool {
    matches!(bytes, [cmf, flags, ..] if cmf & 0x0f == 8 && (u16::from(*cmf) << 8 | u16::from(*flags)) % 31 == 0)
}

fn copy(from: impl Read) -> Result<Vec<u8>, Refusal> {
    let mut inflated = Vec::new();
    from.take(MAX_INFLATED as u64 + 1)
        .read_to_end(&mut inflated)
        .map_err(|error| Refusal::Malformed(format!("the body cannot be inflated: {error}")))?;
    if inflated.len() > MAX_INFLATED { Err(Refusal::TooLarge { limit: MAX_INFLATED }) } else { Ok(inflated) }
}

/// What of a request is taken, as a request, and what is not.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) request: Vec<u8>,
    pub(crate) rejected: RefusalCounts,
}

/// Reads a request: records that cannot be taken cost only themselves.
pub(crate) fn read(signal: Signal, form: Form, body: Vec<u8>, now_ns: u64) -> Result<Taken, Refusal> {
    let request = match form {
        Form::Protobuf => body,
        Form::Json => json::to_protobuf(signal, &body, MAX_INFLATED).map_err(|error| match error {
            json::JsonError::TooLarge => Refusal::TooLarge { limit: MAX_INFLATED },
            error => Refusal::Malformed(error.to_string()),
        })?,
    };
    let found = inspect(signal, &request)
        .map_err(|error| wrong_signal(signal, &request).unwrap_or_else(|| Refusal::Malformed(error.to_string())))?;
    if found.records == 0
        && !request.is_empty()
        && let Some(refusal) = wrong_signal(signal, &request)
    {
        return Err(refusal);
    }
    let rejected = found.rejected;
    if found.is_clean() {
        return Ok(Taken { request, rejected });
    }
    // Requests one after the other are one request.
    Ok(Taken { request: Pieces::new(signal, &request, now_ns).flatten().collect(), rejected })
}

/// Says of which signal a request is that does not fit where it was sent.
fn wrong_signal(sent_to: Signal, request: &[u8]) -> Option<Refusal> {
    let other = Signal::ALL.into_iter().find(|other| *other != sent_to && fits(*other, request))?;
    let what = format!("this is a request of {}, sent where {} go", other.name(), sent_to.name());
    Some(Refusal::Bad(Reason::WrongSignal, what))
}

/// The reasons in words, for `error_message` and the log.
pub(crate) fn why(rejected: &RefusalCounts) -> String {
    let each = rejected.iter().filter(|(_, count)| *count > 0).map(|(reason, count)| format!("{count} {reason}"));
    format!("rejected: {}", each.collect::<Vec<_>>().join(", "))
}

/// `Export*PartialSuccess`: all signals have these two fields.
#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// `Export*ServiceResponse`.
#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

/// The body of an answer to a request that was taken, whole or in part.
pub(crate) fn taken(signal: Signal, form: Form, rejected: &RefusalCounts) -> Vec<u8> {
    let is_whole = rejected.total() == 0;
    let rejected_name = match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Logs => "rejectedLogRecords",
        Signal::Metrics => "rejectedDataPoints",
    };
    match form {
        Form::Json if is_whole => b"{}".to_vec(),
        Form::Json => {
            let partial = json!({rejected_name: rejected.total().to_string(), "errorMessage": why(rejected)});
            json!({"partialSuccess": partial}).to_string().into_bytes()
        }
        Form::Protobuf => {
            let rejected_count = i64::try_from(rejected.total()).unwrap_or(i64::MAX);
            let partial = PartialSuccess { rejected: rejected_count, error_message: why(rejected) };
            Response { partial_success: (!is_whole).then_some(partial) }.encode_to_vec()
        }
    }
}

/// `google.rpc.Status`, the body of every OTLP error.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// gRPC's code for an HTTP status, as OTLP/HTTP errors carry it.
fn grpc_code(status: u16) -> i32 {
    match status {
        401 => 16,
        408 => 4,
        413 | 429 => 8,
        503 => 14,
        _ => 3,
    }
}

/// The body of an error.
pub(crate) fn refused(form: Form, refusal: &Refusal) -> Vec<u8> {
    let status = Status { code: grpc_code(refusal.status()), message: refusal.to_string() };
    match form {
        Form::Protobuf => status.encode_to_vec(),
        Form::Json => json!({"code": status.code, "message": status.message}).to_string().into_bytes(),
    }
}
