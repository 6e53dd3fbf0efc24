//! Coverage: what is known over time, through an outage, a restart, a loss and a new epoch.

use model::{Lane, Signal};
use wire::{Gap, GapReason, SectionRef};

use super::*;
use crate::query::TimeRange;
use crate::{Contact, Head, State};

/// A device that says hello every second about its traces lane.
struct Device {
    epoch: u64,
    next: u64,
}

impl Device {
    /// Says hello at second `at`; the watermark is the same moment.
    fn hello(&self, store: &Store, at: u64) {
        let now = NOW + at * SECOND;
        let head = Head { lane: Lane::Traces, next: self.next, oldest: 1, watermark_ns: now };
        let contact =
            Contact { epoch: self.epoch, wall_ns: now, synchronised: true, version: "1".into(), heads: vec![head] };
        store.hello("vessel-1", &contact, now).unwrap();
    }

    /// Gives out a sequence and delivers it at second `at`.
    fn deliver(&mut self, store: &Store, at: u64) {
        let incoming = one_span(self.next, self.next as u8, NOW + at * SECOND);
        self.next += 1;
        store.store(vec![incoming], NOW + at * SECOND).unwrap();
    }
}

/// State and lateness of the traces signal, in seconds.
fn traces(store: &Store, now: u64) -> Vec<(u64, u64, &'static str, bool)> {
    let range = TimeRange { from: NOW, to: NOW + 1000 * SECOND };
    let coverage = store.coverage(range, None, NOW + now * SECOND);
    let entry = coverage.into_iter().find(|entry| entry.signal == Signal::Traces).unwrap();
    let seconds = |time: u64| (time - NOW) / SECOND;
    let intervals = entry.intervals.iter();
    intervals.map(|span| (seconds(span.from), seconds(span.to), span.state.name(), span.late)).collect()
}

fn fraction(store: &Store, to: u64, now: u64) -> (f64, bool) {
    let range = TimeRange { from: NOW, to: NOW + to * SECOND };
    let completeness = store.completeness(&[Signal::Traces], range, NOW + now * SECOND);
    ((completeness.fraction * 100.0).round() / 100.0, completeness.complete)
}

/// Scenario: ten seconds of contact, an outage of 40 s in which the device collects, reconnection, the backlog, live
/// again; the hub restarts in the outage and after it. Guarantees: complete, held on the device, arriving, complete and
/// marked late, in this order, and a restart forgets nothing.
#[test]
fn an_outage_is_told_as_it_is() {
    let place = Place::new();
    let store = place.open();
    let mut device = Device { epoch: 7, next: 1 };
    for at in 0..=10 {
        device.deliver(&store, at);
        device.hello(&store, at);
    }
    assert_eq!(traces(&store, 10), [(0, 10, "complete", false)]);
    assert_eq!(traces(&store, 12), [(0, 10, "complete", false), (10, 12, "arriving", false)]);
    assert_eq!(fraction(&store, 1000, 12), (1.0, true));
    // The link is cut; the device goes on.
    let held = [(0, 10, "complete", false), (10, 30, "held_on_device", false)];
    assert_eq!(traces(&store, 30), held);
    store.save_devices().unwrap();
    drop(store);
    let store = place.open();
    assert_eq!(traces(&store, 30), held);
    assert_eq!(fraction(&store, 20, 30), (0.5, false));
    assert!(!store.devices(NOW + 30 * SECOND)[0].connected);
    // Back: forty sequences are behind.
    let backlog = device.next..device.next + 40;
    device.next += 40;
    device.hello(&store, 50);
    let arriving = [(0, 10, "complete", false), (10, 50, "arriving", true)];
    assert_eq!(traces(&store, 50), arriving);
    let lane = store.devices(NOW + 50 * SECOND)[0].lanes[0];
    assert_eq!((lane.held, lane.next_expected), (40, 12));
    for seq in backlog {
        assert_eq!(traces(&store, 50), arriving, "sequence {seq}");
        store.store(vec![one_span(seq, seq as u8, NOW)], NOW + 50 * SECOND).unwrap();
    }
    let late = [(0, 10, "complete", false), (10, 50, "complete", true)];
    assert_eq!(traces(&store, 50), late);
    device.hello(&store, 51);
    drop(store);
    let store = place.open();
    assert_eq!(traces(&store, 51), [late[0], late[1], (50, 51, "complete", false)]);
    assert_eq!(fraction(&store, 51, 51), (1.0, true));
}

