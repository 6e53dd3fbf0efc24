//! Power cuts, kills and failing syncs at every place.

use std::collections::BTreeMap;

use disk::model::{ModelDisk, Rng};
use model::Lane;

use super::{Hub, STAMP, body, disk_of_epoch, drain, meta, noise, open, options};
use crate::{Attachment, Journal, JournalError, Options, StoredBlock};

/// The workload and what it was promised.
struct World {
    disk: ModelDisk,
    options: Options,
    rng: Rng,
    hubs: [Hub; 2],
    /// What a commit said is durable.
    committed: BTreeMap<(Lane, u64), Vec<u8>>,
    buffered: BTreeMap<(Lane, u64), Vec<u8>>,
    /// Records handed to the journal since the epoch began, as a ledger would count them.
    counted: u64,
    appended: u64,
    ledgers: Vec<u64>,
    last_ledger: Option<u64>,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            disk: disk_of_epoch(seed),
            options: Options { total_bytes: 16 << 20, ..options() },
            rng: Rng::new(seed),
            hubs: [Hub::default(), Hub::default()],
            committed: BTreeMap::new(),
            buffered: BTreeMap::new(),
            counted: 0,
            appended: 0,
            ledgers: Vec::new(),
            last_ledger: None,
        }
    }

    /// Opens after a restart and checks what came back.
    fn reopen(&mut self) -> Option<Journal<ModelDisk>> {
        let (journal, recovery) = match Journal::open(self.disk.clone(), self.options.clone(), STAMP) {
            Ok(opened) => opened,
            Err(error) => {
                assert!(self.disk.is_dead(), "recovery failed: {error}");
                return None;
            }
        };
        assert_eq!(recovery.corrupt, [], "a crash never damages what was committed");
        let ledger = super::ledger(&recovery).map(|ledger| u64::from_le_bytes(ledger.try_into().unwrap()));
        assert!(
            ledger == self.last_ledger || ledger.is_some_and(|ledger| self.ledgers.contains(&ledger)),
            "ledger {ledger:?}, committed was {:?}, tried were {:?}",
            self.last_ledger,
            self.ledgers
        );
        // P1: ledger and what it does not know of add up to what is there.
        let held: u64 = Lane::ALL.iter().map(|lane| journal.lane(*lane).records()).sum();
        let after: u64 = recovery.unbooked.iter().map(|after| after.records).sum();
        if let Some(ledger) = ledger {
            assert_eq!(ledger + after, held);
        }
        self.counted = held;
        self.last_ledger = ledger;
        self.ledgers.clear();
        for lane in Lane::ALL.map(|lane| journal.lane(lane)) {
            for (kept, text) in std::mem::take(&mut self.buffered) {
                // What had not been committed is there as a whole prefix or not at all; its numbers are free then.
                if kept.0 == lane.lane() && kept.1 < lane.synced().next {
                    self.committed.insert(kept, text);
                } else if kept.0 != lane.lane() {
                    self.buffered.insert(kept, text);
                }
            }
            let known = self.committed.range((lane.lane(), 0)..=(lane.lane(), u64::MAX)).next_back();
            assert!(known.is_none_or(|((_, seq), _)| *seq < lane.synced().next), "a committed sequence is free again");
        }
        self.buffered.clear();
        Some(journal)
    }

    fn fail(&self, what: &str, error: &JournalError, may_fail: bool) -> bool {
        assert!(may_fail || self.disk.is_dead(), "{what}: {error}");
        true
    }

    /// One step of the workload. `true` when the disk refused.
    fn step(&mut self, journal: &mut Journal<ModelDisk>, may_fail: bool) -> bool {
        match self.rng.below(20) {
            0..10 => {
                let lane = Lane::ALL[self.rng.below(6) as usize];
                let len = if self.rng.percent(3) { 70_000 } else { 20 + self.rng.below(3000) };
                let text = body(&format!("{} {}", self.appended, noise(self.appended, len as usize)));
                self.appended += 1;
                match journal.append(lane, &text, meta(2), STAMP) {
                    Ok(seq) => {
                        self.counted += 2;
                        let fresh = !self.committed.contains_key(&(lane, seq));
                        assert!(fresh, "lane {lane}: sequence {seq} was given out again");
                        assert!(self.buffered.insert((lane, seq), text).is_none());
                        false
                    }
                    Err(crate::AppendError::Journal(error)) => self.fail("append", &error, may_fail),
                    Err(error) => panic!("append: {error}"),
                }
            }
            10..14 => {
                let ledger = self.counted;
                self.ledgers.push(ledger);
                match journal.commit(STAMP, &[Attachment::ledger(&ledger.to_le_bytes())]) {
                    Ok(_) => {
                        self.committed.append(&mut self.buffered);
                        self.last_ledger = Some(ledger);
                        self.ledgers.clear();
                        false
                    }
                    Err(error) => self.fail("commit", &error, may_fail),
                }
            }
            14..18 => {
                let destination = self.rng.below(2) as usize;
                let mut blocks: Vec<StoredBlock> = Vec::new();
                let max = self.rng.below(60_000) as usize;
                if let Err(error) = journal.next_blocks(destination, max, &mut blocks) {
                    self.fail("next", &error, may_fail);
                }
                for block in &blocks {
                    // A dead disk reads nothing: what came out was read before.
                    self.hubs[destination].take(block);
                    for seq in block.first..=block.last {
                        assert!(
                            self.committed.contains_key(&(block.lane, seq)),
                            "{} {seq} was sent unsynced",
                            block.lane
                        );
                    }
                    if self.rng.percent(80) {
                        let confirmed = journal.confirm(destination, block.lane, block.first, block.last);
                        if let Err(error) = confirmed {
                            self.fail("confirm", &error, may_fail);
                        }
                    }
                }
                if self.rng.percent(50) {
                    journal.rewind(destination);
                }
                false
            }
            18 => journal.sync_cursors().is_err_and(|error| self.fail("cursors", &error, may_fail)),
            _ => {
                journal.stats();
                let destination = self.rng.below(2) as usize;
                journal.depth(destination).is_err_and(|error| self.fail("depth", &error, may_fail))
            }
        }
    }

    /// Drains both destinations and checks every promise.
    fn settle(&mut self, journal: &mut Journal<ModelDisk>) {
        journal.commit(STAMP, &[]).unwrap();
        self.committed.append(&mut self.buffered);
        for destination in 0..2 {
            journal.rewind(destination);
            drain(journal, destination, &mut self.hubs[destination]);
            assert_eq!(journal.depth(destination).unwrap(), crate::Depth::default());
            let hub = &self.hubs[destination];
            for ((lane, seq), text) in &self.committed {
                assert!(hub.has(*lane, *seq, text), "lane {lane} sequence {seq} was committed and did not come");
            }
            assert_eq!(hub.gaps, []);
            assert_eq!(hub.frames.len(), self.committed.len(), "nothing came that was not committed");
        }
        assert_eq!(journal.take_lost(), []);
        assert_eq!(journal.stats().corrupt_blocks, 0);
    }
}

