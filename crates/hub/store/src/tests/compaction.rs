//! The compactor: interrupted anywhere, merging, retention, damage.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use model::{Lane, TraceId};
use wire::SectionRef;

use super::*;
use crate::compact::{Compactor, Stop};
use crate::query::{Scope, TimeRange, TraceQuery};

const DAY: u64 = 86_400 * SECOND;

fn rows(store: &Store) -> Vec<(u8, usize)> {
    let query = TraceQuery {
        filter: None,
        range: TimeRange::ALL,
        service: None,
        operation: None,
        errors_only: false,
        min_duration_ns: 0,
        limit: 10_000,
        after: None,
    };
    let mut rows: Vec<_> = store
        .scoped(&Scope::whole_store())
        .traces(&query)
        .traces
        .iter()
        .map(|trace| (trace.trace_id.0[0], trace.stored_spans))
        .collect();
    rows.sort_unstable();
    rows
}

fn pack_files(place: &Place) -> BTreeSet<String> {
    let entries = fs::read_dir(place.path().join("packs")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// Scenario: the hub dies after the pack files, or after the batch that names them, and starts again; then everything
/// is packed for good. Guarantees: no row is lost or shown twice at any point, orphans are removed, and the claims hold
/// (P8).
#[test]
fn a_crash_of_the_compactor_loses_and_doubles_nothing() {
    for stop in [Stop::AfterFiles, Stop::AfterBatch] {
        let place = Place::new();
        let expected: Vec<(u8, usize)> = (1..=9).map(|trace| (trace, 1)).collect();
        let frames =
            || (1..=9u8).map(|trace| one_span(u64::from(trace), trace, NOW + u64::from(trace))).collect::<Vec<_>>();
        let store = place.open();
        store_all(&store, frames());
        Compactor(&store.inner).run(NOW + 3600 * SECOND, stop).unwrap_err();
        assert_eq!(pack_files(&place).len(), 1);
        drop(store);
        let store = place.open();
        assert_eq!(pack_files(&place).len(), usize::from(stop == Stop::AfterBatch), "{stop:?}");
        assert_eq!(rows(&store), expected, "{stop:?}");
        assert_eq!(store_all(&store, frames()), [FrameOutcome::Duplicate; 9]);
        pack_all(&store);
        assert_eq!(rows(&store), expected, "{stop:?}");
        drop(store);
        assert_eq!(rows(&place.open()), expected, "{stop:?}");
    }
}

/// Scenario: a draft of a crash and a file of somebody else lie in the packs directory at start. Guarantees: the draft
/// goes, since the manifest of this very directory never named it; everything else stays.
#[test]
fn drafts_are_removed_at_start() {
    let place = Place::new();
    let store = place.open();
    store_all(&store, vec![one_span(1, 1, NOW)]);
    pack_all(&store);
    drop(store);
    let mut expected = pack_files(&place);
    fs::write(place.path().join("packs/00000000000000ff.draft"), b"LSPK half a pack").unwrap();
    fs::write(place.path().join("packs/something"), b"").unwrap();
    expected.insert("something".into());
    let store = place.open();
    assert_eq!(pack_files(&place), expected);
    assert_eq!(rows(&store), [(1, 1)]);
    assert_eq!(store.damages(), []);
}

/// Scenario: 40 frames of four kinds packed one at a time. Guarantees: small packs are merged (the number of files stays
/// small), files of merged packs go, and every row is still found once.
#[test]
fn small_packs_are_merged() {
    let place = Place::new();
    let store = place.open();
    for number in 1..=40u8 {
        let start = NOW + u64::from(number);
        let traces = spans("orders", vec![span(number, 1, 0, start, SECOND, false)]);
        let logs = lines("orders", vec![line(number, start, "line")]);
        let sections = [SectionRef::Traces(&traces), SectionRef::Logs(&logs)];
        store_all(&store, vec![frame(Lane::Traces, u64::from(number), &sections)]);
        pack_all(&store);
    }
    assert!(pack_files(&place).len() <= 16, "{}", pack_files(&place).len());
    assert_eq!(store.stats().packs, pack_files(&place).len());
    assert!(store.stats().merged_packs > 0);
    for number in 1..=40u8 {
        let view = store.scoped(&Scope::whole_store()).trace(TraceId([number; 16])).unwrap();
        assert_eq!((view.stored_spans, view.stored_logs), (1, 1), "trace {number}");
    }
    drop(store);
    assert_eq!(rows(&place.open()).len(), 40);
}

/// Scenario: retention of three days; packs of old and new days; an old frame comes again after its pack went.
/// Guarantees: whole packs go by the time of their records, new data stays, and what went is not stored again.
#[test]
fn retention_drops_whole_packs() {
    let mut place = Place::new();
    place.options.retention = Some(Duration::from_secs(3 * 86_400));
    let store = place.open();
    store_all(&store, vec![one_span(1, 1, NOW - 10 * DAY), one_span(2, 2, NOW)]);
    let done = pack_all(&store);
    assert_eq!((done.frames, done.packs_written, done.packs_expired), (2, 2, 1));
    assert_eq!(rows(&store), [(2, 1)]);
    assert_eq!(pack_files(&place).len(), 1);
    assert_eq!(store_all(&store, vec![one_span(1, 1, NOW - 10 * DAY)]), [FrameOutcome::Duplicate]);
    // Days later the digests are gone as well; the claim remains.
    store.compact(NOW + 30 * DAY).unwrap();
    assert_eq!(rows(&store), []);
    assert_eq!(store_all(&store, vec![one_span(2, 9, NOW)]), [FrameOutcome::Duplicate]);
    assert_eq!(store.stats().unverified, 1);
}

/// Scenario: data of any age comes after newer data was packed: 1970, last year, the future. Guarantees: accepted, found
/// at its time (there is no head time).
#[test]
fn any_age_is_accepted() {
    let place = Place::new();
    let store = place.open();
    for (seq, start) in [NOW, 1, NOW - 365 * DAY, NOW + 365 * DAY].into_iter().enumerate() {
        let seq = seq as u64 + 1;
        assert_eq!(store_all(&store, vec![one_span(seq, seq as u8, start)]), [FrameOutcome::Stored]);
        pack_all(&store);
    }
    assert_eq!(rows(&store), [(1, 1), (2, 1), (3, 1), (4, 1)]);
}

/// Scenario: one byte of a block rots. Guarantees: the rest of the pack answers, the damage is counted, a start still
/// works, and the pack is not merged into a new one (which would make the loss final).
#[test]
fn a_rotten_block_costs_only_itself() {
    let mut place = Place::new();
    place.options.block_bytes = 1;
    place.options.merge_at = 2;
    let store = place.open();
    store_all(&store, (1..=5u8).map(|trace| one_span(u64::from(trace), trace, NOW + u64::from(trace))).collect());
    pack_all(&store);
    drop(store);
    let file = place.path().join("packs").join(pack_files(&place).pop_first().unwrap());
    let mut bytes = fs::read(&file).unwrap();
    bytes[20] ^= 1;
    fs::write(&file, bytes).unwrap();
    let store = place.open();
    assert_eq!(rows(&store), [(2, 1), (3, 1), (4, 1), (5, 1)]);
    assert!(store.stats().damaged_blocks > 0);
    store_all(&store, vec![one_span(6, 6, NOW)]);
    let _ = store.compact(NOW + 3600 * SECOND);
    store.compact(NOW + 3600 * SECOND).unwrap();
    assert!(file.try_exists().unwrap());
    assert_eq!(rows(&store), [(2, 1), (3, 1), (4, 1), (5, 1), (6, 1)]);
}

/// What the manifest of a later hub says of its packs.
fn name_as_version_9(place: &Place) {
    let db = crate::db::Db::open(&place.path().join("db"), crate::db::SMALL_CACHE).unwrap();
    let mut batch = db.durable_batch();
    for (number, row) in crate::manifest::rows(&db).unwrap() {
        crate::manifest::put(&db, &mut batch, number, &crate::manifest::ManifestRow { version: 9, ..row });
    }
    batch.commit().unwrap();
}

/// Scenario: a pack of a later format version. Guarantees: the store refuses to open and leaves the file as it is.
#[test]
fn a_newer_pack_is_refused_untouched() {
    let place = Place::new();
    let store = place.open();
    store_all(&store, vec![one_span(1, 1, NOW)]);
    pack_all(&store);
    drop(store);
    let file = place.path().join("packs").join(pack_files(&place).pop_first().unwrap());
    let mut bytes = fs::read(&file).unwrap();
    bytes[4] = 9;
    fs::write(&file, &bytes).unwrap();
    name_as_version_9(&place);
    let Err(error) = Store::open(place.path(), options()) else { panic!("opened") };
    assert!(error.to_string().contains("version 9"), "{error}");
    assert_eq!(fs::read(&file).unwrap(), bytes);
}

/// Scenario: the index of one pack rots, the file of another is gone; then both come back from a backup. Guarantees: the
/// store opens, says which packs it lacks, answers from the others, does not remove them, and has everything again after.
#[test]
fn a_lost_pack_is_told_and_can_come_back() {
    let mut place = Place::new();
    place.options.merge_at = 100;
    let store = place.open();
    for trace in 1..=3u8 {
        store_all(&store, vec![one_span(u64::from(trace), trace, NOW)]);
        pack_all(&store);
    }
    drop(store);
    let files: Vec<_> = pack_files(&place).into_iter().map(|name| place.path().join("packs").join(name)).collect();
    let kept = [fs::read(&files[0]).unwrap(), fs::read(&files[1]).unwrap()];
    let mut rotten = kept[0].clone();
    let at = rotten.len() - 30;
    rotten[at] ^= 1;
    fs::write(&files[0], rotten).unwrap();
    fs::remove_file(&files[1]).unwrap();
    let store = place.open();
    assert_eq!(store.damages().len(), 2);
    assert!(store.damages()[0].what.contains("checksum"), "{}", store.damages()[0].what);
    assert_eq!(rows(&store), [(3, 1)]);
    assert_eq!(
        store_all(&store, vec![one_span(1, 1, NOW), one_span(4, 4, NOW)]),
        [FrameOutcome::Duplicate, FrameOutcome::Stored]
    );
    pack_all(&store);
    drop(store);
    fs::write(&files[0], &kept[0]).unwrap();
    fs::write(&files[1], &kept[1]).unwrap();
    assert_eq!(rows(&place.open()), [(1, 1), (2, 1), (3, 1), (4, 1)]);
}

/// Scenario: one thread stores, one packs and merges all the time, one asks. Guarantees: what was stored before the
/// question is in its answer exactly once, wherever it lies at that moment (P8).
#[test]
fn nothing_flickers_while_the_compactor_runs() {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    let mut place = Place::new();
    place.options.merge_at = 3;
    let store = place.open();
    let (stored, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for trace in 1..=120u8 {
                store_all(&store, vec![one_span(u64::from(trace), trace, NOW + u64::from(trace))]);
                stored.store(usize::from(trace), Ordering::SeqCst);
            }
            done.store(true, Ordering::SeqCst);
        });
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                pack_all(&store);
            }
        });
        while !done.load(Ordering::SeqCst) {
            let before = stored.load(Ordering::SeqCst);
            let found = rows(&store);
            assert!(found.len() >= before, "{} of {before} found", found.len());
            assert!(found.iter().all(|(_, rows)| *rows == 1), "shown twice: {found:?}");
        }
    });
    assert!(store.stats().merged_packs > 0);
}

/// Scenario: a write failed. Guarantees: intake, hellos and the compactor refuse with the reason, queries go on.
#[test]
fn a_failed_write_stops_intake_and_says_why() {
    let place = Place::new();
    let store = place.open();
    store_all(&store, vec![one_span(1, 1, NOW)]);
    let full = std::io::Error::from_raw_os_error(28);
    store.inner.poison(&crate::StoreError::Database { what: "cannot commit", source: fjall::Error::Io(full) });
    for error in [
        store.health().unwrap_err(),
        store.store(vec![one_span(2, 2, NOW)], NOW).unwrap_err(),
        store.compact(NOW).unwrap_err(),
        store.save_devices().unwrap_err(),
    ] {
        assert!(error.to_string().contains("No space left") && error.to_string().contains("by itself"), "{error}");
    }
    assert_eq!(rows(&store), [(1, 1)]);
}
