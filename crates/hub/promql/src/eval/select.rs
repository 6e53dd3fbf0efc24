//! Selectors: series from the source, and what each has at a step.

use super::Evaluator;
use crate::STALE;
use crate::functions::extended;
use crate::histogram::{Histogram, ResetHint};
use crate::matcher::Matcher;
use crate::options::Error;
use crate::points::{Point, Result, Series, Steps, fault};
use crate::source::{Samples, Select, SourceSeries};
use crate::syntax::ast::{At, Length, VectorSelector};
use crate::syntax::lengths::resolve;
use std::sync::Arc;

/// Two cursors over a series, that only go forward.
struct Cursor<'a> {
    samples: &'a Samples,
    floats: usize,
    histograms: usize,
}

/// The last sample at a time.
pub(super) struct Found {
    pub(super) time: i64,
    pub(super) start: i64,
    pub(super) point: Point,
}

impl<'a> Cursor<'a> {
    fn new(samples: &'a Samples) -> Self {
        Self { samples, floats: 0, histograms: 0 }
    }

    /// The last sample not after a time and less than the lookback before it, unless the series has ended.
    fn at(&mut self, time: i64, lookback: i64) -> Option<Found> {
        let samples = self.samples;
        while samples.floats.get(self.floats).is_some_and(|(t, _)| *t <= time) {
            self.floats += 1;
        }
        while samples.histograms.get(self.histograms).is_some_and(|(t, _)| *t <= time) {
            self.histograms += 1;
        }
        let float = self.floats.checked_sub(1).map(|at| (at, samples.floats[at]));
        let histogram = self.histograms.checked_sub(1).map(|at| (at, &samples.histograms[at]));
        let recent = |t: i64| t > time.saturating_sub(lookback);
        let start = |starts: &[i64], at: usize| starts.get(at).copied().unwrap_or(0);
        match (float, histogram) {
            (float, Some((at, (t, histogram)))) if float.is_none_or(|(_, (f, _))| f < *t) => {
                (recent(*t) && !histogram.is_stale()).then(|| Found {
                    time: *t,
                    start: start(&samples.histogram_starts, at),
                    point: Point::Histogram(histogram.clone()),
                })
            }
            (Some((at, (t, value))), _) => (recent(t) && value.to_bits() != STALE).then(|| Found {
                time: t,
                start: start(&samples.float_starts, at),
                point: Point::Float(value),
            }),
            _ => None,
        }
    }
}

/// Where a selector looks: at a fixed time or at each step's, shifted.
#[derive(Clone, Copy)]
pub(super) struct Reference {
    pub(super) fixed: Option<i64>,
    pub(super) offset: i64,
}

impl Reference {
    pub(super) fn time(&self, steps: &Steps, at: usize) -> i64 {
        self.fixed.unwrap_or_else(|| steps.time(at)).saturating_sub(self.offset)
    }

    /// The first and last time looked at.
    pub(super) fn bounds(&self, steps: &Steps) -> (i64, i64) {
        (self.time(steps, 0), self.time(steps, steps.count.saturating_sub(1)))
    }
}

/// Notes on each histogram whether it was reset since the one before, where it does not say so itself.
fn find_resets(samples: &mut Samples) {
    let mut before: Option<Arc<Histogram>> = None;
    for (_, own) in &mut samples.histograms {
        let stored = own.clone();
        if let Some(before) = before.filter(|_| own.hint == ResetHint::Unknown && !own.is_stale()) {
            let hint = if own.reset_since(&before) { ResetHint::Reset } else { ResetHint::NotReset };
            *own = Arc::new(Histogram { hint, ..(**own).clone() });
        }
        before = Some(stored);
    }
}

