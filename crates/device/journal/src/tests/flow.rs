//! The simple path: in, commit, out, confirm, restart.

use disk::model::ModelDisk;
use model::Lane;

use super::{Hub, STAMP, body, drain, meta, noise, open, options};
use crate::{AppendError, Attachment, Consumer, Depth, Journal, JournalError};

/// Scenario: frames of several lanes go in and out. Guarantees: nothing is sent before its commit; each frame comes out
/// once under its sequence; the depth is true before, during and after.
#[test]
fn in_and_out() {
    let disk = ModelDisk::new();
    let (mut journal, recovery) = open(&disk, &options());
    assert!(recovery.created);
    let mut hub = Hub::default();
    let texts: Vec<Vec<u8>> = (0..40).map(|n| body(&format!("line {n}"))).collect();
    for (n, text) in texts.iter().enumerate() {
        let lane = if n % 4 == 0 { Lane::Traces } else { Lane::Logs };
        let seq = journal.append(lane, text, meta(3), STAMP).unwrap();
        assert_eq!(seq, if n % 4 == 0 { n as u64 / 4 + 1 } else { (n - n / 4) as u64 });
    }
    let mut blocks = Vec::new();
    journal.next_blocks(0, 1 << 20, &mut blocks).unwrap();
    assert_eq!(blocks, [], "unsynced frames are never sent");
    let before = journal.depth(0).unwrap();
    assert_eq!((before.records, before.oldest_ns), (120, Some(1000)));

    let commit = journal.commit(STAMP, &[Attachment::ledger(b"ledger 1")]).unwrap();
    assert_eq!((commit.frames, commit.records), (40, 120));
    journal.next_blocks(0, 1 << 20, &mut blocks).unwrap();
    assert_eq!(blocks.len(), 2);
    assert_eq!(journal.depth(0).unwrap().records, 120, "what is on its way is still to be delivered");
    for block in &blocks {
        hub.take(block);
        let confirmed = journal.confirm(0, block.lane, block.first, block.last).unwrap();
        assert_eq!(confirmed.records, block.records);
        assert_eq!(journal.confirm(0, block.lane, block.first, block.last).unwrap().records, 0, "once");
    }
    assert_eq!(journal.depth(0).unwrap(), Depth::default());
    assert_eq!(journal.depth(1).unwrap().records, 120);
    for (n, text) in texts.iter().enumerate() {
        let (lane, seq) = if n % 4 == 0 { (Lane::Traces, n / 4 + 1) } else { (Lane::Logs, n - n / 4) };
        assert!(hub.has(lane, seq as u64, text));
    }
    let heads = journal.heads();
    assert_eq!(
        heads.iter().map(|head| (head.lane, head.next, head.watermark_ns)).collect::<Vec<_>>(),
        [(Lane::Traces, 11, 2000), (Lane::Logs, 31, 2000)]
    );
}

