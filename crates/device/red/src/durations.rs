//! Histograms of durations: explicit bounds, or bounds that are powers of a base (OpenTelemetry metrics data model,
//! "ExponentialHistogram").

/// The most buckets of an exponential histogram; when values spread further, pairs of buckets become one.
const MOST_BUCKETS: usize = 80;
/// Where an exponential histogram begins: 32 buckets to a doubling.
const FIRST_SCALE: i32 = 5;
/// Below this many milliseconds a value counts as zero.
const ZERO_MS: f64 = 1e-6;

#[derive(Debug)]
pub(crate) enum Durations {
    Explicit(Box<[u64]>),
    /// Bucket `offset + i` holds values above `base^(offset + i)`, up to `base^(offset + i + 1)`; base is `2^(2^-scale)`.
    Exponential {
        scale: i32,
        zeros: u64,
        offset: i32,
        buckets: Vec<u64>,
    },
}

pub(crate) fn bucket_of(duration_ms: f64, bounds: &[f64]) -> usize {
    bounds.iter().position(|bound| duration_ms <= *bound).unwrap_or(bounds.len())
}

pub(crate) fn most_bytes(bounds: Option<&[f64]>) -> usize {
    size_of::<u64>() * bounds.map_or(MOST_BUCKETS, |bounds| bounds.len() + 1)
}

fn index_of(duration_ms: f64, scale: i32) -> i32 {
    (duration_ms.log2() * f64::from(scale).exp2()).ceil() as i32 - 1
}

impl Durations {
    pub(crate) fn new(bounds: Option<&[f64]>) -> Self {
        match bounds {
            Some(bounds) => Self::Explicit(vec![0; bounds.len() + 1].into()),
            None => Self::Exponential { scale: FIRST_SCALE, zeros: 0, offset: 0, buckets: Vec::new() },
        }
    }

    pub(crate) fn clear(&mut self) {
        match self {
            Durations::Explicit(buckets) => buckets.fill(0),
            Durations::Exponential { scale, zeros, buckets, .. } => {
                (*scale, *zeros) = (FIRST_SCALE, 0);
                buckets.clear();
            }
        }
    }

    pub(crate) fn add(&mut self, duration_ms: f64, bounds: Option<&[f64]>) {
        match self {
            Durations::Explicit(buckets) => {
                if let Some(bucket) = buckets.get_mut(bucket_of(duration_ms, bounds.unwrap_or_default())) {
                    *bucket += 1;
                }
            }
            Durations::Exponential { zeros, .. } if duration_ms < ZERO_MS => *zeros += 1,
            Durations::Exponential { scale, offset, buckets, .. } => {
                let mut index = index_of(duration_ms, *scale);
                if buckets.is_empty() {
                    *offset = index;
                }
                // Until the new value and all others fit: two buckets become one.
                while (index.max(*offset + buckets.len() as i32 - 1) - index.min(*offset)) as usize >= MOST_BUCKETS {
                    halve(offset, buckets);
                    *scale -= 1;
                    index >>= 1;
                }
                if index < *offset {
                    let more = (*offset - index) as usize;
                    buckets.splice(0..0, std::iter::repeat_n(0, more));
                    *offset = index;
                }
                let place = (index - *offset) as usize;
                if place >= buckets.len() {
                    buckets.resize(place + 1, 0);
                }
                if let Some(bucket) = buckets.get_mut(place) {
                    *bucket += 1;
                }
            }
        }
    }
}

/// One scale down: buckets `2i` and `2i + 1` become bucket `i`.
fn halve(offset: &mut i32, buckets: &mut Vec<u64>) {
    let first = *offset >> 1;
    let mut halved = vec![0; buckets.len() / 2 + 1];
    for (position, count) in buckets.iter().enumerate() {
        let place = ((*offset + position as i32) >> 1) - first;
        if let Some(bucket) = halved.get_mut(place as usize) {
            *bucket += count;
        }
    }
    *offset = first;
    *buckets = halved;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: durations from a microsecond to an hour, in any order, then the histogram is cleared.
    /// Guarantees: no value is lost, each lies within its bucket's bounds, and there are never too many buckets (P6, P9).
    #[test]
    fn exponential_buckets_hold_their_values() {
        let values: Vec<f64> = (0..2_000).map(|step| 1e-3 * 1.011f64.powi((step * 7919) % 2_000)).collect();
        let mut durations = Durations::new(None);
        for (count, value) in values.iter().enumerate() {
            durations.add(*value, None);
            let Durations::Exponential { buckets, .. } = &durations else { panic!() };
            assert!(buckets.len() <= MOST_BUCKETS);
            assert_eq!(buckets.iter().sum::<u64>(), count as u64 + 1);
        }
        let Durations::Exponential { scale, offset, buckets, .. } = &durations else { panic!() };
        for (position, count) in buckets.iter().enumerate() {
            let bound = |index: i32| (f64::from(index) * f64::from(-scale).exp2()).exp2();
            let (low, high) = (bound(offset + position as i32), bound(offset + position as i32 + 1));
            let within = values.iter().filter(|value| **value > low * 1.000_001 && **value <= high * 0.999_999).count();
            assert!(within as u64 <= *count && *count <= within as u64 + 2, "{low} to {high}: {count}, {within}");
        }
        durations.add(0.0, None);
        let Durations::Exponential { zeros: 1, .. } = durations else { panic!("zeros stand apart") };
        durations.clear();
        durations.add(5.0, None);
        let Durations::Exponential { scale: FIRST_SCALE, zeros: 0, ref buckets, .. } = durations else { panic!() };
        assert_eq!(buckets.as_slice(), [1]);
    }
}
