//! What the application on the vessel is: its endpoints with their published traffic shares, latencies and errors, and
//! the published ramp of virtual users.

use std::time::Duration;

/// One step inside a request, a child span.
#[derive(Debug)]
pub(crate) struct Step {
    /// The span's name.
    pub(crate) name: &'static str,
    /// Shortest and longest time it takes, in milliseconds.
    pub(crate) ms: (u64, u64),
}

/// One endpoint.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// `http.route`.
    pub(crate) route: &'static str,
    /// How many of a hundred requests go here.
    pub(crate) share: u64,
    /// The child spans, one after the other.
    pub(crate) steps: &'static [Step],
    /// The share of requests that fail with status 500.
    pub(crate) failing: f64,
    /// The share of requests that carry the span event `out-of-range-warning`.
    pub(crate) warning: f64,
    /// The share of requests that are complex, and how much longer their longest step then takes, in milliseconds.
    pub(crate) complex: (f64, (u64, u64)),
    /// How long a user rests after such a request, in milliseconds.
    pub(crate) rest_ms: (u64, u64),
}

const fn step(name: &'static str, shortest: u64, longest: u64) -> Step {
    Step { name, ms: (shortest, longest) }
}

/// The published endpoints. The sums of the steps are the published ranges: engine 46 to 90 ms, navigation 39 to 88,
/// diagnostics 275 to 649 (complex ones 755 to 1,349), alerts 60 to 136.
pub(crate) const ENDPOINTS: [Endpoint; 4] = [
    Endpoint {
        route: "/api/sensors/engine",
        share: 50,
        steps: &[
            step("read engine temperature", 12, 24),
            step("read oil pressure", 10, 20),
            step("read shaft speed", 14, 26),
            step("validate engine readings", 10, 20),
        ],
        failing: 0.0,
        warning: 0.05,
        complex: (0.0, (0, 0)),
        rest_ms: (100, 500),
    },
    Endpoint {
        route: "/api/sensors/navigation",
        share: 30,
        steps: &[
            step("read position", 10, 22),
            step("read heading", 8, 20),
            step("correct drift", 12, 26),
            step("project course", 9, 20),
        ],
        failing: 0.0,
        warning: 0.0,
        complex: (0.0, (0, 0)),
        rest_ms: (100, 500),
    },
    Endpoint {
        route: "/api/analytics/diagnostics",
        share: 12,
        steps: &[
            step("collect history", 40, 95),
            step("load baseline", 55, 130),
            step("run models", 60, 140),
            step("correlate vibration", 50, 120),
            step("score components", 45, 104),
            step("write report", 25, 60),
        ],
        failing: 0.0,
        warning: 0.0,
        complex: (0.15, (480, 700)),
        rest_ms: (2_000, 7_000),
    },
    Endpoint {
        route: "/api/alerts/system",
        share: 8,
        steps: &[
            step("poll sensors", 15, 34),
            step("evaluate thresholds", 15, 34),
            step("call alert bus", 20, 44),
            step("acknowledge alerts", 10, 24),
        ],
        failing: 0.20,
        warning: 0.0,
        complex: (0.0, (0, 0)),
        rest_ms: (100, 500),
    },
];

/// The published ramp: how many users there are at the end of each stage; the last number stays.
const RAMP: [(u64, f64); 3] = [(30, 100.0), (30, 250.0), (60, 500.0)];

/// How much of the published load is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ramp {
    /// Users per published user.
    pub(crate) users: f64,
    /// How many times faster than published the stages pass. Users themselves act at the published pace.
    pub(crate) speed: f64,
}

impl Ramp {
    /// When each user begins, from the start of the load.
    pub(crate) fn beginnings(self) -> Vec<Duration> {
        let mut beginnings = Vec::new();
        let (mut users_before, mut seconds_before) = (0.0, 0.0);
        for (seconds, users) in RAMP {
            let (seconds, users) = (seconds as f64 / self.speed, users * self.users);
            // User number n begins when the line of this stage passes n.
            while (beginnings.len() as f64) < users.floor() {
                let share = (beginnings.len() as f64 - users_before) / (users - users_before);
                beginnings.push(Duration::from_secs_f64(seconds_before + seconds * share.max(0.0)));
            }
            seconds_before += seconds;
            users_before = users;
        }
        beginnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the published ramp, and a tenth of it ten times as fast. Guarantees: 100 users at 30 s, 250 at 60 s,
    /// 500 at 120 s and ever after; scaled in both ways alike.
    #[test]
    fn the_ramp_is_the_published_one() {
        let users_at = |ramp: Ramp, seconds: f64| {
            ramp.beginnings().iter().filter(|beginning| beginning.as_secs_f64() < seconds).count()
        };
        let published = Ramp { users: 1.0, speed: 1.0 };
        for (seconds, users) in [(30.0, 100), (60.0, 250), (90.0, 375), (120.0, 500), (9_999.0, 500)] {
            assert_eq!(users_at(published, seconds), users, "at {seconds} s");
        }
        let scaled = Ramp { users: 0.1, speed: 10.0 };
        for (seconds, users) in [(3.0, 10), (6.0, 25), (12.0, 50)] {
            assert_eq!(users_at(scaled, seconds), users, "at {seconds} s");
        }
    }

    /// Scenario: the table of endpoints. Guarantees: the shares make a whole, and the sums of the steps are the
    /// published ranges.
    #[test]
    fn the_endpoints_are_the_published_ones() {
        assert_eq!(ENDPOINTS.iter().map(|endpoint| endpoint.share).sum::<u64>(), 100);
        let sums = ENDPOINTS
            .each_ref()
            .map(|endpoint| endpoint.steps.iter().fold((0, 0), |sum, step| (sum.0 + step.ms.0, sum.1 + step.ms.1)));
        assert_eq!(sums, [(46, 90), (39, 88), (275, 649), (60, 136)]);
        assert_eq!(ENDPOINTS.each_ref().map(|endpoint| endpoint.steps.len()), [4, 4, 6, 4]);
        let complex = ENDPOINTS[2].complex.1;
        assert_eq!((275 + complex.0, 649 + complex.1), (755, 1_349));
    }
}
