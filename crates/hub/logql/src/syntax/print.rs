//! Queries as text, on one line; what is written is read as the same query.

use std::fmt::{self, Display, Formatter};

use promql::quote;

use super::ast::{
    Compare, Expr, Extraction, Grouping, LabelFilter, LabelFormat, LineFilter, LineOp, LineValue, LogExpr,
};
use super::ast::{LogRange, Matcher, Matching, MetricExpr, Named, Stage, Unwrap};
use super::metrics::{AGGREGATES, CONVERSIONS, RANGES};
use crate::lengths::write_duration;

/// Things with something between them.
fn list<T>(
    f: &mut Formatter<'_>,
    items: &[T],
    between: &str,
    write: impl Fn(&mut Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            f.write_str(between)?;
        }
        write(f, item)?;
    }
    Ok(())
}

fn matcher(f: &mut Formatter<'_>, own: &Matcher) -> fmt::Result {
    write!(f, "{}{}{}", own.name, own.op, quote(&own.value))
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Logs(logs) => logs.fmt(f),
            Expr::Metric(metric) => metric.fmt(f),
        }
    }
}

impl Display for LogExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        list(f, &self.matchers, ", ", matcher)?;
        f.write_str("}")?;
        self.stages.iter().try_for_each(|stage| write!(f, " {stage}"))
    }
}

impl Display for Stage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Stage::Line(filter) => filter.fmt(f),
            Stage::Json(fields) => {
                f.write_str("| json")?;
                extractions(f, fields)
            }
            Stage::Logfmt { strict, keep_empty, fields } => {
                f.write_str("| logfmt")?;
                f.write_str(if *strict { " --strict" } else { "" })?;
                f.write_str(if *keep_empty { " --keep-empty" } else { "" })?;
                extractions(f, fields)
            }
            Stage::Regexp(text) => write!(f, "| regexp {}", quote(text)),
            Stage::Pattern(text) => write!(f, "| pattern {}", quote(text)),
            Stage::Unpack => f.write_str("| unpack"),
            Stage::Label(filter) => write!(f, "| {filter}"),
            Stage::LineFormat(text) => write!(f, "| line_format {}", quote(text)),
            Stage::LabelFormat(formats) => {
                f.write_str("| label_format ")?;
                list(f, formats, ", ", |f, (name, format)| match format {
                    LabelFormat::Rename(from) => write!(f, "{name}={from}"),
                    LabelFormat::Template(text) => write!(f, "{name}={}", quote(text)),
                })
            }
            Stage::Drop(names) => {
                f.write_str("| drop ")?;
                list(f, names, ", ", named)
            }
            Stage::Keep(names) => {
                f.write_str("| keep ")?;
                list(f, names, ", ", named)
            }
            Stage::Decolorize => f.write_str("| decolorize"),
        }
    }
}

fn extractions(f: &mut Formatter<'_>, fields: &[Extraction]) -> fmt::Result {
    f.write_str(if fields.is_empty() { "" } else { " " })?;
    list(f, fields, ", ", |f, own| {
        if own.name == own.path { f.write_str(&own.name) } else { write!(f, "{}={}", own.name, quote(&own.path)) }
    })
}

fn named(f: &mut Formatter<'_>, own: &Named) -> fmt::Result {
    match own {
        Named::Name(name) => f.write_str(name),
        Named::Matcher(own) => matcher(f, own),
    }
}

impl Display for LineFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self.op {
            LineOp::Contains => "|= ",
            LineOp::ContainsNot => "!= ",
            LineOp::Matches => "|~ ",
            LineOp::MatchesNot => "!~ ",
            LineOp::Pattern => "|> ",
            LineOp::PatternNot => "!> ",
        })?;
        list(f, &self.values, " or ", |f, value| match value {
            LineValue::Text(text) => f.write_str(&quote(text)),
            LineValue::Ip(network) => write!(f, "ip({})", quote(network)),
        })
    }
}

