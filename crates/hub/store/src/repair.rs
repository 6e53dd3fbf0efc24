//! Repair: opens what can be opened of a damaged database, and rebuilds manifest, claims and digests from packs. And
//! the look that `check` takes, which changes nothing.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost::Message;

use crate::damage::{Damage, Damages};
use crate::db::{Db, SMALL_CACHE};
use crate::digests;
use crate::error::StoreError;
use crate::ids::{FrameKey, Stream};
use crate::manifest::{self, ManifestRow};
use crate::opening::{self, Places};
use crate::pack::{Frames, Kind, Pack, frames_of, number_of, sync_dir};
use crate::proto::ClaimsRow;
use crate::registry::Registry;
use crate::shared::SharedSeries;
use crate::stats::Stats;

/// What a repair did, for people.
#[derive(Debug, Default)]
pub struct Repaired {
    /// What was done and found, a line each.
    pub lines: Vec<String>,
    /// What is still missing from answers.
    pub damages: Vec<Damage>,
}

fn io<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> StoreError + use<'a> {
    StoreError::io(what, path)
}

/// A name beside `path` that is free.
fn free_name(path: &Path, ending: &str) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut number = 1;
    loop {
        let candidate = path.with_file_name(format!("{name}.{ending}-{number}"));
        if matches!(candidate.try_exists(), Ok(false)) {
            return candidate;
        }
        number += 1;
    }
}

fn copy_dir(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(to).map_err(io("cannot create the directory", to))?;
    for entry in fs::read_dir(from).map_err(io("cannot list the directory", from))? {
        let entry = entry.map_err(io("cannot list the directory", from))?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type().map_err(io("cannot list the directory", from))?;
        if kind.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).map_err(io("cannot copy the file", &target))?;
        }
    }
    Ok(())
}

/// The journal files of a database, oldest first.
fn journals(db: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(db) else { return Vec::new() };
    let files = entries.flatten().map(|entry| entry.path());
    let mut journals: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|ending| ending == "jnl")).collect();
    journals.sort_by_key(|path| path.file_stem().and_then(|stem| stem.to_string_lossy().parse::<u64>().ok()));
    journals
}

