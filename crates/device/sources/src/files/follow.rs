//! The files of one source, through rotation: which of those that are found are known, which are new, which are copies, and where the rest of
//! what is gone went.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use model::ReadTo;
use tail::Place;

use super::content::Content;
use super::find::{Found, Inode, Patterns, siblings};
use super::known::{Hand, Known, Turn, Whereabouts, beginning, changed_ns, inode_of, range};
use super::{Ended, FileSettings, Says, Start};

/// So long is looked for the bytes of a file that is gone.
const LOST_AFTER: Duration = Duration::from_mins(1);
/// So long a new file that begins as a known one may be a copy in the making.
const COPYING: Duration = Duration::from_secs(10);
/// The key of the position that says that a source ran before.
const MARK: u64 = 0;

/// What a source is.
struct Source {
    settings: FileSettings,
    number: usize,
    key_prefix: Vec<u8>,
}

impl Source {
    fn hand<'a>(&'a self, around: &'a mut Around<'_>) -> Hand<'a> {
        Hand {
            settings: &self.settings,
            source: self.number,
            key_prefix: &self.key_prefix,
            buffer: &mut around.buffer[..],
            says: around.says,
            wall_ns: around.wall_ns,
            now: around.now,
        }
    }
}

/// The files of one source.
pub(super) struct Follower {
    of: Source,
    patterns: Patterns,
    files: Vec<Known>,
    next_id: u64,
    /// Whether it ran before: files that it does not know are new then.
    ran_before: bool,
    /// Files that may be copies in the making, and since when they are there.
    waiting: BTreeMap<Inode, Duration>,
    told_lag: Option<u64>,
    told_too_many: bool,
    faults: Vec<String>,
}

impl Follower {
    /// Goes on from where an earlier life was.
    pub(super) fn new(settings: FileSettings, source: usize, read_to: &[ReadTo], now: Duration) -> Self {
        let (patterns, faults) = Patterns::new(&settings.include, &settings.exclude);
        let key_prefix = settings.key_prefix();
        let mut this = Self {
            of: Source { settings, number: source, key_prefix },
            patterns,
            files: Vec::new(),
            next_id: MARK + 1,
            ran_before: false,
            waiting: BTreeMap::new(),
            told_lag: None,
            told_too_many: false,
            faults,
        };
        for one in read_to {
            let Some(id) = one.key.strip_prefix(&*this.of.key_prefix).and_then(|id| id.first_chunk::<8>()) else {
                continue;
            };
            let id = u64::from_be_bytes(*id);
            this.ran_before = true;
            this.next_id = this.next_id.max(id + 1);
            if let Some(place) = Place::decode(&one.next).filter(|_| id != MARK) {
                let again = one.again.iter().filter_map(|read| range(read)).collect();
                this.files.push(Known::new(&this.of.settings, id, place, now).reading_again(again));
            }
        }
        this
    }

    /// Looks which files there are.
    pub(super) fn scan(&mut self, hand: &mut Around<'_>) -> Result<BTreeSet<PathBuf>, Ended> {
        for fault in std::mem::take(&mut self.faults) {
            hand.says.error(self.of.number, "pattern", 1, fault)?;
        }
        let mut found = self.patterns.files();
        let mut directories = self.patterns.directories();
        // Links lead to other directories.
        let real = found.values().filter_map(|file| file.path.canonicalize().ok());
        directories.extend(real.filter_map(|path| path.parent().map(Into::into)));
        self.recognize(&mut found, hand.now);
        self.waiting.retain(|inode, _| found.contains_key(inode));
        for (inode, file) in found {
            self.appeared(inode, &file, hand)?;
        }
        self.search(hand)?;
        if !self.ran_before {
            self.ran_before = true;
            let mark = Known::new(&self.of.settings, MARK, beginning(std::path::Path::new(""), (0, 0)), hand.now);
            mark.tell(&self.of.hand(hand), false)?;
        }
        Ok(directories)
    }

    /// Finds known files among those that there are, and takes them out.
    fn recognize(&mut self, found: &mut BTreeMap<Inode, Found>, now: Duration) {
        for file in &mut self.files {
            if file.whereabouts() == Whereabouts::Rest {
                continue;
            }
            let inode = file.place().inode;
            let is_it = !file.place().is_past
                && found.get(&inode).is_some_and(|at| {
                    if file.is_open() {
                        file.found(&at.path, inode, None);
                        return true;
                    }
                    // An inode is given to another file once this one is gone.
                    let Ok(mut content) = Content::open(&at.path) else { return false };
                    let is_it = inode_of(&content) == Some(inode)
                        && at.size >= file.place().position
                        && content.holds(file.place()).unwrap_or(false);
                    if is_it {
                        file.found(&at.path, inode, Some(content));
                    }
                    is_it
                });
            match is_it {
                true => drop(found.remove(&inode)),
                false => file.moved(now),
            }
        }
    }

