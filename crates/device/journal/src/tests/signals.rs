//! Destinations that take some signals only.

use std::collections::BTreeSet;

use disk::model::Rng;
use model::{Lane, Signal, Signals};

use super::{STAMP, body, disk_of_epoch, meta, noise, open, options};
use crate::{Consumer, FrameMeta, Options};

fn of(records: u32, signals: &[Signal]) -> FrameMeta {
    FrameMeta { signals: Some(signals.iter().copied().collect()), ..meta(records) }
}

fn three() -> Options {
    let consumers = vec![Consumer::new("hub"), takes("b.traces", Signal::Traces), takes("b.metrics", Signal::Metrics)];
    Options { consumers, ..options() }
}

fn takes(name: &str, signal: Signal) -> Consumer {
    Consumer { signals: Some(Signals::of(signal)), ..Consumer::new(name) }
}

/// Scenario: frames of one and of two signals, of a signal that is not said, in lanes of any kind; three destinations, of which two take one
/// signal each; they are given what waits, confirm it or not, and the journal is opened again and again. Guarantees: nobody is given a
/// block that has nothing for it and says so, everybody gets what has something, in order; what each was passed by, was given and still
/// waits for adds up to what there is (P1, P3).
#[test]
fn d1_who_takes_nothing_of_a_block_is_passed_by() {
    for seed in 0..40 {
        let mut rng = Rng::new(seed);
        let disk = disk_of_epoch(1);
        let (mut journal, _) = open(&disk, &three());
        let (mut routed, mut done, mut passed) = (0i64, [0i64; 3], [0i64; 3]);
        let (mut wanted, mut got) = ([0, 0, 0], [0, 0, 0]);
        for step in 0..200u64 {
            match rng.below(10) {
                0..6 => {
                    let lane = Lane::ALL[rng.below(6) as usize];
                    let signals =
                        [&[Signal::Traces][..], &[Signal::Logs], &[Signal::Metrics], &[Signal::Traces, Signal::Logs]];
                    let choice = rng.below(5) as usize;
                    let records = 1 + rng.below(9) as u32;
                    let meta = signals.get(choice).map_or(meta(records), |signals| of(records, signals));
                    journal.append(lane, &body(&noise(step, 100)), meta, STAMP).unwrap();
                    journal.commit(STAMP, &[]).unwrap();
                    routed += i64::from(records);
                    wanted[0] += 1;
                    for (taker, signal) in [(1, Signal::Traces), (2, Signal::Metrics)] {
                        wanted[taker] += u32::from(meta.signals.is_none_or(|signals| signals.contains(signal)));
                    }
                }
                6..8 => {
                    let (destination, mut blocks) = (rng.below(3) as usize, Vec::new());
                    journal.next_blocks(destination, 1 + rng.below(4096) as usize, &mut blocks).unwrap();
                    for block in blocks {
                        if rng.below(8) == 0 {
                            journal.rewind(destination);
                            break;
                        }
                        let confirmed = journal.confirm(destination, block.lane, block.first, block.last).unwrap();
                        done[destination] += confirmed.records as i64;
                        got[destination] += confirmed.frames as u32;
                    }
                }
                8 => {
                    journal.sync_cursors().unwrap();
                    for (destination, records) in journal.take_passed() {
                        passed[destination] += records;
                    }
                    drop(journal);
                    journal = open(&disk, &three()).0;
                }
                _ => journal.rewind(rng.below(3) as usize),
            }
            let depths = [0, 1, 2].map(|one| journal.depth(one).unwrap().records as i64);
            for (destination, records) in journal.take_passed() {
                passed[destination] += records;
            }
            for one in 0..3 {
                assert_eq!(depths[one] + done[one] + passed[one], routed, "seed {seed}, step {step}, {one}");
            }
        }
        for (destination, got) in got.iter_mut().enumerate() {
            journal.rewind(destination);
            let mut blocks = Vec::new();
            journal.next_blocks(destination, usize::MAX, &mut blocks).unwrap();
            for block in blocks {
                *got += journal.confirm(destination, block.lane, block.first, block.last).unwrap().frames as u32;
            }
            assert_eq!(journal.depth(destination).unwrap().records, 0);
        }
        assert_eq!(passed[0], 0);
        // A block is given when one frame of it is wanted.
        assert!((0..3).all(|one| got[one] >= wanted[one]), "seed {seed}: {got:?} {wanted:?}");
        assert_eq!(got[0], wanted[0]);
    }
}

