//! What a new user meets in the first hour: the command line as a stranger types it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs::OpenOptions;
use std::process::{Command, Output, Stdio};

use model::proto::{put_bytes, put_fixed64, put_message, put_uint};
use support::{Agent, PROGRAM, PROTOBUF, now_ns, request, run, text_attribute, wait_until};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn complained(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn log(out: &mut Vec<u8>, time_ns: u64, severity: u64, body: &str) {
    put_message(out, 2, |out| {
        put_fixed64(out, 1, time_ns);
        put_uint(out, 2, severity);
        put_message(out, 5, |out| put_bytes(out, 1, body.as_bytes()));
    });
}

/// A failed span with a status message and an exception.
fn failed_span(out: &mut Vec<u8>, time_ns: u64) {
    put_message(out, 2, |out| {
        put_bytes(out, 1, &[7; 16]);
        put_bytes(out, 2, &[1; 8]);
        put_bytes(out, 5, b"read valve");
        put_fixed64(out, 7, time_ns);
        put_fixed64(out, 8, time_ns + 5_000_000);
        put_message(out, 11, |out| {
            put_fixed64(out, 1, time_ns + 1_000_000);
            put_bytes(out, 2, b"exception");
            text_attribute(out, 3, "exception.type", "TimeoutError");
            text_attribute(out, 3, "exception.message", "valve A7 is silent");
        });
        put_message(out, 15, |out| {
            put_bytes(out, 2, b"no answer");
            put_uint(out, 3, 2);
        });
    });
}

fn histogram(out: &mut Vec<u8>, time_ns: u64) {
    put_message(out, 2, |out| {
        put_bytes(out, 1, b"pump.pressure");
        put_bytes(out, 3, b"bar");
        put_message(out, 9, |out| {
            put_message(out, 1, |out| {
                put_fixed64(out, 3, time_ns);
                put_fixed64(out, 4, 3);
                put_fixed64(out, 5, 7.5_f64.to_bits());
                put_fixed64(out, 12, 4.5_f64.to_bits());
            });
            put_uint(out, 2, 2);
        });
    });
}

/// An agent that holds one record of each signal, from a minute ago.
fn agent() -> (Agent, u64) {
    let agent = Agent::start();
    let then = now_ns() - 60_000_000_000;
    for (path, body) in [
        ("/v1/traces", request(|out| failed_span(out, then))),
        ("/v1/logs", request(|out| log(out, then, 17, "pump: no answer"))),
        ("/v1/metrics", request(|out| histogram(out, then))),
    ] {
        assert_eq!(agent.post(path, PROTOBUF, &body).0, 200, "{path}");
    }
    let config = agent.config();
    let count = || said(&run(&["query", "--config", &config, "| stats count", "-o", "logfmt"]));
    wait_until("all of it is in the recorder or on disk", || count() == "count=3\n");
    (agent, then)
}

/// Scenario: what is printed goes to a full disk, to a pipe that nobody reads (C1). Guarantees: the first is an error with a word,
/// whatever the command; the second is none.
#[test]
fn c1_a_full_disk_is_told() {
    let (agent, _) = agent();
    let config = agent.config();
    for words in [
        &["init"][..],
        &["help"],
        &["man"],
        &["completions", "bash"],
        &["query", "--config", &config],
        &["status", "--config", &config],
        &["top", "--once", "--config", &config],
        &["journal", "ls", "--config", &config],
    ] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = Command::new(PROGRAM).args(words).stdout(full).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert!(complained(&output).contains("standard output: No space left"), "{words:?}: {}", complained(&output));
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(PROGRAM).args(words).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}: {}", complained(&output));
    }
}

