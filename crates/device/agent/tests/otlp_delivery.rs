//! The real program and an OTLP endpoint that a test plays: what each answer means for the records.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use model::proto::{put_bytes, put_fixed64, put_message, put_uint};
use support::server::{Reply, Seen, Server};
use support::{Agent, PROTOBUF, now_ns, request, wait_until};

fn line(text: &str) -> Vec<u8> {
    request(|out| {
        put_message(out, 2, |out| {
            put_fixed64(out, 1, now_ns());
            put_message(out, 5, |out| put_bytes(out, 1, text.as_bytes()));
        });
    })
}

fn backend(server: &Server) -> Vec<String> {
    vec![format!("{{ name: backend, type: otlp, url: 'http://{}', max_backoff: 1s }}", server.address)]
}

fn reply(status: u16, headers: &str, body: &str) -> Reply {
    (status, headers.to_owned(), body.as_bytes().to_vec())
}

fn inflated(seen: &Seen) -> Vec<u8> {
    let mut out = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&seen.body[..]), &mut out).unwrap();
    out
}

fn has(seen: &Seen, text: &str) -> bool {
    inflated(seen).windows(text.len()).any(|window| window == text.as_bytes())
}

/// The way that log records go.
const LOGS: &str = "backend.logs";

/// What the agent says of that way.
fn row(agent: &Agent) -> serde_json::Value {
    let status = agent.status();
    status["destinations"].as_array().unwrap().iter().find(|one| one["name"] == LOGS).unwrap().clone()
}

/// Delivered, rejected and queued log records, at a moment when no confirmation is on its way to the books.
fn books(agent: &Agent) -> (u64, u64, u64) {
    let mut status = agent.status();
    wait_until("the books balance", || {
        status = agent.status();
        status["ledger"]["difference"] == 0
    });
    let rows = status["ledger"]["destinations"].as_array().unwrap();
    let one = rows.iter().find(|one| one["name"] == LOGS).unwrap();
    let number = |name: &str| one[name].as_u64().unwrap();
    (number("delivered"), number("rejected"), number("queued"))
}

fn send(agent: &Agent, text: &str) {
    assert_eq!(agent.post("/v1/logs", PROTOBUF, &line(text)).0, 200);
}

