//! Flipped bits, unreadable sectors, lost files: a bad byte costs at most its block.

use std::collections::BTreeMap;

use disk::model::ModelDisk;
use model::Lane;
use wire::GapReason;

use super::{Hub, STAMP, body, drain, meta, noise, open, options};
use crate::{Attachment, Consumer, Journal, JournalError, Options};

fn one_destination() -> Options {
    Options { consumers: Consumer::all(&["hub"]), ..options() }
}

type Frames = BTreeMap<(Lane, u64), Vec<u8>>;

/// A directory with sealed and open segments in two lanes, two frames to a block, all committed.
fn filled() -> (ModelDisk, Frames) {
    let disk = ModelDisk::new();
    let (mut journal, _) = open(&disk, &one_destination());
    let mut frames = Frames::new();
    for n in 0..60u64 {
        let lane = if n % 6 == 5 { Lane::Audit } else { Lane::Logs };
        for part in 0..2 {
            let text = body(&format!("{n}.{part} {}", noise(n * 2 + part, 700)));
            let seq = journal.append(lane, &text, meta(1), STAMP).unwrap();
            frames.insert((lane, seq), text);
        }
        journal.commit(STAMP, &[Attachment::ledger(&n.to_le_bytes())]).unwrap();
    }
    assert!(journal.stats().segments >= 4);
    drop(journal);
    (disk, frames)
}

/// Opens and drains, and checks that everything that did not come is told, with its records, and nothing else.
fn check(disk: &ModelDisk, frames: &Frames, what: &str) -> Vec<(Lane, u64)> {
    let (mut journal, recovery) = open(disk, &one_destination());
    let mut hub = Hub::default();
    drain(&mut journal, 0, &mut hub);
    let mut missing = Vec::new();
    for ((lane, seq), text) in frames {
        if !hub.has(*lane, *seq, text) {
            assert!(hub.excuses(*lane, *seq), "{what}: {lane} {seq} is missing and not told: {recovery:?}");
            missing.push((*lane, *seq));
        }
    }
    let told: u64 = hub.gaps.iter().map(|gap| gap.records).sum();
    assert_eq!(told, missing.len() as u64, "{what}: {:?}", hub.gaps);
    assert!(hub.gaps.iter().all(|gap| gap.reason == GapReason::Corrupt));
    let lost: u64 = journal.take_lost().iter().map(|lost| lost.records).sum();
    assert_eq!(lost, told, "{what}: the ledger hears of each record once");
    assert_eq!(journal.depth(0).unwrap(), crate::Depth::default(), "{what}");
    for lane in [Lane::Audit, Lane::Logs] {
        let next = journal.heads().iter().find(|head| head.lane == lane).unwrap().next;
        hub.is_whole(lane, next);
    }
    // It is told once: not again after a restart.
    let gaps = hub.gaps.len();
    drop(journal);
    let (mut journal, _) = open(disk, &one_destination());
    drain(&mut journal, 0, &mut hub);
    assert_eq!(hub.gaps.len(), gaps, "{what}: told twice");
    missing
}

/// Scenario: a byte flipped, one at a time, all over the segments. Guarantees: at most the two frames of one block are
/// lost, they are told as a gap with their records, everything else is delivered.
#[test]
fn a_flipped_byte_costs_at_most_its_block() {
    let (disk, frames) = filled();
    let (mut flips, mut costly) = (0, 0);
    for path in disk.paths().iter().filter(|path| path.ends_with(".seg")) {
        let len = disk.len_of(path).unwrap();
        let mut offset = 0;
        while offset < len {
            let bad = disk.fork();
            bad.flip(path, offset, 1 << (offset % 8));
            let missing = check(&bad, &frames, &format!("{path} byte {offset}"));
            assert!(missing.len() <= 2, "{path} byte {offset} cost {missing:?}");
            flips += 1;
            costly += u32::from(!missing.is_empty());
            // Every byte of headers now and then, else a walk over all residues.
            offset += if offset < 140 || len - offset < 80 { 3 } else { 211 };
        }
    }
    assert!(flips > 400 && costly > 200, "{flips} flips, {costly} of them cost something");
}

