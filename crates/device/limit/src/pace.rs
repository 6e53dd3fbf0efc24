//! A rate of traces as a probability that follows what comes, so that each kept trace says how many it stands for.

use sampling::{ALWAYS, NEVER, threshold};

/// How far back is looked for what comes, and over what a debt is paid back.
const WINDOW_NS: f64 = 1e9;
/// What is left of the rate while more was let pass than may: never nothing, so that what is kept still stands for the others.
const LEAST: f64 = 0.1;

/// Lets so many traces a second pass, on average, by a threshold that is set before a trace's randomness is looked at.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    per_second: f64,
    burst: f64,
    /// What may pass beyond the rate; below zero, what passed beyond it.
    credit: f64,
    /// What came, each the less the longer ago.
    came: f64,
    last_ns: Option<u64>,
}

impl Pace {
    pub(crate) fn new(per_second: f64, burst: f64) -> Self {
        Self { per_second, burst, credit: 0.0, came: 0.0, last_ns: None }
    }

    /// A trace comes: the threshold that it has to reach.
    pub(crate) fn next(&mut self, now_ns: u64) -> u64 {
        let passed = self.last_ns.map_or(0.0, |last| now_ns.saturating_sub(last) as f64);
        self.last_ns = Some(self.last_ns.unwrap_or(0).max(now_ns));
        self.came = self.came * (-passed / WINDOW_NS).exp() + 1.0;
        self.credit = (self.credit + passed / 1e9 * self.per_second).min(self.burst);
        let a_second = self.came / (WINDOW_NS / 1e9);
        let wanted = (self.per_second + self.credit).max(self.per_second * LEAST);
        let share = wanted / a_second;
        if share >= 1.0 { ALWAYS } else { threshold(share).min(NEVER - 1) }
    }

    /// It reached it.
    pub(crate) fn passed(&mut self) {
        self.credit -= 1.0;
    }
}
