//! Sources on loopback sockets, with bytes written by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use model::proto::{put_bytes, put_message};
use model::{Refusal, Signal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::{Answer, Cors, Intake, Limits, Pending, Settings};

type Taken = Vec<(Signal, Vec<u8>)>;

/// What came in, and the sources' limits.
struct Server {
    http: SocketAddr,
    grpc: SocketAddr,
    limits: Rc<Limits>,
    taken: Rc<RefCell<Taken>>,
    answer: Rc<RefCell<Answer>>,
}

async fn serve(settings: Settings) -> Server {
    let (http, grpc) =
        (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let limits = Limits::with(settings);
    let taken: Rc<RefCell<Taken>> = Rc::default();
    let answer = Rc::new(RefCell::new(Answer::Accepted));
    let intake: Intake = {
        let (taken, answer) = (Rc::clone(&taken), Rc::clone(&answer));
        Rc::new(move |request, _position, share| {
            taken.borrow_mut().push((request.signal, request.body));
            let answer = answer.borrow().clone();
            drop(share);
            Pending::settled(answer)
        })
    };
    let server = Server {
        http: http.local_addr().unwrap(),
        grpc: grpc.local_addr().unwrap(),
        limits: Rc::clone(&limits),
        taken,
        answer,
    };
    tokio::task::spawn_local(crate::serve_http(http, Rc::clone(&intake), Rc::clone(&limits), crate::Beside::default()));
    tokio::task::spawn_local(crate::serve_grpc(grpc, intake, limits));
    server
}

fn settings() -> Settings {
    Settings { max_request: 64 << 10, in_flight: 256 << 10, connections: 8, cors: None }
}

/// Runs a scenario.
fn run<F: Future>(scenario: impl FnOnce() -> F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        tokio::time::timeout(Duration::from_secs(3600), scenario()).await.expect("the scenario ends")
    })
}

/// Everything until the peer closes, or as much as is there when it does not for a while.
async fn read(stream: &mut TcpStream) -> String {
    let mut out = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        match tokio::time::timeout(Duration::from_secs(10), stream.read(&mut buffer)).await {
            Ok(Ok(0)) => break,
            Ok(Ok(read)) => {
                out.extend_from_slice(&buffer[..read]);
                let text = String::from_utf8_lossy(&out).into_owned();
                let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                if out.len() - head.len() - 4 >= length.unwrap_or(usize::MAX) || head.starts_with("HTTP/1.1 204") {
                    break;
                }
            }
            Ok(Err(error)) => return format!("broken: {error}"),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

async fn post(address: SocketAddr, path: &str, headers: &[(&str, &str)], body: &[u8]) -> String {
    ask(address, "POST", path, headers, body).await
}

async fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n", body.len());
    headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // A server may answer before it has all.
    let _sent = stream.write_all(body).await;
    read(&mut stream).await
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or(answer)
}

/// A request of one log record with a text of so many bytes.
fn logs(bytes: usize) -> Vec<u8> {
    let mut out = Vec::new();
    put_message(&mut out, 1, |out| {
        put_message(out, 2, |out| {
            put_message(out, 2, |out| put_message(out, 5, |out| put_bytes(out, 1, &vec![b'x'; bytes])));
        });
    });
    out
}

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

/// Scenario: all places are taken by connections that never send a byte, on both ports; then a producer comes. Guarantees:
/// it is served: the silent ones make room, and that is counted.
#[test]
fn i1_silent_connections_do_not_stop_the_intake() {
    run(|| async {
        let server = serve(settings()).await;
        let mut silent = Vec::new();
        for number in 0..16 {
            let address = if number % 2 == 0 { server.grpc } else { server.http };
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let answer = post(server.http, "/v1/logs", &[PROTOBUF], &logs(5)).await;
        assert_eq!(status(&answer), "200", "{answer}");
        assert!(server.limits.refusals().get(Refusal::IdleConnection) > 0);
        assert!(server.limits.places.open() <= 8);
    });
}

/// Scenario: connections whose producers are in the middle of a body hold all places, and one more comes. Guarantees: it is
/// told to come again with 503, on the other port with `UNAVAILABLE`, at once, and that is counted; when a place is free it is served.
#[test]
fn i1_without_an_idle_one_the_answer_is_503() {
    run(|| async {
        let server = serve(Settings { connections: 2, ..settings() }).await;
        let mut working = Vec::new();
        for _ in 0..2 {
            let mut stream = TcpStream::connect(server.http).await.unwrap();
            let head = "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 50\r\n\r\nx";
            stream.write_all(head.as_bytes()).await.unwrap();
            while server.limits.held() < working.len() + 1 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            working.push(stream);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let answer = post(server.http, "/v1/logs", &[PROTOBUF], &logs(5)).await;
        assert_eq!(status(&answer), "503", "{answer}");
        assert!(answer.contains("retry-after: 5"), "{answer}");
        let body = logs(5);
        assert_eq!(call(server.grpc, None, framed(0, body.len(), &body)).await, "14");
        assert_eq!(server.limits.refusals().get(Refusal::TooManyConnections), 2);
        drop(working);
        while server.limits.places.open() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(status(&post(server.http, "/v1/logs", &[PROTOBUF], &logs(5)).await), "200");
    });
}

/// Scenario: a connection sends the beginning of a head and no more, another one no preface of HTTP/2, while a good one
/// stays idle between two requests. Guarantees: the first two are closed for being too slow, the good one is not.
#[test]
fn i1_heads_and_handshakes_have_a_time_limit() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let server = serve(settings()).await;
        let mut dribbling = TcpStream::connect(server.http).await.unwrap();
        dribbling.write_all(b"POST /v1/logs HTTP/1.1\r\nhost").await.unwrap();
        let mut silent = TcpStream::connect(server.grpc).await.unwrap();
        for stream in [&mut dribbling, &mut silent] {
            // What the server says of its own accord ends when it closes.
            let mut said = Vec::new();
            let _closed = stream.read_to_end(&mut said).await;
        }
        assert_eq!(server.limits.refusals().get(Refusal::TooSlow), 2);
    });
}

