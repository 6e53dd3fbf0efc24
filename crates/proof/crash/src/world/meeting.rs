//! What a device learns at a hello, and what somebody does to its directory.

use disk::model::Rng;
use model::Lane;

use super::{Check, DESTINATIONS, World};
use crate::plan::START_NS;

impl World {
    /// The device goes round what the hub has, where the hub's last frame is its own; gives the records.
    pub(crate) fn skip(&mut self, destination: usize) -> u64 {
        let Some((disk_state, pipeline)) = &mut self.up else { return 0 };
        let state = disk_state.status();
        let mut skipped = 0;
        for lane in state.heads.iter().map(|head| head.lane) {
            let expected = self.hubs[destination].next_expected(state.epoch, lane);
            if let Some(digest) = self.hubs[destination].digest(state.epoch, lane, expected - 1) {
                let digest = link::short_digest(&digest);
                skipped += disk_state.skip(destination, lane, expected, digest).unwrap_or(0);
            }
        }
        pipeline.books_mut().confirmed(DESTINATIONS[destination], skipped, 0, 0);
        self.counts.skipped_records += skipped;
        skipped
    }

    /// While the program does not run, somebody removes a segment of a lane, or the lane; true when something was there.
    pub(crate) fn vanish(&mut self) -> bool {
        let mut rng = Rng::new(self.rng.bits());
        let lane = Lane::ALL[rng.below(Lane::ALL.len() as u64) as usize];
        let dir = format!("lanes/{lane}");
        let files: Vec<String> =
            self.disk.paths().into_iter().filter(|path| path.starts_with(&format!("{dir}/"))).collect();
        let Some(first) = files.first() else { return false };
        let path = if rng.percent(50) { first.clone() } else { dir };
        self.disk.vanish(&path);
        self.counts.removed += 1;
        self.flipped_lanes = true;
        self.vanished = true;
        self.note(|| format!("somebody removes {path}"));
        true
    }

    /// While the program runs, its directory goes; it is put back, and the program is started again. Meanwhile nothing may count as
    /// durable.
    pub(crate) fn lose_place(&mut self) -> Check {
        if self.disk.is_dead() || self.filled {
            return Ok(());
        }
        self.commit_all();
        let copy = self.disk.fork();
        self.disk.vanish("");
        self.note(|| "the directory is gone".into());
        self.counts.removed += 1;
        let answered = |world: &Self| world.plan.records.iter().filter(|record| record.answered).count();
        let before = answered(self);
        // One that nobody has seen: what comes again, and was recorded before, is rightly answered.
        let planned = self.plan.request(&mut self.rng, START_NS + self.now_ns, self.bulk);
        self.give(planned)?;
        let level = self.level;
        if level != crate::world::Level::Received && answered(self) > before {
            return Err(format!("a request is answered at level {level:?} without a directory"));
        }
        let (stamp, now) = (self.stamp(), self.now_ns);
        if let Some((disk_state, pipeline)) = &mut self.up {
            let (batches, attachment) = (pipeline.take_batches(), pipeline.attachment(now));
            if disk_state.commit(batches, stamp, &attachment).error.is_none() {
                return Err("a commit without a directory counts as done".into());
            }
        }
        self.up = None;
        self.put_at_risk(false);
        self.disk.become_copy(&copy);
        self.disk.clear_faults();
        self.note(|| "the directory is back".into());
        self.start()
    }

    /// No more counts as delivered than ever came. Where a commit waited for room that is not so after a crash: what of it found room is
    /// there, and its books are not.
    pub(crate) fn delivered_came(&self, when: &str) -> Check {
        let exact = !self.damaged
            && !self.was_full
            && self.options.journal.consumers.iter().all(|one| one.queue_limit.is_none());
        let Some((_, pipeline)) = self.up.as_ref().filter(|_| exact) else { return Ok(()) };
        for (name, hub) in DESTINATIONS.iter().zip(&self.hubs) {
            let one = pipeline.ledger().destinations.iter().find(|one| one.name == *name);
            let delivered = one.map_or(0, |one| one.delivered);
            if delivered > hub.ever_came {
                let came = hub.ever_came;
                return Err(format!("{when} {delivered} records count as delivered to {name}, and {came} ever came"));
            }
        }
        Ok(())
    }
}