impl Display for Compare {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compare::Equal => "=",
            Compare::NotEqual => "!=",
            Compare::Greater => ">",
            Compare::GreaterEqual => ">=",
            Compare::Less => "<",
            Compare::LessEqual => "<=",
        })
    }
}

impl Display for LabelFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            LabelFilter::Matcher(own) => matcher(f, own),
            LabelFilter::Number(name, compare, value) => write!(f, "{name}{compare}{}", number(*value)),
            LabelFilter::Duration(name, compare, ns) => write!(f, "{name}{compare}{}", write_duration(*ns)),
            LabelFilter::Bytes(name, compare, _, text) => write!(f, "{name}{compare}{text}"),
            LabelFilter::Ip(name, negated, network) => {
                write!(f, "{name}{}ip({})", if *negated { "!=" } else { "=" }, quote(network))
            }
            LabelFilter::And(left, right) => write!(f, "({left} and {right})"),
            LabelFilter::Or(left, right) => write!(f, "({left} or {right})"),
        }
    }
}

/// A number so that it is read again as it is.
fn number(value: f64) -> String {
    let text = format!("{value:?}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

impl Display for Unwrap {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match CONVERSIONS.iter().find(|(_, own)| *own == self.conversion) {
            None => write!(f, "| unwrap {}", self.label)?,
            Some((name, _)) => write!(f, "| unwrap {name}({})", self.label)?,
        }
        self.filters.iter().try_for_each(|filter| write!(f, " | {filter}"))
    }
}

impl Display for LogRange {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.logs)?;
        if let Some(unwrap) = &self.unwrap {
            write!(f, " {unwrap}")?;
        }
        write!(f, " [{}]", write_duration(self.range_ns))?;
        if self.offset_ns != 0 {
            write!(f, " offset {}", write_duration(self.offset_ns))?;
        }
        Ok(())
    }
}

fn names(f: &mut Formatter<'_>, labels: &[String]) -> fmt::Result {
    f.write_str("(")?;
    list(f, labels, ", ", |f, label| f.write_str(label))?;
    f.write_str(")")
}

impl Display for Grouping {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.without { "without " } else { "by " })?;
        names(f, &self.labels)
    }
}

impl Display for Matching {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.return_bool { " bool" } else { "" })?;
        if let Some((ignoring, labels)) = &self.labels {
            f.write_str(if *ignoring { " ignoring " } else { " on " })?;
            names(f, labels)?;
        }
        if let Some((right, labels)) = &self.group {
            f.write_str(if *right { " group_right " } else { " group_left " })?;
            names(f, labels)?;
        }
        Ok(())
    }
}

impl Display for MetricExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            MetricExpr::Number(value) => f.write_str(&number(*value)),
            MetricExpr::Vector(value) => write!(f, "vector({})", number(*value)),
            MetricExpr::Range { op, parameter, range, grouping } => {
                let name = RANGES.iter().find(|(_, own)| own == op).map_or("", |(name, _)| *name);
                write!(f, "{name}(")?;
                if let Some(parameter) = parameter {
                    write!(f, "{}, ", number(*parameter))?;
                }
                write!(f, "{range})")?;
                grouping.iter().try_for_each(|grouping| write!(f, " {grouping}"))
            }
            MetricExpr::Aggregate { op, parameter, inner, grouping } => {
                f.write_str(AGGREGATES.iter().find(|(_, own)| own == op).map_or("", |(name, _)| *name))?;
                if let Some(grouping) = grouping {
                    write!(f, " {grouping} ")?;
                }
                f.write_str("(")?;
                if let Some(parameter) = parameter {
                    write!(f, "{parameter}, ")?;
                }
                write!(f, "{inner})")
            }
            MetricExpr::Binary { op, left, right, matching } => write!(f, "({left} {op}{matching} {right})"),
            MetricExpr::LabelReplace { inner, texts } => {
                write!(f, "label_replace({inner}")?;
                texts.iter().try_for_each(|text| write!(f, ", {}", quote(text)))?;
                f.write_str(")")
            }
        }
    }
}
