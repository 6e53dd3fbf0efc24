//! The compactor: heads into packs, small packs into larger ones, expired packs away.
//!
//! The order makes every step safe to interrupt: pack files and their directory are synced, then one synchronous batch
//! names them, deletes the intake rows, and keeps claims and digests; only then queries change over, and only then
//! replaced files go. A crash before the batch leaves drafts that no manifest names, a crash after it leaves nothing
//! undone but the drafts' names and deletions, both of which the manifest lists.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use prost::Message;

use crate::digests;
use crate::error::StoreError;
use crate::inner::Inner;
use crate::intake_row::IntakeRow;
use crate::manifest;
use crate::merging::{Merge, next_metric_merge};
use crate::pack::{
    DAY_NS, FrameSource, Frames, Kind, MetricRows, Pack, RowSet, StreamEntry, build, draft_name, file_name, frames_of,
    sync_dir,
};
use crate::proto::ClaimsRow;
use crate::view::HeadFrame;

/// Packs of at most this many uncompressed bytes are merged.
const MERGE_BYTES: u64 = 32 << 20;
/// And of at most this many records and series: all of them are decoded at one time, and small ones take many times their bytes.
const MERGE_ROWS: u64 = 100_000;

/// Frames of at most about this much memory, and of half of what heads may take, are packed in one pass: sorting and encoding takes as
/// much again.
const PASS_BYTES: usize = 64 << 20;

/// What one run of the compactor did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Frames that went from heads into packs.
    pub frames: usize,
    /// Packs written, merged ones included.
    pub packs_written: usize,
    /// Packs that went into larger ones.
    pub packs_merged: usize,
    /// Packs deleted by retention.
    pub packs_expired: usize,
}

/// Where a test lets the compactor crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    Never,
    #[cfg(test)]
    AfterFiles,
    #[cfg(test)]
    AfterBatch,
}

fn nanoseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Runs on one store, one at a time.
pub(crate) struct Compactor<'a>(pub(crate) &'a Inner);

