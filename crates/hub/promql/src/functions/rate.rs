//! How much a series grew: `rate` and its kind, extrapolated to the ends of the range as Prometheus does.

use super::extended;
use super::growth::{add, is_reset, overlaps, subtract};
use super::window::{RangeCall, Window};
use crate::histogram::{Histogram, ResetHint};
use crate::points::{Point, Result};
use std::sync::Arc;

pub(crate) fn rate(window: &Window<'_>, call: &mut RangeCall<'_>) -> Result<Point> {
    Ok(extrapolated(window, call, true, true))
}

pub(crate) fn increase(window: &Window<'_>, call: &mut RangeCall<'_>) -> Result<Point> {
    Ok(extrapolated(window, call, true, false))
}

pub(crate) fn delta(window: &Window<'_>, call: &mut RangeCall<'_>) -> Result<Point> {
    Ok(extrapolated(window, call, false, false))
}

/// What was counted between the first and the last sample.
enum Growth {
    Float(f64),
    Histogram(Histogram),
}

fn extrapolated(window: &Window<'_>, call: &mut RangeCall<'_>, counter: bool, per_second: bool) -> Point {
    let (floats, histograms) = (window.floats, window.histograms);
    if !floats.is_empty() && !histograms.is_empty() {
        return call.mixed();
    }
    if call.anchored || call.smoothed {
        return if histograms.is_empty() {
            extended::floats(window, call, counter, per_second)
        } else {
            extended::histograms(histograms, call, counter, per_second)
        };
    }
    let starts = if histograms.is_empty() { window.float_starts } else { window.histogram_starts };
    let times: (Option<i64>, Option<i64>) = if histograms.is_empty() {
        (floats.first().map(|s| s.0), floats.last().map(|s| s.0))
    } else {
        (histograms.first().map(|s| s.0), histograms.last().map(|s| s.0))
    };
    let (Some(first), Some(last)) = times else { return Point::None };
    let gaps = floats.len().max(histograms.len()) - 1;
    let mut growth = if histograms.is_empty() {
        Some(Growth::Float(float_growth(window, call, counter)))
    } else if gaps > 0 {
        match histogram_growth(histograms, starts, call, counter) {
            Some(growth) => Some(Growth::Histogram(growth)),
            None => return Point::None,
        }
    } else {
        None
    };
    let mut to_start = (first - call.start) as f64 / 1000.0;
    let mut to_end = (call.end - last) as f64 / 1000.0;
    let mut sampled = (last - first) as f64 / 1000.0;
    let between = if gaps > 0 { sampled / gaps as f64 } else { 0.0 };
    let threshold = between * 1.1;
    let began = starts.first().copied().filter(|s| counter && *s != 0 && *s > call.start && *s < first);
    if let Some(began) = began {
        // The counter began in the range: nothing is to be guessed before it.
        to_start = 0.0;
        sampled = (last - began) as f64 / 1000.0;
        growth = match (growth, histograms.first()) {
            (Some(Growth::Float(value)), _) => Some(Growth::Float(value + floats.first().map_or(0.0, |s| s.1))),
            (None, Some((_, own))) => Some(Growth::Histogram((**own).clone())),
            (Some(Growth::Histogram(value)), Some((_, own))) => match add(&value, own, call) {
                Some(sum) => Some(Growth::Histogram(sum)),
                None => return Point::None,
            },
            (other, None) => other,
        };
    } else if gaps == 0 {
        return Point::None;
    } else {
        if to_start >= threshold {
            to_start = between / 2.0;
        }
        if counter {
            to_start = to_start.min(to_zero(&growth, window, sampled, to_start));
        }
    }
    if to_end >= threshold {
        to_end = between / 2.0;
    }
    let mut factor = if sampled == 0.0 { 1.0 } else { (sampled + to_start + to_end) / sampled };
    if per_second {
        factor /= call.range as f64 / 1000.0;
    }
    match growth {
        Some(Growth::Float(value)) => Point::Float(value * factor),
        Some(Growth::Histogram(value)) => Point::histogram(value.scaled(factor)),
        None => Point::None,
    }
}

/// How long before its first sample a counter would have been at zero.
fn to_zero(growth: &Option<Growth>, window: &Window<'_>, sampled: f64, otherwise: f64) -> f64 {
    let (first, grown) = match growth {
        Some(Growth::Float(grown)) => (window.floats.first().map_or(0.0, |s| s.1), *grown),
        Some(Growth::Histogram(grown)) => (window.histograms.first().map_or(0.0, |s| s.1.count), grown.count),
        None => return otherwise,
    };
    let at = sampled * (first / grown);
    // With NaN the comparison fails, and nothing is cut.
    if grown > 0.0 && first >= 0.0 && at < otherwise { at } else { otherwise }
}

fn float_growth(window: &Window<'_>, call: &mut RangeCall<'_>, counter: bool) -> f64 {
    let (Some((_, first)), Some((_, last))) = (window.floats.first(), window.floats.last()) else { return 0.0 };
    let mut growth = last - first;
    if !counter {
        return growth;
    }
    let mut overlap = false;
    for (at, pair) in window.floats.windows(2).enumerate() {
        let &[(t0, v0), (t1, v1)] = pair else { continue };
        let starts = window.float_starts.get(at).copied().zip(window.float_starts.get(at + 1).copied());
        if let Some((before, now)) = starts.filter(|(before, now)| !overlap && overlaps(*before, t0, *now)) {
            debug_assert!(before != now);
            overlap = true;
            call.annotations.start_overlap(call.span(), call.metric);
        }
        if v1 < v0 || starts.is_some_and(|(before, now)| is_reset(before, t0, now, t1)) {
            growth += v0;
        }
    }
    growth
}