/// Scenario: the oldest segment is gone, for it was confirmed, and the header of the one that is the oldest now is damaged.
/// Guarantees: how many records came before is known from its first block, so the depth stays true (P1).
#[test]
fn a_damaged_header_keeps_the_count() {
    let (disk, _) = filled();
    let (mut journal, _) = open(&disk, &one_destination());
    let first_of = |disk: &ModelDisk| {
        let paths = disk.paths().into_iter();
        paths.filter(|path| path.starts_with("lanes/logs/")).min().unwrap()
    };
    let oldest = first_of(&disk);
    while first_of(&disk) == oldest {
        let mut blocks = Vec::new();
        journal.next_blocks(0, 4000, &mut blocks).unwrap();
        for block in &blocks {
            journal.confirm(0, block.lane, block.first, block.last).unwrap();
        }
        journal.commit(STAMP, &[]).unwrap();
    }
    let depth = journal.depth(0).unwrap();
    drop(journal);
    for offset in [0, 16, 24, 63] {
        let bad = disk.fork();
        bad.flip(&first_of(&disk), offset, 1);
        let (mut journal, _) = open(&bad, &one_destination());
        assert_eq!(journal.depth(0).unwrap().records, depth.records, "byte {offset}");
    }
}

/// Scenario: an unreadable sector in each segment. Guarantees: at most the blocks that touch it are lost, and told.
#[test]
fn an_unreadable_sector_costs_its_blocks() {
    let (disk, frames) = filled();
    for path in disk.paths().iter().filter(|path| path.ends_with(".seg")) {
        for offset in (0..disk.len_of(path).unwrap()).step_by(2048) {
            let bad = disk.fork();
            bad.break_sector(path, offset);
            let missing = check(&bad, &frames, &format!("{path} sector at {offset}"));
            assert!(missing.len() <= 4, "{path} sector at {offset} cost {missing:?}");
        }
    }
}

/// Scenario: a whole segment's file is lost. Guarantees: its frames are told as lost, all others come.
#[test]
fn a_lost_file_costs_its_frames() {
    let (disk, frames) = filled();
    // Without a cursor nobody knows that the oldest file ever was there.
    let (mut journal, _) = open(&disk, &one_destination());
    journal.sync_cursors().unwrap();
    drop(journal);
    for path in disk.paths().iter().filter(|path| path.ends_with(".seg")) {
        let bad = disk.fork();
        bad.lose(path);
        let first = u64::from_str_radix(&path[path.len() - 20..path.len() - 4], 16).unwrap();
        let missing = check(&bad, &frames, path);
        assert!(missing.len() > 1 && missing.iter().all(|(_, seq)| *seq >= first), "{path}: {missing:?}");
    }
}

/// Scenario: each byte of the epoch, note and cursor files flipped. Guarantees: nothing of the frames is lost; a note that
/// is lost is an older note; a cursor that is lost means sending twice (P8 makes that harmless).
#[test]
fn small_files_may_be_damaged() {
    let (disk, frames) = filled();
    let (mut journal, _) = open(&disk, &one_destination());
    let mut blocks = Vec::new();
    journal.next_blocks(0, 20_000, &mut blocks).unwrap();
    for block in &blocks {
        journal.confirm(0, block.lane, block.first, block.last).unwrap();
    }
    let confirmed: u64 = blocks.iter().map(|block| block.last - block.first + 1).sum();
    journal.sync_cursors().unwrap();
    drop(journal);
    for path in ["epoch", "note.a", "note.b", "cursors/hub.cur"] {
        let len = disk.len_of(path).unwrap();
        for offset in (0..len.min(300)).step_by(5).chain((4096..len.min(4250)).step_by(5)) {
            let bad = disk.fork();
            bad.flip(path, offset, 0x10);
            let (mut journal, recovery) = open(&bad, &one_destination());
            assert_eq!(recovery.corrupt, [], "{path} byte {offset}");
            let note = super::ledger(&recovery).map(|note| u64::from_le_bytes(note.try_into().unwrap()));
            let older = path.starts_with("note") && matches!(note, Some(57..=59));
            assert!(note == Some(59) || older, "{path} byte {offset}: {note:?}");
            let mut hub = Hub::default();
            drain(&mut journal, 0, &mut hub);
            // The cursor was written once, into its second slot.
            let cursor_lost = path.starts_with("cursors") && (4096..4096 + 128).contains(&offset);
            let damaged = cursor_lost || path.starts_with("cursors") && offset < 128;
            assert_eq!(!recovery.damaged_cursors.is_empty(), damaged, "{path} byte {offset}");
            let expected = if cursor_lost { frames.len() } else { frames.len() - confirmed as usize };
            assert_eq!(hub.frames.len(), expected, "{path} byte {offset}");
            assert_eq!(hub.gaps, []);
        }
    }
}

