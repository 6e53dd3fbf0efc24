//! One column of numbers: the way that takes the fewest bytes, the cheap ways first. How many numbers there are is known
//! to the reader beforehand.
//!
//! Whole numbers: constant, linear, runs, deltas as varints (few numbers, or very many), and else `pco` over what is left
//! when base, common divisor and slope are taken out. Floating-point numbers: constant, decimal (as whole numbers of
//! tenths, hundredths, ..., where each comes back to the bit), raw, `pco`. All arithmetic on whole numbers wraps.

use pco::data_types::Number;
use pco::metadata::DeltaEncoding;
use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, DeltaSpec, ModeSpec};

use crate::Damaged;
use crate::bytes::{Cursor, MAX_ELEMENTS, put_signed, put_varint, unzigzag, zigzag};

const CONSTANT: u8 = 0;
const LINEAR: u8 = 1;
const RUNS: u8 = 2;
const DELTAS: u8 = 3;
const PCO: u8 = 4;
const DECIMAL: u8 = 5;
const RAW: u8 = 6;

/// Fewer numbers than this are not worth the tables of `pco`.
const FEW: usize = 24;
/// The most digits behind the point that are tried.
const DIGITS: usize = 6;
const POWERS: [f64; DIGITS + 1] = [1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0, 1_000_000.0];
/// What `pco` writes before its chunks: the version of its format that packs of this version hold.
const PCO_FORMAT: [u8; 2] = [4, 1];
/// The mode of `pco` that writes a dictionary; never written here, and its reader takes memory before it looks at bytes.
const DICTIONARY_MODE: u8 = 4;
/// Effort of `pco`: more gains nothing on chunks of this size.
const LEVEL: usize = 8;

/// Writes whole numbers; signed ones are passed by their bits.
pub(crate) fn put_ints(out: &mut Vec<u8>, values: &[u64]) {
    let (Some(first), Some(last)) = (values.first(), values.last()) else { return };
    let delta = |pair: &[u64]| pair[1].wrapping_sub(pair[0]) as i64;
    let step = values.windows(2).next().map_or(0, delta);
    if values.len() <= MAX_ELEMENTS {
        if values.windows(2).all(|pair| delta(pair) == step) {
            out.push(if step == 0 { CONSTANT } else { LINEAR });
            put_signed(out, *first as i64);
            if step != 0 {
                put_signed(out, step);
            }
            return;
        }
        let changes = values.windows(2).filter(|pair| pair[0] != pair[1]).count();
        if changes < values.len() / 16 {
            return put_runs(out, values);
        }
        if values.len() >= FEW && put_pco_ints(out, values, *first, *last) {
            return;
        }
    }
    out.push(DELTAS);
    let mut before = 0u64;
    for value in values {
        put_signed(out, value.wrapping_sub(before) as i64);
        before = *value;
    }
}

fn put_runs(out: &mut Vec<u8>, values: &[u64]) {
    out.push(RUNS);
    let mut before = 0u64;
    for run in values.chunk_by(|a, b| a == b) {
        put_signed(out, run[0].wrapping_sub(before) as i64);
        put_varint(out, run.len() as u64);
        before = run[0];
    }
}

/// Bits that numbers take around their mean, by a rule of thumb that only has to rank.
fn weight(values: &[i64]) -> u64 {
    let sum: i128 = values.iter().map(|value| i128::from(*value)).sum();
    let mean = (sum / values.len().max(1) as i128) as i64;
    values.iter().map(|value| u64::from(64 - zigzag(value.wrapping_sub(mean)).leading_zeros())).sum()
}

