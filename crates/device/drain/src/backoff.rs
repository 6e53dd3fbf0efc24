//! Waits after failures.

use std::time::Duration;

/// Exponential backoff with full jitter that never gives up.
#[derive(Debug, Clone)]
pub struct Backoff {
    failures: u32,
    max: Duration,
}

const FIRST_WAIT: Duration = Duration::from_millis(500);

impl Backoff {
    /// Waits of at most so long.
    pub fn new(max: Duration) -> Self {
        Self { failures: 0, max: max.max(FIRST_WAIT) }
    }

    /// The next wait: between nothing and twice what it was before, at least what the server asks, up to the maximum. `random` are
    /// 64 random bits.
    pub fn next(&mut self, asked: Option<Duration>, random: u64) -> Duration {
        let ceiling = FIRST_WAIT.saturating_mul(1 << self.failures.min(16)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        let share = (random >> 11) as f64 / (1u64 << 53) as f64;
        ceiling.mul_f64(share).max(Duration::from_millis(20)).max(asked.unwrap_or_default()).min(self.max)
    }

    /// The longest wait.
    pub fn max(&self) -> Duration {
        self.max
    }

    /// Begins anew.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a hundred failures in a row, with the luckiest and the unluckiest numbers.
    /// Guarantees: waits grow, are what the server asks, never exceed the maximum whatever it asks (D7), and never end.
    #[test]
    fn backoff_grows_and_never_ends() {
        let mut backoff = Backoff::new(Duration::from_secs(30));
        let waits: Vec<Duration> = (0..100).map(|_| backoff.next(None, u64::MAX)).collect();
        assert!(waits[0] < Duration::from_secs(1) && waits[0] > Duration::from_millis(400));
        assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!(waits[99] <= Duration::from_secs(30) && waits[99] > Duration::from_secs(29));
        assert_eq!(backoff.next(None, 0), Duration::from_millis(20));
        assert_eq!(backoff.next(Some(Duration::from_secs(20)), 0), Duration::from_secs(20));
        assert_eq!(backoff.next(Some(Duration::from_secs(1_795_928_527)), 0), Duration::from_secs(30));
        backoff.reset();
        assert!(backoff.next(None, u64::MAX) < Duration::from_secs(1));
    }
}
