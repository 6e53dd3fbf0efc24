//! The only place of the task runner that reads a clock.

use std::time::Instant;

/// The monotonic time, for reports of how long a step took.
#[allow(clippy::disallowed_methods)] // This is the shell's clock module that the rule points at.
pub(crate) fn now() -> Instant {
    Instant::now()
}
