//! Incident windows that operators want open on devices. A device is told with every hello, so nothing has to be repeated
//! when the link comes back; a restart of the hub forgets them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// How many windows may be wanted at one time.
const MOST: usize = 100_000;
const SECOND_NS: u64 = 1_000_000_000;

/// Until when (wall nanoseconds), by device.
#[derive(Debug, Default)]
pub(crate) struct Incidents(Mutex<HashMap<String, u64>>);

impl Incidents {
    /// Wants a window open on a device until this moment, or none when that has passed. False when there are too many.
    pub(crate) fn want(&self, device: &str, until_ns: u64, now_ns: u64) -> bool {
        let mut wanted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.retain(|other, until| other != device && *until > now_ns);
        if until_ns <= now_ns {
            return true;
        }
        let room = wanted.len() < MOST;
        if room {
            wanted.insert(device.to_owned(), until_ns);
        }
        room
    }

    /// For how many seconds more a window is wanted on a device.
    pub(crate) fn left_s(&self, device: &str, now_ns: u64) -> Option<u32> {
        let wanted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = wanted.get(device)?.saturating_sub(now_ns).div_ceil(SECOND_NS);
        u32::try_from(left).ok().filter(|left| *left > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: windows are wanted, prolonged, ended, and run out. Guarantees: each device is told its own, rounded up.
    #[test]
    fn each_device_has_its_own() {
        let incidents = Incidents::default();
        assert!(incidents.want("a", 10 * SECOND_NS, 0) && incidents.want("b", 20 * SECOND_NS, 0));
        assert_eq!(incidents.left_s("a", SECOND_NS / 2), Some(10));
        assert!(incidents.want("a", 15 * SECOND_NS, 0));
        assert_eq!((incidents.left_s("a", 0), incidents.left_s("b", 0)), (Some(15), Some(20)));
        assert!(incidents.want("a", 0, 0));
        assert_eq!((incidents.left_s("a", 0), incidents.left_s("b", 20 * SECOND_NS)), (None, None));
    }
}
