//! Columns of 64-bit numbers (docs/wire.md, "Integer columns").
//!
//! The form is a pure function of the values: the smallest one, and among equals the one with the lowest number.

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};
use model::proto::{put_varint, read_varint, unzigzag, varint_len, zigzag};

use crate::FrameError;

const VARINT: u8 = 1;
const DELTA: u8 = 2;
const RUNS: u8 = 3;
const DELTA_RUNS: u8 = 4;
const FIXED: u8 = 5;
const DELTA_OF_DELTA: u8 = 6;

/// Zigzag of the wrapping difference to the value before (0 before the first).
fn deltas(values: &[u64]) -> impl Iterator<Item = u64> {
    let mut before = 0u64;
    values.iter().map(move |value| {
        let delta = value.wrapping_sub(before);
        before = *value;
        zigzag(delta as i64)
    })
}

/// Zigzag of the wrapping difference between a difference and the one before it.
fn deltas_of_deltas(values: &[u64]) -> impl Iterator<Item = u64> {
    let (mut before, mut delta_before) = (0u64, 0u64);
    values.iter().map(move |value| {
        let delta = value.wrapping_sub(before);
        let second = delta.wrapping_sub(delta_before);
        (before, delta_before) = (*value, delta);
        zigzag(second as i64)
    })
}

/// Calls `each` with every (value, run length).
fn runs(values: impl Iterator<Item = u64>, mut each: impl FnMut(u64, u64)) {
    let mut run: Option<(u64, u64)> = None;
    for value in values {
        match &mut run {
            Some((last, length)) if *last == value => *length += 1,
            _ => {
                if let Some((last, length)) = run.replace((value, 1)) {
                    each(last, length);
                }
            }
        }
    }
    if let Some((last, length)) = run {
        each(last, length);
    }
}

fn size(values: impl Iterator<Item = u64>) -> usize {
    values.map(varint_len).sum()
}

fn runs_size(values: impl Iterator<Item = u64>) -> usize {
    let mut total = 0;
    runs(values, |value, length| total += varint_len(value) + varint_len(length));
    total
}

/// The size in bytes of the smallest form's content, and the form; `None` for a column that needs no content.
fn choose(values: &[u64]) -> Option<(usize, u8)> {
    let first = *values.first()?;
    if values.iter().all(|value| *value == first) {
        return None;
    }
    [
        (size(values.iter().copied()), VARINT),
        (size(deltas(values)), DELTA),
        (runs_size(values.iter().copied()), RUNS),
        (runs_size(deltas(values)), DELTA_RUNS),
        (values.len() * 8, FIXED),
        (size(deltas_of_deltas(values)), DELTA_OF_DELTA),
    ]
    .into_iter()
    .min()
}

/// The size in bytes of the content that [`put`] would write, without its CBOR heads.
pub(crate) fn content_size(values: &[u64]) -> usize {
    choose(values).map_or_else(|| values.first().map_or(0, |value| varint_len(*value)), |(size, _)| size)
}

/// Appends the column.
pub(crate) fn put(out: &mut Encoder<&mut Vec<u8>>, values: &[u64]) {
    let Some((size, form)) = choose(values) else {
        match values.first() {
            None | Some(0) => crate::cbor::null(out),
            Some(value) => crate::cbor::uint(out, *value),
        }
        return;
    };
    let mut content = Vec::with_capacity(size);
    match form {
        VARINT => values.iter().for_each(|value| put_varint(&mut content, *value)),
        DELTA => deltas(values).for_each(|value| put_varint(&mut content, value)),
        DELTA_OF_DELTA => deltas_of_deltas(values).for_each(|value| put_varint(&mut content, value)),
        FIXED => values.iter().for_each(|value| content.extend_from_slice(&value.to_le_bytes())),
        _ => {
            let mut put_run = |value, length| {
                put_varint(&mut content, value);
                put_varint(&mut content, length);
            };
            if form == RUNS {
                runs(values.iter().copied(), &mut put_run);
            } else {
                runs(deltas(values), &mut put_run);
            }
        }
    }
    debug_assert_eq!(content.len(), size);
    crate::cbor::array(out, 2);
    crate::cbor::uint(out, u64::from(form));
    crate::cbor::bytes(out, &content);
}

/// Gives a column's values one by one, without holding them.
#[derive(Debug)]
pub(crate) enum IntReader<'b> {
    /// The same value for ever.
    Constant(u64),
    /// Any other form.
    Content { form: u8, rest: &'b [u8], before: u64, delta: u64, run_value: u64, run_left: u64 },
}

