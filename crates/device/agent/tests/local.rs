//! The command line on a device without a network: what it holds is found while the agent runs and after it was killed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use model::proto::{put_bytes, put_fixed64, put_message, put_uint};
use support::{Agent, PROTOBUF, now_ns, request, run, text_attribute, wait_until};

const TRACE: [u8; 16] = [7; 16];

fn span(out: &mut Vec<u8>, id: u8, parent: Option<u8>, name: &str, start_ns: u64, length_ms: u64, failed: bool) {
    put_message(out, 2, |out| {
        put_bytes(out, 1, &TRACE);
        put_bytes(out, 2, &[id; 8]);
        if let Some(parent) = parent {
            put_bytes(out, 4, &[parent; 8]);
        }
        put_bytes(out, 5, name.as_bytes());
        put_uint(out, 6, 2);
        put_fixed64(out, 7, start_ns);
        put_fixed64(out, 8, start_ns + length_ms * 1_000_000);
        text_attribute(out, 9, "http.route", "/cart");
        if failed {
            put_message(out, 15, |out| put_uint(out, 3, 2));
        }
    });
}

fn log(out: &mut Vec<u8>, time_ns: u64, severity: u64, body: &str, trace: bool) {
    put_message(out, 2, |out| {
        put_fixed64(out, 1, time_ns);
        put_uint(out, 2, severity);
        put_message(out, 5, |out| put_bytes(out, 1, body.as_bytes()));
        if trace {
            put_bytes(out, 9, &TRACE);
            put_bytes(out, 10, &[1; 8]);
        }
    });
}

fn gauge(out: &mut Vec<u8>, time_ns: u64, value: f64) {
    put_message(out, 2, |out| {
        put_bytes(out, 1, b"device.temperature");
        put_bytes(out, 3, b"Cel");
        put_message(out, 5, |out| {
            put_message(out, 1, |out| {
                put_fixed64(out, 3, time_ns);
                put_fixed64(out, 4, value.to_bits());
                text_attribute(out, 7, "sensor", "s-1");
            });
        });
    });
}