fn deltas(values: &[i64]) -> Vec<i64> {
    values.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect()
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn put_pco_ints(out: &mut Vec<u8>, values: &[u64], first: u64, last: u64) -> bool {
    let mut divisor = 0u64;
    for value in values {
        divisor = gcd(divisor, (value.wrapping_sub(first) as i64).unsigned_abs());
        if divisor == 1 {
            break;
        }
    }
    let divisor = i64::try_from(divisor).ok().filter(|divisor| *divisor > 0).unwrap_or(1);
    let parts: Vec<i64> = values.iter().map(|value| (value.wrapping_sub(first) as i64) / divisor).collect();
    let steps = values.len() as i64 - 1;
    let rise = (last.wrapping_sub(first) as i64) / divisor;
    // To the nearest: a slope that is one less would let what is left drift away from the line.
    let slope = rise.saturating_add(rise.signum().saturating_mul(steps / 2)) / steps.max(1);
    let along: Vec<i64> = (0..).zip(&parts).map(|(at, part)| part.wrapping_sub(slope.wrapping_mul(at))).collect();
    let (once, mut order) = (deltas(&parts), 0);
    let (mut chosen, mut least) = (&parts, weight(&parts));
    if slope != 0 && weight(&along) < least {
        (chosen, least) = (&along, weight(&along));
    }
    for (number, weight) in [(1, weight(&once)), (2, weight(&deltas(&once)))] {
        if weight < least {
            (chosen, least, order) = (&parts, weight, number);
        }
    }
    let slope = if std::ptr::eq(chosen, &raw const along) { slope } else { 0 };
    let config = config(ModeSpec::Classic, if order == 0 { DeltaSpec::NoOp } else { DeltaSpec::TryConsecutive(order) });
    let Some(packed) = compress(chosen, &config) else { return false };
    out.push(PCO);
    put_signed(out, first as i64);
    put_varint(out, divisor as u64);
    put_signed(out, slope);
    put_varint(out, packed.len() as u64);
    out.extend_from_slice(&packed);
    true
}

fn config(mode: ModeSpec, delta: DeltaSpec) -> ChunkConfig {
    ChunkConfig::default().with_compression_level(LEVEL).with_mode_spec(mode).with_delta_spec(delta)
}

fn compress<T: Number>(values: &[T], config: &ChunkConfig) -> Option<Vec<u8>> {
    let mut compressor = FileCompressor::default().chunk_compressor(values, config).ok()?;
    let mut packed = Vec::with_capacity(64 + values.len());
    compressor.write_meta(&mut packed).ok()?;
    compressor.write_page(0, &mut packed).ok()?;
    (compressor.n_per_page().len() == 1).then_some(packed)
}

fn inflate<T: Number + Default>(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<T>, Damaged> {
    let packed = cursor.bytes()?;
    if packed.first().is_none_or(|first| first & 0xf == DICTIONARY_MODE) {
        return Err(Damaged("a column is packed in a way that is never written"));
    }
    let wrong = |_| Damaged("a packed column cannot be read");
    let (file, _) = FileDecompressor::new(&PCO_FORMAT[..]).map_err(wrong)?;
    let (mut chunk, rest) = file.chunk_decompressor::<T, _>(packed).map_err(wrong)?;
    if matches!(chunk.meta().delta_encoding, DeltaEncoding::Lookback { .. } | DeltaEncoding::Conv1(_)) {
        return Err(Damaged("a column is packed in a way that is never written"));
    }
    let mut values = vec![T::default(); count];
    let mut page = chunk.page_decompressor(rest, count).map_err(wrong)?;
    let progress = page.read(&mut values).map_err(wrong)?;
    if progress.n_processed == count && page.into_src().is_empty() {
        Ok(values)
    } else {
        Err(Damaged("a packed column is of another length"))
    }
}

/// Reads `count` whole numbers.
pub(crate) fn ints(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<u64>, Damaged> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let way = cursor.byte()?;
    if way != DELTAS && count > MAX_ELEMENTS {
        return Err(Damaged("a column is longer than it may be"));
    }
    match way {
        CONSTANT => Ok(vec![cursor.signed()? as u64; count]),
        LINEAR => {
            let (first, step) = (cursor.signed()? as u64, cursor.signed()? as u64);
            Ok((0..count as u64).map(|at| first.wrapping_add(step.wrapping_mul(at))).collect())
        }
        RUNS => {
            let mut values = Vec::with_capacity(count);
            let mut value = 0u64;
            while values.len() < count {
                value = value.wrapping_add(cursor.signed()? as u64);
                let run = cursor.size()?;
                if run == 0 || run > count - values.len() {
                    return Err(Damaged("the runs of a column do not fit"));
                }
                values.resize(values.len() + run, value);
            }
            Ok(values)
        }
        DELTAS => {
            if count > cursor.0.len() {
                return Err(Damaged("a column is longer than its bytes"));
            }
            let mut value = 0u64;
            let next = |_| {
                value = value.wrapping_add(unzigzag(cursor.varint()?) as u64);
                Ok(value)
            };
            (0..count).map(next).collect()
        }
        PCO => {
            let (first, divisor, slope) = (cursor.signed()?, cursor.varint()? as i64, cursor.signed()?);
            let parts = inflate::<i64>(cursor, count)?;
            let value = |(at, part): (i64, i64)| {
                first.wrapping_add(divisor.wrapping_mul(part.wrapping_add(slope.wrapping_mul(at)))) as u64
            };
            Ok((0..).zip(parts).map(value).collect())
        }
        _ => Err(Damaged("a column is of an unknown form")),
    }
}

/// The number of units of `10^-digits` that `value` is, if it comes back from them to the bit.
fn units(value: f64, digits: usize) -> Option<i64> {
    const EXACT: f64 = (1u64 << 53) as f64;
    let scaled = (value * POWERS[digits]).round();
    if scaled.is_nan() || scaled.abs() >= EXACT {
        return None;
    }
    ((scaled as i64 as f64 / POWERS[digits]).to_bits() == value.to_bits()).then_some(scaled as i64)
}

/// Numbers as whole numbers of one decimal unit.
struct Decimal {
    digits: usize,
    units: Vec<u64>,
    /// Place and bits of those that are no such numbers.
    others: Vec<(usize, u64)>,
}

/// All values as whole numbers of one decimal unit, if at most a few are no such numbers.
fn decimal(values: &[f64]) -> Option<Decimal> {
    let most = values.len() / 16;
    let mut digits = 0;
    let mut odd = 0;
    for value in values {
        match (digits..=DIGITS).find(|digits| units(*value, *digits).is_some()) {
            Some(enough) => digits = enough,
            None => odd += 1,
        }
        if odd > most {
            return None;
        }
    }
    let mut whole: Vec<u64> = Vec::with_capacity(values.len());
    let mut others = Vec::new();
    for (at, value) in values.iter().enumerate() {
        match units(*value, digits) {
            Some(units) => whole.push(units as u64),
            None => {
                others.push((at, value.to_bits()));
                whole.push(whole.last().copied().unwrap_or(0));
            }
        }
    }
    (others.len() <= most).then_some(Decimal { digits, units: whole, others })
}

/// Whether numbers change less than they differ. (Left to itself `pco` may look back, which packs never do.)
fn float_delta(values: &[f64]) -> DeltaSpec {
    let ranks: Vec<i64> =
        values.iter().map(|value| (value.to_bits() as i64) ^ i64::MAX & -i64::from(value.is_sign_negative())).collect();
    if weight(&deltas(&ranks)) < weight(&ranks) { DeltaSpec::TryConsecutive(1) } else { DeltaSpec::NoOp }
}

/// Writes floating-point numbers; each comes back to the bit.
pub(crate) fn put_floats(out: &mut Vec<u8>, values: &[f64]) {
    let Some(first) = values.first() else { return };
    if values.len() <= MAX_ELEMENTS {
        if values.iter().all(|value| value.to_bits() == first.to_bits()) {
            out.push(CONSTANT);
            out.extend_from_slice(&first.to_le_bytes());
            return;
        }
        if let Some(Decimal { digits, units, others }) = decimal(values) {
            out.push(DECIMAL);
            out.push(digits as u8);
            put_varint(out, others.len() as u64);
            for (at, bits) in others {
                put_varint(out, at as u64);
                out.extend_from_slice(&bits.to_le_bytes());
            }
            return put_ints(out, &units);
        }
        let packed =
            if values.len() < FEW { None } else { compress(values, &config(ModeSpec::Auto, float_delta(values))) };
        if let Some(packed) = packed.filter(|packed| packed.len() < 8 * values.len()) {
            out.push(PCO);
            put_varint(out, packed.len() as u64);
            out.extend_from_slice(&packed);
            return;
        }
    }
    out.push(RAW);
    values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
}

/// Reads `count` floating-point numbers.
pub(crate) fn floats(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<f64>, Damaged> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let way = cursor.byte()?;
    if way != RAW && count > MAX_ELEMENTS {
        return Err(Damaged("a column is longer than it may be"));
    }
    match way {
        CONSTANT => Ok(vec![f64::from_le_bytes(cursor.array()?); count]),
        DECIMAL => {
            let power = POWERS.get(usize::from(cursor.byte()?)).ok_or(Damaged("a column has too many digits"))?;
            let others = cursor.size()?;
            if others > count {
                return Err(Damaged("a column has more exceptions than numbers"));
            }
            let mut exceptions = Vec::new();
            for _ in 0..others {
                exceptions.push((cursor.size()?, f64::from_le_bytes(cursor.array()?)));
            }
            let mut values: Vec<f64> =
                ints(cursor, count)?.into_iter().map(|units| units as i64 as f64 / power).collect();
            for (at, exact) in exceptions {
                *values.get_mut(at).ok_or(Damaged("an exception lies outside its column"))? = exact;
            }
            Ok(values)
        }
        PCO => inflate::<f64>(cursor, count),
        RAW => {
            let bytes = cursor.take(count.checked_mul(8).ok_or(Damaged("a length is too large"))?)?;
            Ok(bytes.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
        }
        _ => Err(Damaged("a column is of an unknown form")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(values: &[u64]) -> usize {
        let mut out = Vec::new();
        put_ints(&mut out, values);
        let mut cursor = Cursor(&out);
        assert_eq!(ints(&mut cursor, values.len()).unwrap(), values);
        assert!(cursor.is_empty());
        out.len()
    }

    fn floating(values: &[f64]) -> usize {
        let mut out = Vec::new();
        put_floats(&mut out, values);
        let mut cursor = Cursor(&out);
        let found = floats(&mut cursor, values.len()).unwrap();
        assert!(found.iter().zip(values).all(|(a, b)| a.to_bits() == b.to_bits()), "{values:?}");
        assert!(cursor.is_empty());
        out.len()
    }

    /// Scenario: what `pco` of this build writes before its chunks. Guarantees: it is the format that packs are read by; an
    /// update that changes it is a new version of packs.
    #[test]
    fn the_format_of_pco_is_the_one_that_packs_name() {
        let mut header = Vec::new();
        FileCompressor::default().write_header(&mut header).unwrap();
        assert_eq!(header, PCO_FORMAT);
    }

    /// Scenario: whole numbers of every shape, of every length around the places where the form changes. Guarantees: they
    /// come back exactly; those of a simple shape take few bytes.
    #[test]
    fn whole_numbers_come_back() {
        let mut seed = 1u64;
        let mut random = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        for count in [1, 2, 3, 23, 24, 25, 300, 1024] {
            assert!(whole(&vec![u64::MAX; count]) <= 12);
            let linear: Vec<u64> = (0..count as u64).map(|at| (5 << 62) + at * 10_000_000_000).collect();
            assert!(whole(&linear) <= 24);
            whole(&(0..count).map(|_| random()).collect::<Vec<_>>());
            whole(&(0..count).map(|_| random() & 1).collect::<Vec<_>>());
            whole(&(0..count as u64).map(|at| at / 100).collect::<Vec<_>>());
            whole(&(0..count).map(|_| if random() & 1 == 0 { i64::MIN as u64 } else { 0 }).collect::<Vec<_>>());
            whole(&(0..count).map(|_| [0, u64::MAX, 1 << 63, 7][(random() % 4) as usize]).collect::<Vec<_>>());
            let jittered =
                (0..count as u64).map(|at| 1_700_000_000_000_000_000 + at * 10_000_000_000 + random() % 50 * 1_000_000);
            assert!(whole(&jittered.collect::<Vec<_>>()) <= 60 + count * if count < FEW { 5 } else { 1 });
        }
        whole(&(0..MAX_ELEMENTS as u64 + 9).map(|at| at % 3).collect::<Vec<_>>());
    }

    /// Scenario: times on a grid of 10 s with a jitter of 0 to 8 ms, the last point earlier in its jitter than the first.
    /// Guarantees: the line is found, and each time costs little more than its jitter (3.2 bits).
    #[test]
    fn jitter_around_a_grid_costs_its_jitter() {
        let jitter = |at: u64| if at == 0 { 8 } else { at * at % 97 % 9 };
        let times: Vec<u64> = (0..960).map(|at| (5 << 60) + at * 10_000_000_000 + jitter(at) * 1_000_000).collect();
        assert!(whole(&times) < 960 / 2 - 20, "{}", whole(&times));
    }

    /// Scenario: floating-point numbers: decimals, whole ones, powers, both zeros, NaNs with content, infinities, alone and
    /// among others. Guarantees: they come back to the bit; two decimals cost what their change costs.
    #[test]
    fn floating_point_numbers_come_back_to_the_bit() {
        let odd = [f64::NAN, f64::from_bits(0x7ff0_0000_0000_0002), f64::INFINITY, -0.0, 1e308, 5e-324, 0.1 + 0.2];
        for value in odd {
            floating(&[value]);
            floating(&[value, 1.0]);
            let among: Vec<f64> = (0..500).map(|at| if at == 77 { value } else { f64::from(at % 90) / 4.0 }).collect();
            assert!(floating(&among) < 900);
        }
        for count in [1u32, 2, 23, 24, 25, 300, 1024] {
            floating(&(0..count).map(|at| f64::from(at).sqrt()).collect::<Vec<_>>());
            floating(&(0..count).map(|at| odd[at as usize % odd.len()]).collect::<Vec<_>>());
            let decimals: Vec<f64> = (0..count).map(|at| f64::from(2000 + at * 7 % 16) / 100.0).collect();
            assert!(floating(&decimals) <= 40 + count as usize);
        }
        floating(&(0..MAX_ELEMENTS as u32 + 9).map(f64::from).collect::<Vec<_>>());
    }
}
