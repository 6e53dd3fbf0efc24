//! What a query says, once it is read and checked.

mod eval;

use crate::field::Field;

/// A filter, the time range that it gives, and what is made of the records.
#[derive(Debug, Clone)]
pub struct Query {
    /// Which records are meant.
    pub filter: Filter,
    /// From which time, where the query says so (`since`, `until`, `last`).
    pub range: Range,
    /// What is made of them, in order.
    pub pipes: Vec<Pipe>,
}

/// A time range, Unix nanoseconds: from `since` (inclusive) to `until` (exclusive).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Range {
    /// The beginning, where one is given.
    pub since_ns: Option<u64>,
    /// The end, where one is given.
    pub until_ns: Option<u64>,
}

impl Range {
    /// Whether a moment lies in it.
    pub fn contains(&self, time_ns: u64) -> bool {
        self.since_ns.is_none_or(|since| time_ns >= since) && self.until_ns.is_none_or(|until| time_ns < until)
    }

    /// Whether anything between two moments (inclusive) may lie in it.
    pub fn touches(&self, first_ns: u64, last_ns: u64) -> bool {
        self.since_ns.is_none_or(|since| last_ns >= since) && self.until_ns.is_none_or(|until| first_ns < until)
    }
}

/// Which records are meant.
#[derive(Debug, Clone)]
pub enum Filter {
    /// All of these; none: every record.
    And(Vec<Filter>),
    /// Any of these.
    Or(Vec<Filter>),
    /// Not this.
    Not(Box<Filter>),
    /// The body (a span's or metric's name) holds this text, whatever its case. Kept in lower case.
    Contains(String),
    /// The record has this field.
    Exists(Field),
    /// A field's value passes a test. A record without the field never does.
    Field(Field, Test),
}

/// A test of a field's value.
#[derive(Debug, Clone)]
pub enum Test {
    /// Equal to a text; numbers and truth values are compared as such, where the text spells one.
    Equals(String),
    /// Fits a pattern with `*` (any characters) and `?` (one character).
    Glob(String),
    /// Fits a regular expression somewhere.
    Matches(regex_lite::Regex),
    /// A number that compares so; durations in nanoseconds, sizes in bytes.
    Number(Comparison, f64),
    /// A text that compares so, by its bytes (versions, dates).
    Text(Comparison, String),
}

/// How two values compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// The same.
    Equal,
    /// Smaller.
    Less,
    /// Smaller or the same.
    LessOrEqual,
    /// Greater.
    Greater,
    /// Greater or the same.
    GreaterOrEqual,
}

/// One step that makes something of the records.
#[derive(Debug, Clone, PartialEq)]
pub enum Pipe {
    /// One row for each different combination of `by`, with aggregates.
    Stats {
        /// At least one.
        aggregates: Vec<Aggregate>,
        /// Fields of the groups; none: one row for all.
        by: Vec<Field>,
    },
    /// So many rows with the greatest value of a column, greatest first.
    Top {
        /// How many.
        count: usize,
        /// Which column; `None`: the last one.
        by: Option<String>,
    },
    /// Orders by a field or column.
    Sort {
        /// Which.
        by: String,
        /// Greatest first.
        descending: bool,
    },
    /// The first so many.
    Limit(usize),
    /// Shows only these.
    Fields(Vec<Field>),
}

/// One figure of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// What is reckoned.
    pub function: Function,
    /// Of which field; `None` for `count` and `rate`.
    pub field: Option<Field>,
}

/// What is reckoned of the values of a group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Function {
    /// How many records.
    Count,
    /// Records per second of the time range.
    Rate,
    /// The sum of the numbers.
    Sum,
    /// Their mean.
    Avg,
    /// The smallest.
    Min,
    /// The greatest.
    Max,
    /// The quantile with this many hundredths, within 1 % of the true value.
    Percentile(u8),
}
