//! Claims: stored once, other content aside, across restarts and compaction.

use model::Lane;
use wire::{Gap, GapReason, SectionRef};

use super::*;
use crate::query::{LogQuery, Scope, TimeRange, TraceQuery};
use crate::{Contact, Head};

fn all_traces() -> TraceQuery {
    TraceQuery {
        filter: None,
        range: TimeRange::ALL,
        service: None,
        operation: None,
        errors_only: false,
        min_duration_ns: 0,
        limit: 10_000,
        after: None,
    }
}

fn stored_spans(store: &Store) -> usize {
    store.scoped(&Scope::whole_store()).traces(&all_traces()).traces.iter().map(|trace| trace.stored_spans).sum()
}

fn quarantined(store: &Store) -> u64 {
    store.scoped(&Scope::whole_store()).ledger().iter().map(|entry| entry.counters.quarantined).sum()
}

/// Scenario: the same frames come again in one request, in a later one, after a restart, after compaction, and after
/// both. Guarantees: stored once, each repeat told as a duplicate (P8).
#[test]
fn a_frame_is_stored_once() {
    let place = Place::new();
    let frames = || (1..=5).map(|seq| one_span(seq, seq as u8, NOW)).collect::<Vec<_>>();
    let store = place.open();
    let mut twice = frames();
    twice.extend(frames());
    let outcomes = store_all(&store, twice);
    assert_eq!(outcomes[..5], [FrameOutcome::Stored; 5]);
    assert_eq!(outcomes[5..], [FrameOutcome::Duplicate; 5]);
    assert_eq!(store_all(&store, frames()), [FrameOutcome::Duplicate; 5]);
    drop(store);
    let store = place.open();
    assert_eq!(store_all(&store, frames()), [FrameOutcome::Duplicate; 5]);
    assert_eq!(pack_all(&store).frames, 5);
    assert_eq!(store_all(&store, frames()), [FrameOutcome::Duplicate; 5]);
    drop(store);
    let store = place.open();
    assert_eq!(store_all(&store, frames()), [FrameOutcome::Duplicate; 5]);
    assert_eq!(stored_spans(&store), 5);
    let ledger = store.scoped(&Scope::whole_store()).ledger();
    assert_eq!((ledger[0].counters.stored, ledger[0].counters.duplicate, ledger[0].counters.spans), (5, 25, 5));
}

/// Scenario: other content comes under a stored identity: within one request, from a head, after compaction, and the
/// same other content once more. Guarantees: it is quarantined and counted once, kept byte for byte, and the stored
/// content stays (P8).
#[test]
fn other_content_under_one_identity_is_quarantined() {
    let place = Place::new();
    let store = place.open();
    assert_eq!(
        store_all(&store, vec![one_span(1, 1, NOW), one_span(1, 2, NOW)]),
        [FrameOutcome::Stored, FrameOutcome::Quarantined]
    );
    assert_eq!(store_all(&store, vec![one_span(1, 3, NOW)]), [FrameOutcome::Quarantined]);
    pack_all(&store);
    assert_eq!(store_all(&store, vec![one_span(1, 4, NOW), one_span(1, 4, NOW)]), [FrameOutcome::Quarantined; 2]);
    drop(store);
    let store = place.open();
    assert_eq!(store_all(&store, vec![one_span(1, 4, NOW)]), [FrameOutcome::Quarantined]);
    assert_eq!(quarantined(&store), 3);
    let mut kept = Vec::new();
    crate::db::for_each_row(&store.inner.db().unwrap().quarantine, |_, frame| {
        kept.push(frame.to_vec());
        Ok(())
    })
    .unwrap();
    kept.sort();
    let mut expected: Vec<Vec<u8>> = [2, 3, 4]
        .map(|trace| {
            let section = spans("orders", vec![span(trace, 1, 0, NOW, SECOND, false)]);
            frame_bytes(Lane::Traces, 1, &[SectionRef::Traces(&section)])
        })
        .to_vec();
    expected.sort();
    assert_eq!(kept, expected);
    let traces = store.scoped(&Scope::whole_store()).traces(&all_traces()).traces;
    assert_eq!(traces.len(), 1);
    assert_eq!(traces[0].trace_id.0, [1; 16]);
}

fn next_expected(store: &Store, next: u64) -> u64 {
    let head = Head { lane: Lane::Traces, next, oldest: 1, watermark_ns: NOW };
    let contact = Contact {
        epoch: 7,
        wall_ns: NOW,
        synchronised: true,
        version: String::new(),
        heads: vec![head],
        settles_ns: None,
        stops: false,
    };
    store.hello("vessel-1", &contact, NOW).unwrap().reached[0].next_expected
}