/// Scenario: a producer sends a request with a body, is silent for nine minutes, and sends another one on the same
/// connection. Guarantees: it is served: only ten minutes without a request end a connection.
#[test]
fn i1_a_quiet_producer_keeps_its_connection() {
    let pass = |time| async move {
        tokio::time::pause();
        for _ in 0..time / 5 {
            tokio::time::advance(Duration::from_secs(5)).await;
            tokio::task::yield_now().await;
        }
        tokio::time::resume();
    };
    run(|| async {
        let server = serve(settings()).await;
        let mut stream = TcpStream::connect(server.http).await.unwrap();
        let body = logs(5);
        let head = format!(
            "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        for _ in 0..2 {
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&body).await.unwrap();
            let answer = read(&mut stream).await;
            assert_eq!(status(&answer), "200", "{answer}");
            pass(300).await;
        }
        assert_eq!(server.limits.refusals().total(), 0);
        pass(310).await;
        let mut rest = Vec::new();
        let _closed = stream.read_to_end(&mut rest).await;
        assert_eq!((server.limits.places.open(), server.limits.refusals().total()), (0, 0));
    });
}

/// Scenario: heads that announce large bodies of which nothing comes, more of them than `in_flight` has room for, then a
/// small request. Guarantees: what is only announced holds no room: the small one is taken (P9).
#[test]
fn i2_a_large_body_that_never_comes_holds_no_room() {
    run(|| async {
        let server = serve(settings()).await;
        let mut waiting = Vec::new();
        for _ in 0..6 {
            let mut stream = TcpStream::connect(server.http).await.unwrap();
            let head = "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 65000\r\n\r\n";
            stream.write_all(head.as_bytes()).await.unwrap();
            waiting.push(stream);
        }
        let answer = post(server.http, "/v1/logs", &[PROTOBUF], &logs(5)).await;
        assert_eq!(status(&answer), "200", "{answer}");
        assert_eq!(server.limits.held(), 0);
    });
}

