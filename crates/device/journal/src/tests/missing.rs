//! Files that somebody removes, while the program runs and while it does not.

use disk::RealDisk;
use disk::model::{ModelDisk, Rng};
use model::{Lane, Signal};
use recorder::{Content, Decisions, FileOptions, Progress, RecorderFiles, Recording};
use wire::GapReason;

use super::{Device, Hub, STAMP, body, drain, meta, noise, open, options};
use crate::{Attachment, Consumer, Journal, JournalError};

/// Three segments of logs and one of audit, committed; nothing is delivered. Gives the frames of each lane.
fn filled() -> (ModelDisk, [u64; 2]) {
    let disk = ModelDisk::new();
    let (mut journal, _) = open(&disk, &options());
    let mut frames = [0; 2];
    for n in 0..100u64 {
        let (lane, place) = if n % 10 == 9 { (Lane::Audit, 1) } else { (Lane::Logs, 0) };
        frames[place] = journal.append(lane, &body(&noise(n, 1000)), meta(2), STAMP).unwrap();
        journal.commit(STAMP, &[Attachment::ledger(&n.to_le_bytes())]).unwrap();
    }
    assert!(journal.stats().segments >= 4);
    (disk, frames)
}

fn logs(disk: &ModelDisk) -> Vec<String> {
    disk.paths().into_iter().filter(|path| path.starts_with("lanes/logs/")).collect()
}

/// Opens and drains both destinations; gives the records that are told and booked as lost to each, and those that came.
fn losses(disk: &ModelDisk, frames: [u64; 2]) -> ([u64; 2], [u64; 2]) {
    let (mut journal, recovery) = open(disk, &options());
    let told: u64 = recovery.missing.iter().map(|missing| missing.records).sum();
    let (mut booked, mut came) = ([0; 2], [0; 2]);
    for (destination, came) in came.iter_mut().enumerate() {
        let mut hub = Hub::default();
        drain(&mut journal, destination, &mut hub);
        for (lane, next) in [(Lane::Logs, frames[0] + 1), (Lane::Audit, frames[1] + 1)] {
            hub.is_whole(lane, next);
        }
        *came = 2 * (hub.frames.len() - hub.gaps.len()) as u64;
        assert_eq!(hub.gaps.iter().map(|gap| gap.records).sum::<u64>(), told, "{:?}", hub.gaps);
        assert!(hub.gaps.iter().all(|gap| gap.reason == GapReason::Corrupt));
        assert_eq!(journal.depth(destination).unwrap(), crate::Depth::default());
    }
    for lost in journal.take_lost() {
        booked[lost.destination] += lost.records;
    }
    assert_eq!(booked, [told; 2]);
    // It is told once.
    drop(journal);
    let (mut journal, recovery) = open(disk, &options());
    assert!(recovery.missing.is_empty() && journal.take_lost().is_empty(), "{recovery:?}");
    (booked, came)
}

/// Scenario: the program is stopped; the first segment of a lane, its directory, or all lanes are removed, before anything was
/// delivered. Guarantees: what is gone is told and booked as lost, with its records, to every destination, once; the rest comes;
/// no sequence is used again (P1, P3).
#[test]
fn j1_what_was_removed_is_told_as_lost() {
    let (disk, frames) = filled();
    let first = logs(&disk).first().cloned().unwrap();
    let second = logs(&disk).get(1).unwrap().rsplit('/').next().unwrap().to_owned();
    disk.vanish(&first);
    let in_first = 2 * (u64::from_str_radix(second.trim_end_matches(".seg"), 16).unwrap_or(0)).saturating_sub(1);
    let (lost, came) = losses(&disk, frames);
    assert!(lost[0] > 0 && lost[0] + came[0] == 200, "{lost:?} {came:?}");
    assert!(in_first == 0 || lost[0] == in_first, "{lost:?} {in_first}");

    for (what, gone) in [("lanes/logs", 180), ("lanes/audit", 20), ("lanes", 200)] {
        let (disk, frames) = filled();
        disk.vanish(what);
        assert_eq!(losses(&disk, frames), ([gone; 2], [200 - gone; 2]), "{what}");
    }
}

