//! The oldest frames of a lane, replaced by fewer records.

use disk::model::{ModelDisk, Rng};
use model::Lane;
use wire::GapReason;

use super::{Hub, STAMP, body, disk_of_epoch, drain, meta, noise, open, options};
use crate::{Consumer, Journal, Options, Stretch};

/// Ten records each.
fn fill(journal: &mut Journal<ModelDisk>, frames: u64) {
    for number in 0..frames {
        journal.append(Lane::Metrics, &body(&noise(number, 900)), meta(10), STAMP).unwrap();
        journal.commit(STAMP, &[]).unwrap();
    }
}

fn small() -> Options {
    Options { total_bytes: 512 << 10, ..options() }
}

/// Replaces a stretch by a frame for each four of it, of two records each; gives the new frames' bodies.
fn replace(journal: &mut Journal<ModelDisk>, stretch: &Stretch) -> Vec<Vec<u8>> {
    let mut frames = 0;
    assert!(journal.each_frame(stretch, |_| {
        frames += 1;
        true
    }));
    assert_eq!((frames, stretch.records), (stretch.last + 1 - stretch.first, 10 * frames));
    let bodies: Vec<_> = (0..frames.div_ceil(4)).map(|number| body(&format!("instead {number}"))).collect();
    let with_meta: Vec<_> = bodies.iter().map(|body| (body.clone(), meta(2))).collect();
    assert!(journal.replace(stretch, &with_meta, STAMP).unwrap());
    bodies
}

/// Scenario: an outage fills a small journal; stretch after stretch is replaced. Guarantees: room is short before, and not
/// after; nothing is evicted; each destination gets the new frames and a gap `thinned` for the old ones, and its books
/// balance (P1, P3).
#[test]
fn what_is_replaced_is_told_and_booked() {
    let disk = disk_of_epoch(1);
    let (mut journal, _) = open(&disk, &small());
    fill(&mut journal, 100);
    assert!(!journal.is_short(Lane::Metrics));
    let mut frames = 100;
    while !journal.is_short(Lane::Metrics) {
        fill(&mut journal, 10);
        frames += 10;
    }
    let before = disk.used();
    let (mut behind, mut left) = (0, Vec::new());
    while journal.is_short(Lane::Metrics) || left.is_empty() {
        let stretch = journal.stretch(Lane::Metrics, behind).expect("there is more to thin");
        behind = stretch.last;
        left.extend(replace(&mut journal, &stretch));
        journal.commit(STAMP, &[]).unwrap();
    }
    assert!(disk.used() + (64 << 10) < before, "{} of {before}", disk.used());
    let lost = journal.take_lost();
    assert!(lost.iter().all(|lost| lost.gap.reason == GapReason::Thinned));
    for destination in 0..2 {
        let of_one = lost.iter().filter(|lost| lost.destination == destination);
        let lost: u64 = of_one.map(|lost| lost.records).sum();
        assert_eq!(lost + journal.depth(destination).unwrap().records, 10 * frames);
        let mut hub = Hub::default();
        drain(&mut journal, destination, &mut hub);
        hub.is_whole(Lane::Metrics, journal.heads()[0].next);
        assert_eq!(hub.gaps.iter().map(|gap| gap.records).sum::<u64>(), lost);
        assert!((1..=behind).all(|seq| hub.excuses(Lane::Metrics, seq)));
        assert!(left.iter().all(|body| hub.frames.values().any(|frame| frame.ends_with(body))));
        assert_eq!(journal.depth(destination).unwrap().records, 0);
    }
}

/// Scenario: one destination has some, another one has something on its way. Guarantees: neither is replaced; what is behind
/// both may be.
#[test]
fn what_somebody_has_stays() {
    let disk = disk_of_epoch(1);
    let (mut journal, _) = open(&disk, &Options { total_bytes: 4 << 20, ..options() });
    fill(&mut journal, 300);
    let mut blocks = Vec::new();
    journal.next_blocks(0, 50_000, &mut blocks).unwrap();
    let sent = blocks.last().unwrap().last;
    let first = journal.stretch(Lane::Metrics, 0).unwrap().first;
    assert!(first > sent, "{first} {sent}");
    blocks.iter().for_each(|block| {
        journal.confirm(0, Lane::Metrics, block.first, block.last).unwrap();
    });
    assert_eq!(journal.stretch(Lane::Metrics, 0).unwrap().first, first);
    let stale = journal.stretch(Lane::Metrics, 0).unwrap();
    journal.confirm(1, Lane::Metrics, 1, stale.first).unwrap();
    assert!(!journal.replace(&stale, &[], STAMP).unwrap(), "it is not what it was");
    assert!(journal.take_lost().is_empty());
}

