//! Damage on the hub's disk: what is told of it, what a repair brings back, and that nothing is deleted for it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use model::{Lane, Signal, TraceId};
use wire::SectionRef;

use super::*;
use crate::query::{Completeness, Scope, TimeRange};
use crate::{Contact, Head, Reason, StoreError, inspect, repair};

/// Every file below a directory with its bytes.
fn tree(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { dirs.push(path) } else { drop(files.insert(path.clone(), fs::read(path).unwrap())) }
        }
    }
    files
}

fn hello(store: &Store, next: u64, at: u64) {
    let head = |lane| Head { lane, next, oldest: 1, watermark_ns: at };
    let heads = vec![head(Lane::Traces), head(Lane::Logs)];
    let contact = Contact {
        epoch: 7,
        wall_ns: at,
        synchronised: true,
        version: "1".into(),
        heads,
        settles_ns: None,
        stops: false,
    };
    store.hello("vessel-1", &contact, at).unwrap();
}

/// Three frames with a span and a line each, packed one by one: six packs, all of one device.
fn packed(place: &Place) {
    let store = place.open();
    hello(&store, 1, NOW);
    for number in 1..=3u8 {
        let start = NOW + u64::from(number) * SECOND;
        let traces = spans("orders", vec![span(number, 1, 0, start, SECOND / 2, false)]);
        let logs = lines("orders", vec![line(number, start, "line")]);
        let sections = [SectionRef::Traces(&traces), SectionRef::Logs(&logs)];
        store_all(&store, vec![frame(Lane::Traces, u64::from(number), &sections)]);
        pack_all(&store);
    }
    hello(&store, 4, NOW + 10 * SECOND);
    hello(&store, 4, NOW + 11 * SECOND);
}

fn completeness(store: &Store, signal: Signal) -> Completeness {
    store.scoped(&Scope::whole_store()).completeness(
        &[signal],
        TimeRange { from: NOW, to: NOW + 9 * SECOND },
        NOW + 12 * SECOND,
    )
}

fn traces(store: &Store) -> Vec<u8> {
    (1..=9)
        .filter(|number| {
            store.scoped(&Scope::whole_store()).trace(TraceId([*number; 16])).is_some_and(|view| view.stored_spans == 1)
        })
        .collect()
}

fn pack_paths(place: &Place) -> Vec<PathBuf> {
    let mut paths: Vec<_> = tree(&place.path().join("packs")).into_keys().collect();
    paths.sort();
    paths
}

/// Scenario: one byte of a pack is flipped, at every offset of a small file in turn. Guarantees: whatever byte it is,
/// either the answer is whole, or it says that it is not, for which device, time and why, and the store opens.
#[test]
fn h2_a_flipped_byte_is_told_wherever_it_is() {
    let mut place = Place::new();
    place.options.merge_at = 100;
    packed(&place);
    let file = pack_paths(&place)[0].clone();
    let whole = fs::read(&file).unwrap();
    let ends = (0..8).chain(whole.len() - 24..whole.len());
    for at in ends.chain((8..whole.len() - 24).step_by(7)) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x40;
        fs::write(&file, flipped).unwrap();
        let store = place.open();
        let found = traces(&store);
        let told = completeness(&store, Signal::Traces);
        if found != [1, 2, 3] {
            assert_eq!(found, [2, 3], "byte {at}");
            assert!(!told.complete && told.fraction < 1.0, "byte {at}: {told:?}");
            let lack = &told.devices[0];
            assert_eq!(lack.device, "vessel-1", "byte {at}");
            assert!(lack.interval.reason.as_deref().unwrap().starts_with("hub-pack-"), "byte {at}: {lack:?}");
            assert_eq!(store.damages().len(), 1, "byte {at}");
        }
    }
    fs::write(&file, &whole).unwrap();
    let store = place.open();
    assert_eq!((traces(&store), completeness(&store, Signal::Traces).complete), (vec![1, 2, 3], true));
}

