//! What somebody else does to the directory: puts a copy back, removes files.

use super::{ModelDisk, NameChange};

impl ModelDisk {
    /// Takes over the content of another disk, durably: a copy of the directory comes back. The disk is the same one, with
    /// its faults and as much room as it had.
    pub fn become_copy(&self, other: &Self) {
        let other = other.state.borrow();
        let mut state = self.state.borrow_mut();
        state.generation += 1;
        state.locked = false;
        state.changes.clear();
        state.inodes.clone_from(&other.inodes);
        state.seen.clone_from(&other.seen);
        state.durable.clone_from(&other.seen);
        state.dirs.clone_from(&other.dirs);
        state.durable_dirs.clone_from(&other.dirs);
        for inode in &mut state.inodes {
            inode.durable.clone_from(&inode.seen);
            inode.dirty.clear();
        }
    }

    /// Somebody removes a file, or a directory with all that it holds; everything for `""`. Durable at once.
    pub fn vanish(&self, path: &str) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let within = |other: &str| path.is_empty() || other == path || other.starts_with(&format!("{path}/"));
        state.seen.retain(|name, _| !within(name));
        state.durable.retain(|name, _| !within(name));
        state.dirs.retain(|dir| !within(dir));
        state.durable_dirs.retain(|dir| !within(dir));
        state.changes.retain(|dir, _| !within(dir));
        for changes in state.changes.values_mut() {
            changes.retain(|change| match change {
                NameChange::Set(name, ..) | NameChange::Unset(name) => !within(name),
            });
        }
    }
}
