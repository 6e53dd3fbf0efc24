//! Coverage: what is known over time, through an outage, a restart, a loss and a new epoch.

use model::{Lane, Signal};
use wire::{Gap, GapReason, SectionRef};

use super::*;
use crate::query::{Scope, TimeRange};
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
        let contact = Contact {
            epoch: self.epoch,
            wall_ns: now,
            synchronised: true,
            version: "1".into(),
            heads: vec![head],
            settles_ns: None,
            stops: false,
        };
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
    let coverage = store.scoped(&Scope::whole_store()).coverage(range, None, NOW + now * SECOND);
    let entry = coverage.into_iter().find(|entry| entry.signal == Signal::Traces).unwrap();
    let seconds = |time: u64| (time - NOW) / SECOND;
    let intervals = entry.intervals.iter();
    intervals.map(|span| (seconds(span.from), seconds(span.to), span.state.name(), span.late)).collect()
}

fn fraction(store: &Store, to: u64, now: u64) -> (f64, bool) {
    let range = TimeRange { from: NOW, to: NOW + to * SECOND };
    let completeness = store.scoped(&Scope::whole_store()).completeness(&[Signal::Traces], range, NOW + now * SECOND);
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
    assert!(!store.scoped(&Scope::whole_store()).devices(NOW + 30 * SECOND)[0].connected);
    // Back: forty sequences are behind.
    let backlog = device.next..device.next + 40;
    device.next += 40;
    device.hello(&store, 50);
    let arriving = [(0, 10, "complete", false), (10, 50, "arriving", true)];
    assert_eq!(traces(&store, 50), arriving);
    let lane = store.scoped(&Scope::whole_store()).devices(NOW + 50 * SECOND)[0].lanes[0];
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
    let coverage = store.scoped(&Scope::whole_store()).coverage(
        TimeRange { from: NOW, to: NOW + 9 * SECOND },
        Some("vessel-1"),
        NOW + 9 * SECOND,
    );
    let lost = coverage[0].intervals.iter().find(|span| span.state == State::Lost).unwrap();
    assert_eq!((lost.reason.as_deref(), lost.records), (Some("evicted"), Some(9)));
    assert!(!fraction(&store, 9, 9).1);
}

/// Scenario: a device tells twice that limits took records out, in a lane of which frames before and behind are stored, and before that an
/// eviction over a longer stretch. Guarantees: each is a loss in its own time with its records, whatever sequences are there (P1).
#[test]
fn what_limits_took_out_is_told() {
    let place = Place::new();
    let store = place.open();
    let mut device = Device { epoch: 7, next: 1 };
    device.hello(&store, 0);
    device.deliver(&store, 1);
    let gap = |reason, first, last, from: u64, records| Gap {
        lane: Lane::Traces,
        first,
        last,
        reason,
        records,
        start_ns: NOW + from * SECOND,
        end_ns: NOW + (from + 2) * SECOND - 1,
    };
    let evicted = gap(GapReason::Evicted, 1, 1 << 62, 0, 0);
    let limited = [2, 5].map(|from| gap(GapReason::Limited, NOW + from * SECOND, 0, from, 90 + from));
    let sections: Vec<SectionRef<'_>> = [&evicted, &limited[0], &limited[1], &limited[1]].map(SectionRef::Gap).into();
    store.store(vec![frame(Lane::Traces, 2, &sections)], NOW + 8 * SECOND).unwrap();
    let lost: Vec<u64> = store.scoped(&Scope::whole_store()).ledger()[0]
        .lost
        .iter()
        .filter(|lost| lost.reason == "limited")
        .map(|lost| lost.records)
        .collect();
    assert_eq!(lost, [92, 95]);
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
    let incoming =
        Incoming::from_otlp(SectionRef::Traces(&section), Stamp::default(), &SharedSeries::default()).unwrap();
    store.store(vec![incoming], NOW).unwrap();
    assert_eq!(traces(&store, 5), [(0, 5, "unknown", false)]);
    assert_eq!(fraction(&store, 5, 5), (1.0, true));
}