/// Scenario: a pack of each signal goes while the hub is down, and another while it runs. Guarantees: answers of that
/// signal over that time are incomplete with device and reason, those of the other signal and of other times are not; the
/// look at stored data finds what no query touched; retention ends it.
#[test]
fn h2_a_pack_that_is_gone_is_told() {
    let mut place = Place::new();
    place.options.merge_at = 100;
    packed(&place);
    let paths = pack_paths(&place);
    fs::remove_file(&paths[0]).unwrap();
    let store = place.open();
    let lack = completeness(&store, Signal::Traces);
    assert!(!lack.complete);
    assert_eq!(lack.devices[0].interval.reason.as_deref(), Some("hub-pack-missing"));
    assert!(lack.devices[0].interval.from >= NOW + SECOND && lack.devices[0].interval.to <= NOW + 3 * SECOND);
    let later = TimeRange { from: NOW + 4 * SECOND, to: NOW + 9 * SECOND };
    assert!(store.scoped(&Scope::whole_store()).completeness(&[Signal::Traces], later, NOW + 12 * SECOND).complete);
    assert!(completeness(&store, Signal::Logs).complete);
    fs::remove_file(&paths[3]).unwrap();
    store.scrub(0);
    assert!(!completeness(&store, Signal::Logs).complete);
    assert_eq!(store.damages().iter().map(|damage| damage.reason).collect::<Vec<_>>(), [Reason::PackMissing; 2]);
    drop(store);
    place.options.retention = Some(std::time::Duration::from_secs(60));
    let store = place.open();
    store.compact(NOW + 3600 * SECOND).unwrap();
    assert_eq!(store.damages(), []);
}

/// Scenario: bytes rot in a block that no query asks for. Guarantees: the look at stored data finds it, health has
/// something to say, and answers over that time are incomplete.
#[test]
fn h2_rot_is_found_before_anybody_asks() {
    let place = Place::new();
    packed(&place);
    let file = pack_paths(&place)[1].clone();
    let mut bytes = fs::read(&file).unwrap();
    bytes[20] ^= 1;
    fs::write(&file, bytes).unwrap();
    let store = place.open();
    assert_eq!(store.damages(), []);
    (0..8).for_each(|_| store.scrub(1));
    assert_eq!(store.damages().len(), 1);
    assert!(!completeness(&store, Signal::Logs).complete || !completeness(&store, Signal::Traces).complete);
}

/// Scenario: the database is removed; its id is swapped with that of another directory; the hub is opened, checked.
/// Guarantees: an error that names the remedy, and not one byte of the directory changes.
#[test]
fn h1_nothing_is_deleted_because_a_list_is_missing() {
    let place = Place::new();
    packed(&place);
    let other = Place::new();
    drop(other.open());
    let scratch = tempfile::tempdir().unwrap();
    fs::rename(place.path().join("db"), place.path().join("db.away")).unwrap();
    let before = tree(place.path());
    for round in 0..2 {
        let error = Store::open(place.path(), options()).err().unwrap();
        assert!(matches!(error, StoreError::DatabaseGone { packs: 6, .. }), "{error}");
        assert!(error.to_string().contains("lightship-hub repair"), "{error}");
        assert!(inspect(place.path(), scratch.path()).is_err());
        assert_eq!(tree(place.path()), before, "round {round}");
    }
    fs::rename(other.path().join("db"), place.path().join("db")).unwrap();
    let error = Store::open(place.path(), options()).err().unwrap();
    assert!(matches!(error, StoreError::ForeignDatabase { .. }), "{error}");
    fs::remove_dir_all(place.path().join("db")).unwrap();
    fs::rename(place.path().join("db.away"), place.path().join("db")).unwrap();
    assert_eq!(traces(&place.open()), [1, 2, 3]);
}

/// Scenario: `check` looks at a healthy directory, at one with a rotten block, and at none. Guarantees: nothing in it
/// changes, and every damaged byte is found.
#[test]
fn h1_a_look_changes_nothing() {
    let place = Place::new();
    let scratch = tempfile::tempdir().unwrap();
    assert_eq!(inspect(&place.path().join("none"), scratch.path()).unwrap(), []);
    assert!(!place.path().join("none").try_exists().unwrap());
    packed(&place);
    let before = tree(place.path());
    assert_eq!(inspect(place.path(), &scratch.path().join("a")).unwrap(), []);
    assert_eq!(tree(place.path()), before);
    let file = pack_paths(&place)[0].clone();
    let mut bytes = fs::read(&file).unwrap();
    bytes[20] ^= 1;
    fs::write(&file, bytes).unwrap();
    assert_eq!(inspect(place.path(), &scratch.path().join("b")).unwrap().len(), 1);
    let store = place.open();
    assert!(matches!(inspect(place.path(), &scratch.path().join("c")).unwrap_err(), StoreError::Locked { .. }));
    drop(store);
}

