//! What happens to the machine: power cuts, kills, flipped bits, an old copy of the directory.

use std::collections::BTreeSet;

use disk::model::Rng;
use model::Epoch;

use super::{Check, Level, World};

impl World {
    /// What is not as safe as its level says yet goes with the program, and with the power.
    pub(crate) fn put_at_risk(&mut self, power: bool) {
        let at_risk = match self.level {
            Level::Received => true,
            // A sync that fails may lose what was only written, though the program goes on to see it.
            Level::Written => power || self.damaged || self.disk.faults().failed_syncs > self.failed_syncs,
            Level::Durable => self.damaged,
        };
        // Keys that are held in memory only are forgotten: what comes again is new.
        let forgets = self.level == Level::Received || self.damaged || power && self.level == Level::Written;
        for record in &mut self.plan.records {
            if record.answered && !record.committed && at_risk {
                record.may_be_lost = true;
            }
            record.may_be_twice |= forgets && !record.committed;
        }
        if self.level == Level::Received {
            self.plan.forget();
        }
    }

    /// The power fails a few operations later, in the middle of whatever happens then.
    pub(crate) fn cut_power(&mut self) -> Check {
        self.disk.cut_after(self.rng.below(12));
        self.note(|| "the power is about to fail".into());
        for _ in 0..20 {
            if self.disk.is_dead() {
                break;
            }
            match self.rng.below(4) {
                0 => self.deliver(0)?,
                1 => self.commit()?,
                2 => {
                    self.now_ns += 300_000_000;
                    let now = self.now_ns;
                    if let Some((_, pipeline)) = &mut self.up {
                        pipeline.tick(now);
                    }
                }
                _ => self.send()?,
            }
        }
        self.power_lost()
    }

    pub(crate) fn power_lost(&mut self) -> Check {
        self.up = None;
        self.put_at_risk(true);
        self.power_cycle();
        self.misfortune();
        // The next cut may come while it recovers.
        if self.rng.percent(30) {
            self.disk.cut_after(self.rng.below(25));
        }
        self.start()
    }

    pub(crate) fn power_cycle(&mut self) {
        self.cuts += 1;
        self.counts.power_cuts += 1;
        let mut rng = Rng::new(self.rng.bits());
        self.disk.power_cycle(&mut rng);
        self.note(|| "the power comes back".into());
    }

    /// The program is killed; the power stays on.
    pub(crate) fn kill(&mut self) -> Check {
        self.up = None;
        self.put_at_risk(false);
        self.disk.kill();
        // The disk goes on to work: what is written is lost only when it does not.
        self.disk.clear_faults();
        self.counts.kills += 1;
        self.note(|| "the program is killed".into());
        if self.rng.percent(20) && !self.damaged {
            self.vanish();
        }
        self.start()
    }

    /// Now and then a bit flips while the power is off, or an old copy of the directory is put back.
    fn misfortune(&mut self) {
        // A note that is damaged at the same time says nothing of what should be there.
        if self.rng.percent(15) && !self.damaged && self.vanish() {
            return;
        }
        if self.rng.percent(12) {
            self.flip();
        }
        if self.rng.percent(40)
            && let Some(copy) = self.old_copy.take()
        {
            self.disk.become_copy(&copy);
            self.counts.old_copies += 1;
            self.old_copy_is_back = true;
            // Everything since then is gone from the device; what it still holds may have been delivered before.
            self.damaged = true;
            self.plan.records.iter_mut().for_each(|record| {
                record.may_be_lost |= record.answered;
                record.may_be_twice = true;
            });
            self.plan.forget();
            self.note(|| "an old copy of the directory is put back".into());
        }
    }

    fn flip(&mut self) {
        let paths: Vec<String> =
            self.disk.paths().into_iter().filter(|path| self.disk.len_of(path).is_some_and(|len| len > 0)).collect();
        let Some(path) = paths.get(self.rng.below(paths.len() as u64) as usize) else { return };
        let offset = self.rng.below(self.disk.len_of(path).unwrap_or(1));
        self.disk.flip(path, offset, 1 << self.rng.below(8));
        self.counts.flipped_bits += 1;
        self.note(|| format!("a bit flips in {path} at byte {offset}"));
        if path.starts_with("lanes/") {
            self.flipped_lanes = true;
        } else if !path.starts_with("cursors/") {
            // What was recorded or decided may be gone; a note that is lost lets things come twice.
            self.damaged = true;
            self.plan.forget();
            for record in &mut self.plan.records {
                record.may_be_lost |= record.answered && !record.committed;
                record.may_be_twice = true;
            }
        }
    }

    /// The hub said that this directory was copied or put back: a new epoch begins in it, whatever happens meanwhile.
    pub(crate) fn new_epoch(&mut self) -> Check {
        self.up = None;
        self.counts.new_epochs += 1;
        self.note(|| "the hub has more than the device ever gave out: a new epoch begins".into());
        self.old_copy_is_back = false;
        self.plan.forget();
        for record in &mut self.plan.records {
            record.may_be_lost |= record.answered;
            record.may_be_twice = true;
        }
        // The next cut may come while it goes on.
        if self.rng.percent(30) {
            self.disk.cut_after(self.rng.below(80));
        }
        loop {
            let failed_syncs = self.disk.faults().failed_syncs;
            match edge::renew(&self.disk, &self.options, self.stamp(), Epoch(self.rng.bits() | 1)) {
                Ok(_) => return self.start(),
                Err(_) if self.disk.is_dead() => self.power_cycle(),
                Err(_) if self.disk.faults().failed_syncs > failed_syncs => {}
                Err(_) if self.filled => {
                    self.disk.set_capacity(None);
                    self.filled = false;
                }
                Err(error) => return Err(format!("no new epoch: {error}")),
            }
        }
    }