impl<'b> IntReader<'b> {
    /// Reads the column's head.
    pub(crate) fn read(decoder: &mut Decoder<'b>) -> Result<Self, FrameError> {
        match decoder.datatype()? {
            Type::Null => {
                decoder.skip()?;
                Ok(Self::Constant(0))
            }
            Type::Array => {
                crate::cbor::expect_array(decoder, 2)?;
                let form = decoder.u8()?;
                if !(VARINT..=DELTA_OF_DELTA).contains(&form) {
                    return Err(FrameError::Corrupt("unknown form of an integer column"));
                }
                let rest = decoder.bytes()?;
                Ok(Self::Content { form, rest, before: 0, delta: 0, run_value: 0, run_left: 0 })
            }
            _ => Ok(Self::Constant(decoder.u64()?)),
        }
    }

    /// The next value.
    pub(crate) fn next(&mut self) -> Result<u64, FrameError> {
        let Self::Content { form, rest, before, delta, run_value, run_left } = self else {
            let Self::Constant(value) = self else { return Err(FrameError::Corrupt("column")) };
            return Ok(*value);
        };
        match *form {
            VARINT => take_varint(rest),
            FIXED => {
                let (value, tail) = rest.split_first_chunk::<8>().ok_or(SHORT)?;
                *rest = tail;
                Ok(u64::from_le_bytes(*value))
            }
            DELTA => {
                *before = before.wrapping_add(unzigzag(take_varint(rest)?) as u64);
                Ok(*before)
            }
            DELTA_OF_DELTA => {
                *delta = delta.wrapping_add(unzigzag(take_varint(rest)?) as u64);
                *before = before.wrapping_add(*delta);
                Ok(*before)
            }
            _ => {
                if *run_left == 0 {
                    *run_value = take_varint(rest)?;
                    *run_left = take_varint(rest)?;
                    if *run_left == 0 {
                        return Err(FrameError::Corrupt("empty run in an integer column"));
                    }
                }
                *run_left -= 1;
                if *form == RUNS {
                    return Ok(*run_value);
                }
                *before = before.wrapping_add(unzigzag(*run_value) as u64);
                Ok(*before)
            }
        }
    }

    /// Checks that nothing is left over.
    pub(crate) fn finish(&self) -> Result<(), FrameError> {
        match self {
            Self::Content { rest, run_left, .. } if !rest.is_empty() || *run_left > 0 => {
                Err(FrameError::Corrupt("an integer column has more values than rows"))
            }
            _ => Ok(()),
        }
    }
}

const SHORT: FrameError = FrameError::Corrupt("an integer column has fewer values than rows");

fn take_varint(rest: &mut &[u8]) -> Result<u64, FrameError> {
    let (value, used) = read_varint(rest).map_err(|_| SHORT)?;
    *rest = rest.get(used..).unwrap_or_default();
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roundtrip(values: &[u64]) -> usize {
        let mut bytes = Vec::new();
        put(&mut Encoder::new(&mut bytes), values);
        let mut decoder = Decoder::new(&bytes);
        let mut reader = IntReader::read(&mut decoder).unwrap();
        let read: Vec<u64> = values.iter().map(|_| reader.next().unwrap()).collect();
        assert_eq!(read, values);
        reader.finish().unwrap();
        assert_eq!(decoder.position(), bytes.len());
        bytes.len()
    }

    /// Scenario: columns that each form is best for, and the extremes. Guarantees: values survive in every form (P7).
    #[test]
    fn every_form_survives() {
        assert_eq!(roundtrip(&[]), 1);
        assert_eq!(roundtrip(&[0; 100]), 1);
        assert_eq!(roundtrip(&[7; 100]), 1);
        roundtrip(&[1, 5, 2, 9, 3]);
        let times: Vec<u64> = (0..50).map(|i| 1_700_000_000_000_000_000 + i * 1000 + (i % 7)).collect();
        assert!(roundtrip(&times) < 50 * 3);
        let even: Vec<u64> = (0..50).map(|i| 1_700_000_000_000_000_000 + i * 1000).collect();
        assert!(roundtrip(&even) < 20);
        let growing: Vec<u64> = (0..50).map(|i| i * i * 1_000_000).collect();
        roundtrip(&growing);
        roundtrip(&[0, u64::MAX, 1, u64::MAX - 1]);
        let noise: Vec<u64> = (1..40u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        assert!(roundtrip(&noise) <= noise.len() * 8 + 6);
    }
}
