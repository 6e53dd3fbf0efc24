//! The real program with bad input: each fault has a clear answer, and nothing else is lost.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::io::Write;
use std::net::TcpListener;

use model::proto::{put_bytes, put_fixed64, put_message, put_uint};
use support::{Agent, PROTOBUF, configuration, run};

fn span(name: &[u8]) -> Vec<u8> {
    let mut request = Vec::new();
    put_message(&mut request, 1, |out| {
        put_message(out, 2, |out| {
            put_message(out, 2, |out| {
                put_bytes(out, 1, &[7; 16]);
                put_bytes(out, 2, &[8; 8]);
                put_bytes(out, 5, name);
                put_fixed64(out, 7, 1_760_000_000_000_000_000);
                put_fixed64(out, 8, 1_760_000_000_300_000_000);
                put_uint(out, 99, 1);
            });
        });
    });
    request
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const GZIP: &str = "content-type: application/x-protobuf\r\ncontent-encoding: gzip";
const ZSTD: &str = "content-type: application/x-protobuf\r\ncontent-encoding: zstd";

/// Scenario: malformed protobuf, a truncated gzip, bombs in gzip and zstd, a 100 MB body, bad JSON, another media
/// type, an unknown encoding, a
/// wrong path, invalid UTF-8, unknown fields; good requests between them, plain, in gzip and in zstd.
/// Guarantees: each fault has its own status and words, each is counted, every good request is accepted, and the books
/// balance (P1, P9).
#[test]
fn bad_requests_are_answered_and_lose_nothing() {
    let agent = Agent::start();
    let good = span(b"good");
    assert_eq!(agent.post("/v1/traces", PROTOBUF, &good).0, 200);
    let bomb = vec![0u8; 64 << 20];
    let zstd_bomb = zstd::bulk::compress(&bomb, 1).unwrap();
    let cut = &gzip(&good)[..10];
    for (path, headers, body, code, words) in [
        ("/v1/traces", PROTOBUF, b"not protobuf at all".as_slice(), 400, "not an OTLP traces request"),
        ("/v1/logs", PROTOBUF, &good[..good.len() - 1], 400, "cut off"),
        ("/v1/traces", GZIP, cut, 400, "what its encoding says"),
        ("/v1/traces", GZIP, &gzip(&bomb), 413, "larger than 4194304 bytes"),
        ("/v1/traces", ZSTD, &zstd_bomb, 413, "larger than 4194304 bytes"),
        ("/v1/traces", ZSTD, b"\x28\xb5\x2f\xfdxxxx", 400, "what its encoding says"),
        ("/v1/traces", "content-type: application/json", b"[]", 400, "not OTLP/JSON"),
        ("/v1/traces", "content-type: text/plain", b"{}", 415, "application/json"),
        ("/v1/traces", "content-type: application/x-protobuf\r\ncontent-encoding: br", b"", 415, "gzip, zstd"),
        ("/v2/traces", PROTOBUF, b"", 404, "/v1/traces"),
    ] {
        let (found, text) = agent.post(path, headers, body);
        assert_eq!(found, code, "{path} {headers}: {text}");
        assert!(text.contains(words), "{path} {headers}: {text}");
        assert_eq!(agent.post("/v1/traces", PROTOBUF, &good).0, 200, "after {code} {words}");
    }
    let huge = vec![0u8; 100_000_000];
    let (code, _) = agent.post("/v1/traces", PROTOBUF, &huge);
    // Whether the answer still reaches a producer that goes on sending is up to its own socket.
    assert!(code == 413 || code == 0, "{code}");
    assert_eq!(agent.post("/v1/traces", GZIP, &gzip(&good)).0, 200);
    assert_eq!(agent.post("/v1/traces", ZSTD, &zstd::bulk::compress(&good, 3).unwrap()).0, 200);
    assert_eq!(agent.post("/v1/traces", PROTOBUF, &span(b"bad \xff text")).0, 200);

    // Without policies every trace is kept, after the wait of 10 s: enough that the books balance now.
    let status = agent.status();
    assert_eq!(status["ledger"]["received"]["traces"], 14);
    assert_eq!(status["ledger"]["difference"], 0);
    assert!(agent.metric("bad_requests_total") >= 2.0);
    assert!(agent.get("/metrics").contains("lightship_refused_requests_total{reason=\"too_large\"} 3"));
    assert!(agent.get("/healthz").contains("ok"));
}

fn fails(configuration: &str, code: i32, words: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("lightship.yaml");
    std::fs::write(&file, configuration).unwrap();
    let output = run(&["run", "--config", file.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}");
    for word in words {
        assert!(text.contains(word), "'{word}' is not in: {text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

/// Scenario: an unknown key, a port in use, a data directory that is a file, one that another agent has, a missing
/// authority file, no configuration. Guarantees: exit code 2 and a message with place and remedy, never a panic.
#[test]
fn bad_starts_are_explained() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    fails(&configuration(&data_dir, "colour: red\n"), 2, &["lightship.yaml:11:1", "unknown field", "colour"]);

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let text = configuration(&data_dir, "").replace("listen: '127.0.0.1:0'", &format!("listen: '{address}'"));
    fails(&text, 2, &["admin.listen", &address, "choose another port"]);

    let file = directory.path().join("file");
    std::fs::write(&file, b"x").unwrap();
    fails(&configuration(&file, ""), 2, &["data_dir", file.to_str().unwrap()]);

    let agent = Agent::start();
    fails(&configuration(&agent.directory.path().join("data"), ""), 2, &["in use by another process"]);

    let text = configuration(&data_dir, "").replace("http://127.0.0.1:9", "https://127.0.0.1:9");
    let text = text.replace("type: hub,", "type: hub, ca_file: /nowhere/ca.pem,");
    fails(&text, 2, &["destination hub", "/nowhere/ca.pem", "PEM"]);

    let output = run(&["run", "--config", "/nowhere/lightship.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("lightship init"));
}

/// Scenario: the words of the command line. Guarantees: help, version, a starter file that `check` accepts, and refusals
/// with exit code 2.
#[test]
fn the_command_line_answers() {
    assert!(String::from_utf8_lossy(&run(&["--help"]).stdout).contains("usage:"));
    assert!(String::from_utf8_lossy(&run(&["--version"]).stdout).starts_with("lightship "));
    assert_eq!(run(&["sail"]).status.code(), Some(2));
    assert_eq!(run(&["run", "--colour"]).status.code(), Some(2));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("lightship.yaml");
    let path = file.to_str().unwrap();
    assert!(run(&["init", "--device-type", "sensor", "--output", path]).status.success());
    assert_eq!(run(&["init", "--output", path]).status.code(), Some(2), "a file is never overwritten");
    let text = std::fs::read_to_string(&file).unwrap();
    let data_dir = directory.path().join("data");
    let text = text.replace("/var/lib/lightship ", &format!("{} ", data_dir.display()));
    let text = text.replace("    ca_file:", "    # ca_file:").replace("https://hub", "http://hub");
    std::fs::write(&file, text).unwrap();
    let output = run(&["check", "--config", path]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("the configuration is good"), "{said}");
    assert_eq!(run(&["status", "--config", path]).status.code(), Some(1), "nobody runs");
}
