//! The label index: for every label and value, which series have it, as posting lists. Entries are sorted by label, then
//! value, and cut into blocks, so that a question about one label reads the blocks of that label.

use std::collections::BTreeMap;

use roaring::RoaringBitmap;

use crate::Damaged;
use crate::block::{Block, Source};
use crate::bytes::{Cursor, put_bytes, put_varint};

/// Content of one block.
const BLOCK_BYTES: usize = 16 << 10;

type Postings = BTreeMap<Vec<u8>, RoaringBitmap>;

/// Posting lists in the making, by label and value.
#[derive(Debug, Default)]
pub(crate) struct LabelWriter(BTreeMap<Vec<u8>, Postings>);

/// A label with a value.
type Label = (Vec<u8>, Vec<u8>);

impl LabelWriter {
    /// Notes that a series has a label; series come with rising numbers.
    pub(crate) fn add(&mut self, label: &[u8], value: &[u8], series: u32) {
        if !self.0.contains_key(label) {
            self.0.insert(label.to_vec(), BTreeMap::new());
        }
        let Some(values) = self.0.get_mut(label) else { return };
        match values.get_mut(value) {
            Some(list) => drop(list.insert(series)),
            None => drop(values.insert(value.to_vec(), RoaringBitmap::from_iter([series]))),
        }
    }

    pub(crate) fn finish(self, out: &mut Vec<u8>, offset: u64) -> LabelIndex {
        let mut blocks = Vec::new();
        let mut raw = Vec::new();
        let mut first: Option<Label> = None;
        for (label, values) in self.0 {
            for (value, list) in values {
                put_bytes(&mut raw, &label);
                put_bytes(&mut raw, &value);
                let mut packed = Vec::with_capacity(list.serialized_size());
                // Writing into memory does not fail.
                let _written = list.serialize_into(&mut packed);
                put_bytes(&mut raw, &packed);
                first.get_or_insert_with(|| (label.clone(), value));
                if raw.len() >= BLOCK_BYTES {
                    blocks.push((first.take().unwrap_or_default(), Block::put(out, offset, &raw)));
                    raw.clear();
                }
            }
        }
        if let Some(first) = first {
            blocks.push((first, Block::put(out, offset, &raw)));
        }
        LabelIndex(blocks)
    }
}

/// Where the blocks are, with the first label and value of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LabelIndex(Vec<(Label, Block)>);

impl LabelIndex {
    pub(crate) fn describe(&self, out: &mut Vec<u8>) {
        put_varint(out, self.0.len() as u64);
        for ((label, value), block) in &self.0 {
            put_bytes(out, label);
            put_bytes(out, value);
            block.describe(out);
        }
    }

    pub(crate) fn parse(cursor: &mut Cursor<'_>, file_len: u64) -> Result<Self, Damaged> {
        let mut blocks = Vec::new();
        for _ in 0..cursor.size()? {
            let first = (cursor.bytes()?.to_vec(), cursor.bytes()?.to_vec());
            if blocks.last().is_some_and(|(before, _)| *before >= first) {
                return Err(Damaged("the label index is out of order"));
            }
            blocks.push((first, Block::parse(cursor, file_len)?));
        }
        Ok(Self(blocks))
    }

    pub(crate) fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.0.iter().map(|(_, block)| block)
    }

    /// Bytes that it takes in memory.
    pub(crate) fn held_bytes(&self) -> usize {
        let each = |((label, value), _): &(Label, Block)| label.len() + value.len() + 2 * 16;
        self.0.iter().map(each).sum::<usize>() + self.0.len() * size_of::<(Label, Block)>()
    }

    /// Shows each label of the pack once.
    pub(crate) fn names<S: Source + ?Sized>(&self, source: &S) -> Result<Vec<Vec<u8>>, S::Error> {
        let mut names: Vec<Vec<u8>> = Vec::new();
        for (_, block) in &self.0 {
            each_entry(&block.read(source)?, |label, _, _| {
                if names.last().is_none_or(|last| last != label) {
                    names.push(label.to_vec());
                }
                Ok(true)
            })?;
        }
        Ok(names)
    }

    /// Shows the values of a label with their lists, or only the one that is `exact`.
    pub(crate) fn each_value<S: Source + ?Sized>(
        &self,
        source: &S,
        label: &[u8],
        exact: Option<&[u8]>,
        mut show: impl FnMut(&[u8], RoaringBitmap),
    ) -> Result<(), S::Error> {
        let is_after = |first: &Label| (first.0.as_slice(), first.1.as_slice()) > (label, exact.unwrap_or_default());
        let start = self.0.partition_point(|(first, _)| !is_after(first)).saturating_sub(1);
        for (first, block) in self.0.get(start..).unwrap_or_default() {
            let is_beyond = match exact {
                Some(exact) => (first.0.as_slice(), first.1.as_slice()) > (label, exact),
                None => first.0.as_slice() > label,
            };
            if is_beyond {
                break;
            }
            each_entry(&block.read(source)?, |found, value, list| {
                if found == label && exact.is_none_or(|exact| exact == value) {
                    let list = RoaringBitmap::deserialize_from(list);
                    show(value, list.map_err(|_| Damaged("a posting list cannot be read"))?);
                }
                Ok(found <= label)
            })?;
        }
        Ok(())
    }
}

/// Shows the entries of a block until told to stop.
fn each_entry(raw: &[u8], mut show: impl FnMut(&[u8], &[u8], &[u8]) -> Result<bool, Damaged>) -> Result<(), Damaged> {
    let mut cursor = Cursor(raw);
    while !cursor.is_empty() {
        let (label, value, list) = (cursor.bytes()?, cursor.bytes()?, cursor.bytes()?);
        if !show(label, value, list)? {
            break;
        }
    }
    Ok(())
}
