//! File descriptors: the journal's come first. Connections get what is left of the process's limit.

use rustix::process::{Resource, getrlimit, setrlimit};

/// What the journal, the recorder and single files need at most beside what is open once they run.
const JOURNAL: u64 = 24;
/// What one destination needs: a connection, one that ends, and the lookup of a name.
const DESTINATION: u64 = 3;
/// Connections that are told that there is no place, and listeners that take one before they close another.
const BESIDE: u64 = 10;
/// Fewer connections than this are no intake.
const LEAST: u64 = 4;

/// How many connections there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shares {
    /// Of producers.
    pub(crate) producers: usize,
    /// On the admin address, and as many on the Unix socket.
    pub(crate) admin: usize,
}

/// Raises the limit as far as the system lets it, and gives it.
pub(crate) fn limit() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let before = limit.current;
        limit.current = limit.maximum;
        if setrlimit(Resource::Nofile, limit).is_err() {
            limit.current = before;
        }
    }
    limit.current.unwrap_or(u64::MAX)
}

/// How many are open now.
pub(crate) fn open() -> u64 {
    std::fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64)
}

/// Shares out what a limit leaves; an error says how high it has to be.
pub(crate) fn share(limit: u64, open: u64, destinations: u64, wanted: Shares) -> Result<Shares, u64> {
    let kept = open + JOURNAL + DESTINATION * destinations + BESIDE;
    let left = limit.saturating_sub(kept);
    // Looking at the agent is needed most when there is little.
    let admin = (wanted.admin as u64).min((left / 8).max(1));
    let producers = (wanted.producers as u64).min(left.saturating_sub(2 * admin));
    if producers < LEAST.min(wanted.producers as u64) {
        return Err(kept + LEAST + 2);
    }
    Ok(Shares { producers: producers as usize, admin: admin as usize })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: limits from plenty to too few. Guarantees: connections never take what the journal needs; what is too
    /// few is said, with a number that suffices (P2).
    #[test]
    fn i15_the_journal_comes_first() {
        let wanted = Shares { producers: 256, admin: 8 };
        assert_eq!(share(1024, 20, 1, wanted), Ok(wanted));
        assert_eq!(share(u64::MAX, 20, 1, wanted), Ok(wanted));
        for limit in 0..400 {
            match share(limit, 20, 1, wanted) {
                Ok(shares) => {
                    let used = (shares.producers + 2 * shares.admin) as u64;
                    assert!(used + 20 + JOURNAL + DESTINATION + BESIDE <= limit, "{limit}: {shares:?}");
                    assert!(shares.producers as u64 >= LEAST && shares.admin >= 1);
                }
                Err(needed) => {
                    assert!(needed > limit);
                    assert!(share(needed, 20, 1, wanted).is_ok());
                }
            }
        }
    }
}