/// Scenario: a destination fails; blocks are confirmed out of order, again, in parts, and beyond what was sent.
/// Guarantees: what is not confirmed comes again, what is does not, and the cursor never passes a hole (P3).
#[test]
fn rewind_and_confirmations_in_any_order() {
    let disk = ModelDisk::new();
    let (mut journal, _) = open(&disk, &options());
    for n in 0..5 {
        for _ in 0..2 {
            journal.append(Lane::Logs, &body(&format!("line {n}")), meta(1), STAMP).unwrap();
        }
        journal.commit(STAMP, &[]).unwrap();
    }
    let ranges = |journal: &mut Journal<ModelDisk>| {
        let mut blocks = Vec::new();
        journal.next_blocks(0, 1 << 20, &mut blocks).unwrap();
        blocks.iter().map(|block| (block.first, block.last)).collect::<Vec<_>>()
    };
    assert_eq!(ranges(&mut journal), [(1, 2), (3, 4), (5, 6), (7, 8), (9, 10)]);
    assert_eq!(ranges(&mut journal), []);
    assert_eq!(journal.confirm(0, Lane::Logs, 5, 8).unwrap().records, 4);
    assert_eq!(journal.depth(0).unwrap().records, 6);
    assert!(journal.has_in_flight(0));
    journal.rewind(0);
    assert!(!journal.has_in_flight(0));
    assert_eq!(ranges(&mut journal), [(1, 2), (3, 4), (9, 10)]);
    assert_eq!(journal.confirm(0, Lane::Logs, 1, 1).unwrap().records, 0);
    assert_eq!(journal.confirm(0, Lane::Logs, 2, 3).unwrap().records, 2);
    journal.rewind_range(0, Lane::Logs, 3, 4);
    assert_eq!(ranges(&mut journal), [(3, 4)]);
    // A late answer for what was sent before: a hub that is ahead.
    journal.rewind(0);
    assert_eq!(journal.confirm(0, Lane::Logs, 1, 99).unwrap().records, 4);
    assert_eq!(journal.depth(0).unwrap(), Depth::default());
    assert_eq!(ranges(&mut journal), []);
    // The other destination was not touched, and jumps by what its hub says at connect.
    assert_eq!(journal.confirm(1, Lane::Logs, 1, 6).unwrap().records, 6);
    let mut blocks = Vec::new();
    journal.next_blocks(1, 1, &mut blocks).unwrap();
    assert_eq!((blocks.len(), blocks[0].first), (1, 7));
}

/// Scenario: two destinations at different places, then a restart. Guarantees: each goes on from its own cursor, the ledger
/// is there, and segments go only when both have them (P3).
#[test]
fn restart_with_two_cursors() {
    let disk = ModelDisk::new();
    let (mut journal, _) = open(&disk, &options());
    let mut texts = Vec::new();
    for n in 0..200u64 {
        texts.push(body(&noise(n, 1000)));
        journal.append(Lane::Traces, &texts[n as usize], meta(2), STAMP).unwrap();
        if n % 5 == 4 {
            journal.commit(STAMP, &[Attachment::ledger(format!("ledger {n}").as_bytes())]).unwrap();
        }
    }
    let segments = journal.stats().segments;
    assert!(segments > 3, "{segments}");
    let (mut hub, mut otlp) = (Hub::default(), Hub::default());
    drain(&mut journal, 0, &mut hub);
    let mut blocks = Vec::new();
    journal.next_blocks(1, 20 << 10, &mut blocks).unwrap();
    for block in &blocks {
        otlp.take(block);
        journal.confirm(1, block.lane, block.first, block.last).unwrap();
    }
    let done = blocks.last().unwrap().last;
    journal.sync_cursors().unwrap();
    drop(journal);

    let (mut journal, recovery) = open(&disk, &options());
    assert!(!recovery.created);
    assert_eq!(super::ledger(&recovery), Some(&b"ledger 199"[..]));
    assert!(recovery.unbooked.is_empty() && recovery.torn.is_empty() && recovery.corrupt.is_empty());
    assert_eq!(journal.depth(0).unwrap(), Depth::default());
    assert_eq!(journal.depth(1).unwrap().records, 2 * (200 - done));
    drain(&mut journal, 1, &mut otlp);
    assert_eq!(otlp.duplicates, 0);
    for (n, text) in texts.iter().enumerate() {
        assert!(hub.has(Lane::Traces, n as u64 + 1, text) && otlp.has(Lane::Traces, n as u64 + 1, text));
    }
    journal.commit(STAMP, &[]).unwrap();
    assert!(journal.stats().segments <= 1, "{:?}", journal.stats());
    let next = journal.append(Lane::Traces, &body("more"), meta(1), STAMP).unwrap();
    assert_eq!(next, 201);
    drop(journal);
    let (journal, _) = open(&disk, &options());
    assert_eq!(journal.heads()[0].next, 201, "what was not committed is given out again");
}

