//! Programs that are run, and standard input, through the real agent into its journal.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use support::{Agent, PROGRAM, configuration, run, wait_until};

/// An agent with these sources, whose standard input is a pipe.
fn start(sources: &str, input: Stdio) -> (Agent, Option<std::process::ChildStdin>) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("lightship.yaml");
    let text = configuration(&directory.path().join("data"), "");
    fs::write(&file, text.replace("sources:\n", &format!("sources:\n{sources}"))).unwrap();
    let log = fs::File::create(directory.path().join("log")).unwrap();
    let mut child = Command::new(PROGRAM).args(["run", "--config"]).arg(file).stdin(input).stderr(log).spawn().unwrap();
    let stdin = child.stdin.take();
    (Agent::of(child, directory), stdin)
}

fn found(agent: &Agent, filter: &str) -> String {
    let output = run(&["query", "--config", &agent.config(), "-o", "ndjson", filter]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn source<'a>(status: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    status["sources"].as_array().unwrap().iter().find(|source| source["name"] == name).unwrap()
}

/// Scenario: the ten lines of shell of `docs/extending.md`, as they stand there, with the configuration beside them. Guarantees: they
/// are a source: metrics and their labels are found on the device, and status shows it.
#[test]
fn the_source_of_the_page_is_one() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/extending.md")).unwrap();
    let block = |start: &str| {
        let rest = page.split_once(start).unwrap_or_else(|| panic!("the page has {start:?}")).1;
        rest.split_once("```").unwrap().0.to_owned()
    };
    let script = format!("#!/bin/sh\n{}", block("```sh\n#!/bin/sh\n"));
    assert!(script.lines().count() <= 10, "{script}");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mail-queue");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let block = block("```yaml\nsources:\n");
    assert!(block.contains("/usr/local/lib/lightship/mail-queue"), "{block}");
    let (agent, _) =
        start(&block.replace("/usr/local/lib/lightship/mail-queue", path.to_str().unwrap()), Stdio::null());
    wait_until("it was run", || source(&agent.status(), "exec/mail")["records"].as_u64() > Some(0));
    wait_until("its metric is in the journal", || {
        found(&agent, "signal=metric name=mail_queue_files").contains("mail")
    });
    let status = agent.status();
    assert_eq!(source(&status, "exec/mail")["errors"], serde_json::json!([]), "{status}");
}

/// Scenario: lines on standard input, one of them JSON, the last one without an end; then the input ends. Guarantees: each is a record, and
/// the agent goes on (P1).
#[test]
fn standard_input_is_a_source() {
    let (agent, input) = start("  stdin: { resource: { service.name: piped } }\n", Stdio::piped());
    let mut input = input.unwrap();
    input.write_all(b"plain words\n{\"level\":\"error\",\"msg\":\"in json\",\"n\":7}\n").unwrap();
    wait_until("two came", || source(&agent.status(), "stdin")["records"] == 2);
    input.write_all(b"without an end").unwrap();
    drop(input);
    wait_until("all came", || source(&agent.status(), "stdin")["records"] == 3);
    for text in ["plain words", "in json", "without an end"] {
        wait_until(text, || found(&agent, "service=piped").contains(text));
    }
    assert!(found(&agent, "level>=error").contains("in json"));
    assert_eq!(source(&agent.status(), "stdin")["errors"], serde_json::json!([]));
}

/// Scenario: standard input is a file. Guarantees: it is read to its end.
#[test]
fn a_file_is_standard_input() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lines");
    let text: String = (0..5000).map(|number| format!("line {number}\n")).collect();
    fs::write(&path, text).unwrap();
    let (agent, _) = start("  stdin: {}\n", Stdio::from(fs::File::open(&path).unwrap()));
    wait_until("all came", || source(&agent.status(), "stdin")["records"] == 5000);
}

/// Scenario: an agent with a program that is kept running ends in good order. Guarantees: so does the program.
#[test]
fn programs_end_with_the_agent() {
    let sources = "  exec: [{ name: kept, command: [/bin/sh, -c, 'echo $$; exec sleep 1000'] }]\n";
    let (mut agent, _) = start(sources, Stdio::null());
    wait_until("it runs", || source(&agent.status(), "exec/kept")["records"] == 1);
    let mut text = String::new();
    wait_until("its line is there", || {
        text = found(&agent, "service=kept");
        text.contains("body")
    });
    let body = serde_json::from_str::<serde_json::Value>(text.lines().next().unwrap()).unwrap()["body"].clone();
    let pid: u32 = body.as_str().unwrap().parse().unwrap();
    assert!(fs::metadata(format!("/proc/{pid}")).is_ok());
    assert!(agent.terminate().success());
    std::thread::sleep(Duration::from_millis(200));
    let is_gone = fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "));
    assert!(is_gone, "{pid} runs on");
}
