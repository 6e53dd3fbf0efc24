//! Parts of traces that were released without a decision because no span came in time: should their trace be kept later, they are
//! delivered after all, while the recorder holds them.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;
use model::TraceId;

use crate::index::Entries;
use crate::index::EntryId;

/// What one trace takes here, beside longer lists.
const BYTES: usize = size_of::<(TraceId, Entries)>() + size_of::<TraceId>() + 16;

/// Forgotten traces that are remembered as such.
const FORGOTTEN: usize = 256;

/// Half of an id, never 0, which stands for an empty place. Ids are random.
fn fingerprint(trace: &TraceId) -> u64 {
    trace.0.iter().rev().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte)).max(1)
}

/// The traces, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Released {
    /// Trace ids are random, and the hash has a key of its own: a fast one does.
    entries: HashMap<TraceId, Entries, RandomState>,
    order: VecDeque<TraceId>,
    /// Bytes of the longer lists of entries.
    heap_bytes: usize,
    /// Fingerprints of traces whose entries are forgotten, each at a place that follows from it; the later one stays.
    forgotten: Vec<u64>,
    /// Of traces that are kept now.
    wanted: Vec<(TraceId, Entries)>,
}

impl Released {
    /// A trace was released with these entries. At most so many bytes are remembered.
    pub(crate) fn add(&mut self, trace: TraceId, entries: &Entries, most_bytes: u64) {
        while !self.order.is_empty() && self.bytes() + BYTES as u64 > most_bytes {
            self.forget_oldest();
        }
        if BYTES as u64 > most_bytes {
            return;
        }
        match self.entries.get_mut(&trace) {
            Some(known) => {
                self.heap_bytes -= known.heap_bytes();
                entries.iter().for_each(|entry| {
                    known.add(*entry);
                });
                self.heap_bytes += known.heap_bytes();
            }
            None => {
                let own = entries.clone();
                self.heap_bytes += own.heap_bytes();
                self.entries.insert(trace, own);
                self.order.push_back(trace);
            }
        }
    }

    fn remove(&mut self, trace: &TraceId) -> Option<Entries> {
        let entries = self.entries.remove(trace)?;
        self.heap_bytes -= entries.heap_bytes();
        Some(entries)
    }

    fn forget_oldest(&mut self) {
        if let Some(trace) = self.order.pop_front() {
            self.remove(&trace);
            if self.forgotten.is_empty() {
                self.forgotten = vec![0; FORGOTTEN];
            }
            let print = fingerprint(&trace);
            self.forgotten[print as usize % FORGOTTEN] = print;
        }
    }

    /// A trace is kept: what was released of it is wanted. True when something was, and nobody knows any more where it stands.
    pub(crate) fn keep(&mut self, trace: &TraceId) -> bool {
        if let Some(entries) = self.remove(trace) {
            self.order.retain(|other| other != trace);
            self.wanted.push((*trace, entries));
            return false;
        }
        let print = fingerprint(trace);
        let known = self.forgotten.get_mut(print as usize % FORGOTTEN).filter(|known| **known == print);
        known.map(std::mem::take).is_some()
    }

    /// The recorder holds nothing before this entry.
    pub(crate) fn overwritten_before(&mut self, oldest: EntryId) {
        while let Some(trace) = self.order.front() {
            let gone =
                self.entries.get(trace).is_none_or(|entries| entries.first().is_none_or(|first| *first < oldest));
            if !gone {
                break;
            }
            self.forget_oldest();
        }
    }

    pub(crate) fn has_wanted(&self) -> bool {
        !self.wanted.is_empty()
    }

    pub(crate) fn take_wanted(&mut self) -> Vec<(TraceId, Entries)> {
        std::mem::take(&mut self.wanted)
    }

    pub(crate) fn bytes(&self) -> u64 {
        (self.forgotten.len() * size_of::<u64>() + self.order.len() * BYTES + self.heap_bytes) as u64
    }
}
