//! What producers may send to the real program, and what it says to what it does not take.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use model::proto::{put_bytes, put_fixed64, put_message, put_uint};
use support::{Agent, PROGRAM, PROTOBUF, now_ns, request, run, text_attribute, wait_until};

/// A span as an HTTP instrumentation of Go writes it: about 640 bytes.
fn span(out: &mut Vec<u8>, number: u64) {
    put_message(out, 2, |out| {
        let mut trace = [7; 16];
        trace[..8].copy_from_slice(&(number / 8 + 1).to_be_bytes());
        put_bytes(out, 1, &trace);
        put_bytes(out, 2, &(number + 1).to_be_bytes());
        put_bytes(out, 5, b"GET /api/v1/orders/{id}");
        put_uint(out, 6, 3);
        put_fixed64(out, 7, now_ns());
        put_fixed64(out, 8, now_ns());
        for key in
            ["url.full", "server.address", "user_agent.original", "http.route", "network.peer.address", "a.b", "c.d"]
        {
            text_attribute(out, 9, key, &format!("https://orders.shop.example/api/v1/orders/{number}?page=1&size=50"));
        }
    });
}

fn spans(count: u64) -> Vec<u8> {
    request(|out| (0..count).for_each(|number| span(out, number)))
}

fn line(out: &mut Vec<u8>, text: &str, attributes: &[(&str, &str)]) {
    put_message(out, 2, |out| {
        put_fixed64(out, 1, now_ns());
        put_message(out, 5, |out| put_bytes(out, 1, text.as_bytes()));
        attributes.iter().for_each(|(key, value)| text_attribute(out, 6, key, value));
    });
}

fn received(agent: &Agent, signal: &str) -> u64 {
    agent.status()["ledger"]["received"][signal].as_u64().unwrap()
}

/// Scenario: the default batch of the Go SDK (512 ordinary HTTP spans), and a request of 4 MiB, to an agent with default
/// limits. Guarantees: both are taken whole, every record once.
#[test]
fn i3_default_batches_pass() {
    let agent = Agent::start();
    let batch = spans(512);
    assert!(batch.len() > 300_000, "{}", batch.len());
    assert_eq!(agent.post("/v1/traces", PROTOBUF, &batch).0, 200);
    assert_eq!(received(&agent, "traces"), 512);
    let lines = request(|out| (0..4_000).for_each(|number| line(out, &format!("{number} {}", "x".repeat(980)), &[])));
    assert!(lines.len() > 4_000_000 && lines.len() < 4 << 20, "{}", lines.len());
    assert_eq!(agent.post("/v1/logs", PROTOBUF, &lines).0, 200);
    assert_eq!(received(&agent, "logs"), 4_000);
    let status = agent.status();
    assert_eq!(status["ledger"]["difference"], 0, "{status}");
    assert_eq!(agent.post("/v1/logs", PROTOBUF, &vec![0; 5 << 20]).0, 413);
    wait_until("it is counted", || agent.status()["intake"]["refused_requests"]["too_large"] == 1);
}

/// Scenario: 512 spans of as many traces in one request, to an agent with the memory of a sensor, and to one with the least
/// there may be for decisions. Guarantees: the first takes all of it; the second takes it or tells the producer to come
/// again, and never that it is bad.
#[test]
fn i3_a_batch_of_as_many_traces_is_never_bad() {
    let body = request(|out| {
        (0..512u64).for_each(|number| {
            put_message(out, 2, |out| {
                let mut trace = [7; 16];
                trace[..8].copy_from_slice(&(number + 1).to_be_bytes());
                put_bytes(out, 1, &trace);
                put_bytes(out, 2, &(number + 1).to_be_bytes());
                put_bytes(out, 5, b"poll");
                put_fixed64(out, 7, now_ns());
                put_fixed64(out, 8, now_ns());
            });
        });
    });
    let sensor = Agent::start_with("sampling: { memory: 256KiB }\nrecorder: { memory: 512KiB }\n");
    assert_eq!(sensor.post("/v1/traces", PROTOBUF, &body).0, 200);
    assert_eq!(received(&sensor, "traces"), 512);
    let least = Agent::start_with("sampling: { memory: 64KiB }\n");
    let (code, answer) = least.post("/v1/traces", PROTOBUF, &body);
    assert!(code == 200 || code == 503, "{code} {answer}");
    assert_eq!(least.status()["ledger"]["difference"], 0);
}