/// Scenario: the database is gone; repair; the device sends what it still holds. Guarantees: manifest, claims and digests
/// come back from packs: every record is found once, what is sent again is a duplicate, other content is quarantined (P8).
#[test]
fn h1_a_manifest_is_rebuilt_from_packs() {
    let mut place = Place::new();
    place.options.merge_at = 2;
    packed(&place);
    fs::remove_dir_all(place.path().join("db")).unwrap();
    let repaired = repair(place.path(), false).unwrap();
    assert_eq!(repaired.damages, [], "{:?}", repaired.lines);
    let store = place.open();
    assert_eq!(traces(&store), [1, 2, 3]);
    let same = |number: u8| {
        let start = NOW + u64::from(number) * SECOND;
        let traces = spans("orders", vec![span(number, 1, 0, start, SECOND / 2, false)]);
        let logs = lines("orders", vec![line(number, start, "line")]);
        frame(Lane::Traces, u64::from(number), &[SectionRef::Traces(&traces), SectionRef::Logs(&logs)])
    };
    assert_eq!(store_all(&store, vec![same(1), same(2), same(3)]), [FrameOutcome::Duplicate; 3]);
    assert_eq!(
        store_all(&store, vec![one_span(2, 8, NOW), one_span(4, 4, NOW)]),
        [FrameOutcome::Quarantined, FrameOutcome::Stored]
    );
    pack_all(&store);
    assert_eq!(traces(&store), [1, 2, 3, 4]);
}

/// Scenario: a database from an older backup, which names none of the newer packs, and whose intake still holds frames
/// that were packed since. Guarantees: the newer packs stay and are told as missing; repair takes them in without showing
/// a record twice.
#[test]
fn h1_a_restored_database_meets_newer_packs() {
    let place = Place::new();
    let store = place.open();
    store_all(&store, vec![one_span(1, 1, NOW), one_span(2, 2, NOW)]);
    drop(store);
    let backup = tempfile::tempdir().unwrap();
    let copied = std::process::Command::new("cp").arg("-a").arg(place.path().join("db")).arg(backup.path()).status();
    assert!(copied.unwrap().success());
    let store = place.open();
    store_all(&store, vec![one_span(3, 3, NOW)]);
    pack_all(&store);
    drop(store);
    fs::remove_dir_all(place.path().join("db")).unwrap();
    fs::rename(backup.path().join("db"), place.path().join("db")).unwrap();
    let store = place.open();
    assert_eq!(store.damages()[0].reason, Reason::PackUnlisted);
    assert_eq!(traces(&store), [1, 2]);
    drop(store);
    repair(place.path(), false).unwrap();
    let store = place.open();
    assert_eq!((traces(&store), store.damages()), (vec![1, 2, 3], vec![]));
}

