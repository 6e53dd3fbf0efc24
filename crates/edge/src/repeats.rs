//! Requests that come again because their answer was lost: told by the producer's key.

use std::collections::{HashSet, VecDeque};

/// How many keys are remembered: minutes of requests, and at most about 100 KiB.
const KEYS: usize = 512;

/// The keys of the last accepted requests. They live in memory: a request that comes again after a restart is new.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    known: HashSet<Box<[u8]>>,
    order: VecDeque<Box<[u8]>>,
}

impl Repeats {
    /// Whether a request with this key was accepted.
    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.known.contains(key)
    }

    /// Remembers the key of an accepted request; the oldest one makes room.
    pub(crate) fn remember(&mut self, key: Box<[u8]>) {
        if self.order.len() >= KEYS
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(key.clone());
        self.known.insert(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: more keys than are remembered. Guarantees: the latest are known, the oldest are not, and memory is
    /// bounded (P9).
    #[test]
    fn the_latest_keys_are_known() {
        let mut repeats = Repeats::default();
        for number in 0..2 * KEYS {
            repeats.remember(number.to_string().into_bytes().into());
        }
        assert!(repeats.contains(b"1000") && !repeats.contains(b"100"));
        assert_eq!((repeats.known.len(), repeats.order.len()), (KEYS, KEYS));
    }
}
