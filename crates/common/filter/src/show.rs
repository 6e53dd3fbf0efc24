//! A query as it was understood, in the language itself.

use std::fmt;

use crate::field::Field;
use crate::query::{Aggregate, Comparison, Filter, Function, Pipe, Query, Test};

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Function::Count => f.write_str("count"),
            Function::Rate => f.write_str("rate"),
            Function::Sum => f.write_str("sum"),
            Function::Avg => f.write_str("avg"),
            Function::Min => f.write_str("min"),
            Function::Max => f.write_str("max"),
            Function::Percentile(percent) => write!(f, "p{percent}"),
        }
    }
}

impl fmt::Display for Aggregate {
    /// As it names its column.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            None => write!(f, "{}", self.function),
            Some(field) => write!(f, "{}({field})", self.function),
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Comparison::Equal => "=",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
        })
    }
}

fn joined(f: &mut fmt::Formatter<'_>, parts: &[Filter], with: &str) -> fmt::Result {
    let parts: Vec<String> = parts.iter().map(Filter::to_string).filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        [] => Ok(()),
        [one] => f.write_str(one),
        many => write!(f, "({})", many.join(with)),
    }
}

/// In quotes, so that it is read as it stands.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Filter::And(parts) => joined(f, parts, " "),
            Filter::Or(parts) => joined(f, parts, " or "),
            Filter::Not(part) => write!(f, "-{part}"),
            Filter::Contains(text) => f.write_str(&quoted(text)),
            Filter::Exists(field) => write!(f, "{field} exists"),
            Filter::Field(field, test) => match test {
                Test::Equals(text) => write!(f, "{field}={}", quoted(text)),
                Test::Glob(pattern) => write!(f, "{field}:{pattern}"),
                Test::Matches(pattern) => write!(f, "{field}~{}", quoted(pattern.as_str())),
                Test::Text(comparison, text) => write!(f, "{field}{comparison}{}", quoted(text)),
                Test::Number(comparison, number) if *field == Field::Duration => {
                    write!(f, "{field}{comparison}{number}ns")
                }
                Test::Number(comparison, number) => write!(f, "{field}{comparison}{number}"),
            },
        }
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list<T: fmt::Display>(items: &[T]) -> String {
            items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
        }
        match self {
            Pipe::Stats { aggregates, by } if by.is_empty() => write!(f, "stats {}", list(aggregates)),
            Pipe::Stats { aggregates, by } => write!(f, "stats {} by {}", list(aggregates), list(by)),
            Pipe::Top { count, by: None } => write!(f, "top {count}"),
            Pipe::Top { count, by: Some(by) } => write!(f, "top {count} by {by}"),
            Pipe::Sort { by, descending } => write!(f, "sort {by} {}", if *descending { "desc" } else { "asc" }),
            Pipe::Limit(count) => write!(f, "limit {count}"),
            Pipe::Fields(fields) => write!(f, "fields {}", list(fields)),
        }
    }
}

impl fmt::Display for Query {
    /// Without the time range, which was relative to a moment.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filter = self.filter.to_string();
        f.write_str(if filter.is_empty() { "(everything)" } else { &filter })?;
        self.pipes.iter().try_for_each(|pipe| write!(f, " | {pipe}"))
    }
}
