//! OTLP JSON lines in files.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use drain::{PartialSuccess, SendError};
use model::proto::{put_bytes, put_message};
use model::{Refusal, Signal};
use sinks::{FileOptions, FileSink};

fn request(name: &str) -> Vec<u8> {
    let mut request = Vec::new();
    put_message(&mut request, 1, |out| {
        put_message(out, 2, |out| put_message(out, 2, |out| put_bytes(out, 5, name.as_bytes())));
    });
    request
}

/// The line of a request.
fn line(signal: Signal, name: &str) -> String {
    let mut line = String::new();
    otlp::json::request(&mut line, signal, &request(name));
    line + "\n"
}

fn export(sink: &mut FileSink, signal: Signal, request: &[u8]) -> Result<PartialSuccess, SendError> {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(sink.export(signal, request))
}

fn sink(directory: &Path, max_bytes: u64, keep: u32) -> FileSink {
    FileSink::files(FileOptions { directory: directory.to_owned(), max_bytes, keep })
}

/// Scenario: spans and metrics, each in a file of their own, over two runs of the program; an empty request. Guarantees: one line for
/// each request, none for the empty one, in the order in which they came, readable as OTLP JSON again.
#[test]
fn each_request_is_a_line() {
    let directory = tempfile::tempdir().unwrap();
    let files = directory.path().join("made/here");
    for run in ["first", "second"] {
        let mut sink = sink(&files, 1 << 20, 3);
        assert_eq!(export(&mut sink, Signal::Traces, &request(run)), Ok(PartialSuccess::default()));
        assert_eq!(export(&mut sink, Signal::Traces, &[]), Ok(PartialSuccess::default()));
        assert_eq!(export(&mut sink, Signal::Metrics, &request(run)), Ok(PartialSuccess::default()));
    }
    let traces = fs::read_to_string(files.join("traces.jsonl")).unwrap();
    assert_eq!(traces, line(Signal::Traces, "first") + &line(Signal::Traces, "second"));
    let metrics = fs::read_to_string(files.join("metrics.jsonl")).unwrap();
    assert_eq!(metrics, line(Signal::Metrics, "first") + &line(Signal::Metrics, "second"));
    let back = model::otlp::json::to_protobuf(Signal::Traces, traces.lines().next().unwrap().as_bytes(), 1 << 20);
    assert_eq!(back.unwrap(), request("first"));
}

/// Scenario: ten requests into files of at most three lines, of which two are kept beside the one that grows; then none is kept.
/// Guarantees: no file is longer than it may be, the youngest lines are there in order, the disk is bounded (P9).
#[test]
fn files_are_rotated_by_size() {
    let directory = tempfile::tempdir().unwrap();
    let one = line(Signal::Logs, "0").len() as u64;
    let mut rotated = sink(directory.path(), 3 * one, 2);
    for name in "0123456789".chars() {
        export(&mut rotated, Signal::Logs, &request(&name.to_string())).unwrap();
    }
    let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    let lines = |names: &str| names.chars().map(|name| line(Signal::Logs, &name.to_string())).collect::<String>();
    assert_eq!(
        (read("logs.jsonl"), read("logs.1.jsonl"), read("logs.2.jsonl")),
        (lines("9"), lines("678"), lines("345"))
    );
    let mut short = sink(directory.path(), 1, 0);
    export(&mut short, Signal::Logs, &request("a")).unwrap();
    export(&mut short, Signal::Logs, &request("b")).unwrap();
    assert_eq!(read("logs.jsonl"), lines("b"));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3);
}

/// Scenario: the program died while it wrote a line, short or longer than any buffer, after others or alone. Guarantees: what was cut off
/// is taken away, and the next line is whole: it comes again, because it was not confirmed (P3).
#[test]
fn a_line_that_was_cut_off_is_taken_away() {
    for (before, cut) in [("", 10), ("{}\n", 10), ("{}\n", 4096), ("", 10_000), ("{}\n{}\n", 100_000)] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("logs.jsonl"), before.to_owned() + &"x".repeat(cut)).unwrap();
        export(&mut sink(directory.path(), 1 << 20, 1), Signal::Logs, &request("a")).unwrap();
        let found = fs::read_to_string(directory.path().join("logs.jsonl")).unwrap();
        assert_eq!(found, before.to_owned() + &line(Signal::Logs, "a"));
    }
}

/// Scenario: the directory is a file; the disk is full. Guarantees: an operator's matter, and later (P3).
#[test]
fn what_cannot_be_written_stays() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = export(&mut sink(&file.join("below"), 1 << 20, 1), Signal::Logs, &request("a")).unwrap_err();
    assert!(matches!(error, SendError::Blocked { reason: Refusal::Unreachable, .. }), "{error}");
    if let Ok(true) = Path::new("/dev/full").try_exists() {
        std::os::unix::fs::symlink("/dev/full", directory.path().join("logs.jsonl")).unwrap();
        let error = export(&mut sink(directory.path(), 1 << 20, 1), Signal::Logs, &request("a")).unwrap_err();
        assert!(matches!(error, SendError::Retry { reason: Refusal::DiskFull, .. }), "{error}");
    }
}

/// Scenario: standard output. Guarantees: it is taken.
#[test]
fn standard_output_is_taken() {
    assert_eq!(export(&mut FileSink::stdout(), Signal::Logs, &[]), Ok(PartialSuccess::default()));
}
