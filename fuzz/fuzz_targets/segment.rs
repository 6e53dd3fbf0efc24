//! Any bytes as a file of the journal, as they are and with every checksum made right so that the rest is reached: checking,
//! reading, opening, delivering and repairing neither panic nor take much memory, and a repaired directory is whole.
#![no_main]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use disk::model::ModelDisk;
use journal::reader::{Filter, Reader};
use journal::{Attachment, AttachmentKind, Consumer, Journal, JournalError, Options, repair, set_epoch, verify};
use libfuzzer_sys::fuzz_target;
use model::{Epoch, Lane, Stamp, TraceId};
use recorder::{FileOptions, RecorderFiles};

/// No single piece of memory may be larger: the largest block, its payload or a request, and some more.
const LARGEST: usize = 8 << 20;
/// The largest piece that was asked for.
static ASKED: AtomicUsize = AtomicUsize::new(0);

struct Watching;

// Passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.fetch_max(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

const EPOCH: u64 = 7;
const STAMP: Stamp = Stamp { boot_id: [7; 16], uptime_ns: 1, wall_ns: 2, synchronised: true };
const FIXED: usize = 64;

fuzz_target!(|input: &[u8]| {
    let Some((choice, bytes)) = input.split_first() else { return };
    ASKED.store(0, Ordering::Relaxed);
    run(*choice, bytes);
    let mut right = bytes.to_vec();
    make_right(*choice, &mut right);
    run(*choice, &right);
    let asked = ASKED.load(Ordering::Relaxed);
    assert!(asked <= LARGEST, "{asked} bytes at once");
});

/// The row of a choice: number and directory; none for the files that are no segments.
fn row(choice: u8) -> Option<(u8, &'static str)> {
    match choice % 5 {
        0 => Some((3, "lanes/logs")),
        1 => Some((16, "recorder")),
        2 => Some((17, "decisions")),
        _ => None,
    }
}

/// The first sequence of the segment: 1, or a later one.
fn first(choice: u8) -> u64 {
    1 + u64::from(choice / 128) * 40
}

fn path(choice: u8) -> String {
    match row(choice) {
        Some((_, dir)) => format!("{dir}/{:016x}.seg", first(choice)),
        None if choice % 5 == 3 => "note.a".into(),
        None => "cursors/hub.cur".into(),
    }
}

fn options() -> Options {
    Options {
        device: "vessel".into(),
        consumers: Consumer::all(&["hub"]),
        total_bytes: 4 << 20,
        lane_bytes: [u64::MAX; Lane::ALL.len()],
        lane_ages: [u64::MAX; Lane::ALL.len()],
        history_bytes: 1 << 20,
        free_space_floor: 0,
        cut_uncommitted: true,
    }
}

fn run(choice: u8, bytes: &[u8]) {
    let disk = ModelDisk::new();
    set_epoch(&disk, Epoch(EPOCH)).expect("an empty disk takes a file");
    disk.put(&path(choice), bytes);
    look(&disk);
    let whole = disk.fork();
    match repair(whole.clone(), options(), STAMP) {
        Ok(repaired) => {
            assert!(repaired.after.findings.is_empty(), "{:?}", repaired.after.findings);
            deliver(&whole);
        }
        Err(JournalError::Version { .. }) => {}
        Err(error) => panic!("a disk without faults refuses: {error}"),
    }
    deliver(&disk);
}

/// What looks at a directory without owning it.
fn look(disk: &ModelDisk) {
    let checked = verify(disk);
    assert!(matches!(checked, Ok(_) | Err(JournalError::Version { .. })), "{checked:?}");
    let Ok(reader) = Reader::open(disk.fork()) else { return };
    for lane in Lane::ALL {
        let _known = reader.segments(lane);
    }
    let searched = Filter { trace: Some(TraceId([3; 16])), texts: vec![b"word".to_vec()], ..Filter::default() };
    for filter in [Filter::default(), searched] {
        let _read = reader.blocks(&filter, |_| ControlFlow::Continue(()));
    }
}

