//! What a point holds beside its time, start and flags, by kind, and how a column of each is written.

use crate::Damaged;
use crate::bytes::Cursor;
use crate::column::{floats, ints, put_floats, put_ints};

/// The value of a gauge's or sum's point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// None was given.
    None,
    /// A whole one.
    Int(i64),
    /// Any other.
    Float(f64),
}

/// A histogram with explicit bounds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Histogram {
    /// Observations.
    pub count: u64,
    /// Their sum.
    pub sum: Option<f64>,
    /// The smallest.
    pub min: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
    /// Upper bounds of the buckets but the last.
    pub bounds: Vec<f64>,
    /// Observations in each bucket.
    pub buckets: Vec<u64>,
}

/// One side of an exponential histogram.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Buckets {
    /// Index of the first bucket.
    pub offset: i32,
    /// Observations in each bucket.
    pub counts: Vec<u64>,
}

/// A histogram with buckets of exponential width.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Exponential {
    /// Observations.
    pub count: u64,
    /// Their sum.
    pub sum: Option<f64>,
    /// The smallest.
    pub min: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
    /// The base of bounds is `2^(2^-scale)`.
    pub scale: i32,
    /// Observations at zero.
    pub zero_count: u64,
    /// What counts as zero.
    pub zero_threshold: f64,
    /// Above zero.
    pub positive: Option<Buckets>,
    /// Below zero.
    pub negative: Option<Buckets>,
}

/// Quantiles made by the producer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Summary {
    /// Observations.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Quantile and value.
    pub quantiles: Vec<(f64, f64)>,
}

/// The values of the points of one series, all of one kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Of gauges and sums.
    Numbers(Vec<Number>),
    /// With explicit bounds.
    Histograms(Vec<Histogram>),
    /// With exponential buckets.
    Exponentials(Vec<Exponential>),
    /// Quantiles.
    Summaries(Vec<Summary>),
}

impl Values {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Values::Numbers(rows) => rows.len(),
            Values::Histograms(rows) => rows.len(),
            Values::Exponentials(rows) => rows.len(),
            Values::Summaries(rows) => rows.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those at places `from..to`.
    pub(crate) fn slice(&self, from: usize, to: usize) -> Self {
        match self {
            Values::Numbers(rows) => Values::Numbers(rows[from..to].to_vec()),
            Values::Histograms(rows) => Values::Histograms(rows[from..to].to_vec()),
            Values::Exponentials(rows) => Values::Exponentials(rows[from..to].to_vec()),
            Values::Summaries(rows) => Values::Summaries(rows[from..to].to_vec()),
        }
    }

    /// The elements of the nested columns of one row.
    pub(crate) fn elements(&self, at: usize) -> usize {
        let side = |side: &Option<Buckets>| side.as_ref().map_or(0, |side| side.counts.len());
        match self {
            Values::Numbers(_) => 0,
            Values::Histograms(rows) => rows.get(at).map_or(0, |row| row.buckets.len().max(row.bounds.len())),
            Values::Exponentials(rows) => rows.get(at).map_or(0, |row| side(&row.positive).max(side(&row.negative))),
            Values::Summaries(rows) => rows.get(at).map_or(0, |row| row.quantiles.len()),
        }
    }

    pub(crate) fn kind(&self) -> u8 {
        match self {
            Values::Numbers(_) => 0,
            Values::Histograms(_) => 1,
            Values::Exponentials(_) => 2,
            Values::Summaries(_) => 3,
        }
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Values::Numbers(rows) => put_numbers(out, rows),
            Values::Histograms(rows) => put_histograms(out, rows),
            Values::Exponentials(rows) => put_exponentials(out, rows),
            Values::Summaries(rows) => put_summaries(out, rows),
        }
    }

    pub(crate) fn read(cursor: &mut Cursor<'_>, kind: u8, count: usize) -> Result<Self, Damaged> {
        match kind {
            0 => read_numbers(cursor, count).map(Values::Numbers),
            1 => read_histograms(cursor, count).map(Values::Histograms),
            2 => read_exponentials(cursor, count).map(Values::Exponentials),
            3 => read_summaries(cursor, count).map(Values::Summaries),
            _ => Err(Damaged("points of an unknown kind")),
        }
    }
}

fn column<T>(rows: &[T], of: impl Fn(&T) -> u64) -> Vec<u64> {
    rows.iter().map(of).collect()
}

fn put_optional<T>(out: &mut Vec<u8>, rows: &[T], of: impl Fn(&T) -> Option<f64>) {
    put_ints(out, &column(rows, |row| u64::from(of(row).is_some())));
    put_floats(out, &rows.iter().filter_map(of).collect::<Vec<_>>());
}

