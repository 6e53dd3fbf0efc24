//! The manifest: which packs there are, and what each of them holds, so that one that is gone can be told.
//!
//! Nothing is deleted because the manifest does not name it. Only what it says itself goes at a start: drafts that it
//! never named, and packs that it lists as removed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fjall::OwnedWriteBatch as WriteBatch;
use prost::Message;

use crate::damage::{Damage, Reason};
use crate::db::{Db, ID_KEY, for_each_row};
use crate::error::StoreError;
use crate::pack::{Kind, Pack, draft_name, file_name, number_of, sync_dir};

/// What the manifest says of a pack. Rows of the first hubs are empty.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ManifestRow {
    /// See [`Kind`]; 0 when not known.
    #[prost(uint32, tag = "1")]
    pub(crate) kind: u32,
    #[prost(uint64, tag = "2")]
    pub(crate) min_time: u64,
    /// Inclusive.
    #[prost(uint64, tag = "3")]
    pub(crate) max_time: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) rows: u64,
    #[prost(string, repeated, tag = "5")]
    pub(crate) devices: Vec<String>,
    #[prost(fixed32, tag = "6")]
    pub(crate) index_crc: u32,
    /// Version of its format.
    #[prost(uint32, tag = "7")]
    pub(crate) version: u32,
    /// Its records are in another pack now, or expired: its file goes.
    #[prost(bool, tag = "8")]
    pub(crate) removed: bool,
    /// An operator knows that it is gone.
    #[prost(bool, tag = "9")]
    pub(crate) accepted: bool,
}

impl ManifestRow {
    pub(crate) fn of(pack: &Pack) -> Self {
        Self {
            kind: pack.kind as u32,
            min_time: pack.index.min_time,
            max_time: pack.index.max_time,
            rows: pack.index.rows,
            devices: pack.devices.clone(),
            index_crc: pack.index_crc,
            version: u32::from(pack.version),
            removed: false,
            accepted: false,
        }
    }

    /// What is missing from answers while the pack cannot be read.
    pub(crate) fn damage(&self, number: u64, reason: Reason, error: &StoreError) -> Damage {
        let is_known = self.kind != 0;
        Damage {
            pack: number,
            block: None,
            signal: Kind::from_number(self.kind).map(Kind::signal),
            from: if is_known { self.min_time } else { 0 },
            to: if is_known { self.max_time.saturating_add(1) } else { u64::MAX },
            devices: self.devices.clone(),
            reason,
            what: error.to_string(),
            accepted: self.accepted,
        }
    }
}

/// The manifest beside the files that are there.
pub(crate) struct Loaded {
    /// Packs that can be read.
    pub(crate) packs: Vec<Arc<Pack>>,
    /// Those that cannot: they stay in the manifest and on the disk, for a restored file to take their place.
    pub(crate) missing: Vec<Damage>,
    /// Pack files that the manifest does not name: nothing of them is in answers, and nobody deletes them.
    pub(crate) unlisted: Vec<PathBuf>,
    /// Files that the manifest itself says may go.
    pub(crate) leftovers: Vec<PathBuf>,
    /// Rows of packs whose file is gone for good.
    pub(crate) removed: Vec<u64>,
    /// Drafts that were named when the hub died.
    pub(crate) named_drafts: Vec<u64>,
    /// A number above all of theirs.
    pub(crate) next_number: u64,
}

/// Reads the rows of the manifest.
pub(crate) fn rows(db: &Db) -> Result<BTreeMap<u64, ManifestRow>, StoreError> {
    let mut rows = BTreeMap::new();
    for_each_row(&db.manifest, |key, value| {
        if key == ID_KEY {
            return Ok(());
        }
        let broken = |what: String| StoreError::Row { keyspace: "manifest", what };
        let number = key.try_into().map(u64::from_be_bytes);
        let number = number.map_err(|_| broken(format!("key {key:02x?} is no pack's number")))?;
        rows.insert(number, ManifestRow::decode(value).map_err(|error| broken(format!("pack {number}: {error}")))?);
        Ok(())
    })?;
    Ok(rows)
}

fn open(dir: &Path, number: u64, row: &ManifestRow, is_draft: bool) -> Result<Pack, StoreError> {
    let path = dir.join(if is_draft { draft_name(number) } else { file_name(number) });
    let damaged = |what: String| StoreError::Damaged { path: path.clone(), offset: 0, what };
    let mut pack = match Pack::open(&path, number) {
        Err(StoreError::Version { found, .. }) if row.kind != 0 && u32::from(found) != row.version => {
            Err(damaged(format!("its head says version {found}, the manifest version {}", row.version)))
        }
        result => result,
    }?;
    if row.kind != 0 && pack.index_crc != row.index_crc {
        return Err(damaged("another pack lies under its name".into()));
    }
    pack.path = dir.join(file_name(number));
    Ok(pack)
}

