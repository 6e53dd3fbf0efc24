//! The open store: its parts, how it starts, and what it says about itself.

use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use prost::Message;

use crate::coverage::Contact;
use crate::damage::{Damage, Damages, Reason};
use crate::db::Db;
use crate::error::StoreError;
use crate::ids::FrameKey;
use crate::manifest::ManifestRow;
use crate::opening::{self, Loading, Places};
use crate::query::ReadCache;
use crate::registry::{Known, Registry};
use crate::view::{Snapshot, View};
use crate::writer::WriterHandle;

/// How a store works.
#[derive(Debug, Clone)]
pub struct Options {
    /// Most memory for heads, in bytes (estimated); beyond it intake is refused until the compactor has caught up.
    pub head_bytes: usize,
    /// How long a commit waits for further requests to share its sync.
    pub group_delay: Duration,
    /// Frames are packed when they are older than this.
    pub compact_after: Duration,
    /// Packs whose newest record is older than this are deleted; `None` keeps everything.
    pub retention: Option<Duration>,
    /// Uncompressed bytes of one block of a pack.
    pub block_bytes: usize,
    /// Devices that there may be.
    pub max_devices: usize,
    /// Packs of one kind and day are merged when there are this many of similar size.
    pub merge_at: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            head_bytes: 256 << 20,
            group_delay: Duration::from_millis(5),
            compact_after: Duration::from_secs(60),
            retention: None,
            block_bytes: 128 << 10,
            max_devices: 10_000,
            merge_at: 8,
        }
    }
}

/// Counters of the store's own work.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// Place in the order of intake for the next frame.
    pub(crate) next_order: AtomicU64,
    /// Number of the next pack; never given out twice, so that no reader's file is overwritten.
    pub(crate) next_pack: AtomicU64,
    /// Synchronous commits.
    pub(crate) commits: AtomicU64,
    /// Frames known only by their claim: whether the content was the same cannot be told.
    pub(crate) unverified: AtomicU64,
    /// Intake rows that this version cannot read; kept, claimed, not shown.
    pub(crate) unreadable_frames: AtomicU64,
    /// Blocks of packs that are damaged; left out of answers.
    pub(crate) damaged_blocks: AtomicU64,
    /// Frames with texts that are not UTF-8, which were replaced in their rows.
    pub(crate) replaced_texts: AtomicU64,
    /// Compactor runs that packed something.
    pub(crate) compactions: AtomicU64,
    /// Packs merged into others.
    pub(crate) merged_packs: AtomicU64,
    /// Packs deleted by retention.
    pub(crate) expired_packs: AtomicU64,
    /// Cost of frames that wait for the writer.
    pub(crate) queued_cost: AtomicUsize,
    /// Frames with spans that were stored since the start; only counted for the mutants.
    #[cfg(feature = "mutants")]
    pub(crate) trace_frames: AtomicU64,
}

/// The parts that the writer, the compactor and queries share.
pub(crate) struct Inner {
    pub(crate) options: Options,
    pub(crate) places: Places,
    /// The open database; `None` while it is closed after a failed write.
    db: Mutex<Option<Arc<Db>>>,
    view: RwLock<View>,
    registry: Mutex<Registry>,
    poisoned: RwLock<Option<String>>,
    /// Held while packs are made, merged or deleted: one at a time.
    pub(crate) compaction: Mutex<()>,
    /// Held by the writer while it commits.
    pub(crate) writing: Mutex<()>,
    pub(crate) stats: Stats,
    /// What queries have read of packs.
    pub(crate) cache: ReadCache,
    /// What of the stored data cannot be read.
    pub(crate) damages: Damages,
    /// The pack after which the next look at stored data begins.
    pub(crate) scrubbed: AtomicU64,
}

impl Inner {
    pub(crate) fn view(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn view_mut(&self) -> RwLockWriteGuard<'_, View> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.view().snapshot()
    }

    /// The open database.
    pub(crate) fn db(&self) -> Result<Arc<Db>, StoreError> {
        self.check_health()?;
        let db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        db.clone().ok_or(StoreError::Closed)
    }

    /// Stops intake: after a failed write nobody knows what is on the disk before it is read again.
    pub(crate) fn poison(&self, why: &StoreError) -> StoreError {
        let mut poisoned = self.poisoned.write().unwrap_or_else(PoisonError::into_inner);
        StoreError::Poisoned(poisoned.get_or_insert_with(|| why.to_string()).clone())
    }

    pub(crate) fn check_health(&self) -> Result<(), StoreError> {
        let poisoned = self.poisoned.read().unwrap_or_else(PoisonError::into_inner);
        poisoned.clone().map_or(Ok(()), |why| Err(StoreError::Poisoned(why)))
    }

    /// Closes the database and opens it again: what is on the disk counts, what a failed commit meant to write does not.
    fn reopen(&self) -> Result<(), StoreError> {
        let _no_packs = self.compaction.lock().unwrap_or_else(PoisonError::into_inner);
        let _no_commit = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        // The lock of the directory goes with the last holder.
        drop(db.take());
        let opened = opening::open_database(&self.places)?;
        // A disk that is still full shows here, not with the first frame.
        opened.put_id(&opened.id()?.unwrap_or_default())?;
        let loaded = opening::settled_manifest(&opened, &self.places)?;
        let fresh = opening::load(&opened, loaded, &self.stats, &self.damages)?;
        {
            let mut view = self.view_mut();
            let mut registry = self.registry();
            *view = fresh.view;
            registry.replace_claims(fresh.registry);
        }
        *db = Some(Arc::new(opened));
        drop(db);
        *self.poisoned.write().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }
}

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
        let places = Places::of(dir);
        let db = opening::open_database(&places)?;
        let loaded = opening::settled_manifest(&db, &places)?;
        let (stats, damages) = (Stats::default(), Damages::default());
        let Loading { view, registry } = opening::load(&db, loaded, &stats, &damages)?;
        let inner = Arc::new(Inner {
            options,
            places,
            db: Mutex::new(Some(Arc::new(db))),
            view: RwLock::new(view),
            registry: Mutex::new(registry),
            poisoned: RwLock::new(None),
            compaction: Mutex::new(()),
            writing: Mutex::new(()),
            stats,
            cache: ReadCache::default(),
            damages,
            scrubbed: AtomicU64::new(0),
        });
        let writer = WriterHandle::start(&inner)?;
        Ok(Self { inner, writer })
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
