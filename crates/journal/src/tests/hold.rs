//! Giving up what one destination has not got.

use model::{Lane, Stamp};
use wire::GapReason;

use super::{Hub, STAMP, body, disk_of_epoch, drain, meta, noise, open, options};
use crate::model_disk::ModelDisk;
use crate::{Hold, Journal, Options};

const HOUR: u64 = 3_600_000_000_000;

fn two(holds: Vec<Option<Hold>>) -> Options {
    Options { destinations: vec!["hub".into(), "other".into()], total_bytes: 8 << 20, holds, ..options() }
}

fn fill(journal: &mut Journal<ModelDisk>, lane: Lane, frames: u64, stamp: Stamp) {
    for n in 0..frames {
        journal.append(lane, &body(&noise(n, 1000)), meta(1), stamp).unwrap();
        if n % 4 == 3 {
            journal.commit(stamp, None).unwrap();
        }
    }
    journal.commit(stamp, None).unwrap();
}

fn told(hub: &Hub) -> u64 {
    hub.gaps.iter().filter(|gap| gap.reason == GapReason::Dropped).map(|gap| gap.records).sum()
}

/// Scenario: an operator drops the queue of one of two destinations while blocks are on their way to it, then kills the
/// program; both drain afterwards. Guarantees: what was dropped is booked and told once, mission stays, the other destination
/// gets everything, nothing is taken for a restored hub (P3).
#[test]
fn a_dropped_queue_is_told_and_is_nobody_elses() {
    let disk = disk_of_epoch(1);
    let (mut journal, _) = open(&disk, &two(Vec::new()));
    let mut hub = Hub::default();
    fill(&mut journal, Lane::Logs, 10, STAMP);
    drain(&mut journal, 0, &mut hub);
    fill(&mut journal, Lane::Logs, 200, STAMP);
    fill(&mut journal, Lane::Mission, 20, STAMP);
    let mut blocks = Vec::new();
    journal.next_blocks(0, 8000, &mut blocks).unwrap();
    assert_eq!(journal.drop_queue(0, None).unwrap(), 200);
    assert_eq!(journal.drop_queue(0, None).unwrap(), 0, "nothing is dropped twice");
    let lost = journal.take_lost();
    assert_eq!(lost.iter().map(|lost| (lost.destination, lost.records)).collect::<Vec<_>>(), [(0, 200)]);
    assert_eq!((journal.depth(0).unwrap().records, journal.depth(1).unwrap().records), (20, 230));
    assert_eq!(journal.replay(0, Lane::Logs, 11).unwrap(), 0, "the hub does not know of it yet");
    journal.commit(STAMP, None).unwrap();
    journal.sync_cursors().unwrap();
    drop(journal);
    let (mut journal, _) = open(&disk, &two(Vec::new()));
    assert_eq!(journal.replay(0, Lane::Logs, 11).unwrap(), 0);
    fill(&mut journal, Lane::Logs, 5, STAMP);
    drain(&mut journal, 0, &mut hub);
    assert_eq!((hub.frames.len() as u64 - hub.gaps.len() as u64, told(&hub)), (10 + 20 + 5, 200), "{:?}", hub.gaps);
    hub.is_whole(Lane::Logs, 217);
    let mut other = Hub::default();
    drain(&mut journal, 1, &mut other);
    assert_eq!(other.frames.len() as u64 - other.gaps.len() as u64, 10 + 200 + 20 + 5);
    assert_eq!(journal.drop_queue(0, Some(Lane::Mission)).unwrap(), 0, "it is delivered");
}

