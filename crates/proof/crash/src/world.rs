//! One seeded run: producers, the assembled edge on the model disk, two model destinations, and faults.

mod faults;
mod meeting;
mod storage;

use std::collections::BTreeSet;

use disk::model::{ModelDisk, Rng};
use drain::Range;
use edge::{DiskState, StorageOptions};
use journal::set_epoch;
use model::{Answer, Epoch, Lane, Request, Stamp};
use pipeline::{Batch, Pipeline};
use recorder::Content;
use sampling::{Policy, PolicyRule, STATUS_MASK_ERROR, Sampler};

use crate::hub::Hub;
use crate::plan::{Plan, Planned, START_NS, numbers};
use crate::report::Counts;

pub(crate) const SECOND: u64 = 1_000_000_000;
/// Length of a step to which points are thinned.
const THIN_NS: u64 = 5 * SECOND;
pub(crate) const DESTINATIONS: [&str; 2] = ["hub", "other"];

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Received,
    Written,
    Durable,
}

/// How a run is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) seed: u64,
    /// Steps of the workload before everything is settled.
    pub(crate) steps: u64,
    /// Whether to note every step.
    pub(crate) trace: bool,
}

/// A run that is going on.
pub(crate) struct World {
    pub(crate) setting: Setting,
    pub(crate) rng: Rng,
    pub(crate) disk: ModelDisk,
    pub(crate) options: StorageOptions,
    pub(crate) level: Level,
    pub(crate) bulk: u64,
    pub(crate) now_ns: u64,
    pub(crate) plan: Plan,
    pub(crate) hubs: [Hub; 2],
    pub(crate) up: Option<(DiskState<ModelDisk>, Pipeline)>,
    /// Until so many steps are done, no destination can be reached.
    link_up_at: u64,
    /// Records in frames that were handed to the journal and not committed.
    pub(crate) handed: BTreeSet<u64>,
    /// Requests whose answer was lost or that were told to wait.
    pub(crate) again: Vec<Planned>,
    /// What was sent and is not answered yet, with whether the destination has it.
    pub(crate) in_flight: [Option<(Vec<Range>, bool)>; 2],
    pub(crate) old_copy: Option<ModelDisk>,
    pub(crate) old_copy_is_back: bool,
    /// Syncs that had failed when the program started.
    pub(crate) failed_syncs: u64,
    /// A flipped bit or an old copy may cost what was not committed, and let things come twice.
    pub(crate) damaged: bool,
    /// Bytes were flipped in the lanes.
    pub(crate) flipped_lanes: bool,
    /// Somebody removed files.
    pub(crate) vanished: bool,
    pub(crate) filled: bool,
    /// The disk or a budget was full once: what found room may be committed without the books, and come twice after a crash.
    pub(crate) was_full: bool,
    pub(crate) cuts: u64,
    pub(crate) counts: Counts,
    pub(crate) log: Vec<String>,
}

pub(crate) type Check = Result<(), String>;