/// Scenario: one destination has all of a lane and its cursor is written, the other one nothing; the lane's directory is
/// removed. Guarantees: only the one that had nothing loses by it (P1).
#[test]
fn j1_what_was_delivered_is_not_lost() {
    let (disk, frames) = filled();
    let (mut journal, _) = open(&disk, &options());
    drain(&mut journal, 1, &mut Hub::default());
    journal.sync_cursors().unwrap();
    drop(journal);
    disk.vanish("lanes/logs");
    let (mut journal, recovery) = open(&disk, &options());
    assert_eq!(recovery.missing.iter().map(|missing| missing.records).sum::<u64>(), 180);
    let lost: Vec<_> = journal.take_lost().iter().map(|lost| (lost.destination, lost.records)).collect();
    assert_eq!(lost, [(0, 180)]);
    let mut hub = Hub::default();
    drain(&mut journal, 0, &mut hub);
    hub.is_whole(Lane::Logs, frames[0] + 1);
    assert_eq!(journal.depth(1).unwrap().records, 0);
}

/// Scenario: history goes and lanes are evicted, as they should, with a kill at any moment between; then a new destination comes.
/// Guarantees: nothing of it is taken for removed by a stranger.
#[test]
fn j1_what_the_journal_removes_itself_is_not_missing() {
    let small = crate::Options { total_bytes: 512 << 10, consumers: Consumer::all(&["hub"]), ..options() };
    let disk = ModelDisk::new();
    let (mut journal, _) = open(&disk, &small);
    for n in 0..900u64 {
        journal.append(Lane::Logs, &body(&noise(n, 1000)), meta(1), STAMP).unwrap();
        journal.commit(STAMP, &[]).unwrap();
        if n % 7 == 0 && n < 300 {
            drain(&mut journal, 0, &mut Hub::default());
        }
        if n % 11 == 0 {
            let copy = disk.fork();
            let (_, recovery) = open(&copy, &small);
            assert!(recovery.missing.is_empty(), "{n}: {:?}", recovery.missing);
        }
    }
    drop(journal);
    let more = crate::Options { consumers: Consumer::all(&["hub", "new"]), ..small };
    let (mut journal, recovery) = open(&disk, &more);
    assert!(recovery.missing.is_empty());
    assert!(journal.take_lost().iter().all(|lost| lost.destination == 0));
}

/// Scenario: as before, and the cursor of the other one was never written. Guarantees: it loses the lane, which is told (P1).
#[test]
fn what_one_destination_has_is_lost_to_another_without_a_cursor() {
    let (disk, frames) = filled();
    let (mut journal, _) = open(&disk, &options());
    let mut blocks = Vec::new();
    journal.next_blocks(0, 1 << 20, &mut blocks).unwrap();
    for block in &blocks {
        journal.confirm(0, block.lane, block.first, block.last).unwrap();
    }
    journal.sync_cursors().unwrap();
    drop(journal);
    // What a device leaves that never had to write this one.
    disk.lose("cursors/otlp.cur");
    disk.put("cursors/otlp.cur", &[0; 8192]);
    disk.vanish("lanes/logs");
    let (mut journal, recovery) = open(&disk, &options());
    assert_eq!(recovery.missing.iter().map(|missing| missing.records).sum::<u64>(), 180);
    let lost: Vec<_> = journal.take_lost().iter().map(|lost| (lost.destination, lost.records)).collect();
    assert_eq!(lost, [(1, 180)]);
    let mut hub = Hub::default();
    drain(&mut journal, 1, &mut hub);
    hub.is_whole(Lane::Logs, frames[0] + 1);
}

/// Scenario: history goes, the power fails before the next commit, and a bit flips in the newer state of a cursor, so that the older one is
/// taken. Guarantees: what the journal removed itself is not missing, and nobody loses by it (P1, P3).
#[test]
fn history_is_not_missing_where_a_cursor_is_damaged() {
    let (disk, _) = filled();
    let (mut journal, _) = open(&disk, &options());
    for destination in 0..2 {
        let mut blocks = Vec::new();
        journal.next_blocks(destination, 1, &mut blocks).unwrap();
        journal.confirm(destination, blocks[0].lane, blocks[0].first, blocks[0].last).unwrap();
    }
    journal.sync_cursors().unwrap();
    for destination in 0..2 {
        drain(&mut journal, destination, &mut Hub::default());
    }
    let before = logs(&disk).len();
    // Nothing new: only history goes.
    journal.commit(STAMP, &[]).unwrap();
    assert!(logs(&disk).len() < before);
    drop(journal);
    disk.power_cycle(&mut Rng::new(1));
    let content = disk.content("cursors/hub.cur").unwrap();
    let newer = if content[8] > content[4096 + 8] { 0 } else { 4096 };
    disk.flip("cursors/hub.cur", newer + 40, 1);
    let (mut journal, recovery) = open(&disk, &options());
    assert_eq!((recovery.damaged_cursors.len(), &recovery.missing[..]), (1, &[][..]));
    assert_eq!(journal.take_lost(), []);
    let mut hub = Hub::default();
    drain(&mut journal, 0, &mut hub);
    assert!(hub.gaps.is_empty());
}

