//! The modifiers `anchored` and `smoothed`: what a range's ends are is taken from samples beside them.

use super::growth::{add, is_reset, subtract};
use super::window::{RangeCall, Window};
use crate::annotations::Annotations;
use crate::histogram::{Histogram, Incompatible, ResetHint};
use crate::points::Point;
use crate::source::Samples;
use crate::syntax::ast::Span;
use std::sync::Arc;

/// A value on the line between two samples; a counter that fell began at zero.
fn between(a: (i64, f64), b: (i64, f64), at: i64, counter: bool) -> f64 {
    let from = if counter && b.1 < a.1 { 0.0 } else { a.1 };
    from + (b.1 - from) * (at - a.0) as f64 / (b.0 - a.0) as f64
}

/// Whether a counter began after a time and before its sample.
fn began_after(time: i64, start: i64, sample: i64) -> bool {
    start > time && sample > time && is_reset(time, time, start, sample)
}

fn start_of(starts: &[i64], at: usize) -> i64 {
    starts.get(at).copied().unwrap_or(0)
}

/// Which samples are at the ends of the range, and what is asked of them.
struct Ends {
    start: i64,
    end: i64,
    earliest: i64,
    smoothed: bool,
    counter: bool,
}

impl Ends {
    /// The value where the range begins, and when its counting began.
    fn left(&self, floats: &[(i64, f64)], starts: &[i64], first: usize) -> (f64, i64) {
        let mut own = floats[first];
        let start = start_of(starts, first);
        let mut known = if start > self.start { 0 } else { start };
        if own.0 == self.start {
            return (own.1, start);
        }
        if own.0 > self.start {
            if !self.counter || !began_after(self.earliest, start, own.0) {
                return (own.1, known);
            }
            if began_after(self.start, start, own.0) || !self.smoothed {
                return (0.0, known);
            }
            return (between((start, 0.0), own, self.start, true), known);
        }
        let Some(mut next) = floats.get(first + 1).copied() else { return (own.1, known) };
        let next_start = start_of(starts, first + 1);
        if self.counter && began_after(self.start, next_start, next.0) {
            next = (next_start, 0.0);
        } else if self.counter && is_reset(start, own.0, next_start, next.0) {
            own = (next_start, 0.0);
            known = next_start;
        }
        (if self.smoothed { between(own, next, self.start, self.counter) } else { own.1 }, known)
    }

    /// The value where the range ends, and when its counting began.
    fn right(&self, floats: &[(i64, f64)], starts: &[i64], last: usize) -> (f64, i64) {
        let mut own = floats[last];
        let start = start_of(starts, last);
        let mut known = if start > self.end { 0 } else { start };
        if own.0 <= self.end {
            return (own.1, known);
        }
        let Some(at) = last.checked_sub(1) else {
            if !self.counter || !began_after(self.earliest, start, own.0) {
                return (own.1, known);
            }
            if began_after(self.end, start, own.0) || !self.smoothed {
                return (0.0, known);
            }
            return (between((start, 0.0), own, self.end, true), known);
        };
        let (mut before, before_start) = (floats[at], start_of(starts, at));
        if self.counter && began_after(self.end, start, own.0) {
            own = (start, 0.0);
            known = before_start;
        } else if self.counter && is_reset(before_start, before.0, start, own.0) {
            before = (start, 0.0);
        }
        (if self.smoothed { between(before, own, self.end, self.counter) } else { before.1 }, known)
    }
}

/// The first and last sample that the range's ends are made of.
fn ends<T>(all: &[(i64, T)], call: &RangeCall<'_>) -> (usize, usize) {
    let last = all.len().saturating_sub(1);
    let first = all[..last].partition_point(|(t, _)| *t <= call.start).saturating_sub(1);
    let last = if call.smoothed { all[..last].partition_point(|(t, _)| *t < call.end) } else { last };
    (first, last)
}