impl World {
    pub(crate) fn new(setting: Setting) -> Self {
        let mut rng = Rng::new(setting.seed.wrapping_add(1));
        let level = [Level::Received, Level::Written, Level::Durable][rng.below(3) as usize];
        let small = rng.percent(35);
        // In one seed of three nothing is delivered for a long time, and metrics have little room: they are thinned.
        let long_outage = setting.seed.is_multiple_of(3);
        let history_bytes = if rng.percent(50) { 128 << 10 } else { 0 };
        let options = storage::options(&setting, level, small, long_outage, history_bytes);
        let disk = ModelDisk::new();
        let set = set_epoch(&disk, Epoch(rng.bits() | 1));
        debug_assert!(set.is_ok(), "an empty disk takes a file");
        if rng.percent(25) {
            disk.set_short_reads(2 + rng.below(9));
        }
        Self {
            setting,
            disk,
            options,
            level,
            bulk: if small || long_outage { 6000 } else { 600 },
            link_up_at: if long_outage { setting.steps * 2 / 3 } else { 0 },
            now_ns: SECOND,
            plan: Plan::default(),
            hubs: Default::default(),
            up: None,
            handed: BTreeSet::new(),
            again: Vec::new(),
            in_flight: [None, None],
            old_copy: None,
            old_copy_is_back: false,
            failed_syncs: 0,
            damaged: false,
            flipped_lanes: false,
            vanished: false,
            filled: false,
            was_full: false,
            cuts: 0,
            counts: Counts::default(),
            log: Vec::new(),
            rng,
        }
    }

    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        if self.setting.trace {
            let line = format!("{:>6.2} s  {}", self.now_ns as f64 / SECOND as f64, what());
            self.log.push(line);
        }
    }

    pub(crate) fn stamp(&self) -> Stamp {
        let wall_ns = START_NS + self.now_ns;
        Stamp {
            boot_id: u128::from(self.cuts).to_le_bytes(),
            uptime_ns: self.now_ns,
            wall_ns,
            synchronised: self.is_synchronised(),
        }
    }

    /// The clock is not synchronised in one seed of four, so in a quarter of those with an age as well.
    fn is_synchronised(&self) -> bool {
        self.setting.seed % 4 != 2
    }

    /// Whether something may be given up for all destinations: because of its age, because the disk was full, or because the link
    /// was down for long.
    pub(crate) fn may_evict(&self) -> bool {
        self.was_full || self.is_small() || self.link_up_at > 0 || self.has_ages() && self.is_synchronised()
    }

    /// Whether lanes have an age.
    pub(crate) fn has_ages(&self) -> bool {
        storage::lane_ages(self.setting.seed) != [u64::MAX; 6]
    }

    /// Whether the disk is so small that lanes have to yield.
    pub(crate) fn is_small(&self) -> bool {
        self.options.journal.total_bytes < 1 << 20
    }

    /// Runs all of it.
    pub(crate) fn run(&mut self) -> Check {
        self.start()?;
        let every = (self.setting.steps / 5).max(1);
        for step in 0..self.setting.steps {
            self.counts.operations += 1;
            self.step()?;
            if (step + 1) % every == 0 && self.cuts < 4 {
                self.cut_power()?;
            } else if self.disk.is_dead() {
                self.power_lost()?;
            } else if self.rng.percent(1) {
                self.kill()?;
            }
        }
        self.settle()
    }

    fn pipeline(ledger: ledger::Ledger) -> Pipeline {
        let rule = PolicyRule::Status(STATUS_MASK_ERROR);
        let policies = vec![Policy { name: "errors".into(), rule }];
        let options = sampling::Options {
            policies,
            decision_wait_ns: 2 * SECOND,
            log_wait_ns: 4 * SECOND,
            remember_ns: 3600 * SECOND,
            memory: 1 << 20,
            ..sampling::Options::default()
        };
        Pipeline::new(1 << 20, Sampler::new(options), None, ledger)
    }

    /// Starts the program; recovery has to end whatever the disk holds.
    pub(crate) fn start(&mut self) -> Check {
        loop {
            let stamp = self.stamp();
            let failed_syncs = self.disk.faults().failed_syncs;
            let opened = DiskState::open(self.disk.clone(), &self.options, stamp, self.now_ns, Self::pipeline);
            let opened = match opened {
                Ok(opened) => opened,
                Err(_) if self.disk.is_dead() => {
                    self.power_cycle();
                    continue;
                }
                // The supervisor starts it again.
                Err(_) if self.disk.faults().failed_syncs > failed_syncs => continue,
                Err(error) if self.filled => {
                    // A full disk may keep it from starting; somebody makes room.
                    self.note(|| format!("cannot start: {error}; the disk gets room"));
                    self.disk.set_capacity(None);
                    self.filled = false;
                    continue;
                }
                Err(error) => return Err(format!("recovery failed: {error}")),
            };
            self.note(|| {
                let recovery = &opened.recovery;
                format!(
                    "started: {} frames, {} torn, {} corrupt, {:?}",
                    recovery.frames,
                    recovery.torn.len(),
                    recovery.corrupt.len(),
                    opened.resumed
                )
            });
            if !opened.recovery.corrupt.is_empty() && !self.flipped_lanes && !self.damaged {
                return Err(format!("a crash damaged what was committed: {:?}", opened.recovery.corrupt));
            }
            self.counts.found_missing += opened.recovery.missing.len() as u64;
            if !opened.recovery.missing.is_empty() && !self.vanished && !self.damaged {
                return Err(format!("what the journal removed itself is missed: {:?}", opened.recovery.missing));
            }
            if opened.resumed.damaged > 0 && !self.damaged && self.level == Level::Durable {
                return Err("a crash damaged what was recorded durably".into());
            }
            let mut state = opened.disk;
            state.thin_to(THIN_NS);
            self.up = Some((state, opened.pipeline));
            self.in_flight = [None, None];
            self.failed_syncs = self.disk.faults().failed_syncs;
            self.handed.clear();
            self.commit_all();
            self.balance("after a start")?;
            for destination in 0..2 {
                self.hello(destination)?;
            }
            return Ok(());
        }
    }

    pub(crate) fn balance(&mut self, when: &str) -> Check {
        if self.flipped_lanes || self.damaged {
            // Looking finds what is unreadable, one place after the other, and the next commit books it.
            let mut before = None;
            loop {
                let found = self.up.as_mut().map(|(disk_state, _)| disk_state.status().depths);
                if found == before {
                    break;
                }
                before = found;
                self.commit_all();
            }
        }
        let Some((disk_state, pipeline)) = &mut self.up else { return Ok(()) };
        if self.disk.is_dead() {
            return Ok(());
        }
        let state = disk_state.status();
        for (ranges, _) in self.in_flight.iter().flatten() {
            for range in ranges {
                let oldest = state.heads.iter().find(|head| head.lane == range.lane).map_or(1, |head| head.oldest);
                if oldest > range.first {
                    return Err(format!("{when} {} {} is gone while it is on its way", range.lane, range.first));
                }
            }
        }
        let depths = state.depths;
        let queued = |name: &str| {
            let position = DESTINATIONS.iter().position(|one| *one == name).unwrap_or_default();
            depths.get(position).map_or(0, |depth| depth.records)
        };
        match pipeline.ledger().difference(queued) {
            0 => self.delivered_came(when),
            difference => Err(format!("{when} the books miss by {difference}: {:?}, {depths:?}", pipeline.ledger())),
        }
    }

    fn step(&mut self) -> Check {
        self.now_ns += self.rng.below(400) * 1_000_000;
        match self.rng.below(100) {
            // On a small disk producers are faster than destinations.
            68..82 if self.bulk > 1000 => self.send(),
            0..42 => self.send(),
            42..52 => {
                let now = self.now_ns;
                if let Some((_, pipeline)) = &mut self.up {
                    pipeline.tick(now);
                }
                Ok(())
            }
            52..68 => self.commit(),
            68..88 => {
                let destination = self.rng.below(2) as usize;
                self.deliver(destination)
            }
            88..90 => {
                if let Some((disk_state, _)) = &mut self.up {
                    // Cursors that are not written mean that blocks are sent twice.
                    let _later = disk_state.sync_cursors();
                }
                Ok(())
            }
            90..92 => {
                let destination = self.rng.below(2) as usize;
                self.hello(destination)
            }
            92..94 => {
                let hub = self.rng.below(2) as usize;
                if self.rng.percent(60) {
                    self.hubs[hub].back_up();
                } else if self.hubs[hub].restore() {
                    self.counts.hub_restores += 1;
                    self.note(|| format!("hub {hub} comes back from its backup"));
                    self.hello(hub)?;
                }
                Ok(())
            }
            94..96 => {
                let later = self.rng.below(3);
                self.disk.fail_sync_after(later);
                self.note(|| format!("the sync after {later} more will fail"));
                Ok(())
            }
            96 => {
                let room = self.rng.below(60_000);
                self.disk.set_capacity(Some(self.disk.used() + room));
                self.filled = true;
                self.was_full = true;
                self.note(|| format!("the disk is full but for {room} bytes"));
                Ok(())
            }
            97 => {
                self.disk.set_capacity(None);
                self.filled = false;
                Ok(())
            }
            _ => {
                if self.rng.percent(5) {
                    return self.lose_place();
                }
                if self.rng.percent(10) {
                    self.old_copy = Some(self.disk.fork());
                }
                Ok(())
            }
        }
    }

    /// A producer sends; what was told to wait or got no answer comes first.
    pub(crate) fn send(&mut self) -> Check {
        if !self.again.is_empty() && self.rng.percent(70) {
            return self.send_again();
        }
        let planned = self.plan.request(&mut self.rng, START_NS + self.now_ns, self.bulk);
        self.give(planned)
    }

    /// A producer sends again what was not answered.
    pub(crate) fn send_again(&mut self) -> Check {
        let position = self.rng.below(self.again.len() as u64) as usize;
        let planned = self.again.remove(position);
        self.give(planned)
    }

    pub(crate) fn give(&mut self, planned: Planned) -> Check {
        let (now, level) = (self.now_ns, self.level);
        let Some((disk_state, pipeline)) = &mut self.up else { return Ok(()) };
        let request =
            Request { signal: planned.signal, body: planned.body.clone(), key: Some(planned.key.clone().into()) };
        let answer = match level {
            Level::Received => pipeline.accept(request, now),
            _ => match pipeline.admit(request, now) {
                Err(answer) => answer,
                Ok(admitted) => {
                    let admitted = pipeline.compress(admitted);
                    debug_assert_eq!(admitted.recording().content, Content::Request(planned.signal));
                    match disk_state.record(&[admitted.recording()], START_NS + now, level == Level::Durable) {
                        Ok(sequence) => pipeline.take(admitted, Some(sequence), now).answer,
                        Err(_) => pipeline.refuse(&admitted),
                    }
                }
            },
        };
        match answer {
            Answer::Accepted => {
                for number in &planned.records {
                    let forgotten = self.plan.forgotten;
                    let record = &mut self.plan.records[*number as usize];
                    record.answered = true;
                    record.may_be_lost |= record.trace.is_some_and(|trace| trace <= forgotten);
                }
                self.note(|| format!("request {:?} of records {:?} answered", planned.signal, planned.records));
                Ok(())
            }
            Answer::Wait(_) => {
                self.note(|| format!("request of records {:?} told to wait", planned.records));
                self.plan.unanswered(&planned);
                self.again.push(planned);
                Ok(())
            }
            other => Err(format!("a good request was refused: {other:?}")),
        }
    }

    pub(crate) fn commit(&mut self) -> Check {
        self.commit_all();
        self.balance("after a commit")
    }

    /// Everything that is ready goes to the journal, books and decisions with it.
    pub(crate) fn commit_all(&mut self) {
        let (stamp, now) = (self.stamp(), self.now_ns);
        let Some((disk_state, pipeline)) = &mut self.up else { return };
        let batches = pipeline.take_batches();
        let attachment = pipeline.attachment(now);
        let records = |batch: &Batch| {
            let sections = wire::decode_body(&batch.body).unwrap_or_default();
            numbers(|each| wire::each_token_of_body(&batch.body, each).unwrap_or_default(), &sections)
        };
        let mut handed: BTreeSet<u64> = batches.iter().flat_map(records).collect();
        let thinned = disk_state.thinned();
        let committed = disk_state.commit(batches, stamp, &attachment);
        let thinned = disk_state.thinned() - thinned;
        self.counts.thinned_points += thinned;
        for lost in &committed.lost {
            pipeline.books_mut().lost(DESTINATIONS[lost.destination], lost.records);
        }
        for batch in &committed.left {
            for number in records(batch) {
                handed.remove(&number);
            }
        }
        let is_full = committed.error.as_ref().is_some_and(|error| error.contains("find room"));
        self.was_full |= is_full || !committed.left.is_empty();
        self.handed.append(&mut handed);
        let failed = committed.error.clone();
        if failed.is_none() {
            pipeline.committed(&attachment);
            for number in std::mem::take(&mut self.handed) {
                self.plan.records[number as usize].committed = true;
            }
        }
        pipeline.put_back(committed.left);
        self.note(|| format!("commit: {}, {thinned} points thinned out", failed.as_deref().unwrap_or("done")));
    }

    /// A turn of a drain: blocks out, an answer or none, confirmations in.
    pub(crate) fn deliver(&mut self, destination: usize) -> Check {
        if self.counts.operations < self.link_up_at {
            return Ok(());
        }
        let most = 1 + self.rng.below(60_000) as usize;
        let Some((disk_state, pipeline)) = &mut self.up else { return Ok(()) };
        if let Some((ranges, stored)) = self.in_flight[destination].take() {
            if stored {
                let (records, _) = disk_state.confirm(destination, &ranges);
                pipeline.books_mut().confirmed(DESTINATIONS[destination], records, 0, 0);
            } else {
                disk_state.rewind(destination);
            }
            self.note(|| format!("an answer of {}: {stored}", DESTINATIONS[destination]));
            return self.balance("after an answer");
        }
        let Ok(blocks) = disk_state.next_blocks(destination, most) else { return Ok(()) };
        let epoch = disk_state.status().epoch;
        let outcome = self.rng.below(10);
        let mut ranges = Vec::new();
        if outcome < 3 && !blocks.is_empty() {
            // The answer takes its time; it may say that nothing was stored.
            let stored = outcome == 0;
            for block in &blocks {
                if stored && let Err(why) = self.hubs[destination].store(epoch, block) {
                    return self.quarantined(why);
                }
                ranges.push(Range { lane: block.lane, first: block.first, last: block.last });
            }
            self.in_flight[destination] = Some((ranges, stored));
            self.note(|| format!("{} blocks are on their way to {}", blocks.len(), DESTINATIONS[destination]));
            return Ok(());
        }
        for block in &blocks {
            // The hub answers for what is durable there; it may lose its power before that, or its answer may be lost.
            if outcome == 9 && self.rng.percent(50) {
                continue;
            }
            if let Err(why) = self.hubs[destination].store(epoch, block) {
                return self.quarantined(why);
            }
            ranges.push(Range { lane: block.lane, first: block.first, last: block.last });
        }
        self.counts.hub_failures += u64::from(outcome >= 8 && !blocks.is_empty());
        if outcome < 8 {
            let (records, _) = disk_state.confirm(destination, &ranges);
            pipeline.books_mut().confirmed(DESTINATIONS[destination], records, 0, 0);
        } else {
            disk_state.rewind(destination);
        }
        self.note(|| {
            let sent: Vec<String> =
                blocks.iter().map(|one| format!("{} {}-{}", one.lane, one.first, one.last)).collect();
            format!(
                "to {}: {} {}",
                DESTINATIONS[destination],
                sent.join(", "),
                if outcome < 8 { "" } else { "(no answer)" }
            )
        });
        self.balance("after a delivery")
    }

    /// The hub found other content under an identity and keeps both. That happens only when a device wrote on an old copy of
    /// its directory before it could ask.
    fn quarantined(&mut self, why: String) -> Check {
        if !self.old_copy_is_back {
            return Err(why);
        }
        self.counts.quarantined += 1;
        self.new_epoch()
    }

    /// What device and hub say to each other when they meet.
    pub(crate) fn hello(&mut self, destination: usize) -> Check {
        let Some((disk_state, pipeline)) = &mut self.up else { return Ok(()) };
        if self.disk.is_dead() || self.in_flight[destination].is_some() {
            return Ok(());
        }
        let state = disk_state.status();
        let hub = &self.hubs[destination];
        let next = |lane: Lane| state.heads.iter().find(|head| head.lane == lane).map_or(1, |head| head.next);
        if Lane::ALL.iter().any(|lane| hub.highest(state.epoch, *lane) > next(*lane)) {
            if self.old_copy_is_back {
                return self.new_epoch();
            }
            return Err(format!("the hub has more of {} than was committed: {:?}", state.epoch, state.heads));
        }
        let mut again = 0;
        for head in &state.heads {
            let expected = hub.next_expected(state.epoch, head.lane);
            again += disk_state.replay(destination, head.lane, expected).unwrap_or(0);
        }
        pipeline.books_mut().queued_again(DESTINATIONS[destination], again);
        self.skip(destination);
        self.note(|| {
            let heads: Vec<String> =
                state.heads.iter().map(|head| format!("{} {}..{}", head.lane, head.oldest, head.next)).collect();
            format!("hello to {}: {again} records again; {}", DESTINATIONS[destination], heads.join(", "))
        });
        self.balance("after a hello")
    }
}

impl World {
    /// Delivers with an answer to everything; false when there was nothing.
    pub(crate) fn drain(&mut self, destination: usize) -> Result<bool, String> {
        let Some((disk_state, pipeline)) = &mut self.up else { return Ok(false) };
        disk_state.rewind(destination);
        let blocks = disk_state.next_blocks(destination, 64 << 10).map_err(|error| format!("at the end: {error}"))?;
        let epoch = disk_state.status().epoch;
        let mut ranges = Vec::new();
        for block in &blocks {
            if let Err(why) = self.hubs[destination].store(epoch, block) {
                self.quarantined(why)?;
                return Ok(true);
            }
            ranges.push(Range { lane: block.lane, first: block.first, last: block.last });
        }
        let (records, _) = disk_state.confirm(destination, &ranges);
        pipeline.books_mut().confirmed(DESTINATIONS[destination], records, 0, 0);
        let left = disk_state.status().depths[destination];
        self.note(|| format!("drained {} blocks to {}, {left:?} left", blocks.len(), DESTINATIONS[destination]));
        Ok(!blocks.is_empty())
    }
}