/// Scenario: the device declares a loss with its times. Guarantees: that time is lost, with reason and count, and the
/// answer is not called complete.
#[test]
fn a_declared_loss_is_shown_in_its_time() {
    let place = Place::new();
    let store = place.open();
    let mut device = Device { epoch: 7, next: 1 };
    device.hello(&store, 0);
    device.deliver(&store, 1);
    let gap = Gap {
        lane: Lane::Traces,
        first: 2,
        last: 4,
        reason: GapReason::Evicted,
        records: 9,
        start_ns: NOW + 2 * SECOND,
        end_ns: NOW + 4 * SECOND - 1,
    };
    store.store(vec![frame(Lane::Traces, 5, &[SectionRef::Gap(&gap)])], NOW + 8 * SECOND).unwrap();
    device.next = 6;
    device.hello(&store, 9);
    assert_eq!(traces(&store, 9), [(0, 2, "complete", false), (2, 4, "lost", false), (4, 9, "complete", false)]);
    let coverage = store.coverage(TimeRange { from: NOW, to: NOW + 9 * SECOND }, Some("vessel-1"), NOW + 9 * SECOND);
    let lost = coverage[0].intervals.iter().find(|span| span.state == State::Lost).unwrap();
    assert_eq!((lost.reason.as_deref(), lost.records), (Some("evicted"), Some(9)));
    assert!(!fraction(&store, 9, 9).1);
}

/// Scenario: the data directory of a device with a backlog is lost; it comes back with a new epoch. Guarantees: the time
/// between is unknown, not complete, and the new epoch goes on from its own sequence 1.
#[test]
fn a_new_epoch_leaves_unknown_time() {
    let place = Place::new();
    let store = place.open();
    let mut device = Device { epoch: 7, next: 1 };
    device.hello(&store, 0);
    device.deliver(&store, 1);
    device.hello(&store, 2);
    let device = Device { epoch: 8, next: 1 };
    device.hello(&store, 10);
    device.hello(&store, 12);
    assert_eq!(traces(&store, 12), [(0, 2, "complete", false), (2, 10, "unknown", false), (10, 12, "complete", false)]);
}

/// Scenario: a device ran for a minute before it first reached the hub. Guarantees: that minute is known from the frames
/// that tell it, and marked late.
#[test]
fn what_came_before_the_first_contact_is_late() {
    let place = Place::new();
    let store = place.open();
    let device = Device { epoch: 7, next: 2 };
    device.hello(&store, 60);
    // The frame was made at NOW.
    store.store(vec![one_span(1, 1, NOW)], NOW + 61 * SECOND).unwrap();
    assert_eq!(traces(&store, 61), [(0, 60, "complete", true), (60, 61, "arriving", false)]);
}

/// Scenario: only OTLP straight to the hub. Guarantees: its coverage is unknown, and it does not spoil completeness.
#[test]
fn otlp_coverage_is_unknown() {
    let place = Place::new();
    let store = place.open();
    let section = spans("shop", vec![span(1, 1, 0, NOW, SECOND, false)]);
    let incoming = Incoming::from_otlp(SectionRef::Traces(&section), Stamp::default()).unwrap();
    store.store(vec![incoming], NOW).unwrap();
    assert_eq!(traces(&store, 5), [(0, 5, "unknown", false)]);
    assert_eq!(fraction(&store, 5, 5), (1.0, true));
}