/// Whether a copy of a database opens when its journal `journal` ends at `length` and those after it are empty.
fn opens_when_cut(damaged: &Path, journal: &Path, length: u64, trial: &Path) -> Result<bool, StoreError> {
    if matches!(trial.try_exists(), Ok(true)) {
        fs::remove_dir_all(trial).map_err(io("cannot remove the trial", trial))?;
    }
    copy_dir(damaged, trial)?;
    let name = journal.file_name().unwrap_or_default();
    let path = trial.join(name);
    File::options().write(true).open(&path).and_then(|file| file.set_len(length)).map_err(io("cannot cut", &path))?;
    match Db::open(trial, SMALL_CACHE) {
        Ok(_) => Ok(true),
        Err(StoreError::DatabaseDamaged { .. } | StoreError::Database { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes a database that opens out of a damaged one: with as much of its journals as can be read. The damaged one is
/// kept beside it.
fn salvage(places: &Places, lines: &mut Vec<String>) -> Result<(), StoreError> {
    let damaged = free_name(&places.db, "damaged");
    fs::rename(&places.db, &damaged).map_err(io("cannot move the database aside", &places.db))?;
    lines.push(format!("the damaged database is kept in {}", damaged.display()));
    let trial = free_name(&places.db, "trial");
    for journal in journals(&damaged) {
        let whole = fs::metadata(&journal).map_err(io("cannot look at the journal", &journal))?.len();
        if !opens_when_cut(&damaged, &journal, 0, &trial)? {
            continue;
        }
        // The longest beginning that opens.
        let (mut good, mut bad) = (0, whole);
        while bad - good > 1 {
            let middle = good + (bad - good) / 2;
            if opens_when_cut(&damaged, &journal, middle, &trial)? {
                good = middle;
            } else {
                bad = middle;
            }
        }
        if opens_when_cut(&damaged, &journal, good, &trial)? {
            fs::rename(&trial, &places.db).map_err(io("cannot put the repaired database in place", &places.db))?;
            lines.push(format!(
                "its journal {} is damaged at byte {good} of {whole}; what was written after it is asked for again from \
                 devices",
                journal.display()
            ));
            return Ok(());
        }
    }
    if matches!(trial.try_exists(), Ok(true)) {
        fs::remove_dir_all(&trial).map_err(io("cannot remove the trial", &trial))?;
    }
    lines.push("no beginning of its journals opens: a new database is made from packs".into());
    Ok(())
}

/// Takes packs in that the manifest does not name, and claims their frames.
struct Adopter<'a> {
    db: &'a Db,
    registry: Registry,
    lines: Vec<String>,
    /// Kind, day and orders of what is listed.
    listed: HashSet<(Kind, u32, u64)>,
}

impl Adopter<'_> {
    fn note(&mut self, pack: &Pack, frames: &Frames) {
        self.listed.extend(frames.keys().map(|order| (pack.kind, pack.index.day, *order)));
    }

    /// Names a pack in the manifest, unless all of it lies in packs that are listed already; whether it did.
    fn adopt(&mut self, pack: &Pack) -> Result<bool, StoreError> {
        let frames = frames_of(pack)?;
        if frames.keys().all(|order| self.listed.contains(&(pack.kind, pack.index.day, *order))) {
            return Ok(false);
        }
        let mut batch = self.db.durable_batch();
        manifest::add(self.db, &mut batch, pack);
        let mut keys = Vec::new();
        for source in frames.values() {
            let Some(lane) = model::Lane::from_number(u64::from(source.stream.lane)) else { continue };
            if source.stream.device.is_empty() {
                continue;
            }
            let device = self.registry.number(&Arc::from(source.stream.device.as_str()));
            let key =
                FrameKey { stream: Stream { device, epoch: model::Epoch(source.stream.epoch), lane }, seq: source.seq };
            self.registry.claim(key);
            // Its rows are in the pack: as a head they would be shown twice.
            batch.remove(&self.db.intake, key.to_bytes());
            let mut digest = [0; 16];
            digest[..8].copy_from_slice(&source.digest.to_be_bytes());
            keys.push((key, digest));
        }
        digests::put(self.db, &mut batch, keys, pack.index.day)?;
        batch.commit().map_err(StoreError::database("cannot commit the manifest"))?;
        self.note(pack, &frames);
        Ok(true)
    }

    /// Writes devices and claims.
    fn finish(mut self) -> Result<Vec<String>, StoreError> {
        let mut batch = self.db.durable_batch();
        let ahead = self.registry.claims.clone();
        for (stream, claims) in &ahead {
            batch.insert(&self.db.claims, stream.to_bytes(), ClaimsRow::of(&claims.stored).encode_to_vec());
        }
        // The pseudo-device goes on in its own epoch.
        for stream in ahead.keys() {
            if let Some(row) = self.registry.device_mut(stream.device).filter(|row| row.epoch == 0) {
                row.epoch = stream.epoch.0;
            }
        }
        for row in self.registry.devices() {
            batch.insert(&self.db.devices, row.number.to_be_bytes(), row.encode_to_vec());
        }
        batch.commit().map_err(StoreError::database("cannot commit claims"))?;
        Ok(self.lines)
    }
}

/// Mends a data directory as far as it can be: a database that does not open, an id that is gone, packs that no manifest
/// names. Nothing is deleted; what is replaced stays beside it. With `accept`, health no longer minds packs that are gone.
///
/// # Errors
/// [`StoreError`] when the directory is in use or cannot be written.
pub fn repair(dir: &Path, accept: bool) -> Result<Repaired, StoreError> {
    let places = Places::of(dir);
    let mut lines = Vec::new();
    let is_new = !places.has_database();
    if is_new {
        lines.push(format!("{}: there is no database; a new one is made", places.db.display()));
    } else if let Err(error) = Db::open(&places.db, SMALL_CACHE).map(drop) {
        match error {
            StoreError::DatabaseDamaged { .. } | StoreError::Database { .. } => {
                lines.push(error.to_string());
                salvage(&places, &mut lines)?;
            }
            error => return Err(error),
        }
    }
    fs::create_dir_all(&places.packs).map_err(io("cannot create the directory", &places.packs))?;
    let db = Db::open(&places.db, SMALL_CACHE)?;
    let id = match places.id()? {
        Some(id) => id,
        None => db.id()?.map_or_else(opening::new_id, Ok)?,
    };
    db.put_id(&id)?;
    places.write_id(&id)?;
    let loaded = opening::settled_manifest(&db, &places)?;
    let mut adopter = Adopter { db: &db, registry: Registry::load(&db)?, lines, listed: HashSet::new() };
    for pack in &loaded.packs {
        let frames = frames_of(pack)?;
        adopter.note(pack, &frames);
    }
    // The largest first: a merged pack before those that it was made of.
    let mut found: Vec<Pack> = Vec::new();
    let mut unreadable = Vec::new();
    for path in &loaded.unlisted {
        let number =
            path.file_name().and_then(|name| number_of(&name.to_string_lossy())).map_or(0, |(number, _)| number);
        match Pack::open(path, number) {
            Ok(pack) => found.push(pack),
            Err(error) => unreadable.push(error.to_string()),
        }
    }
    found.sort_by_key(|pack| (std::cmp::Reverse(pack.index.rows), pack.number));
    let (mut adopted, mut superseded) = (0, Vec::new());
    for pack in &found {
        match adopter.adopt(pack) {
            Ok(true) => adopted += 1,
            Ok(false) => superseded.push(pack.path.clone()),
            Err(error) => unreadable.push(error.to_string()),
        }
    }
    if adopted > 0 {
        adopter.lines.push(format!("{adopted} packs are named in the manifest again"));
    }
    for path in &superseded {
        let aside = free_name(path, "superseded");
        fs::rename(path, &aside).map_err(io("cannot move the pack aside", path))?;
        adopter.lines.push(format!(
            "{}: all of it lies in other packs; it is kept as {}",
            path.display(),
            aside.display()
        ));
    }
    sync_dir(&places.packs)?;
    adopter.lines.extend(unreadable.into_iter().map(|error| format!("not taken in: {error}")));
    let mut lines = adopter.finish()?;
    if accept {
        lines.extend(accept_missing(&db, &places)?);
    }
    let damages = damages_of(&db, &places)?;
    Ok(Repaired { lines, damages })
}

/// Marks what cannot be read as known to the operator.
fn accept_missing(db: &Db, places: &Places) -> Result<Vec<String>, StoreError> {
    let rows: BTreeMap<u64, ManifestRow> = manifest::rows(db)?;
    let missing = manifest::load(db, &places.packs)?.missing;
    let mut batch = db.durable_batch();
    let mut lines = Vec::new();
    for damage in missing.iter().filter(|damage| !damage.accepted) {
        if let Some(row) = rows.get(&damage.pack) {
            manifest::put(db, &mut batch, damage.pack, &ManifestRow { accepted: true, ..row.clone() });
            lines.push(format!("accepted as lost, answers over its time stay incomplete: {}", damage.what));
        }
    }
    batch.commit().map_err(StoreError::database("cannot commit the manifest"))?;
    Ok(lines)
}

fn damages_of(db: &Db, places: &Places) -> Result<Vec<Damage>, StoreError> {
    let damages = Damages::default();
    let loaded = manifest::load(db, &places.packs)?;
    for pack in &loaded.packs {
        if let Err(error) = pack.verify() {
            damages.add(ManifestRow::of(pack).damage(pack.number, crate::Reason::PackDamaged, &error));
        }
    }
    opening::load(db, loaded, &Stats::default(), &damages, &SharedSeries::default())?;
    Ok(damages.all())
}

/// Looks at a data directory and changes nothing in it: the database is read from a copy in `scratch`, every byte of
/// every pack is held against its checksum.
///
/// # Errors
/// [`StoreError`] when the directory is in use, or would not open.
pub fn inspect(dir: &Path, scratch: &Path) -> Result<Vec<Damage>, StoreError> {
    let places = Places::of(dir);
    places.check_database()?;
    if !places.has_database() {
        return Ok(Vec::new());
    }
    let lock = places.db.join("lock");
    let _held = match File::open(&lock) {
        Ok(file) => match file.try_lock_shared() {
            Ok(()) => Some(file),
            Err(fs::TryLockError::WouldBlock) => return Err(StoreError::Locked { path: places.db.clone() }),
            Err(fs::TryLockError::Error(error)) => return Err(StoreError::io("cannot look at the lock", &lock)(error)),
        },
        Err(_) => None,
    };
    let copy = scratch.join("db");
    copy_dir(&places.db, &copy)?;
    // The copy's faults are the original's.
    let db = Db::open(&copy, SMALL_CACHE).map_err(|error| match error {
        StoreError::DatabaseDamaged { source, .. } => StoreError::DatabaseDamaged { path: places.db.clone(), source },
        error => error,
    })?;
    places.check_id(&db)?;
    if !places.packs.is_dir() {
        return Ok(Vec::new());
    }
    damages_of(&db, &places)
}
