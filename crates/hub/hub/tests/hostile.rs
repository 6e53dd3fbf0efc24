//! Senders that are silent, slow, too large, too many, or not who they say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test program")]

mod common;

use std::time::Duration;

use common::{SECOND, block, block_of, connect_tls, get, gzip, hello, post, post_link, start, trace};
use hub::clock;
use hub::run::Hub;
use link::{BLOCKS_PATH, HELLO_PATH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::SectionRef;

/// Longest that a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

async fn is_closed(stream: &mut (impl AsyncReadExt + Unpin)) -> bool {
    let mut rest = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.is_ok()
}

async fn metric(hub: &Hub, line: &str) -> f64 {
    let text = get(hub, "/metrics").await.text();
    let found = text.lines().find_map(|one| one.strip_prefix(line)).unwrap_or_else(|| panic!("no {line} in {text}"));
    found.trim().parse().unwrap()
}

/// Scenario: sockets that say nothing, half a request line, half of HTTP/2's preface, on both ports, on the link also after
/// the handshake; an honest client beside them. Guarantees: each is closed when its time is over, counted, and the honest one
/// is answered meanwhile (P9).
#[tokio::test(flavor = "multi_thread")]
async fn i1_silent_sockets_are_closed_on_every_port() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = common::config(dir.path());
    config.idle = Duration::from_millis(300);
    let hub = hub::run::start(config).await.unwrap();
    let mut plain = Vec::new();
    for said in ["", "GET /heal", "PRI * HTTP/2.0\r\n"] {
        for address in [hub.http, hub.link] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(said.as_bytes()).await.unwrap();
            plain.push(stream);
        }
    }
    let mut after_handshake = connect_tls(hub.link, hub.ca.as_deref().unwrap()).await;
    assert_eq!(get(&hub, "/healthz").await.status, 200);
    for stream in &mut plain {
        assert!(is_closed(stream).await);
    }
    assert!(is_closed(&mut after_handshake).await);
    assert!(metric(&hub, "lightship_hub_refused_total{reason=\"idle_connection\"}").await >= 1.0);
    hub.stop().await;
}

/// Scenario: all places of a port are taken by silent sockets, with a time limit that does not help; then honest clients come.
/// Guarantees: each of them is answered, the silent ones make room, and that is counted (P9).
#[tokio::test(flavor = "multi_thread")]
async fn i1_the_silent_make_room_for_the_honest() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = common::config(dir.path());
    config.connections = 8;
    let hub = hub::run::start(config).await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(hub.http).await.unwrap());
        silent.push(TcpStream::connect(hub.link).await.unwrap());
    }
    for _ in 0..3 {
        assert_eq!(get(&hub, "/healthz").await.status, 200);
        assert_eq!(post_link(&hub, HELLO_PATH, &[], &hello("vessel-1")).await.status, 200);
    }
    assert!(metric(&hub, "lightship_hub_refused_total{reason=\"idle_connection\"}").await >= 20.0);
    hub.stop().await;
}

/// Scenario: 64 senders announce 4 MiB each and send nothing; then an honest request of 300 KB. Guarantees: what did not come
/// takes no room: the honest one is stored at once (P9).
#[tokio::test(flavor = "multi_thread")]
async fn i2_a_large_body_that_never_comes_holds_no_room() {
    let dir = tempfile::tempdir().unwrap();
    let hub = start(dir.path()).await;
    let mut held = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(hub.http).await.unwrap();
        let head = "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 4194304\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        held.push(stream);
    }
    let many: Vec<u8> = (1..=200).flat_map(|id| trace(id, clock::now_ns() - SECOND)).collect();
    let answer = post(&hub, "/v1/traces", &[("content-type", "application/x-protobuf")], &many).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    drop(held);
    hub.stop().await;
}

/// Scenario: a body of 3 MB to requests that are answered before it is read: unknown path, wrong type, no token, too large.
/// Guarantees: the sender gets the answer, not a reset (RFC 9112 section 9.6).
#[tokio::test(flavor = "multi_thread")]
async fn i4_an_early_answer_reaches_its_sender() {
    let dir = tempfile::tempdir().unwrap();
    let hub = start(dir.path()).await;
    let body = vec![7; 3 << 20];
    let large = vec![7; 6 << 20];
    for _ in 0..5 {
        let cases = [("/v1/nothing", "application/x-protobuf", &body, 404), ("/v1/traces", "text/plain", &body, 415)];
        for (path, media, body, status) in cases {
            assert_eq!(post(&hub, path, &[("content-type", media)], body).await.status, status, "{path}");
        }
        let answer = post(&hub, "/v1/traces", &[("content-type", "application/x-protobuf")], &large).await;
        assert_eq!(answer.status, 413);
        let answer = post_link(&hub, BLOCKS_PATH, &[], &body).await;
        assert_eq!(answer.status, 413);
    }
    hub.stop().await;
}

