//! The open store: what may be asked of it, and what it says about itself.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;

use prost::Message;

use crate::compact::{Compacted, Compactor, Stop};
use crate::coverage::Contact;
use crate::damage::{Damage, Reason};
use crate::error::StoreError;
use crate::ids::FrameKey;
use crate::incoming::{FrameOutcome, Incoming};
use crate::inner::{Inner, Options};
use crate::manifest::ManifestRow;
use crate::query::{Scope, Scoped};
use crate::registry::Known;
use crate::shared::SharedSeries;
use crate::writer::{Reply, WriterHandle};

/// The hub's embedded store. Cheap to share; the last one dropped closes it.
pub struct Store {
    pub(crate) inner: Arc<Inner>,
    pub(crate) writer: WriterHandle,
}

/// Sizes and counts of the store, for metrics and people.
#[derive(Debug, Clone, Copy, Default)]
#[allow(missing_docs, reason = "the names say it; bytes where they say bytes")]
pub struct StoreStats {
    pub head_frames: usize,
    pub head_bytes: usize,
    pub head_bytes_limit: usize,
    pub head_traces: usize,
    pub packs: usize,
    pub unreadable_packs: usize,
    pub damages: usize,
    pub pack_bytes: u64,
    pub pack_records: u64,
    pub database_bytes: u64,
    pub commits: u64,
    pub unverified: u64,
    pub unreadable_frames: u64,
    pub replaced_texts: u64,
    pub damaged_blocks: u64,
    pub compactions: u64,
    pub merged_packs: u64,
    pub expired_packs: u64,
    pub claim_runs: usize,
}

impl Store {
    /// Opens or creates the store in `dir` and rebuilds the heads.
    ///
    /// # Errors
    /// [`StoreError`] when the directory is locked, cannot be written, or holds rows that cannot be read.
    pub fn open(dir: &Path, options: Options) -> Result<Self, StoreError> {
        let inner = Arc::new(Inner::open(dir, options)?);
        let writer = WriterHandle::start(&inner)?;
        Ok(Self { inner, writer })
    }

    /// Hands frames to the writer. `reply` is called once, from the writer's thread, when they are durable or refused;
    /// `now_ns` is the hub's wall clock.
    pub fn submit(&self, frames: Vec<Incoming>, now_ns: u64, reply: Reply) {
        self.writer.submit(&self.inner, frames, now_ns, reply);
    }

    /// Stores frames and waits until they are durable.
    ///
    /// # Errors
    /// [`StoreError`] when nothing of them is stored.
    pub fn store(&self, frames: Vec<Incoming>, now_ns: u64) -> Result<Vec<FrameOutcome>, StoreError> {
        let (answer, wait) = sync_channel(1);
        self.submit(frames, now_ns, Box::new(move |result| drop(answer.send(result))));
        wait.recv().unwrap_or(Err(StoreError::Closed))
    }

    /// Packs what is old enough (or too much for memory), merges small packs, and drops expired ones; `now_ns` is the
    /// hub's wall clock.
    ///
    /// # Errors
    /// [`StoreError`]; after a failed batch the store is poisoned, any other failure leaves everything as it was.
    pub fn compact(&self, now_ns: u64) -> Result<Compacted, StoreError> {
        Compactor(&self.inner).run(now_ns, Stop::Never)
    }

    /// Whether heads hold so much that the compactor should run now, or a request was refused because of them.
    pub fn wants_compaction(&self) -> bool {
        self.inner.is_short(self.inner.view().cost)
    }

    /// Most memory for heads, in bytes.
    pub fn head_bytes_limit(&self) -> usize {
        self.inner.options.head_bytes
    }

    /// The series that points which come in share with those that are in memory.
    pub fn shared_series(&self) -> &SharedSeries {
        &self.inner.shared
    }