/// A hello of a device with these lanes.
fn say(store: &Store, device: &str, at: u64, ahead: i64, heads: Vec<Head>, settles: Option<u64>, stops: bool) -> bool {
    let hub = NOW + at * SECOND;
    let contact = Contact {
        epoch: 7,
        wall_ns: hub.saturating_add_signed(ahead * SECOND as i64),
        synchronised: true,
        version: "1".into(),
        heads,
        settles_ns: settles.map(|seconds| seconds * SECOND),
        stops,
    };
    store.hello(device, &contact, hub).unwrap().is_double
}

fn head(next: u64, watermark: u64) -> Head {
    Head { lane: Lane::Traces, next, oldest: 1, watermark_ns: NOW + watermark * SECOND }
}

fn complete(store: &Store, from: u64, to: u64, now: u64) -> bool {
    let range = TimeRange { from: NOW + from * SECOND, to: NOW + to * SECOND };
    store.scoped(&Scope::whole_store()).completeness(&[Signal::Traces], range, NOW + now * SECOND).complete
}

/// Scenario: an idle device with the shipped waits: its watermark is 25 s behind each hello, and it says that records settle
/// within 35 s. Guarantees: every answer up to now is complete; one that lags behind what it said is not.
#[test]
fn u3_an_idle_device_is_complete_in_its_own_time() {
    let place = Place::new();
    let store = place.open();
    for at in (0..=100).step_by(5) {
        say(&store, "vessel-1", at, 0, vec![head(1, at.saturating_sub(25))], Some(35), false);
        assert!(complete(&store, 0, at + 4, at + 4), "second {at}");
    }
    assert_eq!(store.scoped(&Scope::whole_store()).devices(NOW + 100 * SECOND)[0].incomplete, []);
    // It goes on saying hello, but its watermark stands.
    for at in (105..=120).step_by(5) {
        say(&store, "vessel-1", at, 0, vec![head(2, 75)], Some(35), false);
    }
    assert!(!complete(&store, 0, 120, 120));
    assert_eq!(
        store.scoped(&Scope::whole_store()).devices(NOW + 120 * SECOND)[0].incomplete[0].1.state,
        State::Arriving
    );
}

/// Scenario: a device has no lane yet, as after its first start, and is in contact; then it is silent. Guarantees: complete
/// while it is in contact, held on the device and named from then on.
#[test]
fn u3_a_device_without_lanes_is_complete_until_it_is_silent() {
    let place = Place::new();
    let store = place.open();
    for at in (0..=60).step_by(5) {
        say(&store, "vessel-1", at, 0, Vec::new(), Some(30), false);
        assert!(complete(&store, 0, at + 4, at + 4), "second {at}");
    }
    assert!(!complete(&store, 0, 200, 200));
    let range = TimeRange { from: NOW, to: NOW + 200 * SECOND };
    let told = store.scoped(&Scope::whole_store()).completeness(&[Signal::Logs], range, NOW + 200 * SECOND);
    assert_eq!((told.devices[0].device.as_str(), told.devices[0].interval.state), ("vessel-1", State::HeldOnDevice));
}

/// Scenario: a device's clock is an hour ahead; it is put right; the device dies with records that it stamped before it died.
/// Guarantees: what was complete by the wrong clock is so no more beyond the new watermark.
#[test]
fn h14_the_frontier_goes_back_with_the_clock() {
    let place = Place::new();
    let store = place.open();
    say(&store, "vessel-1", 0, 3600, vec![head(1, 3600)], Some(30), false);
    say(&store, "vessel-1", 5, 3600, vec![head(1, 3605)], Some(30), false);
    say(&store, "vessel-1", 10, 0, vec![head(1, 8)], Some(30), false);
    // Twenty lines come in, the agent dies.
    assert!(complete(&store, 0, 8, 600));
    assert!(!complete(&store, 0, 60, 600));
    let states = traces(&store, 600);
    assert!(states.contains(&(8, 600, "held_on_device", false)), "{states:?}");
}

