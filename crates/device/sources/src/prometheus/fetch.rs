//! One scrape over HTTP: a connection for it alone, the body read as it comes.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use client::{Access, USER_AGENT};
use flate2::write::MultiGzDecoder;
use http::{Request, Response, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use scrape::{Finished, Scrape, ScrapeError, Target, TargetState, accept, answered};
use tokio::time::Instant;

use super::memory::Charge;
use super::setup::ScrapeJob;

/// What a connection reads at once.
const BUFFER: usize = 16 << 10;
/// How often a request is sent on.
const REDIRECTS: usize = 4;

/// Why a scrape failed: the reason as a label, and words.
pub(crate) type Failure = (&'static str, String);

/// Scrapes a target; `time` is the wall time of it, Unix nanoseconds.
pub(crate) async fn fetch(
    job: &ScrapeJob,
    target: &Target,
    state: &TargetState,
    charge: &mut Charge,
    time: u64,
) -> Result<Finished, Failure> {
    let began = Instant::now();
    let access = job.access(target).map_err(|why| ("credentials", why))?;
    let all = async {
        let response = ask(job, target, &access).await?;
        read(job, target, state, charge, (time, began), response).await
    };
    match tokio::time::timeout(target.timeout, all).await {
        Ok(done) => done,
        Err(_) => Err(("timeout", format!("no whole answer in {:?} (scrape_timeout)", target.timeout))),
    }
}

async fn ask(job: &ScrapeJob, target: &Target, access: &Access) -> Result<Response<Incoming>, Failure> {
    let mut path = target.path.clone();
    for _ in 0..=REDIRECTS {
        let response = ask_once(job, target, access, &path).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let next = (status.is_redirection() && job.follow_redirects).then(|| same_server(access, &response)).flatten();
        path = next.ok_or_else(|| ("http_status", format!("server returned HTTP status {status}")))?;
    }
    Err(("http_status", format!("the server sends from one path to the next, last to '{path}'")))
}

async fn ask_once(
    job: &ScrapeJob,
    target: &Target,
    access: &Access,
    path: &str,
) -> Result<Response<Incoming>, Failure> {
    let stream = client::connect(access, b"http/1.1").await.map_err(|error| ("unreachable", error.to_string()))?;
    let broken = |error: hyper::Error| ("cut_off", client::broken(&error).to_string());
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(BUFFER).handshake(TokioIo::new(stream)).await.map_err(broken)?;
    tokio::task::spawn_local(async move {
        // Its end shows in the answer.
        let _closed = connection.await;
    });
    let timeout = target.timeout.as_secs_f64().to_string();
    let mut request = Request::get(path)
        .header(header::HOST, target.address.as_str())
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT, accept(&job.job.protocols, job.job.escaping))
        .header(header::CONNECTION, "close")
        .header("x-prometheus-scrape-timeout-seconds", timeout);
    if job.gzip {
        request = request.header(header::ACCEPT_ENCODING, "gzip");
    }
    access.credentials.look();
    for (name, value) in access.credentials.headers() {
        request = request.header(name, value);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| ("bad_target", error.to_string()))?;
    sender.send_request(request).await.map_err(broken)
}

/// The path to which an answer sends the same request, where that is on the same server: a token goes nowhere else.
fn same_server(access: &Access, response: &Response<Incoming>) -> Option<String> {
    let to: Uri = response.headers().get(header::LOCATION)?.to_str().ok()?.parse().ok()?;
    if let Some(host) = to.host() {
        let tls = to.scheme_str()? == "https";
        let port = to.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let here = &access.endpoint;
        let name = host.trim_start_matches('[').trim_end_matches(']');
        if tls != here.tls || port != here.port || !name.eq_ignore_ascii_case(&here.host) {
            return None;
        }
    }
    to.path_and_query().map(|path| path.as_str().to_owned()).filter(|path| path.starts_with('/'))
}

async fn read(
    job: &ScrapeJob,
    target: &Target,
    state: &TargetState,
    charge: &mut Charge,
    (time, began): (u64, Instant),
    response: Response<Incoming>,
) -> Result<Finished, Failure> {
    let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let protocol = answered(text(header::CONTENT_TYPE), job.job.fallback).map_err(|why| ("content_type", why))?;
    let coding = text(header::CONTENT_ENCODING).trim().to_ascii_lowercase();
    let scrape = Scrape::new(&job.job, target, state, protocol, time);
    let mut into = Into { scrape, failed: None };
    let mut body = response.into_body();
    let mut inflater = match coding.as_str() {
        "gzip" | "x-gzip" => Some(MultiGzDecoder::new(into)),
        "" | "identity" => {
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| ("cut_off", client::broken(&error).to_string()))?;
                if let Ok(data) = frame.into_data() {
                    into.scrape.push(&data).map_err(|error| bad(&error))?;
                    hold(charge, &into.scrape)?;
                }
            }
            return finish(into.scrape, began.elapsed());
        }
        other => {
            return Err((
                "content_encoding",
                format!("the target answers in the coding '{}'", model::words(other.as_bytes())),
            ));
        }
    };
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ("cut_off", client::broken(&error).to_string()))?;
        let (Ok(data), Some(inflater)) = (frame.into_data(), &mut inflater) else { continue };
        // Little at a time: what is inflated is charged in between.
        for portion in data.chunks(1024) {
            if let Err(error) = inflater.write_all(portion) {
                return Err(inflater
                    .get_mut()
                    .failed
                    .take()
                    .map_or(("undecodable", error.to_string()), |error| bad(&error)));
            }
            hold(charge, &inflater.get_ref().scrape)?;
        }
    }
    let Some(inflater) = inflater else { return Err(("undecodable", "nothing was inflated".into())) };
    match inflater.finish() {
        Ok(into) => finish(into.scrape, began.elapsed()),
        Err(error) => Err(("undecodable", error.to_string())),
    }
}

fn finish(scrape: Scrape<'_>, took: Duration) -> Result<Finished, Failure> {
    scrape.finish(took).map_err(|error| bad(&error))
}

fn bad(error: &ScrapeError) -> Failure {
    ("bad_exposition", error.to_string())
}

fn hold(charge: &mut Charge, scrape: &Scrape<'_>) -> Result<(), Failure> {
    match charge.resize(scrape.capacity()) {
        true => Ok(()),
        false => Err(("no_room", "scrapes together need more than sources.prometheus.memory".into())),
    }
}

/// Takes what is inflated.
struct Into<'a> {
    scrape: Scrape<'a>,
    failed: Option<ScrapeError>,
}

impl Write for Into<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.scrape.push(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => {
                self.failed = Some(error);
                Err(std::io::Error::other("the exposition is bad"))
            }
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