/// What numbers grew by.
pub(super) fn floats(window: &Window<'_>, call: &mut RangeCall<'_>, counter: bool, per_second: bool) -> Point {
    let (all, starts) = (window.floats, window.float_starts);
    if all.is_empty() {
        return Point::None;
    }
    let (mut first, last) = ends(all, call);
    if all[last].0 <= call.start {
        return Point::None;
    }
    let earliest = call.start.saturating_sub(call.lookback);
    if call.smoothed && all[first].0 > call.end {
        let start = start_of(starts, first);
        let late = began_after(call.end, start, all[first].0);
        if !counter || !began_after(earliest, start, all[first].0) || late {
            return Point::None;
        }
    }
    let range = Ends { start: call.start, end: call.end, earliest, smoothed: call.smoothed, counter };
    let (left, left_start) = range.left(all, starts, first);
    let (right, right_start) = range.right(all, starts, last);
    let mut growth = right - left;
    if counter {
        first += usize::from(all[first].0 <= call.start);
        let until = if all[last].0 >= call.end { last } else { last + 1 };
        let mut before = (left, call.start, left_start);
        let inner = (first..until).map(|at| (all[at].1, all[at].0, start_of(starts, at)));
        for now in inner.chain([(right, call.end, right_start)]) {
            if now.0 < before.0 || is_reset(before.2, before.1, now.2, now.1) {
                growth += before.0;
            }
            before = now;
        }
    }
    Point::Float(if per_second { growth / (call.range as f64 / 1000.0) } else { growth })
}

/// The numbers of a range with such ends, by themselves.
pub(crate) fn extend(
    floats: &[(i64, f64)],
    starts: &[i64],
    (start, end): (i64, i64),
    lookback: i64,
    smoothed: bool,
) -> Vec<(i64, f64)> {
    let Some(most) = floats.len().checked_sub(1) else { return Vec::new() };
    let mut first = floats[..most].partition_point(|(t, _)| *t <= start).saturating_sub(1);
    let last = if smoothed { floats[..most].partition_point(|(t, _)| *t < end) } else { most };
    if floats[last].0 <= start {
        return Vec::new();
    }
    let earliest = start.saturating_sub(lookback);
    let range = Ends { start, end, earliest, smoothed, counter: false };
    let (left, right) = (range.left(floats, starts, first).0, range.right(floats, starts, last).0);
    first += usize::from(floats[first].0 <= start);
    let until = if floats[last].0 >= end { last } else { last + 1 };
    let inner = floats.get(first..until).unwrap_or_default().iter().copied();
    [(start, left)].into_iter().chain(inner).chain([(end, right)]).collect()
}

type Sample = (i64, Arc<Histogram>);
type Points = [Sample];

/// Why there is no histogram between two.
struct NoHistogram;

/// A histogram on the line between two.
fn histogram_between(
    (a, b): (&Sample, &Sample),
    at: i64,
    counter: bool,
    tell: &mut impl FnMut(&str),
) -> Result<Histogram, NoHistogram> {
    if at == a.0 {
        return Ok((*a.1).clone());
    }
    if at == b.0 {
        return Ok((*b.1).clone());
    }
    let share = (at - a.0) as f64 / (b.0 - a.0) as f64;
    if counter && b.1.reset_since(&a.1) {
        return Ok((*b.1).clone().scaled(share));
    }
    let no = |_: Incompatible| NoHistogram;
    let (difference, facts) = b.1.minus(&a.1).map_err(no)?;
    if facts.bounds_reconciled {
        tell("subtraction");
    }
    let (sum, facts) = difference.scaled(share).plus(&a.1).map_err(no)?;
    if facts.bounds_reconciled {
        tell("addition");
    }
    Ok(sum)
}

/// What histograms grew by.
pub(super) fn histograms(all: &Points, call: &mut RangeCall<'_>, counter: bool, per_second: bool) -> Point {
    if all.is_empty() {
        return Point::None;
    }
    let (first, last) = ends(all, call);
    if all[last].0 <= call.start || (call.smoothed && all[first].0 > call.end) {
        return Point::None;
    }
    let custom = all[first].1.is_custom();
    for (_, own) in &all[first..=last] {
        if own.is_custom() != custom {
            return call.mixed_buckets();
        }
        if counter && own.hint == ResetHint::Gauge {
            call.annotations.not_counter(call.span(), call.metric);
        }
    }
    let span = call.span();
    let mut interpolate = |from: usize, at: i64| {
        let annotations = &mut *call.annotations;
        histogram_between((&all[from], &all[from + 1]), at, counter, &mut |how| annotations.reconciled(span, how))
    };
    let (left, right) = if call.smoothed {
        let left = if all[first].0 < call.start && first < last {
            interpolate(first, call.start)
        } else {
            Ok((*all[first].1).clone())
        };
        let right = match last.checked_sub(1) {
            Some(before) if all[last].0 > call.end => interpolate(before, call.end),
            _ => Ok((*all[last].1).clone()),
        };
        (left, right)
    } else {
        (Ok((*all[first].1).clone()), Ok((*all[last].1).clone()))
    };
    let (Ok(left), Ok(right)) = (left, right) else { return call.mixed_buckets() };
    if !counter && (left.hint != ResetHint::Gauge || right.hint != ResetHint::Gauge) {
        call.annotations.not_gauge(span, call.metric);
    }
    let Some(mut growth) = subtract(&right, &left, call) else { return Point::None };
    if counter {
        match correction(all, (first, last), (&left, &right), call) {
            Ok(None) => {}
            Ok(Some(lost)) => {
                let Some(sum) = add(&growth, &lost, call) else { return Point::None };
                growth = sum;
            }
            Err(NoHistogram) => return Point::None,
        }
    }
    if per_second {
        growth = growth.divided(call.range as f64 / 1000.0);
    }
    growth.hint = ResetHint::Gauge;
    Point::histogram(growth.compact())
}

