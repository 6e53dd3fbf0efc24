//! The manifest: which packs exist. A pack file that it does not name is an orphan of a crash.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use fjall::OwnedWriteBatch as WriteBatch;

use crate::db::{Db, for_each_row};
use crate::error::StoreError;
use crate::pack::{Pack, file_name, sync_dir};

/// Opens the packs that the manifest names and removes all other files in their directory.
pub(crate) fn load(db: &Db, dir: &Path) -> Result<Vec<Arc<Pack>>, StoreError> {
    let mut packs = Vec::new();
    let mut names = BTreeSet::new();
    for_each_row(&db.manifest, |key, _| {
        let number = key.try_into().map(u64::from_be_bytes).map_err(|_| StoreError::Row {
            keyspace: "manifest",
            what: format!("key {key:02x?} is no pack's number"),
        })?;
        let name = file_name(number);
        packs.push(Arc::new(Pack::open(&dir.join(&name), number)?));
        names.insert(name);
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
    Ok(packs)
}

/// Names a pack; its file and directory are synced already.
pub(crate) fn add(db: &Db, batch: &mut WriteBatch, pack: &Pack) {
    batch.insert(&db.manifest, pack.number.to_be_bytes(), Vec::new());
}

/// Forgets a pack; its file goes after the batch is on the disk.
pub(crate) fn remove(db: &Db, batch: &mut WriteBatch, pack: &Pack) {
    batch.remove(&db.manifest, pack.number.to_be_bytes());
}
