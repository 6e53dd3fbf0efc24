//! The recorder in files and the decisions beside it.

use disk::model::{ModelDisk, Rng};
use model::{Lane, Signal};

use super::{Hub, STAMP, body, drain, meta, noise, open, options};
use crate::{Content, Decisions, Journal, Options, Recording, Taken, TapeError, verify};

fn recording() -> Options {
    Options { destinations: vec!["hub".into()], recorder_bytes: 1 << 20, decision_bytes: 1 << 20, ..options() }
}

fn request(text: &str) -> Recording<'_> {
    Recording { content: Content::Request(Signal::Traces), key: b"key", bytes: text.as_bytes() }
}

fn held(journal: &Journal<ModelDisk>, from: u64) -> Vec<(u64, String)> {
    let mut held = Vec::new();
    journal
        .each_recorded(from, |sequence, request| {
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
    let (mut journal, _) = open(&disk, &recording());
    let texts: Vec<String> = (0..40).map(|number| noise(number, 3000)).collect();
    let group: Vec<Recording<'_>> = texts[..10].iter().map(|text| request(text)).collect();
    assert_eq!(journal.record(&group, 5, true).unwrap(), 1);
    for text in &texts[10..] {
        journal.record(&[request(text)], 6, false).unwrap();
    }
    drop(journal);
    disk.kill();
    let (mut journal, _) = open(&disk, &recording());
    let found = held(&journal, 1);
    assert_eq!(found.len(), 40);
    assert!(found.iter().zip(&texts).all(|((_, found), text)| found == text));
    assert_eq!(held(&journal, 38).len(), 3);
    // The reopened rows were synced; what comes now is not.
    journal.record(&[request("late")], 7, false).unwrap();
    drop(journal);
    disk.power_cycle(&mut Rng::new(3));
    let (mut journal, _) = open(&disk, &recording());
    assert!(held(&journal, 1).len() >= 40);
    let next = journal.recorded().1;
    journal.record(&[request("more")], 8, true).unwrap();
    assert_eq!(held(&journal, next), [(next, "more".to_owned())]);
    drop(journal);
    let findings = verify(&disk).unwrap().findings;
    assert_eq!(findings, []);
}

/// Scenario: more requests than the ring holds, with nothing needed, then with everything needed. Guarantees: the oldest are
/// overwritten and the row stays within its size; what is needed never is: the request is refused (P9).
#[test]
fn the_ring_overwrites_what_is_not_needed() {
    let disk = ModelDisk::new();
    let (mut journal, _) = open(&disk, &recording());
    let size = |disk: &ModelDisk| -> u64 {
        disk.paths().iter().filter(|path| path.starts_with("recorder")).filter_map(|path| disk.len_of(path)).sum()
    };
    for number in 0..400u64 {
        let text = noise(number, 9000);
        let next = journal.record(&[request(&text)], number, false).unwrap() + 1;
        journal.commit_taken(STAMP, b"note", &Decisions::default(), Taken { next, needed: next }).unwrap();
        assert!(size(&disk) <= 1 << 20, "{}", size(&disk));
    }
    let (oldest, next) = journal.recorded();
    assert!(next - oldest > 60, "{}", next - oldest);
    let refused = (0..400u64).find_map(|number| journal.record(&[request(&noise(number, 9000))], 1, false).err());
    assert!(matches!(refused, Some(TapeError::Full(_))), "{refused:?}");
    assert_eq!(held(&journal, next)[0].0, next, "nothing that is needed is gone");
    assert!(size(&disk) <= 1 << 20);
}

/// Scenario: a commit of frames, decisions and places, and a power cut at each operation of the next one. Guarantees: after
/// the restart either all of the second commit is there or nothing of it: frames, decisions, note and places agree, and
/// sequences of cut frames, which were never sent, are given out again (P1, P2).
#[test]
fn frames_and_decisions_are_committed_together() {
    let (mut before, mut after) = (0, 0);
    for cut in 0..60 {
        let disk = super::disk_of_epoch(cut);
        let (mut journal, _) = open(&disk, &recording());
        let round = |journal: &mut Journal<ModelDisk>, number: u64| {
            journal.record(&[request("request")], 1, true).map_err(|_| ())?;
            journal.append(Lane::Traces, &body(&format!("frame {number}")), meta(1), STAMP).map_err(|_| ())?;
            let decisions = Decisions { remembered: &[number], alone: &[number + 100] };
            let taken = Taken { next: number + 1, needed: number + 1 };
            journal.commit_taken(STAMP, &[number as u8], &decisions, taken).map(drop).map_err(|_| ())
        };
        round(&mut journal, 1).unwrap();
        disk.cut_after(cut);
        let whole = round(&mut journal, 2).is_ok();
        drop(journal);
        disk.power_cycle(&mut Rng::new(cut));
        let (mut journal, recovery) = open(&disk, &recording());
        let number = recovery.note.unwrap()[0];
        assert!(number == 2 || !whole);
        assert_eq!(recovery.after_note, []);
        let mut decided = Vec::new();
        journal.each_decisions(|read| decided.extend(read.remembered.iter().map(|bits| (*bits, read.before)))).unwrap();
        let expected: Vec<(u64, u64)> = (1..=u64::from(number)).map(|number| (number, number + 1)).collect();
        assert_eq!(decided, expected, "cut {cut}");
        assert_eq!(journal.taken().next, u64::from(number) + 1);
        assert!(journal.recorded().1 > u64::from(number));
        let mut hub = Hub::default();
        drain(&mut journal, 0, &mut hub);
        assert_eq!(hub.frames.len(), usize::from(number), "cut {cut}");
        let again = journal.append(Lane::Traces, &body("again"), meta(1), STAMP).unwrap();
        assert_eq!(again, u64::from(number) + 1);
        if number == 1 { before += 1 } else { after += 1 }
    }
    assert!(before > 5 && after > 5, "{before} {after}");
}
