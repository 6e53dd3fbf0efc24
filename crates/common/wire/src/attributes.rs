//! Attribute lists as columns: a shape (keys and types, in order) for each list, and one column of values for each
//! (key, type) of the section (docs/wire.md, "Attributes").

use std::collections::HashMap;

use foldhash::fast::RandomState;
use minicbor::{Decoder, Encoder};
use model::proto::{ProtoError, put_message};

use crate::any_value::{Any, canonical_list, put_pair, read_pair};
use crate::cbor;
use crate::dictionary::{Dictionary, DictionaryReader};
use crate::error::FrameError;
use crate::float_column::{self, FloatReader};
use crate::int_column::{self, IntReader};

/// A key's index in the string table, times 16, plus the value's type number.
type Slot = u64;

/// So many columns get place for all rows at once.
const USUAL_COLUMNS: usize = 24;

/// The lists of one field while a frame is written.
#[derive(Default)]
pub(crate) struct Attributes {
    shapes: Vec<Box<[Slot]>>,
    known_shapes: HashMap<Box<[Slot]>, u64, RandomState>,
    rows: Vec<u64>,
    slots: HashMap<Slot, usize, RandomState>,
    columns: Vec<(Slot, Vec<u64>)>,
    /// The slots of the list that is being written.
    scratch: Vec<Slot>,
    /// The slot that stood at each place of a list last, and its column: the next list usually has the same shape.
    before: Vec<(Slot, usize)>,
}

impl Attributes {
    /// No lists yet; `rows` is empty.
    pub(crate) fn new(rows: Vec<u64>) -> Self {
        Self { rows, ..Self::default() }
    }

    /// Adds a list, given as the bytes of its `KeyValue`s.
    pub(crate) fn push_pairs<'a>(
        &mut self,
        pairs: impl Iterator<Item = &'a [u8]>,
        dictionary: &mut Dictionary,
        unknown: &mut u64,
    ) -> Result<(), ProtoError> {
        self.scratch.clear();
        for pair in pairs {
            let (key, any) = read_pair(pair, unknown)?;
            let key = dictionary.string(key);
            self.push_value(key, any, dictionary, unknown)?;
        }
        self.end_row();
        Ok(())
    }

    /// Adds a list of at most one value without a key: an `AnyValue` field.
    pub(crate) fn push_any(
        &mut self,
        any: Option<&[u8]>,
        dictionary: &mut Dictionary,
        unknown: &mut u64,
    ) -> Result<(), ProtoError> {
        self.scratch.clear();
        if let Some(bytes) = any {
            let any = Any::read(bytes, unknown)?;
            self.push_value(0, any, dictionary, unknown)?;
        }
        self.end_row();
        Ok(())
    }

    fn push_value(
        &mut self,
        key: u64,
        any: Any<'_>,
        dictionary: &mut Dictionary,
        unknown: &mut u64,
    ) -> Result<(), ProtoError> {
        let slot = key * 16 + u64::from(any.number());
        let place = self.scratch.len();
        self.scratch.push(slot);
        let value = match any {
            Any::Empty | Any::Missing => return Ok(()),
            Any::String(text) => dictionary.string(text),
            Any::Bool(value) => u64::from(value),
            Any::Int(value) | Any::Double(value) => value,
            Any::Array(list) => dictionary.blob(&canonical_list(list, false, unknown)?),
            Any::KvList(list) => dictionary.blob(&canonical_list(list, true, unknown)?),
            Any::Bytes(bytes) => dictionary.blob(bytes),
        };
        let column = self.column(slot, place);
        if let Some((_, column)) = self.columns.get_mut(column) {
            column.push(value);
        }
        Ok(())
    }

    /// The column of a slot that stands at this place of its list.
    fn column(&mut self, slot: Slot, place: usize) -> usize {
        if let Some((_, column)) = self.before.get(place).filter(|(before, _)| *before == slot) {
            return *column;
        }
        let next = self.columns.len();
        let column = *self.slots.entry(slot).or_insert(next);
        if column == next {
            // What the first lists have, those to come usually have, too; rare keys get place when they come.
            let left = if next < USUAL_COLUMNS { self.rows.capacity() - self.rows.len() } else { 0 };
            self.columns.push((slot, Vec::with_capacity(left)));
        }
        self.before.resize(self.before.len().max(place + 1), (Slot::MAX, 0));
        if let Some(before) = self.before.get_mut(place) {
            *before = (slot, column);
        }
        column
    }

    fn end_row(&mut self) {
        let next = self.shapes.len() as u64;
        let last = self.rows.last().copied();
        let is_last = |shape: &u64| self.shapes.get(*shape as usize).is_some_and(|shape| **shape == *self.scratch);
        let shape = match last.filter(is_last).or_else(|| self.known_shapes.get(self.scratch.as_slice()).copied()) {
            Some(shape) => shape,
            None => {
                let shape: Box<[Slot]> = self.scratch.as_slice().into();
                self.known_shapes.insert(shape.clone(), next);
                self.shapes.push(shape);
                next
            }
        };
        self.rows.push(shape);
    }

    /// Appends the field; null when every list is empty.
    pub(crate) fn put(&self, out: &mut Encoder<&mut Vec<u8>>) {
        if self.shapes.iter().all(|shape| shape.is_empty()) {
            cbor::null(out);
            return;
        }
        cbor::array(out, 3);
        cbor::array(out, self.shapes.len() as u64);
        for shape in &self.shapes {
            cbor::array(out, shape.len() as u64);
            shape.iter().for_each(|slot| cbor::uint(out, *slot));
        }
        int_column::put(out, &self.rows);
        cbor::array(out, self.columns.len() as u64);
        for (slot, values) in &self.columns {
            if slot % 16 == 4 { float_column::put(out, values) } else { int_column::put(out, values) }
        }
    }
}