/// What the program prints with these arguments; it has to end with this code.
fn says(arguments: &[&str], code: i32) -> String {
    let output = run(arguments);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

fn send(agent: &Agent) {
    let now = now_ns();
    let spans = request(|out| {
        span(out, 1, None, "GET /cart", now, 250, false);
        span(out, 2, Some(1), "SELECT cart", now + 10_000_000, 200, true);
    });
    let logs = request(|out| {
        log(out, now + 20_000_000, 17, "cart: Connection refused", true);
        log(out, now + 30_000_000, 9, "no trace, but a body", false);
    });
    let points = request(|out| gauge(out, now, 21.5));
    for (path, body) in [("/v1/traces", spans), ("/v1/logs", logs), ("/v1/metrics", points)] {
        assert_eq!(agent.post(path, PROTOBUF, &body).0, 200, "{path}");
    }
}

/// Scenario: an agent with no network takes in a trace, its log records and a point; they are looked for while the trace is
/// undecided, after it was decided, and after the agent was killed. Guarantees: the command line finds each of them once at
/// any of these moments, in every form, and says what is lost.
#[test]
fn what_the_device_holds_is_found() {
    let mut agent = Agent::start_with("sampling: { decision_wait: 2s }\n");
    let config = agent.config();
    let with = |arguments: &[&'static str]| {
        let mut all = arguments.to_vec();
        all.insert(1, "--config");
        let mut all: Vec<String> = all.into_iter().map(str::to_owned).collect();
        all.insert(2, config.clone());
        all
    };
    let ask = |arguments: &[&'static str], code: i32| {
        let all = with(arguments);
        says(&all.iter().map(String::as_str).collect::<Vec<_>>(), code)
    };
    send(&agent);

    // Undecided: only the recorder has the trace.
    let found = ask(&["query", "signal=span", "-o", "ndjson"], 0);
    assert_eq!(found.lines().count(), 2, "{found}");
    let first: serde_json::Value = serde_json::from_str(found.lines().next().unwrap()).unwrap();
    assert_eq!((first["service"].as_str(), first["attributes"]["http.route"].as_str()), (Some("api"), Some("/cart")));

    // Decided: recorder and journal both have it.
    wait_until("the trace is in the journal", || agent.status()["ledger"]["routed"]["traces"] == 2);
    let counted = ask(&["query", "last 1h | stats count, max(dur) by signal", "-o", "json"], 0);
    let counted: serde_json::Value = serde_json::from_str(&counted).unwrap();
    assert_eq!(
        counted,
        serde_json::json!([
            {"signal": "log", "count": 2, "max(dur)": null},
            {"signal": "metric", "count": 1, "max(dur)": null},
            {"signal": "span", "count": 2, "max(dur)": 250_000_000},
        ])
    );
    let refused = ask(&["query", "level>=error REFUSED trace=07070707070707070707070707070707", "-o", "logfmt"], 0);
    assert!(refused.contains("body=\"cart: Connection refused\"") && refused.lines().count() == 1, "{refused}");
    assert!(ask(&["query", "sensor=s-1 value>21 value<22"], 0).contains("device.temperature 21.5 Cel"));
    assert!(ask(&["queue", "ls"], 0).starts_with("destination hub"));
    assert!(ask(&["queue", "pause", "hub"], 0).contains("hub: paused"));
    wait_until("the destination is paused", || agent.get("/status").contains("\"state\":\"paused\""));
    assert!(ask(&["queue", "resume", "hub"], 0).contains("hub: resumed"));
    let queued = || agent.status()["destinations"][0]["queued_records"].as_u64().unwrap();
    let before = queued();
    assert!(before > 0 && ask(&["gaps"], 0).contains("no gaps"));
    assert!(ask(&["queue", "drop", "hub", "logs"], 0).contains("hub: 1 records dropped"));
    assert_eq!(queued(), before - 1);
    assert!(ask(&["gaps"], 0).contains("dropped"));
    let books = &agent.status()["ledger"];
    assert_eq!((&books["destinations"][0]["lost"], &books["difference"]), (&1.into(), &0.into()));
    ask(&["queue", "drop", "hub", "cargo"], 1);
    assert!(ask(&["top", "--once", "--all"], 0).contains("kept_traces_total"));

    agent.kill();
    let trace = ask(&["trace", "07070707070707070707070707070707"], 0);
    assert!(trace.contains("2 spans, 1 failed, 1 log records"), "{trace}");
    assert!(trace.contains("  api GET /cart") && trace.contains("    api SELECT cart"), "{trace}");
    assert!(trace.contains("ERROR api cart: Connection refused"), "{trace}");
    ask(&["trace", "ffffffffffffffffffffffffffffffff"], 1);
    assert_eq!(ask(&["query", "| stats count", "-o", "logfmt"], 0), "count=5\n");
    assert!(ask(&["gaps"], 0).contains("dropped"));
    let otlp = ask(&["query", "signal=span | limit 1", "-o", "otlp-json"], 0);
    let otlp: serde_json::Value = serde_json::from_str(&otlp).unwrap();
    let shown = &otlp["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
    assert_eq!((shown["spanId"].as_str(), shown["status"]["code"].as_u64()), (Some("0202020202020202"), Some(2)));
    ask(&["queue", "ls"], 1);
}

/// The offset of each entry's payload in a segment, by its headers.
fn payloads(segment: &[u8]) -> Vec<usize> {
    let mut at = 64;
    let mut payloads = Vec::new();
    while segment.get(at..at + 4) == Some(b"LSEN") {
        payloads.push(at + 64);
        at += 64 + u32::from_le_bytes(segment[at + 8..at + 12].try_into().unwrap()) as usize;
    }
    payloads
}

/// Scenario: an agent whose recorder is in files drops a trace, has another one undecided, and is killed; then a byte of its
/// files is flipped. Guarantees: with the agent and without it everything is found once and says where it was; the flip costs
/// one request, and is told.
#[test]
fn the_recorders_files_are_found() {
    let mut agent = Agent::start_with(
        "recorder: { memory: 256KiB, files: 4MiB }\nsampling:\n  decision_wait: 2s\n  policies:\n    - { name: slow, type: \
         latency, latency: { threshold_ms: 9000 } }\n",
    );
    let config = agent.config();
    let ask = |arguments: &[&str]| says(&[arguments, &["--config", &config]].concat(), 0);
    send(&agent);
    wait_until("the trace is dropped", || agent.status()["ledger"]["sampled_out"]["traces"] == 2);
    let ledger = &agent.status()["ledger"];
    assert_eq!((&ledger["routed"]["logs"], &ledger["routed"]["metrics"]), (&1.into(), &1.into()));
    assert_eq!(ask(&["query", "| stats count", "-o", "logfmt"]), "count=5\n");
    let undecided = request(|out| {
        put_message(out, 2, |out| {
            put_bytes(out, 1, &[9; 16]);
            put_bytes(out, 2, &[9; 8]);
            put_bytes(out, 5, b"undecided");
            put_fixed64(out, 7, now_ns());
            put_fixed64(out, 8, now_ns());
        });
    });
    assert_eq!(agent.post("/v1/traces", PROTOBUF, &undecided).0, 200);
    agent.kill();

    let by_signal = ["query", "last 1h | stats count by signal", "-o", "logfmt"];
    assert_eq!(ask(&by_signal), "signal=log count=2\nsignal=metric count=1\nsignal=span count=3\n");
    let found = ask(&["query", "http.route=/cart | limit 1", "-o", "ndjson"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&found).unwrap()["from"], "recorder");
    let trace = ask(&["trace", "07070707070707070707070707070707"]);
    assert!(trace.contains("2 spans, 1 failed, 1 log records"), "{trace}");
    assert!(ask(&["trace", "09090909090909090909090909090909"]).contains("undecided"));
    assert!(ask(&["gaps"]).contains("no gaps"));

    let files = std::fs::read_dir(agent.directory.path().join("data/recorder")).unwrap();
    let path = files.map(|file| file.unwrap().path()).next().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let payloads = payloads(&bytes);
    assert_eq!(payloads.len(), 4, "each request is an entry");
    bytes[payloads[0] + 30] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(ask(&by_signal), "signal=log count=2\nsignal=metric count=1\nsignal=span count=1\n");
    let said = run(&["query", "--config", &config, "--explain", "last 1h"]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("3 requests in files") && said.contains("damaged:    1"), "{said}");
    assert!(ask(&["gaps"]).contains("recorder: 1 entries"));
}

/// Scenario: a trace that no policy keeps is asked for after it was dropped, while the recorder still holds it, and once more.
/// Guarantees: it is delivered whole with its line, once, and the books balance (P4, P1).
#[test]
fn a_dropped_trace_is_fetched() {
    let agent = Agent::start_with(
        "sampling:\n  decision_wait: 300ms\n  policies:\n    - { name: slow, type: latency, latency: { threshold_ms: 9000 } }\n",
    );
    send(&agent);
    wait_until("the trace is dropped", || agent.status()["ledger"]["sampled_out"]["traces"] == 2);
    let fetch = |filter: &str, code| says(&["fetch", "--config", &agent.config(), filter], code);
    assert!(fetch("name=nothing last 5m", 0).starts_with("0 traces fetched; 0 were kept"));
    assert!(fetch("http.route=/cart dur>=250ms last 5m", 0).starts_with("1 traces fetched; 0 were kept before"));
    wait_until("the trace is in the journal", || agent.status()["ledger"]["routed"]["traces"] == 2);
    assert!(fetch("service=api", 0).starts_with("0 traces fetched; 1 were kept before"));
    let ledger = &agent.status()["ledger"];
    assert_eq!((&ledger["sampled_out"]["traces"], &ledger["sampled_out"]["logs"]), (&0.into(), &0.into()));
    assert_eq!((&ledger["routed"]["logs"], &ledger["difference"]), (&2.into(), &0.into()));
    fetch("", 2);
    fetch("level=loud", 2);
    fetch("service=api | limit 1", 2);
}

/// Scenario: a trace is dropped, its agent is killed and started again, so that only the recorder's files have it; it is asked
/// for twice. A log record is left out by its rule and asked for. Guarantees: both are delivered whole, the trace once, through the
/// books, which balance (P1, P4); into the lane that is named.
#[test]
fn what_only_files_have_is_fetched() {
    let mut agent = Agent::start_with(
        "recorder: { memory: 256KiB, files: 4MiB }\nsampling:\n  decision_wait: 300ms\n  policies:\n    - { name: slow, type: \
         latency, latency: { threshold_ms: 9000 } }\n  logs: { untraced: { min_severity: WARN } }\n",
    );
    send(&agent);
    wait_until("the trace is dropped", || agent.status()["ledger"]["sampled_out"]["traces"] == 2);
    wait_until("all of it is committed", || agent.status()["ledger"]["routed"]["metrics"] == 1);
    std::thread::sleep(std::time::Duration::from_millis(500));
    agent.kill();
    agent.restart();
    let fetch = |words: &[&str]| says(&[&["fetch", "--config", &agent.config()], words].concat(), 0);
    let ledger = || agent.status()["ledger"].clone();
    assert_eq!((&ledger()["filtered"]["logs"], &ledger()["sampled_out"]["logs"]), (&1.into(), &1.into()));
    assert!(fetch(&["name=nothing"]).starts_with("0 traces fetched; 0 were kept"));
    let said = fetch(&["http.route=/cart dur>=250ms", "--lane", "audit"]);
    assert_eq!(said, "1 traces fetched; 0 were kept before, 0 are undecided, 0 are not whole any more\n");
    let books = ledger();
    assert_eq!((&books["sampled_out"]["traces"], &books["sampled_out"]["logs"]), (&0.into(), &0.into()));
    assert_eq!((&books["routed"]["traces"], &books["routed"]["logs"]), (&2.into(), &1.into()));
    assert_eq!((&books["difference"], &books["generated"]["traces"]), (&0.into(), &0.into()));
    assert!(fetch(&["service=api signal=span"]).starts_with("0 traces fetched; 1 were kept before"));
    assert!(fetch(&["\"no trace\""]).contains("; 1 lines without a trace fetched"));
    let books = ledger();
    assert_eq!(
        (&books["filtered"]["logs"], &books["routed"]["logs"], &books["difference"]),
        (&0.into(), &2.into(), &0.into())
    );
    let lanes = says(&["journal", "ls", "--config", &agent.config(), "--json"], 0);
    assert!(
        lanes.contains("\"lane\":\"audit\"") && !lanes.contains("\"lane\":\"traces\",\"first\":1,\"last\":1"),
        "{lanes}"
    );
}

/// Scenario: a destination's queue is dropped, so that nobody is to get what it held; then all of it, and later a part into
/// another lane, is fetched from history. Guarantees: what still waits is left alone, what does not is delivered as new
/// records of its own lane or of the one named, and the books balance (P1).
#[test]
fn history_is_fetched() {
    let agent = Agent::start_with("sampling: { decision_wait: 300ms }\n");
    send(&agent);
    wait_until("the trace is in the journal", || agent.status()["ledger"]["routed"]["traces"] == 2);
    wait_until("the rest is in the journal", || agent.status()["ledger"]["routed"]["metrics"] == 1);
    let config = agent.config();
    let fetch = |words: &[&str]| says(&[&["fetch", "--config", &config, "--history"], words].concat(), 0);
    assert_eq!(fetch(&["last 1h"]), "0 records fetched from history; 5 still wait for a destination\n");
    says(&["queue", "drop", "--config", &config, "hub"], 0);
    assert_eq!(fetch(&["last 1h"]), "5 records fetched from history; 0 still wait for a destination\n");
    let queued = |agent: &Agent| agent.status()["destinations"][0]["queued_records"].as_u64().unwrap();
    assert_eq!(queued(&agent), 5);
    assert_eq!(
        fetch(&["level=error", "--lane", "debug"]),
        "1 records fetched from history; 1 still wait for a destination\n"
    );
    let books = &agent.status()["ledger"];
    assert_eq!((&books["generated"]["traces"], &books["generated"]["logs"]), (&2.into(), &3.into()));
    assert_eq!((&books["generated"]["metrics"], &books["difference"]), (&1.into(), &0.into()));
    let lanes = says(&["journal", "ls", "--config", &config], 0);
    assert!(lanes.contains("debug"), "{lanes}");
    // Spans and points of the same identity are one record to whoever looks, the copies of log records are not told apart.
    assert!(says(&["trace", "--config", &config, "07070707070707070707070707070707"], 0).contains("2 spans"));
    says(&["fetch", "--config", &config, "--lane", "cargo", "last 1h"], 2);
}

/// Scenario: a mistake in a filter, an unknown form, a directory that holds nothing. Guarantees: exit code 2, and a message
/// that points at the place.
#[test]
fn mistakes_are_pointed_at() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let output = run(&["query", "--data-dir", path, "level=loud"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("  level=loud\n        ^^^^"), "{said}");
    for arguments in [
        &["query", "--data-dir", path, "-o", "xml"][..],
        &["query", "--data-dir", path],
        &["trace", "--data-dir", path, "xyz"],
        &["tail", "--data-dir", path, "a | stats count"],
        &["journal", "--data-dir", path, "verify"],
        &["journal", "--data-dir", path],
    ] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

/// How many requests stand behind their lengths.
fn count_requests(mut file: &[u8]) -> usize {
    let mut count = 0;
    while let Some((length, rest)) = file.split_first_chunk::<4>() {
        file = &rest[u32::from_be_bytes(*length) as usize..];
        count += 1;
    }
    count
}

/// Scenario: a journal is exported, imported into another device's, damaged by one flipped bit, checked and repaired.
/// Guarantees: everything arrives once, also when it is imported a second time, the flip is found at its place, and all other
/// blocks survive the repair.
#[test]
fn the_journal_is_carried_checked_and_repaired() {
    let mut agent = Agent::start_with("sampling: { decision_wait: 1s }\n");
    send(&agent);
    wait_until("the trace is in the journal", || agent.status()["ledger"]["routed"]["traces"] == 2);
    wait_until("the rest is in the journal", || agent.status()["ledger"]["routed"]["metrics"] == 1);
    let config = agent.config();
    assert!(says(&["journal", "ls", "--config", &config], 0).contains("traces"));
    agent.kill();
    assert!(says(&["journal", "verify", "--config", &config], 0).contains("are whole"));
    let stick = agent.directory.path().join("stick");
    let stick_path = stick.to_str().unwrap();
    let export = ["journal", "export", "--config", &config, "--form", "protobuf", "--to", stick_path];
    assert!(says(&export, 0).contains("2 spans, 2 log records and 1 points"));
    assert_eq!(run(&export).status.code(), Some(1), "an earlier export is not overwritten");
    let json = stick.join("json");
    says(&["journal", "export", "--config", &config, "--to", json.to_str().unwrap()], 0);
    for line in std::fs::read_to_string(json.join("traces.jsonl")).unwrap().lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).unwrap()["resourceSpans"].is_array());
    }

    let other = tempfile::tempdir().unwrap();
    let other_config = other.path().join("lightship.yaml");
    std::fs::write(&other_config, support::configuration(&other.path().join("data"), "")).unwrap();
    let other_config = other_config.to_str().unwrap();
    let files = ["traces.otlp", "logs.otlp", "metrics.otlp"].map(|name| stick.join(name).to_str().unwrap().to_owned());
    let mut import = vec!["journal", "--config", other_config, "import"];
    import.extend(files.iter().map(String::as_str));
    let said = says(&import, 0);
    assert!(said.starts_with("5 records") && !said.contains("before"), "{said}");
    let requests = files.iter().map(|path| count_requests(&std::fs::read(path).unwrap())).sum::<usize>();
    let again = says(&import, 0);
    assert!(again.starts_with("0 records"), "{again}");
    assert!(again.contains(&format!("5 records of {requests} requests were imported before")), "{again}");
    let count = ["query", "--config", other_config, "| stats count by signal", "-o", "logfmt"];
    assert_eq!(says(&count, 0), "signal=log count=2\nsignal=metric count=1\nsignal=span count=2\n");

    // U22: back into the journal that they are from: refused with the reason; without the mark, left out by what they say.
    let back: Vec<&str> =
        ["journal", "--config", &config, "import"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let refused = run(&back);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("this journal exported it"));
    std::fs::remove_file(stick.join("exported-from")).unwrap();
    let known = says(&back, 0);
    assert!(
        known.contains(&format!("5 records of {requests} requests were imported before, or are in this journal")),
        "{known}"
    );
    assert_eq!(says(&["query", "--config", &config, "signal=log | stats count", "-o", "logfmt"], 0), "count=2\n");
    let other_data = other.path().join("data");
    std::fs::remove_file(other_data.join("imported")).unwrap();
    assert!(says(&import, 0).starts_with("0 records"), "what is held is known without the list of imports");

    // U12: the form that `export` writes by itself comes in as well, and says the same.
    let third = tempfile::tempdir().unwrap();
    let third_config = third.path().join("lightship.yaml");
    std::fs::write(&third_config, support::configuration(&third.path().join("data"), "")).unwrap();
    let third_config = third_config.to_str().unwrap();
    let mut import_json = vec!["journal", "--config", third_config, "import"];
    let lines =
        ["traces.jsonl", "logs.jsonl", "metrics.jsonl"].map(|name| json.join(name).to_str().unwrap().to_owned());
    import_json.extend(lines.iter().map(String::as_str));
    assert!(says(&import_json, 0).starts_with("5 records"));
    let everything = |config: &str| {
        let shown = says(&["query", "--config", config, "-o", "otlp-json"], 0);
        let mut lines: Vec<String> = shown.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(everything(third_config), everything(other_config));
    let mut both = import_json.clone();
    both.extend(files.iter().map(String::as_str));
    assert!(says(&both, 0).starts_with("0 records"), "one form is known by the other");
    std::fs::write(json.join("logs.jsonl"), "{\"resourceLogs\": 7}\n").unwrap();
    assert_eq!(run(&import_json).status.code(), Some(2));

    let segment = other.path().join("data/lanes/metrics/0000000000000001.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[140] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let verified = says(&["journal", "verify", "--config", other_config], 3);
    assert!(verified.contains("lanes/metrics/0000000000000001.seg at byte"), "{verified}");
    says(&["journal", "repair", "--config", other_config], 0);
    says(&["journal", "verify", "--config", other_config], 0);
    assert_eq!(says(&count, 0), "signal=log count=2\nsignal=span count=2\n");
    assert!(says(&["gaps", "--config", other_config], 0).contains("metrics 1 records"));
}
