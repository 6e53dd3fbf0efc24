//! Prometheus remote write 1.0 and 2.0, taken on the port of OTLP over HTTP.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;
use model::{Refusal, Signal};
use scrape::{Metadata, Written, WrittenError, WrittenForm, read_written};
use snap::raw::{Decoder, decompress_len};

use crate::asked::{Asked, Reply};
use crate::body::{Held, Share, collect, explain, no_room};
use crate::{Answer, Intake, Limits, SourceState};

/// Where it is taken, as by Prometheus.
pub(crate) const PATH: &str = "/api/v1/write";

/// What is known beside single requests.
pub struct RemoteWrite {
    state: Rc<SourceState>,
    metadata: RefCell<Metadata>,
    wall_ns: Rc<dyn Fn() -> u64>,
}

impl RemoteWrite {
    /// The most memory that is kept between requests, bytes.
    pub const BUDGET: u64 = Metadata::BYTES;

    /// Nothing is known yet.
    pub fn new(state: Rc<SourceState>, wall_ns: Rc<dyn Fn() -> u64>) -> Rc<Self> {
        Rc::new(Self { state, metadata: RefCell::default(), wall_ns })
    }

    /// Answers a request.
    pub(crate) async fn answer(&self, asked: &mut Asked<'_>, intake: &Intake) -> Reply {
        let refuse = |reason: Refusal, status: StatusCode, why: &str| {
            asked.limits.count(reason);
            self.state.error(reason.as_str(), 1, why);
            reply(status, why)
        };
        if asked.head.method != Method::POST {
            return refuse(Refusal::MethodNotAllowed, StatusCode::METHOD_NOT_ALLOWED, "use POST");
        }
        if asked.head.headers.contains_key(header::ORIGIN) {
            return refuse(Refusal::OriginNotAllowed, StatusCode::FORBIDDEN, "web pages may not write metrics");
        }
        let Some(form) = form(asked.text(header::CONTENT_TYPE)) else {
            let why = "content-type must be application/x-protobuf, alone or with \
                       proto=prometheus.WriteRequest or proto=io.prometheus.write.v2.Request";
            return refuse(Refusal::UnsupportedContentType, StatusCode::UNSUPPORTED_MEDIA_TYPE, why);
        };
        if !asked.list(header::CONTENT_ENCODING).eq_ignore_ascii_case("snappy") {
            let why = "content-encoding must be snappy";
            return refuse(Refusal::UnsupportedEncoding, StatusCode::UNSUPPORTED_MEDIA_TYPE, why);
        }
        let read = match asked.body.take() {
            Some(body) => collect(body, 0, 0, asked.limits, |_| None).await,
            None => Err(Refusal::CutOff),
        };
        asked.unread = read.is_err();
        let (written, share) = match read.map_err(Fault::of).and_then(|body| self.read(&body, form, asked.limits)) {
            Ok(read) => read,
            Err(Fault { reason, why }) => {
                asked.limits.count(reason);
                let why = if why.is_empty() { explain(reason, asked.limits) } else { why };
                self.state.error(reason.as_str(), 1, &why);
                let status = match reason {
                    Refusal::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                    Refusal::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
                    Refusal::TooSlow | Refusal::CutOff => StatusCode::REQUEST_TIMEOUT,
                    _ => StatusCode::BAD_REQUEST,
                };
                return counted(reply(status, &why), form, &Written::default());
            }
        };
        self.hand_over(written, share, form, intake).await
    }

