//! A disk in memory that forgets what was not synced, for crash tests.
//!
//! It keeps two states: what the running program sees, and what would be there after a power cut. Faults are seeded: a cut
//! after any number of operations, with each unsynced 512-byte sector and each unsynced name lost or kept at random; a full
//! disk; syncs that fail and, as on Linux, leave the written pages looking clean; flipped bits; unreadable sectors.

mod fault_counts;
mod strangers;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::Rc;

pub use fault_counts::FaultCounts;

use crate::Disk;
pub use crate::rng::Rng;

const SECTOR: usize = 512;

#[derive(Debug, Clone, Default)]
struct Inode {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors written since they were durable.
    dirty: BTreeSet<usize>,
    /// Sectors that a failed sync left clean and not durable.
    betrayed: bool,
    unreadable: BTreeSet<usize>,
}

#[derive(Debug, Clone)]
enum NameChange {
    /// A name, its file, and the name in another directory that goes with it when it was moved.
    Set(String, usize, Option<String>),
    Unset(String),
}

#[derive(Debug, Clone, Default)]
struct State {
    inodes: Vec<Inode>,
    seen: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    dirs: BTreeSet<String>,
    durable_dirs: BTreeSet<String>,
    /// Name changes of each directory that are not durable, in order.
    changes: BTreeMap<String, Vec<NameChange>>,
    locked: bool,
    operations: u64,
    cut_at: Option<u64>,
    dead: bool,
    generation: u64,
    capacity: Option<u64>,
    fail_syncs: BTreeSet<u64>,
    syncs: u64,
    bytes_read: u64,
    short_reads: u64,
    reads: u64,
    counts: FaultCounts,
}

/// The disk; clones are handles of the same one, as a restarted program would have.
#[derive(Debug, Clone, Default)]
pub struct ModelDisk {
    state: Rc<RefCell<State>>,
}

/// An open file of a [`ModelDisk`].
#[derive(Debug)]
pub struct ModelFile {
    inode: usize,
    generation: u64,
    lock: Option<Rc<RefCell<State>>>,
}

impl Drop for ModelFile {
    fn drop(&mut self) {
        if let Some(state) = &self.lock {
            let mut state = state.borrow_mut();
            if state.generation == self.generation {
                state.locked = false;
            }
        }
    }
}

fn parent(path: &str) -> String {
    path.rsplit_once('/').map_or(String::new(), |(dir, _)| dir.to_owned())
}

fn not_found(path: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no such file: {path}"))
}

fn gone() -> io::Error {
    io::Error::other("the power is off")
}

fn io_error() -> io::Error {
    const EIO: i32 = 5;
    io::Error::from_raw_os_error(EIO)
}

impl State {
    fn used(&self) -> u64 {
        let held: BTreeSet<usize> = self.seen.values().copied().collect();
        held.iter().map(|inode| self.inodes[*inode].seen.len() as u64).sum()
    }

    /// Counts an operation that changes the disk; after the cut every one fails.
    fn operate(&mut self) -> io::Result<()> {
        if self.dead {
            return Err(gone());
        }
        self.operations += 1;
        if self.cut_at.is_some_and(|cut| self.operations > cut) {
            self.dead = true;
            return Err(gone());
        }
        Ok(())
    }

    fn set_name(&mut self, path: &str, inode: usize, moved_from: Option<&str>) {
        self.seen.insert(path.to_owned(), inode);
        let change = NameChange::Set(path.to_owned(), inode, moved_from.map(str::to_owned));
        self.changes.entry(parent(path)).or_default().push(change);
    }

    fn make_durable(&mut self, change: NameChange) {
        match change {
            NameChange::Set(path, inode, moved_from) => {
                self.durable.insert(path, inode);
                if let Some(from) = moved_from {
                    self.durable.remove(&from);
                }
            }
            NameChange::Unset(path) => drop(self.durable.remove(&path)),
        }
    }

    fn unset_name(&mut self, path: &str) {
        self.seen.remove(path);
        self.changes.entry(parent(path)).or_default().push(NameChange::Unset(path.to_owned()));
    }

