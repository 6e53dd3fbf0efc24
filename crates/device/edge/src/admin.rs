//! `/healthz`, `/readyz`, `/metrics` and `/status` over HTTP, and commands to the sampler; on the Unix socket also what only
//! this machine's operators may do: read the recorder, pause and resume destinations.

use std::cell::Cell;
use std::convert::Infallible;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use model::Refusal;
use sources::{Begin, Entry, Watched, linger, watch};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

use crate::admin_body::AdminBody;
use crate::agent::Agent;
use crate::commands;
use crate::fetch_requests;
use crate::log;
use crate::status::View;

const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests are small and answered at once: the smallest buffer that hyper takes.
const BUFFER: usize = 8 << 10;

/// Serves on the network for ever.
pub(crate) async fn serve(listener: TcpListener, agent: Rc<Agent>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => connection(stream, &agent, false),
            Err(_) => no_socket(&agent, false).await,
        }
    }
}

/// Serves on the Unix socket for ever.
pub(crate) async fn serve_socket(listener: UnixListener, agent: Rc<Agent>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => connection(stream, &agent, true),
            Err(_) => no_socket(&agent, true).await,
        }
    }
}

/// The system has no file descriptor to give, or the peer is gone.
async fn no_socket(agent: &Agent, local: bool) {
    agent.places[usize::from(local)].close_idle();
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// Makes the Unix socket, for this user and group only. The agent runs without it where it cannot be made.
pub(crate) fn socket(path: &Path) -> Option<UnixListener> {
    // One that an earlier process left; the data directory's lock says that no other process is alive.
    let _gone = std::fs::remove_file(path);
    let made = UnixListener::bind(path).and_then(|listener| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o660);
        std::fs::set_permissions(path, mode).map(|()| listener)
    });
    made.map_err(|error| {
        log::warn(&format!(
            "no socket at {} ({error}): `lightship query` and `tail` see the journal only; a path has at most 107 bytes",
            path.display()
        ));
    })
    .ok()
}

fn connection(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, agent: &Rc<Agent>, local: bool) {
    let place = match agent.places[usize::from(local)].enter() {
        Entry::Place(place) | Entry::Full(place) => Rc::new(place),
        Entry::None => return,
    };
    let agent = Rc::clone(agent);
    tokio::task::spawn_local(async move {
        let stream = Watched::new(stream);
        let clock = stream.clock();
        let early = Rc::new(Cell::new(false));
        let service = {
            let (place, clock, early) = (Rc::clone(&place), clock.clone(), Rc::clone(&early));
            service_fn(move |request: Request<Incoming>| {
                let (agent, working, full) = (Rc::clone(&agent), place.work(), place.is_full());
                let (clock, early) = (clock.clone(), Rc::clone(&early));
                clock.head_is_there();
                let answer = async move {
                    // Orders have no body, but for those that read theirs.
                    early.set(!request.body().is_end_stream());
                    let mut response = match full {
                        false => admit(request, &agent, local).await,
                        true => text(StatusCode::SERVICE_UNAVAILABLE, "all connections are in use\n"),
                    };
                    if full {
                        let close = HeaderValue::from_static("close");
                        response.headers_mut().insert(header::CONNECTION, close);
                    }
                    drop(working);
                    clock.head_is_there();
                    Ok::<_, Infallible>(response)
                };
                Box::pin(answer) as Pin<Box<dyn Future<Output = Result<Response<AdminBody>, Infallible>>>>
            })
        };
        let mut connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(BUFFER)
            .serve_connection(TokioIo::new(stream), service);
        let run = std::future::poll_fn(|context| connection.poll_without_shutdown(context));
        // Whoever asked may go away before the answer.
        let ended = watch(run, |_| false, &clock, &place, Begin::Head).await;
        if ended.is_some_and(|ended| early.get() || ended.is_err()) {
            linger(connection.into_parts().io.into_inner(), &place).await;
        }
    });
}

fn text(status: StatusCode, text: &str) -> Response<AdminBody> {
    let mut response = Response::new(AdminBody::text(text.to_owned()));
    *response.status_mut() = status;
    response
}

/// Answers who may ask.
async fn admit(request: Request<Incoming>, agent: &Rc<Agent>, local: bool) -> Response<AdminBody> {
    if !local && let Err((reason, status, why)) = agent.access.check(request.method(), request.headers()) {
        agent.refuse_admin(reason);
        let mut response = text(status, why);
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        return response;
    }
    if local && request.uri().path().starts_with("/fetch/") {
        let (status, why) = fetch_requests::answer(request, agent).await;
        return text(status, &why);
    }
    answer(&request, agent, local).await
}

