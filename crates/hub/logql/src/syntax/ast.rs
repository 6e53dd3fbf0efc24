//! What a query says.

pub use promql::{MatchOp, Matcher};

/// A query.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// It asks for log records.
    Logs(LogExpr),
    /// It asks for numbers.
    Metric(MetricExpr),
}

/// A selector of streams and what becomes of their records.
#[derive(Debug, Clone, PartialEq)]
pub struct LogExpr {
    /// All have to be fulfilled by a stream's labels.
    pub matchers: Vec<Matcher>,
    /// What each record passes, one after the other.
    pub stages: Vec<Stage>,
}

/// A stage of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// `|= "text"`
    Line(LineFilter),
    /// `| json` with what is taken out; nothing: all of it.
    Json(Vec<Extraction>),
    /// `| logfmt`, with `--strict` and `--keep-empty`.
    Logfmt {
        /// A pair that cannot be read is an error.
        strict: bool,
        /// Keys without a value are kept.
        keep_empty: bool,
        /// What is taken out; nothing: all of it.
        fields: Vec<Extraction>,
    },
    /// `| regexp "(?P<name>..)"`
    Regexp(String),
    /// `| pattern "<name> .."`
    Pattern(String),
    /// `| unpack`
    Unpack,
    /// `| label = "value"`
    Label(LabelFilter),
    /// `| line_format "{{.label}}"`
    LineFormat(String),
    /// `| label_format a=b, c="{{.d}}"`
    LabelFormat(Vec<(String, LabelFormat)>),
    /// `| drop a, b="c"`
    Drop(Vec<Named>),
    /// `| keep a, b="c"`
    Keep(Vec<Named>),
    /// `| decolorize`
    Decolorize,
}

/// How a line is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineOp {
    /// `|=`
    Contains,
    /// `!=`
    ContainsNot,
    /// `|~`
    Matches,
    /// `!~`
    MatchesNot,
    /// `|>`
    Pattern,
    /// `!>`
    PatternNot,
}

/// A filter of lines: one of its values has to fit, or none of them where it denies.
#[derive(Debug, Clone, PartialEq)]
pub struct LineFilter {
    /// How.
    pub op: LineOp,
    /// What: texts, expressions, patterns, or networks.
    pub values: Vec<LineValue>,
}

/// What a line is looked at for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineValue {
    /// A text.
    Text(String),
    /// `ip("10.0.0.0/8")`
    Ip(String),
}

/// A label and where its value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extraction {
    /// The label.
    pub name: String,
    /// The key, or for JSON the path to the value.
    pub path: String,
}

/// A label by its name, or only where it has a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Named {
    /// Whatever its value.
    Name(String),
    /// Where its value fits.
    Matcher(Matcher),
}

/// What a label is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelFormat {
    /// Another label, which goes.
    Rename(String),
    /// What a template makes.
    Template(String),
}

/// How two numbers compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// `=` or `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
}

/// A filter of labels.
#[derive(Debug, Clone, PartialEq)]
pub enum LabelFilter {
    /// By text.
    Matcher(Matcher),
    /// By number.
    Number(String, Compare, f64),
    /// By duration, in nanoseconds.
    Duration(String, Compare, i64),
    /// By size in bytes, and how that was written.
    Bytes(String, Compare, u64, String),
    /// By network; `true`: not in it.
    Ip(String, bool, String),
    /// Both.
    And(Box<LabelFilter>, Box<LabelFilter>),
    /// One of both.
    Or(Box<LabelFilter>, Box<LabelFilter>),
}

/// How the value of a label becomes a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversion {
    /// It is one.
    Number,
    /// A size, in bytes.
    Bytes,
    /// A duration, in seconds.
    Duration,
    /// The same, by its other name.
    DurationSeconds,
}

/// A label that gives the numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Unwrap {
    /// The label.
    pub label: String,
    /// How it is read.
    pub conversion: Conversion,
    /// What the record still has to pass.
    pub filters: Vec<LabelFilter>,
}

/// The records of a stretch of time before each step.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRange {
    /// Which.
    pub logs: LogExpr,
    /// How long, in nanoseconds; more than 0.
    pub range_ns: i64,
    /// How far before the step it ends, in nanoseconds.
    pub offset_ns: i64,
    /// Where the numbers come from; else records or bytes are counted.
    pub unwrap: Option<Unwrap>,
}

/// What becomes of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are LogQL's names")]
pub enum RangeOp {
    Rate,
    RateCounter,
    Count,
    BytesRate,
    Bytes,
    Sum,
    Avg,
    Min,
    Max,
    Stddev,
    Stdvar,
    Quantile,
    First,
    Last,
    Absent,
}

/// By which labels series are put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grouping {
    /// By all but these.
    pub without: bool,
    /// The labels.
    pub labels: Vec<String>,
}

/// What becomes of series at one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are LogQL's names")]
pub enum AggregateOp {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    Sort,
    SortDesc,
}

/// How the series of two sides find each other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Matching {
    /// A comparison gives 0 or 1.
    pub return_bool: bool,
    /// `on (..)` or, with `true` in front, `ignoring (..)`.
    pub labels: Option<(bool, Vec<String>)>,
    /// `group_left (..)` or, with `true` in front, `group_right (..)`.
    pub group: Option<(bool, Vec<String>)>,
}

/// An expression of numbers.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricExpr {
    /// A number.
    Number(f64),
    /// `vector(1)`
    Vector(f64),
    /// `rate({..}[5m])`
    Range {
        /// What becomes of the range.
        op: RangeOp,
        /// The quantile.
        parameter: Option<f64>,
        /// The range.
        range: Box<LogRange>,
        /// By which labels.
        grouping: Option<Grouping>,
    },
    /// `sum by (a) (..)`
    Aggregate {
        /// What becomes of the series.
        op: AggregateOp,
        /// How many, of `topk` and `bottomk`.
        parameter: Option<u64>,
        /// Of what.
        inner: Box<MetricExpr>,
        /// By which labels.
        grouping: Option<Grouping>,
    },
    /// `a / b`
    Binary {
        /// The operator as it is written.
        op: &'static str,
        /// The left side.
        left: Box<MetricExpr>,
        /// The right side.
        right: Box<MetricExpr>,
        /// How series find each other.
        matching: Matching,
    },
    /// `label_replace(v, "dst", "$1", "src", "(.*)")`
    LabelReplace {
        /// Of what.
        inner: Box<MetricExpr>,
        /// Label that is set, replacement, label that is looked at, expression.
        texts: [String; 4],
    },
}
