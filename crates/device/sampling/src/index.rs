//! The index of traces: one slot each, found by the full id. Sizes are counted as they are allocated.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::ops::Deref;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use model::TraceId;

use crate::policy::Evidence;

/// Names an entry of the recorder.
pub type EntryId = u64;

/// How many entries a trace names without memory of their own.
const INLINE: usize = 3;
/// Longer lists grow by so many.
const MORE_ENTRIES: usize = 8;

/// The recorder entries that hold parts of a trace, in ascending order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entries(List);

#[derive(Debug, Clone, PartialEq, Eq)]
enum List {
    Short([EntryId; INLINE], u8),
    Long(Vec<EntryId>),
}

impl Default for Entries {
    fn default() -> Self {
        Self(List::Short([0; INLINE], 0))
    }
}

impl Deref for Entries {
    type Target = [EntryId];

    fn deref(&self) -> &[EntryId] {
        match &self.0 {
            List::Short(entries, length) => &entries[..usize::from(*length)],
            List::Long(entries) => entries,
        }
    }
}

impl Entries {
    /// Adds an entry, unless it is the last one already; tells whether it did.
    pub(crate) fn add(&mut self, entry: EntryId) -> bool {
        if self.last() == Some(&entry) {
            return false;
        }
        match &mut self.0 {
            List::Short(entries, length) if usize::from(*length) < INLINE => {
                entries[usize::from(*length)] = entry;
                *length += 1;
            }
            List::Short(entries, _) => {
                let mut long = Vec::with_capacity(INLINE + MORE_ENTRIES);
                long.extend_from_slice(entries);
                long.push(entry);
                self.0 = List::Long(long);
            }
            List::Long(entries) => {
                if entries.len() == entries.capacity() {
                    entries.reserve_exact(MORE_ENTRIES);
                }
                entries.push(entry);
            }
        }
        true
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        match &self.0 {
            List::Short(..) => 0,
            List::Long(entries) => entries.capacity() * size_of::<EntryId>() + 16,
        }
    }
}

/// Where a trace stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum State {
    /// The slot is free.
    #[default]
    Free,
    /// It waits for its decision.
    Pending,
    /// It was dropped, and the recorder may still hold it.
    Dropped,
    /// It was dropped, and what came since would keep it.
    Recalled,
}

#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub(crate) evidence: Evidence,
    pub(crate) deadline_ns: u64,
    pub(crate) last_ns: u64,
    pub(crate) entries: Entries,
    /// Counts the traces that had this slot: deadlines name a slot and its serial.
    pub(crate) serial: u32,
    pub(crate) state: State,
    pub(crate) has_span: bool,
    pub(crate) root_seen: bool,
    /// How long before its first span the first other part of it came, in [`PARTS`]ths of the wait for it.
    pub(crate) ahead: u8,
}

/// See [`Slot::ahead`].
pub(crate) const PARTS: u64 = u8::MAX as u64;

/// Names a trace in the index as long as it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) slot: u32,
    pub(crate) serial: u32,
}

#[derive(Debug)]
pub(crate) struct Index {
    slots: Vec<Slot>,
    free: Vec<u32>,
    table: HashTable<u32>,
    /// Trace ids are random, and the hash has a key of its own: a fast one does.
    hasher: RandomState,
    heap_bytes: usize,
    live: usize,
}

/// Lists grow by a quarter, so that a full index is not twice as large as it has to be.
fn grown(length: usize, capacity: usize, more: usize) -> usize {
    if length + more <= capacity { capacity } else { (length + more).max(capacity + capacity / 4 + 16) }
}

pub(crate) fn push_grown<T>(list: &mut VecDeque<T>, item: T) {
    if list.len() == list.capacity() {
        list.reserve_exact(grown(list.len(), list.capacity(), 1) - list.len());
    }
    list.push_back(item);
}

pub(crate) fn queue_bytes<T>(list: &VecDeque<T>, more: usize) -> usize {
    grown(list.len(), list.capacity(), more) * size_of::<T>()
}