impl Compactor<'_> {
    pub(crate) fn run(&self, now_ns: u64, stop: Stop) -> Result<Compacted, StoreError> {
        self.0.check_health()?;
        let _one_at_a_time = self.0.compaction.lock().unwrap_or_else(PoisonError::into_inner);
        let mut done = Compacted::default();
        loop {
            let frames = self.ripe_frames(now_ns);
            if frames.is_empty() {
                break;
            }
            done.frames += frames.len();
            done.packs_written += self.pack_frames(&frames, stop)?;
            self.0.stats.compactions.fetch_add(1, Ordering::Relaxed);
        }
        self.0.stats.refused_cost.store(0, Ordering::Release);
        self.0.shared.sweep();
        done.packs_expired = self.expire(now_ns)?;
        self.0.stats.expired_packs.fetch_add(done.packs_expired as u64, Ordering::Relaxed);
        while let Some(merge) = self.next_merge(now_ns) {
            done.packs_merged += merge.packs.len();
            done.packs_written += 1;
            self.0.stats.merged_packs.fetch_add(merge.packs.len() as u64, Ordering::Relaxed);
            self.merge(&merge, stop)?;
        }
        Ok(done)
    }

    /// The frames to be packed: the old ones, and when memory runs short the oldest until a quarter of it is in use, or
    /// less where a refused request needs the room.
    fn ripe_frames(&self, now_ns: u64) -> Vec<Arc<HeadFrame>> {
        let view = self.0.view();
        let old = now_ns.saturating_sub(nanoseconds(self.0.options.compact_after));
        let limit = self.0.options.head_bytes;
        let short = self.0.is_short(view.cost);
        let keep = (limit / 4).min(limit.saturating_sub(self.0.stats.refused_cost.load(Ordering::Acquire)));
        let mut left = view.cost;
        let mut taken = 0;
        let ripe = view.frames().take_while(|frame| {
            let is_ripe = frame.received_ns <= old || (short && left > keep);
            let take = is_ripe && taken < PASS_BYTES.min(limit / 2);
            left -= frame.cost.min(left);
            taken += frame.cost;
            take
        });
        ripe.cloned().collect()
    }

    /// Writes pack files and syncs them and their directory.
    fn write_packs(&self, sets: Vec<(u32, RowSet<'_>)>, frames: &Frames) -> Result<Vec<Arc<Pack>>, StoreError> {
        let mut paths: Vec<PathBuf> = Vec::new();
        let write = || {
            let mut packs = Vec::new();
            for (day, rows) in sets {
                let number = self.0.stats.next_pack.fetch_add(1, Ordering::Relaxed);
                let path = self.0.places.packs.join(draft_name(number));
                paths.push(path.clone());
                build(&path, day, rows, frames, self.0.options.block_bytes)?;
                let mut pack = Pack::open(&path, number)?;
                pack.path = self.0.places.packs.join(file_name(number));
                packs.push(Arc::new(pack));
            }
            sync_dir(&self.0.places.packs)?;
            Ok(packs)
        };
        let result = write();
        if result.is_err() {
            // What cannot be removed now is a draft that no manifest names: the next start removes it.
            for path in paths {
                let _ = std::fs::remove_file(path);
            }
        }
        result
    }

    /// Gives packs that the manifest names now their own names.
    fn name_packs(&self, packs: &[Arc<Pack>]) -> Result<(), StoreError> {
        for pack in packs {
            let draft = self.0.places.packs.join(draft_name(pack.number));
            std::fs::rename(&draft, &pack.path).map_err(StoreError::io("cannot name a pack", &draft))?;
        }
        if packs.is_empty() { Ok(()) } else { sync_dir(&self.0.places.packs) }
    }

    fn pack_frames(&self, frames: &[Arc<HeadFrame>], stop: Stop) -> Result<usize, StoreError> {
        let db = self.0.db()?;
        let mut packed = Vec::with_capacity(frames.len());
        let mut sources = Frames::with_capacity(frames.len());
        for frame in frames {
            let row = db.intake.get(frame.key.to_bytes()).map_err(StoreError::database("cannot read intake"))?;
            let Some(row) = row.as_deref().and_then(IntakeRow::from_bytes) else { continue };
            packed.push((frame.key, row.digest));
            let device = self.0.registry().device(frame.key.stream.device).map(|device| device.name.clone());
            let stream = StreamEntry {
                device: device.unwrap_or_default(),
                epoch: frame.key.stream.epoch.0,
                lane: u32::from(frame.key.stream.lane.number()),
            };
            let digest = u64::from_be_bytes(digests::shorten(row.digest));
            sources.insert(frame.order, FrameSource { stream, seq: frame.key.seq, digest });
        }
        let packs = self.write_packs(RowSet::split(frames.iter().map(|frame| &frame.records)), &sources)?;
        #[cfg(test)]
        if stop == Stop::AfterFiles {
            return Err(StoreError::Closed);
        }
        let mut batch = db.durable_batch();
        let mut streams = BTreeSet::new();
        for frame in frames {
            streams.insert(frame.key.stream);
            batch.remove(&db.intake, frame.key.to_bytes());
        }
        let newest = frames.iter().map(|frame| frame.received_ns).max().unwrap_or(0) / DAY_NS;
        digests::put(&db, &mut batch, packed, u32::try_from(newest).unwrap_or(u32::MAX))?;
        {
            let registry = self.0.registry();
            for stream in streams {
                if let Some(claims) = registry.claims.get(&stream) {
                    batch.insert(&db.claims, stream.to_bytes(), ClaimsRow::of(&claims.stored).encode_to_vec());
                }
            }
        }
        for pack in &packs {
            manifest::add(&db, &mut batch, pack);
        }
        batch.commit().map_err(StoreError::database("cannot commit packs")).map_err(|error| self.0.poison(&error))?;
        let written = packs.len();
        let _ = stop;
        #[cfg(test)]
        if stop == Stop::AfterBatch {
            return Err(StoreError::Closed);
        }
        let named = self.name_packs(&packs);
        let orders: Vec<u64> = frames.iter().map(|frame| frame.order).collect();
        let mut view = self.0.view_mut();
        view.remove(&orders);
        view.packs.extend(packs);
        drop(view);
        named.map(|()| written)
    }

    /// Deletes the packs whose newest record is older than retention allows.
    fn expire(&self, now_ns: u64) -> Result<usize, StoreError> {
        let Some(retention) = self.0.options.retention else { return Ok(0) };
        let oldest = now_ns.saturating_sub(nanoseconds(retention));
        let expired: Vec<Arc<Pack>> =
            self.0.view().packs.iter().filter(|pack| pack.index.max_time < oldest).cloned().collect();
        self.expire_missing(oldest)?;
        if expired.is_empty() {
            return Ok(0);
        }
        let db = self.0.db()?;
        let mut batch = db.durable_batch();
        digests::expire(&db, &mut batch, u32::try_from(oldest / DAY_NS).unwrap_or(0))?;
        self.replace(batch, &expired, Vec::new())?;
        Ok(expired.len())
    }

    /// Drops packs that cannot be read from the manifest once retention would have deleted them.
    fn expire_missing(&self, oldest: u64) -> Result<(), StoreError> {
        let named: BTreeSet<u64> = self.0.view().packs.iter().map(|pack| pack.number).collect();
        let missing = self.0.damages.all().into_iter().filter(|damage| damage.block.is_none() && damage.to < oldest);
        let numbers: BTreeSet<u64> =
            missing.map(|damage| damage.pack).filter(|pack| *pack != 0 && !named.contains(pack)).collect();
        if numbers.is_empty() {
            return Ok(());
        }
        manifest::forget(&*self.0.db()?, &numbers.iter().copied().collect::<Vec<_>>())
            .map_err(|error| self.0.poison(&error))?;
        for number in &numbers {
            let _ = std::fs::remove_file(self.0.places.packs.join(file_name(*number)));
        }
        self.0.damages.forget(|pack| numbers.contains(&pack));
        Ok(())
    }

    /// What is to be merged next, or written anew because it is of an older format.
    fn next_merge(&self, now_ns: u64) -> Option<Merge> {
        let packs = self.mergeable().map(|packs| Merge { packs, with_orders: false });
        packs.or_else(|| {
            let packs = self.0.view().packs.clone();
            let is_open = |pack: &Pack| self.0.damages.is_missing_beside(pack);
            next_metric_merge(&packs, self.0.options.merge_at, now_ns, is_open)
        })
    }

    /// Packs of rows of one kind, day and size class, if there are enough of them to merge.
    fn mergeable(&self) -> Option<Vec<Arc<Pack>>> {
        let merge_at = self.0.options.merge_at.max(2);
        let view = self.0.view();
        let mut classes: BTreeMap<(Kind, u32, bool), Vec<Arc<Pack>>> = BTreeMap::new();
        for pack in &view.packs {
            let (raw, rows) = (pack.raw_bytes(), pack.index.rows);
            // Two classes: fresh packs, and packs that were merged but are not full yet.
            if pack.kind != Kind::Metrics && raw < MERGE_BYTES / 2 && rows < MERGE_ROWS / 2 && !pack.is_damaged() {
                let parts = 2 * merge_at as u64;
                let grown = raw >= MERGE_BYTES / parts || rows >= MERGE_ROWS / parts;
                classes.entry((pack.kind, pack.index.day, grown)).or_default().push(Arc::clone(pack));
            }
        }
        classes.into_values().find_map(|packs| {
            let (mut raw, mut rows) = (0, 0);
            let is_full = |raw, rows| raw > MERGE_BYTES || rows > MERGE_ROWS;
            let fits: Vec<_> = packs
                .into_iter()
                .take_while(|pack| {
                    raw += pack.raw_bytes();
                    rows += pack.index.rows;
                    !is_full(raw, rows)
                })
                .collect();
            (fits.len() >= merge_at || (is_full(raw, rows) && fits.len() > 1)).then_some(fits)
        })
    }

    fn merge(&self, merge: &Merge, stop: Stop) -> Result<(), StoreError> {
        let Merge { packs: small, with_orders } = merge;
        let Some(first) = small.first() else { return Ok(()) };
        // A damaged pack stays as it is: merging would make the damage final.
        for pack in small {
            if let Err(error) = pack.verify() {
                pack.mark_damaged();
                self.0.found_damaged(pack, None, &error);
                return Err(error);
            }
        }
        let mut sources = Frames::new();
        for pack in small {
            sources.extend(frames_of(pack)?);
        }
        let of_first_hubs;
        let rows = if first.kind != Kind::Metrics {
            RowSet::read(first.kind, small)?
        } else if first.columns.is_none() {
            of_first_hubs = first.all_series()?;
            RowSet::Metrics(MetricRows::with_orders(&of_first_hubs))
        } else {
            RowSet::MergedMetrics(small, *with_orders)
        };
        let merged = self.write_packs(vec![(first.index.day, rows)], &sources)?;
        let _ = stop;
        #[cfg(test)]
        if stop == Stop::AfterFiles {
            return Err(StoreError::Closed);
        }
        self.replace(self.0.db()?.durable_batch(), small, merged)
    }

    /// Swaps packs in the manifest, then in the view, then on the disk.
    fn replace(
        &self,
        mut batch: fjall::OwnedWriteBatch,
        old: &[Arc<Pack>],
        new: Vec<Arc<Pack>>,
    ) -> Result<(), StoreError> {
        let db = self.0.db()?;
        for pack in old {
            manifest::remove(&db, &mut batch, pack);
        }
        for pack in &new {
            manifest::add(&db, &mut batch, pack);
        }
        batch.commit().map_err(StoreError::database("cannot commit packs")).map_err(|error| self.0.poison(&error))?;
        let named = self.name_packs(&new);
        let numbers: BTreeSet<u64> = old.iter().map(|pack| pack.number).collect();
        self.0.damages.forget(|pack| numbers.contains(&pack));
        {
            let mut view = self.0.view_mut();
            view.packs.retain(|pack| !numbers.contains(&pack.number));
            view.packs.extend(new);
        }
        named?;
        let mut gone = Vec::new();
        for pack in old {
            // Queries that still read it hold the file open; what cannot be removed now goes at the next start.
            if std::fs::remove_file(&pack.path).is_ok() {
                gone.push(pack.number);
            }
        }
        sync_dir(&self.0.places.packs)?;
        manifest::forget(&db, &gone)
    }
}
