//! Columns of doubles, held as their bits (docs/wire.md, "Float columns"): every NaN and the sign of zero survive.

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

use crate::int_column::{self, IntReader};
use crate::{FrameError, cbor};

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

fn decimals(values: &[u64]) -> Option<(u8, Vec<u64>)> {
    let mut places = 0;
    for value in values {
        while scaled(*value, places).is_none() {
            places += 1;
            if places > MAX_PLACES {
                return None;
            }
        }
    }
    let integers: Option<Vec<u64>> = values.iter().map(|value| scaled(*value, places)).collect();
    integers.map(|integers| (places, integers))
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
    if let Some((places, integers)) = decimals(values)
        && int_column::content_size(&integers) <= changed_bytes(values)
    {
        cbor::array(out, 3);
        cbor::uint(out, u64::from(DECIMAL));
        cbor::uint(out, u64::from(places));
        int_column::put(out, &integers);
        return;
    }
    let mut content = Vec::with_capacity(values.len() * 8);
    for plane in (0..64).step_by(8) {
        content.extend(values.iter().map(|value| (value >> plane) as u8));
    }
    cbor::array(out, 2);
    cbor::uint(out, u64::from(PLANES));
    cbor::bytes(out, &content);
}

/// Gives a column's values (bits) one by one.
#[derive(Debug)]
pub(crate) enum FloatReader<'b> {
    /// The same bits for ever.
    Constant(u64),
    /// Eight planes of bytes.
    Planes { content: &'b [u8], row: usize },
    /// Integers of `10^-places`.
    Decimal { power: f64, integers: IntReader<'b> },
}

impl<'b> FloatReader<'b> {
    /// Reads the column's head.
    pub(crate) fn read(decoder: &mut Decoder<'b>) -> Result<Self, FrameError> {
        match decoder.datatype()? {
            Type::Null => {
                decoder.skip()?;
                Ok(Self::Constant(0))
            }
            Type::Bytes => Ok(Self::Constant(u64::from_le_bytes(cbor::fixed(decoder)?))),
            _ => {
                let length = cbor::any_array(decoder)?;
                match (decoder.u8()?, length) {
                    (PLANES, 2) => {
                        let content = decoder.bytes()?;
                        if content.len() % 8 != 0 {
                            return Err(FrameError::Corrupt("a float column is not eight planes"));
                        }
                        Ok(Self::Planes { content, row: 0 })
                    }
                    (DECIMAL, 3) => {
                        let places = usize::from(decoder.u8()?);
                        let power = *POWERS.get(places).ok_or(FrameError::Corrupt("too many decimal places"))?;
                        Ok(Self::Decimal { power, integers: IntReader::read(decoder)? })
                    }
                    _ => Err(FrameError::Corrupt("unknown form of a float column")),
                }
            }
        }
    }

    /// The next value's bits.
    pub(crate) fn next(&mut self) -> Result<u64, FrameError> {
        match self {
            Self::Constant(bits) => Ok(*bits),
            Self::Planes { content, row } => {
                let rows = content.len() / 8;
                if *row >= rows {
                    return Err(FrameError::Corrupt("a float column has fewer values than rows"));
                }
                let mut bytes = [0; 8];
                for (plane, byte) in bytes.iter_mut().enumerate() {
                    *byte = content.get(plane * rows + *row).copied().unwrap_or_default();
                }
                *row += 1;
                Ok(u64::from_le_bytes(bytes))
            }
            Self::Decimal { power, integers } => Ok((integers.next()? as i64 as f64 / *power).to_bits()),
        }
    }

    /// Checks that nothing is left over.
    pub(crate) fn finish(&self) -> Result<(), FrameError> {
        match self {
            Self::Constant(_) => Ok(()),
            Self::Planes { content, row } if *row == content.len() / 8 => Ok(()),
            Self::Planes { .. } => Err(FrameError::Corrupt("a float column has more values than rows")),
            Self::Decimal { integers, .. } => integers.finish(),
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
        let nan = f64::from_bits(0x7ff0_0000_0000_0002);
        roundtrip(&[f64::NAN, nan, 1.5, -0.0, 0.0, f64::INFINITY, f64::MIN_POSITIVE, f64::MAX]);
        roundtrip(&[0.1, 0.2, 0.3, 123_456.789_012]);
        roundtrip(&[9_007_199_254_740_992.0, 9_007_199_254_740_994.0, -1.0]);
    }
}