/// Scenario: the data directory, a lane's segment, a commit record or the recorder's files are removed, or another directory stands
/// in its place, while the program runs. Guarantees: the next commit says so and nothing counts as durable; so does recording; what
/// was not committed is still held (P2).
#[test]
fn j2_a_directory_that_is_gone_is_seen() {
    let commit = |device: &mut Device| device.commit(b"ledger", &Decisions::default(), Progress::default());
    for gone in ["", "lanes/logs", "note.a", "note.b", "lock", "recorder", "decisions"] {
        let disk = ModelDisk::new();
        let (mut device, _) = Device::open(&disk, &options());
        device.journal.append(Lane::Logs, &body("before"), meta(1), STAMP).unwrap();
        commit(&mut device).unwrap();
        disk.vanish(gone);
        device.journal.append(Lane::Logs, &body("after"), meta(1), STAMP).unwrap();
        let error = commit(&mut device).unwrap_err();
        assert!(error.to_string().contains("was removed or replaced"), "{gone}: {error}");
        assert!(matches!(error, JournalError::Disk(_)));
        assert!(device.journal.has_uncommitted(), "{gone}");
        if ["", "recorder"].contains(&gone) {
            let request = Recording {
                content: Content::Request(Signal::Logs),
                key: b"",
                position: b"",
                bytes: b"x",
                compressed: None,
            };
            assert!(device.record(&[request], 1).is_err());
        }
    }
}

/// Scenario: the same with a directory of the operating system: removed, and replaced by a copy of itself. Guarantees: as on the
/// model disk; the commit before is good, the one behind is an error (P2).
#[test]
fn j2_a_real_directory_that_is_gone_is_seen() {
    for replace in [false, true] {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        let (mut journal, _) = Journal::open(RealDisk::new(&data).unwrap(), options(), STAMP).unwrap();
        journal.append(Lane::Logs, &body("before"), meta(1), STAMP).unwrap();
        journal.commit(STAMP, &[]).unwrap();
        std::fs::rename(&data, root.path().join("away")).unwrap();
        if replace {
            drop(Journal::open(RealDisk::new(&data).unwrap(), options(), STAMP).unwrap());
        }
        journal.append(Lane::Logs, &body("after"), meta(1), STAMP).unwrap();
        assert!(journal.commit(STAMP, &[]).unwrap_err().to_string().contains("was removed or replaced"));
    }
}

/// Scenario: a new data directory below one that does not exist either, and one that an earlier version made for everybody.
/// Guarantees: directories are their owner's alone, and so are files; what was open to others is closed.
#[test]
fn j6_the_directory_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    fn modes(path: &std::path::Path, found: &mut Vec<(std::path::PathBuf, u32)>) {
        let meta = std::fs::metadata(path).unwrap();
        found.push((path.to_owned(), meta.permissions().mode() & 0o777));
        if meta.is_dir() {
            std::fs::read_dir(path).unwrap().for_each(|entry| modes(&entry.unwrap().path(), found));
        }
    }
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("a/data");
    for life in 0..2 {
        let (mut journal, _) = Journal::open(RealDisk::new(&data).unwrap(), options(), STAMP).unwrap();
        let rings = FileOptions { bytes: 1 << 20, decision_bytes: 1 << 20 };
        let recorder = RecorderFiles::open(journal.disk(), journal.epoch(), &rings, None, true).unwrap();
        journal.append(Lane::Logs, &body("text"), meta(1), STAMP).unwrap();
        journal.commit(STAMP, &[Attachment::ledger(b"note")]).unwrap();
        let mut found = Vec::new();
        modes(&root.path().join("a"), &mut found);
        assert!(found.len() > 8);
        for (path, mode) in found.into_iter().skip(usize::from(life == 1) * 2) {
            let top = life == 1 && path.parent() != Some(&data);
            let wanted = if path.is_dir() { 0o700 } else { 0o600 };
            assert!(top || mode == wanted, "{}: {mode:o}", path.display());
        }
        drop((journal, recorder));
        // As an earlier version left it.
        for name in ["lanes", "cursors", "recorder", "note.a", "note.b", "epoch", "lock"] {
            let open = std::fs::Permissions::from_mode(if name.contains('.') { 0o644 } else { 0o755 });
            std::fs::set_permissions(data.join(name), open).unwrap();
        }
    }
}

