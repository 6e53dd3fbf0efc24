//! The functions of PromQL, by what they work on.

pub(crate) mod counters;
pub(crate) mod dates;
pub(crate) mod extended;
pub(crate) mod growth;
pub(crate) mod histograms;
pub(crate) mod math;
pub(crate) mod over_time;
pub(crate) mod range;
pub(crate) mod rate;
pub(crate) mod sorting;
pub(crate) mod window;

use crate::labels::{Labels, is_metadata};
use crate::matcher::MatchOp;
use crate::syntax::ast::Expr;

/// The labels of what `absent` gives: those that the selector asks for by value.
pub(crate) fn absent_labels(arg: &Expr) -> Labels {
    let selector = match arg.bare() {
        Expr::Vector(selector) => selector,
        Expr::Matrix(matrix) => &matrix.selector,
        _ => return Labels::default(),
    };
    let mut seen: Vec<&str> = Vec::new();
    let mut out: Vec<(&str, &str)> = Vec::new();
    for matcher in selector.matchers.iter().filter(|matcher| !is_metadata(&matcher.name)) {
        if matcher.op == MatchOp::Equal && !seen.contains(&matcher.name.as_str()) {
            seen.push(&matcher.name);
            out.push((&matcher.name, &matcher.value));
        } else {
            out.retain(|(name, _)| *name != matcher.name);
        }
    }
    Labels::new(out)
}
