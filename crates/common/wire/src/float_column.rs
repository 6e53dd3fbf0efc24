//! Columns of doubles, held as their bits (docs/wire.md, "Float columns"): every NaN and the sign of zero survive.

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

use crate::cbor;
use crate::error::FrameError;
use crate::int_column::{self, IntReader};

const PLANES: u8 = 1;
const DECIMAL: u8 = 2;
/// The most decimal places that the decimal form looks for.
const MAX_PLACES: u8 = 6;
/// Integers up to here are exact in a double.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
const POWERS: [f64; MAX_PLACES as usize + 1] = [1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6];

/// `bits` as an integer count of `10^-places`, when that gives exactly these bits back.
fn scaled(bits: u64, places: u8) -> Option<u64> {
    let power = POWERS.get(usize::from(places))?;
    let integer = (f64::from_bits(bits) * power).round();
    if integer.is_nan() || integer.abs() > MAX_EXACT {
        return None;
    }
    let integer = integer as i64;
    // Through the integer, as the reader does it: a negative zero must not pass.
    ((integer as f64 / power).to_bits() == bits).then_some(integer as u64)
}

/// Values as integers of `10^-places`, but for the exceptions, whose rows repeat the integer before them.
struct Decimals {
    places: u8,
    integers: Vec<u64>,
    /// Rows of the exceptions, ascending, and their bits.
    rows: Vec<u64>,
    bits: Vec<u64>,
}

impl Decimals {
    /// Takes the fewest places that will do for every value that any number of places will do for.
    fn of(values: &[u64]) -> Self {
        let fewest = |bits: &u64| (0..=MAX_PLACES).find(|places| scaled(*bits, *places).is_some());
        let places = values.iter().filter_map(fewest).max().unwrap_or(0);
        let mut decimals = Self { places, integers: Vec::with_capacity(values.len()), rows: vec![], bits: vec![] };
        let mut before = 0;
        for (row, value) in values.iter().enumerate() {
            match scaled(*value, places) {
                Some(integer) => before = integer,
                None => {
                    decimals.rows.push(row as u64);
                    decimals.bits.push(*value);
                }
            }
            decimals.integers.push(before);
        }
        decimals
    }

    fn size(&self) -> usize {
        int_column::content_size(&self.integers) + 9 * self.rows.len()
    }
}

/// How many bytes differ from the same byte of the row before: what a compressor has to say of the eight planes.
fn changed_bytes(values: &[u64]) -> usize {
    let mut before = 0u64;
    let changed = values.iter().map(|value| {
        let changed = value ^ before;
        before = *value;
        changed.to_le_bytes().iter().filter(|byte| **byte != 0).count()
    });
    changed.sum()
}

/// Appends the column.
pub(crate) fn put(out: &mut Encoder<&mut Vec<u8>>, values: &[u64]) {
    let first = values.first().copied().unwrap_or(0);
    if values.iter().all(|value| *value == first) {
        if first == 0 {
            cbor::null(out);
        } else {
            cbor::bytes(out, &first.to_le_bytes());
        }
        return;
    }
    let decimals = Decimals::of(values);
    if decimals.size() <= changed_bytes(values) {
        let whole = decimals.rows.is_empty();
        cbor::array(out, if whole { 3 } else { 6 });
        cbor::uint(out, u64::from(DECIMAL));
        cbor::uint(out, u64::from(decimals.places));
        int_column::put(out, &decimals.integers);
        if !whole {
            cbor::uint(out, decimals.rows.len() as u64);
            int_column::put(out, &decimals.rows);
            cbor::bytes(out, &planes(&decimals.bits));
        }
        return;
    }
    cbor::array(out, 2);
    cbor::uint(out, u64::from(PLANES));
    cbor::bytes(out, &planes(values));
}

/// The lowest byte of every value, then the next one of every value, and so on.
fn planes(values: &[u64]) -> Vec<u8> {
    let mut content = Vec::with_capacity(values.len() * 8);
    for plane in (0..64).step_by(8) {
        content.extend(values.iter().map(|value| (value >> plane) as u8));
    }
    content
}

/// Gives a column's values (bits) one by one.
#[derive(Debug)]
pub(crate) enum FloatReader<'b> {
    /// The same bits for ever.
    Constant(u64),
    /// Eight planes of bytes.
    Planes(PlanesReader<'b>),
    /// Integers of `10^-places`, but for the exceptions.
    Decimal { power: f64, integers: IntReader<'b>, row: u64, exceptions: Exceptions<'b> },
}

/// Values as eight planes of bytes.
#[derive(Debug)]
pub(crate) struct PlanesReader<'b> {
    content: &'b [u8],
    row: usize,
}

/// Rows that are no decimals.
#[derive(Debug)]
pub(crate) struct Exceptions<'b> {
    /// The next one's row; `None` when there is no more.
    next: Option<u64>,
    left: u64,
    rows: IntReader<'b>,
    values: PlanesReader<'b>,
}

impl<'b> PlanesReader<'b> {
    fn read(decoder: &mut Decoder<'b>) -> Result<Self, FrameError> {
        let content = decoder.bytes()?;
        if content.len() % 8 != 0 {
            return Err(FrameError::Corrupt("a float column is not eight planes"));
        }
        Ok(Self { content, row: 0 })
    }

