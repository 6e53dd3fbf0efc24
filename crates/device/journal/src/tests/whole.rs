//! Verifying and repairing a directory that has every kind of file.

use std::collections::{BTreeMap, BTreeSet};

use disk::model::ModelDisk;
use model::{Lane, Signal};
use recorder::{Content, Decisions, Progress, Recording};

use super::{Device, Hub, STAMP, body, drain, meta, noise, options};
use crate::{Consumer, Options, StoredBlock, repair, verify};

/// Requests of one entry of the recorder.
const TOGETHER: u64 = 2;
/// Commits, each with two frames, an entry of requests and an entry of decisions.
const ROUNDS: u64 = 22;

fn recording() -> Options {
    Options { consumers: Consumer::all(&["hub"]), history_bytes: 1 << 20, cut_uncommitted: true, ..options() }
}

/// What a directory holds that has to stay.
struct Held {
    frames: BTreeMap<(Lane, u64), Vec<u8>>,
    /// Blocks that the destination has.
    confirmed: Vec<StoredBlock>,
    requests: BTreeSet<(u64, Vec<u8>)>,
    decisions: BTreeSet<u64>,
}

fn round(device: &mut Device, held: &mut Held, number: u64) {
    let lane = if number % 6 == 5 { Lane::Audit } else { Lane::Logs };
    let texts = [noise(1000 + number, 200), noise(2000 + number, 100)];
    let requests = texts.each_ref().map(|text| Recording {
        content: Content::Request(Signal::Logs),
        key: b"key",
        position: b"",
        bytes: text.as_bytes(),
        compressed: None,
    });
    let first = device.record(&requests, 5 + number).unwrap();
    for (sequence, text) in (first..).zip(&texts) {
        held.requests.insert((sequence, text.as_bytes().to_vec()));
    }
    for part in 0..2 {
        let body = body(&format!("{number}.{part} {}", noise(number * 2 + part, 700)));
        let sequence = device.journal.append(lane, &body, meta(1), STAMP).unwrap();
        held.frames.insert((lane, sequence), body);
    }
    let decisions = Decisions { remembered: &[number * 2], without_spans: &[number * 2 + 1] };
    held.decisions.extend([number * 2, number * 2 + 1]);
    let progress = Progress { booked: first + TOGETHER, needed: 1 };
    device.commit(&vec![number as u8; 100 + number as usize % 7], &decisions, progress).unwrap();
}

/// A small directory with every kind of file: sealed segments with index and footer and open ones with zeros behind their
/// entries in two lanes, the recorder and the decisions; both commit records, a cursor with both slots, the spare file, the epoch.
fn small() -> (ModelDisk, Held) {
    let disk = ModelDisk::new();
    let mut held =
        Held { frames: BTreeMap::new(), confirmed: Vec::new(), requests: BTreeSet::new(), decisions: BTreeSet::new() };
    for life in 0..2 {
        let (mut device, _) = Device::open(&disk, &recording());
        for number in 0..ROUNDS / 2 {
            round(&mut device, &mut held, life * ROUNDS / 2 + number);
        }
        let journal = &mut device.journal;
        let from = held.confirmed.len();
        journal.next_blocks(0, 2000, &mut held.confirmed).unwrap();
        for block in &held.confirmed[from..] {
            journal.confirm(0, block.lane, block.first, block.last).unwrap();
        }
        journal.sync_cursors().unwrap();
    }
    for path in ["epoch", "note.a", "note.b", "cursors/hub.cur", "spare"] {
        assert!(disk.len_of(path).is_some_and(|len| len > 0), "{path}");
    }
    let rows = ["lanes/logs", "lanes/audit", "recorder", "decisions"];
    assert!(rows.iter().all(|row| disk.paths().iter().filter(|path| path.starts_with(row)).count() >= 2));
    (disk, held)
}

/// The directory with the epoch, `path` and the files of its row only: all that is looked at to check it.
fn beside(disk: &ModelDisk, path: &str) -> ModelDisk {
    let few = disk.fork();
    // A damaged epoch is taken from the segments.
    let row = if path == "epoch" { "lanes/audit" } else { path.rsplit_once('/').map_or(path, |(row, _)| row) };
    for other in disk.paths().iter().filter(|other| *other != "epoch" && !other.starts_with(row)) {
        few.lose(other);
    }
    few
}