/// Scenario: frames of many lanes wait. Guarantees: mission, then audit; the rest share by bytes; a lane in order.
#[test]
fn mission_first_and_the_rest_share() {
    let disk = ModelDisk::new();
    let (mut journal, _) = open(&disk, &options());
    for n in 0..30u64 {
        for lane in Lane::ALL {
            if lane == Lane::Debug && n < 20 {
                continue;
            }
            journal.append(lane, &body(&noise(n, 300)), meta(1), STAMP).unwrap();
        }
        journal.commit(STAMP, &[]).unwrap();
    }
    let mut blocks = Vec::new();
    journal.next_blocks(0, 60 * 440, &mut blocks).unwrap();
    let lanes: Vec<Lane> = blocks.iter().map(|block| block.lane).collect();
    assert!(lanes[..30].iter().all(|lane| *lane == Lane::Mission), "{lanes:?}");
    blocks.clear();
    journal.next_blocks(0, 1 << 20, &mut blocks).unwrap();
    let shared: Vec<Lane> = blocks.iter().map(|block| block.lane).filter(|lane| *lane > Lane::Audit).collect();
    for lane in [Lane::Traces, Lane::Logs, Lane::Metrics, Lane::Debug] {
        let early = shared[..32].iter().filter(|other| **other == lane).count();
        assert!((6..=10).contains(&early), "{lane}: {early} of the first 32");
    }
    for lane in Lane::ALL {
        let firsts: Vec<u64> = blocks.iter().filter(|block| block.lane == lane).map(|block| block.first).collect();
        assert!(firsts.is_sorted());
    }
}

/// Scenario: a frame beyond the cap, a second process, wrong options, a later version. Guarantees: refused with a reason,
/// and nothing is touched.
#[test]
fn what_is_refused() {
    let disk = ModelDisk::new();
    let (mut journal, _) = open(&disk, &options());
    let large = body(&noise(1, 900 << 10));
    let too_large = vec![0; 1 << 20];
    assert!(matches!(journal.append(Lane::Logs, &too_large, meta(1), STAMP), Err(AppendError::TooLarge { .. })));
    assert_eq!(journal.append(Lane::Logs, &large, meta(1), STAMP).unwrap(), 1);
    assert!(matches!(Journal::open(disk.clone(), options(), STAMP), Err(JournalError::Locked)));
    journal.commit(STAMP, &[]).unwrap();
    assert!(journal.next_blocks(2, 1, &mut Vec::new()).is_err());
    drop(journal);
    let small = crate::Options { total_bytes: 1000, ..options() };
    assert!(matches!(Journal::open(disk.clone(), small, STAMP), Err(JournalError::Options(_))));
    let twice = crate::Options { consumers: Consumer::all(&["a", "a"]), ..options() };
    assert!(matches!(Journal::open(disk.clone(), twice, STAMP), Err(JournalError::Options(_))));
    let (mut journal, _) = open(&disk, &options());
    let mut hub = Hub::default();
    drain(&mut journal, 0, &mut hub);
    assert!(hub.has(Lane::Logs, 1, &large));
}

/// Scenario: thousands of commits through a journal that is drained as it fills. Guarantees: memory and disk stay small,
/// whatever the number of records (P9).
#[test]
fn a_drained_journal_stays_small() {
    let disk = ModelDisk::new();
    let (mut journal, _) = open(&disk, &options());
    let (mut hub, mut otlp) = (Hub::default(), Hub::default());
    for n in 0..3000u64 {
        let text = noise(n, 200);
        journal.append(Lane::Traces, &body(&text), meta(1), STAMP).unwrap();
        journal.append(Lane::Metrics, &body(&text), meta(1), STAMP).unwrap();
        journal.commit(STAMP, &[Attachment::ledger(&n.to_le_bytes())]).unwrap();
        if n % 10 == 9 {
            drain(&mut journal, 0, &mut hub);
            drain(&mut journal, 1, &mut otlp);
            hub = Hub::default();
            otlp = Hub::default();
        }
    }
    let stats = journal.stats();
    assert!(stats.disk_bytes < 1 << 20, "{stats:?}");
    assert!(stats.resident_bytes < 400 << 10, "{stats:?}");
    assert!(disk.used() <= stats.disk_bytes, "{} {stats:?}", disk.used());
}