/// Scenario: a lane of points, and a destination that takes spans only and confirms nothing. Guarantees: it keeps no segment from being
/// removed once the others have it, although it is never given anything.
#[test]
fn d1_a_destination_pins_nothing_that_it_does_not_take() {
    let disk = disk_of_epoch(1);
    let (mut journal, _) = open(&disk, &three());
    for number in 0..300 {
        journal.append(Lane::Metrics, &body(&noise(number, 900)), of(10, &[Signal::Metrics]), STAMP).unwrap();
        journal.commit(STAMP, &[]).unwrap();
        for destination in [0, 2] {
            let mut blocks = Vec::new();
            journal.next_blocks(destination, usize::MAX, &mut blocks).unwrap();
            blocks.iter().for_each(|block| {
                journal.confirm(destination, block.lane, block.first, block.last).unwrap();
            });
        }
    }
    journal.commit(STAMP, &[]).unwrap();
    assert_eq!(journal.backlog()[usize::from(Lane::Metrics.number())], 0);
    assert!(journal.heads()[0].oldest > 200, "{:?}", journal.heads());
}

/// Scenario: points are thinned while a destination that takes no points has been passed by them. Guarantees: it does not keep them from
/// being thinned, is passed by what is left of them too, and its books balance (P1).
#[test]
fn what_is_thinned_passes_those_by_who_do_not_take_it() {
    let disk = disk_of_epoch(1);
    let (mut journal, _) = open(&disk, &three());
    for number in 0..100 {
        journal.append(Lane::Metrics, &body(&noise(number, 900)), of(10, &[Signal::Metrics]), STAMP).unwrap();
        journal.commit(STAMP, &[]).unwrap();
    }
    let stretch = journal.stretch(Lane::Metrics, 0).expect("somebody needs it");
    let frames = [(body("instead"), of(3, &[Signal::Metrics]))];
    assert!(journal.replace(&stretch, &frames, STAMP).unwrap());
    journal.commit(STAMP, &[]).unwrap();
    let mut sums = [0i64; 3];
    for (destination, records) in journal.take_passed() {
        sums[destination] += records;
    }
    for lost in journal.take_lost() {
        assert_ne!(lost.destination, 1, "it had passed");
        sums[lost.destination] += lost.records as i64;
    }
    for (destination, sum) in sums.into_iter().enumerate() {
        assert_eq!(sum + journal.depth(destination).unwrap().records as i64, 1000, "{destination}");
    }
}

/// Scenario: a destination whose signals went together is configured to have them go apart, after it had half of everything; later the
/// power goes before its new cursors are written. Guarantees: each signal goes on where all of them were: nothing is sent twice by this,
/// and nothing is left out (P3).
#[test]
fn a_destination_goes_on_when_its_signals_go_apart() {
    let disk = disk_of_epoch(1);
    let together = Options { consumers: Consumer::all(&["b"]), ..options() };
    let (mut journal, _) = open(&disk, &together);
    let append = |journal: &mut crate::Journal<_>, from: u64| {
        for number in from..from + 10 {
            let signal = [Signal::Traces, Signal::Metrics][number as usize % 2];
            journal.append(Lane::Mission, &body(&noise(number, 100)), of(1, &[signal]), STAMP).unwrap();
            journal.commit(STAMP, &[]).unwrap();
        }
    };
    append(&mut journal, 0);
    let mut blocks = Vec::new();
    journal.next_blocks(0, usize::MAX, &mut blocks).unwrap();
    blocks.iter().for_each(|block| {
        journal.confirm(0, block.lane, block.first, block.last).unwrap();
    });
    append(&mut journal, 10);
    journal.sync_cursors().unwrap();
    drop(journal);
    let apart = Options {
        consumers: [takes("b.traces", Signal::Traces), takes("b.metrics", Signal::Metrics)]
            .map(|one| Consumer { formerly: Some("b".into()), ..one })
            .to_vec(),
        ..options()
    };
    for _ in 0..2 {
        let (mut journal, _) = open(&disk, &apart);
        for destination in 0..2 {
            let mut blocks = Vec::new();
            journal.next_blocks(destination, usize::MAX, &mut blocks).unwrap();
            let firsts: Vec<u64> = blocks.iter().map(|block| block.first).collect();
            let own = (11..=20).filter(|seq| (seq - 1) % 2 == destination as u64);
            assert_eq!(firsts, own.collect::<Vec<u64>>());
        }
    }
}

