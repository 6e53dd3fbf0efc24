//! What a range aggregation makes of log records: one number for each series and step.

use std::collections::HashMap;

use promql::Labels;

use crate::fields::Fields;
use crate::lengths::{parse_bytes, parse_duration};
use crate::logs::{Looked, exact_labels};
use crate::options::{Error, Options, Stats, of_source};
use crate::source::{LogSource, Order, Record, Select, Sink};
use crate::stages::Pipeline;
use crate::stages::filter::Labelled;
use crate::syntax::ast::{Conversion, Grouping, LogRange, MatchOp, RangeOp, Stage};
use crate::window;

/// The error of a label whose value is no number.
const FAILED: &str = "SampleExtractionErr";
/// What a series takes beside its cells and labels.
const SERIES_BYTES: usize = 256;

/// The steps of a query, in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Steps {
    pub(crate) start: i64,
    pub(crate) step: i64,
    pub(crate) count: usize,
}

/// A range aggregation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) op: RangeOp,
    pub(crate) parameter: Option<f64>,
    pub(crate) range: &'a LogRange,
    pub(crate) grouping: Option<&'a Grouping>,
}

/// A series: its labels, and its numbers by step.
pub(crate) type Series = (Labels, Vec<(usize, f64)>);

/// What a series has so far.
enum Cells {
    /// How much more there is from each step on: records, and bytes where these are asked for.
    Counts(Vec<i64>, Vec<i64>),
    /// Times and numbers.
    Samples(Vec<(i64, f64)>),
}

struct Gathering<'a> {
    job: Job<'a>,
    steps: Steps,
    pipeline: &'a Pipeline,
    filters: &'a [Labelled],
    options: &'a Options<'a>,
    places: HashMap<String, usize>,
    series: Vec<(Labels, Cells)>,
    key: String,
    passed: u64,
    /// Records are counted whatever their labels: what a parser could not read makes no difference.
    ignores_errors: bool,
    error: Option<Error>,
}

/// Whether records or bytes are counted; else there are samples.
fn counts(job: &Job<'_>) -> bool {
    job.range.unwrap.is_none()
}

/// Whether all records go into one series, and no stage looks at labels.
fn needs_no_labels(job: &Job<'_>) -> bool {
    let looks = |stage: &Stage| matches!(stage, Stage::Label(_) | Stage::LineFormat(_) | Stage::LabelFormat(_));
    counts(job)
        && job.grouping.is_some_and(|own| !own.without && own.labels.is_empty())
        && !job.range.logs.stages.iter().any(looks)
}

fn of_bytes(op: RangeOp) -> bool {
    matches!(op, RangeOp::Bytes | RangeOp::BytesRate)
}

