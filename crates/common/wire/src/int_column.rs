//! Columns of 64-bit numbers (docs/wire.md, "Integer columns").
//!
//! The form is a pure function of the values: the smallest one, and among equals the one with the lowest number.

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};
use model::proto::{put_varint, read_varint, unzigzag, varint_len, zigzag};

use crate::error::FrameError;

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

/// The size of a row of runs, value by value.
struct RunsSize {
    value: u64,
    length: u64,
    total: usize,
}

impl RunsSize {
    fn new() -> Self {
        Self { value: 0, length: 0, total: 0 }
    }

    #[inline]
    fn push(&mut self, value: u64) {
        if self.length > 0 && self.value == value {
            self.length += 1;
            return;
        }
        self.total = self.total();
        (self.value, self.length) = (value, 1);
    }

    fn total(&self) -> usize {
        let last = if self.length > 0 { varint_len(self.value) + varint_len(self.length) } else { 0 };
        self.total + last
    }
}

/// The size in bytes of the smallest form's content, and the form.
fn smallest(values: &[u64]) -> (usize, u8) {
    let (mut varint, mut delta_size, mut second_size) = (0, 0, 0);
    let (mut runs, mut delta_runs) = (RunsSize::new(), RunsSize::new());
    let (mut before, mut delta_before) = (0u64, 0u64);
    for value in values {
        let delta = value.wrapping_sub(before);
        let second = delta.wrapping_sub(delta_before);
        (before, delta_before) = (*value, delta);
        let delta = zigzag(delta as i64);
        varint += varint_len(*value);
        delta_size += varint_len(delta);
        second_size += varint_len(zigzag(second as i64));
        runs.push(*value);
        delta_runs.push(delta);
    }
    [
        (varint, VARINT),
        (delta_size, DELTA),
        (runs.total(), RUNS),
        (delta_runs.total(), DELTA_RUNS),
        (values.len() * 8, FIXED),
        (second_size, DELTA_OF_DELTA),
    ]
    .into_iter()
    .min()
    .unwrap_or((0, VARINT))
}

/// Numbers as `base + quantum * step`: times in whole milliseconds, sizes in pages.
struct Steps {
    base: u64,
    quantum: u64,
    steps: Vec<u64>,
}

impl Steps {
    /// The largest quantum above 1 of which all (wrapping, signed) differences to the first value are multiples.
    fn of(values: &[u64]) -> Option<Self> {
        let base = *values.first()?;
        let mut quantum = 0u64;
        for value in values {
            let (mut a, mut b) = (quantum, (value.wrapping_sub(base) as i64).unsigned_abs());
            while b != 0 {
                (a, b) = (b, a % b);
            }
            quantum = a;
            if quantum == 1 {
                return None;
            }
        }
        let divisor = i64::try_from(quantum).ok().filter(|quantum| *quantum > 1)?;
        let steps = values.iter().map(|value| (value.wrapping_sub(base) as i64 / divisor) as u64).collect();
        Some(Self { base, quantum, steps })
    }

    fn head_size(&self) -> usize {
        varint_len(self.base) + varint_len(self.quantum)
    }
}

/// How a column is written.
enum Plan {
    Constant(u64),
    Plain { size: usize, form: u8 },
    Steps { steps: Steps, size: usize, form: u8 },
}

fn plan(values: &[u64]) -> Plan {
    let first = values.first().copied().unwrap_or(0);
    if values.iter().all(|value| *value == first) {
        return Plan::Constant(first);
    }
    let (size, form) = smallest(values);
    if let Some(steps) = Steps::of(values) {
        let (step_size, step_form) = smallest(&steps.steps);
        if step_size + steps.head_size() < size {
            return Plan::Steps { steps, size: step_size, form: step_form };
        }
    }
    Plan::Plain { size, form }
}

/// The size in bytes of the content that [`put`] would write, without its CBOR heads.
pub(crate) fn content_size(values: &[u64]) -> usize {
    match plan(values) {
        Plan::Constant(value) => varint_len(value),
        Plan::Plain { size, .. } => size,
        Plan::Steps { steps, size, .. } => size + steps.head_size(),
    }
}

/// Appends the column.
pub(crate) fn put(out: &mut Encoder<&mut Vec<u8>>, values: &[u64]) {
    match plan(values) {
        Plan::Constant(0) => crate::cbor::null(out),
        Plan::Constant(value) => crate::cbor::uint(out, value),
        Plan::Plain { size, form } => {
            crate::cbor::array(out, 2);
            crate::cbor::uint(out, u64::from(form));
            crate::cbor::bytes(out, &content(values, form, size));
        }
        Plan::Steps { steps, size, form } => {
            crate::cbor::array(out, 4);
            crate::cbor::uint(out, u64::from(form));
            crate::cbor::bytes(out, &content(&steps.steps, form, size));
            crate::cbor::uint(out, steps.quantum);
            crate::cbor::uint(out, steps.base);
        }
    }
}