impl Index {
    pub(crate) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            table: HashTable::new(),
            hasher: RandomState::default(),
            heap_bytes: 0,
            live: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.live
    }

    pub(crate) fn find(&self, trace: &TraceId) -> Option<Place> {
        let hash = self.hasher.hash_one(trace);
        let same = |slot: &u32| self.slots.get(*slot as usize).is_some_and(|one| one.evidence.trace == *trace);
        let slot = *self.table.find(hash, same)?;
        Some(Place { slot, serial: self.slots.get(slot as usize)?.serial })
    }

    /// Gives a trace that is not there a slot.
    pub(crate) fn insert(&mut self, trace: TraceId) -> Place {
        let slot = self.free.pop().unwrap_or_else(|| {
            if self.slots.len() == self.slots.capacity() {
                self.slots.reserve_exact(grown(self.slots.len(), self.slots.capacity(), 1) - self.slots.len());
            }
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u32
        });
        let (slots, hasher) = (&mut self.slots, &self.hasher);
        let serial = slots.get(slot as usize).map_or(0, |old| old.serial.wrapping_add(1));
        if let Some(one) = slots.get_mut(slot as usize) {
            *one = Slot { serial, state: State::Pending, ..Slot::default() };
            one.evidence.trace = trace;
            one.evidence.start_ns = u64::MAX;
        }
        let rehash =
            |slot: &u32| hasher.hash_one(slots.get(*slot as usize).map(|one| one.evidence.trace).unwrap_or_default());
        self.table.insert_unique(hasher.hash_one(trace), slot, rehash);
        self.live += 1;
        Place { slot, serial }
    }

    /// The trace at this place, unless it has gone.
    pub(crate) fn get(&self, place: Place) -> Option<&Slot> {
        self.slots.get(place.slot as usize).filter(|one| one.serial == place.serial && one.state != State::Free)
    }

    pub(crate) fn get_mut(&mut self, place: Place) -> Option<&mut Slot> {
        self.slots.get_mut(place.slot as usize).filter(|one| one.serial == place.serial && one.state != State::Free)
    }

    /// Traces that wait for their decision.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(|slot| slot.state == State::Pending)
    }

    /// Adds a recorder entry to a trace; tells whether it was not there yet.
    pub(crate) fn add_entry(&mut self, place: Place, entry: EntryId) -> bool {
        let Some(slot) = self.slots.get_mut(place.slot as usize) else { return false };
        let before = slot.entries.heap_bytes();
        let added = slot.entries.add(entry);
        self.heap_bytes += slot.entries.heap_bytes() - before;
        added
    }

    /// Takes a trace out and gives its entries.
    pub(crate) fn remove(&mut self, place: Place) -> Entries {
        let Some(trace) = self.get(place).map(|slot| slot.evidence.trace) else { return Entries::default() };
        let hash = self.hasher.hash_one(trace);
        if let Ok(found) = self.table.find_entry(hash, |slot| *slot == place.slot) {
            found.remove();
        }
        let Some(slot) = self.slots.get_mut(place.slot as usize) else { return Entries::default() };
        slot.state = State::Free;
        let entries = std::mem::take(&mut slot.entries);
        self.heap_bytes -= entries.heap_bytes();
        if self.free.len() == self.free.capacity() {
            // Counted with the slots.
            self.free.reserve_exact(self.slots.capacity() - self.free.len());
        }
        self.free.push(place.slot);
        self.live -= 1;
        entries
    }

    /// The bytes of slots and table when so many traces more have come.
    pub(crate) fn tables_with(&self, more: usize) -> usize {
        let slots = grown(self.slots.len(), self.slots.capacity(), more.saturating_sub(self.free.len()));
        let table = if self.live + more <= self.table.capacity() {
            self.table.allocation_size()
        } else {
            table_bytes(self.live + more)
        };
        // Every slot may become a free one.
        slots * (size_of::<Slot>() + size_of::<u32>()) + table
    }

    /// The bytes of the lists of entries when so many traces have one more.
    pub(crate) fn lists_with(&self, more: usize) -> u64 {
        (self.heap_bytes + more * (INLINE + MORE_ENTRIES + 2) * size_of::<EntryId>()) as u64
    }

    /// The bytes of an index of so many traces.
    pub(crate) fn least_bytes(traces: usize) -> u64 {
        (grown(0, 0, traces) * (size_of::<Slot>() + size_of::<u32>()) + table_bytes(traces)) as u64
    }
}

/// As hashbrown has it: a power of two of which at most 7/8 are full, a tag for each place and a group of them beyond.
fn table_bytes(entries: usize) -> usize {
    (entries * 8 / 7 + 1).next_power_of_two().max(4) * (size_of::<u32>() + 1) + 32
}
