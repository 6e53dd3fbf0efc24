//! Budgets, full disks and the order in which lanes yield.

use std::collections::BTreeMap;

use disk::Disk;
use disk::model::{ModelDisk, Rng};
use model::Lane;
use wire::GapReason;

use super::{Hub, STAMP, body, disk_of_epoch, drain, meta, noise, open, options};
use crate::{AppendError, Attachment, Consumer, Journal, Options};

fn small(total_bytes: u64) -> Options {
    Options { consumers: Consumer::all(&["hub"]), total_bytes, ..options() }
}

/// Appends until the journal refuses or `frames` are in, two frames of one record to a commit.
fn fill(journal: &mut Journal<ModelDisk>, lane: Lane, seed: u64, frames: u64) -> u64 {
    for n in 0..frames {
        match journal.append(lane, &body(&noise(seed * 10_000 + n, 1000)), meta(1), STAMP) {
            Ok(_) => {}
            Err(AppendError::Full { .. }) => {
                journal.commit(STAMP, &[]).unwrap();
                return n;
            }
            Err(error) => panic!("{error}"),
        }
        if n % 2 == 1 {
            journal.commit(STAMP, &[]).unwrap();
        }
    }
    frames
}

fn held(journal: &Journal<ModelDisk>, lane: Lane) -> u64 {
    journal.heads().iter().find(|head| head.lane == lane).map_or(0, |head| head.next - head.oldest)
}

/// Scenario: an outage longer than the budget, one lane after the other. Guarantees: the budget holds; debug yields before
/// metrics before traces and logs; audit and mission never yield, their appends are refused (P9, P11).
#[test]
fn lanes_yield_in_order() {
    let disk = disk_of_epoch(1);
    let total = 3 << 19;
    let (mut journal, _) = open(&disk, &small(total));
    for (seed, lane) in [Lane::Debug, Lane::Metrics, Lane::Logs].into_iter().enumerate() {
        assert_eq!(fill(&mut journal, lane, seed as u64, 500), 500);
        assert!(journal.stats().disk_bytes <= total && disk.used() <= total);
    }
    let full = |journal: &Journal<ModelDisk>| Lane::ALL.map(|lane| held(journal, lane));
    assert_eq!(full(&journal), [0, 0, 0, 500, 500, 500]);
    // Traces take from debug first, down to its newest segment, then from metrics, then from logs and themselves.
    fill(&mut journal, Lane::Traces, 4, 350);
    let after = full(&journal);
    assert!(after[5] < 300 && after[4] == 500 && after[3] == 500, "{after:?}");
    fill(&mut journal, Lane::Traces, 5, 500);
    let after = full(&journal);
    assert!(after[5] < 60 && after[4] < 300 && after[3] == 500, "{after:?}");
    fill(&mut journal, Lane::Traces, 6, 1500);
    let after = full(&journal);
    // Of two lanes that yield together, the larger one does.
    assert!(after[5] < 60 && after[4] < 60 && after[3] == 500 && (501..2350).contains(&after[2]), "{after:?}");
    // Metrics now take from debug and themselves only.
    let traces = after[2] + after[3];
    let metrics = fill(&mut journal, Lane::Metrics, 7, 300);
    assert_eq!(held(&journal, Lane::Traces) + held(&journal, Lane::Logs), traces);
    // Audit takes from everyone, and is refused when nobody has anything left.
    let taken = fill(&mut journal, Lane::Audit, 8, 5000);
    assert!((1000..5000).contains(&taken), "{taken}");
    assert_eq!(held(&journal, Lane::Audit), taken, "audit is never dropped");
    assert!(matches!(
        journal.append(Lane::Mission, &body(&noise(1, 40_000)), meta(1), STAMP),
        Err(AppendError::Full { lane: Lane::Mission, .. })
    ));
    assert!(journal.stats().disk_bytes <= total && disk.used() <= total);

    // Everything is accounted: what did not come is told, with its records, and booked once (P1, P3).
    let lost: u64 = journal.take_lost().iter().map(|lost| lost.records).sum();
    let depth = journal.depth(0).unwrap();
    let appended = 500 * 3 + 350 + 500 + 1500 + metrics + taken;
    assert_eq!(depth.records + lost, appended);
    journal.commit(STAMP, &[]).unwrap();
    let mut hub = Hub::default();
    drain(&mut journal, 0, &mut hub);
    assert_eq!(hub.gaps.iter().map(|gap| gap.records).sum::<u64>(), lost, "{:?}", hub.gaps);
    assert!(hub.gaps.iter().all(|gap| gap.reason == GapReason::Evicted && gap.start_ns == 1000 && gap.end_ns == 2000));
    for head in journal.heads() {
        hub.is_whole(head.lane, head.next);
    }
    // Room is back: appends go on.
    journal.append(Lane::Mission, &body(&noise(1, 40_000)), meta(1), STAMP).unwrap();
    journal.commit(STAMP, &[]).unwrap();
}

