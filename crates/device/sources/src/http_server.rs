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

use crate::asked::{Asked, Reply};
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

/// What is taken beside OTLP.
#[derive(Clone, Default)]
pub struct Beside {
    /// Remote write, where it is taken.
    #[cfg(feature = "remote-write")]
    pub remote_write: Option<Rc<crate::RemoteWrite>>,
}

/// Serves for ever.
pub async fn serve(listener: TcpListener, intake: Intake, limits: Rc<Limits>, beside: Beside) {
    loop {
        let (stream, place) = accept(&listener, &limits.places).await;
        tokio::task::spawn_local(connection(stream, place, Rc::clone(&intake), Rc::clone(&limits), beside.clone()));
    }
}

async fn connection(stream: TcpStream, place: Place, intake: Intake, limits: Rc<Limits>, beside: Beside) {
    let stream = Watched::new(stream);
    let clock = stream.clock();
    let place = Rc::new(place);
    // Whether an answer went out before its request's body was read.
    let early = Rc::new(Cell::new(false));
    let service = {
        let (place, early, clock) = (Rc::clone(&place), Rc::clone(&early), clock.clone());
        service_fn(move |request: Request<Incoming>| {
            let (intake, limits, early) = (Rc::clone(&intake), Rc::clone(&limits), Rc::clone(&early));
            let (clock, beside) = (clock.clone(), beside.clone());
            clock.head_is_there();
            let working = Rc::new(place.work());
            let intake = told(intake, &working);
            let full = place.is_full();
            let answer = async move {
                let (head, body) = request.into_parts();
                let unread = !body.is_end_stream();
                let mut asked = Asked { head, body: Some(body), limits: &limits, unread };
                let mut reply = if full { no_place(&asked) } else { answer(&mut asked, &intake, &beside).await };
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

/// The form of an answer.
fn form(asked: &Asked<'_>) -> Form {
    Form::of(asked.text(header::CONTENT_TYPE)).unwrap_or(Form::Protobuf)
}

#[cfg_attr(not(feature = "remote-write"), allow(unused_variables, reason = "this build takes nothing beside"))]
async fn answer(asked: &mut Asked<'_>, intake: &Intake, beside: &Beside) -> Reply {
    #[cfg(feature = "remote-write")]
    if let Some(remote_write) =
        beside.remote_write.as_ref().filter(|_| asked.head.uri.path() == crate::remote_write::PATH)
    {
        // Of its own: its state is not part of every request's.
        return Box::pin(remote_write.answer(asked, intake)).await;
    }
    let cors = asked.limits.settings.cors.as_ref();
    let origin = cors.and_then(|cors| cors.allowed(&asked.head.headers)).cloned();
    let mut reply = match (&asked.head.method, cors, &origin) {
        (&Method::OPTIONS, Some(cors), Some(_)) if signal(asked.head.uri.path()).is_some() => {
            let mut reply = Response::new(Full::default());
            *reply.status_mut() = StatusCode::NO_CONTENT;
            cors.permit(reply.headers_mut());
            reply
        }
        _ => export(asked, intake, origin.is_some()).await,
    };
    if let Some(origin) = origin {
        Cors::mark(reply.headers_mut(), origin);
    }
    reply
}

/// `allowed`: whether it comes from a page that may send.
async fn export(asked: &mut Asked<'_>, intake: &Intake, allowed: bool) -> Reply {
    let form = form(asked);
    let count = |reason| asked.limits.count(reason);
    let Some(signal) = signal(asked.head.uri.path()) else {
        count(Refusal::UnknownPath);
        let hint = "no such path; OTLP/HTTP is served at /v1/traces, /v1/logs and /v1/metrics";
        return refusal(form, StatusCode::NOT_FOUND, Code::Unimplemented, hint, None);
    };
    if asked.head.method != Method::POST {
        count(Refusal::MethodNotAllowed);
        let mut reply = refusal(form, StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, "use POST", None);
        let allow = if asked.limits.settings.cors.is_some() { "POST, OPTIONS" } else { "POST" };
        reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
        return reply;
    }
    // Only browsers send it: for a page that may not, or one that points a name of its own at this address.
    if !allowed && asked.head.headers.contains_key(header::ORIGIN) {
        count(Refusal::OriginNotAllowed);
        let hint = "web pages may send only where sources.otlp.cors names their origin";
        return refusal(form, StatusCode::FORBIDDEN, Code::InvalidArgument, hint, None);
    }
    if Form::of(asked.text(header::CONTENT_TYPE)).is_none() {
        count(Refusal::UnsupportedContentType);
        let hint = "content-type must be application/x-protobuf or application/json";
        let mut reply = refusal(form, StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, hint, None);
        let accept = HeaderValue::from_static("application/x-protobuf, application/json");
        reply.headers_mut().insert(header::ACCEPT, accept);
        return reply;
    }
    let key = idempotency_key(&asked.head.headers);
    let held = match body(asked, signal, form).await {
        Ok(held) => held,
        Err((reason, why)) => {
            asked.limits.count(reason);
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
async fn body(asked: &mut Asked<'_>, signal: Signal, form: Form) -> Result<Held, (Refusal, String)> {
    let limits = asked.limits;
    let fail = |reason| (reason, explain(reason, limits));
    let encoding = asked.list(header::CONTENT_ENCODING);
    let Some(body) = asked.body.take() else { return Err(fail(Refusal::CutOff)) };
    let held = collect(body, 0, 0, limits, |_| None).await;
    asked.unread = held.is_err();
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
    refusal(form(asked), StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, why, Some(COME_BACK))
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
