//! What a person, an alert or a hub asks of sampling, and what it remembers.

use sampling::{Raised, Remembered};

use super::Pipeline;

impl Pipeline {
    /// Opens an incident window until then; in the past: ends every one that is open.
    pub fn set_incident(&mut self, until_ns: u64, now_ns: u64) {
        self.undecided.sampler_mut().set_incident(until_ns, now_ns);
    }

    /// A hub wants an incident window open for so long from now on; 0: not any more.
    pub fn set_remote_incident(&mut self, for_ns: u64, now_ns: u64) {
        self.undecided.sampler_mut().set_remote_incident(for_ns, now_ns);
    }

    /// Keeps every trace of a route until then; false when too many routes are kept already.
    pub fn keep_route(&mut self, route: &str, until_ns: u64, now_ns: u64) -> bool {
        self.undecided.sampler_mut().keep_route(route, until_ns, now_ns)
    }

    /// Alerts that were raised since the last call.
    pub fn take_raised(&mut self) -> Vec<Raised> {
        self.undecided.sampler_mut().take_raised()
    }

    /// Decisions that are remembered, with their ages in nanoseconds, oldest first.
    pub fn decisions(&self, now_ns: u64) -> impl Iterator<Item = (Remembered, u64)> {
        self.undecided.decisions(now_ns)
    }
}