/// Scenario: logs and audit have budgets of their own, far below the whole. Guarantees: logs yield their own oldest and
/// nobody else's, audit is refused and keeps all that it has; what was promised room finds it (P9, P11).
#[test]
fn a_lane_stays_within_its_own_budget() {
    let disk = disk_of_epoch(1);
    let mut options = small(2 << 20);
    options.lane_bytes[usize::from(Lane::Logs.number())] = 256 << 10;
    options.lane_bytes[usize::from(Lane::Audit.number())] = 256 << 10;
    let (mut journal, _) = open(&disk, &options);
    let used = |lane: Lane| {
        let names = disk.list(&segment::lane_dir(lane)).unwrap();
        let path = |name: &String| format!("{}/{name}", segment::lane_dir(lane));
        names.iter().map(|name| disk.len(&disk.open(&path(name)).unwrap()).unwrap()).sum::<u64>()
    };
    assert_eq!(fill(&mut journal, Lane::Metrics, 1, 100), 100);
    assert_eq!(fill(&mut journal, Lane::Logs, 2, 1000), 1000);
    assert!((100..260).contains(&held(&journal, Lane::Logs)) && used(Lane::Logs) <= 256 << 10);
    assert_eq!(held(&journal, Lane::Metrics), 100);
    let taken = fill(&mut journal, Lane::Audit, 3, 1000);
    assert!((100..260).contains(&taken) && held(&journal, Lane::Audit) == taken && used(Lane::Audit) <= 256 << 10);
    assert!(matches!(journal.make_room(Lane::Audit, 40_000, STAMP), Err(AppendError::Full { lane: Lane::Audit, .. })));
    journal.make_room(Lane::Mission, 40_000, STAMP).unwrap();
    fill(&mut journal, Lane::Traces, 4, 3000);
    journal.append(Lane::Mission, &body(&noise(1, 39_000)), meta(1), STAMP).unwrap();
    journal.commit(STAMP, &[]).unwrap();
}

/// Scenario: blocks are on their way to the hub when space runs out. Guarantees: their segment is not evicted, later ones
/// are, and both the confirmation and the gap find their place.
#[test]
fn what_is_on_its_way_is_not_evicted() {
    let disk = disk_of_epoch(1);
    let (mut journal, _) = open(&disk, &small(1 << 20));
    fill(&mut journal, Lane::Logs, 1, 200);
    let mut blocks = Vec::new();
    journal.next_blocks(0, 3000, &mut blocks).unwrap();
    let last = blocks.last().unwrap().last;
    fill(&mut journal, Lane::Logs, 2, 2000);
    assert_eq!(journal.heads()[0].oldest, 1);
    let lost: u64 = journal.take_lost().iter().map(|lost| lost.records).sum();
    assert!(lost > 500);
    let mut hub = Hub::default();
    for block in &blocks {
        hub.take(block);
    }
    assert_eq!(journal.confirm(0, Lane::Logs, 1, last).unwrap().frames, last);
    journal.commit(STAMP, &[]).unwrap();
    drain(&mut journal, 0, &mut hub);
    hub.is_whole(Lane::Logs, journal.heads()[0].next);
    assert_eq!(hub.gaps.iter().map(|gap| gap.records).sum::<u64>(), lost);
    assert_eq!(hub.frames.len() as u64 - hub.gaps.len() as u64 + lost, 2200);
}