/// Scenario: a hub has more of a lane than the cursor on disk says: a kill came before it was written. So it does with a copy of the
/// directory that went another way. Guarantees: the cursor goes over what the hub has where its last frame is the same one, in a
/// block or at its end, and each record counts once; with other frames under the same sequences nothing is skipped (P3, P8).
#[test]
fn u6_what_the_hub_has_is_skipped_if_it_is_the_same() {
    let (disk, _) = filled();
    let copy = disk.fork();
    let (mut journal, _) = open(&disk, &options());
    let mut frames = std::collections::BTreeMap::new();
    let mut hub = Hub::default();
    drain(&mut journal, 0, &mut hub);
    for ((lane, seq), frame) in &hub.frames {
        if *lane == Lane::Logs {
            frames.insert(*seq, wire::digest(frame));
        }
    }
    drop(journal);
    // The cursor was never written.
    let (mut journal, _) = open(&disk, &options());
    assert_eq!(journal.depth(0).unwrap().records, 200);
    let same = |seq: u64| move |digest: [u8; 16]| move |frame: &[u8]| wire::digest(frame) == digest && seq > 0;
    assert_eq!(journal.skip(0, Lane::Logs, 41, same(40)(frames[&40])).unwrap().records, 80);
    assert_eq!(journal.skip(0, Lane::Logs, 41, same(40)(frames[&40])).unwrap().records, 0, "it counts once");
    assert_eq!(journal.skip(0, Lane::Logs, 61, same(60)(frames[&59])).unwrap().records, 0, "another frame");
    assert_eq!(journal.skip(0, Lane::Logs, 500, |_| true).unwrap().records, 0, "beyond what was given out");
    assert_eq!(journal.depth(0).unwrap().records, 120);
    drop(journal);
    // The copy goes on by itself: from there on its frames are others.
    let (mut journal, _) = open(&copy, &options());
    journal.append(Lane::Logs, &body("another way"), meta(1), STAMP).unwrap();
    journal.commit(STAMP, &[]).unwrap();
    let other = journal.heads().iter().find(|head| head.lane == Lane::Logs).unwrap().next;
    assert_eq!(journal.skip(0, Lane::Logs, other, |frame| wire::digest(frame) == frames[&90]).unwrap().records, 0);
    let mut all = Hub::default();
    drain(&mut journal, 0, &mut all);
    assert!(all.has(Lane::Logs, other - 1, &body("another way")));
}

/// Scenario: frames of mission, audit and traces with every signal are synced, and the power goes before the commit record is. Guarantees:
/// what they hold is told by signal, as it is (P1).
#[test]
fn r2_frames_behind_the_ledger_are_counted_by_signal() {
    use model::proto::{put_bytes, put_message};
    let record = |text: &str| {
        let mut request = Vec::new();
        put_message(&mut request, 1, |out| {
            put_message(out, 2, |out| put_message(out, 2, |out| put_bytes(out, 5, text.as_bytes())));
        });
        request
    };
    let disk = ModelDisk::new();
    let (mut journal, _) = open(&disk, &options());
    journal.append(Lane::Mission, &body("noted"), meta(1), STAMP).unwrap();
    journal.commit(STAMP, &[Attachment::ledger(b"note")]).unwrap();
    let mut mixed = Vec::new();
    let spans = record("span");
    wire::encode_body(&[wire::SectionRef::Traces(&spans)], &mut mixed).unwrap();
    for lane in [Lane::Mission, Lane::Audit] {
        journal.append(lane, &mixed, meta(1), STAMP).unwrap();
        journal.append(lane, &body("line"), meta(1), STAMP).unwrap();
        journal.append(lane, &body("another"), meta(1), STAMP).unwrap();
    }
    journal.commit(STAMP, &[]).unwrap();
    drop(journal);
    let (_, recovery) = open(&disk, &options());
    assert_eq!(recovery.unbooked.len(), 2);
    for after in &recovery.unbooked {
        assert_eq!((after.records, after.by_signal), (3, [1, 2, 0]), "{after:?}");
    }
}