/// Scenario: a body comes byte by byte, far below the least rate; its time is compressed. Guarantees: the producer is told
/// that it was too slow, the room is given back, and it is counted.
#[test]
fn i2_a_body_has_a_least_rate() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let server = serve(settings()).await;
        let mut stream = TcpStream::connect(server.http).await.unwrap();
        let head = "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 60000\r\n\r\nxxxx";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut out = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(read) = stream.read(&mut buffer).await {
            out.extend_from_slice(&buffer[..read]);
            if read == 0 || String::from_utf8_lossy(&out).contains("more slowly") {
                break;
            }
        }
        let answer = String::from_utf8_lossy(&out).into_owned();
        assert_eq!(status(&answer), "408", "{answer}");
        assert_eq!(server.limits.refusals().get(Refusal::TooSlow), 1);
        assert_eq!(server.limits.held(), 0);
    });
}

/// Scenario: bodies grow beyond `in_flight` together. Guarantees: the one that finds no room is told to come again, and the
/// sum never passes the bound (P9).
#[test]
fn i2_what_came_is_what_counts() {
    run(|| async {
        let server = serve(Settings { in_flight: 64 << 10, ..settings() }).await;
        let mut first = TcpStream::connect(server.http).await.unwrap();
        let head = "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 50000\r\n\r\n";
        first.write_all(head.as_bytes()).await.unwrap();
        first.write_all(&[b'x'; 40_000]).await.unwrap();
        while server.limits.held() < 40_000 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let answer = post(server.http, "/v1/logs", &[PROTOBUF], &logs(40_000)).await;
        assert_eq!(status(&answer), "503", "{answer}");
        assert!(server.limits.held() <= 64 << 10);
        assert_eq!(server.limits.refusals().get(Refusal::NoRoom), 1);
    });
}

/// Scenario: a compressed body that inflates to no more than one request may have, but together with itself to more than
/// `in_flight`; alone, and while another body is held. Guarantees: alone it is too large, since it will never fit; else it is
/// told to come again.
#[test]
fn i2_what_never_fits_is_not_told_to_come_again() {
    use std::io::Write;
    let body = logs(40_000);
    let mut noise = body.clone();
    let mut state = 1u32;
    noise.iter_mut().for_each(|byte| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = (state >> 24) as u8;
    });
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(&noise).unwrap();
    let sent = writer.finish().unwrap();
    run(|| async {
        let server = serve(Settings { in_flight: 64 << 10, ..settings() }).await;
        let gzip = [PROTOBUF, ("content-encoding", "gzip")];
        assert_eq!(status(&post(server.http, "/v1/logs", &gzip, &sent).await), "413");
        let mut other = TcpStream::connect(server.http).await.unwrap();
        let head =
            "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 50\r\n\r\nx";
        other.write_all(head.as_bytes()).await.unwrap();
        while server.limits.held() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(status(&post(server.http, "/v1/logs", &gzip, &sent).await), "503");
    });
}

/// Scenario: 3 MB are sent to a path that is not there, with a media type that is not read, and above the limit; the
/// producer writes all of it before it reads. Guarantees: it gets the answer each time, never a reset (RFC 9112 section 9.6).
#[test]
fn i4_early_answers_are_heard() {
    run(|| async {
        let server = serve(settings()).await;
        let body = vec![b'x'; 3_000_000];
        for _ in 0..5 {
            for (path, kind, expected) in [
                ("/nowhere", "application/x-protobuf", "404"),
                ("/v1/logs", "text/plain", "415"),
                ("/v1/logs", "application/x-protobuf", "413"),
            ] {
                let answer = post(server.http, path, &[("content-type", kind)], &body).await;
                assert_eq!(status(&answer), expected, "{answer}");
                assert!(answer.contains("connection: close"), "{answer}");
            }
        }
        let mut no_http = TcpStream::connect(server.http).await.unwrap();
        let _sent = no_http.write_all(&[b"no http at all\r\n\r\n", &body[..]].concat()).await;
        assert_eq!(status(&read(&mut no_http).await), "400");
        let counts = server.limits.refusals();
        for reason in [Refusal::UnknownPath, Refusal::UnsupportedContentType, Refusal::TooLarge] {
            assert_eq!(counts.get(reason), 5, "{reason}");
        }
        assert_eq!(server.limits.held(), 0);
    });
}

