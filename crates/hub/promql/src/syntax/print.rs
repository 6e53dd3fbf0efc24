//! A tree as text, as Prometheus writes it: on one line.

use crate::labels::{NAME, is_plain_name};
use crate::matcher::{MatchOp, Matcher};
use crate::syntax::ast::{
    Aggregate, At, Binary, Cardinality, DurationExpr, Expr, Length, Matching, Subquery, VectorSelector,
};
use crate::text::{plain, quote, short, show_duration};
use std::fmt::{self, Formatter, Write};

fn label(name: &str) -> String {
    if is_plain_name(name) { name.to_owned() } else { quote(name) }
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| label(name)).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", label(&self.name), self.op, quote(&self.value))
    }
}

impl fmt::Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            DurationExpr::Number(seconds, true) => f.write_str(&show_duration((seconds * 1000.0) as i64)),
            DurationExpr::Number(value, false) => f.write_str(&short(*value)),
            DurationExpr::Step => f.write_str("step()"),
            DurationExpr::Range => f.write_str("range()"),
            DurationExpr::Negative(inner) => write!(f, "-{inner}"),
            DurationExpr::Paren(inner) => write!(f, "({inner})"),
            DurationExpr::Binary(op, both) => write!(f, "{} {} {}", both.0, op.symbol(), both.1),
            DurationExpr::Extreme(max, both) => {
                write!(f, "{}({}, {})", if *max { "max_of" } else { "min_of" }, both.0, both.1)
            }
        }
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Length::Millis(ms) => f.write_str(&show_duration(*ms)),
            Length::Expr(expr, _) => write!(f, "{expr}"),
        }
    }
}

/// `@` and `offset`.
fn modifiers(at: Option<At>, offset: &Length) -> String {
    let mut out = String::new();
    let _ = match at {
        None => Ok(()),
        Some(At::Start) => write!(out, " @ start()"),
        Some(At::End) => write!(out, " @ end()"),
        Some(At::Time(ms)) => write!(out, " @ {:.3}", ms as f64 / 1000.0),
    };
    if *offset != Length::ZERO {
        let _ = write!(out, " offset {offset}");
    }
    out
}

fn selector(selector: &VectorSelector, range: Option<&Length>) -> String {
    let mut out = selector.name.clone().unwrap_or_default();
    let own = |matcher: &&Matcher| {
        !(matcher.name == NAME && matcher.op == MatchOp::Equal && selector.name.as_ref() == Some(&matcher.value))
    };
    let matchers: Vec<String> = selector.matchers.iter().filter(own).map(ToString::to_string).collect();
    if !matchers.is_empty() || out.is_empty() {
        let _ = write!(out, "{{{}}}", matchers.join(","));
    }
    if let Some(range) = range {
        let _ = write!(out, "[{range}]");
    }
    if selector.anchored {
        out.push_str(" anchored");
    }
    if selector.smoothed {
        out.push_str(" smoothed");
    }
    out + &modifiers(selector.at, &selector.offset)
}

fn matching(matching: &Matching) -> String {
    let mut out = String::new();
    let grouped = !matches!(matching.cardinality, Cardinality::OneToOne | Cardinality::ManyToMany);
    if matching.on || !matching.labels.is_empty() || grouped {
        let word = if matching.on { "on" } else { "ignoring" };
        let _ = write!(out, " {word} ({})", list(&matching.labels));
    }
    if grouped {
        let word = if matching.cardinality == Cardinality::ManyToOne { "group_left" } else { "group_right" };
        let _ = write!(out, " {word} ({})", list(&matching.include));
    }
    match (matching.fill_left, matching.fill_right) {
        (Some(left), Some(right)) if left.to_bits() == right.to_bits() => {
            let _ = write!(out, " fill ({})", short(left));
        }
        (left, right) => {
            for (word, value) in [("fill_left", left), ("fill_right", right)] {
                if let Some(value) = value {
                    let _ = write!(out, " {word} ({})", short(value));
                }
            }
        }
    }
    out
}

fn binary(f: &mut Formatter<'_>, binary: &Binary) -> fmt::Result {
    let word = if binary.return_bool { " bool" } else { "" };
    let how = binary.matching.as_ref().map(matching).unwrap_or_default();
    write!(f, "{} {}{word}{how} {}", binary.lhs, binary.op.symbol(), binary.rhs)
}

fn aggregate(f: &mut Formatter<'_>, aggregate: &Aggregate) -> fmt::Result {
    f.write_str(aggregate.op.name())?;
    if aggregate.without {
        write!(f, " without ({}) ", list(&aggregate.grouping))?;
    } else if !aggregate.grouping.is_empty() {
        write!(f, " by ({}) ", list(&aggregate.grouping))?;
    }
    match &aggregate.param {
        Some(param) => write!(f, "({param}, {})", aggregate.expr),
        None => write!(f, "({})", aggregate.expr),
    }
}

fn subquery(f: &mut Formatter<'_>, subquery: &Subquery) -> fmt::Result {
    write!(f, "{}[{}:", subquery.expr, subquery.range)?;
    if let Some(step) = &subquery.step {
        write!(f, "{step}")?;
    }
    write!(f, "]{}", modifiers(subquery.at, &subquery.offset))
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Number(seconds, true, _) => f.write_str(&show_duration((seconds * 1000.0) as i64)),
            // With a sign, `Inf ^ 2` would be read as the sign of a power.
            Expr::Number(value, false, _) if *value == f64::INFINITY => f.write_str("Inf"),
            Expr::Number(value, false, _) => f.write_str(&plain(*value)),
            Expr::String(value, _) => f.write_str(&quote(value)),
            Expr::Vector(own) => f.write_str(&selector(own, None)),
            Expr::Matrix(matrix) => f.write_str(&selector(&matrix.selector, Some(&matrix.range))),
            Expr::Subquery(own) => subquery(f, own),
            Expr::Call(call) => {
                let args: Vec<String> = call.args.iter().map(ToString::to_string).collect();
                write!(f, "{}({})", call.function.name, args.join(", "))
            }
            Expr::Aggregate(own) => aggregate(f, own),
            Expr::Binary(own) => binary(f, own),
            Expr::Unary(negative, inner, _) => write!(f, "{}{inner}", if *negative { "-" } else { "+" }),
            Expr::Paren(inner, _) => write!(f, "({inner})"),
        }
    }
}
