//! OTLP over HTTP/1.1 with protobuf and JSON bodies (OTLP 1.11, "OTLP/HTTP").

use std::cell::Cell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use model::{Refusal, Signal};
use tokio::net::{TcpListener, TcpStream};

use crate::body::{Held, collect, explain, no_room};
use crate::cors::Cors;
use crate::places::{Place, told};
use crate::watch::{Begin, Watched, accept, linger, watch};
use crate::{Answer, Intake, Limits, idempotency_key};
use otlp::answer::{Code, accepted, partial, status};
use otlp::intake::to_protobuf;
use otlp::{Form, coding};

const BUFFER: usize = 16 << 10;
/// How long a producer without a place is told to wait.
const COME_BACK: Duration = Duration::from_secs(5);

type Reply = Response<Full<Bytes>>;

/// Serves for ever.
pub async fn serve(listener: TcpListener, intake: Intake, limits: Rc<Limits>) {
    loop {
        let (stream, place) = accept(&listener, &limits.places).await;
        tokio::task::spawn_local(connection(stream, place, Rc::clone(&intake), Rc::clone(&limits)));
    }
}

async fn connection(stream: TcpStream, place: Place, intake: Intake, limits: Rc<Limits>) {
    let stream = Watched::new(stream);
    let clock = stream.clock();
    let place = Rc::new(place);
    // Whether an answer went out before its request's body was read.
    let early = Rc::new(Cell::new(false));
    let service = {
        let (place, early, clock) = (Rc::clone(&place), Rc::clone(&early), clock.clone());
        service_fn(move |request: Request<Incoming>| {
            let (intake, limits, early) = (Rc::clone(&intake), Rc::clone(&limits), Rc::clone(&early));
            let clock = clock.clone();
            clock.head_is_there();
            let working = Rc::new(place.work());
            let intake = told(intake, &working);
            let full = place.is_full();
            let answer = async move {
                let (head, body) = request.into_parts();
                let unread = !body.is_end_stream();
                let mut asked = Asked { head, body: Some(body), limits: &limits, unread };
                let mut reply = if full { no_place(&asked) } else { asked.answer(&intake).await };
                if asked.unread || full {
                    early.set(asked.unread);
                    reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                drop(working);
                clock.head_is_there();
                Ok::<_, Infallible>(reply)
            };
            Box::pin(answer) as Pin<Box<dyn Future<Output = Result<Reply, Infallible>>>>
        })
    };
    let mut connection =
        hyper::server::conn::http1::Builder::new().max_buf_size(BUFFER).serve_connection(TokioIo::new(stream), service);
    let run = std::future::poll_fn(|context| connection.poll_without_shutdown(context));
    // A producer that goes away in the middle loses nothing but its answer.
    let ended = watch(run, |_| false, &clock, &place, Begin::Head).await;
    // What is no HTTP is answered, too.
    if ended.is_some_and(|ended| early.get() || ended.is_err()) {
        linger(connection.into_parts().io.into_inner(), &place).await;
    }
}

/// A request, and what is known of its answer.
struct Asked<'l> {
    head: http::request::Parts,
    body: Option<Incoming>,
    limits: &'l Rc<Limits>,
    /// Whether its body was not read to its end.
    unread: bool,
}

