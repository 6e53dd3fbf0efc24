//! What moves by itself: the latency threshold, the volume budget, and the share that is kept.

/// How the latency threshold follows the 95th percentile of all traces, those that are dropped included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adaptive {
    /// Where it begins, nanoseconds.
    pub start_ns: u64,
    /// Never below this.
    pub floor_ns: u64,
    /// Never above this.
    pub ceiling_ns: u64,
    /// How far it moves at once.
    pub step_ns: u64,
    /// How often it is looked at.
    pub interval_ns: u64,
}

/// Eight buckets for each doubling, from a millisecond to about 17 minutes.
const BUCKETS: usize = 160;
const PER_DOUBLING: f64 = 8.0;
/// With fewer traces than this in an interval the threshold stays.
const LEAST_TRACES: u64 = 50;
/// The threshold moves when this many intervals in a row ask for the same.
const IN_A_ROW: u8 = 2;

/// The running threshold.
#[derive(Debug)]
pub(crate) struct Threshold {
    options: Adaptive,
    pub(crate) ns: u64,
    buckets: Box<[u32; BUCKETS]>,
    traces: u64,
    next_ns: u64,
    asked: i8,
    in_a_row: u8,
}

impl Threshold {
    pub(crate) fn new(options: Adaptive) -> Self {
        let ns = options.start_ns.clamp(options.floor_ns, options.ceiling_ns.max(options.floor_ns));
        Self { options, ns, buckets: Box::new([0; BUCKETS]), traces: 0, next_ns: 0, asked: 0, in_a_row: 0 }
    }

    pub(crate) fn observe(&mut self, duration_ns: u64) {
        let position = ((duration_ns as f64 / 1e6).max(1.0).log2() * PER_DOUBLING) as usize;
        if let Some(bucket) = self.buckets.get_mut(position.min(BUCKETS - 1)) {
            *bucket += 1;
        }
        self.traces += 1;
    }

    /// The upper end of the bucket that holds the 95th percentile.
    fn p95_ns(&self) -> u64 {
        let mut below = 0;
        for (position, count) in self.buckets.iter().enumerate() {
            below += u64::from(*count);
            if below * 100 >= self.traces * 95 {
                return (((position + 1) as f64 / PER_DOUBLING).exp2() * 1e6) as u64;
            }
        }
        u64::MAX
    }

    /// Up a step when the percentile comes within a tenth of the threshold, down when it is far below; never up in an
    /// incident, for then more is to be kept, not less.
    pub(crate) fn tick(&mut self, now_ns: u64, incident: bool) {
        if now_ns < self.next_ns {
            return;
        }
        self.next_ns = now_ns.saturating_add(self.options.interval_ns);
        if self.traces < LEAST_TRACES {
            return;
        }
        let p95 = self.p95_ns();
        self.buckets.fill(0);
        self.traces = 0;
        let step = self.options.step_ns;
        let asked = if p95 > self.ns / 10 * 9 {
            1
        } else if p95 < self.ns.saturating_sub(2 * step) / 10 * 9 {
            -1
        } else {
            0
        };
        self.in_a_row = if asked == self.asked { self.in_a_row.saturating_add(1) } else { 1 };
        self.asked = asked;
        if self.in_a_row < IN_A_ROW {
            return;
        }
        match asked {
            1 if !incident => self.ns = (self.ns + step).min(self.options.ceiling_ns),
            -1 => self.ns = self.ns.saturating_sub(step).max(self.options.floor_ns),
            _ => {}
        }
    }
}

/// How often the volume budget is looked at.
const BUDGET_INTERVAL_NS: u64 = 10_000_000_000;
/// Shares are not tightened below this.
const LEAST_SHARE: f64 = 1e-3;

/// Bytes an hour that may be kept. Beyond it probabilistic policies keep less; when that is not enough, so do all others,
/// but what failed is always kept.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes_per_second: f64,
    /// What is left of probabilistic shares.
    pub(crate) probabilistic: f64,
    /// What is left of what other policies keep, errors apart.
    pub(crate) others: f64,
    bytes: u64,
    since_ns: u64,
}

impl Budget {
    pub(crate) fn new(bytes_per_hour: u64) -> Self {
        Self {
            bytes_per_second: bytes_per_hour as f64 / 3600.0,
            probabilistic: 1.0,
            others: 1.0,
            bytes: 0,
            since_ns: 0,
        }
    }

