//! The parts of an open store that the writer, the compactor and queries share, and how they come to be.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use crate::damage::{Damage, Damages, Reason};
use crate::db::Db;
use crate::error::StoreError;
use crate::opening::{self, Loading, Places};
use crate::pack::{Kind, Pack};
use crate::query::ReadCache;
use crate::registry::Registry;
use crate::shared::SharedSeries;
use crate::stats::Stats;
use crate::view::{Snapshot, View};

/// Of the memory for heads, shared series may take one part in this many.
const SHARED_PART: usize = 4;

/// How a store works.
#[derive(Debug, Clone)]
pub struct Options {
    /// Most memory for heads, in bytes (estimated); beyond it intake is refused until the compactor has caught up.
    pub head_bytes: usize,
    /// Bytes of decoded blocks, tables and listings of packs that queries share.
    pub read_cache_bytes: usize,
    /// Bytes of the database's block cache.
    pub database_cache_bytes: u64,
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
            head_bytes: 192 << 20,
            read_cache_bytes: 64 << 20,
            database_cache_bytes: 64 << 20,
            group_delay: Duration::from_millis(5),
            compact_after: Duration::from_secs(60),
            retention: None,
            block_bytes: 128 << 10,
            max_devices: 10_000,
            merge_at: 8,
        }
    }
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
    /// Series and origins that the points in heads share.
    pub(crate) shared: SharedSeries,
    /// What queries have read of packs.
    pub(crate) cache: ReadCache,
    /// What of the stored data cannot be read.
    pub(crate) damages: Damages,
    /// The pack after which the next look at stored data begins.
    pub(crate) scrubbed: AtomicU64,
}

impl Inner {
    /// Opens or creates what is in `dir` and rebuilds the heads.
    pub(crate) fn open(dir: &Path, options: Options) -> Result<Self, StoreError> {
        let places = Places::of(dir);
        let db = opening::open_database(&places, options.database_cache_bytes)?;
        let loaded = opening::settled_manifest(&db, &places)?;
        let (stats, damages) = (Stats::default(), Damages::default());
        let shared = SharedSeries::new(options.head_bytes / SHARED_PART);
        let Loading { view, registry } = opening::load(&db, loaded, &stats, &damages, &shared)?;
        let cache = ReadCache::new(options.read_cache_bytes);
        Ok(Self {
            options,
            places,
            db: Mutex::new(Some(Arc::new(db))),
            view: RwLock::new(view),
            registry: Mutex::new(registry),
            poisoned: RwLock::new(None),
            compaction: Mutex::new(()),
            writing: Mutex::new(()),
            stats,
            shared,
            cache,
            damages,
            scrubbed: AtomicU64::new(0),
        })
    }

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

    /// Whether heads that cost so much leave too little room.
    pub(crate) fn is_short(&self, cost: usize) -> bool {
        cost > self.options.head_bytes / 2 || (cost > 0 && self.stats.refused_cost.load(Ordering::Acquire) > 0)
    }

    pub(crate) fn check_health(&self) -> Result<(), StoreError> {
        let poisoned = self.poisoned.read().unwrap_or_else(PoisonError::into_inner);
        poisoned.clone().map_or(Ok(()), |why| Err(StoreError::Poisoned(why)))
    }

    /// Closes the database and opens it again: what is on the disk counts, what a failed commit meant to write does not.
    pub(crate) fn reopen(&self) -> Result<(), StoreError> {
        let _no_packs = self.compaction.lock().unwrap_or_else(PoisonError::into_inner);
        let _no_commit = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        // The lock of the directory goes with the last holder.
        drop(db.take());
        let opened = opening::open_database(&self.places, self.options.database_cache_bytes)?;
        // A disk that is still full shows here, not with the first frame.
        opened.put_id(&opened.id()?.unwrap_or_default())?;
        let loaded = opening::settled_manifest(&opened, &self.places)?;
        let fresh = opening::load(&opened, loaded, &self.stats, &self.damages, &self.shared)?;
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

    /// Remembers that a pack, or one of its blocks, cannot be read.
    pub(crate) fn found_damaged(&self, pack: &Pack, block: Option<usize>, error: &StoreError) {
        let of_block = block.and_then(|number| pack.index.blocks.get(number));
        // In a traces pack a block's times are the starts of its traces; its spans may lie anywhere in the pack's time.
        let times = of_block.filter(|_| pack.kind != Kind::Traces).map(|block| (block.min_time, block.max_time));
        let (from, to) = times.unwrap_or((pack.index.min_time, pack.index.max_time));
        self.damages.add(Damage {
            pack: pack.number,
            block,
            signal: Some(pack.kind.signal()),
            from,
            to: to.saturating_add(1),
            devices: pack.devices.clone(),
            reason: Reason::PackDamaged,
            what: error.to_string(),
            accepted: false,
        });
    }
}