impl Gathering<'_> {
    /// The first and the last step whose range holds a time.
    fn steps_of(&self, time: i64) -> Option<(usize, usize)> {
        let since_start = i128::from(time) + i128::from(self.job.range.offset_ns) - i128::from(self.steps.start);
        let step = i128::from(self.steps.step.max(1));
        let ceil = |value: i128| value.div_euclid(step) + i128::from(value.rem_euclid(step) != 0);
        let first = ceil(since_start).max(0);
        let last = (ceil(since_start + i128::from(self.job.range.range_ns)) - 1).min(self.steps.count as i128 - 1);
        if first > last {
            return None;
        }
        Some((usize::try_from(first).ok()?, usize::try_from(last).ok()?))
    }

    /// The number of a record; `None` where it has none.
    fn number(&self, fields: &mut Fields<'_>) -> Option<f64> {
        let Some(unwrap) = &self.job.range.unwrap else { return Some(1.0) };
        let value = fields.get(&unwrap.label)?;
        let number = match unwrap.conversion {
            Conversion::Number => value.parse::<f64>().ok(),
            Conversion::Bytes => parse_bytes(value).map(|bytes| bytes as f64),
            Conversion::Duration | Conversion::DurationSeconds => parse_duration(value).map(|ns| ns as f64 / 1e9),
        };
        if number.is_none() {
            let what = format!("{}: {value:?} is no number", unwrap.label);
            fields.fail(FAILED, what);
        }
        for filter in self.filters {
            if !filter.passes(fields) {
                return None;
            }
        }
        Some(number.unwrap_or(0.0))
    }

    /// The series of a record: all its labels, or those that it is grouped by.
    fn place(&mut self, fields: &Fields<'_>) -> Option<usize> {
        let unwrapped = self.job.range.unwrap.as_ref().map(|unwrap| unwrap.label.as_str());
        self.key.clear();
        let mut put = |name: &str, value: &str| {
            self.key.push_str(name);
            self.key.push('\u{1}');
            self.key.push_str(value);
            self.key.push('\u{2}');
        };
        match self.job.grouping {
            Some(Grouping { without: false, labels }) => {
                labels.iter().for_each(|name| put(name, fields.get(name).unwrap_or("")));
            }
            grouping => {
                let is_in = |name: &str| {
                    Some(name) != unwrapped && grouping.is_none_or(|own| own.labels.iter().all(|label| label != name))
                };
                let mut all: Vec<(&str, &str)> = fields.all().filter(|(name, _)| is_in(name)).collect();
                all.sort_unstable();
                all.into_iter().for_each(|(name, value)| put(name, value));
            }
        }
        if let Some(place) = self.places.get(&self.key) {
            return Some(*place);
        }
        if self.series.len() >= self.options.max_series {
            let most = self.options.max_series;
            let what = format!("maximum number of series ({most}) reached for a single query: group by fewer labels");
            self.error = Some(Error::TooMuch(what));
            return None;
        }
        let pairs = self.key.split('\u{2}').filter_map(|pair| pair.split_once('\u{1}'));
        let labels = Labels::new(pairs);
        let cells = self.steps.count + 1;
        let (cells, bytes) = if counts(&self.job) {
            let of_bytes = if of_bytes(self.job.op) { cells } else { 0 };
            (Cells::Counts(vec![0; cells], vec![0; of_bytes]), 8 * (cells + of_bytes))
        } else {
            (Cells::Samples(Vec::new()), 0)
        };
        (self.options.hold)(SERIES_BYTES + 3 * self.key.len() + bytes);
        self.series.push((labels, cells));
        self.places.insert(self.key.clone(), self.series.len() - 1);
        Some(self.series.len() - 1)
    }
}

impl Sink for Gathering<'_> {
    fn take(&mut self, record: &Record<'_>) -> bool {
        let Some((first, last)) = self.steps_of(record.time) else { return true };
        let mut fields = Fields::new(record.stream, record.metadata);
        let Some(line) = self.pipeline.run(record.line, record.time, &mut fields) else { return true };
        let Some(number) = self.number(&mut fields) else { return true };
        self.passed += 1;
        if let Some(error) = fields.error().filter(|_| !self.ignores_errors) {
            let series = Labels::new(fields.all());
            self.error = Some(Error::Execution(format!(
                "pipeline error: '{error}' for series: '{series}'. Use a label filter to intentionally skip this error, \
                 as in | __error__=\"\", after unwrap where there is one"
            )));
            return false;
        }
        let Some(place) = self.place(&fields) else { return false };
        let mut bytes = 0;
        match &mut self.series[place].1 {
            Cells::Counts(records, sizes) => {
                records[first] += 1;
                records[last + 1] -= 1;
                if let (Some(from), size) = (sizes.get_mut(first), line.len() as i64) {
                    *from += size;
                    sizes[last + 1] -= size;
                }
            }
            Cells::Samples(samples) => {
                let before = samples.capacity();
                samples.push((record.time, number));
                bytes = 16 * (samples.capacity() - before);
            }
        }
        bytes == 0 || (self.options.hold)(bytes)
    }

    fn is_settled(&self, _: i64) -> bool {
        false
    }
}