fn read_optional(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<Option<f64>>, Damaged> {
    let is_there = ints(cursor, count)?;
    let mut values = floats(cursor, is_there.iter().filter(|is_there| **is_there != 0).count())?.into_iter();
    Ok(is_there.into_iter().map(|is_there| if is_there != 0 { values.next() } else { None }).collect())
}

/// Rows of lengths of their own, one after the other; where all are of one length by place in the row, which is how
/// buckets change least.
fn put_rows<'a, T: Copy + 'a>(
    out: &mut Vec<u8>,
    rows: &[&'a [T]],
    put: impl Fn(&mut Vec<u8>, &[T]),
    is_same: impl Fn(&[T], &[T]) -> bool,
) {
    put_ints(out, &column(rows, |row| row.len() as u64));
    let Some(first) = rows.first() else { return };
    if first.len() <= crate::bytes::MAX_ELEMENTS && rows.iter().all(|row| is_same(row, first)) {
        out.push(1);
        return put(out, first);
    }
    out.push(0);
    if rows.iter().all(|row| row.len() == first.len()) {
        let by_place: Vec<T> = (0..first.len()).flat_map(|at| rows.iter().map(move |row| row[at])).collect();
        put(out, &by_place);
    } else {
        put(out, &rows.concat());
    }
}

fn read_rows<T: Copy>(
    cursor: &mut Cursor<'_>,
    count: usize,
    read: impl Fn(&mut Cursor<'_>, usize) -> Result<Vec<T>, Damaged>,
) -> Result<Vec<Vec<T>>, Damaged> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let lens = ints(cursor, count)?;
    let total = cursor.elements(&lens)?;
    let is_even = lens.iter().all(|len| *len == lens[0]);
    let len = |len: u64| usize::try_from(len).unwrap_or(usize::MAX);
    match cursor.byte()? {
        1 if is_even => {
            let first = read(cursor, len(lens[0]))?;
            Ok(vec![first; count])
        }
        0 => {
            let all = read(cursor, total)?;
            if is_even {
                return Ok((0..count).map(|row| all.iter().skip(row).step_by(count).copied().collect()).collect());
            }
            let mut rest = all.as_slice();
            let row = |row_len: &u64| {
                let (row, after) = rest.split_at_checked(len(*row_len)).ok_or(Damaged("rows do not fit"))?;
                rest = after;
                Ok(row.to_vec())
            };
            lens.iter().map(row).collect()
        }
        _ => Err(Damaged("rows of an unknown form")),
    }
}

fn put_counts(out: &mut Vec<u8>, rows: &[&[u64]]) {
    put_rows(out, rows, put_ints, |a, b| a == b);
}

fn put_float_rows(out: &mut Vec<u8>, rows: &[&[f64]]) {
    put_rows(out, rows, put_floats, |a, b| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
    });
}

fn put_numbers(out: &mut Vec<u8>, rows: &[Number]) {
    put_ints(
        out,
        &column(rows, |row| match row {
            Number::None => 0,
            Number::Int(_) => 1,
            Number::Float(_) => 2,
        }),
    );
    let whole: Vec<u64> =
        rows.iter().filter_map(|row| if let Number::Int(number) = row { Some(*number as u64) } else { None }).collect();
    let floating: Vec<f64> =
        rows.iter().filter_map(|row| if let Number::Float(number) = row { Some(*number) } else { None }).collect();
    put_ints(out, &whole);
    put_floats(out, &floating);
}

fn read_numbers(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<Number>, Damaged> {
    let types = ints(cursor, count)?;
    let of = |wanted: u64| types.iter().filter(|found| **found == wanted).count();
    let mut whole = ints(cursor, of(1))?.into_iter();
    let mut floating = floats(cursor, of(2))?.into_iter();
    let number = |found: &u64| match found {
        0 => Some(Number::None),
        1 => whole.next().map(|number| Number::Int(number as i64)),
        2 => floating.next().map(Number::Float),
        _ => None,
    };
    types.iter().map(number).collect::<Option<_>>().ok_or(Damaged("a number is of an unknown type"))
}

fn put_histograms(out: &mut Vec<u8>, rows: &[Histogram]) {
    put_rest(out, rows, |row| row.count, |row| sum_of(&row.buckets));
    put_optional(out, rows, |row| row.sum);
    put_optional(out, rows, |row| row.min);
    put_optional(out, rows, |row| row.max);
    put_float_rows(out, &rows.iter().map(|row| row.bounds.as_slice()).collect::<Vec<_>>());
    put_counts(out, &rows.iter().map(|row| row.buckets.as_slice()).collect::<Vec<_>>());
}

/// The count by what the buckets lack of it: nothing, as a rule.
fn put_rest<T>(out: &mut Vec<u8>, rows: &[T], count: impl Fn(&T) -> u64, of_buckets: impl Fn(&T) -> u64) {
    put_ints(out, &column(rows, |row| count(row).wrapping_sub(of_buckets(row))));
}

fn sum_of(counts: &[u64]) -> u64 {
    counts.iter().fold(0, |sum, count| sum.wrapping_add(*count))
}

fn read_histograms(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<Histogram>, Damaged> {
    let rests = ints(cursor, count)?;
    let sums = read_optional(cursor, count)?;
    let mins = read_optional(cursor, count)?;
    let maxs = read_optional(cursor, count)?;
    let bounds = read_rows(cursor, count, floats)?;
    let buckets = read_rows(cursor, count, ints)?;
    let mut of_observed = sums.into_iter().zip(mins).zip(maxs);
    let mut rows = Vec::with_capacity(count);
    for ((rest, bounds), buckets) in rests.into_iter().zip(bounds).zip(buckets) {
        let Some(((sum, min), max)) = of_observed.next() else { break };
        rows.push(Histogram { count: rest.wrapping_add(sum_of(&buckets)), sum, min, max, bounds, buckets });
    }
    Ok(rows)
}

fn put_side(out: &mut Vec<u8>, rows: &[Exponential], side: impl Fn(&Exponential) -> Option<&Buckets>) {
    put_ints(out, &column(rows, |row| u64::from(side(row).is_some())));
    let there: Vec<&Buckets> = rows.iter().filter_map(side).collect();
    put_ints(out, &column(&there, |side| i64::from(side.offset) as u64));
    put_counts(out, &there.iter().map(|side| side.counts.as_slice()).collect::<Vec<_>>());
}

fn read_side(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<Option<Buckets>>, Damaged> {
    let is_there = ints(cursor, count)?;
    let there = is_there.iter().filter(|is_there| **is_there != 0).count();
    let offsets = ints(cursor, there)?;
    let counts = read_rows(cursor, there, ints)?;
    let mut sides = offsets.into_iter().zip(counts).map(|(offset, counts)| {
        let offset = i32::try_from(offset as i64).map_err(|_| Damaged("the offset of buckets is too large"))?;
        Ok(Buckets { offset, counts })
    });
    let side = |is_there: u64| if is_there == 0 { Ok(None) } else { sides.next().transpose() };
    is_there.into_iter().map(side).collect()
}

fn put_exponentials(out: &mut Vec<u8>, rows: &[Exponential]) {
    put_rest(
        out,
        rows,
        |row| row.count,
        |row| {
            let side = |side: &Option<Buckets>| side.as_ref().map_or(0, |side| sum_of(&side.counts));
            row.zero_count.wrapping_add(side(&row.positive)).wrapping_add(side(&row.negative))
        },
    );
    put_optional(out, rows, |row| row.sum);
    put_optional(out, rows, |row| row.min);
    put_optional(out, rows, |row| row.max);
    put_ints(out, &column(rows, |row| i64::from(row.scale) as u64));
    put_ints(out, &column(rows, |row| row.zero_count));
    put_floats(out, &rows.iter().map(|row| row.zero_threshold).collect::<Vec<_>>());
    put_side(out, rows, |row| row.positive.as_ref());
    put_side(out, rows, |row| row.negative.as_ref());
}

fn read_exponentials(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<Exponential>, Damaged> {
    let rests = ints(cursor, count)?;
    let sums = read_optional(cursor, count)?;
    let mins = read_optional(cursor, count)?;
    let maxs = read_optional(cursor, count)?;
    let scales = ints(cursor, count)?;
    let zeros = ints(cursor, count)?;
    let thresholds = floats(cursor, count)?;
    let positives = read_side(cursor, count)?;
    let negatives = read_side(cursor, count)?;
    let mut sides = positives.into_iter().zip(negatives);
    let mut of_observed = sums.into_iter().zip(mins).zip(maxs);
    let mut rows = Vec::with_capacity(count);
    for (((rest, scale), zero_count), zero_threshold) in rests.into_iter().zip(scales).zip(zeros).zip(thresholds) {
        let (Some((positive, negative)), Some(((sum, min), max))) = (sides.next(), of_observed.next()) else { break };
        let scale = i32::try_from(scale as i64).map_err(|_| Damaged("a scale is too large"))?;
        let side = |side: &Option<Buckets>| side.as_ref().map_or(0, |side| sum_of(&side.counts));
        let count = rest.wrapping_add(zero_count).wrapping_add(side(&positive)).wrapping_add(side(&negative));
        rows.push(Exponential { count, sum, min, max, scale, zero_count, zero_threshold, positive, negative });
    }
    Ok(rows)
}

fn put_summaries(out: &mut Vec<u8>, rows: &[Summary]) {
    put_ints(out, &column(rows, |row| row.count));
    put_floats(out, &rows.iter().map(|row| row.sum).collect::<Vec<_>>());
    let side = |of: fn(&(f64, f64)) -> f64| -> Vec<Vec<f64>> {
        rows.iter().map(|row| row.quantiles.iter().map(of).collect()).collect()
    };
    for values in [side(|pair| pair.0), side(|pair| pair.1)] {
        put_float_rows(out, &values.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }
}

fn read_summaries(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<Summary>, Damaged> {
    let counts = ints(cursor, count)?;
    let sums = floats(cursor, count)?;
    let quantiles = read_rows(cursor, count, floats)?;
    let values = read_rows(cursor, count, floats)?;
    let mut rows = Vec::with_capacity(count);
    for (((count, sum), quantiles), values) in counts.into_iter().zip(sums).zip(quantiles).zip(values) {
        if quantiles.len() != values.len() {
            return Err(Damaged("quantiles and values do not fit"));
        }
        rows.push(Summary { count, sum, quantiles: quantiles.into_iter().zip(values).collect() });
    }
    Ok(rows)
}