/// Scenario: large requests of every signal, and few bytes that decode to many records, to an agent with `memory: 12MiB` and
/// the recorder in files, one after the other. Guarantees: its anonymous memory stays under the limit at any moment that is
/// looked at (P9).
#[test]
fn i14_memory_stays_under_its_limit_at_any_request() {
    let mut agent = Agent::start_with("memory: 12MiB\nrecorder: { memory: 1MiB, files: 8MiB }\n");
    let pid = agent.pid();
    let (sender, done) = std::sync::mpsc::sync_channel::<()>(1);
    let watching = std::thread::spawn(move || {
        let mut most = 0;
        while done.try_recv().is_err() {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB"));
            most = most.max(line.and_then(|kib| kib.trim().parse::<u64>().ok()).unwrap_or(0));
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        most
    });
    let points = request(|out| {
        put_message(out, 2, |out| {
            put_bytes(out, 1, b"many");
            // 300,000 empty exponential histogram points.
            put_message(out, 10, |out| (0..300_000).for_each(|_| put_bytes(out, 1, &[])));
        });
    });
    let lines = request(|out| (0..4_000).for_each(|number| line(out, &format!("{number} {}", "x".repeat(980)), &[])));
    for (path, body) in [("/v1/metrics", &points), ("/v1/logs", &lines), ("/v1/traces", &spans(6_000))] {
        let (code, answer) = agent.post(path, PROTOBUF, body);
        assert!(code == 200 || code == 503, "{path}: {code} {answer}");
    }
    sender.send(()).unwrap();
    let most = watching.join().unwrap();
    assert!(most < 12 << 10, "{most} KiB");
    agent.kill();
}

/// Scenario: good spans beside some with bad ids; a request of metrics where spans go. Guarantees: the good ones are taken,
/// the answer says how many are not and why; the wrong signal is 400; all is counted in status and metrics.
#[test]
fn i7_what_is_not_taken_is_told() {
    let agent = Agent::start();
    let body = request(|out| {
        span(out, 1);
        put_message(out, 2, |out| put_bytes(out, 1, &[0; 16]));
        put_message(out, 2, |out| put_bytes(out, 1, &[1; 15]));
    });
    let (code, answer) = agent.post("/v1/traces", PROTOBUF, &body);
    assert_eq!(code, 200);
    // partial_success { rejected_spans: 2, error_message }
    assert!(answer.as_bytes().starts_with(&[0x0a]) && answer.contains("\u{8}\u{2}\u{12}"), "{answer:?}");
    assert!(answer.contains("2 invalid_trace_id"), "{answer:?}");
    assert_eq!(received(&agent, "traces"), 1);
    let metrics = request(|out| {
        put_message(out, 2, |out| {
            put_bytes(out, 1, b"requests");
            put_message(out, 5, |out| put_message(out, 1, |out| put_fixed64(out, 3, now_ns())));
        });
    });
    let (code, answer) = agent.post("/v1/traces", PROTOBUF, &metrics);
    assert_eq!(code, 400);
    assert!(answer.contains("this is a request of metrics"), "{answer:?}");
    let status = agent.status();
    assert_eq!(status["intake"]["rejected_records"]["invalid_trace_id"], 2, "{status}");
    assert_eq!(status["intake"]["refused_requests"]["wrong_signal"], 1, "{status}");
    assert!(agent.get("/metrics").contains("lightship_rejected_records_total{reason=\"invalid_trace_id\"} 2"));
}

/// Scenario: a key comes again with the same request, with another one, with another one after a restart with the recorder
/// in files. Guarantees: taken once; the others are 422 and counted, nothing of them is taken.
#[test]
fn i12_a_key_with_another_request_is_422() {
    let mut agent = Agent::start_with("recorder: { memory: 256KiB, files: 2MiB }\n");
    let headers = "content-type: application/x-protobuf\r\nidempotency-key: k1";
    let first = request(|out| line(out, "first", &[]));
    assert_eq!(agent.post("/v1/logs", headers, &first).0, 200);
    assert_eq!(agent.post("/v1/logs", headers, &first).0, 200);
    let other = request(|out| line(out, "other", &[]));
    assert_eq!(agent.post("/v1/logs", headers, &other).0, 422);
    assert_eq!(agent.post("/v1/traces", headers, &spans(1)).0, 422);
    assert_eq!(received(&agent, "logs"), 1);
    assert_eq!(agent.status()["intake"]["refused_requests"]["key_reused"], 2);
    agent.kill();
    agent.restart();
    assert_eq!(agent.post("/v1/logs", headers, &other).0, 422);
    assert_eq!(agent.post("/v1/logs", headers, &first).0, 200);
}

/// Scenario: 200 sockets to the admin address and to the Unix socket that never say anything, with 64 file descriptors for
/// the program; then records come and status is asked. Guarantees: all of it works, records become durable, the limits are
/// told (P2).
#[test]
fn i15_silent_sockets_take_no_descriptor_from_the_journal() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let file = directory.path().join("lightship.yaml");
    std::fs::write(&file, support::configuration(&data, "")).unwrap();
    let command = format!("ulimit -n 64; exec {PROGRAM} run --config {}", file.display());
    let child = Command::new("sh").arg("-c").arg(command).stderr(Stdio::piped()).spawn().unwrap();
    let agent = Agent::of(child, directory);
    let (admin, socket) = (agent.admin().to_owned(), data.join("lightship.sock"));
    let silent: Vec<_> = (0..200).filter_map(|_| TcpStream::connect(&admin).ok()).collect();
    let local: Vec<_> = (0..200).filter_map(|_| UnixStream::connect(&socket).ok()).collect();
    let producers: Vec<_> = (0..200).filter_map(|_| TcpStream::connect(agent.http()).ok()).collect();
    for number in 0..20 {
        let body = request(|out| line(out, &format!("line {number}"), &[]));
        assert_eq!(agent.post("/v1/logs", PROTOBUF, &body).0, 200);
    }
    wait_until("all are in the journal", || {
        let status = agent.status();
        status["ledger"]["routed"]["logs"] == 20 && status["disk"]["error"] == ""
    });
    let status = agent.status();
    assert!(status["intake"]["most_connections"].as_u64().unwrap() < 40, "{status}");
    drop((silent, local, producers));
}