/// Scenario: the clock is an hour ahead and nobody puts it right before the device dies. Guarantees: it is not taken at its
/// word for an hour that has not come yet.
#[test]
fn h14_a_clock_that_is_ahead_proves_nothing() {
    let place = Place::new();
    let store = place.open();
    say(&store, "vessel-1", 0, 3600, vec![head(1, 3600)], Some(30), false);
    say(&store, "vessel-1", 5, 3600, vec![head(1, 3605)], Some(30), false);
    assert!(!complete(&store, 0, 60, 600));
    assert!(!complete(&store, 3600, 3660, 600));
}

/// Scenario: 42 devices; 40 say hello once and are dark from then on; one ends in good order; one goes on. Guarantees: the
/// 40 are named with a reason, the one that stopped is a state of its own, and the one in contact is not blamed.
#[test]
fn u4_dark_devices_are_named_and_stopped_is_a_state() {
    let place = Place::new();
    let store = place.open();
    for number in 0..40 {
        say(&store, &format!("dark-{number}"), 0, 0, Vec::new(), Some(30), false);
    }
    say(&store, "stopped", 0, 0, vec![head(1, 0)], Some(30), false);
    for at in (0..=300).step_by(5) {
        say(&store, "live", at, 0, vec![head(1, at)], Some(30), false);
        if at == 100 {
            say(&store, "stopped", at, 0, vec![head(1, at)], Some(30), true);
        }
    }
    let range = TimeRange { from: NOW, to: NOW + 300 * SECOND };
    let told = store.scoped(&Scope::whole_store()).completeness(&[Signal::Traces], range, NOW + 300 * SECOND);
    let mut named: Vec<_> = told.devices.iter().map(|lack| lack.device.as_str()).collect();
    named.sort_unstable();
    named.dedup();
    assert_eq!(named.len(), 40);
    assert!(named.iter().all(|name| name.starts_with("dark-")));
    let devices = store.scoped(&Scope::whole_store()).devices(NOW + 300 * SECOND);
    let of = |name: &str| devices.iter().find(|device| device.device == name).unwrap();
    assert_eq!(
        (of("dark-3").contact, of("stopped").contact, of("live").contact),
        ("out_of_contact", "stopped", "connected")
    );
    assert_eq!(of("dark-3").incomplete[0].1.state, State::HeldOnDevice);
    assert_eq!((of("stopped").incomplete.len(), of("live").incomplete.len()), (0, 0));
    let coverage = store.scoped(&Scope::whole_store()).coverage(range, Some("stopped"), NOW + 300 * SECOND);
    let states: Vec<_> = coverage[0].intervals.iter().map(|interval| interval.state.name()).collect();
    assert_eq!(states, ["complete", "stopped"]);
}

/// Scenario: a device stops with something queued, is down for a while, and comes back. Guarantees: what was queued is held on
/// the device, the time in which it was down is told as such, then it is complete again.
#[test]
fn u4_a_stop_with_a_queue_is_no_loss() {
    let place = Place::new();
    let store = place.open();
    say(&store, "vessel-1", 0, 0, vec![head(1, 0)], Some(30), false);
    say(&store, "vessel-1", 20, 0, vec![head(4, 20)], Some(30), true);
    let states =
        |now| traces(&store, now).into_iter().map(|(from, to, state, _)| (from, to, state)).collect::<Vec<_>>();
    assert_eq!(states(100), [(0, 20, "held_on_device"), (20, 100, "stopped")]);
    say(&store, "vessel-1", 200, 0, vec![head(4, 199)], Some(30), false);
    store.store((1..4).map(|seq| one_span(seq, seq as u8, NOW)).collect(), NOW + 201 * SECOND).unwrap();
    assert_eq!(states(201)[1..], [(20, 200, "stopped"), (200, 201, "arriving")]);
}