impl Asked<'_> {
    fn text(&self, name: header::HeaderName) -> &str {
        self.head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// All values of a header that is a list.
    fn list(&self, name: header::HeaderName) -> String {
        let values = self.head.headers.get_all(name).iter();
        values.map(|value| value.to_str().unwrap_or("?")).collect::<Vec<_>>().join(",")
    }

    /// The form of an answer.
    fn form(&self) -> Form {
        Form::of(self.text(header::CONTENT_TYPE)).unwrap_or(Form::Protobuf)
    }

    async fn answer(&mut self, intake: &Intake) -> Reply {
        let cors = self.limits.settings.cors.as_ref();
        let origin = cors.and_then(|cors| cors.allowed(&self.head.headers)).cloned();
        let mut reply = match (&self.head.method, cors, &origin) {
            (&Method::OPTIONS, Some(cors), Some(_)) if signal(self.head.uri.path()).is_some() => {
                let mut reply = Response::new(Full::default());
                *reply.status_mut() = StatusCode::NO_CONTENT;
                cors.permit(reply.headers_mut());
                reply
            }
            _ => self.export(intake, origin.is_some()).await,
        };
        if let Some(origin) = origin {
            Cors::mark(reply.headers_mut(), origin);
        }
        reply
    }

    /// `allowed`: whether it comes from a page that may send.
    async fn export(&mut self, intake: &Intake, allowed: bool) -> Reply {
        let form = self.form();
        let count = |reason| self.limits.count(reason);
        let Some(signal) = signal(self.head.uri.path()) else {
            count(Refusal::UnknownPath);
            let hint = "no such path; OTLP/HTTP is served at /v1/traces, /v1/logs and /v1/metrics";
            return refusal(form, StatusCode::NOT_FOUND, Code::Unimplemented, hint, None);
        };
        if self.head.method != Method::POST {
            count(Refusal::MethodNotAllowed);
            let mut reply = refusal(form, StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, "use POST", None);
            let allow = if self.limits.settings.cors.is_some() { "POST, OPTIONS" } else { "POST" };
            reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
            return reply;
        }
        // Only browsers send it: for a page that may not, or one that points a name of its own at this address.
        if !allowed && self.head.headers.contains_key(header::ORIGIN) {
            count(Refusal::OriginNotAllowed);
            let hint = "web pages may send only where sources.otlp.cors names their origin";
            return refusal(form, StatusCode::FORBIDDEN, Code::InvalidArgument, hint, None);
        }
        if Form::of(self.text(header::CONTENT_TYPE)).is_none() {
            count(Refusal::UnsupportedContentType);
            let hint = "content-type must be application/x-protobuf or application/json";
            let mut reply = refusal(form, StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, hint, None);
            let accept = HeaderValue::from_static("application/x-protobuf, application/json");
            reply.headers_mut().insert(header::ACCEPT, accept);
            return reply;
        }
        let key = idempotency_key(&self.head.headers);
        let held = match self.body(signal, form).await {
            Ok(held) => held,
            Err((reason, why)) => {
                self.limits.count(reason);
                return body_refusal(form, reason, &why);
            }
        };
        let (body, share) = held.into_parts();
        match intake(crate::Request { signal, body, key }, None, share).await {
            Answer::Accepted => with_body(form, accepted(form)),
            Answer::Partial { rejected, why } => with_body(form, partial(form, signal, rejected, &why)),
            Answer::Wait(delay) => refusal(
                form,
                StatusCode::SERVICE_UNAVAILABLE,
                Code::Unavailable,
                "no room now; send the same request again after Retry-After",
                Some(delay),
            ),
            Answer::Bad(why) => refusal(form, StatusCode::BAD_REQUEST, Code::InvalidArgument, &why, None),
            Answer::Conflict(why) => refusal(form, StatusCode::UNPROCESSABLE_ENTITY, Code::InvalidArgument, &why, None),
        }
    }

    /// Reads the body: inflated, as protobuf.
    async fn body(&mut self, signal: Signal, form: Form) -> Result<Held, (Refusal, String)> {
        let limits = self.limits;
        let fail = |reason| (reason, explain(reason, limits));
        let encoding = self.list(header::CONTENT_ENCODING);
        let Some(body) = self.body.take() else { return Err(fail(Refusal::CutOff)) };
        let held = collect(body, 0, 0, limits, |_| None).await;
        self.unread = held.is_err();
        let held = coding::undo(&encoding, held.map_err(fail)?).map_err(fail)?;
        let most = limits.settings.max_request.min(limits.room());
        match to_protobuf(signal, form, held.bytes(), most) {
            Ok(None) => Ok(held),
            Ok(Some(bytes)) => Held::of(bytes, limits).map_err(fail),
            Err(error) if error.reason == Refusal::TooLarge && most < limits.settings.max_request => {
                Err(fail(no_room(limits, held.share())))
            }
            Err(error) if error.reason == Refusal::TooLarge => Err(fail(Refusal::TooLarge)),
            Err(error) => Err((error.reason, error.why)),
        }
    }
}

fn signal(path: &str) -> Option<Signal> {
    Some(match path {
        "/v1/traces" => Signal::Traces,
        "/v1/logs" => Signal::Logs,
        "/v1/metrics" => Signal::Metrics,
        _ => return None,
    })
}

fn no_place(asked: &Asked<'_>) -> Reply {
    let why = "all connections are in use; send the same request again after Retry-After";
    refusal(asked.form(), StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, why, Some(COME_BACK))
}

fn body_refusal(form: Form, reason: Refusal, why: &str) -> Reply {
    let (http, code, retry) = match reason {
        Refusal::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted, None),
        Refusal::NoRoom => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, Some(Duration::from_secs(1))),
        Refusal::TooSlow | Refusal::CutOff => (StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded, None),
        Refusal::UnsupportedEncoding => (StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, None),
        _ => (StatusCode::BAD_REQUEST, Code::InvalidArgument, None),
    };
    let mut reply = refusal(form, http, code, why, retry);
    if reason == Refusal::UnsupportedEncoding {
        reply.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static(coding::ACCEPTED));
    }
    reply
}

fn with_body(form: Form, body: Vec<u8>) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(body)));
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(form.name()));
    reply
}

fn refusal(form: Form, http: StatusCode, code: Code, why: &str, retry: Option<Duration>) -> Reply {
    let mut reply = with_body(form, status(form, code, why, retry));
    *reply.status_mut() = http;
    if let Some(delay) = retry {
        let headers: &mut HeaderMap = reply.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from(delay.as_secs().max(1)));
    }
    reply
}
