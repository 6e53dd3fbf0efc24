//! Writing the content of a pack, series by series in the order of their keys. The writer hands out bytes to append to the
//! file and keeps where they are.

use std::collections::HashMap;

use crate::block::Block;
use crate::bytes::{put_bytes, put_varint};
use crate::chunk::Chunk;
use crate::directory::{ChunkRef, Directory, SeriesBlock};
use crate::labels::LabelWriter;

/// Content of one block of series.
const BLOCK_BYTES: usize = 16 << 10;
/// Times that take fewer bytes are not worth a place of their own.
const SHARED_BYTES: usize = 24;
/// Times that are remembered so that others can share them.
const REMEMBERED_BYTES: usize = 4 << 20;

/// A series came whose key is not above the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("series come in the order of their keys")]
pub struct Unsorted;

/// A pack's content in the making.
#[derive(Debug, Default)]
pub struct Writer {
    /// Where the next byte goes in the file.
    offset: u64,
    out: Vec<u8>,
    /// The block of series in the making.
    entries: Vec<u8>,
    first: u32,
    series: u32,
    blocks: Vec<SeriesBlock>,
    labels: LabelWriter,
    last_key: Option<Vec<u8>>,
    chunks: u64,
    points: u64,
    times: HashMap<Vec<u8>, u64>,
    remembered: usize,
}

impl Writer {
    /// One whose first byte lies at `offset` of the file.
    pub fn new(offset: u64) -> Self {
        Self { offset, ..Self::default() }
    }

    fn at(&self) -> u64 {
        self.offset + self.out.len() as u64
    }

    /// Takes a series: its key, what describes it (the reader gets it back), the labels by which it is found, and its
    /// points in the order of time.
    ///
    /// # Errors
    /// [`Unsorted`] when its key is not above that of the series before.
    pub fn add<'a>(
        &mut self,
        key: &[u8],
        description: &[u8],
        labels: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        points: Chunk,
    ) -> Result<(), Unsorted> {
        if self.last_key.as_deref().is_some_and(|last| last >= key) {
            return Err(Unsorted);
        }
        self.last_key = Some(key.to_vec());
        for (label, value) in labels {
            self.labels.add(label, value, self.series);
        }
        put_bytes(&mut self.entries, key);
        put_bytes(&mut self.entries, description);
        let chunks = points.split();
        put_varint(&mut self.entries, chunks.len() as u64);
        let mut before = ChunkRef::default();
        for chunk in &chunks {
            let place = self.put_chunk(chunk);
            place.describe(&before, &mut self.entries);
            before = place;
            self.chunks += 1;
            self.points += chunk.len() as u64;
        }
        self.series += 1;
        if self.entries.len() >= BLOCK_BYTES {
            self.end_block();
        }
        Ok(())
    }

    fn put_chunk(&mut self, chunk: &Chunk) -> ChunkRef {
        let (mut times, mut values) = (Vec::new(), Vec::new());
        chunk.put_times(&mut times);
        chunk.put_values(&mut values);
        let crc = crc32c::crc32c_append(crc32c::crc32c(&times), &values);
        let (times_len, values_len) = (times.len() as u32, values.len() as u32);
        let shared = self.times.get(&times).copied();
        let times_at = shared.unwrap_or_else(|| self.at());
        if shared.is_none() {
            self.out.extend_from_slice(&times);
            if times.len() > SHARED_BYTES {
                if self.remembered > REMEMBERED_BYTES {
                    self.times.clear();
                    self.remembered = 0;
                }
                self.remembered += times.len();
                self.times.insert(times, times_at);
            }
        }
        let values_at = self.at();
        self.out.extend_from_slice(&values);
        ChunkRef {
            min_time: chunk.times.first().copied().unwrap_or_default(),
            max_time: chunk.times.last().copied().unwrap_or_default(),
            points: chunk.len() as u32,
            times_at,
            times_len,
            values_at,
            values_len,
            crc,
        }
    }

    fn end_block(&mut self) {
        if self.entries.is_empty() {
            return;
        }
        let block = Block::put(&mut self.out, self.offset, &self.entries);
        self.blocks.push(SeriesBlock { first: self.first, block });
        self.entries.clear();
        self.first = self.series;
    }

    /// Bytes to append to the file now.
    pub fn take(&mut self) -> Vec<u8> {
        self.offset += self.out.len() as u64;
        std::mem::take(&mut self.out)
    }

    /// How many bytes [`Self::take`] would give.
    pub fn pending(&self) -> usize {
        self.out.len()
    }

    /// The last bytes to append, and the directory by which the pack is read.
    pub fn finish(mut self) -> (Vec<u8>, Directory) {
        self.end_block();
        let labels = std::mem::take(&mut self.labels).finish(&mut self.out, self.offset);
        let directory = Directory {
            file_len: self.at(),
            series: self.series,
            chunks: self.chunks,
            points: self.points,
            blocks: self.blocks,
            labels,
        };
        (self.out, directory)
    }
}
