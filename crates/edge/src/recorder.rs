//! The recorder: a bounded ring, in memory, of every request that holds parts of undecided traces.

use std::collections::VecDeque;

use model::Signal;
use sampling::EntryId;

/// What an entry holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// An OTLP export request of this signal.
    Request(Signal),
    /// An `ExemplarsData`: exemplars taken out of incoming points.
    Exemplars,
}

#[derive(Debug)]
struct Entry {
    id: EntryId,
    content: Content,
    bytes: Vec<u8>,
    /// Undecided traces that have parts in it: it may not be overwritten before they are decided.
    pins: u32,
}

/// Bytes that an entry is counted with beyond its content.
const ENTRY_BYTES: u64 = 96;

/// The ring. Entries without pins make room for new ones, oldest first.
#[derive(Debug)]
pub(crate) struct Recorder {
    entries: VecDeque<Entry>,
    next: EntryId,
    bytes: u64,
    capacity: u64,
}

impl Recorder {
    /// An empty ring of so many bytes.
    pub(crate) fn new(capacity: u64) -> Self {
        Self { entries: VecDeque::new(), next: 0, bytes: 0, capacity }
    }

    /// Makes room for so many bytes; false when pinned entries are in the way.
    pub(crate) fn make_room(&mut self, bytes: usize) -> bool {
        let needed = bytes as u64 + ENTRY_BYTES;
        if needed > self.capacity {
            return false;
        }
        while self.bytes + needed > self.capacity {
            let Some(position) = self.entries.iter().position(|entry| entry.pins == 0) else { return false };
            if let Some(entry) = self.entries.remove(position) {
                self.bytes -= entry.bytes.capacity() as u64 + ENTRY_BYTES;
            }
        }
        true
    }

    /// The id that the next entry will have.
    pub(crate) fn next_id(&self) -> EntryId {
        self.next
    }

    /// Adds an entry with its pins and gives its id. [`Recorder::make_room`] comes first.
    pub(crate) fn push(&mut self, content: Content, mut bytes: Vec<u8>, pins: u32) -> EntryId {
        bytes.shrink_to_fit();
        let id = self.next;
        self.next += 1;
        self.bytes += bytes.capacity() as u64 + ENTRY_BYTES;
        self.entries.push_back(Entry { id, content, bytes, pins });
        id
    }

    fn position(&self, id: EntryId) -> Option<usize> {
        self.entries.binary_search_by_key(&id, |entry| entry.id).ok()
    }

    /// An entry's content.
    pub(crate) fn get(&self, id: EntryId) -> Option<(Content, &[u8])> {
        let entry = self.entries.get(self.position(id)?)?;
        Some((entry.content, &entry.bytes))
    }

    /// Takes one pin off an entry. Without pins it is given back at once: until the local query reads the ring, what is
    /// decided has no reader.
    pub(crate) fn unpin(&mut self, id: EntryId) {
        let Some(position) = self.position(id) else { return };
        let Some(entry) = self.entries.get_mut(position) else { return };
        debug_assert!(entry.pins > 0, "an entry loses more pins than it had");
        entry.pins = entry.pins.saturating_sub(1);
        if entry.pins == 0
            && let Some(entry) = self.entries.remove(position)
        {
            self.bytes -= entry.bytes.capacity() as u64 + ENTRY_BYTES;
        }
    }

    /// Bytes in use.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: entries with and without pins fill the ring. Guarantees: pinned bytes are never given away, the ring
    /// never grows above its size, and unpinned bytes make room (P9).
    #[test]
    fn pins_hold() {
        let mut recorder = Recorder::new(1000);
        assert!(!recorder.make_room(1000));
        assert!(recorder.make_room(300));
        let first = recorder.push(Content::Request(Signal::Traces), vec![1; 300], 2);
        assert!(recorder.make_room(300));
        let second = recorder.push(Content::Exemplars, vec![2; 300], 0);
        assert!(recorder.make_room(300), "the entry without pins goes");
        assert!(recorder.get(second).is_none());
        recorder.push(Content::Request(Signal::Logs), vec![3; 300], 1);
        assert!(!recorder.make_room(300), "all is pinned");
        recorder.unpin(first);
        assert!(recorder.get(first).is_some());
        recorder.unpin(first);
        assert!(recorder.get(first).is_none());
        assert!(recorder.make_room(300));
        assert!(recorder.bytes() <= 1000);
    }
}