fn content(values: &[u64], form: u8, size: usize) -> Vec<u8> {
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
    content
}

/// Gives a column's values one by one, without holding them.
#[derive(Debug)]
pub(crate) enum IntReader<'b> {
    /// The same value for ever.
    Constant(u64),
    /// Numbers as they are.
    Plain(ContentReader<'b>),
    /// Numbers as `base + quantum * step`.
    Steps { steps: ContentReader<'b>, quantum: u64, base: u64 },
}

/// Gives the numbers of one form's content.
#[derive(Debug)]
pub(crate) struct ContentReader<'b> {
    form: u8,
    rest: &'b [u8],
    before: u64,
    delta: u64,
    run_value: u64,
    run_left: u64,
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
                let length = crate::cbor::any_array(decoder)?;
                let form = decoder.u8()?;
                if !(VARINT..=DELTA_OF_DELTA).contains(&form) {
                    return Err(FrameError::Corrupt("unknown form of an integer column"));
                }
                let rest = decoder.bytes()?;
                let content = ContentReader { form, rest, before: 0, delta: 0, run_value: 0, run_left: 0 };
                match length {
                    2 => Ok(Self::Plain(content)),
                    4 => Ok(Self::Steps { steps: content, quantum: decoder.u64()?, base: decoder.u64()? }),
                    _ => Err(FrameError::Corrupt("an integer column of another length")),
                }
            }
            _ => Ok(Self::Constant(decoder.u64()?)),
        }
    }

    /// The next value.
    pub(crate) fn next(&mut self) -> Result<u64, FrameError> {
        match self {
            Self::Constant(value) => Ok(*value),
            Self::Plain(content) => content.next(),
            Self::Steps { steps, quantum, base } => Ok(base.wrapping_add(steps.next()?.wrapping_mul(*quantum))),
        }
    }

    /// Checks that nothing is left over.
    pub(crate) fn finish(&self) -> Result<(), FrameError> {
        match self {
            Self::Constant(_) => Ok(()),
            Self::Plain(content) | Self::Steps { steps: content, .. } => content.finish(),
        }
    }
}

impl ContentReader<'_> {
    fn next(&mut self) -> Result<u64, FrameError> {
        match self.form {
            VARINT => take_varint(&mut self.rest),
            FIXED => {
                let (value, tail) = self.rest.split_first_chunk::<8>().ok_or(SHORT)?;
                self.rest = tail;
                Ok(u64::from_le_bytes(*value))
            }
            DELTA => {
                self.before = self.before.wrapping_add(unzigzag(take_varint(&mut self.rest)?) as u64);
                Ok(self.before)
            }
            DELTA_OF_DELTA => {
                self.delta = self.delta.wrapping_add(unzigzag(take_varint(&mut self.rest)?) as u64);
                self.before = self.before.wrapping_add(self.delta);
                Ok(self.before)
            }
            _ => {
                if self.run_left == 0 {
                    self.run_value = take_varint(&mut self.rest)?;
                    self.run_left = take_varint(&mut self.rest)?;
                    if self.run_left == 0 {
                        return Err(FrameError::Corrupt("empty run in an integer column"));
                    }
                }
                self.run_left -= 1;
                if self.form == RUNS {
                    return Ok(self.run_value);
                }
                self.before = self.before.wrapping_add(unzigzag(self.run_value) as u64);
                Ok(self.before)
            }
        }
    }

    fn finish(&self) -> Result<(), FrameError> {
        if self.rest.is_empty() && self.run_left == 0 {
            Ok(())
        } else {
            Err(FrameError::Corrupt("an integer column has more values than rows"))
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
        let millis: Vec<u64> = (0..50).map(|i| (1_700_000_000_000 + i * 1000 + i * i % 7) * 1_000_000).collect();
        assert!(roundtrip(&millis) < 50 * 2 + 20);
        let pages: Vec<u64> = (0..50u64).map(|i| (5000 - (i * 37) % 91).wrapping_mul(4096)).collect();
        assert!(roundtrip(&pages) < 50 * 2 + 20);
        roundtrip(&[1 << 63, 0, 1 << 63]);
        roundtrip(&[5, 5 + (1 << 63)]);
        roundtrip(&[10, 0, u64::MAX - 9]);
        roundtrip(&[0, u64::MAX, 1, u64::MAX - 1]);
        let noise: Vec<u64> = (1..40u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        assert!(roundtrip(&noise) <= noise.len() * 8 + 6);
    }
}
