//! LogQL as Loki means it: a parser and an evaluator that know no storage (docs/logql.md).
//!
//! A query is parsed ([`parse`]). One for log records is answered by [`evaluate_logs`], one for numbers by [`evaluate_metric`], both over a
//! [`LogSource`], which hands over each record once, in about the order of time. No IO, no clock, no thread: bounds and the
//! question whether to go on are [`Options`].
//!
//! | module | concept |
//! |---|---|
//! | `syntax` | text as a tree, and back |
//! | `fields` | labels of a record on its way |
//! | `stages` | filters, parsers, formats |
//! | `template` | Go's templates |
//! | `logs` | the answer to a query for log records |
//! | `range`, `window` | log records as series |
//! | `engine` | everything around ranges, by the crate `promql` |

mod engine;
mod fields;
mod lengths;
mod logs;
mod options;
mod range;
mod source;
mod stages;
mod syntax;
mod template;
mod window;

pub use engine::{MetricAnswer, evaluate_metric};
pub use fields::{ERROR, ERROR_DETAILS};
pub use lengths::{parse_bytes, parse_duration, write_duration};
pub use logs::{Entry, LogAnswer, LogQuery, Pairs, evaluate_logs};
pub use options::{Error, Options, Query, Stats};
pub use promql::{Labels, MatchOp, Matcher};
pub use source::{LogSource, Order, Record, Select, Sink, SourceError};
pub use stages::detect;
pub use syntax::{MAX_DEPTH, MAX_LENGTH, ParseError, ast, parse, parse_logs, parse_selector};

/// Looks at what stages say in languages of their own: expressions, patterns, paths, templates.
pub(crate) fn check(expr: &ast::Expr) -> Result<(), String> {
    fn of_metric(expr: &ast::MetricExpr) -> Result<(), String> {
        use ast::MetricExpr;
        match expr {
            MetricExpr::Number(_) | MetricExpr::Vector(_) => Ok(()),
            MetricExpr::Range { range, .. } => {
                stages::Pipeline::new(&range.logs.stages)?;
                let mut filters = range.unwrap.iter().flat_map(|unwrap| &unwrap.filters);
                filters.try_for_each(|filter| stages::filter::Labelled::new(filter).map(drop))
            }
            MetricExpr::Aggregate { inner, .. } | MetricExpr::LabelReplace { inner, .. } => of_metric(inner),
            MetricExpr::Binary { left, right, .. } => of_metric(left).and_then(|()| of_metric(right)),
        }
    }
    match expr {
        ast::Expr::Logs(logs) => stages::Pipeline::new(&logs.stages).map(drop),
        ast::Expr::Metric(metric) => of_metric(metric),
    }
}