/// Scenario: the power fails at every operation of a replacement and its commit, with and without frames behind the commit being cut. Guarantees: old
/// frames or new ones with their gap are there, never neither; recovery finds no damage; what is delivered is whole (P2, P3).
#[test]
fn a_cut_leaves_the_old_or_the_new() {
    for cut_uncommitted in [false, true] {
        let options = Options { cut_uncommitted, ..small() };
        let (mut old, mut new) = (0, 0);
        for operation in 0.. {
            let disk = disk_of_epoch(1);
            let (mut journal, _) = open(&disk, &options);
            fill(&mut journal, 200);
            let stretch = journal.stretch(Lane::Metrics, 0).unwrap();
            disk.cut_after(operation);
            let bodies = replace_until_dead(&mut journal, &stretch);
            let dead = disk.is_dead();
            drop(journal);
            match dead {
                true => disk.power_cycle(&mut Rng::new(operation + 1)),
                false => disk.clear_faults(),
            }
            let (mut journal, recovery) = open(&disk, &options);
            assert!(recovery.corrupt.is_empty(), "operation {operation}: {:?}", recovery.corrupt);
            let mut hub = Hub::default();
            drain(&mut journal, 0, &mut hub);
            hub.is_whole(Lane::Metrics, journal.heads()[0].next);
            let has_old = (stretch.first..=stretch.last).all(|seq| hub.frames.contains_key(&(Lane::Metrics, seq)));
            let has = |body: &Vec<u8>| hub.frames.values().any(|frame| frame.ends_with(body));
            let has_new = bodies.iter().all(has) && hub.excuses(Lane::Metrics, stretch.first);
            assert!(has_old || has_new, "operation {operation}: neither the old frames nor the new ones");
            old += u64::from(has_old);
            new += u64::from(has_new && !has_old);
            if !dead {
                break;
            }
        }
        assert!(old > 0 && new > 0, "{old} times the old ones, {new} times the new ones");
    }
}

fn replace_until_dead(journal: &mut Journal<ModelDisk>, stretch: &Stretch) -> Vec<Vec<u8>> {
    let bodies: Vec<_> = (0..3).map(|number| body(&format!("instead {number}"))).collect();
    let with_meta: Vec<_> = bodies.iter().map(|body| (body.clone(), meta(2))).collect();
    // Where the power is gone, nothing has changed.
    if journal.replace(stretch, &with_meta, STAMP).is_ok() {
        let _may_be_cut = journal.commit(STAMP, &[]);
    }
    bodies
}

/// Scenario: stretches are replaced, and then room runs out all the same. Guarantees: what was thinned is evicted as everything
/// else, the oldest first, told and booked once.
#[test]
fn what_was_thinned_yields_too() {
    let disk = disk_of_epoch(1);
    let (mut journal, _) = open(&disk, &Options { consumers: Consumer::all(&["hub"]), ..small() });
    fill(&mut journal, 400);
    let stretch = journal.stretch(Lane::Metrics, 0).unwrap();
    replace(&mut journal, &stretch);
    journal.commit(STAMP, &[]).unwrap();
    fill(&mut journal, 600);
    // What the last commit gave up is told with the next one.
    journal.commit(STAMP, &[]).unwrap();
    let lost: u64 = journal.take_lost().iter().map(|lost| lost.records).sum();
    assert_eq!(lost + journal.depth(0).unwrap().records, 10_000);
    let mut hub = Hub::default();
    drain(&mut journal, 0, &mut hub);
    hub.is_whole(Lane::Metrics, journal.heads()[0].next);
    let reasons: std::collections::BTreeSet<_> = hub.gaps.iter().map(|gap| gap.reason.name()).collect();
    assert!(reasons.contains("evicted"), "{reasons:?}");
    assert!((1..=stretch.last).all(|seq| hub.excuses(Lane::Metrics, seq)));
}