/// Scenario: requests in JSON: good, bad, partly taken, refused. Guarantees: taken as protobuf; every answer is JSON too.
#[test]
fn i5_json_is_answered_in_json() {
    run(|| async {
        let server = serve(settings()).await;
        let json = [("Content-Type", "application/json; charset=utf-8")];
        let body = br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"xxxxx"}}]}]}]}"#;
        let answer = post(server.http, "/v1/logs", &json, body).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n{}"), "{answer}");
        assert_eq!(server.taken.borrow()[0], (Signal::Logs, logs(5)));
        *server.answer.borrow_mut() = Answer::Partial { rejected: 2, why: "a \"b\"".into() };
        let answer = post(server.http, "/v1/logs", &json, body).await;
        let expected = r#"{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"a \"b\""}}"#;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(expected), "{answer}");
        *server.answer.borrow_mut() = Answer::Conflict("other".into());
        let answer = post(server.http, "/v1/logs", &json, body).await;
        assert_eq!(status(&answer), "422", "{answer}");
        for (path, bad, expected) in [("/v1/logs", &b"{"[..], "400"), ("/v2", &b"{}"[..], "404")] {
            let answer = post(server.http, path, &json, bad).await;
            assert_eq!(status(&answer), expected);
            assert!(answer.contains("content-type: application/json") && answer.contains("{\"code\":"), "{answer}");
        }
        assert_eq!(server.limits.held(), 0);
    });
}

/// Scenario: preflights of pages that may send and that may not, with and without configuration; other methods. Guarantees:
/// only the first is let in; what is not taken is 405 with `Allow` (RFC 9110 section 15.5.6).
#[test]
fn i5_pages_may_send_by_configuration() {
    run(|| async {
        let cors = Cors { origins: vec!["https://shop.example".into()], headers: vec!["x-own".into()] };
        let server = serve(Settings { cors: Some(cors), ..settings() }).await;
        let from = |origin| [("origin", origin), ("access-control-request-method", "POST")];
        let answer = ask(server.http, "OPTIONS", "/v1/traces", &from("https://shop.example"), &[]).await;
        assert_eq!(status(&answer), "204", "{answer}");
        for expected in ["allow-origin: https://shop.example", "allow-methods: POST", "x-own", "vary: Origin"] {
            assert!(answer.contains(expected), "{answer}");
        }
        let answer = ask(server.http, "OPTIONS", "/v1/traces", &from("https://evil.example"), &[]).await;
        assert_eq!(status(&answer), "405", "{answer}");
        assert!(!answer.contains("access-control"), "{answer}");
        let sent = [PROTOBUF, ("origin", "https://shop.example")];
        assert!(post(server.http, "/v1/logs", &sent, &logs(1)).await.contains("allow-origin: https://shop.example"));
        let evil = [PROTOBUF, ("origin", "https://evil.example")];
        assert_eq!(status(&post(server.http, "/v1/logs", &evil, &logs(1)).await), "403");
        let closed = serve(settings()).await;
        assert_eq!(status(&post(closed.http, "/v1/logs", &sent, &logs(1)).await), "403");
        assert_eq!((server.taken.borrow().len(), closed.taken.borrow().len()), (1, 0));
        for method in ["OPTIONS", "GET", "PUT"] {
            let answer = ask(closed.http, method, "/v1/traces", &from("https://shop.example"), &[]).await;
            assert_eq!(status(&answer), "405", "{answer}");
            assert!(answer.contains("allow: POST\r\n"), "{answer}");
        }
    });
}