    fn grow(&mut self, inode: usize, len: usize) -> io::Result<()> {
        let more = len.saturating_sub(self.inodes[inode].seen.len()) as u64;
        if self.capacity.is_some_and(|capacity| self.used() + more > capacity) {
            self.counts.full += 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.inodes[inode].seen.resize(len, 0);
        Ok(())
    }
}

impl Inode {
    /// The durable content with some of the dirty sectors: what a power cut leaves.
    fn torn(&mut self, rng: &mut Rng) -> (u64, u64) {
        let (mut lost, mut kept) = (0, 0);
        let mut left = self.durable.clone();
        // The new length is a sector's neighbour in the journal of the file system: kept or lost as a whole.
        if self.seen.len() != left.len() && rng.percent(50) {
            left.resize(self.seen.len(), 0);
        }
        for sector in std::mem::take(&mut self.dirty) {
            let from = sector * SECTOR;
            let to = (from + SECTOR).min(self.seen.len()).min(left.len());
            if from < to && rng.percent(50) {
                left[from..to].copy_from_slice(&self.seen[from..to]);
                kept += 1;
            } else {
                lost += 1;
            }
        }
        self.seen.clone_from(&left);
        self.durable = left;
        self.betrayed = false;
        (lost, kept)
    }
}

impl ModelDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another disk with the same content, on which no program runs.
    pub fn fork(&self) -> Self {
        let mut state = self.state.borrow().clone();
        state.locked = false;
        state.generation += 1;
        Self { state: Rc::new(RefCell::new(state)) }
    }

    /// How many changing operations there were.
    pub fn operations(&self) -> u64 {
        self.state.borrow().operations
    }

    /// How many syncs of files there were.
    pub fn syncs(&self) -> u64 {
        self.state.borrow().syncs
    }

    /// Every so manieth read gives half of what was asked for; 0 for none.
    pub fn set_short_reads(&self, every: u64) {
        self.state.borrow_mut().short_reads = every;
    }

    /// How often each fault happened.
    pub fn faults(&self) -> FaultCounts {
        self.state.borrow().counts
    }

    /// Bytes that were read from files.
    pub fn bytes_read(&self) -> u64 {
        self.state.borrow().bytes_read
    }

    /// The power fails after `operations` more changing operations.
    pub fn cut_after(&self, operations: u64) {
        let mut state = self.state.borrow_mut();
        state.cut_at = Some(state.operations + operations);
    }

    /// Whether the power is off.
    pub fn is_dead(&self) -> bool {
        self.state.borrow().dead
    }

    /// Cuts the power if it is still on, and switches it on again: what was not synced is there or not by rng.
    pub fn power_cycle(&self, rng: &mut Rng) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        for (_, changes) in std::mem::take(&mut state.changes) {
            // Changes of one directory become durable in order.
            let kept = rng.below(changes.len() as u64 + 1) as usize;
            state.counts.lost_names += (changes.len() - kept) as u64;
            for change in changes.into_iter().take(kept) {
                state.make_durable(change);
            }
        }
        for inode in &mut state.inodes {
            let (lost, kept) = inode.torn(rng);
            state.counts.lost_sectors += lost;
            state.counts.torn_files += u64::from(lost > 0 && kept > 0);
        }
        state.dirs.clone_from(&state.durable_dirs);
        state.durable.retain(|path, _| {
            let dir = parent(path);
            dir.is_empty() || state.durable_dirs.contains(&dir)
        });
        state.seen = state.durable.clone();
        state.dead = false;
        state.cut_at = None;
        state.locked = false;
        state.generation += 1;
    }

    /// The program dies and the power stays on: everything written is still there, in the cache.
    pub fn kill(&self) {
        let mut state = self.state.borrow_mut();
        state.dead = false;
        state.cut_at = None;
        state.locked = false;
        state.generation += 1;
    }

    /// The disk has room for so many bytes; `None` for any number.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.borrow_mut().capacity = bytes;
    }

    /// Bytes that files take.
    pub fn used(&self) -> u64 {
        self.state.borrow().used()
    }

    /// The sync after `syncs` more ones fails, and loses what it should have written.
    pub fn fail_sync_after(&self, syncs: u64) {
        let mut state = self.state.borrow_mut();
        let number = state.syncs + syncs + 1;
        state.fail_syncs.insert(number);
    }

    /// No more faults are planned.
    pub fn clear_faults(&self) {
        let mut state = self.state.borrow_mut();
        state.fail_syncs.clear();
        state.cut_at = None;
    }

    /// Paths of all files.
    pub fn paths(&self) -> Vec<String> {
        self.state.borrow().seen.keys().cloned().collect()
    }

    /// Length of a file.
    pub fn len_of(&self, path: &str) -> Option<u64> {
        let state = self.state.borrow();
        state.seen.get(path).map(|inode| state.inodes[*inode].seen.len() as u64)
    }

    /// Content of a file.
    pub fn content(&self, path: &str) -> Option<Vec<u8>> {
        let state = self.state.borrow();
        state.seen.get(path).map(|inode| state.inodes[*inode].seen.clone())
    }

    /// Puts a file with this content there, durably.
    pub fn put(&self, path: &str, content: &[u8]) {
        let mut state = self.state.borrow_mut();
        let inode = state.inodes.len();
        state.inodes.push(Inode { seen: content.to_vec(), durable: content.to_vec(), ..Inode::default() });
        state.dirs.insert(parent(path));
        state.durable_dirs.insert(parent(path));
        state.seen.insert(path.to_owned(), inode);
        state.durable.insert(path.to_owned(), inode);
    }

    /// Flips bits of a byte, durably.
    pub fn flip(&self, path: &str, offset: u64, mask: u8) {
        let mut state = self.state.borrow_mut();
        let Some(inode) = state.seen.get(path).copied() else { return };
        let inode = &mut state.inodes[inode];
        for content in [&mut inode.seen, &mut inode.durable] {
            if let Some(byte) = content.get_mut(offset as usize) {
                *byte ^= mask;
            }
        }
    }

    /// Makes the sector at an offset unreadable.
    pub fn break_sector(&self, path: &str, offset: u64) {
        let mut state = self.state.borrow_mut();
        if let Some(inode) = state.seen.get(path).copied() {
            state.inodes[inode].unreadable.insert(offset as usize / SECTOR);
        }
    }

    /// Removes a file, durably.
    pub fn lose(&self, path: &str) {
        let mut state = self.state.borrow_mut();
        state.seen.remove(path);
        state.durable.remove(path);
    }

    fn inode<R>(&self, file: &ModelFile, act: impl FnOnce(&mut State, usize) -> io::Result<R>) -> io::Result<R> {
        let mut state = self.state.borrow_mut();
        if file.generation != state.generation {
            return Err(gone());
        }
        act(&mut state, file.inode)
    }
}