/// Scenario: history is kept to a budget, then space runs short. Guarantees: confirmed segments stay up to the budget, go
/// first when space is needed, and nothing is lost by it.
#[test]
fn history_goes_first() {
    let disk = disk_of_epoch(1);
    let options = Options { history_bytes: 300 << 10, ..small(1 << 20) };
    let (mut journal, _) = open(&disk, &options);
    let mut hub = Hub::default();
    fill(&mut journal, Lane::Logs, 1, 600);
    drain(&mut journal, 0, &mut hub);
    journal.commit(STAMP, &[]).unwrap();
    let kept = journal.stats().disk_bytes;
    assert!((200 << 10..500 << 10).contains(&kept), "{kept}");
    assert!(held(&journal, Lane::Logs) > 100);
    fill(&mut journal, Lane::Metrics, 2, 700);
    assert_eq!(journal.take_lost(), []);
    drain(&mut journal, 0, &mut hub);
    assert_eq!(hub.gaps, []);
    assert_eq!(hub.frames.len(), 1300);
}

/// Scenario: somebody else fills the file system, then frees it again. Guarantees: no error but "full"; gap records find
/// their reserve and are delivered; afterwards all is as before (P9, P11).
#[test]
fn somebody_else_fills_the_disk() {
    let disk = disk_of_epoch(1);
    let (mut journal, _) = open(&disk, &small(64 << 20));
    fill(&mut journal, Lane::Debug, 1, 300);
    fill(&mut journal, Lane::Traces, 2, 100);
    disk.set_capacity(Some(disk.used()));
    let taken = fill(&mut journal, Lane::Audit, 3, 1000);
    assert!(taken > 50 && taken < 400, "{taken}");
    journal.commit(STAMP, &[]).unwrap();
    let lost: u64 = journal.take_lost().iter().map(|lost| lost.records).sum();
    assert!(lost > 200, "{lost}");
    assert_eq!(held(&journal, Lane::Audit), taken);
    drop(journal);
    // Still full: it opens.
    let (mut journal, recovery) = open(&disk, &small(64 << 20));
    assert_eq!((recovery.not_committed, recovery.corrupt), (None, vec![]));
    let mut hub = Hub::default();
    drain(&mut journal, 0, &mut hub);
    assert_eq!(hub.gaps.iter().map(|gap| gap.records).sum::<u64>(), lost);
    for head in journal.heads() {
        hub.is_whole(head.lane, head.next);
    }
    disk.set_capacity(None);
    assert_eq!(fill(&mut journal, Lane::Audit, 4, 300), 300);
    assert_eq!(journal.depth(0).unwrap().records, 300);
}

/// Scenario: a disk with a floor of free space. Guarantees: the journal leaves it free.
#[test]
fn the_floor_of_free_space_holds() {
    let disk = disk_of_epoch(1);
    disk.set_capacity(Some(2 << 20));
    let options = Options { free_space_floor: 1 << 20, ..small(64 << 20) };
    let (mut journal, _) = open(&disk, &options);
    fill(&mut journal, Lane::Logs, 1, 3000);
    assert!(disk.used() <= 1 << 20, "{}", disk.used());
    assert!(held(&journal, Lane::Logs) > 500, "{:?} {:?}", journal.stats(), journal.heads());
}

/// Scenario: somebody else fills the disk down to less than the floor, and takes all that is evicted. Guarantees: new frames
/// take the place of the oldest, nearly as much stays held as before, and nothing is refused.
#[test]
fn others_fill_the_disk() {
    let disk = disk_of_epoch(1);
    disk.set_capacity(Some(3 << 20));
    let options = Options { free_space_floor: 1 << 20, ..small(64 << 20) };
    let (mut journal, _) = open(&disk, &options);
    fill(&mut journal, Lane::Logs, 1, 3000);
    let before = (disk.used(), held(&journal, Lane::Logs));
    disk.set_capacity(Some(disk.used() + (64 << 10)));
    assert_eq!(fill(&mut journal, Lane::Logs, 2, 2000), 2000);
    let after = (disk.used(), held(&journal, Lane::Logs));
    assert!(after.0 <= before.0 && after.1 * 10 > before.1 * 9, "{before:?} {after:?}");
}