/// Scenario: media types and codings in any case, with parameters, `x-gzip`, `deflate` with and without zlib's frame, two
/// codings, one that is not known. Guarantees: read as RFC 9110 has them; the last one is 415 with `Accept-Encoding`.
#[test]
fn i6_media_types_and_codings_are_read() {
    use std::io::Write;
    let body = logs(1000);
    let gzip = |bytes: &[u8]| {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    };
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    zlib.write_all(&body).unwrap();
    let zlib = zlib.finish().unwrap();
    let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    raw.write_all(&body).unwrap();
    let raw = raw.finish().unwrap();
    let cases = [
        ("GZip", gzip(&body)),
        ("x-gzip", gzip(&body)),
        ("deflate", zlib.clone()),
        ("Deflate", raw),
        ("identity", body.clone()),
        ("deflate, gzip", gzip(&zlib)),
        ("gzip,identity", gzip(&body)),
    ];
    run(|| async {
        let server = serve(settings()).await;
        for (coding, sent) in cases {
            let headers = [("content-type", "Application/X-Protobuf; a=b"), ("content-encoding", coding)];
            let answer = post(server.http, "/v1/logs", &headers, &sent).await;
            assert_eq!(status(&answer), "200", "{coding}: {answer}");
            assert_eq!(server.taken.borrow_mut().pop(), Some((Signal::Logs, body.clone())), "{coding}");
        }
        for (coding, expected) in [("br", "415"), ("gzip, br", "415"), ("gzip", "400"), ("gzip,gzip,gzip,gzip", "415")]
        {
            let answer = post(server.http, "/v1/logs", &[PROTOBUF, ("content-encoding", coding)], &body).await;
            assert_eq!(status(&answer), expected, "{answer}");
            assert_eq!(answer.contains("accept-encoding: gzip, zstd, deflate"), expected == "415", "{answer}");
        }
        let bomb = gzip(&vec![0; 1 << 20]);
        let answer = post(server.http, "/v1/logs", &[PROTOBUF, ("content-encoding", "gzip")], &bomb).await;
        assert_eq!(status(&answer), "413", "{answer}");
        assert_eq!(server.limits.held(), 0);
    });
}

/// Calls the method of log records over HTTP/2 and gives `grpc-status`.
async fn call(address: SocketAddr, encoding: Option<&str>, body: Vec<u8>) -> String {
    use http_body_util::{BodyExt, Full};
    let stream = TcpStream::connect(address).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(LocalExecutor, io).await.unwrap();
    tokio::task::spawn_local(connection);
    let mut request =
        http::Request::post(format!("http://{address}/opentelemetry.proto.collector.logs.v1.LogsService/Export"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
    if let Some(encoding) = encoding {
        request = request.header("grpc-encoding", encoding);
    }
    let response = sender.send_request(request.body(Full::new(bytes::Bytes::from(body))).unwrap()).await.unwrap();
    if let Some(status) = response.headers().get("grpc-status") {
        return status.to_str().unwrap().to_owned();
    }
    let collected = response.into_body().collect().await.unwrap();
    let trailers = collected.trailers().cloned().unwrap();
    trailers.get("grpc-status").unwrap().to_str().unwrap().to_owned()
}

#[derive(Clone)]
struct LocalExecutor;

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(async move {
            task.await;
        });
    }
}

fn framed(flag: u8, length: usize, message: &[u8]) -> Vec<u8> {
    [&[flag][..], &(length as u32).to_be_bytes(), message].concat()
}

/// Scenario: calls whose compressed flag is set without a coding, is neither 0 nor 1, whose length is not the message's, with
/// two messages, with none, with a coding that is not known. Guarantees: `INTERNAL`, and `UNIMPLEMENTED` for the last one
/// (gRPC, "Compression"); good ones are taken.
#[test]
fn i10_bad_grpc_frames_are_internal_errors() {
    run(|| async {
        let server = serve(settings()).await;
        let body = logs(5);
        let good = framed(0, body.len(), &body);
        assert_eq!(call(server.grpc, None, good.clone()).await, "0");
        assert_eq!(call(server.grpc, Some("gzip"), good.clone()).await, "0");
        for (encoding, bytes, expected) in [
            (None, framed(1, body.len(), &body), "13"),
            (Some("identity"), framed(1, body.len(), &body), "13"),
            (None, framed(2, body.len(), &body), "13"),
            (None, framed(0, body.len() + 1, &body), "13"),
            (None, [good.clone(), good.clone()].concat(), "13"),
            (None, Vec::new(), "13"),
            (Some("snappy"), framed(1, body.len(), &body), "12"),
            (Some("gzip"), framed(1, body.len(), &body), "3"),
            (None, framed(0, 70_000, &vec![0; 70_000]), "8"),
        ] {
            assert_eq!(
                call(server.grpc, encoding, bytes.clone()).await,
                expected,
                "{encoding:?} {:?}",
                &bytes.get(..6)
            );
        }
        assert_eq!(server.taken.borrow().len(), 2);
        assert_eq!(server.limits.refusals().get(Refusal::Malformed), 6);
        assert_eq!(server.limits.held(), 0);
    });
}
