//! Exponential histograms as Prometheus' native ones: the same base-2 buckets, of which bucket `i` of OTLP is `i + 1` there, at a scale
//! of at most 8.

use model::proto::{ProtoError, Reader, Value, put_fixed64, put_message, put_uint, put_varint, unzigzag, zigzag};

/// Scales that native histograms have.
const MIN_SCALE: i64 = -4;
const MAX_SCALE: i64 = 8;
/// The breadth of the zero bucket where a point tells none, as Prometheus' OTLP endpoint has it.
const ZERO_THRESHOLD: f64 = 1e-128;
/// Up to so many empty buckets are written, more are a new span, as Prometheus' own library does it.
const GAP: i64 = 2;

/// What of an `ExponentialHistogramDataPoint` its buckets are reckoned from.
#[derive(Debug, Default)]
pub(crate) struct Exponential<'a> {
    pub(crate) count: u64,
    pub(crate) sum: f64,
    pub(crate) scale: i64,
    pub(crate) zero_count: u64,
    pub(crate) zero_threshold: f64,
    pub(crate) positive: &'a [u8],
    pub(crate) negative: &'a [u8],
}

/// Buckets in the native form.
#[derive(Debug, Default)]
struct Buckets {
    /// Distance from the span before, and length.
    spans: Vec<(i32, u32)>,
    deltas: Vec<i64>,
}

/// A native histogram that only says that its series ended.
pub(crate) fn put_stale(out: &mut Vec<u8>, stale: u64) {
    put_uint(out, 1, 0);
    put_fixed64(out, 3, stale);
}

impl Exponential<'_> {
    /// Appends the `Histogram` message without its times.
    ///
    /// # Errors
    /// Words for people, where Prometheus has no such histogram.
    pub(crate) fn put(&self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        if self.scale < MIN_SCALE {
            return Err("its scale is below -4, which native histograms do not have");
        }
        let down = (self.scale - MAX_SCALE).clamp(0, 63) as u32;
        let read = |bytes| buckets(bytes, down).map_err(|_| "its buckets cannot be read");
        let positive = read(self.positive)?.ok_or("its buckets lie beyond what native histograms have")?;
        let negative = read(self.negative)?.ok_or("its buckets lie beyond what native histograms have")?;
        put_uint(out, 1, self.count);
        put_fixed64(out, 3, self.sum.to_bits());
        put_uint(out, 4, zigzag(self.scale.min(MAX_SCALE)));
        let threshold = if self.zero_threshold > 0.0 { self.zero_threshold } else { ZERO_THRESHOLD };
        put_fixed64(out, 5, threshold.to_bits());
        put_uint(out, 6, self.zero_count);
        put_buckets(out, 8, &negative);
        put_buckets(out, 11, &positive);
        Ok(())
    }
}

/// Appends spans under this number, and deltas under the next one.
fn put_buckets(out: &mut Vec<u8>, number: u32, buckets: &Buckets) {
    for (offset, length) in &buckets.spans {
        put_message(out, number, |out| {
            put_uint(out, 1, zigzag(i64::from(*offset)));
            put_uint(out, 2, u64::from(*length));
        });
    }
    if !buckets.deltas.is_empty() {
        put_message(out, number + 1, |out| buckets.deltas.iter().for_each(|delta| put_varint(out, zigzag(*delta))));
    }
}

/// Reads a `Buckets` message, 2^`down` of its buckets together; `None` where one lies beyond 32 bits.
fn buckets(message: &[u8], down: u32) -> Result<Option<Buckets>, ProtoError> {
    let mut offset = 0;
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next_field()? {
        if let (1, Value::Varint(number)) = field {
            offset = i64::from(unzigzag(number) as i32);
        }
    }
    let mut native = Native { buckets: Buckets::default(), next: None, before: 0 };
    let mut within = true;
    let (mut index, mut gathered) = (offset, (offset >> down, 0_u64));
    each_count(message, |count| {
        let place = index >> down;
        if place != gathered.0 {
            within &= native.push(gathered);
            gathered = (place, 0);
        }
        gathered.1 = gathered.1.wrapping_add(count);
        index += 1;
    })?;
    within &= native.push(gathered);
    Ok(within.then_some(native.buckets))
}

/// Calls `each` with all `bucket_counts` of a `Buckets` message, packed or not.
fn each_count(message: &[u8], mut each: impl FnMut(u64)) -> Result<(), ProtoError> {
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next_field()? {
        match field {
            (2, Value::Varint(count)) => each(count),
            (2, Value::Bytes(mut packed)) => {
                while let Ok((count, used)) = model::proto::read_varint(packed) {
                    each(count);
                    packed = packed.get(used..).unwrap_or_default();
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Buckets while they are put together.
struct Native {
    buckets: Buckets,
    /// The place behind the last bucket.
    next: Option<i64>,
    before: i64,
}

impl Native {
    /// Adds a bucket of OTLP; false where it lies beyond what there can be.
    fn push(&mut self, (place, count): (i64, u64)) -> bool {
        if count == 0 {
            return true;
        }
        let place = place + 1;
        let gap = place - self.next.unwrap_or(0);
        if self.next.is_some() && gap <= GAP {
            (0..gap).for_each(|_| self.append(0));
        } else {
            let Ok(gap) = i32::try_from(gap) else { return false };
            self.buckets.spans.push((gap, 0));
        }
        self.append(count.cast_signed());
        self.next = Some(place + 1);
        i32::try_from(place).is_ok()
    }

    fn append(&mut self, count: i64) {
        if let Some(span) = self.buckets.spans.last_mut() {
            span.1 += 1;
        }
        self.buckets.deltas.push(count.wrapping_sub(self.before));
        self.before = count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn native(offset: i64, counts: &[u64], down: u32) -> Option<Buckets> {
        let mut message = Vec::new();
        put_uint(&mut message, 1, zigzag(offset));
        put_message(&mut message, 2, |out| counts.iter().for_each(|count| put_varint(out, *count)));
        buckets(&message, down).unwrap()
    }

    /// Scenario: buckets with small and large gaps, merged 2 and 4 to one, with negative offsets, at the ends of 32 bits. Guarantees:
    /// the layout of Prometheus' own library: gaps of up to two buckets are written, larger ones begin a span; nothing overflows.
    #[test]
    fn buckets_become_spans() {
        let of = |offset, counts: &[u64], down| native(offset, counts, down).map(|found| (found.spans, found.deltas));
        assert_eq!(of(0, &[], 0), Some((vec![], vec![])));
        assert_eq!(of(4, &[0, 0], 0), Some((vec![], vec![])));
        assert_eq!(of(0, &[1, 2, 0, 0, 4], 0), Some((vec![(1, 5)], vec![1, 1, -2, 0, 4])));
        assert_eq!(of(-3, &[1, 0, 0, 0, 4], 0), Some((vec![(-2, 1), (3, 1)], vec![1, 3])));
        // OTLP's buckets -3 | -2 -1 | 0 1 at one scale less are -2 | -1 | 0.
        assert_eq!(of(-3, &[1, 2, 3, 4, 5], 1), Some((vec![(-1, 3)], vec![1, 4, 4])));
        assert_eq!(of(-3, &[1, 2, 3, 4, 5], 63), Some((vec![(0, 2)], vec![6, 3])));
        assert_eq!(of(i64::from(i32::MAX) - 1, &[7], 0), Some((vec![(i32::MAX, 1)], vec![7])));
        assert_eq!(of(i64::from(i32::MAX), &[7], 0), None);
        assert_eq!(of(0, &[u64::MAX, u64::MAX], 1), Some((vec![(1, 1)], vec![-2])));
    }
}