/// Scenario: a gap record, then a longer one that tells the same loss again with more; a restart.
/// Guarantees: what was lost is told once (P1).
#[test]
fn a_longer_gap_takes_the_place_of_those_in_it() {
    let place = Place::new();
    let store = place.open();
    let gap = |first, last, records| Gap {
        lane: Lane::Traces,
        first,
        last,
        reason: GapReason::Evicted,
        records,
        start_ns: NOW - SECOND,
        end_ns: NOW,
    };
    store_all(&store, vec![frame(Lane::Traces, 6, &[SectionRef::Gap(&gap(3, 5, 12))])]);
    store_all(&store, vec![frame(Lane::Traces, 9, &[SectionRef::Gap(&gap(1, 8, 40))])]);
    let told = |store: &Store| {
        store.scoped(&Scope::whole_store()).ledger()[0].lost.iter().map(|lost| lost.records).collect::<Vec<_>>()
    };
    assert_eq!(told(&store), [40]);
    drop(store);
    assert_eq!(told(&place.open()), [40]);
}

/// Scenario: sequences come in disorder; a gap record fills a hole; a frame comes after all for a sequence of the gap;
/// restarts and compaction in between. Guarantees: the next expected sequence is the first hole, a gap closes it, and a
/// stored frame overrides a gap (P3).
#[test]
fn holes_and_gaps_move_the_next_expected_sequence() {
    let place = Place::new();
    let store = place.open();
    assert_eq!(next_expected(&store, 10), 1);
    store_all(&store, vec![one_span(1, 1, NOW), one_span(2, 2, NOW), one_span(6, 6, NOW)]);
    assert_eq!(next_expected(&store, 10), 3);
    let gap = Gap {
        lane: Lane::Traces,
        first: 3,
        last: 5,
        reason: GapReason::Evicted,
        records: 12,
        start_ns: NOW - SECOND,
        end_ns: NOW,
    };
    store_all(&store, vec![frame(Lane::Traces, 7, &[SectionRef::Gap(&gap)])]);
    assert_eq!(next_expected(&store, 10), 8);
    pack_all(&store);
    drop(store);
    let store = place.open();
    assert_eq!(next_expected(&store, 10), 8);
    let lost = &store.scoped(&Scope::whole_store()).ledger()[0].lost;
    assert_eq!((lost.len(), lost[0].records, lost[0].reason.as_str()), (1, 12, "evicted"));
    assert_eq!(
        store_all(&store, (3..=5).map(|seq| one_span(seq, seq as u8, NOW)).collect()),
        [FrameOutcome::Stored; 3]
    );
    assert_eq!(store.scoped(&Scope::whole_store()).ledger()[0].lost, []);
}

/// Scenario: OTLP straight to the hub, across a restart. Guarantees: each request is a frame of its own, nothing is
/// taken for a repeat, and its rows are found.
#[test]
fn otlp_becomes_frames_of_a_pseudo_device() {
    let place = Place::new();
    for round in 0..2u8 {
        let store = place.open();
        for number in 1..=3u8 {
            let section = lines("shop", vec![line(0, NOW + u64::from(round), "hello")]);
            let incoming =
                Incoming::from_otlp(SectionRef::Logs(&section), Stamp::default(), &SharedSeries::default()).unwrap();
            assert_eq!(store_all(&store, vec![incoming]), [FrameOutcome::Stored], "{round} {number}");
        }
    }
    let store = place.open();
    let query = LogQuery {
        filter: None,
        range: TimeRange::ALL,
        trace_id: None,
        span_id: None,
        service: Some("shop".into()),
        min_severity: 0,
        text: Some("HELL".into()),
        ascending: true,
        limit: 100,
        after: None,
    };
    assert_eq!(store.scoped(&Scope::whole_store()).logs(&query).logs.len(), 6);
    let devices = store.scoped(&Scope::whole_store()).devices(NOW);
    assert_eq!((devices.len(), devices[0].device.as_str()), (1, "otlp"));
}

/// Scenario: heads are full. Guarantees: intake is refused as busy, nothing of the request is stored, and after
/// compaction the same request is taken (P9).
#[test]
fn full_heads_push_back() {
    let mut place = Place::new();
    place.options.head_bytes = 4_000;
    let store = place.open();
    let mut seq = 0;
    let refused = loop {
        seq += 1;
        assert!(seq < 100, "never refused");
        if let Err(error) = store.store(vec![one_span(seq, seq as u8, NOW)], NOW) {
            break error;
        }
    };
    assert!(matches!(refused, crate::StoreError::Busy { .. }), "{refused}");
    assert!(store.wants_compaction());
    assert!(store.compact(NOW).unwrap().frames > 0);
    assert_eq!(store_all(&store, vec![one_span(seq, seq as u8, NOW)]), [FrameOutcome::Stored]);
    assert_eq!(stored_spans(&store), seq as usize);
}