fn admin(agent: &Agent, request: &str) -> String {
    let mut stream = TcpStream::connect(agent.admin()).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Scenario: a page of another place, a name of another place, and a script without a token ask for an incident window.
/// Guarantees: refused, nothing changes, counted; the Unix socket takes the order; reading stays open.
#[test]
fn i16_only_the_socket_changes_something() {
    let agent = Agent::start();
    let post = "POST /sampling/incident?for=1m HTTP/1.0\r\nhost: localhost\r\n";
    assert!(admin(&agent, &format!("{post}origin: http://evil.example\r\n\r\n")).starts_with("HTTP/1.0 403"));
    assert!(admin(&agent, &format!("{post}\r\n")).starts_with("HTTP/1.0 403"));
    let other = "GET /status HTTP/1.0\r\nhost: evil.example\r\n\r\n";
    assert!(admin(&agent, other).starts_with("HTTP/1.0 403"));
    assert!(agent.get("/metrics").contains("lightship_incident_open 0"));
    let mut socket = UnixStream::connect(agent.directory.path().join("data/lightship.sock")).unwrap();
    write!(socket, "{post}\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    let metrics = agent.get("/metrics");
    wait_until("the window is open", || agent.get("/metrics").contains("lightship_incident_open 1"));
    assert!(metrics.contains("refused_requests_total{reason=\"origin_not_allowed\"} 1"), "{metrics}");
    assert!(admin(&agent, "DELETE /status HTTP/1.0\r\n\r\n").starts_with("HTTP/1.0 403"));
    assert!(admin(&agent, "GET /sampling/incident HTTP/1.0\r\n\r\n").contains("allow: POST"));
}

/// Scenario: lines name the lane mission, to an agent that lets no producer choose it, and to one that does with a small
/// share. Guarantees: the first keeps them in their usual lane and counts it; the second takes them up to the share, then
/// tells the producer to wait, and another service still gets in (P11).
#[test]
fn i17_who_enters_mission_is_configuration() {
    let mission = |number: usize| {
        request(|out| line(out, &format!("{number} {}", "x".repeat(1000)), &[("lightship.lane", "mission")]))
    };
    let closed = Agent::start_plain("");
    assert_eq!(closed.post("/v1/logs", PROTOBUF, &mission(1)).0, 200);
    let status = closed.status();
    assert_eq!(status["intake"]["lane_not_allowed"], 1, "{status}");
    wait_until("it is in its usual lane", || closed.status()["disk"]["lanes"]["logs"].as_u64().unwrap_or(0) > 0);
    assert!(closed.status()["disk"]["lanes"]["mission"].is_null());
    let open = Agent::start_plain(", lanes: [mission], lane_bytes_per_minute: 3KiB");
    let codes: Vec<_> = (0..5).map(|number| open.post("/v1/logs", PROTOBUF, &mission(number)).0).collect();
    assert_eq!(codes, [200, 200, 503, 503, 503]);
    assert_eq!(open.status()["intake"]["refused_requests"]["lane_over_budget"], 3);
    let mut other = Vec::new();
    put_message(&mut other, 1, |out| {
        put_message(out, 1, |out| text_attribute(out, 1, "service.name", "other"));
        put_message(out, 2, |out| line(out, "mine", &[("lightship.lane", "mission")]));
    });
    assert_eq!(open.post("/v1/logs", PROTOBUF, &other).0, 200);
}

/// Scenario: SIGHUP to a running agent with accepted records. Guarantees: it goes on, and ends nothing.
#[test]
fn j4_a_hangup_ends_nothing() {
    let agent = Agent::start();
    assert_eq!(agent.post("/v1/logs", PROTOBUF, &request(|out| line(out, "before", &[]))).0, 200);
    let sent = Command::new("kill").arg("-HUP").arg(agent.pid().to_string()).status().unwrap();
    assert!(sent.success());
    assert_eq!(agent.post("/v1/logs", PROTOBUF, &request(|out| line(out, "after", &[]))).0, 200);
    assert_eq!(received(&agent, "logs"), 2);
    let shown = run(&["status", "--config", &agent.config()]);
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
}
