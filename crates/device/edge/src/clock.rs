//! The one place of the device's program that reads clocks and randomness.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use model::Stamp;

/// 2025-01-01: a wall clock that stands before it was never set.
const FLOOR_NS: u64 = 1_735_689_600_000_000_000;
/// systemd's time service makes this directory when it runs, and the file in it once it is synchronised.
const TIMESYNC: &str = "/run/systemd/timesync";

/// The clocks of this machine.
#[derive(Debug, Clone)]
pub struct Clock {
    start: Instant,
    boot_id: [u8; 16],
}

impl Clock {
    /// Starts counting now.
    #[allow(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn start() -> Self {
        Self { start: Instant::now(), boot_id: boot_id() }
    }

    /// Monotonic nanoseconds since the program started.
    #[allow(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn now_ns(&self) -> u64 {
        u64::try_from(Instant::now().saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Wall time, nanoseconds since the Unix epoch.
    #[allow(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn wall_ns(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Both clocks, as frames carry them.
    pub fn stamp(&self) -> Stamp {
        let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(boot.tv_sec).unwrap_or(0);
        let wall_ns = self.wall_ns();
        Stamp {
            boot_id: self.boot_id,
            uptime_ns: seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(boot.tv_nsec).unwrap_or(0)),
            wall_ns,
            synchronised: synchronised(wall_ns),
        }
    }
}

/// Whether the wall clock can be believed: it was set at all, and a time service that runs here does not say otherwise.
fn synchronised(wall_ns: u64) -> bool {
    let there = |path: &str| std::fs::metadata(path).is_ok();
    wall_ns >= FLOOR_NS && (!there(TIMESYNC) || there(&format!("{TIMESYNC}/synchronized")))
}

/// The kernel's id of this boot; random where the kernel does not tell.
fn boot_id() -> [u8; 16] {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    model::TraceId::from_hex(&digits)
        .map_or_else(|| random().to_le_bytes().repeat(2).try_into().unwrap_or_default(), |id| id.0)
}

/// 64 random bits from the kernel; 0 when it has none, which only costs spread.
pub(crate) fn random() -> u64 {
    getrandom::u64().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the clocks of this machine. Guarantees: monotonic time moves on, stamps are plausible.
    #[test]
    fn stamps_are_plausible() {
        let clock = Clock::start();
        let first = clock.now_ns();
        let stamp = clock.stamp();
        assert!(clock.now_ns() >= first);
        assert!(stamp.wall_ns > FLOOR_NS && stamp.uptime_ns > 0 && stamp.boot_id != [0; 16]);
    }
}