/// Scenario: one block is damaged while two destinations are at different places. Guarantees: one gap record for all, and
/// the loss is booked for the one that had not got the block only.
#[test]
fn a_block_that_one_destination_had() {
    let disk = ModelDisk::new();
    let (mut journal, _) = open(&disk, &options());
    for n in 0..6u64 {
        journal.append(Lane::Logs, &body(&noise(n, 500)), meta(5), STAMP).unwrap();
        journal.commit(STAMP, &[]).unwrap();
    }
    let (mut hub, mut otlp) = (Hub::default(), Hub::default());
    drain(&mut journal, 0, &mut hub);
    let path = "lanes/logs/0000000000000001.seg";
    let content = disk.content(path).unwrap();
    let third = content.windows(4).enumerate().filter(|(_, window)| window == b"LSEN").nth(2).unwrap().0;
    disk.flip(path, third as u64 + 150, 1);
    drain(&mut journal, 1, &mut otlp);
    assert_eq!(otlp.gaps.len(), 1);
    assert_eq!((otlp.gaps[0].first, otlp.gaps[0].last, otlp.gaps[0].records), (3, 3, 5));
    let lost = journal.take_lost();
    assert_eq!(lost.iter().map(|lost| (lost.destination, lost.records)).collect::<Vec<_>>(), [(1, 5)]);
    drain(&mut journal, 0, &mut hub);
    assert_eq!(hub.gaps, otlp.gaps);
    assert_eq!(journal.depth(1).unwrap(), crate::Depth::default());
}

/// Scenario: the disk is pulled out. Guarantees: an error, and not a whole backlog declared as lost.
#[test]
fn a_disk_that_does_not_answer_loses_nothing() {
    let (disk, frames) = filled();
    let (mut journal, _) = open(&disk, &one_destination());
    for path in disk.paths().iter().filter(|path| path.ends_with(".seg")) {
        for offset in (0..disk.len_of(path).unwrap()).step_by(512) {
            disk.break_sector(path, offset);
        }
    }
    disk.cut_after(0);
    assert!(matches!(journal.next_blocks(0, 1000, &mut Vec::new()), Err(JournalError::Disk(_))));
    assert_eq!(journal.take_lost(), []);
    let depth = journal.depth(0);
    assert!(depth.as_ref().map_or(true, |depth| depth.records == frames.len() as u64), "{depth:?}");
    assert_eq!(journal.stats().corrupt_blocks, 0);
}

/// Scenario: a file of a later version, and one of another epoch. Guarantees: the first stops the program and is not
/// touched; the second is set aside.
#[test]
fn strangers() {
    let (disk, frames) = filled();
    let other = ModelDisk::new();
    let (mut journal, _) = open(&other, &one_destination());
    journal.append(Lane::Traces, &body("foreign"), meta(1), STAMP).unwrap();
    journal.commit(STAMP, &[]).unwrap();
    drop(journal);
    disk.put("lanes/traces/0000000000000001.seg", &other.content("lanes/traces/0000000000000001.seg").unwrap());
    let (journal, recovery) = open(&disk, &one_destination());
    assert_eq!(recovery.foreign, ["lanes/traces/0000000000000001.seg.foreign"]);
    drop(journal);
    check(&disk, &frames, "with a foreign file beside");

    let mut epoch = disk.content("epoch").unwrap();
    epoch[4] = 9;
    let crc = crc32c::crc32c(&epoch[..16]);
    epoch[16..20].copy_from_slice(&crc.to_le_bytes());
    disk.put("epoch", &epoch);
    let before = disk.content("epoch");
    let error = Journal::open(disk.clone(), one_destination(), STAMP).map(|_| ()).unwrap_err();
    assert!(matches!(error, JournalError::Version { found: 9, .. }), "{error}");
    assert_eq!(disk.content("epoch"), before);
}
