//! A new epoch in the same directory.

use std::collections::BTreeSet;

use disk::model::{ModelDisk, Rng};
use model::{Lane, Signal};
use recorder::{Content, Decisions, Progress, RecorderError, RecorderFiles, Recording, carry_over};

use super::{Device, Hub, RINGS, STAMP, body, disk_of_epoch, drain, ledger, meta, noise, options};
use crate::{AttachmentKind, JournalError, Options, Renewed, fresh_epoch, renew, verify};

const ROUNDS: u64 = 12;

fn text(number: u64) -> Vec<u8> {
    body(&format!("{number}: {}", noise(number, 300)))
}

/// Two frames to a block, in two lanes; the first destination has three blocks of one lane, the second one one block. Of
/// twelve requests the last five are still needed.
fn queued() -> ModelDisk {
    let disk = disk_of_epoch(5);
    let (mut device, _) = Device::open(&disk, &options());
    for number in 0..ROUNDS {
        let request = number.to_string();
        let recording = Recording {
            content: Content::Request(Signal::Logs),
            key: b"",
            position: b"",
            bytes: request.as_bytes(),
            compressed: None,
        };
        device.record(&[recording], number).unwrap();
        let lane = if number % 4 == 3 { Lane::Audit } else { Lane::Logs };
        for part in 0..2 {
            device.journal.append(lane, &text(number * 2 + part), meta(1), STAMP).unwrap();
        }
        let decisions = Decisions { remembered: &[number], without_spans: &[100 + number] };
        let progress = Progress { booked: number + 2, needed: (number + 2).min(8) };
        device.commit(&[number as u8], &decisions, progress).unwrap();
    }
    let mut journal = device.journal;
    for (destination, last) in [(0, 6), (1, 2)] {
        journal.next_blocks(destination, 1 << 20, &mut Vec::new()).unwrap();
        journal.confirm(destination, Lane::Logs, 1, last).unwrap();
    }
    journal.sync_cursors().unwrap();
    drop(journal);
    disk
}

/// Renews the journal and the recorder beside it.
fn begin_epoch(disk: &ModelDisk) -> Result<Renewed, JournalError> {
    let options = Options { cut_uncommitted: true, ..options() };
    renew(disk, &options, STAMP, fresh_epoch()?, |carry| {
        let (found, fail) = (carry.recovery, |error: RecorderError| JournalError::from(error.into_disk()));
        let head = found.attachment(AttachmentKind::Recorder);
        let old = RecorderFiles::open(carry.old, carry.old_epoch, &RINGS, head, found.is_last).map_err(fail)?;
        let mut new = RecorderFiles::open(carry.new, carry.new_epoch, &RINGS, None, true).map_err(fail)?;
        let head = carry_over((carry.old, &old), (carry.new, &mut new)).map_err(fail)?;
        Ok(vec![(AttachmentKind::Recorder, head.to_vec())])
    })
}

/// Checks that a directory has everything, and tells its epoch.
fn check(disk: &ModelDisk, what: &str) -> u64 {
    let (mut device, recovery) = Device::open(disk, &options());
    assert_eq!((ledger(&recovery), recovery.unbooked.len()), (Some(&[11][..]), 0), "{what}");
    assert_eq!(recovery.corrupt, [], "{what}");
    let audit = |number: u64| number / 2 % 4 == 3;
    // The second destination has the first block, the first one two blocks more: rounds 1 and 2.
    for (destination, has) in [(0, 6), (1, 2)] {
        let mut hub = Hub::default();
        let expected: BTreeSet<u64> = (0..2 * ROUNDS).filter(|number| *number >= has || audit(*number)).collect();
        assert_eq!(device.journal.depth(destination).unwrap().records, expected.len() as u64, "{what}");
        drain(&mut device.journal, destination, &mut hub);
        assert_eq!(hub.frames.len(), expected.len(), "{what}: nothing comes twice");
        let came = |number: &u64| hub.frames.values().any(|frame| frame.ends_with(&text(*number)));
        assert!(expected.iter().all(came), "{what}");
        assert_eq!((hub.gaps.len(), device.journal.depth(destination).unwrap().records), (0, 0), "{what}");
    }
    let progress = device.recorder.progress();
    let requests = device.requests(progress.needed);
    assert!(requests.iter().all(|request| request.0 < progress.booked), "{what}: they are in the books");
    let texts: Vec<&[u8]> = requests.iter().map(|request| &request.3[..]).collect();
    assert_eq!(texts, [&b"7"[..], b"8", b"9", b"10", b"11"], "{what}");
    let decisions: Vec<(u64, u64)> =
        device.decisions().iter().map(|read| (read.remembered[0], read.without_spans[0])).collect();
    assert_eq!(decisions, (0..ROUNDS).map(|number| (number, 100 + number)).collect::<Vec<_>>(), "{what}");
    device.journal.epoch().0
}

/// Scenario: a directory with a queue for two destinations at different places gets a new epoch. Guarantees: each destination
/// gets what it had not, once; what is recorded, decided and booked is there; nothing of the old epoch is left (P1, P3, P8).
#[test]
fn everything_goes_over() {
    let disk = queued();
    assert_eq!(check(&disk.fork(), "before"), 5);
    let renewed = begin_epoch(&disk).unwrap();
    assert_eq!((renewed.from.0, renewed.frames, renewed.lost.as_slice()), (5, 22, &[0, 0][..]));
    assert_eq!(verify(&disk).unwrap().findings, []);
    assert!(!disk.paths().iter().any(|path| path.starts_with("renewed/") && !path.ends_with("/lock")));
    assert_eq!(check(&disk.fork(), "after"), renewed.to.0);
    let again = begin_epoch(&disk).unwrap();
    assert_eq!(again.from, renewed.to);
    assert_eq!(check(&disk, "after two"), again.to.0);
}

/// Scenario: the power fails at each operation of it. Guarantees: afterwards the directory is in the old epoch or in the new
/// one, with everything (P2).
#[test]
fn a_cut_leaves_one_of_both() {
    let (mut before, mut after) = (0, 0);
    for cut in 0.. {
        let disk = queued();
        disk.cut_after(cut);
        let whole = begin_epoch(&disk).is_ok();
        disk.power_cycle(&mut Rng::new(cut));
        let epoch = check(&disk, &format!("cut at {cut}"));
        if epoch == 5 {
            before += 1;
        } else {
            after += 1;
        }
        // Where it was cut, it can be begun again.
        let again = begin_epoch(&disk).unwrap();
        assert_eq!(again.from.0, epoch);
        if whole {
            break;
        }
    }
    assert!(before > 20 && after > 20, "{before} {after}");
}

/// Scenario: there is no room for it. Guarantees: an error, and the directory is as it was.
#[test]
fn without_room_nothing_changes() {
    let disk = queued();
    disk.set_capacity(Some(disk.used() + 100_000));
    assert!(begin_epoch(&disk).is_err());
    disk.set_capacity(None);
    assert_eq!(check(&disk, "without room"), 5);
}
