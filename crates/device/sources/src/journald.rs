//! The journal of systemd, through `journalctl`, which knows its files: kept running, and read in the export format. The cursor of the last entry
//! rides in the commit that has it.

use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use model::{Position, ReadTo, Signal};
use tail::{Batch, Exported, JournalEntry, read_exported};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::time::{Instant, sleep};

use crate::Feed;
use crate::children::{Child, Outcome, Words};
use crate::lines::{CHUNK, Giver};

/// How long is waited before `journalctl` is started again: from, and at most.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// What its position is known by.
const KEY: &[u8] = b"journald";
/// What each entry begins with.
const START: &[u8] = b"\n__CURSOR=";

/// Where reading begins at the very first start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Behind the last entry.
    End,
    /// At the first entry.
    Beginning,
    /// At the first entry of this time or a later one, Unix nanoseconds.
    Time(u64),
}

/// How the journal is read.
#[derive(Debug, Clone)]
pub struct JournaldSettings {
    /// `journalctl` and arguments of its own: which units, which directory.
    pub command: Vec<String>,
    /// Where reading begins at the very first start.
    pub start: Start,
    /// The most bytes of an entry.
    pub max_entry: usize,
    /// Attributes of the resource.
    pub resource: Vec<(String, String)>,
}

impl JournaldSettings {
    /// The most memory that it takes here, bytes.
    pub fn budget(&self) -> u64 {
        (4 * self.max_entry + 4 * CHUNK + (128 << 10)) as u64
    }
}

/// Reads for ever; `read_to` is how far it was, with all other sources.
pub async fn run(settings: JournaldSettings, feed: Feed, wall_ns: Rc<dyn Fn() -> u64>, read_to: Vec<ReadTo>) {
    let known = read_to.into_iter().find(|one| &*one.key == KEY);
    let (next, again) = known.map_or_else(Default::default, |known| (known.next, known.again));
    let cursor = String::from_utf8(next.into()).ok().filter(|cursor| !cursor.is_empty());
    let mut journal = Journal { settings, giver: Giver::new(feed, wall_ns), cursor };
    for read in again {
        journal.read_again(&read).await;
    }
    let mut wait = AGAIN.0;
    loop {
        let started = Instant::now();
        Box::pin(journal.follow()).await;
        if started.elapsed() >= AGAIN.1 {
            wait = AGAIN.0;
        }
        sleep(wait).await;
        wait = (2 * wait).min(AGAIN.1);
    }
}

struct Journal {
    settings: JournaldSettings,
    giver: Giver,
    /// Of the last entry that was taken in.
    cursor: Option<String>,
}

impl Journal {
    /// Runs `journalctl` and takes in what it says, until it ends.
    async fn follow(&mut self) {
        let mut arguments = vec!["--follow".to_owned()];
        let mut skips_before_us = None;
        match (&self.cursor, self.settings.start) {
            (Some(cursor), _) => arguments.extend([format!("--after-cursor={cursor}"), "--no-tail".to_owned()]),
            (None, Start::Beginning) => arguments.push("--no-tail".to_owned()),
            (None, Start::Time(time_ns)) => {
                arguments.extend([format!("--since=@{}", time_ns / 1_000_000_000), "--no-tail".to_owned()]);
            }
            (None, Start::End) => {
                // The last entry that is there: its cursor is where this begins.
                arguments.push("--lines=1".to_owned());
                skips_before_us = Some(self.giver.wall_ns() / 1000);
            }
        }
        let state = Rc::clone(self.giver.feed.state());
        let Some((mut child, stdout, stderr)) = self.start(&arguments) else { return };
        let mut words = Words::default();
        {
            let mut reading =
                pin!(async { tokio::join!(self.take_in(stdout, skips_before_us), words.read(stderr, &state)) });
            let (_, ()) = reading.as_mut().await;
        }
        let outcome = child.exited().await.map_or(Outcome::TimedOut, Outcome::Exited);
        let (reason, what) = outcome.error().unwrap_or(("ended", "journalctl ended, though it is to go on".to_owned()));
        let said = words.last();
        let why = if said.is_empty() { what } else { format!("{what}: {said}") };
        state.error(reason, 1, &why);
    }

    /// Reads once more what was undecided when an earlier life was killed.
    async fn read_again(&mut self, read: &[u8]) {
        let told = std::str::from_utf8(read).ok().and_then(|text| text.rsplit_once(' '));
        let Some((first, count)) = told.and_then(|(first, count)| Some((first, count.parse::<u64>().ok()?))) else {
            return;
        };
        let Some((child, mut stdout, _)) = self.start(&[format!("--cursor={first}")]) else { return };
        let (mut entries, mut batch) = (Entries::new(self.settings.max_entry), Batch::default());
        while batch.records() < count && entries.read(&mut stdout).await {
            while let Some(entry) = entries.next(&self.giver).filter(|_| batch.records() < count) {
                entry.write(&self.settings.resource, self.giver.wall_ns(), &mut batch);
            }
        }
        child.end().await;
        let (body, records) = batch.take();
        let position =
            Position { key: KEY.into(), read: read.into(), next: read.into(), is_again: true, is_done: false };
        self.giver.give_read(Signal::Logs, body, records, position).await;
    }