/// Scenario: the configuration is named by an environment variable, by nothing, by an option over the variable (U17).
/// Guarantees: the usual places are looked at in their order, and the one that is missing is named.
#[test]
fn u17_the_configuration_is_found() {
    let (agent, _) = agent();
    let query = |variable: Option<&str>, words: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.args(words).env_remove("LIGHTSHIP_CONFIG");
        variable.map(|path| command.env("LIGHTSHIP_CONFIG", path));
        command.output().unwrap()
    };
    let config = agent.config();
    assert_eq!(said(&query(Some(&config), &["query", "| stats count", "-o", "logfmt"])), "count=3\n");
    assert_eq!(
        said(&query(Some("/none.yaml"), &["query", "-c", &config, "| stats count", "-o", "logfmt"])),
        "count=3\n"
    );
    let missing = query(None, &["query"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(complained(&missing).contains("/etc/lightship/lightship.yaml"), "{}", complained(&missing));
    assert!(said(&run(&["help", "query"])).contains("--since TIME"));
    assert_eq!(run(&["helm"]).status.code(), Some(2));
}

/// Scenario: `--since` with a blank in it, a time of today, an end before the beginning, a time given twice (U18). Guarantees: an
/// option's value is one time; what cannot be meant is an error that says why.
#[test]
fn u18_option_values_are_one_time() {
    let (agent, then) = agent();
    let config = agent.config();
    let ask = |words: &[&str]| run(&[&["query", "--config", &config, "-o", "logfmt"], words].concat());
    let minute_before = query::time::rfc3339(then - 60_000_000_000, 0).replace('T', " ").replace('Z', "");
    assert_eq!(said(&ask(&["--since", &minute_before, "| stats count"])), "count=3\n");
    let after = query::time::rfc3339(then + 1_000_000_000, 3);
    assert_eq!(said(&ask(&["--since", &after, "| stats count"])), "count=0\n");
    assert_eq!(said(&ask(&["--since", "-10m", "--until", "now", "| stats count"])), "count=3\n");
    for (words, expected) in [
        (&["--since", "1h", "--until", "2h"][..], "the time range is empty"),
        (&["--since", "soon"], "--since: 'soon' is not a time; write"),
        (&["--since", "1h", "since=2h"], "leave one out"),
        (&["--until", "30m", "since=10m"], "the time range is empty"),
    ] {
        let output = ask(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(complained(&output).contains(expected), "{words:?}: {}", complained(&output));
    }
}

/// Scenario: a misspelt field, a misspelt service, a field of `stats` that nothing has, a time without records (U13, U19).
/// Guarantees: standard output stays the answer; standard error says what there was instead.
#[test]
fn u13_u19_an_empty_answer_says_what_there_is() {
    let (agent, _) = agent();
    let config = agent.config();
    let ask = |words: &[&str]| run(&[&["query", "--config", &config], words].concat());
    for (filter, expected) in [
        ("levle>=error", "no record has levle; did you mean level?"),
        ("service=chekout", "nothing passed of 3 records from "),
        ("service=chekout", "services: api"),
        ("pump.speed>5", "no record has pump.speed\n"),
        ("until=2020-01-01", "this device holds no record of that time"),
    ] {
        let output = ask(&[filter]);
        assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), ""), "{filter}");
        assert!(complained(&output).contains(expected), "{filter}: {}", complained(&output));
    }
    let grouped = ask(&["| stats count by servce"]);
    assert!(complained(&grouped).contains("no record has servce; did you mean service?"));
    let good = ask(&["level>=error"]);
    assert_eq!(complained(&good), "");
}

/// Scenario: a histogram, a failed span with a message and an exception, an error's level (U7, U21). Guarantees: a histogram's
/// count is not a value; why a span failed is shown in the trace, in the list and in JSON; a level has its name and its number.
#[test]
fn u7_u21_records_are_shown_for_what_they_are() {
    let (agent, _) = agent();
    let config = agent.config();
    let ask = |words: &[&str]| said(&run(&[words, &["--config", &config]].concat()));
    let json = |filter: &str| -> serde_json::Value {
        serde_json::from_str::<serde_json::Value>(&ask(&["query", filter, "--json"])).unwrap()[0].clone()
    };
    assert!(ask(&["query", "signal=metric"]).contains("pump.pressure count=3 sum=7.5 max=4.5 bar"));
    let point = json("signal=metric");
    assert_eq!((&point["value"], &point["count"]), (&serde_json::Value::Null, &3.into()));
    assert_eq!((&point["sum"], &point["min"]), (&7.5.into(), &serde_json::Value::Null));
    assert_eq!(ask(&["query", "signal=metric sum>7 | stats max(count)", "-o", "logfmt"]), "max(count)=3\n");
    assert_eq!(ask(&["query", "signal=metric value=3"]), "");

    let trace = ask(&["trace", &"07".repeat(16)]);
    assert!(trace.contains("    no answer\n") && trace.contains("    TimeoutError: valve A7 is silent\n"), "{trace}");
    assert!(ask(&["query", "signal=span"]).contains("read valve 5.0ms (no answer)"));
    let span = json("signal=span");
    assert_eq!(span["status_message"], "no answer");
    assert_eq!(span["events"][0]["attributes"]["exception.type"], "TimeoutError");
    let log = json("signal=log");
    assert_eq!((&log["level"], &log["severity_number"]), (&"error".into(), &17.into()));
}

