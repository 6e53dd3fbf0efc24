//! Queries for numbers. What ranges make of records becomes series; the rest of a query is PromQL, which the crate `promql` evaluates.

use std::fmt::Write;

use promql::{Matcher, Samples, SeriesSource, SourceError, SourceSeries, Value, quote};

use crate::options::{Error, Options, Query, Stats};
use crate::range::{self, Job, Series, Steps};
use crate::source::LogSource;
use crate::syntax::ast::{AggregateOp, Grouping, MetricExpr, RangeOp};

/// The label by which PromQL's selectors name ranges.
const RANGE: &str = "__range__";
const MS: i64 = 1_000_000;

/// The answer to a query for numbers.
#[derive(Debug, Clone)]
pub struct MetricAnswer {
    /// Times are milliseconds since the epoch.
    pub value: Value,
    /// What was looked at.
    pub stats: Stats,
}

/// Series that are there already.
struct Made {
    ranges: Vec<Vec<Series>>,
    start_ms: i64,
    step_ms: i64,
}

impl SeriesSource for Made {
    fn select(&self, select: &promql::Select<'_>) -> Result<Vec<SourceSeries>, SourceError> {
        let named = |matcher: &&Matcher| matcher.name == RANGE;
        let place = select.matchers.iter().find(named).and_then(|matcher| matcher.value.parse::<usize>().ok());
        let series = place.and_then(|place| self.ranges.get(place)).into_iter().flatten();
        let samples = |numbers: &[(usize, f64)]| {
            let floats = numbers.iter().map(|(step, value)| (self.start_ms + self.step_ms * *step as i64, *value));
            Samples { floats: floats.collect(), ..Samples::default() }
        };
        Ok(series.map(|(labels, numbers)| SourceSeries { labels: labels.clone(), samples: samples(numbers) }).collect())
    }
}

/// Writes a query as PromQL; ranges become selectors of their places.
struct Lowering<'a> {
    text: String,
    jobs: Vec<Job<'a>>,
}

fn names(out: &mut String, labels: &[String]) {
    out.push('(');
    for (place, label) in labels.iter().enumerate() {
        out.push_str(if place > 0 { ", " } else { "" });
        out.push_str(label);
    }
    out.push(')');
}

fn grouping(out: &mut String, own: &Grouping) {
    out.push_str(if own.without { " without " } else { " by " });
    names(out, &own.labels);
    out.push(' ');
}

/// Whether the aggregation of all series of a range is the same as that of series which were put together before.
fn goes_down(op: AggregateOp, range: RangeOp) -> bool {
    match op {
        AggregateOp::Sum => {
            matches!(range, RangeOp::Rate | RangeOp::Count | RangeOp::BytesRate | RangeOp::Bytes | RangeOp::Sum)
        }
        AggregateOp::Min => range == RangeOp::Min,
        AggregateOp::Max => range == RangeOp::Max,
        _ => false,
    }
}

/// All series together.
static ALL: Grouping = Grouping { without: false, labels: Vec::new() };

impl<'a> Lowering<'a> {
    // Writing into a String cannot fail.
    fn put(&mut self, expr: &'a MetricExpr) {
        match expr {
            MetricExpr::Number(value) => drop(write!(self.text, "({value:?})")),
            MetricExpr::Vector(value) => drop(write!(self.text, "vector({value:?})")),
            MetricExpr::Range { op, parameter, range, grouping } => {
                self.put_job(Job { op: *op, parameter: *parameter, range, grouping: grouping.as_ref() });
            }
            MetricExpr::Aggregate { op, parameter, inner, grouping: by } => {
                self.text.push_str(match op {
                    AggregateOp::Sum => "sum",
                    AggregateOp::Avg => "avg",
                    AggregateOp::Min => "min",
                    AggregateOp::Max => "max",
                    AggregateOp::Count => "count",
                    AggregateOp::Stddev => "stddev",
                    AggregateOp::Stdvar => "stdvar",
                    AggregateOp::Topk => "topk",
                    AggregateOp::Bottomk => "bottomk",
                    AggregateOp::Sort => "sort",
                    AggregateOp::SortDesc => "sort_desc",
                });
                if let Some(by) = by {
                    grouping(&mut self.text, by);
                }
                self.text.push('(');
                if let Some(parameter) = parameter {
                    let _ = write!(self.text, "{parameter}, ");
                }
                match &**inner {
                    MetricExpr::Range { op: inner, parameter, range, grouping: None } if goes_down(*op, *inner) => {
                        let grouping = Some(by.as_ref().unwrap_or(&ALL));
                        self.put_job(Job { op: *inner, parameter: *parameter, range, grouping });
                    }
                    other => self.put(other),
                }
                self.text.push(')');
            }
            MetricExpr::Binary { op, left, right, matching } => {
                self.text.push('(');
                self.put(left);
                let _ = write!(self.text, " {op}{matching} ");
                self.put(right);
                self.text.push(')');
            }
            MetricExpr::LabelReplace { inner, texts } => {
                self.text.push_str("label_replace(");
                self.put(inner);
                for text in texts {
                    let _ = write!(self.text, ", {}", quote(text));
                }
                self.text.push(')');
            }
        }
    }

    fn put_job(&mut self, job: Job<'a>) {
        let _ = write!(self.text, "{{{RANGE}=\"{}\"}}", self.jobs.len());
        self.jobs.push(job);
    }
}

/// Evaluates a query for numbers.
///
/// # Errors
/// It cannot be evaluated, would take more than it may, or was stopped.
pub fn evaluate_metric(
    source: &dyn LogSource,
    expr: &MetricExpr,
    query: Query,
    options: &Options<'_>,
) -> Result<MetricAnswer, Error> {
    let (start_ms, end_ms, step_ms) = match query {
        Query::Instant(time) => (time.div_euclid(MS), time.div_euclid(MS), 1),
        Query::Range { start, end, step } => (start.div_euclid(MS), end.div_euclid(MS), (step / MS).max(1)),
    };
    let count = usize::try_from((end_ms - start_ms) / step_ms + 1).unwrap_or(0);
    if count > options.max_steps {
        let most = options.max_steps;
        return Err(Error::TooMuch(format!(
            "{count} steps are more than {most}: ask for a longer step or a shorter time"
        )));
    }
    let steps = Steps { start: start_ms.saturating_mul(MS), step: step_ms * MS, count };
    let mut lowering = Lowering { text: String::new(), jobs: Vec::new() };
    lowering.put(expr);
    let mut made = Made { ranges: Vec::new(), start_ms, step_ms };
    let mut stats = Stats::default();
    for job in &lowering.jobs {
        let (series, own) = range::evaluate(source, *job, steps, options)?;
        stats.lines += own.lines;
        stats.bytes += own.bytes;
        stats.passed += own.passed;
        made.ranges.push(series);
    }
    let expr = promql::parse(&lowering.text).map_err(|error| Error::Execution(error.to_string()))?;
    let query = match query {
        Query::Instant(_) => promql::Query::Instant(start_ms),
        Query::Range { .. } => promql::Query::Range { start: start_ms, end: end_ms, step: step_ms },
    };
    // A sample counts at its own step alone.
    let own =
        promql::Options { lookback: 1, max_cells: options.max_cells, stop: options.stop, ..promql::Options::default() };
    let answer = promql::evaluate(&made, &expr, query, &own)?;
    Ok(MetricAnswer { value: answer.value, stats })
}
