//! Remote write into the real agent: from another agent's sink, and by hand what senders do wrong.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use model::proto::{put_bytes, put_fixed64, put_message, put_uint};
use support::{Agent, now_ns, request, run, wait_until};

fn taking() -> Agent {
    let hub = ["{ name: hub, type: hub, url: 'http://127.0.0.1:9' }".to_owned()];
    let mut agent = Agent::start_delivering(&hub, "");
    agent.kill();
    let config = fs::read_to_string(agent.config()).unwrap();
    fs::write(agent.config(), config.replace("sources:\n", "sources:\n  remote_write: {}\n")).unwrap();
    agent.restart_logged();
    agent
}

fn found(agent: &Agent, filter: &str) -> Vec<serde_json::Value> {
    let output = run(&["query", "--config", &agent.config(), "-o", "ndjson", filter]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The answer to a message: its first line and its headers, in small letters.
fn write(agent: &Agent, kind: &str, body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(agent.http()).unwrap();
    let head = format!(
        "POST /api/v1/write HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-encoding: snappy\r\ncontent-type: {kind}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer.to_ascii_lowercase())
}

fn snappy(body: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(body).unwrap()
}

const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

/// Scenario: an agent sends metrics by remote write to another one. Guarantees: what arrives is what was sent, and both agree on
/// how much that is.
#[test]
fn one_agent_writes_and_another_takes() {
    let taking = taking();
    let destination = format!("{{ name: prom, type: prometheus, url: 'http://{}' }}", taking.http());
    let sending = Agent::start_delivering(&[destination], "telemetry: { interval: 0s }\n");
    let now = now_ns();
    let metrics = request(|out| {
        put_message(out, 2, |out| {
            put_bytes(out, 1, b"fuel");
            put_message(out, 7, |out| {
                for number in 0..5_u64 {
                    put_message(out, 1, |out| {
                        put_fixed64(out, 2, now - 10_000_000_000);
                        put_fixed64(out, 3, now - number * 1_000_000_000);
                        put_fixed64(out, 4, 7.5_f64.to_bits());
                        support::text_attribute(out, 7, "tank", "aft");
                    });
                }
                put_uint(out, 2, 2);
                put_uint(out, 3, 1);
            });
        });
    });
    let (code, _) = sending.post("/v1/metrics", support::PROTOBUF, &metrics);
    assert_eq!(code, 200);
    wait_until("all came", || found(&taking, "signal=metric name=fuel_total tank=aft").len() == 5);
    let status = taking.status();
    let source = status["sources"].as_array().unwrap().iter().find(|one| one["name"] == "remote_write").unwrap();
    assert!(source["records"].as_u64() >= Some(5) && source["errors"] == serde_json::json!([]), "{source}");
    let record = found(&taking, "signal=metric name=fuel_total")[0].to_string();
    assert!(record.contains("7.5") && record.contains("api"), "{record}");
}

/// Scenario: a message that is taken in part, and ones that are none, with the wrong type, the wrong coding, too large. Guarantees: each answer
/// tells whether to try again, of 2.0 with what was written, and each is counted.
#[test]
fn what_senders_do_wrong_is_told() {
    let agent = taking();
    let mut body = Vec::new();
    for symbol in ["", "__name__", "speed", "x", "y"] {
        put_bytes(&mut body, 4, symbol.as_bytes());
    }
    for labels in [&[1, 2][..], &[3, 4]] {
        put_message(&mut body, 5, |out| {
            put_bytes(out, 1, labels);
            put_message(out, 2, |out| {
                put_fixed64(out, 1, 3.0_f64.to_bits());
                put_uint(out, 2, now_ns() / 1_000_000);
            });
        });
    }
    let (code, answer) = write(&agent, V2, &snappy(&body));
    assert_eq!(code, 400, "{answer}");
    for line in ["samples-written: 1\r\n", "histograms-written: 0\r\n", "exemplars-written: 0\r\n"] {
        assert!(answer.contains(&format!("x-prometheus-remote-write-{line}")), "{answer}");
    }
    wait_until("the good one is there", || found(&agent, "signal=metric name=speed").len() == 1);
    let (code, answer) = write(&agent, "application/x-protobuf", &snappy(b"\x0a\x7fx"));
    assert!(code == 400 && answer.contains("no remote write message") && !answer.contains("written:"), "{answer}");
    assert_eq!(write(&agent, V2, b"\xff\xff\xff\xff\x0f").0, 413);
    assert_eq!(write(&agent, V2, b"no snappy at all").0, 400);
    assert_eq!(write(&agent, "text/plain", &snappy(&body)).0, 415);
    assert_eq!(write(&agent, "application/x-protobuf;proto=other", &snappy(&body)).0, 415);
    assert_eq!(write(&agent, V2, &snappy(&vec![0; 5 << 20])).0, 413);
    let status = agent.status();
    let source = status["sources"].as_array().unwrap().iter().find(|one| one["name"] == "remote_write").unwrap();
    let reasons: Vec<&str> =
        source["errors"].as_array().unwrap().iter().map(|error| error["reason"].as_str().unwrap()).collect();
    for reason in ["refused_sample", "malformed", "too_large", "undecodable", "unsupported_content_type"] {
        assert!(reasons.contains(&reason), "{reasons:?}");
    }
    let (code, _) = Agent::start().post("/api/v1/write", "content-type: application/x-protobuf", b"");
    assert_eq!(code, 404, "it is not taken where nobody asked for it");
}
