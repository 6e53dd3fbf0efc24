//! Values that must not get anywhere, planted into every text and all bytes of every signal, into log files and into what is scraped,
//! through the real program.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "it is one program")]

mod dumps;
mod places;
mod run;
mod search;
mod sources;
#[path = "../support/mod.rs"]
mod support;
mod values;

use std::process::Command;

use run::{RULES, plant_and_search};
use support::PROGRAM;
use values::SHAPES;

/// Scenario: more than 8,000 values that nobody has (card numbers in 41 shapes, addresses, tokens, keys, passwords, accounts): one of each
/// shape in every text and all bytes of every signal's schema, in log files of every format (with values that are split over partial lines,
/// and in UTF-16), in labels, exemplars and descriptions of a target and of text files, and in what is none of these; through an agent with
/// its recorder in files, a hub, an OTLP endpoint and a file; then it is killed. Guarantees: none is found in any file of the agent or the
/// hub, in what was sent, in what either says of itself or shows of what it holds, as it is, inflated, in base64 or hexadecimal (P10).
#[test]
fn nothing_that_is_masked_gets_anywhere() {
    let searched = plant_and_search(RULES, None);
    let found = searched.found;
    let first: Vec<_> = found.iter().take(20).collect();
    assert!(found.is_empty(), "{} are found: {first:#?}", found.len());
    let (planted, places) = (searched.planted, searched.places);
    assert!(planted > 8_000 && places > 60, "{planted} in {places}");
    if !searched.stored {
        eprintln!("SKIPPED: the hub's store: LIGHTSHIP_HUB names no program (cargo xtask canary builds it)");
    }
}

/// Scenario: the same without any rule. Guarantees: the search finds what is there, of every shape and in every kind of place: it would
/// tell.
#[test]
fn the_search_finds_what_is_there() {
    let searched = plant_and_search("guard: { defaults: false }\n", None);
    let found: Vec<&str> = searched.found.keys().map(String::as_str).collect();
    let mut parts = vec![
        " in backend /v1/traces",
        " in backend /v1/logs",
        " in backend /v1/metrics",
        " in peer /",
        " in query span",
        " in query log",
        " in query metric",
        "sink/traces.jsonl",
        "exported/logs.jsonl",
        "/data/recorder/",
        "LZ4",
        "inflated",
        "/data/lanes/traces/",
        "deep kvlists",
        "file plain",
        "file cri",
        "file docker",
        "file json",
        "file logfmt",
        "file csv",
        "file syslog",
        "file regex",
        "file wide",
        "file unsaid",
        "file joined",
        "scraped help",
        "scraped label",
        "scraped label name",
        "scraped exemplar",
        "text file help",
        "text file label",
    ];
    if searched.stored {
        parts.extend(["/hub/", "hub /api/v0/logs", "hub /prometheus/api/v1/series"]);
    }
    for part in parts {
        assert!(found.iter().any(|place| place.contains(part)), "nothing is found: {part}; {:?}", found.first());
    }
    for shape in 0..SHAPES {
        let name = format!("shape {shape}: ");
        assert!(found.iter().any(|place| place.contains(&name)), "nothing is found of {name}");
    }
}

/// Scenario: a guard that passes over one field, the message of a span's status. Guarantees: the search tells (P10).
#[cfg(feature = "mutants")]
#[test]
fn a_field_that_is_passed_over_is_noticed() {
    let found = plant_and_search(RULES, Some("unmasked-field")).found;
    assert!(!found.is_empty() && found.keys().all(|place| place.contains("status.message")), "{found:#?}");
}

/// Scenario: a text and a request as JSON through `mask test`, the text through `mask explain`. Guarantees: what would be written is
/// printed, the request still reads as one; `explain` says where, and nothing of what is there.
#[test]
fn a_file_can_be_tried() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("lines");
    let line =
        r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"card 4111111111111111"}}]}]}]}"#;
    std::fs::write(&file, format!("a 4111111111111111 b\nclean\n{line}\n")).unwrap();
    let config = directory.path().join("lightship.yaml");
    std::fs::write(&config, support::configuration(&directory.path().join("data"), "")).unwrap();
    let said = |word: &str| {
        let mut command = Command::new(PROGRAM);
        command.args(["mask", word, "--config", config.to_str().unwrap()]);
        let output = command.stdin(std::fs::File::open(&file).unwrap()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (masked, counts) = said("test");
    let lines: Vec<&str> = masked.lines().collect();
    assert_eq!(lines[..2], ["a [REDACTED:pan] b", "clean"]);
    assert!(lines[2].contains("card [REDACTED:pan]") && lines[2].starts_with("{\"resourceLogs\""), "{masked}");
    assert_eq!(counts, "pan: 2\n");
    let (explained, _) = said("explain");
    assert!(explained.contains("line 1, bytes 2..18: pan") && !explained.contains("4111"), "{explained}");
}
