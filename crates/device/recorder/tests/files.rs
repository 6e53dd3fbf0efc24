//! The recorder in files, on the model disk.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use common::{EPOCH, OPTIONS, noise, open};
use disk::model::{ModelDisk, ModelFile, Rng};
use model::{Epoch, Signal};
use recorder::{Content, Decisions, HEAD_LEN, Progress, RecorderError, RecorderFiles, Recording, carry_over};
use segment::{Row, SegmentFile, SegmentKey, firsts, walk};

fn request(text: &str) -> Recording<'_> {
    Recording {
        content: Content::Request(Signal::Traces),
        key: b"key",
        position: b"",
        bytes: text.as_bytes(),
        compressed: None,
    }
}

fn held(disk: &ModelDisk, recorder: &RecorderFiles<ModelFile>, from: u64) -> Vec<(u64, String)> {
    let mut held = Vec::new();
    recorder
        .each_recorded(disk, from, |sequence, request| {
            assert_eq!((request.content, request.key), (Content::Request(Signal::Traces), &b"key"[..]));
            held.push((sequence, String::from_utf8(request.bytes.to_vec()).unwrap()));
        })
        .unwrap();
    held
}

/// Scenario: requests are recorded, some synced, some only written; the program is killed, then the power is cut.
/// Guarantees: what was written survives the kill, what was synced the cut; sequences go on behind what was taken; every
/// byte is under a checksum (P2).
#[test]
fn recorded_requests_survive_by_their_level() {
    let disk = ModelDisk::new();
    let mut recorder = open(&disk, &OPTIONS, None);
    let texts: Vec<String> = (0..40).map(|number| noise(number, 3000)).collect();
    let group: Vec<Recording<'_>> = texts[..10].iter().map(|text| request(text)).collect();
    assert_eq!(recorder.record(&disk, &group, 5, true).unwrap(), 1);
    for text in &texts[10..] {
        recorder.record(&disk, &[request(text)], 6, false).unwrap();
    }
    drop(recorder);
    disk.kill();
    let mut recorder = open(&disk, &OPTIONS, None);
    let found = held(&disk, &recorder, 1);
    assert_eq!(found.len(), 40);
    assert!(found.iter().zip(&texts).all(|((_, found), text)| found == text));
    assert_eq!(held(&disk, &recorder, 38).len(), 3);
    // The reopened rows were synced; what comes now is not.
    recorder.record(&disk, &[request("late")], 7, false).unwrap();
    drop(recorder);
    disk.power_cycle(&mut Rng::new(3));
    let mut recorder = open(&disk, &OPTIONS, None);
    assert!(held(&disk, &recorder, 1).len() >= 40);
    let next = recorder.bounds().1;
    recorder.record(&disk, &[request("more")], 8, true).unwrap();
    assert_eq!(held(&disk, &recorder, next), [(next, "more".to_owned())]);
    drop(recorder);
    for first in firsts(&disk, Row::Recorder).unwrap() {
        let file = SegmentFile::open(&disk, SegmentKey { epoch: EPOCH, row: Row::Recorder, first }).unwrap();
        assert_eq!(walk(&disk, &file, u64::MAX, |_, _, _| ()).unwrap().findings, []);
    }
}

/// Scenario: more requests than the ring holds, with nothing needed, then with everything needed. Guarantees: the oldest are
/// overwritten and the row stays within its size; what is needed never is: the request is refused (P9).
#[test]
fn the_ring_overwrites_what_is_not_needed() {
    let disk = ModelDisk::new();
    let mut recorder = open(&disk, &OPTIONS, None);
    let size = |disk: &ModelDisk| -> u64 {
        disk.paths().iter().filter(|path| path.starts_with("recorder")).filter_map(|path| disk.len_of(path)).sum()
    };
    for number in 0..400u64 {
        let text = noise(number, 9000);
        let next = recorder.record(&disk, &[request(&text)], number, false).unwrap() + 1;
        let progress = Progress { booked: next, needed: next };
        recorder.prepare(&disk, &Decisions::default(), progress, number).unwrap();
        recorder.committed(&disk);
        assert!(size(&disk) <= 1 << 20, "{}", size(&disk));
    }
    let (oldest, next) = recorder.bounds();
    assert!(next - oldest > 60, "{}", next - oldest);
    let refused =
        (0..400u64).find_map(|number| recorder.record(&disk, &[request(&noise(number, 9000))], 1, false).err());
    assert!(matches!(refused, Some(RecorderError::Full(_))), "{refused:?}");
    assert_eq!(held(&disk, &recorder, next)[0].0, next, "nothing that is needed is gone");
    assert!(size(&disk) <= 1 << 20);
}