/// What was counted before resets inside the range.
fn correction(
    all: &Points,
    (first, last): (usize, usize),
    (left, right): (&Histogram, &Histogram),
    call: &mut RangeCall<'_>,
) -> Result<Option<Histogram>, NoHistogram> {
    let mut from = first + 1;
    let mut before = left;
    // A reset between the first sample and the next is in the interpolated value already.
    if call.smoothed
        && all[first].0 < call.start
        && let Some((_, next)) = all.get(first + 1)
        && next.reset_since(&all[first].1)
    {
        before = next;
        from += 1;
    }
    if from > last {
        return Ok(None);
    }
    let mut lost: Option<Histogram> = None;
    for now in all[from..last].iter().map(|(_, own)| &**own).chain([right]) {
        if now.reset_since(before) {
            lost = Some(match lost {
                None => before.clone(),
                Some(sum) => add(&sum, before, call).ok_or(NoHistogram)?,
            });
        }
        before = now;
    }
    Ok(lost)
}

/// What a smoothed selector has at a time: on the line between the samples around it.
pub(crate) fn smoothed(
    samples: &Samples,
    time: i64,
    lookback: i64,
    metric: &str,
    span: Span,
    annotations: &mut Annotations,
) -> Point {
    let (after, until) = (time.saturating_sub(lookback), time.saturating_add(lookback));
    let floats = part(&samples.floats, after, until);
    let histograms = part(&samples.histograms, after, until);
    if !floats.is_empty() && !histograms.is_empty() {
        annotations.mixed_floats_histograms(span, metric);
        return Point::None;
    }
    if histograms.is_empty() {
        let at = floats.partition_point(|(t, _)| *t < time);
        return match (at.checked_sub(1).map(|before| floats[before]), floats.get(at)) {
            (_, Some((t, value))) if *t == time => Point::Float(*value),
            (Some(before), Some(next)) => Point::Float(between(before, *next, time, false)),
            (Some((_, value)), None) => Point::Float(value),
            _ => Point::None,
        };
    }
    let at = histograms.partition_point(|(t, _)| *t < time);
    match (at.checked_sub(1).map(|before| &histograms[before]), histograms.get(at)) {
        (_, Some((t, own))) if *t == time => Point::Histogram(own.clone()),
        (Some(before), Some(next)) => {
            let counter = before.1.hint != ResetHint::Gauge || next.1.hint != ResetHint::Gauge;
            let outcome = if before.1.is_custom() == next.1.is_custom() {
                histogram_between((before, next), time, counter, &mut |how| annotations.reconciled(span, how))
            } else {
                Err(NoHistogram)
            };
            outcome.map_or_else(
                |NoHistogram| {
                    annotations.mixed_buckets(span, metric);
                    Point::None
                },
                Point::histogram,
            )
        }
        (Some((_, own)), None) => {
            let mut own = (**own).clone();
            own.hint = ResetHint::Unknown;
            Point::histogram(own)
        }
        _ => Point::None,
    }
}

fn part<T>(all: &[(i64, T)], after: i64, until: i64) -> &[(i64, T)] {
    let low = all.partition_point(|(t, _)| *t <= after);
    let high = all.partition_point(|(t, _)| *t <= until);
    &all[low..high.max(low)]
}
