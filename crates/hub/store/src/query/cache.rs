//! Decoded blocks that queries share, in bounded memory: who reads a trace often reads its neighbour next.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::block::Block;
use crate::error::StoreError;
use crate::pack::TracePage;
use crate::rows::LogRow;

/// Blocks of each kind that are kept decoded; of the default size, one takes about 0.8 MB.
const BLOCKS: usize = 32;
/// Pages of trace tables that are kept, of 4 KiB each.
const PAGES: usize = 4096;

/// Number of a pack, and of a block or page in it.
pub(super) type Key = (u64, usize);

/// Things that were read; the oldest go first.
pub(super) struct Shelf<T> {
    things: Mutex<Things<T>>,
    most: usize,
}

struct Things<T> {
    by_key: HashMap<Key, Arc<T>>,
    order: VecDeque<Key>,
}

impl<T> Shelf<T> {
    fn new(most: usize) -> Self {
        Self { things: Mutex::new(Things { by_key: HashMap::new(), order: VecDeque::new() }), most }
    }

    /// The thing under `key`, read if it is not there; what cannot be read is not kept. Two readers may read the same
    /// thing at one time.
    pub(super) fn get(&self, key: Key, read: impl FnOnce() -> Result<T, StoreError>) -> Result<Arc<T>, StoreError> {
        let lock = || self.things.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thing) = lock().by_key.get(&key) {
            return Ok(Arc::clone(thing));
        }
        let thing = Arc::new(read()?);
        let mut things = lock();
        if things.by_key.insert(key, Arc::clone(&thing)).is_none() {
            things.order.push_back(key);
        }
        if things.order.len() > self.most
            && let Some(oldest) = things.order.pop_front()
        {
            things.by_key.remove(&oldest);
        }
        Ok(thing)
    }
}

/// What queries have read of packs.
pub(crate) struct ReadCache {
    pub(super) spans: Shelf<Block>,
    pub(super) logs: Shelf<Vec<LogRow>>,
    pub(super) pages: Shelf<TracePage>,
}

impl Default for ReadCache {
    fn default() -> Self {
        Self { spans: Shelf::new(BLOCKS), logs: Shelf::new(BLOCKS), pages: Shelf::new(PAGES) }
    }
}