/// Scenario: as above, with the power going between any two operations of the disk, again and again, and with room for little, so that the
/// oldest yields. Guarantees: whatever was committed and is held is given to everybody who takes something of it, until it is confirmed; a
/// block that says that it has nothing for somebody is never given to it; in the end nothing waits (P2, P3).
#[test]
fn power_cuts_cost_nobody_what_it_takes() {
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let disk = disk_of_epoch(1);
        let options = if seed % 2 == 0 { three() } else { Options { total_bytes: 512 << 10, ..three() } };
        let mut journal = open(&disk, &options).0;
        // What each frame holds, by lane and sequence, once it is committed; and who has confirmed it.
        let mut committed: Vec<(Lane, u64, Option<Signals>)> = Vec::new();
        let mut confirmed: [BTreeSet<(u8, u64)>; 3] = Default::default();
        for step in 0..250u64 {
            if rng.below(12) == 0 {
                disk.cut_after(rng.below(60));
            }
            let worked = match rng.below(4) {
                0 | 1 => {
                    let lane = [Lane::Traces, Lane::Logs, Lane::Metrics][rng.below(3) as usize];
                    let signals = [
                        &[Signal::Traces][..],
                        &[Signal::Logs],
                        &[Signal::Metrics],
                        &[Signal::Traces, Signal::Metrics],
                    ];
                    let meta = signals.get(rng.below(5) as usize).map_or(meta(3), |signals| of(3, signals));
                    let appended = journal.append(lane, &body(&noise(step, 2000)), meta, STAMP);
                    let done = journal.commit(STAMP, &[]).is_ok();
                    if let (Ok(sequence), true) = (appended, done) {
                        committed.push((lane, sequence, meta.signals));
                    }
                    done
                }
                2 => {
                    let (destination, mut blocks) = (rng.below(3) as usize, Vec::new());
                    let given = journal.next_blocks(destination, 1 + rng.below(9000) as usize, &mut blocks).is_ok();
                    for block in blocks {
                        let of_block =
                            committed.iter().find(|(lane, seq, _)| (*lane, *seq) == (block.lane, block.first));
                        if let Some((_, _, Some(signals))) = of_block.filter(|_| block.first == block.last) {
                            let takes = options.consumers[destination].signals;
                            assert!(takes.is_none_or(|takes| takes.meets(*signals)), "seed {seed}: {block:?}");
                        }
                        if journal.confirm(destination, block.lane, block.first, block.last).is_ok() {
                            confirmed[destination]
                                .extend((block.first..=block.last).map(|seq| (block.lane.number(), seq)));
                        }
                    }
                    given
                }
                _ => journal.sync_cursors().is_ok(),
            };
            if disk.is_dead() || !worked {
                drop(journal);
                disk.power_cycle(&mut rng);
                journal = open(&disk, &options).0;
            }
        }
        disk.clear_faults();
        drop(journal);
        disk.power_cycle(&mut rng);
        journal = open(&disk, &options).0;
        let heads = journal.heads();
        for (destination, confirmed) in confirmed.iter_mut().enumerate() {
            let mut blocks = Vec::new();
            journal.next_blocks(destination, usize::MAX, &mut blocks).unwrap();
            for block in blocks {
                confirmed.extend((block.first..=block.last).map(|seq| (block.lane.number(), seq)));
                journal.confirm(destination, block.lane, block.first, block.last).unwrap();
            }
            for (lane, sequence, signals) in &committed {
                let oldest = heads.iter().find(|ends| ends.lane == *lane).map_or(0, |ends| ends.oldest);
                let wants = options.consumers[destination]
                    .signals
                    .zip(*signals)
                    .is_none_or(|(takes, signals)| takes.meets(signals));
                let has = confirmed.contains(&(lane.number(), *sequence));
                assert!(
                    has || !wants || *sequence < oldest,
                    "seed {seed}: {lane} {sequence} never came to {destination}"
                );
            }
            assert_eq!(journal.depth(destination).unwrap().records, 0, "seed {seed}, {destination}");
        }
    }
}
