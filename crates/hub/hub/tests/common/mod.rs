//! A hub in this process, and the least of an HTTP client to talk to it.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a part of test programs")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hub::run::{self, Config, Hub};
use model::{Epoch, Lane, Stamp};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, LogsData, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, TracesData};
use prost::Message;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::{BlockEncoder, FrameHeader, SectionRef};

pub(crate) fn config(dir: &Path) -> Config {
    Config {
        data_dir: dir.to_owned(),
        http: "127.0.0.1:0".into(),
        link: "127.0.0.1:0".into(),
        token_file: None,
        tls: None,
        tls_names: Vec::new(),
        store: store::Options::default(),
        insecure_no_token: false,
        insecure_plain_http: false,
        http_tls: false,
        connections: 1024,
        idle: Duration::from_secs(75),
        memory: 1 << 30,
    }
}

pub(crate) async fn start(dir: &Path) -> Hub {
    run::start(config(dir)).await.unwrap()
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8], body: &[u8]) -> Answer {
    stream.write_all(request).await.unwrap();
    // A hub that refuses a body early closes before it has read all of it.
    let _ = stream.write_all(body).await;
    let _ = stream.flush().await;
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut bytes)).await.expect("an answer");
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = bytes[end..].to_vec();
    let body = if head.contains("transfer-encoding: chunked") { dechunk(&body) } else { body };
    Answer { status, head, body }
}

fn dechunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|window| window == b"\r\n").unwrap();
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        if length == 0 {
            return body;
        }
        body.extend_from_slice(&rest[line + 2..line + 2 + length]);
        rest = &rest[line + 2 + length + 2..];
    }
}

fn request(method: &str, path: &str, headers: &[(&str, &str)], length: usize) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if method == "POST" {
        head += &format!("content-length: {length}\r\n");
    }
    (head + "\r\n").into_bytes()
}

pub(crate) async fn get(hub: &Hub, path: &str) -> Answer {
    get_at(hub.http, path).await
}

/// The same from any server.
pub(crate) async fn get_at(address: SocketAddr, path: &str) -> Answer {
    let stream = TcpStream::connect(address).await.unwrap();
    talk(stream, &request("GET", path, &[], 0), &[]).await
}

pub(crate) async fn post(hub: &Hub, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    post_at(hub.http, path, headers, body).await
}

/// The same to any server.
pub(crate) async fn post_at(address: SocketAddr, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let stream = TcpStream::connect(address).await.unwrap();
    talk(stream, &request("POST", path, headers, body.len()), body).await
}

/// Posts to the link port over TLS, trusting only the hub's own authority.
pub(crate) async fn post_link(hub: &Hub, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let stream = connect_tls(hub.link, hub.ca.as_deref().unwrap()).await;
    talk(stream, &request("POST", path, headers, body.len()), body).await
}

pub(crate) async fn connect_tls(address: SocketAddr, ca: &Path) -> tokio_rustls::client::TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(address).await.unwrap();
    connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap()
}

pub(crate) const SECOND: u64 = 1_000_000_000;

pub(crate) fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(Any::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn resource() -> Option<Resource> {
    Some(Resource { attributes: vec![text("service.name", "orders")], ..Resource::default() })
}

/// A trace of two spans, the child with an error.
pub(crate) fn trace(id: u8, start: u64) -> Vec<u8> {
    let span = |number: u8, parent: Vec<u8>, code: i32| Span {
        trace_id: vec![id; 16],
        span_id: vec![number; 8],
        parent_span_id: parent,
        name: if number == 1 { "GET /orders".into() } else { "db".into() },
        kind: 2,
        start_time_unix_nano: start,
        end_time_unix_nano: start + SECOND / 4,
        attributes: vec![text("http.route", "/orders")],
        status: Some(Status { code, message: String::new() }),
        ..Span::default()
    };
    let spans = vec![span(1, Vec::new(), 0), span(2, vec![1; 8], 2)];
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { resource: resource(), scope_spans, ..ResourceSpans::default() }];
    TracesData { resource_spans }.encode_to_vec()
}

/// One line of a trace.
pub(crate) fn line(id: u8, time: u64, body: &str) -> Vec<u8> {
    let record = LogRecord {
        time_unix_nano: time,
        severity_number: 17,
        severity_text: "ERROR".into(),
        body: Some(AnyValue { value: Some(Any::StringValue(body.to_owned())) }),
        trace_id: vec![id; 16],
        span_id: vec![2; 8],
        ..LogRecord::default()
    };
    let scope_logs = vec![ScopeLogs { log_records: vec![record], ..ScopeLogs::default() }];
    let resource_logs = vec![ResourceLogs { resource: resource(), scope_logs, ..ResourceLogs::default() }];
    LogsData { resource_logs }.encode_to_vec()
}

/// A block of the traces lane with one frame for each list of sections.
pub(crate) fn block(device: &str, first: u64, frames: &[&[SectionRef<'_>]]) -> Vec<u8> {
    let stamp = Stamp { boot_id: [1; 16], uptime_ns: 1, wall_ns: 0, synchronised: false };
    let frames: Vec<Vec<u8>> = frames
        .iter()
        .enumerate()
        .map(|(place, sections)| {
            let seq = first + place as u64;
            let header = FrameHeader { device, epoch: Epoch(7), lane: Lane::Traces, seq, stamp };
            let (mut body, mut frame) = (Vec::new(), Vec::new());
            wire::encode_body(sections, &mut body).unwrap();
            wire::seal_frame(&header, &body, &mut frame);
            frame
        })
        .collect();
    let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
    let mut block = Vec::new();
    BlockEncoder::new().unwrap().encode(Epoch(7), Lane::Traces, first, &frames, &mut block).unwrap();
    block
}

/// A block with one frame of this sequence, however large.
pub(crate) fn block_of(device: &str, seq: u64, sections: &[&[SectionRef<'_>]]) -> Vec<u8> {
    block(device, seq, sections)
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A request by any method to any server.
pub(crate) async fn request_at(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let stream = TcpStream::connect(address).await.unwrap();
    talk(stream, &request(method, path, headers, body.len()), body).await
}

/// The same over TLS, trusting only one authority.
pub(crate) async fn request_tls(
    address: SocketAddr,
    ca: &Path,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let stream = connect_tls(address, ca).await;
    talk(stream, &request(method, path, headers, body.len()), body).await
}

/// The first words of a device.
pub(crate) fn hello(device: &str) -> Vec<u8> {
    link::encode(&link::Hello {
        device: device.into(),
        epoch: 7,
        stamp: link::ClockStamp { boot_id: [1; 16], uptime_ns: 1, wall_ns: hub::clock::now_ns(), synchronised: true },
        lanes: Vec::new(),
        version: "0.1.0".into(),
        settles_ms: None,
        stops: None,
    })
}