/// Scenario: half of a segment is confirmed before the outage that makes its lane yield. Guarantees: what is told as lost is
/// what the hub does not have, to the record (P3).
#[test]
fn what_was_confirmed_is_not_told_as_lost() {
    let disk = disk_of_epoch(1);
    let (mut journal, _) = open(&disk, &small(1 << 20));
    let mut hub = Hub::default();
    fill(&mut journal, Lane::Logs, 1, 10);
    drain(&mut journal, 0, &mut hub);
    fill(&mut journal, Lane::Logs, 2, 2000);
    let lost: u64 = journal.take_lost().iter().map(|lost| lost.records).sum();
    drain(&mut journal, 0, &mut hub);
    assert!(lost > 500 && hub.gaps.iter().all(|gap| gap.first > 10), "{lost} {:?}", hub.gaps);
    assert_eq!(hub.gaps.iter().map(|gap| gap.records).sum::<u64>(), lost);
    assert_eq!(hub.frames.len() as u64 - hub.gaps.len() as u64 + lost, 2010);
    hub.is_whole(Lane::Logs, journal.heads()[0].next);
}

/// Scenario: an outage in which a lane yields a hundred times; then the hub, which has none of the gap records yet, asks for
/// what it expects. Guarantees: it is not taken for a hub that was restored, and is told all that was lost (P3).
#[test]
fn a_hub_that_missed_many_evictions_is_not_a_restored_one() {
    let disk = disk_of_epoch(1);
    let (mut journal, _) = open(&disk, &small(1 << 20));
    let mut evictions = 0;
    for seed in 0..60 {
        fill(&mut journal, Lane::Logs, seed, 100);
        evictions += journal.take_lost().len();
    }
    assert!(evictions >= 50, "{evictions}");
    assert_eq!(journal.replay(0, Lane::Logs, 1).unwrap(), 0);
    let mut hub = Hub::default();
    drain(&mut journal, 0, &mut hub);
    assert!(hub.gaps.iter().all(|gap| gap.reason == GapReason::Evicted), "{:?}", hub.gaps);
    let told: u64 = hub.gaps.iter().map(|gap| gap.records).sum();
    assert_eq!(hub.frames.len() as u64 - hub.gaps.len() as u64 + told, 6000);
    hub.is_whole(Lane::Logs, journal.heads()[0].next);
}

/// Scenario: long seeded runs on a budget that is always too small, with two destinations, restarts, power cuts and the
/// odd full disk. Guarantees: what a destination did not get was told to it, the budget holds, recovery ends (P3, P9).
#[test]
fn evictions_and_power_cuts() {
    let mut evictions = 0;
    for seed in 0..25 {
        let run = std::panic::AssertUnwindSafe(|| evictions += squeezed(seed));
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("failing seed: {seed}");
            std::panic::resume_unwind(panic);
        }
    }
    assert!(evictions > 50, "{evictions}");
}

