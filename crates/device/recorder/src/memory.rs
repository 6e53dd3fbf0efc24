//! The recorder in memory: a bounded ring of what came in before sampling, in small LZ4 blocks.
//!
//! Entries are requests. Small ones share a block; the newest block is open and holds its entries as they came. Entries that
//! hold parts of undecided traces are pinned; the others stay until their block's memory is needed, oldest first, so that
//! a trace that was dropped can still be read, shown, or kept after all.

use std::collections::VecDeque;

use segment::lz4::{self, PIECE};

use crate::compressed::{Compressed, Piece};
use crate::content::{Content, EntryId};

/// One entry's place in its block.
#[derive(Debug, Clone, Copy)]
struct Slot {
    start: u32,
    len: u32,
    content: Content,
}

/// Entries whose content is compressed together.
#[derive(Debug)]
struct Block {
    first: EntryId,
    slots: Box<[Slot]>,
    pieces: Box<[Piece]>,
    pins: u32,
    tag: u64,
}

/// Bytes that a block is counted with beyond its content: the struct, its slots' and pieces' heap headers.
const BLOCK_BYTES: usize = size_of::<Block>() + 32;
/// A block has at most so many entries, so that its table stays small.
const MAX_SLOTS: usize = 128;
/// The row of blocks grows by so many.
const MORE_BLOCKS: usize = 16;

impl Block {
    fn bytes(&self) -> u64 {
        let data: usize = self.pieces.iter().map(|piece| piece.data.len() + size_of::<Piece>() + 16).sum();
        (data + self.slots.len() * size_of::<Slot>() + BLOCK_BYTES) as u64
    }

    fn end(&self) -> EntryId {
        self.first + self.slots.len() as u64
    }
}

/// The ring.
#[derive(Debug)]
pub struct Recorder {
    blocks: VecDeque<Block>,
    blocks_bytes: u64,
    /// The open block: content, slots, pins, and the id of its first entry.
    open: Vec<u8>,
    open_slots: Vec<Slot>,
    open_pins: u32,
    open_first: EntryId,
    open_tag: u64,
    tag: u64,
    /// The block that was read last, inflated.
    inflated: Vec<u8>,
    inflated_first: Option<EntryId>,
    compressor: lz4::Compressor,
    capacity: u64,
    /// Content of an open block beyond which it is closed.
    target: usize,
}

impl Recorder {
    /// An empty ring of at most so many bytes.
    pub fn new(capacity: u64) -> Self {
        Self {
            blocks: VecDeque::new(),
            blocks_bytes: 0,
            open: Vec::new(),
            open_slots: Vec::new(),
            open_pins: 0,
            open_first: 0,
            open_tag: u64::MAX,
            tag: u64::MAX,
            inflated: Vec::new(),
            inflated_first: None,
            compressor: lz4::Compressor::default(),
            capacity,
            target: PIECE.min(usize::try_from(capacity / 8).unwrap_or(PIECE)),
        }
    }

    /// Makes room for an entry of so many bytes, also when they do not compress; false when pinned entries are in the way.
    pub fn make_room(&mut self, bytes: usize) -> bool {
        let tables = MAX_SLOTS / 2 * size_of::<Slot>() + (MORE_BLOCKS + 1) * size_of::<Block>();
        let pieces = (bytes / PIECE + 2) * (size_of::<Piece>() + 16);
        let needed = (bytes + self.step() + BLOCK_BYTES + tables + pieces) as u64;
        if needed > self.capacity {
            return false;
        }
        while self.bytes() + needed > self.capacity {
            if self.inflated_first.is_some() {
                self.release_buffer();
            } else if let Some(position) = self.blocks.iter().position(|block| block.pins == 0) {
                if let Some(block) = self.blocks.remove(position) {
                    self.blocks_bytes -= block.bytes();
                }
            } else if self.open_pins == 0 && !self.open_slots.is_empty() {
                self.open_first += self.open_slots.len() as u64;
                self.open = Vec::new();
                self.open_slots = Vec::new();
                self.open_tag = u64::MAX;
            } else if self.open.len() > 64 && self.close() {
                // Compressed it takes less.
            } else {
                return false;
            }
        }
        true
    }

    /// The open block's buffer grows by so much.
    fn step(&self) -> usize {
        (self.target / 8).max(1)
    }

    /// The id that the next entry will have.
    pub fn next_id(&self) -> EntryId {
        self.open_first + self.open_slots.len() as u64
    }

