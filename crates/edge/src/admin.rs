//! `/healthz`, `/readyz`, `/metrics` and `/status` over HTTP, and orders to the sampler.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use crate::agent::Agent;
use crate::commands;
use crate::status::View;

const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests are small and answered at once: the smallest buffer that hyper takes.
const BUFFER: usize = 8 << 10;

/// Serves for ever.
pub(crate) async fn serve(listener: TcpListener, agent: Rc<Agent>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let agent = Rc::clone(&agent);
        tokio::task::spawn_local(async move {
            let service = service_fn(move |request| {
                let agent = Rc::clone(&agent);
                async move { Ok::<_, Infallible>(answer(&request, &agent).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(BUFFER)
                .serve_connection(TokioIo::new(stream), service);
            // Whoever asked may go away before the answer.
            let _closed = connection.await;
        });
    }
}

async fn answer(request: &Request<Incoming>, agent: &Agent) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    let order = match *request.method() {
        Method::POST => commands::order(path, request.uri().query().unwrap_or_default(), agent),
        _ => None,
    };
    let (status, kind, body) = match path {
        _ if let Some(done) = &order => match done {
            Ok(done) => (StatusCode::OK, "text/plain", format!("{done}\n")),
            Err(why) => (StatusCode::BAD_REQUEST, "text/plain", format!("{why}\n")),
        },
        "/healthz" => match agent.disk_error() {
            None => (StatusCode::OK, "application/json", "{\"status\":\"ok\"}\n".to_owned()),
            Some(why) => {
                let body = format!("{{\"status\":\"failing\",\"why\":{}}}\n", crate::status::json_text(&why));
                (StatusCode::SERVICE_UNAVAILABLE, "application/json", body)
            }
        },
        "/readyz" => (StatusCode::OK, "application/json", "{\"status\":\"ready\"}\n".to_owned()),
        "/status" if request.uri().query() == Some("format=text") => {
            (StatusCode::OK, "text/plain", agent.show(View::Text).await)
        }
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
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
