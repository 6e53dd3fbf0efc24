//! Decoded blocks that queries share, in bounded memory: who reads a trace often reads its neighbour next.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::block::Block;
use super::weight::{of_log_records, of_spans};
use crate::error::StoreError;
use crate::pack::{Listing, TracePage};
use crate::rows::LogRow;

/// What one page takes.
const PAGE: usize = 4 << 10;

/// Number of a pack, and of a block or page in it.
pub(super) type Key = (u64, usize);

/// Things that were read; the oldest go first.
pub(super) struct Shelf<T> {
    things: Mutex<Things<T>>,
    most_bytes: usize,
    weigh: fn(&T) -> usize,
}

struct Things<T> {
    by_key: HashMap<Key, (Arc<T>, usize)>,
    order: VecDeque<Key>,
    bytes: usize,
}

impl<T> Shelf<T> {
    fn new(most_bytes: usize, weigh: fn(&T) -> usize) -> Self {
        let things = Things { by_key: HashMap::new(), order: VecDeque::new(), bytes: 0 };
        Self { things: Mutex::new(things), most_bytes, weigh }
    }

    /// The thing under `key`, read if it is not there; what cannot be read is not kept, nor what takes all the room by itself. Two
    /// readers may read the same thing at one time.
    pub(super) fn get(&self, key: Key, read: impl FnOnce() -> Result<T, StoreError>) -> Result<Arc<T>, StoreError> {
        let lock = || self.things.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((thing, _)) = lock().by_key.get(&key) {
            return Ok(Arc::clone(thing));
        }
        let thing = Arc::new(read()?);
        let bytes = (self.weigh)(&thing);
        if bytes > self.most_bytes {
            return Ok(thing);
        }
        let mut things = lock();
        if let Some((_, before)) = things.by_key.insert(key, (Arc::clone(&thing), bytes)) {
            things.bytes -= before;
        } else {
            things.order.push_back(key);
        }
        things.bytes += bytes;
        while things.bytes > self.most_bytes
            && let Some(oldest) = things.order.pop_front()
        {
            let gone = things.by_key.remove(&oldest).map_or(0, |(_, bytes)| bytes);
            things.bytes -= gone;
        }
        Ok(thing)
    }
}

/// What queries have read of packs.
pub(crate) struct ReadCache {
    pub(super) spans: Shelf<Block>,
    pub(super) logs: Shelf<Vec<LogRow>>,
    pub(super) pages: Shelf<TracePage>,
    pub(super) listings: Shelf<Listing>,
}

impl ReadCache {
    /// Keeps up to `most_bytes`: of spans and log records three eighths each, by what their rows hold, of pages of trace tables and of
    /// the listings of packs an eighth each.
    pub(crate) fn new(most_bytes: usize) -> Self {
        let eighth = most_bytes / 8;
        Self {
            spans: Shelf::new(eighth * 3, |block| of_spans(block.rows())),
            logs: Shelf::new(eighth * 3, |rows| of_log_records(rows)),
            pages: Shelf::new(eighth, |_| PAGE),
            listings: Shelf::new(eighth, Listing::held_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: things of 40 and 70 of 100 bytes, one of them twice, and one that is larger than all room. Guarantees: what is kept never
    /// takes more than the room, the oldest go first, and what does not fit is read all the same (H9).
    #[test]
    fn h9_what_queries_have_read_is_bounded_in_bytes() {
        let shelf: Shelf<usize> = Shelf::new(100, |size| *size);
        let get = |key: u64, size: usize| *shelf.get((key, 0), || Ok(size)).unwrap();
        let held = || {
            let things = shelf.things.lock().unwrap();
            assert_eq!(things.bytes, things.by_key.values().map(|(_, bytes)| bytes).sum::<usize>());
            (things.by_key.len(), things.bytes)
        };
        get(1, 40);
        get(2, 40);
        assert_eq!(held(), (2, 80));
        assert_eq!(get(1, 7), 40, "it is read once");
        get(3, 70);
        assert_eq!(held(), (1, 70));
        assert_eq!(get(4, 101), 101);
        assert_eq!(held(), (1, 70));
        assert!(shelf.get((5, 0), || Err(StoreError::Closed)).is_err());
        assert_eq!(held(), (1, 70));
    }
}
