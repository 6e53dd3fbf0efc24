//! Releasing what one destination has not got.

use disk::model::ModelDisk;
use model::{Lane, Stamp};
use wire::GapReason;

use super::{Hub, STAMP, body, disk_of_epoch, drain, meta, noise, open, options};
use crate::{Consumer, FrameMeta, Journal, Options, QueueLimit};

const HOUR: u64 = 3_600_000_000_000;

fn two(queue_limits: [Option<QueueLimit>; 2]) -> Options {
    Options { consumers: limited(queue_limits), total_bytes: 8 << 20, ..options() }
}

fn limited([hub, other]: [Option<QueueLimit>; 2]) -> Vec<Consumer> {
    let limited = |name, queue_limit| Consumer { queue_limit, ..Consumer::new(name) };
    vec![limited("hub", hub), limited("other", other)]
}

fn fill(journal: &mut Journal<ModelDisk>, lane: Lane, frames: u64, stamp: Stamp) {
    for n in 0..frames {
        journal.append(lane, &body(&noise(n, 1000)), meta(1), stamp).unwrap();
        if n % 4 == 3 {
            journal.commit(stamp, &[]).unwrap();
        }
    }
    journal.commit(stamp, &[]).unwrap();
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
    let (mut journal, _) = open(&disk, &two([None; 2]));
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
    journal.commit(STAMP, &[]).unwrap();
    journal.sync_cursors().unwrap();
    drop(journal);
    let (mut journal, _) = open(&disk, &two([None; 2]));
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
    let hold = QueueLimit { bytes: 256 << 10, age_ns: u64::MAX };
    let (mut journal, _) = open(&disk, &two([None, Some(hold)]));
    let mut hub = Hub::default();
    fill(&mut journal, Lane::Logs, 150, STAMP);
    drain(&mut journal, 0, &mut hub);
    fill(&mut journal, Lane::Metrics, 600, STAMP);
    drain(&mut journal, 0, &mut hub);
    fill(&mut journal, Lane::Audit, 10, STAMP);
    drain(&mut journal, 0, &mut hub);
    journal.commit(STAMP, &[]).unwrap();
    assert_eq!(hub.frames.len() as u64 - hub.gaps.len() as u64, 760);
    let depth = journal.depth(1).unwrap();
    assert!(depth.bytes <= 256 << 10 && depth.records > 50, "{depth:?}");
    assert!(journal.stats().disk_bytes < 1 << 20, "{:?}", journal.stats());
    let lost: u64 =
        journal.take_lost().iter().inspect(|lost| assert_eq!(lost.destination, 1)).map(|lost| lost.records).sum();
    assert_eq!(lost + depth.records, 760);
    // What the last commit gave up is told with the next one.
    journal.commit(STAMP, &[]).unwrap();
    let mut other = Hub::default();
    drain(&mut journal, 1, &mut other);
    assert_eq!(told(&other), lost);
    let kept = |lane: Lane| other.frames.keys().filter(|(found, _)| *found == lane).count();
    assert_eq!(kept(Lane::Audit), 10);
    let kept = [kept(Lane::Logs), kept(Lane::Metrics)];
    assert!(kept[0] >= 150 && kept[1] < 200, "metrics yield first: {kept:?}");
}