    /// The oldest entry that is held; equal to [`Recorder::next_id`] when none is.
    pub fn oldest_id(&self) -> EntryId {
        self.blocks.front().map_or(self.open_first, |block| block.first)
    }

    /// The oldest entry in a block that has pins; [`Recorder::next_id`] when nothing is pinned.
    pub fn oldest_pinned(&self) -> EntryId {
        match self.blocks.iter().find(|block| block.pins > 0) {
            Some(block) => block.first,
            None if self.open_pins > 0 => self.open_first,
            None => self.next_id(),
        }
    }

    /// Entries that come next have this number, which never falls by much; the lowest one of a block counts.
    pub fn set_tag(&mut self, tag: u64) {
        self.tag = tag;
    }

    /// The lowest tag of the blocks that have pins; `None` when nothing is pinned.
    pub fn oldest_pinned_tag(&self) -> Option<u64> {
        let blocks = self.blocks.iter().filter(|block| block.pins > 0).map(|block| block.tag);
        blocks.chain((self.open_pins > 0).then_some(self.open_tag)).min()
    }

    /// Adds an entry with its pins (undecided traces with parts in it) and gives its id. [`Recorder::make_room`] comes
    /// first.
    pub fn push(&mut self, content: Content, bytes: &[u8], pins: u32) -> EntryId {
        if !self.open.is_empty() && (self.open.len() + bytes.len() > self.target || self.open_slots.len() >= MAX_SLOTS)
        {
            self.close();
        }
        if self.stands_alone(bytes) && self.open_slots.is_empty() {
            // It is never copied uncompressed.
            let compressed = Compressed::new(bytes, &mut self.compressor);
            return self.push_alone(content, bytes.len(), compressed, pins);
        }
        let id = self.next_id();
        let slot = Slot { start: self.open.len() as u32, len: bytes.len() as u32, content };
        // Grown in small steps: an idle device never needs the whole of it.
        let more = (self.open.len() + bytes.len()).next_multiple_of(self.step());
        self.open.reserve_exact(more.saturating_sub(self.open.len()));
        self.open.extend_from_slice(bytes);
        self.open_slots.push(slot);
        self.open_pins += pins;
        self.open_tag = self.open_tag.min(self.tag);
        id
    }

    /// Whether an entry is large enough for a block of its own.
    fn stands_alone(&self, bytes: &[u8]) -> bool {
        bytes.len() > self.target / 2
    }

    /// Compresses what is to become an entry and to be written elsewhere too; `None` where it is so small that it is compressed with its
    /// neighbours.
    pub fn compressed(&mut self, bytes: &[u8]) -> Option<Compressed> {
        self.stands_alone(bytes).then(|| Compressed::new(bytes, &mut self.compressor))
    }

    /// The same as [`Recorder::push`] for `len` bytes that [`Recorder::compressed`] has compressed already.
    pub fn push_compressed(&mut self, content: Content, len: usize, compressed: Compressed, pins: u32) -> EntryId {
        self.close();
        self.push_alone(content, len, compressed, pins)
    }

    /// Adds an entry as a block of its own. No block is open.
    fn push_alone(&mut self, content: Content, len: usize, compressed: Compressed, pins: u32) -> EntryId {
        let id = self.next_id();
        let slot = Slot { start: 0, len: len as u32, content };
        self.put(id, Box::new([slot]), compressed, pins, self.tag);
        self.open_first = id + 1;
        id
    }

    /// Compresses the open block; false when there is none.
    fn close(&mut self) -> bool {
        if self.open_slots.is_empty() {
            return false;
        }
        let content = std::mem::take(&mut self.open);
        let slots = std::mem::take(&mut self.open_slots).into_boxed_slice();
        let (first, pins) = (self.open_first, std::mem::take(&mut self.open_pins));
        self.open_first += slots.len() as u64;
        let tag = std::mem::replace(&mut self.open_tag, u64::MAX);
        let compressed = Compressed::new(&content, &mut self.compressor);
        self.put(first, slots, compressed, pins, tag);
        true
    }

    fn put(&mut self, first: EntryId, slots: Box<[Slot]>, compressed: Compressed, pins: u32, tag: u64) {
        let block = Block { first, slots, pieces: compressed.into_pieces(), pins, tag };
        self.blocks_bytes += block.bytes();
        if self.blocks.len() == self.blocks.capacity() {
            self.blocks.reserve_exact(MORE_BLOCKS);
        }
        self.blocks.push_back(block);
    }