/// Scenario: 16 KB of gzip that stand for 400,000 empty log records, or spans without ids; a block of a few hundred bytes that does; then an honest
/// request. Guarantees: 413 with the reason; the frame is kept aside and told as lost; intake goes on (P9).
#[tokio::test(flavor = "multi_thread")]
async fn h8_bombs_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let hub = start(dir.path()).await;
    let mut spans = Vec::new();
    for _ in 0..400_000 {
        spans.extend_from_slice(&[0x12, 0]);
    }
    let wrap = |inside: &[u8], field: u8| {
        let mut out = vec![field << 3 | 2];
        model::proto::put_varint(&mut out, inside.len() as u64);
        out.extend_from_slice(inside);
        out
    };
    let bomb = wrap(&wrap(&spans, 2), 1);
    let packed = gzip(&bomb);
    assert!(packed.len() < 16 << 10);
    let headers = [("content-type", "application/x-protobuf"), ("content-encoding", "gzip")];
    let answer = post(&hub, "/v1/logs", &headers, &packed).await;
    assert_eq!(answer.status, 413, "{}", answer.text());
    assert!(answer.text().contains("MiB of memory"), "{}", answer.text());
    let answer = post(&hub, "/v1/traces", &headers, &packed).await;
    assert!(answer.text().contains("400000 invalid_trace_id"), "{}", answer.text());
    let frame = block("vessel-1", 1, &[&[SectionRef::Traces(&bomb)]]);
    assert!(frame.len() < 1000);
    assert_eq!(post_link(&hub, BLOCKS_PATH, &[], &frame).await.status, 200);
    let ledger = get(&hub, "/api/v0/ledger").await.json();
    let row = ledger["devices"].as_array().unwrap().iter().find(|row| row["device"] == "vessel-1").unwrap();
    assert_eq!(row["lost"][0]["reason"].as_str(), Some("hub-frame-unreadable"));
    let honest = trace(1, clock::now_ns() - SECOND);
    assert_eq!(post(&hub, "/v1/traces", &headers[..1], &honest).await.status, 200);
    hub.stop().await;
}

/// Scenario: a second block of a request that names another device, or `otlp`; a connection that says hello as one device and
/// sends as another; names that are none. Guarantees: refused as a whole with 409, nothing is claimed under the other name,
/// and the fleet list says who was refused (P8).
#[tokio::test(flavor = "multi_thread")]
async fn h13_nobody_sends_under_another_name() {
    let dir = tempfile::tempdir().unwrap();
    let hub = start(dir.path()).await;
    let section = trace(1, clock::now_ns());
    let sections: &[&[SectionRef<'_>]] = &[&[SectionRef::Traces(&section)]];
    for other in ["vessel-2", "otlp"] {
        let both = [block("vessel-1", 1, sections), block(other, 1, sections)].concat();
        let answer = post_link(&hub, BLOCKS_PATH, &[], &both).await;
        assert_eq!(answer.status, 409, "{other}: {}", answer.text());
    }
    let mut tls = connect_tls(hub.link, hub.ca.as_deref().unwrap()).await;
    let body = hello("vessel-1");
    let head =
        |path: &str, length: usize| format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
    tls.write_all(&[head(HELLO_PATH, body.len()).as_bytes(), &body].concat()).await.unwrap();
    let stolen = block("vessel-2", 1, sections);
    let mut answers = vec![0; 64 << 10];
    let read = tls.read(&mut answers).await.unwrap();
    assert!(answers[..read].starts_with(b"HTTP/1.1 200"));
    tls.write_all(&[head(BLOCKS_PATH, stolen.len()).as_bytes(), &stolen].concat()).await.unwrap();
    let read = tls.read(&mut answers).await.unwrap();
    assert!(answers[..read].starts_with(b"HTTP/1.1 409"), "{}", String::from_utf8_lossy(&answers[..read]));
    let listed = get(&hub, "/api/v0/devices").await.json();
    let names: Vec<_> =
        listed["devices"].as_array().unwrap().iter().map(|row| row["device"].as_str().unwrap()).collect();
    assert_eq!(names, ["vessel-1"]);
    let reasons: Vec<_> =
        listed["refused"].as_array().unwrap().iter().map(|row| row["reason"].as_str().unwrap()).collect();
    assert!(reasons.contains(&"identity_mismatch"), "{reasons:?}");
    let far = block_of("vessel-1", u64::MAX - 1, sections);
    let answer = post_link(&hub, BLOCKS_PATH, &[], &far).await;
    assert_eq!(answer.status, 200);
    let ack: link::BlocksAck = link::decode(&answer.body).unwrap();
    assert_eq!(ack.blocks[0].outcome, link::Outcome::Corrupt);
    hub.stop().await;
}

/// Scenario: names with line breaks, markup, 60 KB; more devices than there may be. Guarantees: refused with a reason, known
/// devices go on, nothing is made for the others (P9).
#[tokio::test(flavor = "multi_thread")]
async fn h12_names_and_their_number_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = common::config(dir.path());
    config.store.max_devices = 3;
    let hub = hub::run::start(config).await.unwrap();
    for wrong in ["a\nlightship-hub: forged", "<script>", &"n".repeat(60_000), ""] {
        let answer = post_link(&hub, HELLO_PATH, &[], &hello(wrong)).await;
        assert_eq!(answer.status, 409, "{}", answer.text());
    }
    for number in 0..6 {
        let answer = post_link(&hub, HELLO_PATH, &[], &hello(&format!("vessel-{number}"))).await;
        assert_eq!(answer.status, if number < 3 { 200 } else { 409 }, "{number}");
    }
    assert_eq!(post_link(&hub, HELLO_PATH, &[], &hello("vessel-1")).await.status, 200);
    assert_eq!(get(&hub, "/api/v0/devices").await.json()["devices"].as_array().unwrap().len(), 3);
    hub.stop().await;
}

/// Scenario: a device with the wrong token says hello again and again. Guarantees: it is in the fleet list with its name, its
/// address and the reason, once with a count, although it is no device of this hub.
#[tokio::test(flavor = "multi_thread")]
async fn u9_a_refused_device_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "s3cret").unwrap();
    let mut config = common::config(&dir.path().join("data"));
    config.token_file = Some(token);
    let hub = hub::run::start(config).await.unwrap();
    for _ in 0..3 {
        assert_eq!(
            post_link(&hub, HELLO_PATH, &[("authorization", "Bearer no")], &hello("vessel-9")).await.status,
            401
        );
    }
    let listed = get(&hub, "/api/v0/devices").await.json();
    let refused = listed["refused"].as_array().unwrap();
    assert_eq!((refused.len(), refused[0]["count"].as_u64()), (1, Some(3)));
    assert_eq!(refused[0]["device"].as_str(), Some("vessel-9"));
    assert_eq!(
        (refused[0]["reason"].as_str(), refused[0]["address"].as_str()),
        (Some("unauthorized"), Some("127.0.0.1"))
    );
    assert_eq!(listed["devices"].as_array().unwrap().len(), 0);
    hub.stop().await;
}