/// Scenario: heads hold less than half of what they may, and a request comes that does not fit beside it. Guarantees: it is refused as
/// busy, the compactor makes the room that it needs, and it is taken when it comes again (P9).
#[test]
fn a_refused_request_gets_its_room() {
    let mut place = Place::new();
    place.options.head_bytes = 20_000;
    let store = place.open();
    assert_eq!(store_all(&store, vec![one_span(1, 1, NOW)]), [FrameOutcome::Stored]);
    assert!(!store.wants_compaction());
    let cost = one_span(1, 1, NOW).cost();
    let many = || (2..).map(|seq| one_span(seq, seq as u8, NOW)).take(20_000 / cost).collect::<Vec<_>>();
    let refused = store.store(many(), NOW).unwrap_err();
    assert!(matches!(refused, crate::StoreError::Busy { .. }), "{refused}");
    assert!(store.wants_compaction());
    assert!(store.compact(NOW).unwrap().frames > 0);
    assert!(!store.wants_compaction());
    assert_eq!(store_all(&store, many()).len(), 20_000 / cost);
}

/// Scenario: two stores in one directory. Guarantees: the second says that it is locked and by what to mend it.
#[test]
fn a_directory_has_one_store() {
    let place = Place::new();
    let _store = place.open();
    let Err(error) = Store::open(place.path(), options()) else { panic!("opened twice") };
    assert!(matches!(error, crate::StoreError::Locked { .. }), "{error}");
    assert!(error.to_string().contains("--data-dir"), "{error}");
}

/// Scenario: eight threads store 400 frames, many of them the same. Guarantees: each identity is stored by exactly one
/// of them, and all answers come (P8).
#[test]
fn racing_senders_store_once() {
    let place = Place::new();
    let store = shared(place.open());
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let store = Arc::clone(&store);
            std::thread::spawn(move || {
                let outcomes = (1..=50).flat_map(|seq| store_all(&store, vec![one_span(seq, seq as u8, NOW)]));
                outcomes.filter(|outcome| *outcome == FrameOutcome::Stored).count()
            })
        })
        .collect();
    let stored: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!((stored, stored_spans(&store)), (50, 50));
}

/// Scenario: bytes that are no frame, a cut frame, a frame with a flipped byte in its sections. Guarantees: an error,
/// never a panic.
#[test]
fn broken_frames_are_refused() {
    let section = spans("orders", vec![span(1, 1, 0, NOW, SECOND, false)]);
    let bytes = frame_bytes(Lane::Traces, 1, &[SectionRef::Traces(&section)]);
    for cut in 0..bytes.len() {
        assert!(Incoming::from_frame(bytes[..cut].to_vec(), &SharedSeries::default()).is_err(), "cut at {cut}");
    }
    for place in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[place] ^= 0x5a;
        // Some flips only change a value; the block's checksum is what notices those.
        let _ = Incoming::from_frame(flipped, &SharedSeries::default());
    }
}

/// Scenario: a frame with a right identity whose section is no OTLP, then its followers; a restart; it comes again.
/// Guarantees: it is kept aside, the lane goes on behind it, and that survives (P8, P3).
#[test]
fn an_unreadable_frame_does_not_stop_its_lane() {
    let place = Place::new();
    let store = place.open();
    // An empty list of sections is fine; a body that ends early is not.
    let mut broken = frame_bytes(Lane::Traces, 1, &[]);
    broken.pop();
    let aside = || Incoming::from_whole_block(broken.clone(), &SharedSeries::default()).unwrap();
    assert!(aside().unreadable().is_some());
    assert_eq!(store_all(&store, vec![aside(), one_span(2, 2, NOW)]), [FrameOutcome::Unreadable, FrameOutcome::Stored]);
    assert_eq!(next_expected(&store, 3), 3);
    assert_eq!(store.scoped(&Scope::whole_store()).ledger()[0].lost[0].reason, "hub-frame-unreadable");
    drop(store);
    let store = place.open();
    assert_eq!(next_expected(&store, 3), 3);
    assert_eq!((quarantined(&store), stored_spans(&store)), (1, 1));
    pack_all(&store);
    store_all(&store, vec![aside()]);
    assert_eq!((next_expected(&store, 3), quarantined(&store), stored_spans(&store)), (3, 1, 1));
    assert!(Incoming::from_whole_block(b"nothing".to_vec(), &SharedSeries::default()).is_err());
}
