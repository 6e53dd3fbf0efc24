//! Starts of the assembled edge on the model disk.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use disk::model::ModelDisk;
use model::Signal;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, LogsData, ResourceLogs, ScopeLogs};
use pipeline::Pipeline;
use prost::Message;
use recorder::{Content, FileOptions, Recording};
use sampling::{Options, Sampler};

/// A request of so many log records without a trace.
fn log_records(count: usize) -> Vec<u8> {
    let record = LogRecord { severity_number: 9, time_unix_nano: 1_760_000_000_000_000_000, ..LogRecord::default() };
    let scope_logs = vec![ScopeLogs { log_records: vec![record; count], ..ScopeLogs::default() }];
    LogsData { resource_logs: vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }] }.encode_to_vec()
}

/// Scenario: the recorder's files hold requests that a start does not survive: it dies while it takes them in, or at its first commit,
/// three times. Guarantees: at the third start what came after the last commit is set aside, in a form that can be imported, and booked as
/// lost; the start comes to its end, and so does the next one; the books balance (P1, P9).
#[test]
fn i13_what_kills_starts_is_set_aside() {
    let disk = ModelDisk::new();
    let journal = journal::Options {
        device: "d".into(),
        consumers: journal::Consumer::all(&["hub"]),
        total_bytes: 4 << 20,
        lane_bytes: [u64::MAX; 6],
        lane_ages: [u64::MAX; 6],
        history_bytes: 0,
        free_space_floor: 0,
        cut_uncommitted: true,
    };
    let recorder = Some(FileOptions { bytes: 1 << 20, decision_bytes: 1 << 20 });
    let options = edge::StorageOptions { journal, recorder };
    let open = || {
        let make = |ledger| Pipeline::new(64 << 10, Sampler::new(Options::default()), None, ledger);
        edge::DiskState::open(disk.clone(), &options, model::Stamp::default(), 0, make).unwrap()
    };
    let commit = |opened: &mut edge::Opened<ModelDisk>| {
        let batches = opened.pipeline.take_batches();
        let attachment = opened.pipeline.attachment(0);
        let committed = opened.disk.commit(batches, model::Stamp::default(), &attachment);
        assert_eq!(committed.error, None);
        opened.pipeline.committed(&attachment);
    };
    let mut opened = open();
    commit(&mut opened);
    let bomb = log_records(2);
    let recording =
        Recording { content: Content::Request(Signal::Logs), key: b"", position: b"", bytes: &bomb, compressed: None };
    opened.disk.record(&[recording], 1, true).unwrap();
    drop(opened);
    disk.kill();
    for _ in 0..2 {
        let opened = open();
        assert_eq!((opened.resumed.requests, opened.resumed.set_aside), (1, 0));
        drop(opened);
        disk.kill();
    }
    let mut opened = open();
    assert_eq!((opened.resumed.requests, opened.resumed.set_aside), (0, 1));
    commit(&mut opened);
    let ledger = opened.pipeline.ledger();
    assert_eq!((ledger.received.logs, ledger.lost_crash.logs, ledger.difference(|_| 0)), (2, 2, 0));
    drop(opened);
    disk.kill();
    let letter = disk.paths().into_iter().find(|path| path.starts_with("dead-letters/logs-")).unwrap();
    assert!(letter.ends_with("-start-over_budget.otlp"), "{letter}");
    assert_eq!(disk.content(&letter).unwrap()[4..], bomb);
    let opened = open();
    assert_eq!((opened.resumed.requests, opened.resumed.set_aside), (0, 0));
    assert_eq!(opened.pipeline.ledger().lost_crash.logs, 2);
}
