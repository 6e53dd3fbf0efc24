//! Data directories of earlier versions, whole and damaged, as they are kept in `tests/fixtures`: each still opens, and what
//! is recovered, told and refused stays the same.
//!
//! When a format changes, the program of the version before writes its directories first, under names of that version
//! (`VERSION` below): `cargo test -p journal --lib fixtures -- --ignored`. They are never made anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use disk::model::{ModelDisk, Rng};
use model::{Lane, Signal};
use recorder::{Content, Decisions, Progress, RecorderError, Recording};
use wire::{Gap, GapReason};

use super::{Device, Hub, STAMP, body, disk_of_epoch, drain, ledger, meta, noise, options};
use crate::{Consumer, Journal, JournalError, Options, Recovery, verify};

/// What today's program writes.
const VERSION: &str = "v0-starts";
/// Frames, requests and decisions of every directory.
const ROUNDS: u64 = 8;
const EPOCH: u64 = 0x1ea5_0000_0000_0001;

fn recording() -> Options {
    Options { consumers: Consumer::all(&["hub"]), history_bytes: 1 << 20, cut_uncommitted: true, ..options() }
}

fn text(number: u64) -> String {
    format!("{number}: {}", noise(number, 60))
}

fn lane(number: u64) -> Lane {
    if number % 4 == 3 { Lane::Audit } else { Lane::Logs }
}

/// One request is recorded, one frame and one decision are committed.
fn round(device: &mut Device, number: u64) -> Result<(), JournalError> {
    let request = text(number);
    let recording = Recording {
        content: Content::Request(Signal::Logs),
        key: b"key",
        position: b"",
        bytes: request.as_bytes(),
        compressed: None,
    };
    let next = device.record(&[recording], number).map_err(RecorderError::into_disk)? + 1;
    device.journal.append(lane(number), &body(&text(number)), meta(1), STAMP).map_err(|error| match error {
        crate::AppendError::Journal(error) => error,
        other => JournalError::Internal(other.to_string()),
    })?;
    let decisions = Decisions { remembered: &[number], without_spans: &[] };
    device.commit(&[number as u8; 20], &decisions, Progress { booked: next, needed: 1 }).map(drop)
}

/// A directory after two lives: sealed segments with indexes, open ones, both commit records, a cursor, recorder and decisions. The
/// destination has the first two frames.
fn whole() -> ModelDisk {
    let disk = disk_of_epoch(EPOCH);
    for life in 0..2 {
        let (mut device, _) = Device::open(&disk, &recording());
        for number in 0..ROUNDS / 2 {
            round(&mut device, life * ROUNDS / 2 + number).unwrap();
        }
        if life == 0 {
            let journal = &mut device.journal;
            journal.next_blocks(0, 1 << 20, &mut Vec::new()).unwrap();
            journal.confirm(0, Lane::Logs, 1, 2).unwrap();
            journal.sync_cursors().unwrap();
        }
    }
    disk
}

/// Lanes of the frames of [`queue`], in the order in which they were written.
const QUEUED: [Lane; 6] = [Lane::Mission, Lane::Traces, Lane::Logs, Lane::Metrics, Lane::Audit, Lane::Debug];

fn two_destinations() -> Options {
    Options { consumers: Consumer::all(&["hub", "otlp"]), ..recording() }
}

/// All that a busy device leaves when it is killed: frames in every lane, which two destinations have in part; what one of them
/// gave up, told as a gap; the caller's note; requests of which some are in the books and undecided, and some came after the
/// last commit; decisions, and traces that were let go without one.
fn queue() -> ModelDisk {
    let disk = disk_of_epoch(EPOCH);
    let (mut device, _) = Device::open(&disk, &two_destinations());
    for number in 0..12 {
        let request = text(number);
        let signal = if number % 2 == 0 { Signal::Traces } else { Signal::Logs };
        let recording = Recording {
            content: Content::Request(signal),
            key: b"key",
            position: b"",
            bytes: request.as_bytes(),
            compressed: None,
        };
        device.record(&[recording], number).unwrap();
        device.journal.append(QUEUED[number as usize % 6], &body(&text(number)), meta(2), STAMP).unwrap();
        let decisions = Decisions { remembered: &[number], without_spans: &[100 + number] };
        let progress = Progress { booked: number + 2, needed: (number + 2).min(5) };
        device.commit(&[number as u8; 20], &decisions, progress).unwrap();
    }
    let journal = &mut device.journal;
    for (destination, lane) in [(0, Lane::Traces), (1, Lane::Mission)] {
        journal.next_blocks(destination, 1 << 20, &mut Vec::new()).unwrap();
        journal.confirm(destination, lane, 1, 1).unwrap();
    }
    assert_eq!(journal.drop_queue(1, Some(Lane::Debug)).unwrap(), 4);
    journal.commit(STAMP, &[]).unwrap();
    journal.sync_cursors().unwrap();
    for number in 12..14 {
        let late = text(number);
        let recording = Recording {
            content: Content::Request(Signal::Traces),
            key: b"late",
            position: b"",
            bytes: late.as_bytes(),
            compressed: None,
        };
        device.recorder.record(&disk, &[recording], number, false).unwrap();
    }
    drop(device);
    disk.kill();
    disk
}

