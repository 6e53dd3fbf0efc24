//! Rates: token buckets for the limiting policies, and the counters of a composite.

/// A token bucket that starts full. What asks for more than it can ever hold never passes.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenBucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    last_ns: u64,
}

impl TokenBucket {
    /// Refilled by so many a second; holds at most `burst`, or twice the rate where that is 0.
    pub fn new(per_second: u64, burst: u64) -> Self {
        let burst = if burst == 0 { per_second.saturating_mul(2) } else { burst } as f64;
        Self { per_second: per_second as f64, burst, tokens: burst, last_ns: 0 }
    }

    /// Takes so many tokens, if they are there.
    pub(crate) fn take(&mut self, tokens: u64, now_ns: u64) -> bool {
        let passed = now_ns.saturating_sub(self.last_ns) as f64 / 1e9;
        self.tokens = (self.tokens + passed * self.per_second).min(self.burst);
        self.last_ns = self.last_ns.max(now_ns);
        let enough = self.tokens >= tokens as f64;
        if enough {
            self.tokens -= tokens as f64;
        }
        enough
    }
}

/// Spans that went through in the running second.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PerSecond {
    second: u64,
    spans: u64,
}

impl PerSecond {
    /// Lets spans through while the second has had no more than `most` with them.
    pub(crate) fn take(&mut self, spans: u64, most: u64, now_ns: u64) -> bool {
        let second = now_ns / 1_000_000_000;
        if second != self.second {
            *self = Self { second, spans: 0 };
        }
        let passes = self.spans + spans <= most;
        if passes {
            self.spans += spans;
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Scenario: a full bucket is emptied, refills, and is asked for more than it holds.
    /// Guarantees: the burst passes once, then the rate; what is too large never passes and takes nothing.
    #[test]
    fn a_bucket_holds_its_rate() {
        let mut bucket = TokenBucket::new(100, 0);
        assert!(bucket.take(200, 0));
        assert!(!bucket.take(1, 0));
        assert!(bucket.take(50, SECOND / 2));
        assert!(!bucket.take(1, SECOND / 2));
        assert!(!bucket.take(201, 100 * SECOND));
        assert!(bucket.take(200, 100 * SECOND));
        let mut small = TokenBucket::new(100, 7);
        assert!(small.take(7, 0) && !small.take(1, 0));
        let mut passed = 0;
        for step in 0..10_000u64 {
            passed += u64::from(bucket.take(1, 200 * SECOND + step * SECOND / 1000));
        }
        assert!((1_199..=1_201).contains(&passed), "{passed} in ten seconds, with a burst of 200");
    }

    /// Scenario: seconds of ten spans. Guarantees: each second begins anew.
    #[test]
    fn seconds_begin_anew() {
        let mut counter = PerSecond::default();
        assert!(counter.take(6, 10, 0) && !counter.take(5, 10, 1) && counter.take(4, 10, SECOND - 1));
        assert!(counter.take(10, 10, SECOND));
    }
}