fn squeezed(seed: u64) -> u64 {
    let mut rng = Rng::new(900 + seed);
    let disk = disk_of_epoch(seed);
    let options = Options { total_bytes: 640 << 10, ..options() };
    let mut hubs = [Hub::default(), Hub::default()];
    let mut committed: BTreeMap<(Lane, u64), Vec<u8>> = BTreeMap::new();
    let mut evictions = 0;
    for round in 0..6u64 {
        let (mut journal, _) = open(&disk, &options);
        if round < 5 {
            let cut = 100 + rng.below(600);
            disk.cut_after(cut);
        }
        let mut buffered = BTreeMap::new();
        for n in 0..400u64 {
            match rng.below(10) {
                0..6 => {
                    let lane = Lane::ALL[1 + rng.below(5) as usize];
                    let text = body(&noise(seed << 32 | round << 16 | n, 200 + rng.below(6000) as usize));
                    match journal.append(lane, &text, meta(1), STAMP) {
                        Ok(seq) => assert!(buffered.insert((lane, seq), text).is_none()),
                        Err(AppendError::Full { .. }) => {}
                        Err(error) => assert!(disk.is_dead(), "{error}"),
                    }
                }
                6..8 => match journal.commit(STAMP, &[Attachment::ledger(&n.to_le_bytes())]) {
                    Ok(_) => committed.append(&mut buffered),
                    Err(error) => assert!(disk.is_dead(), "{error}"),
                },
                8 => {
                    let capacity = rng.percent(20).then(|| disk.used() + rng.below(50_000));
                    disk.set_capacity(capacity);
                }
                _ => {
                    let destination = rng.below(2) as usize;
                    let mut blocks = Vec::new();
                    let _ = journal.next_blocks(destination, 10_000, &mut blocks);
                    for block in &blocks {
                        hubs[destination].take(block);
                        if rng.percent(70) {
                            let _ = journal.confirm(destination, block.lane, block.first, block.last);
                        }
                    }
                    if rng.percent(40) {
                        journal.rewind(destination);
                    }
                }
            }
            assert!(disk.used() <= options.total_bytes);
            evictions += journal.take_lost().len() as u64;
            if disk.is_dead() {
                break;
            }
        }
        drop(journal);
        disk.set_capacity(None);
        if round < 5 {
            disk.power_cycle(&mut rng);
        }
    }
    let (mut journal, _) = open(&disk, &options);
    for (destination, hub) in hubs.iter_mut().enumerate() {
        drain(&mut journal, destination, hub);
        for ((lane, seq), text) in &committed {
            let there = hub.has(*lane, *seq, text) || hub.excuses(*lane, *seq);
            assert!(there, "destination {destination}: {lane} {seq} neither came nor is told");
        }
        for head in journal.heads() {
            hub.is_whole(head.lane, head.next);
        }
        assert!(
            hub.gaps.iter().all(|gap| gap.reason == GapReason::Evicted && gap.lane > Lane::Audit),
            "{:?}",
            hub.gaps
        );
        assert_eq!(journal.depth(destination).unwrap(), crate::Depth::default());
    }
    evictions
}

/// Scenario: the disk is full of what may not be evicted, after a restart, and a block turns out to be damaged.
/// Guarantees: its gap record finds room nevertheless: the spare file (P3).
#[test]
fn a_gap_record_finds_room_on_a_full_disk() {
    let disk = disk_of_epoch(1);
    let (mut journal, _) = open(&disk, &small(1 << 20));
    let taken = fill(&mut journal, Lane::Audit, 1, 5000);
    assert!(taken < 5000);
    drop(journal);
    disk.set_capacity(Some(disk.used()));
    disk.flip("lanes/audit/0000000000000001.seg", 1000, 1);
    let (mut journal, _) = open(&disk, &small(1 << 20));
    let mut blocks = Vec::new();
    journal.next_blocks(0, 10_000, &mut blocks).unwrap();
    assert_eq!(journal.due_gaps().len(), 1, "{blocks:?}");
    journal.commit(STAMP, &[]).unwrap();
    assert!(journal.due_gaps().is_empty());
    assert!(disk.used() <= 1 << 20);
    let mut hub = Hub::default();
    journal.rewind(0);
    drain(&mut journal, 0, &mut hub);
    assert_eq!(hub.gaps.len(), 1);
}