impl Evaluator<'_> {
    /// The time of an `@` modifier.
    pub(super) fn fixed(&self, at: Option<At>) -> Option<i64> {
        at.map(|at| match at {
            At::Time(ms) => ms,
            At::Start => self.query.0,
            At::End => self.query.1,
        })
    }

    /// The milliseconds of a length.
    pub(super) fn length(&self, length: &Length, negative: bool) -> Result<i64> {
        let (start, end, step) = self.query;
        resolve(length, step, end.saturating_sub(start), negative).or_else(fault)
    }

    pub(super) fn reference(&self, at: Option<At>, offset: &Length) -> Result<Reference> {
        Ok(Reference { fixed: self.fixed(at), offset: self.length(offset, true)? })
    }

    /// Series from the source, counted.
    pub(super) fn fetch(
        &mut self,
        matchers: &[Matcher],
        (start, end): (i64, i64),
        (step, range): (i64, i64),
        function: &str,
    ) -> Result<Vec<SourceSeries>> {
        let select = Select {
            matchers,
            start,
            end,
            step,
            range,
            function,
            series_left: self.options.max_series - self.series.min(self.options.max_series),
            samples_left: self.options.max_samples - self.samples.min(self.options.max_samples),
        };
        let mut found = self.source.select(&select)?;
        if self.find_resets {
            found.iter_mut().for_each(|series| find_resets(&mut series.samples));
        }
        self.series += found.len();
        if self.series > self.options.max_series {
            let most = self.options.max_series;
            return Err(Error::TooMuch(format!("the query selects more than {most} series: name more labels")));
        }
        for series in &found {
            self.samples = self.samples.saturating_add(series.samples.weight());
        }
        if self.samples > self.options.max_samples {
            let most = self.options.max_samples;
            return Err(Error::TooMuch(format!(
                "query processing would load too many samples into memory in query execution: more than {most}"
            )));
        }
        Ok(found)
    }

    /// What each series has at each step.
    pub(super) fn instant_selector(
        &mut self,
        selector: &VectorSelector,
        steps: &Steps,
        function: &str,
    ) -> Result<Vec<Series>> {
        let reference = self.reference(selector.at, &selector.offset)?;
        let (first, last) = reference.bounds(steps);
        let lookback = self.options.lookback;
        let after = if selector.smoothed { lookback } else { 0 };
        let times = (first.saturating_sub(lookback - 1), last.saturating_add(after));
        let found = self.fetch(&selector.matchers, times, (steps.step, 0), function)?;
        self.charge_cells(found.len(), steps)?;
        let mut out = Vec::with_capacity(found.len());
        for SourceSeries { labels, samples } in found {
            self.go_on()?;
            let mut points = Vec::with_capacity(steps.count);
            if selector.smoothed {
                let samples = samples.without_markers();
                for at in 0..steps.count {
                    let time = reference.time(steps, at);
                    let name = labels.name();
                    points.push(extended::smoothed(
                        &samples,
                        time,
                        lookback,
                        name,
                        selector.span,
                        &mut self.annotations,
                    ));
                }
            } else {
                let mut cursor = Cursor::new(&samples);
                for at in 0..steps.count {
                    let found = cursor.at(reference.time(steps, at), lookback);
                    points.push(found.map_or(Point::None, |found| found.point));
                }
            }
            if points.iter().any(Point::is_some) {
                out.push(Series { labels, drop_name: false, points });
            }
        }
        Ok(out)
    }

    /// The times of the samples that a selector finds, or where `starts`, the times at which their counting began.
    pub(super) fn sample_times(
        &mut self,
        selector: &VectorSelector,
        steps: &Steps,
        starts: bool,
    ) -> Result<Vec<Series>> {
        let reference = self.reference(selector.at, &selector.offset)?;
        let (first, last) = reference.bounds(steps);
        let lookback = self.options.lookback;
        let times = (first.saturating_sub(lookback - 1), last);
        let found = self.fetch(&selector.matchers, times, (steps.step, 0), "timestamp")?;
        self.charge_cells(found.len(), steps)?;
        let mut out = Vec::with_capacity(found.len());
        for SourceSeries { labels, samples } in found {
            let mut cursor = Cursor::new(&samples);
            let points: Vec<Point> = (0..steps.count)
                .map(|at| {
                    let found = cursor.at(reference.time(steps, at), lookback);
                    let time = |found: Found| if starts { found.start } else { found.time };
                    found.map_or(Point::None, |found| Point::Float(time(found) as f64 / 1000.0))
                })
                .collect();
            if points.iter().any(Point::is_some) {
                let mut series = Series { labels, drop_name: false, points };
                self.drop_name(&mut series);
                out.push(series);
            }
        }
        self.merge_same(out)
    }

    /// What series of an info metric have: the time of the sample that counts at each step, in milliseconds.
    pub(super) fn sample_origins(
        &mut self,
        matchers: &[Matcher],
        reference: Reference,
        steps: &Steps,
    ) -> Result<Vec<Series>> {
        let (first, last) = reference.bounds(steps);
        let lookback = self.options.lookback;
        let found = self.fetch(matchers, (first.saturating_sub(lookback - 1), last), (steps.step, 0), "info")?;
        self.charge_cells(found.len(), steps)?;
        let mut out = Vec::with_capacity(found.len());
        for SourceSeries { labels, samples } in found {
            let mut cursor = Cursor::new(&samples);
            let mut points = Vec::with_capacity(steps.count);
            for at in 0..steps.count {
                points.push(match cursor.at(reference.time(steps, at), lookback) {
                    None => Point::None,
                    Some(Found { point: Point::Histogram(_), .. }) => {
                        return fault(format!("this should be an info metric, with float samples: {labels}"));
                    }
                    Some(found) => Point::Float(found.time as f64),
                });
            }
            if points.iter().any(Point::is_some) {
                out.push(Series { labels, drop_name: false, points });
            }
        }
        Ok(out)
    }
}