/// Scenario: queries whose clients go away at once, more than may run at one time; then a stop. Guarantees: an honest query is
/// answered, and the hub stops within its time.
#[tokio::test(flavor = "multi_thread")]
async fn h11_queries_end_with_their_clients() {
    let dir = tempfile::tempdir().unwrap();
    let hub = start(dir.path()).await;
    for id in 1..=40 {
        let many: Vec<u8> = (0..20).flat_map(|number| trace(id, clock::now_ns() - number * SECOND)).collect();
        let answer = post(&hub, "/v1/traces", &[("content-type", "application/x-protobuf")], &many).await;
        assert_eq!(answer.status, 200);
    }
    for _ in 0..64 {
        let mut stream = TcpStream::connect(hub.http).await.unwrap();
        let query = "GET /api/v0/traces?q=name~%22a.*b.*c%22 HTTP/1.1\r\nhost: x\r\n\r\n";
        stream.write_all(query.as_bytes()).await.unwrap();
        drop(stream);
    }
    assert_eq!(get(&hub, "/api/v0/traces").await.status, 200);
    tokio::time::timeout(PATIENCE, hub.stop()).await.expect("a stop");
}

/// Scenario: paths of other tools' APIs, and of none. Guarantees: 404 in JSON, never the page.
#[tokio::test(flavor = "multi_thread")]
async fn u26_an_unknown_api_is_no_page() {
    let dir = tempfile::tempdir().unwrap();
    let hub = start(dir.path()).await;
    for path in ["/loki/api/v1/push", "/api/v1/query", "/api/v0/nothing", "/v1/nothing", "/metrics/x", "/a.php"] {
        let answer = get(&hub, path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.json()["error"].is_string(), "{path}");
    }
    hub.stop().await;
}

/// Scenario: addresses beyond this machine without token, and the http port there at all. Guarantees: refused with the words
/// that allow it; with them it listens.
#[tokio::test(flavor = "multi_thread")]
async fn h16_nobody_listens_unprotected_by_accident() {
    let dir = tempfile::tempdir().unwrap();
    let config = || common::config(&dir.path().join("data"));
    let refused = async |config| hub::run::start(config).await.err().unwrap().to_string();
    let open_link = || hub::run::Config { link: "0.0.0.0:0".into(), ..config() };
    let open_http = || hub::run::Config { http: "0.0.0.0:0".into(), ..config() };
    assert!(refused(open_link()).await.contains("--insecure-no-token"));
    assert!(refused(open_http()).await.contains("--insecure-plain-http"));
    assert!(!dir.path().join("data").try_exists().unwrap());
    let token = dir.path().join("token");
    std::fs::write(&token, "s3cret").unwrap();
    for allowed in [
        hub::run::Config { token_file: Some(token), ..open_link() },
        hub::run::Config { insecure_no_token: true, ..open_link() },
        hub::run::Config { insecure_plain_http: true, ..open_http() },
    ] {
        hub::run::start(allowed).await.unwrap().stop().await;
    }
}
