//! Token buckets, one for each value that a rule counts apart.

use std::collections::BTreeMap;

/// The most values that a rule counts apart: those beyond it share one bucket.
pub(crate) const MAX_KEYS: usize = 256;

const SECOND: f64 = 1e9;

#[derive(Debug, Clone, Copy, PartialEq)]
struct Bucket {
    tokens: f64,
    last_ns: u64,
}

/// The buckets of a rule.
#[derive(Debug)]
pub(crate) struct Buckets {
    per_second: f64,
    burst: f64,
    by_key: BTreeMap<u64, Bucket>,
}

/// The bucket of those that are beyond [`MAX_KEYS`], and of all where nothing is counted apart.
const TOGETHER: u64 = 0;

impl Buckets {
    /// Buckets that begin with a second's worth, so that a restart is no way around them.
    pub(crate) fn new(per_second: f64, burst: f64) -> Self {
        Self { per_second, burst, by_key: BTreeMap::new() }
    }

    /// The bucket that stands for a key, refilled; and whether it has a token.
    pub(crate) fn look(&mut self, key: u64, now_ns: u64) -> (u64, bool) {
        let key = if self.by_key.contains_key(&key) || self.has_place(now_ns) { key } else { TOGETHER };
        let first = self.per_second.clamp(1.0, self.burst);
        let bucket = self.by_key.entry(key).or_insert(Bucket { tokens: first, last_ns: now_ns });
        let passed = now_ns.saturating_sub(bucket.last_ns) as f64 / SECOND;
        bucket.tokens = (bucket.tokens + passed * self.per_second).min(self.burst);
        bucket.last_ns = bucket.last_ns.max(now_ns);
        (key, bucket.tokens >= 1.0)
    }

    /// Takes tokens out of a bucket that was looked at; gives them back where there are fewer than none.
    pub(crate) fn take(&mut self, key: u64, tokens: f64) {
        if let Some(bucket) = self.by_key.get_mut(&key) {
            bucket.tokens = (bucket.tokens - tokens).min(self.burst);
        }
    }

    /// Whether one more value can be counted apart; those that used nothing lately go for it.
    fn has_place(&mut self, now_ns: u64) -> bool {
        if self.by_key.len() < MAX_KEYS {
            return true;
        }
        let (rate, burst) = (self.per_second, self.burst);
        let full = |one: &Bucket| one.tokens + now_ns.saturating_sub(one.last_ns) as f64 / SECOND * rate >= burst;
        let idle = self.by_key.iter().find(|(key, one)| **key != TOGETHER && full(one)).map(|(key, _)| *key);
        idle.is_some_and(|key| self.by_key.remove(&key).is_some())
    }
}