    /// No more faults: everything is decided, committed and delivered; then every promise is checked.
    pub(crate) fn settle(&mut self) -> Check {
        self.disk.set_capacity(None);
        self.disk.clear_faults();
        self.disk.set_short_reads(0);
        self.filled = false;
        if self.disk.is_dead() {
            self.power_lost()?;
            self.disk.clear_faults();
            if self.disk.is_dead() {
                self.power_cycle();
                self.start()?;
            }
        }
        self.note(|| "settling".into());
        while let Some(planned) = self.again.pop() {
            // Producers go on until they are answered.
            self.again.push(planned);
            let before = self.again.len();
            self.now_ns += 500_000_000;
            self.send_again()?;
            if self.again.len() >= before {
                self.tick_and_commit()?;
            }
        }
        for _ in 0..4 {
            self.now_ns += 5_000_000_000;
            self.tick_and_commit()?;
        }
        for destination in 0..2 {
            if self.in_flight[destination].is_some() {
                self.deliver(destination)?;
            }
        }
        // What a flipped gap record told is told at the hello after those before it came.
        for _ in 0..3 {
            for destination in 0..2 {
                self.hello(destination)?;
            }
            self.drain_all()?;
        }
        self.balance("at the end")?;
        self.counts.add_disk(&self.disk.faults());
        self.verdict()
    }

    /// Delivers until nothing is left.
    fn drain_all(&mut self) -> Check {
        for round in 0..3000 {
            let mut left = false;
            for destination in 0..2 {
                left |= self.drain(destination)?;
            }
            self.tick_and_commit()?;
            if !left && round > 2 {
                return Ok(());
            }
        }
        Err("delivery does not end".into())
    }

    fn tick_and_commit(&mut self) -> Check {
        let now = self.now_ns;
        if let Some((_, pipeline)) = &mut self.up {
            pipeline.tick(now);
        }
        self.commit()
    }

    /// Every promise, by the plan.
    fn verdict(&mut self) -> Check {
        use wire::GapReason::{Corrupt, Dropped, Evicted, Thinned};
        for (destination, hub) in self.hubs.iter().enumerate() {
            // A point that tells what others were is in the books, and has no number.
            let told = hub.told_lost(&[Corrupt, Dropped, Evicted, Thinned]) + hub.held.summaries;
            let held_back = self.options.journal.consumers.iter().any(|one| one.queue_limit.is_some());
            let wrong: &[_] = if held_back { &[Corrupt] } else { &[Corrupt, Dropped] };
            if !self.flipped_lanes && !self.damaged && hub.told_lost(wrong) > 0 {
                return Err(format!("destination {destination} was told of corrupt records, and no byte was flipped"));
            }
            let evicted = hub.told_lost(&[Evicted]);
            if evicted > 0 && !self.may_evict() {
                return Err(format!(
                    "destination {destination} was told of {evicted} evicted records without a reason"
                ));
            }
            if self.has_ages() && !self.was_full && !self.is_small() {
                self.counts.aged_records += evicted;
            }
            let mut missing = BTreeSet::new();
            for (number, record) in (0u64..).zip(&self.plan.records) {
                let error = record.trace.map(|trace| self.plan.errors.get(&trace).copied());
                let came = hub.held.records.get(&number);
                if let Some(None) = error
                    && came.is_some()
                {
                    return Err(format!("record {number} of a trace that nothing keeps was delivered"));
                }
                if let Some(identities) = came.filter(|identities| identities.len() > 1)
                    && !(record.may_be_twice || self.damaged || self.was_full)
                    // What was sent without an answer may be thinned and sent again: one series and time, one sample.
                    && !(record.point && self.counts.thinned_points > 0)
                {
                    return Err(format!("record {number} came under several identities: {identities:?}"));
                }
                let kept = match error {
                    None => true,
                    Some(None) => false,
                    Some(Some(error)) => {
                        let error = &self.plan.records[error as usize];
                        error.answered && !error.may_be_lost
                    }
                };
                if record.answered && !record.may_be_lost && kept && came.is_none() {
                    let before = hub.ever_records.get(&number);
                    let excused =
                        hub.restored && before.is_some_and(|identities| identities.iter().any(|one| hub.excuses(one)));
                    let before_restore = hub.lost_by_restore(record.lane());
                    let uncounted = self.flipped_lanes && hub.told_without_records(record.lane());
                    if !excused && !before_restore && !uncounted {
                        missing.insert(number);
                    }
                }
            }
            if missing.len() as u64 > told {
                let before: Vec<_> = missing
                    .iter()
                    .take(8)
                    .map(|number| (number, self.plan.of(*number), hub.ever_records.get(number)))
                    .collect();
                return Err(format!(
                    "destination {destination} ({:?}) never got {} records that were answered, and {told} are told as lost; \
                     where they were before: {before:?}; gaps: {:?}",
                    self.level,
                    missing.len(),
                    hub.held.gaps
                ));
            }
        }
        Ok(())
    }
}
