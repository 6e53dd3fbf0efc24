//! Byte strings, each held once and known by its number.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// Byte strings in order of first appearance. It lives for one request, whose size is bounded, and its hash has a key of its own.
#[derive(Default)]
pub(crate) struct Symbols {
    bytes: Vec<u8>,
    /// Where each ends in `bytes`.
    ends: Vec<u32>,
    known: HashTable<u32>,
    hasher: RandomState,
}

fn entry<'t>(bytes: &'t [u8], ends: &[u32], number: u32) -> &'t [u8] {
    let number = number as usize;
    let start = number.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
    ends.get(number).and_then(|end| bytes.get(start as usize..*end as usize)).unwrap_or_default()
}

impl Symbols {
    /// The number of `text`, which is added when new.
    pub(crate) fn add(&mut self, text: &[u8]) -> u32 {
        let Self { bytes, ends, known, hasher } = self;
        let hash = |text: &[u8]| hasher.hash_one(text);
        let own = hash(text);
        if let Some(number) = known.find(own, |number| entry(bytes, ends, *number) == text) {
            return *number;
        }
        let number = ends.len() as u32;
        known.insert_unique(own, number, |number| hash(entry(bytes, ends, *number)));
        bytes.extend_from_slice(text);
        ends.push(bytes.len() as u32);
        number
    }

    /// The bytes of a number; nothing for one that was not given out.
    pub(crate) fn get(&self, number: u32) -> &[u8] {
        entry(&self.bytes, &self.ends, number)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u32 {
        self.ends.len() as u32
    }

    /// The memory that they need, roughly.
    pub(crate) fn size(&self) -> usize {
        // The text, where it ends, and its place in the table.
        self.bytes.len() + 12 * self.ends.len()
    }

    /// All of them, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|number| self.get(number))
    }

    /// Forgets all, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.known.clear();
    }
}