/// Scenario: `status` seconds after the start, with nothing sampled (U14). Guarantees: what is not known yet is not told as a number.
#[test]
fn u14_what_is_not_known_yet_is_not_a_number() {
    let agent = Agent::start();
    let status = agent.status();
    assert_eq!(status["sampling"]["kept_share"], serde_json::Value::Null);
    assert_eq!(status["disk"]["written_per_day"], serde_json::Value::Null);
    assert!(!agent.get("/status?format=text").contains("a day"));
    assert!(!agent.get("/metrics").contains("-1\n"));
}

/// Scenario: two mistakes in one file, an address by name (U23); a starter file of each kind on this machine (U2, U11).
/// Guarantees: every mistake is told with its place; what `init` writes is read, is not everybody's name, and keeps every trace when
/// asked to.
#[test]
fn u23_u2_u11_files_are_read_and_written_for_people() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("lightship.yaml");
    let path = file.to_str().unwrap();
    let text =
        "version: 0\ndevise: { id: x }\ndevice: { id: d }\ndata_dir: /d\njournal:\n  budget: many\ndestinations: []\n";
    std::fs::write(&file, text).unwrap();
    let output = run(&["run", "--config", path]);
    let complaint = complained(&output);
    assert!(
        complaint.contains(":2:1: unknown field") && complaint.contains(":6:11: 'many' is not a size"),
        "{complaint}"
    );
    std::fs::remove_file(&file).unwrap();
    assert_eq!(run(&["init", "--keep-all", "--device-id", "boat-1", "--output", path]).status.code(), Some(0));
    let written = std::fs::read_to_string(&file).unwrap();
    assert!(written.contains("id: boat-1 ") && written.contains("policies: []"), "{written}");
    assert!(complained(&run(&["init", "--device-id", "a b"])).contains("device.id"));
    assert!(!said(&run(&["init"])).contains("id: device-1 "));
}

/// Scenario: an agent whose hub is away holds records of two lanes (U25). Guarantees: `queue show` tells them lane by lane with
/// their sizes and ages, that nothing goes out, and when it is tried again; `top` tells in, kept, queued and sent by their names, not by metrics'.
#[test]
fn u25_the_queue_and_the_flow_are_told() {
    let (agent, _) = agent();
    let config = agent.config();
    let show = || said(&run(&["queue", "show", "hub", "--config", &config]));
    wait_until("logs and metrics are in the journal", || {
        let shown = show();
        shown.contains("logs ") && shown.contains("metrics ")
    });
    let shown = show();
    let row = |lane: &str| shown.lines().find(|line| line.starts_with(lane)).unwrap().to_owned();
    assert_eq!(row("logs").split_whitespace().nth(1), Some("1"), "{shown}");
    assert!(row("metrics").contains(" B ") && row("metrics").ends_with('Z'), "{shown}");
    assert!(shown.starts_with("destination hub") && shown.contains("nothing goes out at this moment"), "{shown}");
    let next_try = |line: &str| line.split_once(", next try ").is_some_and(|(_, at)| at.starts_with("20"));
    wait_until("the next try is told", || show().lines().next().is_some_and(next_try));
    assert!(said(&run(&["queue", "ls", "--config", &config])).contains("destination hub"));
    let tried_at = |list: &str| serde_json::from_str::<serde_json::Value>(list).unwrap()[0]["retry_at"].is_string();
    wait_until("also in JSON", || tried_at(&said(&run(&["queue", "ls", "--json", "--config", &config]))));
    assert_eq!(run(&["queue", "show", "nowhere", "--config", &config]).status.code(), Some(2));
    let top = said(&run(&["top", "--once", "--config", &config]));
    assert!(top.contains("KEPT") && top.contains("QUEUED") && top.contains("hub              NO"), "{top}");
    assert!(said(&run(&["top", "--once", "--all", "--config", &config])).contains("received_records_total"));
}

