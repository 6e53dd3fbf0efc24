//! The way of one span, as docs/architecture.md lists it, on the real program.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use model::proto::{put_bytes, put_fixed64, put_message, put_uint};
use support::{Agent, PROGRAM, PROTOBUF, configuration, now_ns, request};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/architecture.md");

/// The stations of the page: for each its functions, as `Type::function` or `crate::module`.
fn stations() -> Vec<Vec<String>> {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (_, table) = page.split_once("| | function | does |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let functions = |row: &str| {
        let cell = row.split('|').nth(2).unwrap();
        cell.split('`').skip(1).step_by(2).filter(|name| name.contains("::")).map(str::to_owned).collect()
    };
    rows.map(functions).collect()
}

/// A function's name without what stands between angle brackets.
fn without_types(name: &str) -> String {
    let mut depth = 0;
    let keep = |letter: &char| {
        depth += i32::from(*letter == '<');
        let kept = depth == 0;
        depth -= i32::from(*letter == '>');
        kept
    };
    name.chars().filter(keep).collect()
}

/// A failed span, which is kept.
fn failed_span(out: &mut Vec<u8>) {
    put_message(out, 2, |out| {
        put_bytes(out, 1, &[7; 16]);
        put_bytes(out, 2, &[7; 8]);
        put_bytes(out, 5, b"read valve");
        put_fixed64(out, 7, now_ns());
        put_fixed64(out, 8, now_ns() + 5_000_000);
        put_message(out, 15, |out| put_uint(out, 3, 2));
    });
}

/// Scenario: one span is sent to the real program, which valgrind watches; it is kept, committed and the program ends. Guarantees: the page
/// lists at most twelve stations from socket to journal, and at each of them the span passed through a function that the page names.
#[test]
fn the_page_lists_the_way_of_a_span() {
    let stations = stations();
    assert!((8..=12).contains(&stations.len()), "{} stations", stations.len());
    assert!(stations.iter().all(|functions| !functions.is_empty()), "{stations:?}");
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("SKIPPED: the way of a span is not watched: valgrind is not installed");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let extra = "recorder: { memory: 256KiB, files: 2MiB }\nsampling:\n  decision_wait: 1s\n  policies:\n    - { name: errors, type: \
                 status_code, status_code: { status_codes: [ERROR] } }\n";
    let file = directory.path().join("lightship.yaml");
    std::fs::write(&file, configuration(&directory.path().join("data"), extra)).unwrap();
    let profile = directory.path().join("profile");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--quiet"]).arg(format!("--callgrind-out-file={}", profile.display()));
    let child = valgrind.arg(PROGRAM).args(["run", "--config"]).arg(&file).stderr(Stdio::null()).spawn().unwrap();
    let mut agent = Agent::of(child, directory);
    assert_eq!(agent.post("/v1/traces", PROTOBUF, &request(failed_span)).0, 200);
    let queued = || agent.status()["destinations"][0]["queued_records"].clone();
    let committed = (0..600).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        queued() == 1
    });
    assert!(committed, "the span did not reach the journal");
    let status = agent.terminate();
    assert!(status.success(), "{status}");

    let text = std::fs::read_to_string(&profile).unwrap();
    // `fn=(12) edge::intake::take`: the name stands where the number is first used.
    let name = |line: &'_ str| {
        let (_, name) = line.strip_prefix("fn=(").or(line.strip_prefix("cfn=("))?.split_once(") ")?;
        Some(without_types(name))
    };
    let passed: BTreeSet<String> = text.lines().filter_map(name).collect();
    for (number, functions) in (1..).zip(&stations) {
        let is_passed = |function: &String| passed.iter().any(|name| name.contains(function.as_str()));
        assert!(functions.iter().any(is_passed), "station {number}: none of {functions:?} ran");
    }
}