/// Reads manifest and directory; changes nothing.
///
/// # Errors
/// [`StoreError`] when the directory cannot be listed, or a pack is of a newer version.
pub(crate) fn load(db: &Db, dir: &Path) -> Result<Loaded, StoreError> {
    let rows = rows(db)?;
    let mut loaded = Loaded {
        packs: Vec::new(),
        missing: Vec::new(),
        unlisted: Vec::new(),
        leftovers: Vec::new(),
        removed: Vec::new(),
        named_drafts: Vec::new(),
        next_number: rows.keys().next_back().map_or(1, |last| last + 1),
    };
    for (number, row) in &rows {
        if row.removed {
            loaded.removed.push(*number);
            continue;
        }
        let is_there = |name: String| dir.join(name).try_exists().unwrap_or(true);
        let is_draft = !is_there(file_name(*number)) && is_there(draft_name(*number));
        match open(dir, *number, row, is_draft) {
            Ok(pack) => {
                loaded.packs.push(Arc::new(pack));
                if is_draft {
                    loaded.named_drafts.push(*number);
                }
            }
            Err(error @ StoreError::Damaged { .. }) => {
                loaded.missing.push(row.damage(*number, Reason::PackDamaged, &error));
            }
            Err(error @ StoreError::Io { .. }) => {
                loaded.missing.push(row.damage(*number, Reason::PackMissing, &error));
            }
            Err(error) => return Err(error),
        }
    }
    let io = |what| StoreError::io(what, dir);
    for entry in std::fs::read_dir(dir).map_err(io("cannot list the packs"))? {
        let entry = entry.map_err(io("cannot list the packs"))?;
        let Some((number, is_draft)) = number_of(&entry.file_name().to_string_lossy()) else { continue };
        loaded.next_number = loaded.next_number.max(number.saturating_add(1));
        match rows.get(&number) {
            Some(row) if row.removed => loaded.leftovers.push(entry.path()),
            Some(_) => {}
            None if is_draft => loaded.leftovers.push(entry.path()),
            None => loaded.unlisted.push(entry.path()),
        }
    }
    loaded.unlisted.sort();
    Ok(loaded)
}

/// Ends what a crash interrupted: names of drafts, files that go, rows of files that are gone.
pub(crate) fn settle(db: &Db, dir: &Path, loaded: &Loaded) -> Result<(), StoreError> {
    let io = |what| StoreError::io(what, dir);
    for number in &loaded.named_drafts {
        std::fs::rename(dir.join(draft_name(*number)), dir.join(file_name(*number)))
            .map_err(io("cannot name a pack"))?;
    }
    for path in &loaded.leftovers {
        std::fs::remove_file(path).map_err(io("cannot remove a file that the manifest lists as removed"))?;
    }
    if !loaded.named_drafts.is_empty() || !loaded.leftovers.is_empty() {
        sync_dir(dir)?;
    }
    forget(db, &loaded.removed)
}

/// Drops the rows of removed packs whose files are gone.
pub(crate) fn forget(db: &Db, removed: &[u64]) -> Result<(), StoreError> {
    if removed.is_empty() {
        return Ok(());
    }
    let mut batch = db.durable_batch();
    removed.iter().for_each(|number| batch.remove(&db.manifest, number.to_be_bytes()));
    batch.commit().map_err(StoreError::database("cannot commit the manifest"))
}

/// Writes what the manifest says of a pack.
pub(crate) fn put(db: &Db, batch: &mut WriteBatch, number: u64, row: &ManifestRow) {
    batch.insert(&db.manifest, number.to_be_bytes(), row.encode_to_vec());
}

/// Names a pack; its file and directory are synced already.
pub(crate) fn add(db: &Db, batch: &mut WriteBatch, pack: &Pack) {
    put(db, batch, pack.number, &ManifestRow::of(pack));
}

/// Lists a pack as removed: its file goes after the batch is on the disk, at the latest at the next start.
pub(crate) fn remove(db: &Db, batch: &mut WriteBatch, pack: &Pack) {
    put(db, batch, pack.number, &ManifestRow { removed: true, ..ManifestRow::of(pack) });
}