    fn next(&mut self) -> Result<u64, FrameError> {
        let rows = self.content.len() / 8;
        if self.row >= rows {
            return Err(FrameError::Corrupt("a float column has fewer values than rows"));
        }
        let mut bytes = [0; 8];
        for (plane, byte) in bytes.iter_mut().enumerate() {
            *byte = self.content.get(plane * rows + self.row).copied().unwrap_or_default();
        }
        self.row += 1;
        Ok(u64::from_le_bytes(bytes))
    }

    fn finish(&self) -> Result<(), FrameError> {
        if self.row == self.content.len() / 8 {
            Ok(())
        } else {
            Err(FrameError::Corrupt("a float column has more values than rows"))
        }
    }
}

impl Exceptions<'_> {
    fn advance(&mut self) -> Result<(), FrameError> {
        self.next = match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Some(self.rows.next()?)
            }
            None => None,
        };
        Ok(())
    }
}

impl<'b> FloatReader<'b> {
    /// Reads the column's head.
    pub(crate) fn read(decoder: &mut Decoder<'b>) -> Result<Self, FrameError> {
        match decoder.datatype()? {
            Type::Null => {
                decoder.skip()?;
                return Ok(Self::Constant(0));
            }
            Type::Bytes => return Ok(Self::Constant(u64::from_le_bytes(cbor::fixed(decoder)?))),
            _ => {}
        }
        let length = cbor::any_array(decoder)?;
        match (decoder.u8()?, length) {
            (PLANES, 2) => Ok(Self::Planes(PlanesReader::read(decoder)?)),
            (DECIMAL, 3 | 6) => {
                let places = usize::from(decoder.u8()?);
                let power = *POWERS.get(places).ok_or(FrameError::Corrupt("too many decimal places"))?;
                let integers = IntReader::read(decoder)?;
                let mut exceptions = if length == 3 {
                    let none = PlanesReader { content: &[], row: 0 };
                    Exceptions { next: None, left: 0, rows: IntReader::Constant(0), values: none }
                } else {
                    let left = decoder.u64()?;
                    let rows = IntReader::read(decoder)?;
                    Exceptions { next: None, left, rows, values: PlanesReader::read(decoder)? }
                };
                exceptions.advance()?;
                Ok(Self::Decimal { power, integers, row: 0, exceptions })
            }
            _ => Err(FrameError::Corrupt("unknown form of a float column")),
        }
    }

    /// The next value's bits.
    pub(crate) fn next(&mut self) -> Result<u64, FrameError> {
        match self {
            Self::Constant(bits) => Ok(*bits),
            Self::Planes(planes) => planes.next(),
            Self::Decimal { power, integers, row, exceptions } => {
                let integer = integers.next()?;
                let here = exceptions.next == Some(*row);
                *row += 1;
                if here {
                    exceptions.advance()?;
                    return exceptions.values.next();
                }
                Ok((integer as i64 as f64 / *power).to_bits())
            }
        }
    }

    /// Checks that nothing is left over.
    pub(crate) fn finish(&self) -> Result<(), FrameError> {
        match self {
            Self::Constant(_) => Ok(()),
            Self::Planes(planes) => planes.finish(),
            Self::Decimal { integers, exceptions, .. } => {
                if exceptions.next.is_some() {
                    return Err(FrameError::Corrupt("an exception of a float column is beyond its rows"));
                }
                integers.finish()?;
                exceptions.rows.finish()?;
                exceptions.values.finish()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roundtrip(values: &[f64]) -> usize {
        let bits: Vec<u64> = values.iter().map(|value| value.to_bits()).collect();
        let mut bytes = Vec::new();
        put(&mut Encoder::new(&mut bytes), &bits);
        let mut reader = FloatReader::read(&mut Decoder::new(&bytes)).unwrap();
        let read: Vec<u64> = bits.iter().map(|_| reader.next().unwrap()).collect();
        assert_eq!(read, bits);
        reader.finish().unwrap();
        bytes.len()
    }

    /// Scenario: decimals, counters, full mantissas, NaNs with payload, both zeros, infinities.
    /// Guarantees: every bit survives in every form (P7).
    #[test]
    fn every_form_survives() {
        assert_eq!(roundtrip(&[0.0; 9]), 1);
        assert_eq!(roundtrip(&[-0.0; 9]), 9);
        let decimals: Vec<f64> = (0..100).map(|i| 2000.0 + f64::from(i) * 0.01).collect();
        assert!(roundtrip(&decimals) < 120);
        let ratios: Vec<f64> = (1..100).map(|i| 1.0 / f64::from(i)).collect();
        roundtrip(&ratios);
        let mixed: Vec<f64> =
            (0..200).map(|i| if i % 7 == 3 { 1.0 / f64::from(i) } else { f64::from(i) / 4.0 }).collect();
        assert!(roundtrip(&mixed) < 200 * 2 + 30 * 10);
        let nan = f64::from_bits(0x7ff0_0000_0000_0002);
        roundtrip(&[f64::NAN, nan, 1.5, -0.0, 0.0, f64::INFINITY, f64::MIN_POSITIVE, f64::MAX]);
        roundtrip(&[0.1, 0.2, 0.3, 123_456.789_012]);
        roundtrip(&[9_007_199_254_740_992.0, 9_007_199_254_740_994.0, -1.0]);
    }
}
