//! The thread: rounds of looking and reading, and waiting between them.

use std::collections::BTreeSet;
use std::time::Duration;

use model::ReadTo;

use super::follow::{Around, Follower};
use super::watch::{Happened, Watch};
use super::{Clock, Ended, FileSettings, Says};

/// How often is looked for files where nothing tells of them.
const SCAN: Duration = Duration::from_secs(10);
/// The same while bytes are looked for that are gone.
const SEARCH: Duration = Duration::from_secs(1);
/// How long an idle thread waits before it looks whether anybody still hears it.
const IDLE: Duration = Duration::from_secs(1);
/// Bytes that come within this time go together.
const GATHER: Duration = Duration::from_millis(50);

/// All file sources.
pub(super) struct Reader {
    followers: Vec<Follower>,
    says: Says,
    watch: Watch,
    clock: Clock,
    buffer: Vec<u8>,
    flush_after: Duration,
}

impl Reader {
    pub(super) fn new(sources: Vec<(FileSettings, Vec<ReadTo>)>, says: Says, clock: Clock) -> Self {
        let (now, _) = clock();
        let window = sources.iter().map(|(settings, _)| settings.window()).max().unwrap_or(0);
        let flush_after = sources.iter().map(|(settings, _)| settings.flush_after).min().unwrap_or(IDLE);
        let followers = sources.into_iter().enumerate();
        let followers = followers.map(|(index, (settings, read_to))| Follower::new(settings, index, &read_to, now));
        Self { followers: followers.collect(), says, watch: Watch::new(), clock, buffer: vec![0; window], flush_after }
    }

    /// Reads until nobody hears any more.
    pub(super) fn run(mut self) {
        let mut scanned = None;
        let mut happened = Happened { wrote: true, moved: true };
        while !self.says.is_ended() {
            match self.round(happened, &mut scanned) {
                Ok(next) => happened = next,
                Err(Ended) => return,
            }
        }
    }

    fn round(&mut self, happened: Happened, scanned: &mut Option<Duration>) -> Result<Happened, Ended> {
        let (now, wall_ns) = (self.clock)();
        let Self { followers, says, watch, buffer, flush_after, .. } = self;
        let mut around = Around { buffer, says, wall_ns, now };
        let every = if followers.iter().any(Follower::is_searching) { SEARCH } else { SCAN };
        let is_due = happened.moved || scanned.is_none_or(|at| now.saturating_sub(at) >= every);
        if is_due {
            let mut directories = BTreeSet::new();
            for follower in &mut *followers {
                directories.extend(follower.scan(&mut around)?);
            }
            watch.set(&directories);
            *scanned = Some(now);
        }
        let is_waiting = followers.iter().any(Follower::is_waiting);
        let (mut is_more, mut is_missing) = (false, false);
        if is_due || happened.wrote || is_waiting {
            for follower in &mut *followers {
                let (more, missing) = follower.read(&mut around)?;
                (is_more, is_missing) = (is_more | more, is_missing | missing);
            }
        }
        if is_more || is_missing {
            return Ok(Happened { wrote: true, moved: is_missing | watch.wait(Duration::ZERO).moved });
        }
        let is_waiting = followers.iter().any(Follower::is_waiting);
        let most = if is_waiting { (*flush_after).min(IDLE) } else { IDLE };
        let first = watch.wait(most);
        if first == Happened::default() {
            return Ok(first);
        }
        std::thread::sleep(GATHER);
        let more = watch.wait(Duration::ZERO);
        Ok(Happened { wrote: true, moved: first.moved || more.moved })
    }
}
