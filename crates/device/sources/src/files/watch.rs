//! Waiting until something happens in directories: inotify, or a clock where there is none.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

/// How often is looked where nothing tells.
const POLL: Duration = Duration::from_millis(250);
/// Directories that are watched at most; beyond them the clock helps.
const MOST: usize = 4096;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Happened {
    /// Files may have grown.
    pub(super) wrote: bool,
    /// Files came, went or were renamed.
    pub(super) moved: bool,
}

/// Watches directories.
pub(super) struct Watch {
    /// `None`: this system has none, or gave none.
    inotify: Option<OwnedFd>,
    watched: BTreeMap<PathBuf, i32>,
    /// Whether some directory cannot be watched.
    is_partial: bool,
}

impl Watch {
    pub(super) fn new() -> Self {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok();
        Self { is_partial: inotify.is_none(), inotify, watched: BTreeMap::new() }
    }

    /// Watches these directories, and no others any more.
    pub(super) fn set(&mut self, directories: &BTreeSet<PathBuf>) {
        let Some(inotify) = &self.inotify else { return };
        self.watched.retain(|path, watch| {
            let stays = directories.contains(path);
            if !stays {
                // A directory that is gone took its watch with it.
                let _gone = inotify::remove_watch(inotify, *watch);
            }
            stays
        });
        let flags =
            WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVE | WatchFlags::DELETE | WatchFlags::ONLYDIR;
        self.is_partial = directories.len() > MOST;
        for path in directories.iter().take(MOST) {
            // A watch that is there already keeps its number; one of a directory that was made anew gets another one.
            match inotify::add_watch(inotify, path, flags) {
                Ok(watch) => drop(self.watched.insert(path.clone(), watch)),
                Err(_) => self.is_partial = true,
            }
        }
    }

    /// Waits until something happens, at most so long.
    pub(super) fn wait(&self, most: Duration) -> Happened {
        let all = Happened { wrote: true, moved: true };
        let Some(inotify) = self.inotify.as_ref().filter(|_| !self.is_partial) else {
            std::thread::sleep(most.min(POLL));
            return all;
        };
        let timeout = Timespec { tv_sec: most.as_secs() as i64, tv_nsec: i64::from(most.subsec_nanos()) };
        let mut ready = [PollFd::new(inotify, PollFlags::IN)];
        match poll(&mut ready, Some(&timeout)) {
            Ok(0) => return Happened::default(),
            Ok(_) => {}
            Err(_) => std::thread::sleep(POLL),
        }
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(inotify, &mut buffer);
        let mut happened = Happened { wrote: true, moved: false };
        while let Ok(event) = events.next() {
            happened.moved |= event.events() != ReadFlags::MODIFY;
        }
        happened
    }
}
