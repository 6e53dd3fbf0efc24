//! The tree of a query.

use crate::matcher::Matcher;
use crate::syntax::functions::Function;

pub use crate::syntax::types::ValueType;

/// Where a part of a query stands, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

/// A length of time: known, or reckoned from the query's own step and range.
#[derive(Clone, Debug, PartialEq)]
pub enum Length {
    /// Milliseconds.
    Millis(i64),
    /// An expression, in seconds.
    Expr(DurationExpr, Span),
}

impl Length {
    /// Nothing: the default of an offset.
    pub const ZERO: Length = Length::Millis(0);
}

/// An expression over durations, in seconds.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationExpr {
    /// A number of seconds; true where it was written as a duration.
    Number(f64, bool),
    /// `step()`
    Step,
    /// `range()`
    Range,
    /// `-x`
    Negative(Box<DurationExpr>),
    /// `(x)`
    Paren(Box<DurationExpr>),
    /// `x + y` and the like.
    Binary(BinaryOp, Box<(DurationExpr, DurationExpr)>),
    /// `min_of(x, y)`, or where true `max_of`.
    Extreme(bool, Box<(DurationExpr, DurationExpr)>),
}

/// The time of an `@` modifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Milliseconds since the epoch.
    Time(i64),
    /// `start()`
    Start,
    /// `end()`
    End,
}

/// A selector of series.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSelector {
    /// The metric's name where it stands before the braces.
    pub name: Option<String>,
    /// All conditions, that of the name too.
    pub matchers: Vec<Matcher>,
    /// `offset`
    pub offset: Length,
    /// `@`
    pub at: Option<At>,
    /// `anchored`
    pub anchored: bool,
    /// `smoothed`
    pub smoothed: bool,
    /// Where it stands.
    pub span: Span,
}

/// `selector[range]`.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSelector {
    /// The series.
    pub selector: VectorSelector,
    /// How far back.
    pub range: Length,
    /// Where it stands.
    pub span: Span,
}

/// `expression[range:step]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    /// What is evaluated.
    pub expr: Expr,
    /// How far back.
    pub range: Length,
    /// The resolution; the default where there is none.
    pub step: Option<Length>,
    /// `offset`
    pub offset: Length,
    /// `@`
    pub at: Option<At>,
    /// Where it stands.
    pub span: Span,
}

/// A function's call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// What is called.
    pub function: &'static Function,
    /// With what.
    pub args: Vec<Expr>,
    /// Where it stands.
    pub span: Span,
}

/// An operator over groups of series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Their names are PromQL's.
pub enum AggregateOp {
    Avg,
    Bottomk,
    Count,
    CountValues,
    Group,
    Limitk,
    LimitRatio,
    Max,
    Min,
    Quantile,
    Stddev,
    Stdvar,
    Sum,
    Topk,
}

impl AggregateOp {
    /// Its name, and with it whether it takes a parameter.
    const ALL: [(Self, &'static str, bool); 14] = [
        (Self::Avg, "avg", false),
        (Self::Bottomk, "bottomk", true),
        (Self::Count, "count", false),
        (Self::CountValues, "count_values", true),
        (Self::Group, "group", false),
        (Self::Limitk, "limitk", true),
        (Self::LimitRatio, "limit_ratio", true),
        (Self::Max, "max", false),
        (Self::Min, "min", false),
        (Self::Quantile, "quantile", true),
        (Self::Stddev, "stddev", false),
        (Self::Stdvar, "stdvar", false),
        (Self::Sum, "sum", false),
        (Self::Topk, "topk", true),
    ];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, own, _)| own.eq_ignore_ascii_case(name)).map(|(op, ..)| *op)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(op, ..)| *op == self).map_or("", |(_, name, _)| name)
    }

    pub(crate) fn has_param(self) -> bool {
        Self::ALL.iter().any(|(op, _, param)| *op == self && *param)
    }
}

/// An aggregation.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// The operator.
    pub op: AggregateOp,
    /// What is aggregated.
    pub expr: Expr,
    /// `k`, the quantile, the label's name.
    pub param: Option<Expr>,
    /// The labels of `by` or `without`.
    pub grouping: Vec<String>,
    /// Whether they are those of `without`.
    pub without: bool,
    /// Where it stands.
    pub span: Span,
}

/// An operator between two expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // They are PromQL's.
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterEqual,
    LessEqual,
    And,
    Or,
    Unless,
    /// `</`: what of a histogram is below.
    TrimUpper,
    /// `>/`: what of a histogram is above.
    TrimLower,
}

impl BinaryOp {
    /// As it is written.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Atan2 => "atan2",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::Less => "<",
            Self::GreaterEqual => ">=",
            Self::LessEqual => "<=",
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
            Self::TrimUpper => "</",
            Self::TrimLower => ">/",
        }
    }

    /// Whether it compares.
    #[must_use]
    pub fn compares(self) -> bool {
        use BinaryOp as O;
        matches!(self, O::Equal | O::NotEqual | O::Greater | O::Less | O::GreaterEqual | O::LessEqual)
    }

    /// Whether it is `and`, `or` or `unless`.
    #[must_use]
    pub fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }

    /// Whether what comes out is not the metric any more.
    pub(crate) fn changes_metric(self) -> bool {
        use BinaryOp as O;
        matches!(self, O::Add | O::Sub | O::Mul | O::Div | O::Mod | O::Pow | O::Atan2)
    }
}