/// Scenario: an agent gets a new epoch; then an agent of the old one says hello again. Guarantees: a new epoch alone is no
/// alarm, two that take turns are, and the fleet list says so.
#[test]
fn u2_two_live_epochs_are_an_alarm() {
    let place = Place::new();
    let store = place.open();
    let hello = |epoch: u64, at: u64| {
        let contact = Contact {
            epoch,
            wall_ns: NOW + at * SECOND,
            synchronised: true,
            version: String::new(),
            heads: vec![head(1, at)],
            settles_ns: None,
            stops: false,
        };
        store.hello("vessel-1", &contact, NOW + at * SECOND).unwrap().is_double
    };
    assert_eq!([hello(7, 0), hello(7, 5), hello(8, 10), hello(8, 15)], [false; 4]);
    assert!(!store.scoped(&Scope::whole_store()).devices(NOW + 15 * SECOND)[0].two_agents);
    assert!(hello(7, 16) && hello(8, 20));
    assert!(store.scoped(&Scope::whole_store()).devices(NOW + 20 * SECOND)[0].two_agents);
    assert!(!store.scoped(&Scope::whole_store()).devices(NOW + 2000 * SECOND)[0].two_agents);
}

/// Scenario: 40,000 gap records of one device, each with its own time. Guarantees: each is told once, in the order of time,
/// by one pass (a quadratic one does not end within a test's patience), and intake goes on beside the question.
#[test]
fn h10_forty_thousand_gaps_are_told_in_one_pass() {
    let place = Place::new();
    let store = place.open();
    say(&store, "vessel-1", 0, 0, vec![head(100_000, 0)], Some(30), false);
    for chunk in 0..20u64 {
        let gaps: Vec<Gap> = (0..2000)
            .map(|number| {
                let place = chunk * 2000 + number;
                let first = 10 + 2 * place;
                let start_ns = NOW + place * SECOND;
                let reason = GapReason::Evicted;
                Gap { lane: Lane::Traces, first, last: first, reason, records: place + 1, start_ns, end_ns: start_ns }
            })
            .collect();
        let sections: Vec<SectionRef<'_>> = gaps.iter().map(SectionRef::Gap).collect();
        store_all(&store, vec![frame(Lane::Traces, 100_001 + chunk, &sections)]);
    }
    assert_eq!(store.scoped(&Scope::whole_store()).ledger()[0].lost.len(), 40_000);
    let range = TimeRange { from: NOW, to: NOW + 50_000 * SECOND };
    let coverage = store.scoped(&Scope::whole_store()).coverage(range, None, NOW + 50_000 * SECOND);
    let lost = coverage[0].intervals.iter().filter(|interval| interval.state == State::Lost);
    let records: Vec<u64> = lost.map(|interval| interval.records.unwrap()).collect();
    assert_eq!(records, (1..=40_000).collect::<Vec<u64>>());
    let told = store.scoped(&Scope::whole_store()).completeness(&[Signal::Traces], range, NOW + 50_000 * SECOND);
    assert_eq!((told.complete, told.devices.len()), (false, 1000));
}

/// Scenario: a stranger takes a sequence in the middle of a device's lane before the device sends it, and what is behind is the
/// device's own; then the device, which was killed, says hello (J5, U6). Guarantees: the hub tells no digest that would let it skip
/// the frame that was kept aside, and tells it again once the device is past it.
#[test]
fn u6_a_place_that_was_taken_is_not_skipped() {
    let place = Place::new();
    let store = place.open();
    let frame = |seq: u64, content: u8| one_span(seq, content, NOW);
    store.store(vec![frame(1, 1), frame(2, 99)], NOW).unwrap();
    assert_eq!(store_all(&store, vec![frame(2, 2), frame(3, 3)]), [FrameOutcome::Quarantined, FrameOutcome::Stored]);
    let digest = |oldest: u64| {
        let head = Head { lane: Lane::Traces, next: 4, oldest, watermark_ns: NOW };
        let contact = Contact {
            epoch: 7,
            wall_ns: NOW,
            synchronised: true,
            version: "1".into(),
            heads: vec![head],
            settles_ns: None,
            stops: false,
        };
        let reached = store.hello("vessel-1", &contact, NOW).unwrap().reached;
        (reached[0].next_expected, reached[0].digest.is_some())
    };
    assert_eq!(digest(1), (4, false));
    assert_eq!(digest(2), (4, false));
    assert_eq!(digest(3), (4, true));
}
