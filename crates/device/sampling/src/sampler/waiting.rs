//! What is undecided, and since when.

use model::TraceId;

use super::Sampler;
use crate::index::EntryId;
use crate::index::{PARTS, Slot, State};

impl Sampler {
    /// When the first part came of the undecided trace that waits for longest, or somewhat before; `None` when nothing is
    /// undecided.
    pub fn oldest_pending_ns(&self) -> Option<u64> {
        let part_ns = self.ahead_part_ns();
        let first = |slot: &Slot| {
            let wait = if slot.has_span { self.options.decision_wait_ns } else { self.options.log_wait_ns };
            slot.deadline_ns.saturating_sub(wait.saturating_add(u64::from(slot.ahead).saturating_mul(part_ns)))
        };
        self.index.pending().map(first).min()
    }

    /// Whether a trace waits for its decision, and an entry holds a part of it that waits.
    pub fn is_waiting(&self, trace: &TraceId, entry: EntryId) -> bool {
        let slot = self.index.find(trace).and_then(|place| self.index.get(place));
        slot.is_some_and(|slot| slot.state == State::Pending && slot.entries.binary_search(&entry).is_ok())
    }

    pub(crate) fn ahead_part_ns(&self) -> u64 {
        self.options.log_wait_ns.div_ceil(PARTS).max(1)
    }
}