/// How many series of a side one of the other may match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Their names say it.
pub enum Cardinality {
    OneToOne,
    /// `group_left`
    ManyToOne,
    /// `group_right`
    OneToMany,
    /// Set operators.
    ManyToMany,
}

/// How series of two sides find each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Matching {
    /// One to one, or grouped.
    pub cardinality: Cardinality,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// Whether they are those of `on`.
    pub on: bool,
    /// The labels that `group_left` and `group_right` take over.
    pub include: Vec<String>,
    /// The value of a series that the left side lacks.
    pub fill_left: Option<f64>,
    /// The value of a series that the right side lacks.
    pub fill_right: Option<f64>,
}

/// Two expressions and what is between them.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// The left side.
    pub lhs: Expr,
    /// The right side.
    pub rhs: Expr,
    /// How series match, where both sides are vectors.
    pub matching: Option<Matching>,
    /// `bool`
    pub return_bool: bool,
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// A number; true where it was written as a duration.
    Number(f64, bool, Span),
    /// A text.
    String(String, Span),
    /// Series at a time.
    Vector(VectorSelector),
    /// Series over a time.
    Matrix(MatrixSelector),
    /// An expression over a time.
    Subquery(Box<Subquery>),
    /// A function.
    Call(Call),
    /// An aggregation.
    Aggregate(Box<Aggregate>),
    /// An operator between two.
    Binary(Box<Binary>),
    /// `-x`, or where false `+x`.
    Unary(bool, Box<Expr>, Span),
    /// `(x)`
    Paren(Box<Expr>, Span),
}

impl Expr {
    /// The type of its value.
    #[must_use]
    pub fn value_type(&self) -> ValueType {
        match self {
            Expr::Number(..) => ValueType::Scalar,
            Expr::String(..) => ValueType::String,
            Expr::Vector(_) | Expr::Aggregate(_) => ValueType::Vector,
            Expr::Matrix(_) | Expr::Subquery(_) => ValueType::Matrix,
            Expr::Call(call) => call.function.returns,
            Expr::Binary(b) => {
                if b.lhs.value_type() == ValueType::Scalar && b.rhs.value_type() == ValueType::Scalar {
                    ValueType::Scalar
                } else {
                    ValueType::Vector
                }
            }
            Expr::Unary(_, inner, _) | Expr::Paren(inner, _) => inner.value_type(),
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn span(&self) -> Span {
        match self {
            Expr::Number(_, _, span) | Expr::String(_, span) | Expr::Unary(_, _, span) | Expr::Paren(_, span) => *span,
            Expr::Vector(selector) => selector.span,
            Expr::Matrix(matrix) => matrix.span,
            Expr::Subquery(subquery) => subquery.span,
            Expr::Call(call) => call.span,
            Expr::Aggregate(aggregate) => aggregate.span,
            Expr::Binary(b) => Span { start: b.lhs.span().start, end: b.rhs.span().end },
        }
    }

    /// What is inside all parentheses around it.
    #[must_use]
    pub fn bare(&self) -> &Expr {
        let mut expr = self;
        while let Expr::Paren(inner, _) = expr {
            expr = inner;
        }
        expr
    }

    /// The expressions right below it.
    pub fn children(&self) -> Vec<&Expr> {
        match self {
            Expr::Number(..) | Expr::String(..) | Expr::Vector(_) | Expr::Matrix(_) => Vec::new(),
            Expr::Subquery(subquery) => vec![&subquery.expr],
            Expr::Call(call) => call.args.iter().collect(),
            Expr::Aggregate(aggregate) => aggregate.param.iter().chain([&aggregate.expr]).collect(),
            Expr::Binary(b) => vec![&b.lhs, &b.rhs],
            Expr::Unary(_, inner, _) | Expr::Paren(inner, _) => vec![inner],
        }
    }

    /// The expressions right below it, to be changed.
    pub fn children_mut(&mut self) -> Vec<&mut Expr> {
        match self {
            Expr::Number(..) | Expr::String(..) | Expr::Vector(_) | Expr::Matrix(_) => Vec::new(),
            Expr::Subquery(subquery) => vec![&mut subquery.expr],
            Expr::Call(call) => call.args.iter_mut().collect(),
            Expr::Aggregate(aggregate) => aggregate.param.iter_mut().chain([&mut aggregate.expr]).collect(),
            Expr::Binary(b) => {
                let b = b.as_mut();
                vec![&mut b.lhs, &mut b.rhs]
            }
            Expr::Unary(_, inner, _) | Expr::Paren(inner, _) => vec![inner],
        }
    }

    /// All selectors in it, those of ranges too.
    #[must_use]
    pub fn selectors(&self) -> Vec<&VectorSelector> {
        match self {
            Expr::Vector(selector) => vec![selector],
            Expr::Matrix(matrix) => vec![&matrix.selector],
            other => other.children().into_iter().flat_map(Expr::selectors).collect(),
        }
    }
}