/// Scenario: a backend refuses a request for good with some words, one of them a line break; a second agent takes what was refused from
/// the file in which it is kept. Guarantees: the records are booked as rejected by reason, in status and metrics, with the server's
/// words, which are logged once; nothing of it is lost (P1, P3).
#[test]
fn d2_what_is_refused_is_told_and_kept() {
    let server = Server::start(|seen| match has(seen, "poison") {
        true => reply(400, "", "no\nforged: line 'poison' is bad"),
        false => reply(200, "", ""),
    });
    let agent = Agent::start_delivering(&backend(&server), "");
    for number in 0..3 {
        send(&agent, &format!("poison {number}"));
        wait_until("it is refused", || books(&agent) == (0, number + 1, 0));
    }
    send(&agent, "good");
    wait_until("the good one comes", || books(&agent) == (1, 3, 0));
    let row = row(&agent);
    assert_eq!((row["rejected"]["rejected_status"].as_u64(), row["state"].as_str()), (Some(3), Some("up")), "{row}");
    assert!(row["words"]["rejected_status"].as_str().unwrap().ends_with("no forged: line 'poison' is bad"), "{row}");
    let metrics = agent.get("/metrics");
    let wanted = "lightship_destination_rejected_records_total{destination=\"backend\",signal=\"logs\",reason=\"rejected_status\"} 3";
    assert!(metrics.contains(wanted) && metrics.contains("lightship_dead_letter_files 3"), "{metrics}");
    assert!(
        agent.get("/status?format=text").contains("rejected   3 records (rejected_status): the server answers 400")
    );
    let log = agent.log();
    assert_eq!(
        log.matches("are refused for good (rejected_status; they are kept in dead-letters)").count(),
        1,
        "{log}"
    );
    assert!(!log.lines().any(|line| line.starts_with("forged")), "{log}");

    let mut other = Agent::start_delivering(&["{ name: hub, type: hub, url: 'http://127.0.0.1:9' }".into()], "");
    assert!(other.terminate().success());
    let letters = agent.directory.path().join("data/dead-letters");
    for letter in std::fs::read_dir(letters).unwrap() {
        let path = letter.unwrap().path();
        let output = support::run(&["journal", "import", "--config", &other.config(), path.to_str().unwrap()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let output = support::run(&["query", "--config", &other.config(), "-o", "ndjson", "poison"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 3);
}

/// Scenario: a backend answers 500 to one record again and again and takes the others; another one answers 500 to everything for a
/// while. Guarantees: the first loses one record to dead letters and gets the rest; the second gets everything: a server that fails is
/// waited for (P3).
#[test]
fn d2_a_failing_server_is_not_a_refusal() {
    let picky = Server::start(|seen| match has(seen, "poison") {
        true => reply(500, "", "cannot"),
        false => reply(200, "", ""),
    });
    let agent = Agent::start_delivering(&backend(&picky), "");
    send(&agent, "poison");
    wait_until("it is rejected", || books(&agent) == (0, 1, 0));
    send(&agent, "good");
    wait_until("the good one comes", || books(&agent) == (1, 1, 0));
    assert_eq!(row(&agent)["rejected"]["failed_status"], 1);

    let well = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&well);
    let ill = Server::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0..9 => reply(500, "", "starting"),
        _ => reply(200, "", ""),
    });
    let agent = Agent::start_delivering(&backend(&ill), "");
    send(&agent, "one");
    wait_until("it comes after all", || books(&agent) == (1, 0, 0));
    assert!(well.load(Ordering::SeqCst) > 9);
}

/// Scenario: a server takes requests but for some records of them, with and without words, and one time only warns. Guarantees: what it
/// refused is booked by its count, nothing is sent again, and a warning loses nothing (P1).
#[test]
fn d2_a_partial_success_is_booked() {
    let answers = Mutex::new(vec![b"\x0a\x07\x08\x00\x12\x03old".to_vec(), b"\x0a\x07\x08\x01\x12\x03bad".to_vec()]);
    let server = Server::start(move |_| {
        let body = answers.lock().unwrap().pop().unwrap_or_default();
        (200, "content-type: application/x-protobuf\r\n".into(), body)
    });
    let agent = Agent::start_delivering(&backend(&server), "");
    send(&agent, "one");
    wait_until("the first is refused", || books(&agent) == (0, 1, 0));
    send(&agent, "two");
    wait_until("the second is taken", || books(&agent) == (1, 1, 0));
    assert_eq!(server.seen().len(), 2);
    assert_eq!(row(&agent)["words"]["partial_success"], "bad");
    wait_until("the warning is told", || agent.log().contains("and says: old"));
}

/// Scenario: a server sends requests on: to another path of itself, to another host, around in circles, with a redirect that would
/// become a GET. Guarantees: only the first is followed, and nothing is lost: the others wait, and say where they were sent (P3).
#[test]
fn d5_a_redirect_is_followed_or_waited_at() {
    for status in [307, 308] {
        let server = Server::start(move |seen| match seen.path.as_str() {
            "/v1/logs" => reply(status, "location: /moved/v1/logs\r\n", ""),
            _ => reply(200, "", ""),
        });
        let agent = Agent::start_delivering(&backend(&server), "");
        send(&agent, "one");
        wait_until("it is followed", || books(&agent) == (1, 0, 0));
        assert!(has(server.seen().last().unwrap(), "one"));
    }
    for (status, location) in [
        (307, "http://127.0.0.2:9/v1/logs"),
        (308, "/v1/logs"),
        (302, "/login"),
        (301, "https://elsewhere/"),
        (303, ""),
    ] {
        let server = Server::start(move |_| reply(status, &format!("location: {location}\r\n"), ""));
        let agent = Agent::start_delivering(&backend(&server), "");
        send(&agent, "one");
        wait_until("it waits", || row(&agent)["state"] == "blocked");
        let row = row(&agent);
        assert_eq!(row["last_reason"], "redirected", "{row}");
        assert_eq!(books(&agent), (0, 0, 1), "{status} {location}");
        server.answer(|_| reply(200, "", ""));
        wait_until("it comes after all", || books(&agent) == (1, 0, 0));
    }
}

/// Scenario: what answers is a captive portal, another server, or a proxy with a page of its own; then the way is free. Guarantees:
/// nothing counts as delivered meanwhile, status says what answered, and everything comes (P3).
#[test]
fn d6_a_portal_delivers_nothing() {
    for (status, headers, body) in [
        (200, "content-type: text/html\r\n", "<html>log in</html>"),
        (200, "content-type: text/html\r\n", ""),
        (200, "content-type: application/x-protobuf\r\n", "<junk>"),
        (511, "", "log in"),
        (421, "", ""),
        (407, "", "proxy"),
        (426, "", ""),
    ] {
        let server = Server::start(move |_| reply(status, headers, body));
        let agent = Agent::start_delivering(&backend(&server), "");
        send(&agent, "one");
        wait_until("it waits", || row(&agent)["state"] == "blocked");
        assert_eq!(books(&agent), (0, 0, 1), "{status} {headers}");
        server.answer(|_| reply(200, "", ""));
        wait_until("it comes after all", || books(&agent) == (1, 0, 0));
    }
}

/// Scenario: a backend asks to wait for decades, in seconds and as a date; an operator resumes the queue, with the longest wait set to
/// an hour, and in another agent to a second. Guarantees: no wait is longer than the longest one, and an operator ends it (P3).
#[test]
fn d7_no_wait_is_for_ever() {
    for wish in ["1795928527", "Fri, 31 Dec 2099 23:59:59 GMT"] {
        for (longest, resumes) in [("1s", false), ("1h", true)] {
            let server = Server::start(move |_| reply(503, &format!("retry-after: {wish}\r\n"), "busy"));
            let name = "{ name: backend, type: otlp, url: 'http://";
            let agent = Agent::start_delivering(&[format!("{name}{}', max_backoff: {longest} }}", server.address)], "");
            send(&agent, "one");
            wait_until("it waits", || row(&agent)["state"] == "backoff");
            server.answer(|_| reply(200, "", ""));
            if resumes {
                assert_eq!(books(&agent), (0, 0, 1));
                let output = support::run(&["queue", "resume", "backend", "--config", &agent.config()]);
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            }
            wait_until("it comes", || books(&agent) == (1, 0, 0));
        }
    }
}

/// Scenario: the server fails in the same way, with words that differ each time. Guarantees: one line in the log, the count in status
/// and metrics.
#[test]
fn d8_the_same_error_is_logged_once() {
    let number = AtomicUsize::new(0);
    let server = Server::start(move |_| {
        reply(503, "", &format!("not valid for {} seconds more", number.fetch_add(1, Ordering::SeqCst)))
    });
    let agent = Agent::start_delivering(&backend(&server), "");
    send(&agent, "one");
    wait_until("it failed four times", || row(&agent)["failures"].as_u64().unwrap() >= 4);
    assert_eq!(agent.log().matches("seconds more").count(), 1, "{}", agent.log());
    let metrics = agent.get("/metrics");
    assert!(metrics.contains(
        "lightship_send_failures_by_reason_total{destination=\"backend\",signal=\"logs\",reason=\"failed_status\"}"
    ));
}

/// Scenario: a token is replaced on disk while the agent runs, removed, and put back. Guarantees: the next request has the new one; a
/// missing file is told once in the log, in status and in metrics, while the last good one is used; no restart (D8).
#[test]
fn d8_a_token_is_renewed_without_a_restart() {
    let server = Server::start(|_| reply(200, "", ""));
    let directory = tempfile::tempdir().unwrap();
    let (token, tenant) = (directory.path().join("token"), directory.path().join("tenant"));
    std::fs::write(&token, "first\n").unwrap();
    std::fs::write(&tenant, "one").unwrap();
    let agent = Agent::start_delivering(
        &[format!(
            "{{ name: backend, type: otlp, url: 'http://{}', max_backoff: 1s, token_file: {}, headers: {{ x-tenant: 'file:{}' }} }}",
            server.address,
            token.display(),
            tenant.display()
        )],
        "",
    );
    let shown = |wanted: &str| {
        wait_until(wanted, || {
            send(&agent, "a");
            server.seen().last().is_some_and(|seen| seen.head.to_ascii_lowercase().contains(wanted))
        });
    };
    shown("bearer first");
    std::fs::write(&token, "second").unwrap();
    std::fs::write(&tenant, "two").unwrap();
    shown("bearer second");
    shown("x-tenant: two");
    std::fs::remove_file(&token).unwrap();
    wait_until("it is told", || {
        send(&agent, "a");
        row(&agent)["stale_files"].as_str().unwrap().contains("token")
    });
    shown("bearer second");
    assert!(agent.get("/status?format=text").contains("  files      what was read before is used on: token_file /"));
    assert!(
        agent.get("/metrics").contains("lightship_destination_stale_files{destination=\"backend\",signal=\"logs\"} 1")
    );
    std::fs::write(&token, "third").unwrap();
    shown("bearer third");
    wait_until("it is well", || row(&agent)["stale_files"] == "");
    let log = agent.log();
    assert_eq!(
        log.matches("destination backend: files changed on disk, and what was read before is used on").count(),
        1,
        "{log}"
    );
    assert!(log.contains("destination backend: its files changed on disk, and are in use as they are now"), "{log}");
    assert!(!log.contains("second"), "no secret is logged: {log}");
}

/// Scenario: the server wants another token. Guarantees: the agent says so everywhere: `/readyz` is not ready, `lightship status` ends
/// with 1, the metric is 1; and when the server is content, all is well by itself.
#[test]
fn u9_a_blocked_destination_is_unwell() {
    let server = Server::start(|_| reply(401, "", "expired"));
    let agent = Agent::start_delivering(&backend(&server), "");
    send(&agent, "one");
    wait_until("it is blocked", || agent.get("/readyz").contains("destination backend.logs is blocked"));
    assert!(agent.get("/healthz").contains("\"ok\""), "the process is well");
    let output = support::run(&["status", "--config", &agent.config()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("check the token") && said.contains("expired"), "{said}");
    assert!(agent.get("/metrics").contains("lightship_destination_blocked{destination=\"backend\",signal=\"logs\"} 1"));
    server.answer(|_| reply(200, "", ""));
    wait_until("it is ready", || agent.get("/readyz").contains("\"ready\""));
    assert_eq!(support::run(&["status", "--config", &agent.config()]).status.code(), Some(0));
    assert_eq!(books(&agent), (1, 0, 0));
}

fn span(name: &str) -> Vec<u8> {
    request(|out| {
        put_message(out, 2, |out| {
            put_bytes(out, 1, &[7; 16]);
            put_bytes(out, 2, &[7; 8]);
            put_bytes(out, 5, name.as_bytes());
            put_fixed64(out, 7, now_ns());
            put_fixed64(out, 8, now_ns());
            put_message(out, 15, |out| put_uint(out, 3, 2));
        });
    })
}

/// Scenario: a backend takes log records and knows no traces (404), another one takes log records only, by configuration; the agent is
/// killed and starts again. Guarantees: what one signal waits for holds no other signal up; what is not wanted is skipped and booked so;
/// each signal goes on from where it was, and the books balance (P1, P3).
#[test]
fn d1_a_signal_that_is_not_taken_holds_up_no_other() {
    let picky = Server::start(|seen| match seen.path.as_str() {
        "/v1/traces" => reply(404, "", "no traces here"),
        _ => reply(200, "", ""),
    });
    let logs_only = Server::start(|_| reply(200, "", ""));
    let destinations = [
        format!("{{ name: backend, type: otlp, url: 'http://{}', max_backoff: 1s }}", picky.address),
        format!(
            "{{ name: lines, type: otlp, url: 'http://{}', signals: [logs], headers: {{ x-scope-orgid: ship }} }}",
            logs_only.address
        ),
    ];
    let mut agent = Agent::start_delivering(&destinations, "sampling: { decision_wait: 1s }\n");
    let row = |agent: &Agent, name: &str, what: &str| {
        let status = agent.status();
        let rows = status["ledger"]["destinations"].as_array().unwrap();
        rows.iter().find(|one| one["name"] == name).unwrap()[what].as_u64().unwrap()
    };
    for number in 0..2 {
        assert_eq!(agent.post("/v1/traces", PROTOBUF, &span("a span")).0, 200);
        send(&agent, &format!("line {number}"));
        let taken = number + 1;
        wait_until("the log record comes", || {
            books(&agent).0 == taken && row(&agent, "lines.logs", "delivered") == taken
        });
        wait_until("the span waits", || agent.get("/readyz").contains("destination backend.traces is blocked"));
        if number == 0 {
            wait_until("it is passed by", || row(&agent, "lines.logs", "skipped") > 0);
            agent.kill();
            agent.restart_logged();
            assert_eq!(agent.status()["ledger"]["difference"], 0);
        }
    }
    assert!(logs_only.seen().iter().all(|seen| seen.path == "/v1/logs"));
    assert!(logs_only.seen().iter().all(|seen| seen.head.to_ascii_lowercase().contains("x-scope-orgid: ship")));
    picky.answer(|_| reply(200, "", ""));
    wait_until("the spans come after all", || row(&agent, "backend.traces", "queued") == 0);
    assert!(row(&agent, "backend.traces", "delivered") > 0);
    wait_until("the books balance", || agent.status()["ledger"]["difference"] == 0);
}

/// Scenario: a backend refuses two of three log records of one request; an operator lists them, has them sent once more while the backend
/// still refuses them, when it takes one of them, and again when it takes both; a last one is dropped. Guarantees: exactly the refused ones are in the letters and in
/// what `show` prints; what is taken after all is booked as delivered, and is in no letter any more; what is refused again stays (P1, P3).
#[test]
fn d2_a_dead_letter_can_be_sent_again() {
    let server = Server::start(|seen| match has(seen, "poison") {
        true => reply(400, "", "bad record"),
        false => reply(200, "", ""),
    });
    let agent = Agent::start_delivering(&backend(&server), "");
    let config = agent.config();
    let dead = |words: &[&str]| {
        let output = support::run(&[&["queue", "dead", "--config", &config], words].concat());
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert_eq!(dead(&["ls"]), (true, "nothing was refused for good\n".to_owned()));
    let three = request(|out| {
        for text in ["poison one", "fine", "poison two"] {
            put_message(out, 2, |out| {
                put_fixed64(out, 1, now_ns());
                put_message(out, 5, |out| put_bytes(out, 1, text.as_bytes()));
            });
        }
    });
    assert_eq!(agent.post("/v1/logs", PROTOBUF, &three).0, 200);
    wait_until("two are refused", || books(&agent) == (1, 2, 0));
    let (_, listed) = dead(&["ls", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let records: u64 = listed.as_array().unwrap().iter().map(|one| one["records"].as_u64().unwrap()).sum();
    assert_eq!((records, listed[0]["destination"].as_str()), (2, Some("backend")), "{listed}");
    let name = listed[0]["file"].as_str().unwrap().to_owned();
    let (_, shown) = dead(&["show", &name]);
    assert!(shown.contains("poison one") && !shown.contains("fine"), "{shown}");

    assert!(dead(&["retry", "--all"]).0);
    wait_until("they are refused again", || agent.log().contains("2 of its records are refused again"));
    assert_eq!(books(&agent), (1, 2, 0));
    server.answer(|seen| match has(seen, "poison two") {
        true => reply(400, "", "bad record"),
        false => reply(200, "", ""),
    });
    assert!(dead(&["retry", "--all"]).0);
    wait_until("one is taken after all", || books(&agent) == (2, 1, 0));
    wait_until("the letter has the other one", || {
        let listed: serde_json::Value = serde_json::from_str(&dead(&["ls", "--json"]).1).unwrap();
        let name = listed[0]["file"].as_str().unwrap_or_default();
        let shown = dead(&["show", name]).1;
        listed.as_array().unwrap().len() == 1 && shown.contains("poison two") && !shown.contains("poison one")
    });
    server.answer(|_| reply(200, "", ""));
    assert!(dead(&["retry", "--all"]).0);
    wait_until("they are taken after all", || books(&agent) == (3, 0, 0));
    wait_until("the letters are gone", || dead(&["ls"]).1 == "nothing was refused for good\n");

    server.answer(|seen| match has(seen, "poison") {
        true => reply(400, "", "bad record"),
        false => reply(200, "", ""),
    });
    send(&agent, "poison three");
    wait_until("it is refused", || books(&agent) == (3, 1, 0));
    assert!(!dead(&["drop"]).0, "it says neither which nor all");
    assert!(dead(&["drop", "--all"]).0);
    assert_eq!(dead(&["ls"]).1, "nothing was refused for good\n");
    assert_eq!(books(&agent), (3, 1, 0));
}

/// Scenario: a backend takes a log record, then is out of reach; the agent is killed and starts again, and the backend is back. Guarantees:
/// what was confirmed before the link was lost is not sent again, and what came since is sent (P3).
#[test]
fn what_was_confirmed_before_the_link_was_lost_is_not_sent_again() {
    let server = Server::start(|_| reply(200, "", ""));
    let mut agent = Agent::start_delivering(&backend(&server), "");
    send(&agent, "first");
    wait_until("it comes", || books(&agent) == (1, 0, 0));
    server.answer(|_| (0, String::new(), Vec::new()));
    send(&agent, "second");
    wait_until("the link is lost", || row(&agent)["state"] == "backoff");
    agent.kill();
    server.answer(|_| reply(200, "", ""));
    agent.restart_logged();
    wait_until("the second one comes", || {
        server.seen().last().is_some_and(|seen| has(seen, "second")) && books(&agent).2 == 0
    });
    assert_eq!(server.seen().iter().filter(|seen| has(seen, "first")).count(), 1);
}

/// Scenario: log records and spans go into files, which are put aside when they are full. Guarantees: each line is an OTLP request as JSON,
/// each signal has its file, and no record is missing (P3).
#[test]
fn records_go_into_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    let destination =
        format!("{{ name: files, type: file, url: 'file:{}', max_file: 1KiB, keep_files: 100 }}", path.display());
    let agent = Agent::start_delivering(&[destination], "sampling: { decision_wait: 1s }\n");
    assert_eq!(agent.post("/v1/traces", PROTOBUF, &span("a span")).0, 200);
    for number in 0..20 {
        send(&agent, &format!("line {number};"));
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let text = |signal: &str| -> String {
        let Ok(entries) = std::fs::read_dir(&path) else { return String::new() };
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.file_name().unwrap().to_str().unwrap().starts_with(signal));
        files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
    };
    wait_until("all lines are there", || (0..20).all(|number| text("logs").contains(&format!("line {number};"))));
    wait_until("the span is there", || text("traces").contains("a span"));
    for line in text("logs").lines().chain(text("traces").lines()) {
        let request: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(request["resourceLogs"].is_array() || request["resourceSpans"].is_array(), "{line}");
    }
    assert!(std::fs::read_dir(&path).unwrap().count() > 3, "none was put aside");
}

/// Scenario: a backend that is no hub is away while log records come, an operator drops them, and the backend is back. Guarantees: it gets
/// the agent's counters as metrics, and a log record that says what was lost, where and why; what the agent says is in the books as
/// generated, and they balance (P1).
#[test]
fn without_a_hub_what_is_lost_is_told_to_the_backend() {
    let server = Server::start(|_| reply(503, "", "away"));
    let agent = Agent::start_delivering(&backend(&server), "telemetry: { interval: 1s }\n");
    send(&agent, "lost one");
    wait_until("it waits", || row(&agent)["state"] == "backoff" && books(&agent).2 == 1);
    let output = support::run(&["queue", "show", "backend", "--config", &agent.config()]);
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(["backend.traces", "backend.logs", "backend.metrics"].iter().all(|way| shown.contains(way)), "{shown}");
    let of_logs = shown.lines().filter(|line| line.split_whitespace().take(2).eq(["logs", "1"]));
    assert_eq!(of_logs.count(), 1, "{shown}");
    assert!(support::run(&["queue", "drop", "backend.logs", "--config", &agent.config()]).status.success());
    server.answer(|_| reply(200, "", ""));
    let came = |path: &str, text: &str| server.seen().iter().any(|seen| seen.path == path && has(seen, text));
    wait_until("the loss is told", || {
        came("/v1/logs", "1 records of lane logs are lost to destination backend.logs: dropped")
    });
    wait_until("counters come", || came("/v1/metrics", "lightship_received_records"));
    let ledger = agent.status()["ledger"].clone();
    assert_eq!((&ledger["generated"]["logs"], &ledger["received"]["logs"]), (&1.into(), &1.into()), "{ledger}");
    assert!(ledger["generated"]["metrics"].as_u64().unwrap() > 20, "{ledger}");
    wait_until("the books balance", || agent.status()["ledger"]["difference"] == 0);
}

/// Scenario: one destination takes the lanes audit and metrics only; another one may be sent a kibibyte a second, and has twenty blocks to
/// get. Guarantees: the first gets an audit record and no usual one, and is past what it does not take; the second gets everything (P1).
#[test]
fn a_destination_gets_its_lanes_at_its_pace() {
    let (picky, slow) = (Server::start(|_| reply(200, "", "")), Server::start(|_| reply(200, "", "")));
    let destinations = [
        format!("{{ name: backend, type: otlp, url: 'http://{}', lanes: [audit, metrics] }}", picky.address),
        format!("{{ name: slow, type: otlp, url: 'http://{}', signals: [logs], max_rate: 1KiB }}", slow.address),
    ];
    let extra = "lanes: { rules: [{ filter: 'paper=order', lane: audit }] }\n";
    let agent = Agent::start_delivering(&destinations, extra);
    let noise = |number: u64| -> String {
        (1..120u64)
            .map(|place| format!("{:016x}", (number * 131 + place).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
            .collect()
    };
    for number in 0..8 {
        send(&agent, &format!("usual {number} {}", noise(number)));
    }
    let order = request(|out| {
        put_message(out, 2, |out| {
            put_fixed64(out, 1, now_ns());
            put_message(out, 5, |out| put_bytes(out, 1, b"an order"));
            support::text_attribute(out, 6, "paper", "order");
        });
    });
    assert_eq!(agent.post("/v1/logs", PROTOBUF, &order).0, 200);
    wait_until("the order comes", || picky.seen().iter().any(|seen| has(seen, "an order")));
    wait_until("all is past it", || books(&agent).2 == 0);
    assert!(!picky.seen().iter().any(|seen| has(seen, "usual")));
    wait_until("everything comes", || {
        let seen = slow.seen();
        (0..8).all(|number| seen.iter().any(|seen| has(seen, &format!("usual {number} "))))
    });
}

/// Scenario: a destination is sent to in one hour of the day, which is not now, and is not to be sent what is older than an hour. A record of
/// now and one of two hours ago come; then an operator resumes it. Guarantees: status says that it waits, and until when; nothing was sent
/// before; the young record comes, the old one becomes a dead letter with its reason (P1, P3).
#[test]
fn a_destination_waits_for_its_window_and_takes_nothing_old() {
    const HOUR_NS: u64 = 3_600_000_000_000;
    let server = Server::start(|_| reply(200, "", ""));
    let hour = now_ns() / HOUR_NS % 24;
    let (from, to) = ((hour + 3) % 24, (hour + 4) % 24);
    let agent = Agent::start_delivering(
        &[format!(
            "{{ name: backend, type: otlp, url: 'http://{}', windows: ['{from}:00-{to}:00'], max_age: 1h }}",
            server.address
        )],
        "",
    );
    let both = request(|out| {
        for (age_ns, text) in [(0, "of now"), (2 * HOUR_NS, "of long ago")] {
            put_message(out, 2, |out| {
                put_fixed64(out, 1, now_ns() - age_ns);
                put_message(out, 5, |out| put_bytes(out, 1, text.as_bytes()));
            });
        }
    });
    assert_eq!(agent.post("/v1/logs", PROTOBUF, &both).0, 200);
    wait_until("both wait", || row(&agent)["state"] == "waiting" && books(&agent) == (0, 0, 2));
    let until = format!("T{from:02}:00:00");
    assert!(row(&agent)["window_at"].as_str().unwrap().contains(&until), "{}", row(&agent));
    assert!(!server.seen().iter().any(|seen| has(seen, "of now")));
    assert!(support::run(&["queue", "resume", "backend", "--config", &agent.config()]).status.success());
    wait_until("one comes, one is refused", || books(&agent) == (1, 1, 0));
    assert!(row(&agent)["window_at"].is_null() && row(&agent)["rejected"]["too_old"] == 1, "{}", row(&agent));
    let came = |text: &str| server.seen().iter().any(|seen| has(seen, text));
    assert!(came("of now") && !came("of long ago"));
    let letters = support::run(&["queue", "dead", "ls", "--json", "--config", &agent.config()]);
    let letters: serde_json::Value = serde_json::from_slice(&letters.stdout).unwrap();
    assert_eq!(letters[0]["records"], 1, "{letters}");
}