    fn position(&self, id: EntryId) -> Option<usize> {
        let position = self.blocks.partition_point(|block| block.first <= id).checked_sub(1)?;
        self.blocks.get(position).filter(|block| id < block.end()).map(|_| position)
    }

    /// An entry's content; `None` when it is not held any more. Entries of one block that are read one after the other are
    /// inflated once; [`Recorder::release_buffer`] gives that memory back.
    pub fn get(&mut self, id: EntryId) -> Option<(Content, &[u8])> {
        if id >= self.open_first {
            let slot = self.open_slots.get(usize::try_from(id - self.open_first).ok()?)?;
            return Some((slot.content, self.open.get(range(slot))?));
        }
        let block = self.blocks.get(self.position(id)?)?;
        if self.inflated_first != Some(block.first) {
            self.inflated_first = None;
            let len: usize = block.pieces.iter().map(|piece| piece.raw_len as usize).sum();
            if self.inflated.len() < len {
                // Nothing of the old content is moved, and nothing is cleared again that is overwritten.
                self.inflated = vec![0; len.next_multiple_of(PIECE / 8)];
            }
            let mut rest = self.inflated.as_mut_slice();
            for piece in &block.pieces {
                let (out, after) = rest.split_at_mut(piece.raw_len as usize);
                if !lz4::inflate_into(&piece.data, out) {
                    debug_assert!(false, "what was compressed inflates");
                    return None;
                }
                rest = after;
            }
            self.inflated_first = Some(block.first);
        }
        let slot = block.slots.get(usize::try_from(id - block.first).ok()?)?;
        Some((slot.content, self.inflated.get(range(slot))?))
    }

    /// Gives back what reading needed, where it is more than blocks usually take: the next reader comes soon.
    pub fn release_large_buffer(&mut self) {
        if self.inflated.capacity() > 2 * PIECE {
            self.release_buffer();
        }
    }

    /// Gives back what reading needed.
    pub fn release_buffer(&mut self) {
        self.inflated_first = None;
        self.inflated = Vec::new();
    }

    /// Ids of the entries that are held and not before `from`, in order.
    pub fn ids(&self, from: EntryId) -> impl Iterator<Item = EntryId> {
        let blocks = self.blocks.iter().flat_map(|block| block.first..block.end());
        blocks.chain(self.open_first..self.next_id()).filter(move |id| *id >= from)
    }

    fn pins_of(&mut self, id: EntryId) -> Option<&mut u32> {
        if id >= self.open_first {
            return (id < self.next_id()).then_some(&mut self.open_pins);
        }
        let position = self.position(id)?;
        self.blocks.get_mut(position).map(|block| &mut block.pins)
    }

    /// Puts one more pin on an entry, so that it is not overwritten; false when it is not held any more.
    pub fn pin(&mut self, id: EntryId) -> bool {
        self.pins_of(id).map(|pins| *pins += 1).is_some()
    }

    /// Takes one pin off an entry. It stays until its memory is needed.
    pub fn unpin(&mut self, id: EntryId) {
        if let Some(pins) = self.pins_of(id) {
            debug_assert!(*pins > 0, "an entry loses more pins than it had");
            *pins = pins.saturating_sub(1);
        }
    }

    /// Bytes in use.
    pub fn bytes(&self) -> u64 {
        self.blocks_bytes
            + (self.blocks.capacity() - self.blocks.len()) as u64 * size_of::<Block>() as u64
            + (self.open.capacity() + self.open_slots.capacity() * size_of::<Slot>() + self.inflated.capacity()) as u64
    }
}

fn range(slot: &Slot) -> std::ops::Range<usize> {
    let start = slot.start as usize;
    start..start + slot.len as usize
}

#[cfg(test)]
mod tests {
    use model::Signal;

    use super::*;
    use disk::model::Rng;

    fn noise(seed: u64, len: usize) -> Vec<u8> {
        let mut rng = Rng::new(seed);
        (0..len).map(|_| rng.below(256) as u8).collect()
    }

    /// Scenario: entries that were compressed before, between others that were not. Guarantees: each is read as it came, small ones are
    /// not compressed by themselves.
    #[test]
    fn entries_that_come_compressed_are_read() {
        let content = Content::Request(Signal::Traces);
        let mut recorder = Recorder::new(1 << 20);
        let large = [vec![b'a'; 40_000], noise(7, 50_000), vec![b'b'; 20_000]];
        let mut expected = Vec::new();
        for body in &large {
            assert_eq!(recorder.compressed(b"small"), None);
            expected.push((recorder.push(content, b"small", 1), b"small".to_vec()));
            let compressed = recorder.compressed(body).unwrap();
            assert!(recorder.make_room(body.len()));
            expected.push((recorder.push_compressed(content, body.len(), compressed, 1), body.clone()));
        }
        for (id, body) in expected {
            assert!(recorder.get(id) == Some((content, body.as_slice())), "{id}");
            recorder.unpin(id);
        }
        assert_eq!(recorder.oldest_pinned(), recorder.next_id());
    }

