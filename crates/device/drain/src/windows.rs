//! When a destination may be sent to: on links that cost nothing at night, say.

use std::time::Duration;

/// The length of a day, nanoseconds.
const DAY_NS: u64 = 86_400 * SECOND_NS;
const SECOND_NS: u64 = 1_000_000_000;

/// Stretches of each day, UTC, in which it is sent to.
#[derive(Debug, Clone, Default)]
pub struct Windows {
    /// Start and length, nanoseconds since midnight; one may end on the next day.
    stretches: Vec<(u64, u64)>,
    /// An operator opened it until the next one begins, Unix nanoseconds.
    opened_until_ns: u64,
}

impl Windows {
    /// Of stretches, each from one second of the day to another one, which may be on the next day. Without any it is sent to at all times.
    pub fn new(stretches: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let stretch = |(from, to): (u32, u32)| {
            let (from, to) = (u64::from(from) * SECOND_NS % DAY_NS, u64::from(to) * SECOND_NS % DAY_NS);
            // From a time to the same one is a whole day.
            let length = if to > from { to - from } else { to + DAY_NS - from };
            (from, length)
        };
        Self { stretches: stretches.into_iter().map(stretch).collect(), opened_until_ns: 0 }
    }

    /// How long to wait until it may be sent to; nothing while it may.
    pub fn wait(&self, wall_ns: u64) -> Duration {
        if wall_ns < self.opened_until_ns {
            return Duration::ZERO;
        }
        self.until_next(wall_ns)
    }

    /// An operator wants it sent to now: it may be until the next window, and in that.
    pub fn open(&mut self, wall_ns: u64) {
        let until_next = self.until_next(wall_ns).as_nanos() as u64;
        self.opened_until_ns = wall_ns.saturating_add(until_next);
    }

    fn until_next(&self, wall_ns: u64) -> Duration {
        let of_day = wall_ns % DAY_NS;
        let until = |(from, length): &(u64, u64)| {
            let since = (of_day + DAY_NS - from) % DAY_NS;
            if since < *length { 0 } else { DAY_NS - since }
        };
        Duration::from_nanos(self.stretches.iter().map(until).min().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600 * SECOND_NS;
    /// A midnight.
    const START: u64 = 20_000 * DAY_NS;

    fn hours(windows: &Windows, hour: f64) -> f64 {
        windows.wait(START + (hour * HOUR as f64) as u64).as_secs_f64() / 3600.0
    }

    /// Scenario: a window at noon and one over midnight, asked about at all times. Guarantees: it is open from its first moment and no more
    /// at its last; else the wait is to the next one.
    #[test]
    fn it_is_open_when_the_day_says_so() {
        let windows = Windows::new([(12 * 3600, 13 * 3600), (22 * 3600, 4 * 3600)]);
        for (hour, wait) in [(0.0, 0.0), (3.75, 0.0), (4.0, 8.0), (11.5, 0.5), (12.0, 0.0), (13.0, 9.0), (22.0, 0.0)] {
            assert_eq!(hours(&windows, hour), wait, "{hour}");
        }
        assert_eq!(hours(&Windows::default(), 5.0), 0.0, "no window, no wait");
        assert_eq!(hours(&Windows::new([(3600, 3600)]), 0.5), 0.0, "a whole day");
    }

    /// Scenario: an operator opens it in between. Guarantees: it is open until the next window, and closed after that.
    #[test]
    fn an_operator_opens_it() {
        let mut windows = Windows::new([(12 * 3600, 13 * 3600)]);
        windows.open(START + 14 * HOUR);
        assert_eq!((hours(&windows, 14.0), hours(&windows, 35.9)), (0.0, 0.0));
        assert_eq!((hours(&windows, 36.5), hours(&windows, 37.0)), (0.0, 23.0));
    }
}
