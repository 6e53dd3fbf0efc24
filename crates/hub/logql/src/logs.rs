//! Queries for log records.

use std::cell::Cell;
use std::collections::BTreeMap;

use promql::Labels;

use crate::fields::Fields;
use crate::options::{Error, Options, Stats, of_source};
use crate::source::{LogSource, Order, Record, Select, Sink};
use crate::stages::Pipeline;
use crate::stages::filter::exact;
use crate::syntax::ast::{LogExpr, Stage};

/// Names and values of labels.
pub type Pairs = Vec<(String, String)>;

/// A record that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Nanoseconds since the epoch.
    pub time: i64,
    /// The line, as stages left it.
    pub line: String,
    /// Labels of its stream.
    pub stream: Pairs,
    /// Its structured metadata.
    pub metadata: Pairs,
    /// Labels that stages made.
    pub made: Pairs,
}

/// The answer to a query for log records.
#[derive(Debug, Clone, Default)]
pub struct LogAnswer {
    /// In the order that was asked for.
    pub entries: Vec<Entry>,
    /// What was looked at.
    pub stats: Stats,
    /// Whether there may be more than the limit.
    pub is_full: bool,
}

impl LogAnswer {
    /// The entries by their labels: those of their streams alone, or with all others.
    #[must_use]
    pub fn by_stream(self, stream_only: bool) -> BTreeMap<Labels, Vec<Entry>> {
        let mut out: BTreeMap<Labels, Vec<Entry>> = BTreeMap::new();
        for entry in self.entries {
            let rest = entry.metadata.iter().chain(&entry.made).filter(|_| !stream_only);
            let pairs = entry.stream.iter().chain(rest).map(|(name, value)| (name.as_str(), value.as_str()));
            out.entry(Labels::new(pairs)).or_default().push(entry);
        }
        out
    }
}

/// Which log records, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogQuery {
    /// The earliest time wanted.
    pub from: i64,
    /// The first time that is not wanted any more.
    pub to: i64,
    /// Which come first.
    pub order: Order,
    /// At most so many.
    pub limit: usize,
}

/// What `select` may say of labels that every record has to have: filters before a stage that makes labels.
pub(crate) fn exact_labels(stages: &[Stage]) -> Vec<(&str, &str)> {
    let mut out = Vec::new();
    for stage in stages.iter().take_while(|stage| matches!(stage, Stage::Line(_) | Stage::Label(_))) {
        if let Stage::Label(filter) = stage {
            exact(filter, &mut out);
        }
    }
    out
}

/// Counts what is looked at.
pub(crate) struct Looked(Cell<Stats>);

impl Looked {
    pub(crate) fn new() -> Self {
        Self(Cell::default())
    }

    /// Counts a line; whether it passes the first filters.
    pub(crate) fn at(&self, line: &str, pipeline: &Pipeline) -> bool {
        let mut stats = self.0.get();
        stats.lines += 1;
        stats.bytes += line.len() as u64;
        self.0.set(stats);
        pipeline.passes_first(line)
    }

    pub(crate) fn stats(&self) -> Stats {
        self.0.get()
    }
}

struct Newest<'a> {
    pipeline: &'a Pipeline,
    query: LogQuery,
    options: &'a Options<'a>,
    found: BTreeMap<(i64, u64, u32), Entry>,
    passed: u64,
}

fn pairs<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> Pairs {
    labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn bytes_of(entry: &Entry) -> usize {
    let text = |pairs: &Pairs| pairs.iter().map(|(name, value)| name.len() + value.len() + 64).sum::<usize>();
    size_of::<Entry>() + 64 + entry.line.len() + text(&entry.stream) + text(&entry.metadata) + text(&entry.made)
}

impl Newest<'_> {
    /// The one that goes first when there are too many.
    fn last(&self) -> Option<(i64, u64, u32)> {
        let last = match self.query.order {
            Order::Forward => self.found.last_key_value(),
            Order::Backward => self.found.first_key_value(),
        };
        last.map(|(key, _)| *key)
    }

    fn is_beyond(&self, key: (i64, u64, u32)) -> bool {
        self.found.len() >= self.query.limit
            && self.last().is_none_or(|last| match self.query.order {
                Order::Forward => key > last,
                Order::Backward => key < last,
            })
    }
}

impl Sink for Newest<'_> {
    fn take(&mut self, record: &Record<'_>) -> bool {
        let key = (record.time, record.place.0, record.place.1);
        if self.is_beyond(key) {
            return true;
        }
        let mut fields = Fields::new(record.stream, record.metadata);
        let Some(line) = self.pipeline.run(record.line, record.time, &mut fields) else { return true };
        self.passed += 1;
        let entry = Entry {
            time: record.time,
            line: line.into_owned(),
            stream: pairs(fields.stream()),
            metadata: pairs(fields.metadata()),
            made: pairs(fields.made()),
        };
        // What makes room for another one counts on: the bound is on what comes, at most some times what stays.
        let goes_on = (self.options.hold)(bytes_of(&entry) / if self.found.len() < self.query.limit { 1 } else { 8 });
        self.found.insert(key, entry);
        if self.found.len() > self.query.limit {
            match self.query.order {
                Order::Forward => drop(self.found.pop_last()),
                Order::Backward => drop(self.found.pop_first()),
            }
        }
        goes_on
    }

    fn is_settled(&self, time: i64) -> bool {
        self.found.len() >= self.query.limit
            && self.last().is_none_or(|(last, ..)| match self.query.order {
                Order::Forward => time > last,
                Order::Backward => time < last,
            })
    }
}

/// Finds log records.
///
/// # Errors
/// The source cannot give them, or the query was stopped.
pub fn evaluate_logs(
    source: &dyn LogSource,
    expr: &LogExpr,
    query: LogQuery,
    options: &Options<'_>,
) -> Result<LogAnswer, Error> {
    let pipeline = Pipeline::new(&expr.stages).map_err(Error::Execution)?;
    let looked = Looked::new();
    let mut newest = Newest { pipeline: &pipeline, query, options, found: BTreeMap::new(), passed: 0 };
    let select = Select {
        matchers: &expr.matchers,
        from: query.from,
        to: query.to,
        order: query.order,
        exact: &exact_labels(&expr.stages),
        passes: &|line| looked.at(line, &pipeline),
    };
    source.scan(&select, &mut newest).map_err(|error| of_source(error, options))?;
    if let Some(error) = (options.stop)() {
        return Err(error);
    }
    let stats = Stats { passed: newest.passed, ..looked.stats() };
    let mut entries: Vec<Entry> = newest.found.into_values().collect();
    if query.order == Order::Backward {
        entries.reverse();
    }
    Ok(LogAnswer { is_full: entries.len() >= query.limit, entries, stats })
}
