//! Whether an answer is what a script expects.

use crate::script::{Expected, Wanted};
use crate::series::Item;
use promql::{Annotations, Buckets, Histogram, Labels, STALE, Samples, Value};

/// Relative error allowed.
const EPSILON: f64 = 1e-6;

pub(crate) fn nearly(a: f64, b: f64) -> bool {
    let stale = |value: f64| value.to_bits() == STALE;
    if stale(a) || stale(b) {
        return stale(a) && stale(b);
    }
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < EPSILON * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < EPSILON
}

fn same_buckets(a: &Buckets, b: &Buckets) -> bool {
    let filled = |side: &Buckets| side.iter().copied().filter(|(_, count)| *count != 0.0).collect::<Vec<_>>();
    let (a, b) = (filled(a), filled(b));
    a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.0 == b.0 && nearly(a.1, b.1))
}

fn same_histogram(wanted: &Histogram, got: &Histogram, hint: bool) -> bool {
    wanted.schema == got.schema
        && nearly(wanted.count, got.count)
        && nearly(wanted.sum, got.sum)
        && (!wanted.is_custom() || wanted.bounds == got.bounds)
        && wanted.zero_threshold == got.zero_threshold
        && nearly(wanted.zero_count, got.zero_count)
        && same_buckets(&wanted.positive, &got.positive)
        && same_buckets(&wanted.negative, &got.negative)
        && (!hint || wanted.hint == got.hint)
}

/// The times of expected items: the first and the step.
pub(crate) type Grid = (i64, i64);

fn same_samples(labels: &Labels, wanted: &[Item], got: &Samples, (start, step): Grid) -> Result<(), String> {
    let mut floats = got.floats.iter();
    let mut histograms = got.histograms.iter();
    for (time, item) in wanted.iter().enumerate().map(|(at, item)| (start + step * at as i64, item)) {
        match item {
            Item::Nothing => {}
            Item::Float(value) => match floats.next() {
                Some((t, got)) if *t == time && nearly(*value, *got) => {}
                other => return Err(format!("{labels} at {time}: wanted {value}, got {other:?} of {got:?}")),
            },
            Item::Histogram(value, hint) => match histograms.next() {
                Some((t, got)) if *t == time && same_histogram(value, got, *hint) => {}
                other => return Err(format!("{labels} at {time}: wanted {value:?}, got {other:?}")),
            },
        }
    }
    match (floats.next(), histograms.next()) {
        (None, None) => Ok(()),
        more => Err(format!("{labels}: not expected {more:?}")),
    }
}

/// Compares a value with what is expected.
pub(crate) fn value(expected: &Expected, value: &Value, grid: Grid) -> Result<(), String> {
    let series = match value {
        Value::Scalar(_, got) => {
            return match expected.scalar {
                Some(wanted) if nearly(wanted, *got) => Ok(()),
                wanted => Err(format!("wanted {wanted:?}, got the scalar {got}")),
            };
        }
        Value::String(_, got) => {
            let wanted = expected.text.as_deref().unwrap_or_default();
            return if wanted == got { Ok(()) } else { Err(format!("wanted {wanted:?}, got {got:?}")) };
        }
        Value::Vector(series) | Value::Matrix(series) => series,
    };
    if let Some(wanted) = expected.scalar {
        return Err(format!("wanted the scalar {wanted}, got {} series", series.len()));
    }
    for (at, (labels, samples)) in series.iter().enumerate() {
        let Some(place) = expected.series.iter().position(|(own, _)| own == labels) else {
            return Err(format!("not expected {labels} {samples:?}"));
        };
        if expected.ordered && place != at {
            return Err(format!("{labels} is at place {at}, not {place}"));
        }
        same_samples(labels, &expected.series[place].1, samples, grid)?;
    }
    for (labels, items) in &expected.series {
        if !series.iter().any(|(own, _)| own == labels) && !items.is_empty() {
            return Err(format!("missing {labels} {items:?}"));
        }
    }
    if let Value::Matrix(all) = value
        && !all.is_sorted_by(|a, b| a.0 <= b.0)
    {
        return Err("the matrix is not sorted".into());
    }
    Ok(())
}

/// Compares what is told with what is expected to be told.
pub(crate) fn annotations(expected: &Expected, got: &Annotations, query: &str) -> Result<(), String> {
    let (warnings, infos) = (got.warnings(query), got.infos(query));
    let all = |wanted: &[Wanted], got: &[String], what: &str| -> Result<(), String> {
        if wanted.is_empty() {
            return Ok(());
        }
        if let Some(missing) = wanted.iter().find(|wanted| !got.iter().any(|got| wanted.matches(got))) {
            return Err(format!("no {what} {missing:?} among {got:?}"));
        }
        match got.iter().find(|got| !wanted.iter().any(|wanted| wanted.matches(got))) {
            Some(more) => Err(format!("not expected {what} {more}")),
            None => Ok(()),
        }
    };
    all(&expected.warn, &warnings, "warning")?;
    all(&expected.info, &infos, "info")?;
    if (expected.some_warn && warnings.is_empty()) || (expected.some_info && infos.is_empty()) {
        return Err("nothing is told".into());
    }
    if (expected.no_warn && !warnings.is_empty()) || (expected.no_info && !infos.is_empty()) {
        return Err(format!("told without need: {warnings:?} {infos:?}"));
    }
    Ok(())
}