/// Says which seed a failing run had.
fn with_seed(seed: u64, cut: u64, run: impl FnOnce() + std::panic::UnwindSafe) {
    if let Err(panic) = std::panic::catch_unwind(run) {
        eprintln!("failing seed: {seed}, cut: {cut}");
        std::panic::resume_unwind(panic);
    }
}

fn run_with_one_cut(seed: u64, cut: u64) -> bool {
    let mut world = World::new(seed);
    let (mut journal, _) = open(&world.disk, &world.options);
    world.disk.cut_after(cut);
    for _ in 0..60 {
        if world.step(&mut journal, false) || world.disk.is_dead() {
            break;
        }
    }
    let dead = world.disk.is_dead();
    drop(journal);
    let mut rng = world.rng.clone();
    world.disk.power_cycle(&mut rng);
    let mut journal = world.reopen().expect("the power stays on");
    world.settle(&mut journal);
    dead
}

/// Scenario: a seeded workload of two destinations with a power cut at every single operation of it; unsynced sectors and
/// names are kept or lost by rng. Guarantees: recovery ends, everything committed is delivered, nothing unsynced was
/// sent, no sequence is used twice, the ledger adds up (P1, P2, P3, P8).
#[test]
fn a_power_cut_at_every_operation() {
    for seed in 0..4 {
        for cut in 0.. {
            let mut reached = true;
            with_seed(seed, cut, std::panic::AssertUnwindSafe(|| reached = run_with_one_cut(seed, cut)));
            if !reached {
                assert!(cut > 50, "seed {seed} has only {cut} operations");
                break;
            }
        }
    }
}

