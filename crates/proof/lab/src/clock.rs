//! The only place of the lab that reads clocks.

use std::time::{Duration, Instant, SystemTime};

/// The monotonic time, for waits and for how long something took.
#[allow(clippy::disallowed_methods)] // This is the shell's clock module that the rule points at.
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}

/// Nanoseconds since the Unix epoch, by this machine's wall clock.
#[allow(clippy::disallowed_methods)] // As above.
pub(crate) fn wall_ns() -> u64 {
    nanoseconds(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

/// A span of time in nanoseconds; what does not fit (584 years) becomes the greatest number.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
