//! What all scrapes together may hold.

use std::cell::Cell;
use std::rc::Rc;

/// A sum with a bound.
#[derive(Debug)]
pub struct ScrapeMemory {
    limit: usize,
    held: Cell<usize>,
}

impl ScrapeMemory {
    /// Nothing held yet of so many bytes.
    pub fn new(limit: usize) -> Rc<Self> {
        Rc::new(Self { limit, held: Cell::new(0) })
    }

    /// The most that may be held, bytes.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// What is held, bytes.
    pub fn held(&self) -> usize {
        self.held.get()
    }
}

/// A share of it; given back when dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    memory: Rc<ScrapeMemory>,
    bytes: usize,
}

impl Charge {
    /// A share of nothing yet.
    pub(crate) fn new(memory: &Rc<ScrapeMemory>) -> Self {
        Self { memory: Rc::clone(memory), bytes: 0 }
    }

    /// Takes more or less, until it is so much; false when there is no room.
    pub(crate) fn resize(&mut self, bytes: usize) -> bool {
        let others = self.memory.held.get().saturating_sub(self.bytes);
        if bytes > self.bytes && others + bytes > self.memory.limit {
            return false;
        }
        self.memory.held.set(others + bytes);
        self.bytes = bytes;
        true
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.memory.held.set(self.memory.held.get().saturating_sub(self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: shares that grow to the bound, shrink and end. Guarantees: together they never hold more than may be held (P9).
    #[test]
    fn shares_stay_within_the_sum() {
        let memory = ScrapeMemory::new(100);
        let (mut one, mut other) = (Charge::new(&memory), Charge::new(&memory));
        assert!(one.resize(60) && other.resize(40) && !other.resize(41));
        assert!(one.resize(50) && other.resize(50));
        assert_eq!(memory.held(), 100);
        drop(one);
        assert!(other.resize(100));
        drop(other);
        assert_eq!(memory.held(), 0);
    }
}