    /// What may be asked of it within a scope.
    pub fn scoped(&self, scope: &Scope) -> Scoped<'_> {
        Scoped::new(&self.inner, scope)
    }

    /// Tries to go on after a failed write; whether intake can store.
    ///
    /// # Errors
    /// Why the database cannot be opened yet: a disk that is still full, or no longer writable.
    pub fn revive(&self) -> Result<(), StoreError> {
        match self.inner.check_health() {
            Ok(()) => Ok(()),
            Err(_) => self.inner.reopen(),
        }
    }

    /// Takes in a hello, and says for each of its lanes the next sequence that the hub waits for, and the largest
    /// sequence that it has.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`] after a failed write.
    pub fn hello(&self, device: &str, contact: &Contact, now_ns: u64) -> Result<Greeted, StoreError> {
        let db = self.inner.db()?;
        let mut registry = self.inner.registry();
        let number = registry.number(&Arc::from(device));
        let is_double = registry.hello(number, contact, now_ns);
        let epoch = model::Epoch(contact.epoch);
        let reached = contact.heads.iter().map(|head| {
            let stream = crate::ids::Stream { device: number, epoch, lane: head.lane };
            let claims = registry.claims.get(&stream);
            let next_expected = claims.map_or(1, crate::registry::Claims::next_expected);
            let before = FrameKey { stream, seq: next_expected - 1 };
            let is_stored = claims.is_some_and(|claims| claims.stored.contains(before.seq));
            // A device skips what is before a frame that it knows: not where another one took a place of it.
            let digest = if is_stored && !crate::digests::is_disputed(&db, stream, head.oldest)? {
                crate::digests::of_stored(&db, before)?
            } else {
                None
            };
            let last = claims.and_then(|claims| claims.stored.last()).unwrap_or(0);
            Ok(Reached { lane: head.lane, next_expected, last, digest: digest.map(u64::from_be_bytes) })
        });
        Ok(Greeted { reached: reached.collect::<Result<_, StoreError>>()?, is_double })
    }

    /// Gives a device that is new a number, if there is room for it.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`] after a failed write.
    pub fn admit(&self, device: &str) -> Result<Known, StoreError> {
        self.inner.check_health()?;
        Ok(self.inner.registry().admit(device, self.inner.options.max_devices))
    }

    /// Counts a block of a device that could not be read.
    pub fn count_corrupt(&self, device: &str) {
        let mut registry = self.inner.registry();
        if let Some(number) = registry.find(device)
            && let Some(counters) = registry.counters(number)
        {
            counters.corrupt += 1;
        }
    }

    /// Writes what is known of devices where it changed; to be called about every second.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be written.
    pub fn save_devices(&self) -> Result<(), StoreError> {
        let db = self.inner.db()?;
        let mut batch = db.buffered_batch();
        {
            let mut registry = self.inner.registry();
            for number in std::mem::take(&mut registry.dirty) {
                if let Some(row) = registry.device(number) {
                    batch.insert(&db.devices, number.0.to_be_bytes(), row.encode_to_vec());
                }
            }
        }
        batch.commit().map_err(StoreError::database("cannot save devices")).map_err(|error| self.inner.poison(&error))
    }

    /// Why intake cannot store, if it cannot.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`] with the reason.
    pub fn health(&self) -> Result<(), StoreError> {
        self.inner.check_health()
    }

    /// What of the stored data cannot be read: answers over its time say so.
    pub fn damages(&self) -> Vec<Damage> {
        self.inner.damages.all()
    }

    /// Looks whether stored data is as it was written: every pack's file, and the blocks of some packs after those of
    /// the last call, about `bytes` of them.
    pub fn scrub(&self, bytes: u64) {
        let inner = &self.inner;
        let mut packs = inner.view().packs.clone();
        packs.sort_by_key(|pack| pack.number);
        for pack in packs.iter().filter(|pack| !pack.is_there()) {
            // One that was merged or has expired in the meantime is not missing.
            if inner.view().packs.iter().any(|other| other.number == pack.number) {
                let path = pack.path.clone();
                let error = StoreError::Damaged { path, offset: 0, what: "the file is gone or another one".into() };
                let row = ManifestRow::of(pack);
                inner.damages.add(row.damage(pack.number, Reason::PackMissing, &error));
            }
        }
        let after = inner.scrubbed.load(Ordering::Relaxed);
        let first = packs.partition_point(|pack| pack.number <= after);
        let mut left = bytes;
        let mut last = 0;
        for pack in &packs[first..] {
            if left == 0 {
                break;
            }
            if let Err(error) = pack.verify() {
                pack.mark_damaged();
                inner.found_damaged(pack, None, &error);
            }
            left = left.saturating_sub(pack.bytes);
            last = pack.number;
        }
        inner.scrubbed.store(if left == 0 { last } else { 0 }, Ordering::Relaxed);
    }

    /// Sizes and counts.
    pub fn stats(&self) -> StoreStats {
        let stats = &self.inner.stats;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let view = self.inner.view();
        let registry = self.inner.registry();
        StoreStats {
            head_frames: view.len(),
            head_bytes: view.cost,
            head_bytes_limit: self.inner.options.head_bytes,
            head_traces: view.trace_count(),
            packs: view.packs.len(),
            unreadable_packs: self.inner.damages.packs(),
            damages: self.inner.damages.len(),
            pack_bytes: view.packs.iter().map(|pack| pack.bytes).sum(),
            pack_records: view.packs.iter().map(|pack| pack.index.rows).sum(),
            database_bytes: self.inner.db().map_or(0, |db| db.disk_bytes()),
            commits: read(&stats.commits),
            unverified: read(&stats.unverified),
            unreadable_frames: read(&stats.unreadable_frames),
            replaced_texts: read(&stats.replaced_texts),
            damaged_blocks: read(&stats.damaged_blocks),
            compactions: read(&stats.compactions),
            merged_packs: read(&stats.merged_packs),
            expired_packs: read(&stats.expired_packs),
            claim_runs: registry.claims.values().map(|claims| claims.stored.runs()).sum(),
        }
    }
}

/// What the hub says to a hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeted {
    /// How far it has each lane.
    pub reached: Vec<Reached>,
    /// Whether another agent says hello under the same name.
    pub is_double: bool,
}

/// How far the hub has one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// The lane.
    pub lane: model::Lane,
    /// Every sequence below this one is stored, or known as a gap.
    pub next_expected: u64,
    /// The largest stored sequence; 0 when there is none.
    pub last: u64,
    /// The first 8 bytes of the digest of the frame before `next_expected`, where that one is stored and it is known.
    pub digest: Option<u64>,
}

impl Drop for Store {
    fn drop(&mut self) {
        self.writer.stop();
        // Closing: what is lost here is at most a second of heartbeats.
        let _ = self.save_devices();
    }
}
