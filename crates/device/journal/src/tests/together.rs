//! The journal and the recorder in files: one commit for both.

use disk::model::Rng;
use model::{Lane, Signal};
use recorder::{Content, Decisions, Progress, Recording};

use super::{Device, Hub, STAMP, body, drain, ledger, meta, open, options};
use crate::{AttachmentKind, Consumer, Options};

fn one_destination() -> Options {
    Options { consumers: Consumer::all(&["hub"]), ..options() }
}

fn request(text: &str) -> Recording<'_> {
    Recording {
        content: Content::Request(Signal::Traces),
        key: b"key",
        position: b"",
        bytes: text.as_bytes(),
        compressed: None,
    }
}

/// Scenario: a commit of frames, decisions and head, and a power cut at each operation of the next one. Guarantees: after
/// the restart either all of the second commit is there or nothing of it: frames, decisions, ledger and head agree, and
/// sequences of cut frames, which were never sent, are given out again (P1, P2).
#[test]
fn frames_and_decisions_are_committed_together() {
    let (mut before, mut after) = (0, 0);
    for cut in 0..60 {
        let disk = super::disk_of_epoch(cut);
        let (mut device, _) = Device::open(&disk, &one_destination());
        let round = |device: &mut Device, number: u64| {
            device.record(&[request("request")], 1).map_err(|_| ())?;
            device.journal.append(Lane::Traces, &body(&format!("frame {number}")), meta(1), STAMP).map_err(|_| ())?;
            let decisions = Decisions { remembered: &[number], without_spans: &[number + 100] };
            let progress = Progress { booked: number + 1, needed: number + 1 };
            device.commit(&[number as u8], &decisions, progress).map(drop).map_err(|_| ())
        };
        round(&mut device, 1).unwrap();
        disk.cut_after(cut);
        let whole = round(&mut device, 2).is_ok();
        drop(device);
        disk.power_cycle(&mut Rng::new(cut));
        let (mut device, recovery) = Device::open(&disk, &one_destination());
        let number = ledger(&recovery).unwrap()[0];
        assert!(number == 2 || !whole);
        assert_eq!(recovery.unbooked, []);
        let decided: Vec<(u64, u64)> =
            device.decisions().iter().map(|read| (read.remembered[0], read.before)).collect();
        let expected: Vec<(u64, u64)> = (1..=u64::from(number)).map(|number| (number, number + 1)).collect();
        assert_eq!(decided, expected, "cut {cut}");
        assert_eq!(device.recorder.progress().booked, u64::from(number) + 1);
        assert!(device.recorder.bounds().1 > u64::from(number));
        let mut hub = Hub::default();
        drain(&mut device.journal, 0, &mut hub);
        assert_eq!(hub.frames.len(), usize::from(number), "cut {cut}");
        let again = device.journal.append(Lane::Traces, &body("again"), meta(1), STAMP).unwrap();
        assert_eq!(again, u64::from(number) + 1);
        if number == 1 { before += 1 } else { after += 1 }
    }
    assert!(before > 5 && after > 5, "{before} {after}");
}

/// Scenario: the newest commit record is damaged; the journal is opened without the recorder, as a repair does, and commits; then
/// both go on. Guarantees: decisions that only the damaged record spoke of stay, since their frames stay: nothing is decided a
/// second time (P1, P3).
#[test]
fn decisions_of_a_damaged_commit_record_stay() {
    let disk = super::disk_of_epoch(3);
    let (mut device, _) = Device::open(&disk, &one_destination());
    for number in 1..=4 {
        device.record(&[request("request")], 1).unwrap();
        device.journal.append(Lane::Traces, &body(&number.to_string()), meta(1), STAMP).unwrap();
        let decisions = Decisions { remembered: &[number], without_spans: &[] };
        let progress = Progress { booked: number + 1, needed: number + 1 };
        device.commit(&[number as u8], &decisions, progress).unwrap();
    }
    drop(device);
    let newest = ["note.a", "note.b"].into_iter().max_by_key(|path| disk.content(path).unwrap()[8]).unwrap();
    disk.flip(newest, 30, 1);
    // Somebody opens the journal alone, and commits.
    let (mut journal, recovery) = open(&disk, &Options { cut_uncommitted: true, ..one_destination() });
    assert!(!recovery.is_last && recovery.attachment(AttachmentKind::Recorder).is_some());
    for text in ["more", "and more"] {
        journal.append(Lane::Traces, &body(text), meta(1), STAMP).unwrap();
        journal.commit(STAMP, &[]).unwrap();
    }
    drop(journal);
    for life in 0..2 {
        let (device, recovery) = Device::open(&disk, &one_destination());
        assert_eq!((recovery.is_last, device.decisions().len()), (life > 0, 4), "life {life}");
        drop(device);
        disk.power_cycle(&mut Rng::new(life));
    }
}