fn first_segment(disk: &ModelDisk, dir: &str) -> String {
    disk.paths().into_iter().find(|path| path.starts_with(dir)).unwrap()
}

/// The power fails in the middle of a commit; the first way of it that leaves frames behind the commit record.
fn torn() -> ModelDisk {
    (0..200)
        .find_map(|seed| {
            let disk = whole();
            let (mut device, _) = Device::open(&disk, &recording());
            round(&mut device, ROUNDS).unwrap();
            disk.cut_after(seed % 20);
            let cut = round(&mut device, ROUNDS + 1).is_err();
            drop(device);
            disk.power_cycle(&mut Rng::new(seed));
            let clean = verify(&disk).unwrap().findings.is_empty();
            let (_, recovery) = Device::open(&disk.fork(), &recording());
            (cut && !clean && !recovery.torn.is_empty()).then_some(disk)
        })
        .unwrap()
}

/// Every directory of this version by its name.
fn made() -> Vec<(&'static str, ModelDisk)> {
    let mut made = vec![("whole", whole()), ("torn", torn()), ("queue", queue())];
    let mut add = |name, change: &dyn Fn(&ModelDisk)| {
        let disk = whole();
        change(&disk);
        made.push((name, disk));
    };
    add("killed", &|disk| {
        let (mut device, _) = Device::open(disk, &recording());
        let late = Recording {
            content: Content::Request(Signal::Traces),
            key: b"late",
            position: b"",
            bytes: b"late",
            compressed: None,
        };
        device.recorder.record(disk, &[late], 9, false).unwrap();
    });
    add("flipped-block", &|disk| {
        let path = first_segment(disk, "lanes/logs");
        let content = disk.content(&path).unwrap();
        // Behind the header of the last of its blocks: the destination has the others.
        let at = content.windows(4).rposition(|window| window == b"LSEN").unwrap() as u64;
        disk.flip(&path, at + 64 + 40, 4);
    });
    add("flipped-ends", &|disk| {
        disk.flip(&first_segment(disk, "lanes/logs"), 30, 1);
        let path = first_segment(disk, "lanes/audit");
        disk.flip(&path, disk.len_of(&path).unwrap() - 20, 1);
    });
    add("flipped-request", &|disk| disk.flip(&first_segment(disk, "recorder"), 64 + 64 + 10, 1));
    add("flipped-notes", &|disk| {
        ["note.a", "note.b"].iter().for_each(|path| disk.flip(path, 40, 1));
        disk.flip("epoch", 9, 1);
    });
    add("flipped-cursor", &|disk| [0, 4096].iter().for_each(|slot| disk.flip("cursors/hub.cur", slot + 30, 1)));
    add("lost-file", &|disk| {
        let path = first_segment(disk, "lanes/logs");
        disk.lose(&path);
        // It is told as a gap record, which stands in the lane from then on.
        let (device, _) = Device::open(disk, &recording());
        let mut journal = device.journal;
        journal.depth(0).unwrap();
        journal.commit(STAMP, &[]).unwrap();
    });
    add("foreign", &|disk| {
        let other = disk_of_epoch(EPOCH + 1);
        round(&mut Device::open(&other, &recording()).0, 0).unwrap();
        let path = first_segment(&other, "lanes/logs");
        disk.put("lanes/metrics/0000000000000001.seg", b"no segment at all");
        disk.put("lanes/traces/0000000000000001.seg", &reseal(&other.content(&path).unwrap(), Lane::Traces));
    });
    add("later-version", &|disk| {
        let path = first_segment(disk, "lanes/audit");
        let mut content = disk.content(&path).unwrap();
        content[4] = 1;
        disk.put(&path, &restamped(content, EPOCH, Lane::Audit));
    });
    made
}