    fn start(&self, arguments: &[String]) -> Option<(Child, ChildStdout, ChildStderr)> {
        let fixed = ["--output=export", "--no-pager", "--quiet"].map(str::to_owned);
        let command: Vec<String> = self.settings.command.iter().chain(&fixed).chain(arguments).cloned().collect();
        let started = Child::start(&command, &[], Path::new("/"));
        let told = started.map_err(|error| {
            let program = command.first().map_or("", String::as_str);
            self.giver.feed.state().error("start", 1, &format!("{program} cannot be run: {error}"));
        });
        told.ok()
    }

    /// Takes entries in to the end of the output. The first one is passed over where it is older than `skips_before_us`, Unix microseconds.
    async fn take_in(&mut self, mut from: impl AsyncRead + Unpin, mut skips_before_us: Option<u64>) {
        let mut entries = Entries::new(self.settings.max_entry);
        let (mut batch, mut first) = (Batch::default(), String::new());
        while entries.read(&mut from).await {
            while let Some(entry) = entries.next(&self.giver) {
                let Some(cursor) = entry.cursor().map(str::to_owned) else {
                    self.giver.feed.state().error("bad_entry", 1, "an entry has no cursor; it is left out");
                    continue;
                };
                let is_old = skips_before_us.take().is_some_and(|us| entry.received_us().is_some_and(|at| at < us));
                if is_old {
                    let position = position(&cursor, 0, &cursor);
                    self.cursor = Some(cursor);
                    self.giver.give_read(Signal::Logs, Vec::new(), 0, position).await;
                    continue;
                }
                if batch.records() == 0 {
                    first.clone_from(&cursor);
                }
                entry.write(&self.settings.resource, self.giver.wall_ns(), &mut batch);
                self.cursor = Some(cursor);
                if batch.is_full() {
                    self.give(&mut batch, &first).await;
                }
            }
            self.give(&mut batch, &first).await;
        }
    }

    async fn give(&self, batch: &mut Batch, first: &str) {
        if batch.records() > 0 {
            let (body, records) = batch.take();
            let position = position(first, records, self.cursor.as_deref().unwrap_or_default());
            self.giver.give_read(Signal::Logs, body, records, position).await;
        }
    }
}

/// So many entries from `first` on were read; the last one is that of the cursor `next`.
fn position(first: &str, count: u64, next: &str) -> Position {
    let read = format!("{first} {count}").into_bytes().into();
    Position { key: KEY.into(), read, next: next.as_bytes().into(), is_again: false, is_done: false }
}

/// A stream of entries.
struct Entries {
    buffer: Vec<u8>,
    at: usize,
    most: usize,
    /// Whether what is left of an entry that is too large is passed over.
    is_passing: bool,
}

impl Entries {
    fn new(most: usize) -> Self {
        Self { buffer: Vec::new(), at: 0, most, is_passing: false }
    }

    /// Reads on; false at the end.
    async fn read(&mut self, from: &mut (impl AsyncRead + Unpin)) -> bool {
        self.buffer.drain(..self.at);
        self.at = 0;
        let length = self.buffer.len();
        self.buffer.resize(length + CHUNK, 0);
        let read = from.read(&mut self.buffer[length..]).await.unwrap_or(0);
        self.buffer.truncate(length + read);
        read > 0
    }

    /// The next entry that is whole.
    fn next(&mut self, giver: &Giver) -> Option<JournalEntry<'_>> {
        if self.is_passing {
            let rest = &self.buffer[self.at..];
            match rest.windows(START.len()).position(|bytes| bytes == START) {
                Some(start) => (self.at, self.is_passing) = (self.at + start + 1, false),
                None => {
                    self.at = self.buffer.len().saturating_sub(START.len()).max(self.at);
                    return None;
                }
            }
        }
        while let Exported::Nothing(used) = read_exported(&self.buffer[self.at..]) {
            self.at += used;
        }
        match read_exported(&self.buffer[self.at..]) {
            Exported::Entry(entry, used) => {
                self.at += used;
                Some(entry)
            }
            Exported::Nothing(_) | Exported::More => {
                if self.buffer.len() - self.at > self.most {
                    let why = format!("an entry is larger than {} bytes (max_entry); it is left out", self.most);
                    giver.feed.state().error("too_large", 1, &why);
                    (self.is_passing, self.at) = (true, self.buffer.len() - START.len());
                }
                None
            }
        }
    }
}