fn histogram_growth(
    points: &[(i64, Arc<Histogram>)],
    starts: &[i64],
    call: &mut RangeCall<'_>,
    counter: bool,
) -> Option<Histogram> {
    let ([(t0, first), (t1, second), ..], Some((_, last))) = (points, points.last()) else { return None };
    let gauge = |histogram: &Histogram| histogram.hint == ResetHint::Gauge;
    if counter && points.iter().any(|(_, histogram)| gauge(histogram)) {
        call.annotations.not_counter(call.span(), call.metric);
    }
    let start = |at: usize| starts.get(at).copied();
    let restarted = |at: usize, before: i64, now: i64| {
        start(at - 1).zip(start(at)).is_some_and(|(s0, s1)| is_reset(s0, before, s1, now))
    };
    let mut before = first.clone();
    let mut custom = first.is_custom();
    if counter && (restarted(1, *t0, *t1) || second.reset_since(first)) {
        // What the first had is not in what was counted since.
        let empty = Histogram { schema: second.schema, bounds: second.bounds.clone(), ..Histogram::default() };
        before = Arc::new(empty);
        custom = second.is_custom();
    }
    let inner = &points[1..points.len() - 1];
    if last.is_custom() != custom || (counter && inner.iter().any(|(_, own)| own.is_custom() != custom)) {
        call.mixed_buckets();
        return None;
    }
    let mut growth = subtract(last, &before, call)?;
    if counter {
        let mut overlap = false;
        for (at, pair) in points.windows(2).enumerate() {
            let [(t0, own_before), (t1, now)] = pair else { continue };
            if let (false, Some(s0), Some(s1)) = (overlap, start(at), start(at + 1))
                && overlaps(s0, *t0, s1)
            {
                overlap = true;
                call.annotations.start_overlap(call.span(), call.metric);
            }
            let before = if at == 0 { &before } else { own_before };
            if restarted(at + 1, *t0, *t1) || now.reset_since(before) {
                growth = add(&growth, before, call)?;
            }
        }
    } else if !gauge(first) || !gauge(last) {
        call.annotations.not_gauge(call.span(), call.metric);
    }
    // At the coarsest resolution that there was, so that none is made up.
    if counter && !custom {
        let coarsest = points.iter().skip(1).map(|(_, own)| own.schema).min().unwrap_or(growth.schema);
        growth = growth.at_schema(coarsest);
    }
    growth.hint = ResetHint::Gauge;
    Some(growth.compact())
}

pub(crate) fn irate(window: &Window<'_>, call: &mut RangeCall<'_>) -> Result<Point> {
    Ok(instant(window, call, true))
}

pub(crate) fn idelta(window: &Window<'_>, call: &mut RangeCall<'_>) -> Result<Point> {
    Ok(instant(window, call, false))
}

enum Value<'a> {
    Float(f64),
    Histogram(&'a Histogram),
}

/// From the last two samples.
fn instant(window: &Window<'_>, call: &mut RangeCall<'_>, rate: bool) -> Point {
    let start = |starts: &[i64], at: usize| starts.get(at).copied().unwrap_or(0);
    let mut last: Vec<(i64, i64, Value<'_>)> = Vec::with_capacity(4);
    for (at, (t, value)) in window.floats.iter().enumerate().rev().take(2) {
        last.push((*t, start(window.float_starts, at), Value::Float(*value)));
    }
    for (at, (t, histogram)) in window.histograms.iter().enumerate().rev().take(2) {
        last.push((*t, start(window.histogram_starts, at), Value::Histogram(histogram)));
    }
    last.sort_by_key(|(t, ..)| *t);
    let (Some((t1, s1, now)), Some((t0, s0, before))) = (last.pop(), last.pop()) else { return Point::None };
    let elapsed = (t1 - t0) as f64 / 1000.0;
    if elapsed == 0.0 {
        return Point::None;
    }
    let restarted = is_reset(s0, t0, s1, t1);
    let per_second = |value: f64| if rate { value / elapsed } else { value };
    match (before, now) {
        (Value::Float(before), Value::Float(now)) => {
            let reset = rate && (now < before || restarted);
            Point::Float(per_second(if reset { now } else { now - before }))
        }
        (Value::Histogram(before), Value::Histogram(now)) => {
            let gauge = |histogram: &Histogram| histogram.hint == ResetHint::Gauge;
            if rate && (gauge(before) || gauge(now)) {
                call.annotations.not_counter(call.span(), call.metric);
            }
            if !rate && (!gauge(before) || !gauge(now)) {
                call.annotations.not_gauge(call.span(), call.metric);
            }
            let reset = rate && (restarted || now.reset_since(before));
            let difference = if reset { Some(now.clone()) } else { subtract(now, before, call) };
            let Some(mut out) = difference else { return Point::None };
            out.hint = ResetHint::Gauge;
            Point::histogram(if rate { out.compact().divided(elapsed) } else { out.compact() })
        }
        _ => call.mixed(),
    }
}