impl Disk for ModelDisk {
    type File = ModelFile;

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        state.operate()?;
        // Directories are durable at once: their loss is no different from the loss of every name in them.
        state.dirs.insert(dir.to_owned());
        state.durable_dirs.insert(dir.to_owned());
        Ok(())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let state = self.state.borrow();
        if state.dead {
            return Err(gone());
        }
        if !dir.is_empty() && !state.dirs.contains(dir) {
            return Err(not_found(dir));
        }
        let names = state.seen.keys().filter(|path| parent(path) == dir);
        Ok(names.map(|path| path.rsplit('/').next().unwrap_or(path).to_owned()).collect())
    }

    fn create(&self, path: &str, len: u64) -> io::Result<ModelFile> {
        let mut state = self.state.borrow_mut();
        state.operate()?;
        if !parent(path).is_empty() && !state.dirs.contains(&parent(path)) {
            return Err(not_found(path));
        }
        if state.seen.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = state.inodes.len();
        if state.capacity.is_some_and(|capacity| state.used() + len > capacity) {
            state.counts.full += 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.inodes.push(Inode { seen: vec![0; len as usize], ..Inode::default() });
        state.set_name(path, inode, None);
        Ok(ModelFile { inode, generation: state.generation, lock: None })
    }

    fn open(&self, path: &str) -> io::Result<ModelFile> {
        let state = self.state.borrow();
        if state.dead {
            return Err(gone());
        }
        let inode = *state.seen.get(path).ok_or_else(|| not_found(path))?;
        Ok(ModelFile { inode, generation: state.generation, lock: None })
    }

    fn open_settled(&self, path: &str) -> io::Result<ModelFile> {
        let file = self.open(path)?;
        let _ = self.sync_data(&file);
        let mut state = self.state.borrow_mut();
        if state.dead {
            return Err(gone());
        }
        let inode = &mut state.inodes[file.inode];
        if inode.betrayed {
            // The cache is dropped, and with it the pages that only looked clean.
            inode.seen = inode.durable.clone();
            inode.betrayed = false;
        }
        Ok(file)
    }

    fn len(&self, file: &ModelFile) -> io::Result<u64> {
        self.inode(file, |state, inode| Ok(state.inodes[inode].seen.len() as u64))
    }

    fn set_len(&self, file: &ModelFile, len: u64) -> io::Result<()> {
        self.inode(file, |state, inode| {
            state.operate()?;
            let len = len as usize;
            if len > state.inodes[inode].seen.len() {
                return state.grow(inode, len);
            }
            state.inodes[inode].seen.truncate(len);
            Ok(())
        })
    }

    fn read_at(&self, file: &ModelFile, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.inode(file, |state, inode| {
            if state.dead {
                return Err(gone());
            }
            let inode = &state.inodes[inode];
            let from = (offset as usize).min(inode.seen.len());
            state.reads += 1;
            let short = state.short_reads > 0 && state.reads.is_multiple_of(state.short_reads) && buffer.len() > 1;
            let want = if short { buffer.len() / 2 } else { buffer.len() };
            state.counts.short_reads += u64::from(short);
            let to = (from + want).min(inode.seen.len());
            if (from / SECTOR..to.div_ceil(SECTOR)).any(|sector| inode.unreadable.contains(&sector)) {
                return Err(io_error());
            }
            buffer[..to - from].copy_from_slice(&inode.seen[from..to]);
            state.bytes_read += (to - from) as u64;
            Ok(to - from)
        })
    }

    fn write_at(&self, file: &ModelFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.inode(file, |state, inode| {
            // A write that the power cut hits may have reached the disk in part.
            if state.dead {
                return Err(gone());
            }
            let power = state.operate();
            let (from, to) = (offset as usize, offset as usize + bytes.len());
            if to > state.inodes[inode].seen.len() {
                state.grow(inode, to)?;
            }
            let inode = &mut state.inodes[inode];
            inode.seen[from..to].copy_from_slice(bytes);
            for sector in from / SECTOR..to.div_ceil(SECTOR) {
                inode.dirty.insert(sector);
                inode.unreadable.remove(&sector);
            }
            power
        })
    }

    fn sync_data(&self, file: &ModelFile) -> io::Result<()> {
        self.inode(file, |state, inode| {
            state.operate()?;
            state.syncs += 1;
            let fails = state.fail_syncs.remove(&state.syncs);
            let inode = &mut state.inodes[inode];
            if fails {
                state.counts.failed_syncs += 1;
                inode.betrayed = true;
                inode.dirty.clear();
                return Err(io_error());
            }
            if inode.betrayed {
                // Says yes, and makes durable only what was written since the failure.
                inode.durable.resize(inode.seen.len(), 0);
                for sector in std::mem::take(&mut inode.dirty) {
                    let to = ((sector + 1) * SECTOR).min(inode.seen.len());
                    let from = (sector * SECTOR).min(to);
                    let (seen, durable) = (&inode.seen[from..to], &mut inode.durable[from..to]);
                    durable.copy_from_slice(seen);
                }
                return Ok(());
            }
            inode.durable.clone_from(&inode.seen);
            inode.dirty.clear();
            Ok(())
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        state.operate()?;
        let inode = *state.seen.get(from).ok_or_else(|| not_found(from))?;
        state.seen.remove(from);
        // Where the old name is not durable yet, it never will be: a file has one of both.
        let mut before = Some(from.to_owned());
        if let Some(changes) = state.changes.get_mut(&parent(from)) {
            let made = |change: &mut NameChange| matches!(change, NameChange::Set(path, same, _) if path == from && *same == inode);
            if let Some(NameChange::Set(_, _, earlier)) = changes.extract_if(.., made).last() {
                before = earlier;
            }
        }
        // One transaction of the file system's journal, also across directories.
        state.set_name(to, inode, before.as_deref());
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        state.operate()?;
        if !state.seen.contains_key(path) {
            return Err(not_found(path));
        }
        state.unset_name(path);
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        state.operate()?;
        for change in state.changes.remove(dir).unwrap_or_default() {
            state.make_durable(change);
        }
        Ok(())
    }

    fn free_space(&self) -> io::Result<u64> {
        let state = self.state.borrow();
        Ok(state.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(state.used())))
    }

    fn is_there(&self, path: &str, file: &ModelFile) -> io::Result<bool> {
        let state = self.state.borrow();
        Ok(state.generation == file.generation && state.seen.get(path) == Some(&file.inode))
    }

    fn lock(&self, path: &str) -> io::Result<ModelFile> {
        if self.state.borrow().locked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut file = match self.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.create(path, 0)?,
            other => other?,
        };
        self.state.borrow_mut().locked = true;
        file.lock = Some(Rc::clone(&self.state));
        Ok(file)
    }
}
