//! One number of the samples in a window.

use crate::syntax::ast::RangeOp;

/// What an operation makes of samples in the order of time; there is at least one. The window is `(begin, end]`, in nanoseconds.
pub(crate) fn value(op: RangeOp, parameter: Option<f64>, samples: &[(i64, f64)], (begin, end): (i64, i64)) -> f64 {
    let values = || samples.iter().map(|(_, value)| *value);
    let seconds = (end - begin) as f64 / 1e9;
    let count = samples.len() as f64;
    match op {
        RangeOp::Count => count,
        RangeOp::Sum | RangeOp::Bytes => sum(values()),
        RangeOp::Rate | RangeOp::BytesRate => sum(values()) / seconds,
        RangeOp::Avg => sum(values()) / count,
        RangeOp::Min => values().fold(f64::NAN, |least, value| if least <= value { least } else { value }),
        RangeOp::Max => values().fold(f64::NAN, |most, value| if most >= value { most } else { value }),
        RangeOp::Stdvar => variance(values(), count),
        RangeOp::Stddev => variance(values(), count).sqrt(),
        RangeOp::Quantile => quantile(parameter.unwrap_or(f64::NAN), values().collect()),
        RangeOp::First => samples[0].1,
        RangeOp::Last => samples[samples.len() - 1].1,
        RangeOp::RateCounter => rate_of_counter(samples, begin, end),
        RangeOp::Absent => 1.0,
    }
}

/// A sum that does not lose small numbers beside large ones (Kahan and Neumaier).
fn sum(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut lost) = (0.0_f64, 0.0);
    for value in values {
        let next = sum + value;
        if next.is_infinite() {
            lost = 0.0;
        } else if sum.abs() >= value.abs() {
            lost += (sum - next) + value;
        } else {
            lost += (value - next) + sum;
        }
        sum = next;
    }
    sum + lost
}

fn variance(values: impl Iterator<Item = f64> + Clone, count: f64) -> f64 {
    let mean = sum(values.clone()) / count;
    sum(values.map(|value| (value - mean) * (value - mean))) / count
}

/// Interpolated between the two nearest ranks, as Prometheus does.
fn quantile(q: f64, mut values: Vec<f64>) -> f64 {
    if q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    values.sort_by(f64::total_cmp);
    let last = values.len() - 1;
    let rank = q * last as f64;
    let lower = (rank.floor() as usize).min(last);
    let upper = (lower + 1).min(last);
    let weight = rank - rank.floor();
    values[lower] * (1.0 - weight) + values[upper] * weight
}

/// The rate of a counter that may begin anew, carried on to the ends of the window as far as Prometheus does.
fn rate_of_counter(samples: &[(i64, f64)], begin: i64, end: i64) -> f64 {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return 0.0 };
    if samples.len() < 2 {
        return 0.0;
    }
    let resets = samples.windows(2).filter(|two| two[1].1 < two[0].1).map(|two| two[0].1);
    let mut increase = last.1 - first.1 + sum(resets);
    let seconds = |from: i64, to: i64| (to - from) as f64 / 1e9;
    let (mut to_start, to_end) = (seconds(begin, first.0), seconds(last.0, end));
    let sampled = seconds(first.0, last.0);
    let between = sampled / (samples.len() - 1) as f64;
    if increase > 0.0 && first.1 >= 0.0 {
        // A counter does not go below zero.
        to_start = to_start.min(sampled * (first.1 / increase));
    }
    let threshold = between * 1.1;
    let reach = |gap: f64| if gap < threshold { gap } else { between / 2.0 };
    if sampled > 0.0 {
        increase *= (sampled + reach(to_start) + reach(to_end)) / sampled;
    }
    increase / seconds(begin, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a handful of numbers, a not-a-number among them, and a counter that begins anew. Promise: what Prometheus makes of them.
    #[test]
    fn windows_have_values() {
        let samples: Vec<(i64, f64)> =
            [(1, 4.0), (2, 1.0), (3, 3.0), (4, 2.0)].map(|(t, v)| (t * 1_000_000_000, v)).to_vec();
        let of = |op, parameter| value(op, parameter, &samples, (0, 4_000_000_000));
        for (op, wanted) in [
            (RangeOp::Sum, 10.0),
            (RangeOp::Rate, 2.5),
            (RangeOp::Avg, 2.5),
            (RangeOp::Min, 1.0),
            (RangeOp::Max, 4.0),
            (RangeOp::Stdvar, 1.25),
            (RangeOp::First, 4.0),
            (RangeOp::Last, 2.0),
            (RangeOp::Count, 4.0),
        ] {
            assert!((of(op, None) - wanted).abs() < 1e-12, "{op:?}");
        }
        assert!((of(RangeOp::Quantile, Some(0.5)) - 2.5).abs() < 1e-12);
        assert_eq!(of(RangeOp::Quantile, Some(2.0)), f64::INFINITY);
        let nan = [(1, f64::NAN), (2, 5.0), (3, 1.0)];
        assert_eq!(value(RangeOp::Max, None, &nan, (0, 3)), 5.0);
        assert_eq!(value(RangeOp::Min, None, &nan, (0, 3)), 1.0);
        assert_eq!(sum([1e300, 1.0, -1e300].into_iter()), 1.0);
    }
}