/// Scenario: a lane whose own budget holds only one of the frames that come, with the link down and up again; then a journal that is
/// full of one large segment that everybody has. Guarantees: the lane gives up what it has and goes on, at most a segment beyond
/// its budget, all of it told; the newest segment never keeps anyone waiting for good (P9, P11).
#[test]
fn a_large_segment_does_not_block_its_lane() {
    let disk = disk_of_epoch(1);
    let mut lane_bytes = [u64::MAX; 6];
    lane_bytes[usize::from(Lane::Metrics.number())] = 128 << 10;
    let options = Options { lane_bytes, ..small(1 << 20) };
    let (mut journal, _) = open(&disk, &options);
    let mut hub = Hub::default();
    let append = |journal: &mut Journal<ModelDisk>, number: u64, len: usize| {
        journal.append(Lane::Metrics, &body(&noise(number, len)), meta(1), STAMP).unwrap();
        journal.commit(STAMP, &[]).unwrap();
        assert!(journal.lane(Lane::Metrics).disk_bytes() <= (128 + 80) << 10);
    };
    for number in 0..6 {
        append(&mut journal, number, 64_000);
    }
    drain(&mut journal, 0, &mut hub);
    for number in 6..12 {
        append(&mut journal, number, 64_000);
        drain(&mut journal, 0, &mut hub);
    }
    let told: u64 = hub.gaps.iter().map(|gap| gap.records).sum();
    assert_eq!(hub.frames.len() as u64 - hub.gaps.len() as u64 + told, 12);
    assert!(told >= 4 && hub.has(Lane::Metrics, journal.heads()[0].next - 1, &body(&noise(11, 64_000))));

    let disk = disk_of_epoch(2);
    let (mut journal, _) = open(&disk, &small(512 << 10));
    let mut hub = Hub::default();
    for number in 0..8 {
        journal.append(Lane::Traces, &body(&noise(number, 250_000)), meta(1), STAMP).unwrap();
        journal.commit(STAMP, &[]).unwrap();
        drain(&mut journal, 0, &mut hub);
        assert!(journal.stats().disk_bytes <= 512 << 10);
    }
    assert_eq!((hub.frames.len(), hub.gaps.len()), (8, 0));
}

/// Scenario: missions fill the journal; a sync of points fails, and no room is left for another segment of theirs. Guarantees: the commit
/// fails and loses nothing, log records of the same commit go out all the same, and what is delivered makes room for the points (P2, P9).
#[test]
fn a_lane_without_room_does_not_hold_the_others() {
    let options = Options { total_bytes: 512 << 10, consumers: Consumer::all(&["hub"]), ..options() };
    let disk = ModelDisk::new();
    let (mut journal, _) = open(&disk, &options);
    for lane in [Lane::Logs, Lane::Metrics] {
        journal.append(lane, &body("first"), meta(1), STAMP).unwrap();
    }
    journal.commit(STAMP, &[]).unwrap();
    for number in 0.. {
        if journal.append(Lane::Mission, &body(&noise(number, 4000)), meta(1), STAMP).is_err() {
            break;
        }
        journal.commit(STAMP, &[]).unwrap();
    }
    for lane in [Lane::Logs, Lane::Metrics] {
        journal.append(lane, &body("second"), meta(1), STAMP).unwrap();
    }
    // Log records are synced before points.
    disk.fail_sync_after(1);
    let error = journal.commit(STAMP, &[]).unwrap_err();
    assert!(error.to_string().contains("find room"), "{error}");
    let head = |journal: &Journal<ModelDisk>, lane: Lane| journal.lane(lane).committed().next;
    assert_eq!((head(&journal, Lane::Logs), head(&journal, Lane::Metrics)), (3, 2));
    let mut hub = Hub::default();
    let mut blocks = Vec::new();
    while hub.frames.is_empty() || !blocks.is_empty() {
        blocks.clear();
        journal.next_blocks(0, 64 << 10, &mut blocks).unwrap();
        for block in &blocks {
            hub.take(block);
            journal.confirm(0, block.lane, block.first, block.last).unwrap();
        }
    }
    assert!(hub.has(Lane::Logs, 2, &body("second")));
    let _makes_room = journal.commit(STAMP, &[]);
    journal.commit(STAMP, &[]).unwrap();
    drain(&mut journal, 0, &mut hub);
    assert!(hub.has(Lane::Metrics, 2, &body("second")) && hub.gaps.is_empty());
}
