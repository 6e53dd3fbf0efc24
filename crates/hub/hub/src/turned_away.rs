//! Who was refused, by device and reason: what the fleet list shows, since a refused device is in no other list.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use model::Refusal as Reason;

/// Most that are remembered; beyond them the one that was refused longest ago is forgotten.
const MOST: usize = 1000;

/// Refusals of one sender for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The name that it gave, if it got so far.
    pub(crate) device: Option<String>,
    pub(crate) address: String,
    pub(crate) reason: Reason,
    /// What it was told last.
    pub(crate) what: String,
    pub(crate) count: u64,
    /// The hub's clock at the last one.
    pub(crate) last_ns: u64,
}

/// What tells them apart.
type Key = (Option<String>, String, Reason);

/// All that are remembered.
#[derive(Debug, Default)]
pub(crate) struct TurnedAway(Mutex<BTreeMap<Key, Refused>>);

impl TurnedAway {
    pub(crate) fn add(&self, device: Option<String>, address: &str, reason: Reason, what: &str, now_ns: u64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (device.clone(), address.to_owned(), reason);
        if let Some(known) = all.get_mut(&key) {
            known.count += 1;
            known.last_ns = now_ns;
            what.clone_into(&mut known.what);
            return;
        }
        if all.len() >= MOST
            && let Some(oldest) = all.iter().min_by_key(|(_, refused)| refused.last_ns).map(|(key, _)| key.clone())
        {
            all.remove(&oldest);
        }
        let (address, what) = (address.to_owned(), what.to_owned());
        all.insert(key, Refused { device, address, reason, what, count: 1, last_ns: now_ns });
    }

    /// The newest first.
    pub(crate) fn all(&self) -> Vec<Refused> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<Refused> = all.values().cloned().collect();
        list.sort_by_key(|refused| std::cmp::Reverse(refused.last_ns));
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: one device is refused again and again, then thousands of others once. Guarantees: one row with a count, and
    /// a bounded list with the newest in it.
    #[test]
    fn u9_who_is_refused_is_remembered() {
        let list = TurnedAway::default();
        (0..5).for_each(|at| list.add(Some("vessel-1".into()), "10.0.0.1", Reason::Unauthorized, "no token", at));
        let all = list.all();
        assert_eq!((all.len(), all[0].count, all[0].last_ns), (1, 5, 4));
        (10..5000).for_each(|at| list.add(Some(format!("d-{at}")), "10.0.0.1", Reason::Unauthorized, "no token", at));
        let all = list.all();
        assert_eq!((all.len(), all[0].device.as_deref()), (MOST, Some("d-4999")));
    }
}