    /// A file is there that is not known by its inode.
    fn appeared(&mut self, inode: Inode, at: &Found, hand: &mut Around<'_>) -> Result<(), Ended> {
        if at.size == 0 {
            // It may become a copy.
            return Ok(());
        }
        let Ok(mut content) = Content::open(&at.path) else {
            let why = format!("{}: cannot be opened; may this user read it?", at.path.display());
            return hand.says.error(self.of.number, "open", 1, why);
        };
        if inode_of(&content) != Some(inode) {
            return Ok(());
        }
        // What rotation copied away, or moved while nobody looked.
        let is_lost = |file: &Known| matches!(file.whereabouts(), Whereabouts::Lost(_));
        if let Some(lost) = self.files.iter_mut().find(|file| is_lost(file) && file.is_copied_by(&mut content, at.size))
        {
            lost.found(&at.path, inode, Some(content));
            return Ok(());
        }
        if self.files.iter().any(|file| file.is_copied_by(&mut content, at.size)) {
            // It has nothing new while the other one is read.
            return Ok(());
        }
        if self.files.iter_mut().any(|file| file.begins_as(&mut content, at.size)) {
            let since = *self.waiting.entry(inode).or_insert(hand.now);
            if hand.now.saturating_sub(since) < COPYING {
                return Ok(());
            }
        }
        if self.files.len() >= self.of.settings.max_files {
            if !std::mem::replace(&mut self.told_too_many, true) {
                let why = format!("{}: more than max_files are there; it and others are not read", at.path.display());
                hand.says.error(self.of.number, "too_many_files", 1, why)?;
            }
            return Ok(());
        }
        let id = self.new_id();
        let mut file = Known::new(&self.of.settings, id, beginning(&at.path, inode), hand.now);
        let skips = match self.of.settings.start {
            _ if self.ran_before => false,
            Start::Beginning => false,
            Start::End => true,
            Start::Time(time_ns) => {
                // What was changed last before that has nothing of it.
                let is_old = at.path.metadata().is_ok_and(|told| changed_ns(&told) < i128::from(time_ns));
                if !is_old {
                    file.begin_at(time_ns, at.size);
                }
                is_old
            }
        };
        if skips && file.skip_to_end(&mut content, at.size).is_err() {
            return Ok(());
        }
        file.found(&at.path, inode, Some(content));
        file.tell(&self.of.hand(hand), false)?;
        self.files.push(file);
        Ok(())
    }

    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// Looks for the bytes of files that are gone.
    fn search(&mut self, hand: &mut Around<'_>) -> Result<(), Ended> {
        let known: BTreeSet<Inode> =
            self.files.iter().filter(|file| file.is_open()).map(|file| file.place().inode).collect();
        let mut given_up = Vec::new();
        for (index, file) in self.files.iter_mut().enumerate() {
            let Whereabouts::Lost(since) = file.whereabouts() else { continue };
            let rest = siblings(&file.path()).into_iter().find_map(|path| {
                let mut content = Content::open(&path).ok()?;
                let inode = inode_of(&content);
                let is_it = match file.place().position {
                    // Of a file of which nothing was read only the inode is known.
                    0 => inode == Some(file.place().inode) && !file.place().is_past,
                    _ => content.holds(file.place()).unwrap_or(false),
                };
                let is_known = inode.is_some_and(|inode| known.contains(&inode));
                let is_it = is_it && !is_known && !self.patterns.mean(&path);
                is_it.then_some(content)
            });
            match rest {
                Some(content) => file.found_rest(content),
                None if hand.now.saturating_sub(since) >= LOST_AFTER || file.place().position == 0 => {
                    given_up.push(index);
                }
                None => {}
            }
        }
        for index in given_up.into_iter().rev() {
            let file = self.files.remove(index);
            if file.lag() > 0 || !file.place().is_past {
                let (path, at, lag) = (&file.place().path, file.place().position, file.lag());
                let why = format!("{path}: it is gone, and with it what was behind byte {at} ({lag} bytes or more)");
                hand.says.error(self.of.number, "file_gone", 1, why)?;
            }
            file.tell(&self.of.hand(hand), true)?;
        }
        Ok(())
    }

    /// Reads a turn of every file; tells whether there is more to be read now, and whether files have to be looked for.
    pub(super) fn read(&mut self, around: &mut Around<'_>) -> Result<(bool, bool), Ended> {
        let (mut is_more, mut index, mut replaced) = (false, 0, Vec::new());
        while index < self.files.len() {
            let mut hand = self.of.hand(around);
            match self.files[index].read(&mut hand)? {
                Turn::More => is_more = true,
                Turn::Read => {}
                Turn::Replaced => replaced.push(index),
                Turn::Done => {
                    let file = self.files.remove(index);
                    file.tell(&hand, true)?;
                    continue;
                }
            }
            index += 1;
        }
        for index in replaced.iter().copied() {
            let id = self.new_id();
            let old = self.files[index].split(&self.of.settings, id, around.now);
            if old.place().position > 0 {
                old.tell(&self.of.hand(around), false)?;
                self.files.push(old);
            }
            self.files[index].tell(&self.of.hand(around), false)?;
        }
        let lag = self.files.iter().map(Known::lag).sum();
        if self.told_lag.replace(lag) != Some(lag) {
            around.says.say(super::Said::Lag(self.of.number, lag))?;
        }
        Ok((is_more, !replaced.is_empty()))
    }

    /// Whether it has to be looked at again soon, though nothing happens.
    pub(super) fn is_waiting(&self) -> bool {
        self.files.iter().any(Known::is_waiting) || !self.waiting.is_empty()
    }

    /// Whether bytes are looked for.
    pub(super) fn is_searching(&self) -> bool {
        !self.waiting.is_empty() || self.files.iter().any(|file| matches!(file.whereabouts(), Whereabouts::Lost(_)))
    }
}

/// What all sources share in a round.
pub(super) struct Around<'a> {
    pub(super) buffer: &'a mut Vec<u8>,
    pub(super) says: &'a Says,
    pub(super) wall_ns: u64,
    pub(super) now: Duration,
}
