//! The manifest: which packs exist. A pack file that it does not name is an orphan of a crash.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use fjall::OwnedWriteBatch as WriteBatch;

use crate::db::{Db, for_each_row};
use crate::error::StoreError;
use crate::pack::{Pack, file_name, sync_dir};

/// The packs that the manifest names.
pub(crate) struct Loaded {
    /// Those that can be read.
    pub(crate) packs: Vec<Arc<Pack>>,
    /// Why the others cannot: they stay in the manifest and on the disk, for a restored file to take their place.
    pub(crate) unreadable: Vec<StoreError>,
    /// A number above all of theirs.
    pub(crate) next_number: u64,
}

/// Opens the packs that the manifest names and removes all other files in their directory.
pub(crate) fn load(db: &Db, dir: &Path) -> Result<Loaded, StoreError> {
    let mut packs = Vec::new();
    let mut unreadable = Vec::new();
    let mut next_number = 1;
    let mut names = BTreeSet::new();
    for_each_row(&db.manifest, |key, _| {
        let number = key.try_into().map(u64::from_be_bytes).map_err(|_| StoreError::Row {
            keyspace: "manifest",
            what: format!("key {key:02x?} is no pack's number"),
        })?;
        let name = file_name(number);
        match Pack::open(&dir.join(&name), number) {
            Ok(pack) => packs.push(Arc::new(pack)),
            Err(error @ (StoreError::Damaged { .. } | StoreError::Io { .. })) => unreadable.push(error),
            Err(error) => return Err(error),
        }
        names.insert(name);
        next_number = next_number.max(number + 1);
        Ok(())
    })?;
    let io = |what| StoreError::io(what, dir);
    let mut removed = false;
    for entry in std::fs::read_dir(dir).map_err(io("cannot list the packs"))? {
        let entry = entry.map_err(io("cannot list the packs"))?;
        if !names.contains(&*entry.file_name().to_string_lossy()) {
            std::fs::remove_file(entry.path()).map_err(io("cannot remove an orphan"))?;
            removed = true;
        }
    }
    if removed {
        sync_dir(dir)?;
    }
    Ok(Loaded { packs, unreadable, next_number })
}

/// Names a pack; its file and directory are synced already.
pub(crate) fn add(db: &Db, batch: &mut WriteBatch, pack: &Pack) {
    batch.insert(&db.manifest, pack.number.to_be_bytes(), Vec::new());
}

/// Forgets a pack; its file goes after the batch is on the disk.
pub(crate) fn remove(db: &Db, batch: &mut WriteBatch, pack: &Pack) {
    batch.remove(&db.manifest, pack.number.to_be_bytes());
}