/// Where the last byte stands that is not zero, and the length of a file.
fn filled(disk: &ModelDisk, path: &str) -> (u64, u64) {
    let content = disk.content(path).unwrap();
    (content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1), content.len() as u64)
}

/// Scenario: every single byte of every file of a directory is flipped, one at a time: segments of lanes, recorder and
/// decisions, indexes, footers, epoch, commit records, cursors, the zeros behind them, the spare file. Guarantees: `verify` finds
/// each; it finds nothing where nothing was flipped.
#[test]
fn verify_finds_every_flip() {
    let (disk, held) = small();
    let clean = verify(&disk).unwrap();
    assert_eq!(clean.findings, []);
    assert_eq!(clean.records, held.frames.len() as u64 + held.requests.len() as u64 + ROUNDS);
    let mut flips = 0;
    for path in disk.paths() {
        let few = beside(&disk, &path);
        for offset in 0..disk.len_of(&path).unwrap() {
            let mask = 1 << (offset % 8);
            few.flip(&path, offset, mask);
            let found = verify(&few).unwrap().findings;
            assert!(found.iter().any(|finding| finding.path == path), "{path} byte {offset}: {found:?}");
            few.flip(&path, offset, mask);
            flips += 1;
        }
    }
    assert!(flips > 200_000, "{flips}");
}

/// Scenario: a byte of a directory is flipped, in every file and all over it, and the directory is repaired. Guarantees:
/// nothing is found afterwards; every frame, request and decision of every other block is there; lost frames are told as
/// a gap.
#[test]
fn repair_keeps_every_other_block() {
    let (disk, held) = small();
    let (mut costly, mut costly_requests, mut costly_decisions) = (0, 0, 0);
    for path in disk.paths() {
        let (filled, len) = filled(&disk, &path);
        for offset in (0..filled).step_by(211).chain((filled..len).step_by(4099)) {
            let bad = disk.fork();
            bad.flip(&path, offset, 0x20);
            let what = format!("{path} byte {offset}");
            let repaired = repair(bad.clone(), recording(), STAMP).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(!repaired.before.findings.is_empty(), "{what}");
            assert_eq!(repaired.after.findings, [], "{what}");
            let (mut device, recovery) = Device::open(&bad, &recording());
            assert_eq!(recovery.corrupt, [], "{what}: repaired once");

            let mut hub = Hub::default();
            held.confirmed.iter().for_each(|block| hub.take(block));
            drain(&mut device.journal, 0, &mut hub);
            let missing = held.frames.iter().filter(|((lane, seq), body)| !hub.has(*lane, *seq, body)).count();
            assert!(missing <= if path.starts_with("lanes") { 2 } else { 0 }, "{what} cost {missing} frames");
            for (lane, seq) in held.frames.keys().filter(|(lane, seq)| !hub.frames.contains_key(&(*lane, *seq))) {
                assert!(hub.excuses(*lane, *seq), "{what}: {lane} {seq} is missing and not told");
            }
            costly += usize::from(missing > 0);

            let requests: BTreeSet<(u64, Vec<u8>)> =
                device.requests(1).into_iter().map(|(sequence, _, _, bytes)| (sequence, bytes)).collect();
            assert!(requests.is_subset(&held.requests), "{what}");
            let missing = (held.requests.len() - requests.len()) as u64;
            let may_miss = if path.starts_with("recorder") { TOGETHER } else { 0 };
            assert!(missing <= may_miss, "{what} cost {missing} requests");
            costly_requests += u64::from(missing > 0);

            let decisions: BTreeSet<u64> = device
                .decisions()
                .into_iter()
                .flat_map(|read| [read.remembered, read.without_spans].concat())
                .collect();
            assert!(decisions.is_subset(&held.decisions), "{what}");
            let missing = held.decisions.len() - decisions.len();
            assert!(missing <= if path.starts_with("decisions") { 2 } else { 0 }, "{what} cost {missing} decisions");
            costly_decisions += u64::from(missing > 0);
        }
    }
    assert!(
        costly > 20 && costly_requests > 10 && costly_decisions > 2,
        "{costly} {costly_requests} {costly_decisions}"
    );
}
