//! How fast a destination may be sent to.

use std::time::Duration;

/// A bound of bytes a second. What was sent is paid for by waiting; what was not used is not saved up.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    bytes_per_s: u64,
    /// When everything that was sent is paid for, monotonic nanoseconds.
    free_at_ns: u64,
}

impl Pace {
    /// At most so many bytes a second, at least one.
    pub fn new(bytes_per_s: u64) -> Self {
        Self { bytes_per_s: bytes_per_s.max(1), free_at_ns: 0 }
    }

    /// So many bytes were sent at this time.
    pub fn sent(&mut self, bytes: u64, now_ns: u64) {
        let costs = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_s);
        self.free_at_ns = self.free_at_ns.max(now_ns).saturating_add(u64::try_from(costs).unwrap_or(u64::MAX));
    }

    /// How long to wait before more may be sent.
    pub fn wait(&self, now_ns: u64) -> Duration {
        Duration::from_nanos(self.free_at_ns.saturating_sub(now_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: blocks of all sizes are sent whenever they may, with pauses in between, for a simulated hour. Guarantees: no stretch of it
    /// has more bytes than its length allows, but for one block; nothing waits longer than what was sent last costs (P9).
    #[test]
    fn no_stretch_is_faster_than_allowed() {
        const SECOND: u64 = 1_000_000_000;
        let (mut pace, mut now, mut random) = (Pace::new(4096), 5 * SECOND, 7u64);
        let mut sent: Vec<(u64, u64)> = Vec::new();
        while now < 3600 * SECOND {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let wait = pace.wait(now);
            assert!(wait <= Duration::from_secs(65_536 / 4096), "{wait:?}");
            now += wait.as_nanos() as u64 + random % (3 * SECOND);
            let bytes = 1 + (random >> 20) % 65_536;
            pace.sent(bytes, now);
            sent.push((now, bytes));
        }
        for first in 0..sent.len() {
            let (mut bytes, from) = (0, sent[first].0);
            for (at, more) in &sent[first + 1..] {
                bytes += more;
                // What was sent first had to be paid for before the second.
                let allowed = 4096 * (at - from) / SECOND + 65_536;
                assert!(bytes <= allowed, "{bytes} bytes in {} ns", at - from);
            }
        }
        let mut none = Pace::new(0);
        none.sent(u64::MAX, u64::MAX);
        assert_eq!(none.wait(u64::MAX), Duration::ZERO);
    }
}
