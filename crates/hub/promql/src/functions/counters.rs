//! How often a series fell or changed.

use super::growth::is_reset;
use super::window::{RangeCall, Window};
use crate::histogram::Histogram;
use crate::points::{Point, Result};
use std::sync::Arc;

enum Value<'a> {
    Float(f64),
    Histogram(&'a Arc<Histogram>),
}

struct Sample<'a> {
    time: i64,
    start: i64,
    value: Value<'a>,
}

/// All samples of a window in the order of time; with `anchored`, from the last one not after the range's start.
fn samples<'a>(window: &Window<'a>, call: &RangeCall<'_>) -> Option<Vec<Sample<'a>>> {
    let start = |starts: &[i64], at: usize| starts.get(at).copied().unwrap_or(0);
    let floats = window.floats.iter().enumerate().map(|(at, (time, value))| Sample {
        time: *time,
        start: start(window.float_starts, at),
        value: Value::Float(*value),
    });
    let histograms = window.histograms.iter().enumerate().map(|(at, (time, histogram))| Sample {
        time: *time,
        start: start(window.histogram_starts, at),
        value: Value::Histogram(histogram),
    });
    let mut all: Vec<Sample<'a>> = floats.chain(histograms).collect();
    all.sort_by_key(|sample| sample.time);
    if call.anchored {
        let inside = all.partition_point(|sample| sample.time <= call.start);
        if inside >= all.len() {
            return None;
        }
        all.drain(..inside.saturating_sub(1));
    }
    Some(all)
}

fn count(window: &Window<'_>, call: &RangeCall<'_>, counts: impl Fn(&Sample<'_>, &Sample<'_>) -> bool) -> Point {
    let Some(all) = samples(window, call) else { return Point::None };
    Point::Float(all.windows(2).filter(|pair| counts(&pair[0], &pair[1])).count() as f64)
}

pub(crate) fn resets(window: &Window<'_>, call: &mut RangeCall<'_>) -> Result<Point> {
    Ok(count(window, call, |before, now| {
        let started = is_reset(before.start, before.time, now.start, now.time);
        match (&before.value, &now.value) {
            (Value::Float(before), Value::Float(now)) => now < before || started,
            (Value::Histogram(before), Value::Histogram(now)) => started || now.reset_since(before),
            _ => true,
        }
    }))
}

pub(crate) fn changes(window: &Window<'_>, call: &mut RangeCall<'_>) -> Result<Point> {
    Ok(count(window, call, |before, now| match (&before.value, &now.value) {
        (Value::Float(before), Value::Float(now)) => now != before && !(now.is_nan() && before.is_nan()),
        (Value::Histogram(before), Value::Histogram(now)) => !now.equals(before),
        _ => true,
    }))
}