    /// Inflates and reads a message; the request comes with its share of all bodies.
    fn read(&self, body: &Held, form: WrittenForm, limits: &Rc<Limits>) -> Result<(Written, Share), Fault> {
        let length = decompress_len(body.bytes()).map_err(|_| Fault::of(Refusal::Undecodable))?;
        if length > limits.settings.max_request {
            return Err(Fault::of(Refusal::TooLarge));
        }
        let mut inflated = Share::new(limits);
        if !inflated.resize(length) {
            return Err(Fault::of(no_room(limits, body.share())));
        }
        let mut message = vec![0; length];
        let inflate = Decoder::new().decompress(body.bytes(), &mut message);
        inflate.map_err(|_| Fault::of(Refusal::Undecodable))?;
        let mut share = Share::new(limits);
        let mut metadata = self.metadata.borrow_mut();
        match read_written(&message, form, &mut metadata, |bytes| share.resize(bytes)) {
            Ok(written) => {
                share.resize(written.request.capacity());
                Ok((written, share))
            }
            Err(WrittenError::NoRoom) => Err(Fault::of(no_room(limits, body.share() + length))),
            Err(WrittenError::Malformed(why)) => {
                Err(Fault { reason: Refusal::Malformed, why: format!("the body is no remote write message: {why}") })
            }
        }
    }

    async fn hand_over(&self, mut written: Written, share: Share, form: WrittenForm, intake: &Intake) -> Reply {
        let taken = written.samples + written.histograms;
        if written.lone_exemplars > 0 {
            let why = "exemplars whose series has no sample in the same message";
            self.state.error("lone_exemplar", written.lone_exemplars, why);
        }
        if written.refused > 0 {
            self.state.error("refused_sample", written.refused, written.why);
        }
        let body = std::mem::take(&mut written.request);
        let answer = match body.is_empty() {
            true => Answer::Accepted,
            false => intake(crate::Request { signal: Signal::Metrics, body, key: None }, None, share).await,
        };
        let why = written.why;
        match answer {
            Answer::Accepted => {
                self.state.took(taken, (self.wall_ns)());
                // What is left out would be again: the sender is told not to try.
                let reply = match written.refused {
                    0 => reply(StatusCode::NO_CONTENT, ""),
                    refused => reply(StatusCode::BAD_REQUEST, &format!("{refused} samples are left out: {why}")),
                };
                counted(reply, form, &written)
            }
            Answer::Partial { rejected, why } => {
                self.state.took(taken.saturating_sub(rejected), (self.wall_ns)());
                self.state.error("rejected", rejected, &why);
                // Which ones is not known: of numbers first, since nearly all are.
                let numbers = rejected.min(written.samples);
                written.samples -= numbers;
                written.histograms = written.histograms.saturating_sub(rejected - numbers);
                counted(reply(StatusCode::BAD_REQUEST, &why), form, &written)
            }
            Answer::Wait(delay) => {
                let mut reply =
                    reply(StatusCode::SERVICE_UNAVAILABLE, "no room now; send the same again after Retry-After");
                reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(delay.as_secs().max(1)));
                counted(reply, form, &Written::default())
            }
            Answer::Bad(why) | Answer::Conflict(why) => {
                self.state.error("rejected", taken, &why);
                counted(reply(StatusCode::BAD_REQUEST, &why), form, &Written::default())
            }
        }
    }
}

/// Why nothing is taken; without words of its own those of the reason.
struct Fault {
    reason: Refusal,
    why: String,
}

impl Fault {
    fn of(reason: Refusal) -> Self {
        Self { reason, why: String::new() }
    }
}

/// Which message a content type announces.
fn form(content_type: &str) -> Option<WrittenForm> {
    let mut parts = content_type.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case("application/x-protobuf") {
        return None;
    }
    match parts.find_map(|part| part.strip_prefix("proto=")) {
        None | Some("prometheus.WriteRequest") => Some(WrittenForm::V1),
        Some("io.prometheus.write.v2.Request") => Some(WrittenForm::V2),
        Some(_) => None,
    }
}

fn reply(status: StatusCode, why: &str) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(why.to_owned())));
    *reply.status_mut() = status;
    reply
}

/// The same with what was written, which senders of 2.0 ask for.
fn counted(mut reply: Reply, form: WrittenForm, written: &Written) -> Reply {
    if form == WrittenForm::V2 {
        let headers: &mut HeaderMap = reply.headers_mut();
        for (name, count) in [
            ("x-prometheus-remote-write-samples-written", written.samples),
            ("x-prometheus-remote-write-histograms-written", written.histograms),
            ("x-prometheus-remote-write-exemplars-written", written.exemplars),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(count));
        }
    }
    reply
}