/// Scenario: a hub confirms the first and the third of four blocks, and is then restored from a backup without any of them.
/// Guarantees: all that it had confirmed counts as queued again, also what it had ahead of its cursor (P1).
#[test]
fn a_restored_hub_had_blocks_ahead() {
    let disk = ModelDisk::new();
    let (mut journal, _) = open(&disk, &options());
    for n in 0..4u64 {
        journal.append(Lane::Logs, &body(&noise(n, 300)), meta(5), STAMP).unwrap();
        journal.commit(STAMP, &[]).unwrap();
    }
    journal.next_blocks(0, 1 << 20, &mut Vec::new()).unwrap();
    for sequence in [1, 3] {
        assert_eq!(journal.confirm(0, Lane::Logs, sequence, sequence).unwrap().records, 5);
    }
    assert_eq!(journal.depth(0).unwrap().records, 10);
    assert_eq!(journal.replay(0, Lane::Logs, 1).unwrap(), 10);
    assert_eq!(journal.depth(0).unwrap().records, 20);
}

/// Scenario: the hub is restored from a backup and has less than it confirmed, once within history and once before it.
/// Guarantees: it gets again what is held; the rest is told as a gap of its own kind, once; a replay that is on its way is
/// not started again.
#[test]
fn a_hub_that_was_restored() {
    let disk = ModelDisk::new();
    let options = crate::Options { history_bytes: 1 << 20, consumers: Consumer::all(&["hub"]), ..options() };
    let (mut journal, _) = open(&disk, &options);
    let mut hub = Hub::default();
    for n in 0..100u64 {
        journal.append(Lane::Logs, &body(&noise(n, 1000)), meta(2), STAMP).unwrap();
        if n % 4 == 3 {
            journal.commit(STAMP, &[]).unwrap();
        }
    }
    drain(&mut journal, 0, &mut hub);
    assert_eq!(journal.depth(0).unwrap(), Depth::default());
    assert_eq!(journal.replay(0, Lane::Logs, 101).unwrap(), 0);
    assert_eq!(journal.replay(0, Lane::Logs, 41).unwrap(), 120);
    assert_eq!(journal.depth(0).unwrap().records, 120);
    let mut restored = Hub::default();
    let mut blocks = Vec::new();
    journal.next_blocks(0, 10_000, &mut blocks).unwrap();
    assert_eq!(blocks[0].first, 41);
    assert_eq!(journal.replay(0, Lane::Logs, 41).unwrap(), 0, "it is on its way");
    journal.rewind(0);
    drain(&mut journal, 0, &mut restored);
    assert_eq!((restored.frames.len(), restored.gaps.len()), (60, 0));
    journal.sync_cursors().unwrap();
    drop(journal);

    // Without history: only the newest segment is left.
    let none = crate::Options { history_bytes: 0, ..options };
    let (mut journal, _) = open(&disk, &none);
    journal.commit(STAMP, &[]).unwrap();
    let oldest = journal.heads()[0].oldest;
    assert!(oldest > 41, "{oldest}");
    let again = journal.replay(0, Lane::Logs, 41).unwrap();
    assert_eq!(again, 2 * (101 - oldest));
    assert_eq!(journal.replay(0, Lane::Logs, 41).unwrap(), 0);
    let mut restored = Hub::default();
    drain(&mut journal, 0, &mut restored);
    assert_eq!(restored.gaps.len(), 1);
    let gap = restored.gaps[0];
    assert_eq!((gap.first, gap.last, gap.reason), (41, oldest - 1, wire::GapReason::HubRestore));
    assert_eq!(journal.take_lost(), []);
}