/// `local` is true on the Unix socket.
async fn answer(request: &Request<Incoming>, agent: &Agent, local: bool) -> Response<AdminBody> {
    let path = request.uri().path();
    let query = request.uri().query().unwrap_or_default();
    if local && path == "/recorder" {
        let from = query.strip_prefix("from=").and_then(|number| number.parse().ok()).unwrap_or(0);
        return Response::new(AdminBody::recorder(agent.shared(), from));
    }
    if local && path == "/decision" {
        let trace = query.strip_prefix("trace=").and_then(model::TraceId::from_hex);
        let standing = trace.map(|trace| agent.shared().pipeline.borrow().decision(&trace).name());
        return Response::new(AdminBody::text(standing.unwrap_or("unknown").to_owned()));
    }
    let done = match *request.method() {
        Method::POST if local && path == "/fetch" => Some(fetch(agent, query)),
        Method::POST if local && path.starts_with("/queue/") => Some(queue(agent, path, query).await),
        Method::POST => commands::run(path, query, agent),
        _ => None,
    };
    if done.is_none()
        && let Some(allowed) = other_method(request.method(), path)
    {
        agent.refuse_admin(Refusal::MethodNotAllowed);
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, &format!("use {allowed}\n"));
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
        return response;
    }
    let (status, kind, body) = match path {
        _ if let Some(done) = &done => match done {
            Ok(done) => (StatusCode::OK, "text/plain", format!("{done}\n")),
            Err(why) => (StatusCode::BAD_REQUEST, "text/plain", format!("{why}\n")),
        },
        "/healthz" => match agent.disk_error() {
            None => (StatusCode::OK, "application/json", "{\"status\":\"ok\"}\n".to_owned()),
            Some(why) => {
                let body = format!("{{\"status\":\"failing\",\"why\":{}}}\n", crate::exposition::json_text(&why));
                (StatusCode::SERVICE_UNAVAILABLE, "application/json", body)
            }
        },
        "/readyz" => match agent.unready() {
            None => (StatusCode::OK, "application/json", "{\"status\":\"ready\"}\n".to_owned()),
            Some(why) => {
                let body = format!("{{\"status\":\"not ready\",\"why\":{}}}\n", crate::exposition::json_text(&why));
                (StatusCode::SERVICE_UNAVAILABLE, "application/json", body)
            }
        },
        "/status" if query == "format=text" => (StatusCode::OK, "text/plain", agent.show(View::Text).await),
        "/status" => (StatusCode::OK, "application/json", agent.show(View::Json).await),
        "/metrics" => {
            let text = agent.show(View::Prometheus).await;
            (StatusCode::OK, "text/plain; version=0.0.4", text)
        }
        _ => {
            let hint = "no such path; there are /healthz, /readyz, /metrics and /status, and to be sent with POST \
                        /sampling/incident and /sampling/keep-route\n";
            (StatusCode::NOT_FOUND, "text/plain", hint.to_owned())
        }
    };
    let mut response = Response::new(AdminBody::text(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// The methods that a path takes, where the method is none of them (RFC 9110 section 15.5.6).
fn other_method(method: &Method, path: &str) -> Option<&'static str> {
    let allowed = match path {
        "/healthz" | "/readyz" | "/status" | "/metrics" => "GET, HEAD",
        "/sampling/incident" | "/sampling/keep-route" => "POST",
        _ => return None,
    };
    allowed.split(", ").all(|one| one != method.as_str()).then_some(allowed)
}

/// `/fetch?q=FILTER`, with `&lane=LANE` where another one is meant.
fn fetch(agent: &Agent, query: &str) -> Result<String, String> {
    let shared = agent.shared();
    let text = commands::parameter(query, "q").ok_or("say what: /fetch?q=FILTER")?;
    let lane = fetch_requests::lane_of(query)?;
    let query = filter::parse(&text, shared.clock.wall_ns()).map_err(|error| error.pointed().to_string())?;
    if !query.pipes.is_empty() {
        return Err("only traces can be fetched: leave out what is after '|'".to_owned());
    }
    Ok(shared.pipeline.borrow_mut().fetch(&query, lane, shared.clock.now_ns()).to_string())
}

/// `/queue/pause/NAME`, `/queue/resume/NAME` and `/queue/drop/NAME` (`?lane=LANE`).
async fn queue(agent: &Agent, path: &str, query: &str) -> Result<String, String> {
    let (what, name) = path.trim_start_matches("/queue/").split_once('/').unwrap_or_default();
    let paused = match what {
        "pause" => true,
        "resume" => false,
        "drop" => return drop_queue(agent, name, query).await,
        "dead" => return dead_letter(agent, name).await,
        _ => {
            let paths = "/queue/pause/NAME, /queue/resume/NAME, /queue/drop/NAME, /queue/dead/retry/FILE and /queue/dead/drop/FILE";
            return Err(format!("there are {paths}"));
        }
    };
    match agent.shared().destinations.pause(name, paused) {
        true => Ok(format!("{name}: {what}d")),
        false => Err(format!("no destination has the name {name}")),
    }
}

/// `retry/FILE` and `drop/FILE`.
async fn dead_letter(agent: &Agent, path: &str) -> Result<String, String> {
    let shared = agent.shared();
    match path.split_once('/') {
        Some(("retry", name)) => {
            shared.disk.read_dead_letter(name.to_owned()).await.map_err(|error| error.to_string())??;
            shared.destinations.retry_letter(name)?;
            Ok(format!("{name}: goes next"))
        }
        Some(("drop", name)) => {
            shared.disk.remove_dead_letter(name.to_owned()).await.map_err(|error| error.to_string())??;
            log::warn(&format!("dead letter {name} was removed by an operator"));
            Ok(format!("{name}: removed"))
        }
        _ => Err("there are /queue/dead/retry/FILE and /queue/dead/drop/FILE".to_owned()),
    }
}

async fn drop_queue(agent: &Agent, name: &str, query: &str) -> Result<String, String> {
    let shared = agent.shared();
    let positions = shared.destinations.positions(name);
    if positions.is_empty() {
        return Err(format!("no destination has the name {name}"));
    }
    let lane: Option<model::Lane> = match query.strip_prefix("lane=") {
        None => None,
        Some(lane) => Some(lane.parse().map_err(|_| format!("there is no lane {lane}"))?),
    };
    // What is ready goes first, so that the queue is empty when this is answered.
    shared.all_settled().await;
    let mut dropped = 0;
    for position in positions {
        dropped += shared.disk.drop_queue(position, lane).await.map_err(|error| error.to_string())??;
    }
    shared.commits.force();
    shared.all_settled().await;
    log::warn(&format!("destination {name}: {dropped} records of its queue were dropped by an operator"));
    Ok(format!("{name}: {dropped} records dropped; a gap record tells of them"))
}
