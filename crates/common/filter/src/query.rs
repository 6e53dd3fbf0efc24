//! What a query says, once it is read and checked.

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

/// A field of a record. The short names are the language's own; anything else is an attribute.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Field {
    /// `signal`: `span`, `log` or `metric`.
    Signal,
    /// `service`: `service.name` of the resource.
    Service,
    /// `level`: a log record's `SeverityNumber`, 1 to 24.
    Level,
    /// `dur`: a span's length, nanoseconds.
    Duration,
    /// `trace`: the trace id, lower-case hex.
    Trace,
    /// `span`: the span id, lower-case hex.
    Span,
    /// `parent`: the parent's span id, lower-case hex.
    Parent,
    /// `host`: `host.name` of the resource.
    Host,
    /// `device`: the device that it came from.
    Device,
    /// `status`: a span's status, `unset`, `ok` or `error`.
    Status,
    /// `body`: a log record's body.
    Body,
    /// `name`: of a span, a metric or an event.
    Name,
    /// `kind`: a span's kind (`server`, `client`, ...) or a metric's (`gauge`, `sum`, ...).
    Kind,
    /// `value`: a point's number.
    Value,
    /// Any attribute, by its key.
    Attribute(String),
}

impl Field {
    /// The short names, with their fields.
    pub(crate) const SHORT: [(&'static str, Field); 14] = [
        ("signal", Field::Signal),
        ("service", Field::Service),
        ("level", Field::Level),
        ("dur", Field::Duration),
        ("trace", Field::Trace),
        ("span", Field::Span),
        ("parent", Field::Parent),
        ("host", Field::Host),
        ("device", Field::Device),
        ("status", Field::Status),
        ("body", Field::Body),
        ("name", Field::Name),
        ("kind", Field::Kind),
        ("value", Field::Value),
    ];

    /// Other names of some.
    const ALSO: [(&'static str, &'static str); 6] = [
        ("duration", "dur"),
        ("severity", "level"),
        ("trace_id", "trace"),
        ("span_id", "span"),
        ("message", "body"),
        ("msg", "body"),
    ];

    /// The field of this name.
    pub fn named(name: &str) -> Self {
        let also = Self::ALSO.iter().find(|(also, _)| *also == name).map_or(name, |(_, short)| short);
        let short = Self::SHORT.into_iter().find(|(short, _)| *short == also).map(|(_, field)| field);
        short.unwrap_or_else(|| Field::Attribute(name.to_owned()))
    }

    /// The name of the language's own that this one is most like, when two letters or fewer differ.
    pub fn like(name: &str) -> Option<&'static str> {
        let names = Self::SHORT.iter().map(|(short, _)| *short).chain(Self::ALSO.iter().map(|(also, _)| *also));
        let near = names.map(|known| (distance(name, known), known)).min_by_key(|(distance, _)| *distance);
        near.filter(|(distance, known)| *distance <= 2 && *distance < known.len().min(name.len()) / 2 + 1)
            .map(|(_, known)| known)
    }

    /// Its name in the language.
    pub fn name(&self) -> &str {
        match self {
            Field::Attribute(key) => key,
            field => Self::SHORT.iter().find(|(_, short)| short == field).map_or("", |(name, _)| name),
        }
    }
}

/// How many letters to add, to leave out or to change make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (at, left) in a.chars().enumerate() {
        let mut before = row[0];
        row[0] = at + 1;
        for (place, right) in b.iter().enumerate() {
            let changed = before + usize::from(left != *right);
            before = row[place + 1];
            row[place + 1] = changed.min(row[place] + 1).min(before + 1);
        }
    }
    row[b.len()]
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
