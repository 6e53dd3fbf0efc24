//! The recorder's files, read without owning them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::ops::ControlFlow;

use common::{EPOCH, OPTIONS, noise, open};
use disk::model::ModelDisk;
use model::Signal;
use recorder::{Content, FileOptions, Recording, RequestsRead, read_requests};

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_700_000_000 * SECOND;

/// A ring of so many requests, one each second; the last segment is not sealed.
fn recorded(requests: u64) -> ModelDisk {
    let disk = ModelDisk::new();
    let mut recorder = open(&disk, &FileOptions { bytes: 8 << 20, ..OPTIONS }, None);
    for number in 0..requests {
        let text = noise(number, 3000);
        let one = Recording {
            content: Content::Request(Signal::Logs),
            key: b"k",
            position: b"",
            bytes: text.as_bytes(),
            compressed: None,
        };
        recorder.record(&disk, &[one], START + number * SECOND, false).unwrap();
    }
    drop(recorder);
    disk.kill();
    disk
}

fn read(disk: &ModelDisk, from: u64, since_ns: u64) -> (Vec<u64>, RequestsRead) {
    let mut found = Vec::new();
    let read = read_requests(disk, EPOCH, from, since_ns, |request| {
        assert_eq!(request.bytes, noise(request.sequence - 1, 3000).as_bytes());
        assert_eq!(request.wall_ns, START + (request.sequence - 1) * SECOND);
        found.push(request.sequence);
        ControlFlow::Continue(())
    });
    (found, read.unwrap())
}

/// Scenario: a killed program's ring, read as a whole, from a sequence, and from a time. Guarantees: every request once and
/// as it came; segments that came before the time are not read.
#[test]
fn requests_are_read_by_sequence_and_time() {
    let disk = recorded(1000);
    let (found, all) = read(&disk, 0, 0);
    assert_eq!(found, (1..=1000).collect::<Vec<_>>());
    assert_eq!((all.requests, all.damaged, all.oldest, all.next), (1000, 0, 1, 1001));
    assert_eq!(read(&disk, 995, 0).0, (995..=1000).collect::<Vec<_>>());
    let (found, late) = read(&disk, 0, START + 900 * SECOND);
    assert_eq!(found, (901..=1000).collect::<Vec<_>>());
    assert_eq!((late.oldest, late.next), (1, 1001));
    let segment = all.bytes_held / 16;
    assert!(late.bytes_read <= all.bytes_read / 10 + segment, "{} of {}", late.bytes_read, all.bytes_read);
}

/// Scenario: bytes flipped in entries, in headers and payloads, of sealed and open segments. Guarantees: each costs its
/// entry's request and no other, and is counted.
#[test]
fn a_flipped_byte_costs_one_entry() {
    let disk = recorded(400);
    let mut paths: Vec<String> = disk.paths().into_iter().filter(|path| path.starts_with("recorder")).collect();
    paths.sort();
    assert!(paths.len() > 2);
    for path in &paths {
        for offset in [64 + 20, 64 + 64 + 1, 64 + 64 + 1500] {
            let bad = disk.fork();
            bad.flip(path, offset, 4);
            let (found, read) = read(&bad, 0, 0);
            assert_eq!((found.len(), read.damaged), (399, 1), "{path} at {offset}");
        }
    }
}

/// Scenario: one entry with a request larger than many pieces between small ones. Guarantees: all are handed out whole.
#[test]
fn large_requests_come_in_pieces() {
    let disk = ModelDisk::new();
    let mut recorder = open(&disk, &FileOptions { bytes: 8 << 20, ..OPTIONS }, None);
    let texts = [noise(1, 10), noise(2, 500 << 10), noise(3, 40_000), noise(4, 40_000), noise(5, 0)];
    let content = Content::Request(Signal::Traces);
    let all: Vec<_> = texts
        .iter()
        .map(|text| Recording { content, key: b"", position: b"", bytes: text.as_bytes(), compressed: None })
        .collect();
    recorder.record(&disk, &all, START, true).unwrap();
    let mut found = Vec::new();
    let read = read_requests(&disk, EPOCH, 0, 0, |request| {
        found.push(request.bytes.to_vec());
        ControlFlow::Continue(())
    });
    assert_eq!((read.unwrap().damaged, found.len()), (0, 5));
    assert!(found.iter().zip(&texts).all(|(found, text)| found == text.as_bytes()));
}