enum ValueReader<'b> {
    Int(IntReader<'b>),
    Float(FloatReader<'b>),
}

/// The lists of one field while a frame is read.
pub(crate) struct AttributesReader<'b> {
    shapes: Vec<Vec<(Slot, usize)>>,
    rows: IntReader<'b>,
    columns: Vec<ValueReader<'b>>,
}

impl<'b> AttributesReader<'b> {
    /// Reads the field, which is not null.
    pub(crate) fn read(decoder: &mut Decoder<'b>) -> Result<Self, FrameError> {
        cbor::expect_array(decoder, 3)?;
        let mut slots = HashMap::new();
        let mut order = Vec::new();
        let mut shapes = Vec::new();
        for _ in 0..cbor::any_array(decoder)? {
            let mut shape = Vec::new();
            for _ in 0..cbor::any_array(decoder)? {
                let slot = decoder.u64()?;
                let column = match slot % 16 {
                    0 | 8 => usize::MAX,
                    1..=7 => *slots.entry(slot).or_insert_with(|| {
                        order.push(slot);
                        order.len() - 1
                    }),
                    _ => return Err(FrameError::Corrupt("unknown type of an attribute")),
                };
                shape.push((slot, column));
            }
            shapes.push(shape);
        }
        let rows = IntReader::read(decoder)?;
        cbor::expect_array(decoder, order.len() as u64)?;
        let mut columns = Vec::with_capacity(order.len());
        for slot in &order {
            columns.push(if slot % 16 == 4 {
                ValueReader::Float(FloatReader::read(decoder)?)
            } else {
                ValueReader::Int(IntReader::read(decoder)?)
            });
        }
        Ok(Self { shapes, rows, columns })
    }

    fn values<E>(
        &mut self,
        dictionary: &DictionaryReader<'b>,
        mut each: impl FnMut(&'b [u8], Any<'b>) -> Result<(), E>,
    ) -> Result<(), E>
    where
        E: From<FrameError>,
    {
        let Self { shapes, rows, columns } = self;
        let shape = usize::try_from(rows.next()?).ok().and_then(|index| shapes.get(index));
        for (slot, column) in shape.ok_or(FrameError::Corrupt("no such attribute shape"))? {
            let value = match columns.get_mut(*column) {
                Some(ValueReader::Int(reader)) => reader.next()?,
                Some(ValueReader::Float(reader)) => reader.next()?,
                None => 0,
            };
            let any = match slot % 16 {
                0 => Any::Empty,
                1 => Any::String(dictionary.string(value)?),
                2 => Any::Bool(value != 0),
                3 => Any::Int(value),
                4 => Any::Double(value),
                5 => Any::Array(dictionary.blob(value)?),
                6 => Any::KvList(dictionary.blob(value)?),
                7 => Any::Bytes(dictionary.blob(value)?),
                _ => Any::Missing,
            };
            if let Any::Array(list) | Any::KvList(list) = any {
                // A forged frame must not smuggle bytes that a protobuf reader chokes on.
                canonical_list(list, matches!(any, Any::KvList(_)), &mut 0)
                    .map_err(|_| FrameError::Corrupt("an attribute's list is not protobuf"))?;
            }
            each(dictionary.string(slot / 16)?, any)?;
        }
        Ok(())
    }

    /// Appends the next list as `KeyValue` fields with this number.
    pub(crate) fn put_pairs(
        &mut self,
        out: &mut Vec<u8>,
        number: u32,
        dictionary: &DictionaryReader<'b>,
    ) -> Result<(), FrameError> {
        self.values(dictionary, |key, any| {
            put_message(out, number, |out| put_pair(out, key, &any));
            Ok(())
        })
    }

    /// Appends the next list, of at most one value, as an `AnyValue` field with this number.
    pub(crate) fn put_any(
        &mut self,
        out: &mut Vec<u8>,
        number: u32,
        dictionary: &DictionaryReader<'b>,
    ) -> Result<(), FrameError> {
        self.values(dictionary, |_, any| {
            put_message(out, number, |out| any.put(out));
            Ok(())
        })
    }

    /// Checks that nothing is left over.
    pub(crate) fn finish(&self) -> Result<(), FrameError> {
        self.rows.finish()?;
        self.columns.iter().try_for_each(|column| match column {
            ValueReader::Int(reader) => reader.finish(),
            ValueReader::Float(reader) => reader.finish(),
        })
    }
}