/// Scenario: `check` with a data directory that is not there, and with `--connect`: nobody listens, a server that is no hub answers,
/// TLS to a port of plain HTTP, a hub that knows the device, one that wants a token (U8, U23). Guarantees: nothing is made; what was
/// not tried is said; each fault has its words and exit code 1.
#[test]
fn u8_check_says_what_it_tried() {
    let directory = tempfile::tempdir().unwrap();
    let (data, file) = (directory.path().join("data"), directory.path().join("lightship.yaml"));
    let check = |url: &str, options: &[&str]| {
        let text = support::configuration(&data, "").replace("http://127.0.0.1:9", url);
        std::fs::write(&file, text).unwrap();
        run(&[&["check", "--config", file.to_str().unwrap()], options].concat())
    };
    let plain = check("http://127.0.0.1:9", &[]);
    assert_eq!(plain.status.code(), Some(0));
    assert!(said(&plain).contains("not tried: whether the destinations answer"), "{}", said(&plain));
    assert!(said(&plain).contains("is not there yet: the agent makes it") && !data.try_exists().unwrap());
    for (url, answer, code, expected) in [
        ("http://127.0.0.1:1", "", 1, "cannot reach 127.0.0.1:1"),
        ("http://{}", "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", 0, "answers, and takes"),
        ("http://{}", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 1, "does not answer as a hub"),
        ("http://{}", "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n", 1, "401"),
        ("https://{}", "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", 1, "does not speak TLS"),
    ] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = url.replace("{}", &listener.local_addr().unwrap().to_string());
        let served = !answer.is_empty();
        let server = std::thread::spawn(move || {
            if served {
                let (mut stream, _) = listener.accept().unwrap();
                let _read = std::io::Read::read(&mut stream, &mut [0; 4096]).unwrap();
                std::io::Write::write_all(&mut stream, answer.as_bytes()).unwrap();
                // The other side closes first: what it has not read yet is not cut off.
                let _end = std::io::Read::read(&mut stream, &mut [0; 4096]);
            }
        });
        let output = check(&url, &["--connect"]);
        server.join().unwrap();
        assert_eq!(output.status.code(), Some(code), "{url}: {}{}", said(&output), complained(&output));
        assert!(said(&output).contains(expected), "{url}: {}", said(&output));
    }
    assert!(!data.try_exists().unwrap());
}

/// A good span of a trace.
fn good_span(out: &mut Vec<u8>, trace: u8, time_ns: u64) {
    put_message(out, 2, |out| {
        put_bytes(out, 1, &[trace; 16]);
        put_bytes(out, 2, &[trace; 8]);
        put_bytes(out, 5, b"GET /");
        put_fixed64(out, 7, time_ns);
        put_fixed64(out, 8, time_ns + 13_000_000);
    });
}

/// Scenario: the starter's policies; one trace fails and is kept, one is good and dropped, one still waits; then the agent is gone
/// (U11, U20). Guarantees: `trace` says of each where it stands; of the dropped one why, and how to get it after all; in JSON every
/// record has its state.
#[test]
fn u11_u20_a_trace_says_where_it_stands() {
    let policies = "sampling:\n  decision_wait: 1s\n  policies:\n    - { name: errors, type: status_code, status_code: { \
                    status_codes: [ERROR] } }\n    - { name: slow, type: latency, latency: { threshold_ms: 200 } }\n";
    let mut agent = Agent::start_with(policies);
    let (config, now) = (agent.config(), now_ns());
    let send = |body: Vec<u8>| assert_eq!(agent.post("/v1/traces", PROTOBUF, &body).0, 200);
    send(request(|out| failed_span(out, now)));
    send(request(|out| good_span(out, 8, now)));
    let trace = |id: u8| said(&run(&["trace", &format!("{id:02x}").repeat(16), "--config", &config]));
    assert!(trace(8).contains("1 records wait for the decision of their trace"), "{}", trace(8));
    wait_until("both are decided", || trace(8).contains("sampled out") && trace(7).contains("queued"));
    let dropped = trace(8);
    assert!(dropped.contains(&format!("lightship fetch trace={}", "08".repeat(16))), "{dropped}");
    assert!(dropped.contains("it has 1 spans, 13.0ms, status unset"), "{dropped}");
    assert!(dropped.contains("policy errors ") && dropped.contains("policy slow "), "{dropped}");
    assert_eq!(dropped.matches("does not keep it").count(), 2, "{dropped}");
    let states = said(&run(&["query", "signal=span", "--config", &config, "-o", "ndjson"]));
    for (id, state) in [("07", "queued"), ("08", "held")] {
        let line = states.lines().find(|line| line.contains(&id.repeat(16))).unwrap();
        assert!(line.contains(&format!("\"state\":\"{state}\"")), "{line}");
    }
    let none = run(&["trace", &"09".repeat(16), "--config", &config]);
    assert_eq!(none.status.code(), Some(1));
    agent.kill();
    assert!(trace(7).contains("queued"));
    assert!(complained(&run(&["trace", &"08".repeat(16), "--config", &config])).contains("no agent runs here"));
}