/// Scenario: decisions are written for one commit that is done and one that is not, and the rings are opened behind the first; then
/// with a head that may not be the last one, and with one that cannot be read. Guarantees: decisions behind the last commit are
/// cut; where it is not known which one that was, none is (P2).
#[test]
fn decisions_count_with_their_commit() {
    let disk = ModelDisk::new();
    let mut recorder = open(&disk, &OPTIONS, None);
    let mut heads = Vec::new();
    for bits in [1, 2] {
        recorder.record(&disk, &[request("request")], 1, true).unwrap();
        let decisions = Decisions { remembered: &[bits], without_spans: &[bits + 100] };
        let progress = Progress { booked: bits + 1, needed: bits };
        heads.push(recorder.prepare(&disk, &decisions, progress, 5).unwrap());
        recorder.committed(&disk);
    }
    drop(recorder);
    let decided = |head: Option<&[u8]>, newest: bool| {
        let disk = disk.fork();
        let recorder = RecorderFiles::open(&disk, EPOCH, &OPTIONS, head, newest).unwrap();
        let mut found = Vec::new();
        recorder
            .each_decisions(&disk, |read| found.push((read.remembered[0], read.without_spans[0], read.before)))
            .unwrap();
        (found, recorder.progress())
    };
    let (both, first) = (vec![(1, 101, 2), (2, 102, 3)], vec![(1, 101, 2)]);
    assert_eq!(decided(Some(&heads[1]), true), (both.clone(), Progress { booked: 3, needed: 2 }));
    assert_eq!(decided(Some(&heads[0]), true), (first, Progress { booked: 2, needed: 1 }));
    assert_eq!(decided(Some(&heads[0]), false), (both.clone(), Progress { booked: 2, needed: 1 }));
    assert_eq!(decided(Some(&[0xff; HEAD_LEN]), true), (both, Progress::default()));
}

/// Scenario: requests and decisions go over to a new epoch. Guarantees: what is still needed and every decision is there, under new
/// sequences that the new head speaks of; the old rings are as they were.
#[test]
fn what_is_needed_goes_over() {
    let (old_disk, new_disk) = (ModelDisk::new(), ModelDisk::new());
    let mut old = open(&old_disk, &OPTIONS, None);
    for number in 1..=6u64 {
        old.record(&old_disk, &[request(&number.to_string())], number, true).unwrap();
        let decisions = Decisions { remembered: &[number], without_spans: &[] };
        let progress = Progress { booked: number, needed: number.min(4) };
        old.prepare(&old_disk, &decisions, progress, 7).unwrap();
        old.committed(&old_disk);
    }
    let mut new = RecorderFiles::open(&new_disk, Epoch(10), &OPTIONS, None, true).unwrap();
    let head = carry_over((&old_disk, &old), (&new_disk, &mut new)).unwrap();
    drop(new);
    let new = RecorderFiles::open(&new_disk, Epoch(10), &OPTIONS, Some(&head), true).unwrap();
    let texts: Vec<String> = held(&new_disk, &new, 0).into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["4", "5", "6"]);
    assert_eq!((new.progress(), new.bounds()), (Progress { booked: 3, needed: 1 }, (1, 4)));
    let mut decisions = Vec::new();
    new.each_decisions(&new_disk, |read| decisions.push((read.remembered[0], read.before, read.wall_ns))).unwrap();
    assert_eq!(decisions, [(1, 1, 7), (2, 1, 7), (3, 1, 7), (4, 1, 7), (5, 2, 7), (6, 3, 7)]);
    assert_eq!(held(&old_disk, &old, 0).len(), 6);
}