/// Scenario: a destination may hold an hour; records get older, with and without a synchronised clock. Guarantees: what is older
/// is released only while the clock is known to be right.
#[test]
fn age_counts_by_a_clock_that_is_right() {
    let disk = disk_of_epoch(1);
    let hold = QueueLimit { bytes: u64::MAX, age_ns: HOUR };
    let (mut journal, _) = open(&disk, &two([Some(hold), None]));
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

/// Scenario: a destination's queue is released, its cursor is written, and the power fails before the gap record is committed.
/// Guarantees: the cursor on disk says no more than was told: everything is queued again (P3).
#[test]
fn a_cursor_does_not_pass_what_is_not_told() {
    let disk = ModelDisk::new();
    let (mut journal, _) = open(&disk, &options());
    for number in 0..8u64 {
        journal.append(Lane::Logs, &body(&noise(number, 300)), meta(1), STAMP).unwrap();
        journal.commit(STAMP, &[]).unwrap();
    }
    assert_eq!(journal.drop_queue(0, Some(Lane::Logs)).unwrap(), 8);
    journal.sync_cursors().unwrap();
    let cut = disk.fork();
    assert_eq!(open(&cut, &options()).0.depth(0).unwrap().records, 8);
    journal.commit(STAMP, &[]).unwrap();
    journal.sync_cursors().unwrap();
    drop(journal);
    let (mut journal, _) = open(&disk.fork(), &options());
    assert_eq!(journal.depth(0).unwrap().records, 0);
    let mut hub = Hub::default();
    drain(&mut journal, 0, &mut hub);
    assert_eq!((hub.gaps.len(), hub.gaps[0].records), (1, 8));
}

fn with_age(lane: Lane) -> Options {
    let mut options = two([None; 2]);
    options.lane_ages[usize::from(lane.number())] = HOUR;
    options
}

/// A clock that is right, two hours after the records of [`fill`].
const LATER: Stamp = Stamp { wall_ns: 2 * HOUR, synchronised: true, ..STAMP };

/// Scenario: lines may be an hour old. They get older while the clock is not synchronised, then while it is, some of them on
/// their way to one destination; new lines come, and old traces are there too. Guarantees: nothing goes by a clock that nobody
/// trusts, and nothing that is on its way; else whole old segments go for both destinations, told once as `evicted` and booked;
/// what is new, and other lanes, stay (P1, P3).
#[test]
fn what_is_too_old_for_its_lane_is_evicted_for_all() {
    let disk = disk_of_epoch(1);
    let (mut journal, _) = open(&disk, &with_age(Lane::Logs));
    fill(&mut journal, Lane::Logs, 200, STAMP);
    fill(&mut journal, Lane::Traces, 50, STAMP);
    let mut hub = Hub::default();
    let mut on_their_way = Vec::new();
    journal.next_blocks(0, 20_000, &mut on_their_way).unwrap();
    let lines: u64 = on_their_way.iter().filter(|block| block.lane == Lane::Logs).map(|block| block.records).sum();
    assert!(lines > 0);
    journal.commit(Stamp { synchronised: false, ..LATER }, &[]).unwrap();
    assert_eq!((journal.take_lost().len(), journal.depth(1).unwrap().records), (0, 250));

    let new = FrameMeta { records: 1, start_ns: 2 * HOUR, end_ns: 2 * HOUR, signals: None };
    journal.append(Lane::Logs, &body("new"), new, LATER).unwrap();
    journal.commit(LATER, &[]).unwrap();
    let depth = journal.depth(1).unwrap().records;
    assert!((51 + lines..140).contains(&depth), "{depth}");
    let mut lost = [0; 2];
    let mut book = |journal: &mut Journal<ModelDisk>| {
        journal.take_lost().iter().for_each(|one| lost[one.destination] += one.records);
        lost
    };
    assert_eq!(book(&mut journal)[1] + depth, 251);
    let mut delivered = 0;
    for block in &on_their_way {
        hub.take(block);
        delivered += journal.confirm(0, block.lane, block.first, block.last).unwrap().records;
    }
    assert_eq!(delivered, on_their_way.iter().map(|block| block.records).sum::<u64>());
    // Nothing is on its way any more: the segment that stayed goes too.
    journal.commit(LATER, &[]).unwrap();
    let lost = book(&mut journal);
    let depths = [0, 1].map(|destination| journal.depth(destination).unwrap().records);
    assert_eq!([lost[0] + delivered + depths[0], lost[1] + depths[1]], [251, 251]);
    let next = journal.heads().iter().find(|head| head.lane == Lane::Logs).unwrap().next;
    let mut other = Hub::default();
    for (destination, hub) in [&mut hub, &mut other].into_iter().enumerate() {
        drain(&mut journal, destination, hub);
        hub.is_whole(Lane::Logs, next);
        assert!(hub.gaps.iter().all(|gap| gap.lane == Lane::Logs && gap.reason == GapReason::Evicted));
        assert_eq!(hub.frames.keys().filter(|(lane, _)| *lane == Lane::Traces).count(), 50);
    }
    assert_eq!(other.gaps.iter().map(|gap| gap.records).sum::<u64>(), lost[1]);
}

/// Scenario: everything is delivered and kept as history; then it is older than its lane may keep, and the program is killed.
/// Guarantees: it goes without a gap and without a loss, and the next start finds none; history of another lane stays (P3).
#[test]
fn history_of_a_lane_goes_with_its_age() {
    let disk = ModelDisk::new();
    let options = Options { history_bytes: 4 << 20, ..with_age(Lane::Logs) };
    let (mut journal, _) = open(&disk, &options);
    let mut hubs = [Hub::default(), Hub::default()];
    for lane in [Lane::Logs, Lane::Metrics] {
        fill(&mut journal, lane, 200, STAMP);
    }
    for (destination, hub) in hubs.iter_mut().enumerate() {
        drain(&mut journal, destination, hub);
    }
    let oldest = |journal: &Journal<ModelDisk>, lane: Lane| {
        journal.heads().iter().find(|head| head.lane == lane).unwrap().oldest
    };
    assert_eq!((oldest(&journal, Lane::Logs), oldest(&journal, Lane::Metrics)), (1, 1));
    journal.commit(LATER, &[]).unwrap();
    assert!(oldest(&journal, Lane::Logs) > 100 && oldest(&journal, Lane::Metrics) == 1);
    drop(journal);
    let (mut journal, recovery) = open(&disk.fork(), &options);
    assert!(recovery.corrupt.is_empty() && journal.take_lost().is_empty(), "{:?}", recovery.corrupt);
    for (destination, hub) in hubs.iter_mut().enumerate() {
        drain(&mut journal, destination, hub);
        assert_eq!((hub.frames.len(), hub.gaps.len(), journal.depth(destination).unwrap().records), (400, 0, 0));
    }
}

/// Scenario: one destination has the first blocks of a lane; at one commit the other one's old queue is released, and the same
/// segments are evicted because of their age; the program is killed before what is released is reported. Guarantees: the next
/// start does not take what the journal removed for removed by somebody; both are told of all that they did not get (P1, P3).
#[test]
fn what_is_released_and_evicted_at_once_is_not_missed() {
    let disk = disk_of_epoch(1);
    let limit = QueueLimit { bytes: u64::MAX, age_ns: HOUR };
    let options = Options { consumers: limited([None, Some(limit)]), ..with_age(Lane::Logs) };
    let (mut journal, _) = open(&disk, &options);
    fill(&mut journal, Lane::Logs, 200, STAMP);
    let (mut blocks, mut hubs) = (Vec::new(), [Hub::default(), Hub::default()]);
    journal.next_blocks(0, 1, &mut blocks).unwrap();
    hubs[0].take(&blocks[0]);
    journal.confirm(0, Lane::Logs, blocks[0].first, blocks[0].last).unwrap();
    assert_eq!(blocks[0].first, 1);
    journal.commit(LATER, &[]).unwrap();
    let reasons: Vec<GapReason> = journal.take_lost().iter().map(|lost| lost.gap.reason).collect();
    assert!(reasons.contains(&GapReason::Dropped) && reasons.contains(&GapReason::Evicted), "{reasons:?}");
    drop(journal);
    disk.kill();
    let (mut journal, recovery) = open(&disk, &options);
    assert_eq!((recovery.missing, recovery.corrupt), (vec![], vec![]));
    let next = journal.heads()[0].next;
    for (destination, hub) in hubs.iter_mut().enumerate() {
        drain(&mut journal, destination, hub);
        hub.is_whole(Lane::Logs, next);
    }
}

/// Scenario: a lane's log records wait for one of two destinations, some are confirmed and some not committed yet. Guarantees: the
/// backlog is what somebody still waits for, in bytes on disk, and falls as the slower one confirms; history is none of it (P11).
#[test]
fn the_backlog_is_what_somebody_waits_for() {
    let disk = disk_of_epoch(1);
    let (mut journal, _) = open(&disk, &Options { history_bytes: 4 << 20, ..two([None; 2]) });
    assert_eq!(journal.backlog(), [0; Lane::ALL.len()]);
    journal.append(Lane::Logs, &body(&noise(1, 1000)), meta(1), STAMP).unwrap();
    let logs = |journal: &Journal<ModelDisk>| journal.backlog()[usize::from(Lane::Logs.number())];
    assert!((900..1400).contains(&logs(&journal)), "{}", logs(&journal));
    fill(&mut journal, Lane::Logs, 200, STAMP);
    let all = logs(&journal);
    assert!((140_000..200_000).contains(&all), "{all}");
    assert_eq!(journal.backlog().iter().sum::<u64>(), all);
    drain(&mut journal, 0, &mut Hub::default());
    assert_eq!(logs(&journal), all, "the other one waits for all of it");
    let mut blocks = Vec::new();
    journal.next_blocks(1, 80_000, &mut blocks).unwrap();
    for block in &blocks {
        journal.confirm(1, block.lane, block.first, block.last).unwrap();
    }
    let rest = logs(&journal);
    assert!(rest < all - 30_000 && rest > 20_000, "{rest}");
    drain(&mut journal, 1, &mut Hub::default());
    assert_eq!(logs(&journal), 0);
}