    /// Scenario: entries with and without pins fill the ring with bytes that do not compress. Guarantees: pinned bytes are
    /// never given away, the ring never grows above its size, and unpinned bytes make room, oldest first (P9).
    #[test]
    fn pins_hold() {
        let mut recorder = Recorder::new(12_000);
        assert!(!recorder.make_room(12_000));
        assert!(recorder.make_room(3000));
        let first = recorder.push(Content::Request(Signal::Traces), &noise(1, 3000), 2);
        assert!(recorder.make_room(3000));
        let second = recorder.push(Content::Exemplars, &noise(2, 3000), 0);
        assert_eq!(recorder.get(second).unwrap().0, Content::Exemplars);
        assert_eq!(recorder.oldest_pinned(), first);
        assert!(recorder.make_room(4000), "the entry without pins goes");
        assert!(recorder.get(second).is_none());
        recorder.push(Content::Request(Signal::Logs), &noise(3, 4000), 1);
        assert!(!recorder.make_room(3000), "all is pinned");
        recorder.unpin(first);
        assert!(!recorder.make_room(3000), "one pin is left");
        recorder.unpin(first);
        assert!(recorder.get(first).is_some(), "what is decided stays until its room is needed");
        assert!(recorder.make_room(3000));
        assert!(recorder.get(first).is_none());
        assert!(!recorder.pin(first));
        assert!(recorder.bytes() <= 12_000);
    }

    /// Scenario: 3,000 entries of all sizes, compressible and not, read back in any order while they are held. Guarantees:
    /// content and kind are what was put in; ids ascend; the bytes counted stay under the limit (P9).
    #[test]
    fn what_is_held_is_what_came() {
        let mut rng = Rng::new(7);
        let mut recorder = Recorder::new(400_000);
        let mut texts: Vec<Vec<u8>> = Vec::new();
        for number in 0..3000u64 {
            let len = if rng.percent(3) { rng.below(100_000) } else { rng.below(3000) } as usize;
            let text = if rng.percent(50) { noise(number, len) } else { vec![number as u8; len] };
            assert!(recorder.make_room(text.len()));
            let content = if number.is_multiple_of(2) { Content::Exemplars } else { Content::Request(Signal::Logs) };
            assert_eq!(recorder.push(content, &text, 0), number);
            assert!(recorder.bytes() <= 400_000, "{} bytes", recorder.bytes());
            texts.push(text);
            let asked = rng.below(number + 1);
            let found = recorder.get(asked).map(|(content, bytes)| (content, bytes.to_vec()));
            assert_eq!(found.is_some(), asked >= recorder.oldest_id(), "unpinned entries go in order");
            if let Some((content, bytes)) = found {
                assert_eq!(bytes, texts[asked as usize]);
                assert_eq!(content == Content::Exemplars, asked.is_multiple_of(2));
            }
        }
        let held: Vec<EntryId> = recorder.ids(0).collect();
        assert_eq!(held, (recorder.oldest_id()..3000).collect::<Vec<_>>());
        recorder.release_buffer();
        assert!(recorder.bytes() <= 400_000);
    }

    /// Scenario: requests of spans as SDKs send them, ten seconds of a vessel. Guarantees: they take less than a third of
    /// their bytes.
    #[test]
    fn requests_shrink() {
        let mut recorder = Recorder::new(64 << 20);
        let mut raw = 0;
        for request in 0..200u64 {
            let mut bytes = Vec::new();
            for span in 0..50u64 {
                bytes.extend_from_slice(&noise(request * 50 + span, 24));
                let text = format!(
                    "GET /api/v1/cargo/{} http.request.method GET url.path /api/v1/cargo status 200 ",
                    span % 7
                );
                bytes.extend_from_slice(text.as_bytes());
                bytes.extend_from_slice(
                    b"server.address cargo.vessel.local network.protocol.version 1.1 user_agent.original x",
                );
            }
            raw += bytes.len() as u64;
            recorder.push(Content::Request(Signal::Traces), &bytes, 1);
        }
        assert!(recorder.bytes() * 3 < raw, "{} of {raw}", recorder.bytes());
    }
}