/// What a range aggregation makes of the records of its ranges.
pub(crate) fn evaluate(
    source: &dyn LogSource,
    job: Job<'_>,
    steps: Steps,
    options: &Options<'_>,
) -> Result<(Vec<Series>, Stats), Error> {
    let range = job.range;
    let pipeline = Pipeline::new(&range.logs.stages).map_err(Error::Execution)?;
    let after = range.unwrap.iter().flat_map(|unwrap| &unwrap.filters);
    let filters: Vec<Labelled> = after.map(Labelled::new).collect::<Result<_, _>>().map_err(Error::Execution)?;
    let looked = Looked::new();
    let mut gathering = Gathering {
        job,
        steps,
        pipeline: &pipeline,
        filters: &filters,
        options,
        places: HashMap::new(),
        series: Vec::new(),
        key: String::new(),
        passed: 0,
        ignores_errors: needs_no_labels(&job),
        error: None,
    };
    let last = steps.start.saturating_add(steps.step.saturating_mul(steps.count.saturating_sub(1) as i64));
    let first = steps.start.saturating_sub(range.offset_ns).saturating_sub(range.range_ns);
    let select = Select {
        matchers: &range.logs.matchers,
        from: first.saturating_add(1),
        to: last.saturating_sub(range.offset_ns).saturating_add(1),
        order: Order::Forward,
        exact: &exact_labels(&range.logs.stages),
        passes: &|line| looked.at(line, &pipeline),
    };
    source.scan(&select, &mut gathering).map_err(|error| of_source(error, options))?;
    if let Some(error) = (options.stop)().or(gathering.error) {
        return Err(error);
    }
    let stats = Stats { passed: gathering.passed, ..looked.stats() };
    let mut out: Vec<Series> =
        gathering.series.into_iter().map(|(labels, cells)| (labels, finish(&job, steps, cells))).collect();
    if job.op == RangeOp::Absent {
        out = absent(&job, steps, &out);
    }
    out.sort_by(|a, b| a.0.cmp(&b.0));
    Ok((out, stats))
}

/// The numbers of a series.
fn finish(job: &Job<'_>, steps: Steps, cells: Cells) -> Vec<(usize, f64)> {
    let seconds = job.range.range_ns as f64 / 1e9;
    match cells {
        Cells::Counts(records, sizes) => {
            let (mut count, mut size) = (0_i64, 0_i64);
            let mut out = Vec::new();
            for (step, more) in records.into_iter().take(steps.count).enumerate() {
                count += more;
                size += sizes.get(step).copied().unwrap_or(0);
                let value = match job.op {
                    RangeOp::Rate => count as f64 / seconds,
                    RangeOp::Bytes => size as f64,
                    RangeOp::BytesRate => size as f64 / seconds,
                    _ => count as f64,
                };
                if count > 0 {
                    out.push((step, value));
                }
            }
            out
        }
        Cells::Samples(mut samples) => {
            samples.sort_by_key(|(time, _)| *time);
            let (mut from, mut to) = (0, 0);
            let mut out = Vec::new();
            for step in 0..steps.count {
                let end = steps.start + steps.step * step as i64 - job.range.offset_ns;
                let begin = end - job.range.range_ns;
                while samples.get(to).is_some_and(|(time, _)| *time <= end) {
                    to += 1;
                }
                while from < to && samples[from].0 <= begin {
                    from += 1;
                }
                if from < to {
                    out.push((step, window::value(job.op, job.parameter, &samples[from..to], (begin, end))));
                }
            }
            out
        }
    }
}

/// 1 at each step at which there is no record; its labels are those that the selector says.
fn absent(job: &Job<'_>, steps: Steps, found: &[Series]) -> Vec<Series> {
    let mut present = vec![false; steps.count];
    found.iter().flat_map(|(_, numbers)| numbers).for_each(|(step, _)| present[*step] = true);
    let numbers: Vec<(usize, f64)> = (0..steps.count).filter(|step| !present[*step]).map(|step| (step, 1.0)).collect();
    let equal = job.range.logs.matchers.iter().filter(|matcher| matcher.op == MatchOp::Equal);
    let labels = Labels::new(equal.map(|matcher| (matcher.name.as_str(), matcher.value.as_str())));
    if numbers.is_empty() { Vec::new() } else { vec![(labels, numbers)] }
}
