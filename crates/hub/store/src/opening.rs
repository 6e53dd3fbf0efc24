//! Opening a store: whose database it is, what of it can be read, and opening it again after a failed write.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::damage::{Damage, Damages, Reason};
use crate::db::{Db, for_each_row};
use crate::error::StoreError;
use crate::ids::FrameKey;
use crate::incoming::Incoming;
use crate::intake_row::IntakeRow;
use crate::manifest::{self, Loaded, ManifestRow};
use crate::pack::{Pack, number_of};
use crate::registry::Registry;
use crate::shared::SharedSeries;
use crate::stats::Stats;
use crate::view::{HeadFrame, View};

/// The file that says which database belongs into a data directory.
const ID_FILE: &str = "hub.id";

/// The places in a data directory.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) dir: PathBuf,
    pub(crate) db: PathBuf,
    pub(crate) packs: PathBuf,
}

impl Places {
    pub(crate) fn of(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), db: dir.join("db"), packs: dir.join("packs") }
    }

    /// The id that the directory asks for.
    pub(crate) fn id(&self) -> Result<Option<String>, StoreError> {
        let path = self.dir.join(ID_FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("cannot read the id of this data directory", &path)(error)),
        }
    }

    pub(crate) fn write_id(&self, id: &str) -> Result<(), StoreError> {
        let path = self.dir.join(ID_FILE);
        let draft = self.dir.join("hub.id.draft");
        let write = || {
            std::fs::write(&draft, format!("{id}\n"))?;
            std::fs::File::open(&draft)?.sync_all()?;
            std::fs::rename(&draft, &path)?;
            std::fs::File::open(&self.dir)?.sync_all()
        };
        write().map_err(StoreError::io("cannot write the id of this data directory", &path))
    }

    /// The names of pack files that are there.
    pub(crate) fn pack_files(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(&self.packs) else { return Vec::new() };
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| number_of(name).is_some_and(|(_, is_draft)| !is_draft)).collect()
    }

    /// Whether a database lies there.
    pub(crate) fn has_database(&self) -> bool {
        std::fs::read_dir(&self.db).is_ok_and(|entries| entries.flatten().any(|entry| entry.file_name() != "lock"))
    }

    /// Refuses to begin anew where a database was.
    pub(crate) fn check_database(&self) -> Result<(), StoreError> {
        let packs = self.pack_files().len();
        if self.has_database() || (packs == 0 && self.id()?.is_none()) {
            return Ok(());
        }
        Err(StoreError::DatabaseGone { path: self.db.clone(), packs })
    }

    /// Holds the id of the database against that of the directory.
    pub(crate) fn check_id(&self, db: &Db) -> Result<Option<String>, StoreError> {
        match (db.id()?, self.id()?) {
            (Some(found), Some(wanted)) if found != wanted => {
                Err(StoreError::ForeignDatabase { path: self.db.clone() })
            }
            (None, Some(_)) => Err(StoreError::ForeignDatabase { path: self.db.clone() }),
            (found, _) => Ok(found),
        }
    }
}

/// A new id of a data directory.
pub(crate) fn new_id() -> Result<String, StoreError> {
    let random = getrandom::u64().map_err(|error| StoreError::Row { keyspace: "manifest", what: error.to_string() })?;
    Ok(format!("{random:016x}"))
}

/// What a database and its packs hold, read into memory.
pub(crate) struct Loading {
    pub(crate) view: View,
    pub(crate) registry: Registry,
}

/// Opens the database of a data directory, and settles its id.
pub(crate) fn open_database(places: &Places, cache_bytes: u64) -> Result<Db, StoreError> {
    places.check_database()?;
    let db = Db::open(&places.db, cache_bytes)?;
    std::fs::create_dir_all(&places.packs).map_err(StoreError::io("cannot create the directory", &places.packs))?;
    let id = match places.check_id(&db)? {
        Some(id) => id,
        None => {
            let id = new_id()?;
            db.put_id(&id)?;
            id
        }
    };
    if places.id()?.is_none() {
        places.write_id(&id)?;
    }
    Ok(db)
}

/// Reads devices, claims, packs and heads; what cannot be read goes into `damages`.
pub(crate) fn load(
    db: &Db,
    loaded: Loaded,
    stats: &Stats,
    damages: &Damages,
    shared: &SharedSeries,
) -> Result<Loading, StoreError> {
    let mut registry = Registry::load(db)?;
    let Loaded { packs, missing, unlisted, next_number, .. } = loaded;
    let mut next_order = packs.iter().map(|pack| pack.index.max_order + 1).max().unwrap_or(1);
    stats.next_pack.fetch_max(next_number, Ordering::Relaxed);
    let mut view = View::default();
    view.packs = packs;
    for damage in missing.into_iter().chain(unlisted.iter().map(|path| unlisted_damage(path))) {
        damages.add(damage);
    }
    for_each_row(&db.intake, |key, value| {
        let broken = |what: String| StoreError::Row { keyspace: "intake", what };
        let key = FrameKey::from_bytes(key).ok_or_else(|| broken(format!("key {key:02x?} is no frame's")))?;
        let row = IntakeRow::from_bytes(value).ok_or_else(|| broken(format!("row of {key} is of another version")))?;
        registry.claim(key);
        next_order = next_order.max(row.order + 1);
        match Incoming::from_frame(row.frame.to_vec(), shared) {
            Ok(Incoming { mut records, cost, .. }) => {
                records.set_order(row.order);
                view.add(Arc::new(HeadFrame { key, order: row.order, received_ns: row.received_ns, cost, records }));
            }
            Err(error) => {
                stats.unreadable_frames.fetch_add(1, Ordering::Relaxed);
                damages.add(Damage {
                    pack: 0,
                    block: None,
                    signal: None,
                    from: 0,
                    to: row.received_ns.saturating_add(1),
                    devices: registry.device(key.stream.device).map(|device| device.name.clone()).into_iter().collect(),
                    reason: Reason::FrameUnreadable,
                    what: format!("{key}: {error}"),
                    accepted: false,
                });
            }
        }
        Ok(())
    })?;
    stats.next_order.fetch_max(next_order, Ordering::Relaxed);
    Ok(Loading { view, registry })
}

/// A pack file that no manifest names: its records may be missing from answers.
pub(crate) fn unlisted_damage(path: &Path) -> Damage {
    let number = path.file_name().and_then(|name| number_of(&name.to_string_lossy())).map_or(0, |(number, _)| number);
    let row = Pack::open(path, number).map(|pack| ManifestRow::of(&pack)).unwrap_or_default();
    let error = StoreError::Damaged {
        path: path.to_owned(),
        offset: 0,
        what: "the manifest does not name this pack; `lightship-hub repair` takes it in".into(),
    };
    Damage { reason: Reason::PackUnlisted, ..row.damage(number, Reason::PackUnlisted, &error) }
}

/// Loads what a directory holds without changing anything but what a crash left undone.
pub(crate) fn settled_manifest(db: &Db, places: &Places) -> Result<Loaded, StoreError> {
    let loaded = manifest::load(db, &places.packs)?;
    manifest::settle(db, &places.packs, &loaded)?;
    Ok(loaded)
}