/// Scenario: the power fails at every operation of recovery itself, again and again. Guarantees: recovery ends at last,
/// and nothing committed is lost by it.
#[test]
fn a_power_cut_during_recovery() {
    for seed in 0..40 {
        with_seed(
            seed,
            0,
            std::panic::AssertUnwindSafe(|| {
                let mut world = World::new(1000 + seed);
                let (mut journal, _) = open(&world.disk, &world.options);
                let cut = 40 + world.rng.below(120);
                world.disk.cut_after(cut);
                while !world.step(&mut journal, false) && !world.disk.is_dead() {}
                drop(journal);
                let mut rng = world.rng.clone();
                world.disk.power_cycle(&mut rng);
                for cut in 0.. {
                    world.disk.cut_after(cut);
                    match world.reopen() {
                        Some(journal) if !world.disk.is_dead() => {
                            drop(journal);
                            break;
                        }
                        _ => world.disk.power_cycle(&mut rng),
                    }
                }
                world.disk.kill();
                let mut journal = world.reopen().expect("the power stays on");
                world.settle(&mut journal);
            }),
        );
    }
}

/// Scenario: long runs with several cuts and kills, and syncs that fail now and then (a failed sync loses what it should
/// have written, and looks fine afterwards). Guarantees: as for a single cut.
#[test]
fn many_cuts_kills_and_failing_syncs() {
    let (mut cuts, mut failures) = (0, 0);
    for seed in 0..120 {
        with_seed(
            seed,
            0,
            std::panic::AssertUnwindSafe(|| {
                let mut world = World::new(5000 + seed);
                for _ in 0..4 {
                    let Some(mut journal) = world.reopen() else { unreachable!("the power is on") };
                    let cut = 20 + world.rng.below(200);
                    world.disk.cut_after(cut);
                    let faulty = seed % 2 == 1;
                    for _ in 0..80 {
                        if faulty && world.rng.percent(5) {
                            let later = world.rng.below(4);
                            world.disk.fail_sync_after(later);
                            failures += 1;
                        }
                        world.step(&mut journal, faulty);
                        if world.disk.is_dead() {
                            break;
                        }
                    }
                    cuts += u32::from(world.disk.is_dead());
                    drop(journal);
                    let mut rng = world.rng.clone();
                    if world.rng.percent(70) {
                        world.disk.power_cycle(&mut rng);
                    } else {
                        world.disk.kill();
                    }
                }
                world.disk.clear_faults();
                let mut journal = world.reopen().expect("the power stays on");
                world.settle(&mut journal);
            }),
        );
    }
    assert!(cuts > 150 && failures > 150, "{cuts} cuts, {failures} failing syncs");
}

/// Scenario: a commit writes two blocks of a lane, and the power cut tears the first and spares the second. Guarantees: the
/// unfinished commit is cut as a whole, nothing of it counts as a loss, and its sequences are given out again (they were
/// never sent).
#[test]
fn a_tear_before_an_intact_block() {
    let mut tears = 0;
    for seed in 0..60 {
        let disk = disk_of_epoch(seed);
        let (mut journal, _) = open(&disk, &options());
        let first = body("first");
        journal.append(Lane::Logs, &first, meta(1), STAMP).unwrap();
        journal.commit(STAMP, &[Attachment::ledger(b"1")]).unwrap();
        let texts = [body(&noise(seed, 15_000)), body("small")];
        for text in &texts {
            journal.append(Lane::Logs, text, meta(1), STAMP).unwrap();
            journal.close_block(Lane::Logs).unwrap();
        }
        // The write happens, the sync does not.
        disk.cut_after(1);
        journal.commit(STAMP, &[Attachment::ledger(b"3")]).unwrap_err();
        drop(journal);
        disk.power_cycle(&mut Rng::new(seed));
        let (mut journal, recovery) = open(&disk, &options());
        assert_eq!(recovery.corrupt, [], "seed {seed}");
        assert_eq!(super::ledger(&recovery), Some(&b"1"[..]));
        tears += recovery.torn.len();
        let again = body(&noise(seed, 100));
        assert_eq!(journal.append(Lane::Logs, &again, meta(1), STAMP).unwrap(), 2);
        let mut hub = Hub::default();
        drain(&mut journal, 0, &mut hub);
        assert!(hub.has(Lane::Logs, 1, &first) && hub.has(Lane::Logs, 2, &again) && hub.gaps.is_empty());
    }
    assert!(tears > 50, "{tears}");
}