/// A segment's bytes as if it were another lane's.
fn reseal(content: &[u8], lane: Lane) -> Vec<u8> {
    let mut content = content.to_vec();
    content[5] = lane.number();
    restamped(content, EPOCH + 1, lane)
}

/// Puts the checksum into the header of a segment whose first sequence is 1.
fn restamped(mut content: Vec<u8>, epoch: u64, lane: Lane) -> Vec<u8> {
    let mut crc = crc32c::crc32c(&epoch.to_le_bytes());
    for part in [&[lane.number()][..], &1u64.to_le_bytes(), &0u64.to_le_bytes(), &content[..60]] {
        crc = crc32c::crc32c_append(crc, part);
    }
    content[60..64].copy_from_slice(&crc.to_le_bytes());
    content
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Zeros that end a stretch.
const ZEROS: usize = 32;

/// For each file: length of its path (2), path, length of the file (8), number of stretches that are not zero (2), and for
/// each its offset and length (4 + 4) and bytes. All little-endian.
fn pack(disk: &ModelDisk) -> Vec<u8> {
    let mut out = Vec::new();
    for path in disk.paths() {
        let content = disk.content(&path).unwrap();
        let mut stretches: Vec<std::ops::Range<usize>> = Vec::new();
        for at in (0..content.len()).filter(|at| content[*at] != 0) {
            match stretches.last_mut() {
                Some(last) if at - last.end < ZEROS => last.end = at + 1,
                _ => stretches.push(at..at + 1),
            }
        }
        out.extend_from_slice(&(path.len() as u16).to_le_bytes());
        out.extend_from_slice(path.as_bytes());
        out.extend_from_slice(&(content.len() as u64).to_le_bytes());
        out.extend_from_slice(&(stretches.len() as u16).to_le_bytes());
        for stretch in stretches {
            out.extend_from_slice(&(stretch.start as u32).to_le_bytes());
            out.extend_from_slice(&(stretch.len() as u32).to_le_bytes());
            out.extend_from_slice(&content[stretch]);
        }
    }
    out
}

fn unpack(packed: &[u8]) -> ModelDisk {
    let mut at = 0;
    let mut take = |len: usize| {
        at += len;
        packed[at - len..at].to_vec()
    };
    let mut left = packed.len();
    let disk = ModelDisk::new();
    while left > 0 {
        let path_len = usize::from(u16::from_le_bytes(take(2).try_into().unwrap()));
        let path = String::from_utf8(take(path_len)).unwrap();
        let mut content = vec![0; u64::from_le_bytes(take(8).try_into().unwrap()) as usize];
        let stretches = u16::from_le_bytes(take(2).try_into().unwrap());
        left -= 12 + path_len;
        for _ in 0..stretches {
            let mut number = || u32::from_le_bytes(take(4).try_into().unwrap()) as usize;
            let (from, len) = (number(), number());
            content[from..from + len].copy_from_slice(&take(len));
            left -= 8 + len;
        }
        disk.put(&path, &content);
    }
    disk
}

/// Writes the directories of this version, and files of them as the first inputs of the fuzz target `segment`.
#[test]
#[ignore = "writes files of the tree: run it once for a version"]
fn make() {
    for (name, disk) in made() {
        let path = directory().join(format!("{VERSION}-{name}.dir"));
        // What is there is kept as it is.
        if !path.try_exists().unwrap() {
            fs::create_dir_all(directory()).unwrap();
            fs::write(path, pack(&disk)).unwrap();
        }
    }
    // The target takes epoch 7, and says by the first byte which file it is.
    let disk = disk_of_epoch(7);
    let (mut device, _) = Device::open(&disk, &recording());
    for number in 0..6 {
        round(&mut device, number).unwrap();
    }
    device.journal.sync_cursors().unwrap();
    drop(device);
    drop(Device::open(&disk, &recording()));
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../fuzz/corpus/segment");
    let rows = [(0, "lanes/logs"), (1, "recorder"), (2, "decisions"), (3, "note.a"), (4, "cursors")];
    for (choice, row) in rows {
        let input = [&[choice][..], &disk.content(&first_segment(&disk, row)).unwrap()].concat();
        fs::write(corpus.join(row.replace('/', "-")), input).unwrap();
    }
}

/// What a directory gave.
struct Found {
    recovery: Recovery,
    hub: Hub,
    lost: u64,
    requests: BTreeMap<u64, Vec<u8>>,
    decisions: Vec<u64>,
}

fn find(name: &str) -> Found {
    let disk = unpack(&fs::read(directory().join(format!("{name}.dir"))).unwrap());
    let (mut device, recovery) = Device::open(&disk, &recording());
    assert_eq!(device.journal.epoch().0, EPOCH, "{name}");
    let mut hub = Hub::default();
    drain(&mut device.journal, 0, &mut hub);
    let lost = device.journal.take_lost().iter().map(|lost| lost.records).sum();
    let requests = device.requests(0).into_iter().map(|(sequence, _, _, bytes)| (sequence, bytes)).collect();
    let decisions = device.decisions().into_iter().flat_map(|read| read.remembered).collect();
    // It goes on.
    round(&mut device, 100).unwrap();
    Found { recovery, hub, lost, requests, decisions }
}

impl Found {
    /// The numbers of the rounds whose frame came, in order.
    fn frames(&self) -> Vec<u64> {
        let has = |number: &u64| self.hub.frames.values().any(|frame| frame.ends_with(&body(&text(*number))));
        (0..ROUNDS + 2).filter(has).collect()
    }

    fn gaps(&self) -> Vec<(Lane, u64, u64, GapReason, u64)> {
        let fields = |gap: &Gap| (gap.lane, gap.first, gap.last, gap.reason, gap.records);
        self.hub.gaps.iter().map(fields).collect()
    }

    /// Nothing is lost: frames from a round on that the destination has not, and everything that is recorded.
    fn is_whole(&self, name: &str, frames: std::ops::Range<u64>, requests: u64) {
        assert_eq!(self.frames(), frames.clone().collect::<Vec<_>>(), "{name}");
        assert_eq!((self.gaps(), self.lost), (Vec::new(), 0), "{name}");
        assert_eq!(self.requests.len() as u64, requests, "{name}");
        assert_eq!(self.decisions, (0..frames.end).collect::<Vec<_>>(), "{name}");
    }
}

/// Scenario: every directory that version 0 left, whole, killed, torn by a power cut and damaged in each kind of file: before its
/// commit records said where lanes begin, and since. Guarantees: each opens and goes on; what is whole is delivered, recorded and remembered
/// as it was; what is lost is told.
#[test]
fn version_0() {
    version("v0");
    version(VERSION);
}

fn version(version: &str) {
    let find = |name: &str| find(&format!("{version}-{name}"));
    for name in ["whole", "flipped-ends", "foreign"] {
        let found = find(name);
        found.is_whole(name, 2..ROUNDS, ROUNDS);
        assert_eq!(ledger(&found.recovery), Some(&[7; 20][..]), "{name}");
        assert_eq!(found.recovery.foreign.len(), usize::from(name == "foreign"), "{name}");
    }
    let killed = find("killed");
    killed.is_whole("killed", 2..ROUNDS, ROUNDS + 1);
    assert_eq!(killed.requests[&(ROUNDS + 1)], b"late");

    let torn = find("torn");
    torn.is_whole("torn", 2..ROUNDS + 1, ROUNDS + 2);
    assert!(!torn.recovery.torn.is_empty());

    let block = find("flipped-block");
    assert_eq!(block.gaps(), [(Lane::Logs, 3, 3, GapReason::Corrupt, 1)]);
    assert_eq!((block.lost, block.recovery.corrupt.len()), (1, 0));
    assert_eq!((block.frames().len(), block.requests.len()), (5, 8));

    let request = find("flipped-request");
    assert_eq!((request.requests.len(), request.requests.get(&1)), (7, None));
    assert_eq!(request.gaps(), []);

    let records = find("flipped-notes");
    records.is_whole("flipped-notes", 2..ROUNDS, ROUNDS);
    assert_eq!((ledger(&records.recovery), &records.recovery.foreign[..]), (None, &["epoch".to_owned()][..]));

    let cursor = find("flipped-cursor");
    cursor.is_whole("flipped-cursor", 0..ROUNDS, ROUNDS);
    assert_eq!(cursor.recovery.damaged_cursors, ["hub"]);

    let file = find("lost-file");
    assert_eq!(file.gaps(), [(Lane::Logs, 3, 3, GapReason::Corrupt, 1)]);
    assert_eq!(file.lost, 0, "it was booked when it was found");
}

/// Scenario: the directory of a busy device that was killed, as it was written when lanes, recorder and decisions were one part
/// of the program. Guarantees: each destination gets what it had not, once, and is told what it released; the ledger, the undecided
/// requests, those behind the last commit and the decisions are there (P1, P2, P3).
#[test]
fn a_busy_device_s_queue_is_delivered() {
    queue_is_delivered("v0-starts-queue", &[]);
    // Since a commit record says what its ledger does not know of.
    queue_is_delivered("v0-losses-queue", &[(1, 4)]);
}

fn queue_is_delivered(name: &str, lost: &[(usize, u64)]) {
    let disk = unpack(&fs::read(directory().join(format!("{name}.dir"))).unwrap());
    let (mut device, recovery) = Device::open(&disk, &two_destinations());
    assert_eq!(recovery.lost, lost);
    assert_eq!((device.journal.epoch().0, ledger(&recovery)), (EPOCH, Some(&[11; 20][..])));
    assert_eq!((&recovery.corrupt[..], &recovery.missing[..]), (&[][..], &[][..]));
    let after: Vec<_> = recovery.unbooked.iter().map(|after| (after.lane, after.frames, after.records)).collect();
    assert_eq!(after, [(Lane::Debug, 1, 0)], "the gap record");
    for (destination, has) in [(0, vec![1]), (1, vec![0, 5, 11])] {
        let mut hub = Hub::default();
        drain(&mut device.journal, destination, &mut hub);
        let came = |number: &u64| hub.frames.values().any(|frame| frame.ends_with(&body(&text(*number))));
        let expected: Vec<u64> = (0..12).filter(|number| !has.contains(number)).collect();
        assert_eq!((0..12).filter(came).collect::<Vec<_>>(), expected, "destination {destination}");
        assert_eq!(hub.frames.len(), expected.len() + 1, "the frames and the one that tells of the gap");
        let gaps: Vec<_> =
            hub.gaps.iter().map(|gap| (gap.lane, gap.first, gap.last, gap.reason, gap.records)).collect();
        assert_eq!(gaps, [(Lane::Debug, 1, 2, GapReason::Dropped, 4)]);
    }
    assert_eq!(device.journal.take_lost(), [], "it was booked when it was released");
    let recorder = &device.recorder;
    assert_eq!((recorder.progress(), recorder.bounds()), (Progress { booked: 13, needed: 5 }, (1, 15)));
    let requests = device.requests(5);
    assert_eq!(requests.len(), 10);
    for (sequence, _, _, bytes) in &requests {
        assert_eq!(bytes, text(sequence - 1).as_bytes());
    }
    assert_eq!((requests[9].1, &requests[9].2[..]), (Content::Request(Signal::Traces), &b"late"[..]));
    assert_eq!((requests[1].1, &requests[1].2[..]), (Content::Request(Signal::Logs), &b"key"[..]));
    let decisions: Vec<_> =
        device.decisions().iter().map(|read| (read.remembered[0], read.without_spans[0], read.before)).collect();
    assert_eq!(decisions, (0..12).map(|bits| (bits, 100 + bits, bits + 2)).collect::<Vec<_>>());
    assert_eq!(verify(&disk).unwrap().findings, []);
}

/// Scenario: a directory in which a later version wrote a segment. Guarantees: it is refused, and not a byte is changed.
#[test]
fn a_later_version_is_left_alone() {
    let packed = fs::read(directory().join("v0-later-version.dir")).unwrap();
    let disk = unpack(&packed);
    let error = Journal::open(disk.clone(), recording(), STAMP).map(drop).unwrap_err();
    assert!(matches!(error, JournalError::Version { found: 1, .. }), "{error}");
    assert!(pack(&disk) == packed);
}

/// Scenario: the whole directory, as this program makes it today. Guarantees: it has the files of the one that is kept, and
/// those that are not compressed are the same byte by byte, so that a change of the format cannot go unseen; all that is
/// kept stays small.
#[test]
fn the_format_did_not_change() {
    let (kept, today) = (unpack(&fs::read(directory().join(format!("{VERSION}-whole.dir"))).unwrap()), whole());
    assert_eq!(kept.paths(), today.paths());
    let compressed = |path: &String| path.starts_with("lanes/") || path.starts_with("recorder/");
    for path in kept.paths().iter().filter(|path| !compressed(path)) {
        assert!(kept.content(path) == today.content(path), "{path} is not as version {VERSION} wrote it");
    }
    let sizes = fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
    assert!(sizes.sum::<u64>() < 160 << 10);
}