/// Scenario: a destination that may hold 256 KiB is dead, the other one is not. Guarantees: its queue stays about there, metrics
/// go before logs, all of it is told; the disk is not pinned, and what the other one gets is whole (P11, P3).
#[test]
fn a_dead_destination_does_not_pin_the_disk() {
    let disk = disk_of_epoch(1);
    let hold = Hold { bytes: 256 << 10, age_ns: u64::MAX };
    let (mut journal, _) = open(&disk, &two(vec![None, Some(hold)]));
    let mut hub = Hub::default();
    fill(&mut journal, Lane::Logs, 150, STAMP);
    drain(&mut journal, 0, &mut hub);
    fill(&mut journal, Lane::Metrics, 600, STAMP);
    drain(&mut journal, 0, &mut hub);
    fill(&mut journal, Lane::Audit, 10, STAMP);
    drain(&mut journal, 0, &mut hub);
    journal.commit(STAMP, None).unwrap();
    assert_eq!(hub.frames.len() as u64 - hub.gaps.len() as u64, 760);
    let depth = journal.depth(1).unwrap();
    assert!(depth.bytes <= 256 << 10 && depth.records > 50, "{depth:?}");
    assert!(journal.stats().disk_bytes < 1 << 20, "{:?}", journal.stats());
    let lost: u64 =
        journal.take_lost().iter().inspect(|lost| assert_eq!(lost.destination, 1)).map(|lost| lost.records).sum();
    assert_eq!(lost + depth.records, 760);
    // What the last commit gave up is told with the next one.
    journal.commit(STAMP, None).unwrap();
    let mut other = Hub::default();
    drain(&mut journal, 1, &mut other);
    assert_eq!(told(&other), lost);
    let kept = |lane: Lane| other.frames.keys().filter(|(found, _)| *found == lane).count();
    assert_eq!(kept(Lane::Audit), 10);
    let kept = [kept(Lane::Logs), kept(Lane::Metrics)];
    assert!(kept[0] >= 150 && kept[1] < 200, "metrics yield first: {kept:?}");
}

/// Scenario: a destination may hold an hour; records get older, with and without a synchronised clock. Guarantees: what is older
/// is given up only while the clock is known to be right.
#[test]
fn age_counts_by_a_clock_that_is_right() {
    let disk = disk_of_epoch(1);
    let hold = Hold { bytes: u64::MAX, age_ns: HOUR };
    let (mut journal, _) = open(&disk, &two(vec![Some(hold), None]));
    fill(&mut journal, Lane::Logs, 200, STAMP);
    // The records are of the first microseconds of 1970.
    let late = Stamp { wall_ns: 2 * HOUR, synchronised: false, ..STAMP };
    fill(&mut journal, Lane::Logs, 4, late);
    assert_eq!(journal.depth(0).unwrap().records, 204);
    let right = Stamp { synchronised: true, ..late };
    fill(&mut journal, Lane::Logs, 4, right);
    let depth = journal.depth(0).unwrap().records;
    assert!((8..100).contains(&depth), "{depth}");
    let lost: u64 = journal.take_lost().iter().map(|lost| lost.records).sum();
    assert_eq!(lost + depth, 208);
    assert_eq!(journal.depth(1).unwrap().records, 208);
}

/// Scenario: a destination's queue is given up, its cursor is written, and the power fails before the gap record is committed.
/// Guarantees: the cursor on disk says no more than was told: everything is queued again (P3).
#[test]
fn a_cursor_does_not_pass_what_is_not_told() {
    let disk = ModelDisk::new();
    let (mut journal, _) = open(&disk, &options());
    for number in 0..8u64 {
        journal.append(Lane::Logs, &body(&noise(number, 300)), meta(1), STAMP).unwrap();
        journal.commit(STAMP, None).unwrap();
    }
    assert_eq!(journal.drop_queue(0, Some(Lane::Logs)).unwrap(), 8);
    journal.sync_cursors().unwrap();
    let cut = disk.fork();
    assert_eq!(open(&cut, &options()).0.depth(0).unwrap().records, 8);
    journal.commit(STAMP, None).unwrap();
    journal.sync_cursors().unwrap();
    drop(journal);
    let (mut journal, _) = open(&disk.fork(), &options());
    assert_eq!(journal.depth(0).unwrap().records, 0);
    let mut hub = Hub::default();
    drain(&mut journal, 0, &mut hub);
    assert_eq!((hub.gaps.len(), hub.gaps[0].records), (1, 8));
}
