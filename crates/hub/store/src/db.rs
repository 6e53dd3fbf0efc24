//! The database: one `fjall` database with a handful of fixed keyspaces.
//!
//! Never a keyspace per tenant, device or day: atomicity and journals are per database, and an idle keyspace pins its
//! journal.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch as WriteBatch, PersistMode};

use crate::error::StoreError;

/// Memory of the block cache of a database that is opened to be looked at or mended.
pub(crate) const SMALL_CACHE: u64 = 16 << 20;
/// Memory of the write buffer of frames.
const INTAKE_BUFFER: u64 = 8 << 20;
/// Memory of the write buffer of any other keyspace. What the entries of a buffer take beside their keys and values is not part of it:
/// small rows take several times this.
const ROW_BUFFER: u64 = 2 << 20;
/// Disk that the database's journals may take (64 MiB is its smallest).
const JOURNAL_BYTES: u64 = 128 << 20;

/// The open database.
pub(crate) struct Db {
    database: Database,
    /// Frame key to frame: write-ahead log and claim at once.
    pub(crate) intake: Keyspace,
    /// Stream to the interval set of its packed sequences; outlives the data.
    pub(crate) claims: Keyspace,
    /// Stream and sequence / 256 to the digests of packed frames.
    pub(crate) digests: Keyspace,
    /// Frame key and digest to a frame that came under the identity of another one.
    pub(crate) quarantine: Keyspace,
    /// Stream, first and last to a gap record.
    pub(crate) gaps: Keyspace,
    /// Device number to [`crate::coverage::DeviceRow`].
    pub(crate) devices: Keyspace,
    /// Pack number to its manifest row.
    pub(crate) manifest: Keyspace,
}

/// The row that says which data directory the database belongs to.
pub(crate) const ID_KEY: &[u8] = b"id";

impl Db {
    /// Opens or creates the database in `path`; its cache of blocks takes up to `cache_bytes`.
    pub(crate) fn open(path: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        std::fs::create_dir_all(path).map_err(StoreError::io("cannot create the directory", path))?;
        let database = Database::builder(path)
            .cache_size(cache_bytes)
            .max_journaling_size(JOURNAL_BYTES)
            .worker_threads(2)
            .open()
            .map_err(|error| match error {
                fjall::Error::Locked => StoreError::Locked { path: path.to_owned() },
                fjall::Error::Io(source) => {
                    StoreError::Io { what: "cannot open the database", path: path.to_owned(), source }
                }
                source => StoreError::DatabaseDamaged { path: path.to_owned(), source },
            })?;
        let keyspace = |name: &'static str| {
            let buffer = if name == "intake" { INTAKE_BUFFER } else { ROW_BUFFER };
            database
                .keyspace(name, || KeyspaceCreateOptions::default().max_memtable_size(buffer))
                .map_err(StoreError::database("cannot open a keyspace"))
        };
        Ok(Self {
            intake: keyspace("intake")?,
            claims: keyspace("claims")?,
            digests: keyspace("digests")?,
            quarantine: keyspace("quarantine")?,
            gaps: keyspace("gaps")?,
            devices: keyspace("devices")?,
            manifest: keyspace("manifest")?,
            database,
        })
    }

    /// A batch that is on the disk when its commit returns: the database's own `batch()` does not sync.
    pub(crate) fn durable_batch(&self) -> WriteBatch {
        self.database.batch().durability(Some(PersistMode::SyncAll))
    }

    /// A batch that survives the process, not a power cut.
    pub(crate) fn buffered_batch(&self) -> WriteBatch {
        self.database.batch().durability(Some(PersistMode::Buffer))
    }

    /// Bytes on disk.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.database.disk_space().unwrap_or(0)
    }

    /// The id of the data directory that the database belongs to.
    pub(crate) fn id(&self) -> Result<Option<String>, StoreError> {
        let row = self.manifest.get(ID_KEY).map_err(StoreError::database("cannot read the manifest"))?;
        Ok(row.map(|row| String::from_utf8_lossy(&row).into_owned()))
    }

    pub(crate) fn put_id(&self, id: &str) -> Result<(), StoreError> {
        let mut batch = self.durable_batch();
        batch.insert(&self.manifest, ID_KEY, id.as_bytes());
        batch.commit().map_err(StoreError::database("cannot write the manifest"))
    }
}

/// Reads every row of a keyspace, in key order.
pub(crate) fn for_each_row(
    keyspace: &Keyspace,
    mut row: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    for guard in keyspace.iter() {
        let (key, value) = guard.into_inner().map_err(StoreError::database("cannot read a row"))?;
        row(&key, &value)?;
    }
    Ok(())
}