/// Scenario: one byte in the middle of the database's journal is flipped. Guarantees: either the hub starts, or it says
/// which database is damaged and how it is repaired; after the repair it starts, the damaged one is kept, and no pack is
/// touched.
#[test]
fn h1_a_flipped_byte_in_the_journal_has_a_way_out() {
    let place = Place::new();
    packed(&place);
    let store = place.open();
    store_all(&store, (4..=9).map(|number| one_span(number, number as u8, NOW)).collect());
    drop(store);
    let journal = fs::read_dir(place.path().join("db")).unwrap().map(|entry| entry.unwrap().path());
    let journal = journal.filter(|path| path.extension().is_some_and(|ending| ending == "jnl")).max().unwrap();
    let whole = fs::read(&journal).unwrap();
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
    let packs = tree(&place.path().join("packs"));
    let mut refused = 0;
    for part in [2, 5] {
        let mut flipped = whole.clone();
        flipped[used * part / 8] ^= 0x10;
        let trial = tempfile::tempdir().unwrap();
        let copied = std::process::Command::new("cp").arg("-a").arg(place.path().join(".")).arg(trial.path()).status();
        assert!(copied.unwrap().success());
        fs::write(trial.path().join("db").join(journal.file_name().unwrap()), flipped).unwrap();
        if let Err(error) = Store::open(trial.path(), options()) {
            refused += 1;
            assert!(error.to_string().contains("lightship-hub repair"), "{error}");
            let repaired = repair(trial.path(), false).unwrap();
            assert!(repaired.lines.iter().any(|line| line.contains("is kept in")), "{:?}", repaired.lines);
            let store = Store::open(trial.path(), options()).unwrap();
            assert_eq!(traces(&store)[..3], [1, 2, 3]);
        }
        let now: BTreeMap<_, _> = tree(&trial.path().join("packs"));
        assert_eq!(now.len(), packs.len());
        assert!(now.values().all(|bytes| packs.values().any(|other| other == bytes)));
    }
    assert!(refused > 0, "no byte of the journal made the start fail");
}

/// Scenario: a write fails as on a full disk; space comes back. Guarantees: intake refuses and says why, queries go on,
/// and after the database could be opened again everything stored is there once and intake goes on, without a restart.
#[test]
fn h15_a_full_disk_is_survived_without_a_restart() {
    let place = Place::new();
    let store = place.open();
    packed_heads(&store);
    let full = std::io::Error::from_raw_os_error(28);
    let failed = StoreError::Database { what: "cannot commit", source: fjall::Error::Io(full) };
    store.inner.poison(&failed);
    assert!(store.store(vec![one_span(4, 4, NOW)], NOW).unwrap_err().to_string().contains("No space left"));
    assert_eq!(traces(&store), [1, 2, 3]);
    store.revive().unwrap();
    store.health().unwrap();
    assert_eq!(
        store_all(&store, vec![one_span(3, 3, NOW), one_span(4, 4, NOW)]),
        [FrameOutcome::Duplicate, FrameOutcome::Stored]
    );
    assert_eq!(traces(&store), [1, 2, 3, 4]);
}

fn packed_heads(store: &Store) {
    store_all(store, vec![one_span(1, 1, NOW)]);
    pack_all(store);
    store_all(store, vec![one_span(2, 2, NOW), one_span(3, 3, NOW)]);
}

/// Scenario: the database cannot be opened again yet, twice, then it can. Guarantees: each try fails with a reason and
/// changes nothing; the one after the disk is well again works.
#[test]
fn h15_a_disk_that_stays_full_is_tried_again() {
    let place = Place::new();
    let store = place.open();
    packed_heads(&store);
    store.inner.poison(&StoreError::Closed);
    let (db, away) = (place.path().join("db"), place.path().join("away"));
    fs::rename(&db, &away).unwrap();
    for _ in 0..2 {
        assert!(store.revive().unwrap_err().to_string().contains("database is gone"));
        assert!(store.health().is_err());
    }
    fs::rename(&away, &db).unwrap();
    store.revive().unwrap();
    assert_eq!(store_all(&store, vec![one_span(2, 2, NOW)]), [FrameOutcome::Duplicate]);
}

/// Scenario: frames in flight while the store is poisoned and revived by another thread, again and again. Guarantees:
/// each is answered, and what was answered as stored is there exactly once (P3, P8).
#[test]
fn h15_what_was_answered_is_there_after_any_number_of_failures() {
    let place = Place::new();
    let store = place.open();
    let mut stored = Vec::new();
    std::thread::scope(|scope| {
        let failing = scope.spawn(|| {
            for _ in 0..20 {
                store.inner.poison(&StoreError::Closed);
                while store.revive().is_err() {}
            }
        });
        for number in 1..=120u8 {
            if store.store(vec![one_span(u64::from(number), number, NOW)], NOW).is_ok() {
                stored.push(number);
            }
        }
        failing.join().unwrap();
    });
    drop(store);
    let store = place.open();
    for number in stored {
        assert_eq!(
            store.scoped(&Scope::whole_store()).trace(TraceId([number; 16])).unwrap().stored_spans,
            1,
            "trace {number}"
        );
    }
}