/// Opens, reads what is recorded, delivers everything, and commits.
fn deliver(disk: &ModelDisk) {
    let opening = match Journal::recover(disk.clone(), options()) {
        Ok(opening) => opening,
        Err(JournalError::Version { .. }) => return,
        Err(error) => panic!("recovery ends: {error}"),
    };
    let (found, rings) = (opening.recovery(), FileOptions { bytes: 1 << 20, decision_bytes: 1 << 20 });
    let head = found.attachment(AttachmentKind::Recorder);
    let recorder = RecorderFiles::open(disk, opening.epoch(), &rings, head, found.is_last).expect("rings open");
    let (mut journal, _) = opening.commit(STAMP, &[Attachment::recorder(&recorder.head())]);
    let read = recorder.each_recorded(disk, 0, |_, request| assert!(request.key.len() <= 255));
    read.expect("recorded requests can be read");
    recorder.each_decisions(disk, drop).expect("decisions can be read");
    for _ in 0..64 {
        let mut blocks = Vec::new();
        journal.next_blocks(0, 1 << 20, &mut blocks).expect("the disk answers");
        if blocks.is_empty() && !journal.has_uncommitted() {
            break;
        }
        for block in &blocks {
            journal.confirm(0, block.lane, block.first, block.last).expect("what was given can be confirmed");
        }
        journal.commit(STAMP, &[Attachment::ledger(b"ledger")]).expect("a disk with room takes a commit");
    }
    journal.depth(0).expect("the depth is known");
}

/// Puts the checksums of docs/journal.md.
fn make_right(choice: u8, bytes: &mut [u8]) {
    match row(choice) {
        Some((number, _)) => segment(number, first(choice), bytes),
        None if choice % 5 == 3 => {
            let note = number(bytes, 216) as usize;
            if bytes.len() >= 256 && note <= bytes.len() - 256 {
                bytes[..4].copy_from_slice(b"LSNT");
                bytes[16..24].copy_from_slice(&EPOCH.to_le_bytes());
                let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..252]), &bytes[256..256 + note]);
                bytes[252..256].copy_from_slice(&crc.to_le_bytes());
            }
        }
        None => {
            for slot in bytes.chunks_mut(4096).filter(|slot| slot.len() >= 128) {
                slot[..4].copy_from_slice(b"LSCU");
                slot[16..24].copy_from_slice(&EPOCH.to_le_bytes());
                let crc = crc32c::crc32c(&slot[..124]);
                slot[124..128].copy_from_slice(&crc.to_le_bytes());
            }
        }
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn segment(row: u8, first: u64, bytes: &mut [u8]) {
    let stamp = |part: &mut [u8], at: usize| {
        let Some((content, crc)) = part.split_last_chunk_mut::<4>() else { return };
        let mut sum = crc32c::crc32c(&EPOCH.to_le_bytes());
        for bytes in [&[row][..], &first.to_le_bytes(), &(at as u64).to_le_bytes(), content] {
            sum = crc32c::crc32c_append(sum, bytes);
        }
        *crc = sum.to_le_bytes();
    };
    let len = bytes.len();
    if len < FIXED {
        return;
    }
    bytes[..4].copy_from_slice(b"LSSG");
    bytes[5] = row;
    bytes[8..16].copy_from_slice(&EPOCH.to_le_bytes());
    bytes[16..24].copy_from_slice(&first.to_le_bytes());
    stamp(&mut bytes[..FIXED], 0);
    let mut at = FIXED;
    while at + FIXED <= len && bytes[at..at + 4] == *b"LSEN" {
        let payload = at + FIXED;
        let end = payload + (number(bytes, at + 8) as usize).min(len - payload);
        let crc = crc32c::crc32c(&bytes[payload..end]);
        bytes[at + 12..at + 16].copy_from_slice(&crc.to_le_bytes());
        stamp(&mut bytes[at..payload], at);
        at = end;
    }
    if at + FIXED > len || bytes[len - FIXED..len - FIXED + 4] != *b"LSFT" {
        return;
    }
    let footer = len - FIXED;
    stamp(&mut bytes[footer..], footer);
    let index = number(bytes, footer + 8) as usize;
    let head = index.saturating_add(24);
    if head > footer {
        return;
    }
    let table = head.saturating_add((number(bytes, index + 8) as usize).saturating_mul(24)).saturating_add(4);
    stamp(&mut bytes[index..head], index);
    if table > footer {
        return;
    }
    stamp(&mut bytes[head..table], head);
    let mut at = table;
    while at + 128 <= footer {
        stamp(&mut bytes[at..at + 128], at);
        at += 128;
    }
}