    pub(crate) fn kept(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    pub(crate) fn tick(&mut self, now_ns: u64) {
        let passed = now_ns.saturating_sub(self.since_ns);
        if passed < BUDGET_INTERVAL_NS {
            return;
        }
        let rate = self.bytes as f64 / (passed as f64 / 1e9);
        (self.bytes, self.since_ns) = (0, now_ns);
        let factor = if rate > self.bytes_per_second { (self.bytes_per_second / rate).max(0.5) } else { 1.1 };
        if factor < 1.0 {
            // Probabilistic policies first.
            if self.probabilistic > LEAST_SHARE {
                self.probabilistic = (self.probabilistic * factor).max(LEAST_SHARE);
            } else {
                self.others = (self.others * factor).max(LEAST_SHARE);
            }
        } else if rate < 0.9 * self.bytes_per_second {
            // And last to be let go again.
            if self.others < 1.0 {
                self.others = (self.others * factor).min(1.0);
            } else {
                self.probabilistic = (self.probabilistic * factor).min(1.0);
            }
        }
    }
}

/// Minutes over which the kept share is told.
const MINUTES: usize = 5;
const MINUTE_NS: u64 = 60_000_000_000;

/// The share of spans that is kept, over the last minutes.
#[derive(Debug, Default)]
pub(crate) struct KeptShare {
    /// (kept, decided) of each minute.
    minutes: [(u64, u64); MINUTES],
    current: u64,
}

impl KeptShare {
    pub(crate) fn count(&mut self, spans: u64, kept: bool, now_ns: u64) {
        let minute = now_ns / MINUTE_NS;
        let passed = minute.saturating_sub(self.current).min(MINUTES as u64);
        for step in 0..passed {
            self.minutes[((minute - step) % MINUTES as u64) as usize] = (0, 0);
        }
        self.current = self.current.max(minute);
        let entry = &mut self.minutes[(self.current % MINUTES as u64) as usize];
        entry.0 += if kept { spans } else { 0 };
        entry.1 += spans;
    }

    /// From 0 to 1; `None` while nothing was decided.
    pub(crate) fn share(&self) -> Option<f64> {
        let (kept, decided) = self.minutes.iter().fold((0, 0), |(a, b), (kept, all)| (a + kept, b + all));
        (decided > 0).then(|| kept as f64 / decided as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const SECOND: u64 = 1_000 * MS;

    fn interval(threshold: &mut Threshold, now: &mut u64, p95_ms: u64, incident: bool) -> u64 {
        for number in 0..100 {
            threshold.observe(if number < 90 { 10 * MS } else { p95_ms * MS });
        }
        *now += 60 * SECOND;
        threshold.tick(*now, incident);
        threshold.ns / MS
    }

    /// Scenario: the 95th percentile creeps up to the threshold, an incident begins and ends, then all is fast again.
    /// Guarantees: one step at a time, after two intervals in a row; never up in an incident; floor and ceiling hold.
    #[test]
    fn the_threshold_follows_with_hysteresis() {
        let options = Adaptive {
            start_ns: 200 * MS,
            floor_ns: 150 * MS,
            ceiling_ns: 300 * MS,
            step_ns: 50 * MS,
            interval_ns: 60 * SECOND,
        };
        let mut threshold = Threshold::new(options);
        let mut now = 0;
        assert_eq!(interval(&mut threshold, &mut now, 195, false), 200, "once is not enough");
        assert_eq!(interval(&mut threshold, &mut now, 195, false), 250);
        assert_eq!(interval(&mut threshold, &mut now, 180, false), 250, "within the band");
        for _ in 0..3 {
            assert_eq!(interval(&mut threshold, &mut now, 2_000, true), 250, "not in an incident");
        }
        assert_eq!(interval(&mut threshold, &mut now, 2_000, false), 300);
        assert_eq!(interval(&mut threshold, &mut now, 2_000, false), 300, "the ceiling");
        let after: Vec<u64> = (0..6).map(|_| interval(&mut threshold, &mut now, 20, false)).collect();
        assert_eq!(after, [300, 250, 200, 150, 150, 150]);
    }

    /// Scenario: twice the budget, for long, then little. Guarantees: probabilistic shares give way first, then the others;
    /// they come back in the opposite order.
    #[test]
    fn the_budget_tightens_probabilistic_policies_first() {
        let mut budget = Budget::new(3600 * 1000);
        let mut now = 0;
        let mut step = |budget: &mut Budget, bytes: u64| {
            now += BUDGET_INTERVAL_NS;
            budget.kept(bytes);
            budget.tick(now);
            (budget.probabilistic, budget.others)
        };
        assert_eq!(step(&mut budget, 20_000), (0.5, 1.0));
        for _ in 0..9 {
            step(&mut budget, 20_000);
        }
        assert_eq!(budget.probabilistic, LEAST_SHARE);
        assert_eq!(budget.others, 0.5f64.powi(0), "not before the first are at their least");
        step(&mut budget, 20_000);
        assert_eq!(budget.others, 0.5);
        for _ in 0..8 {
            step(&mut budget, 100);
        }
        assert_eq!((budget.probabilistic, budget.others), (LEAST_SHARE, 1.0));
        step(&mut budget, 100);
        assert!(budget.probabilistic > LEAST_SHARE);
    }

    /// Scenario: minutes of different shares. Guarantees: the gauge tells the last five minutes.
    #[test]
    fn the_share_is_of_the_last_minutes() {
        let mut share = KeptShare::default();
        assert_eq!(share.share(), None);
        share.count(10, true, 0);
        share.count(30, false, MINUTE_NS);
        assert_eq!(share.share(), Some(0.25));
        share.count(30, true, 5 * MINUTE_NS);
        assert_eq!(share.share(), Some(0.5), "the first minute has gone");
        share.count(1, true, 60 * MINUTE_NS);
        assert_eq!(share.share(), Some(1.0));
    }
}
