//! Whether a record passes a filter.

use super::{Comparison, Filter, Test};
use crate::field::Field;
use crate::record::{Record, Value};

impl Filter {
    /// Whether the record is meant. The query's time range is not looked at.
    pub fn matches(&self, record: &impl Record) -> bool {
        match self {
            Filter::And(parts) => parts.iter().all(|part| part.matches(record)),
            Filter::Or(parts) => parts.iter().any(|part| part.matches(record)),
            Filter::Not(part) => !part.matches(record),
            Filter::Contains(text) => contains(record, text),
            Filter::Exists(field) => record.field(field) != Value::Absent,
            Filter::Field(field, test) => test.passes(&record.field(field)),
        }
    }

    /// The text that a field must equal for any record to pass, where the filter demands one: what an index is asked for.
    pub fn demanded(&self, wanted: &Field) -> Option<&str> {
        match self {
            Filter::Field(field, Test::Equals(text)) if field == wanted => Some(text),
            Filter::And(parts) => parts.iter().find_map(|part| part.demanded(wanted)),
            _ => None,
        }
    }
}

/// Looks in the body of a log record, else in the name.
fn contains(record: &impl Record, text: &str) -> bool {
    let body = record.field(&Field::Body);
    let looked_at = if body == Value::Absent { record.field(&Field::Name) } else { body };
    match looked_at {
        Value::Absent => false,
        Value::Text(found) => contains_folded(&found, text),
        other => contains_folded(&other.to_string(), text),
    }
}

/// `text` is in lower case already.
fn contains_folded(found: &str, text: &str) -> bool {
    if !text.is_ascii() {
        return found.to_lowercase().contains(text);
    }
    let (found, text) = (found.as_bytes(), text.as_bytes());
    text.is_empty() || found.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text))
}

impl Test {
    fn passes(&self, value: &Value<'_>) -> bool {
        match (self, value) {
            (_, Value::Absent) => false,
            (Test::Equals(text), Value::Text(found)) => found == text,
            (Test::Equals(text), Value::Bool(found)) => text.parse() == Ok(*found),
            (Test::Equals(text), Value::Int(found)) => {
                text.parse() == Ok(*found) || crate::literal::number(text) == Some(*found as f64)
            }
            (Test::Equals(text), Value::Float(found)) => crate::literal::number(text) == Some(*found),
            (Test::Glob(pattern), value) => glob(pattern, &value.to_string()),
            (Test::Matches(pattern), Value::Text(found)) => pattern.is_match(found),
            (Test::Matches(pattern), value) => pattern.is_match(&value.to_string()),
            (Test::Number(comparison, bound), value) => {
                value.number().is_some_and(|number| comparison.holds(number.partial_cmp(bound)))
            }
            (Test::Text(comparison, bound), value) => {
                comparison.holds(Some(value.to_string().as_str().cmp(bound.as_str())))
            }
        }
    }
}

impl Comparison {
    fn holds(self, order: Option<std::cmp::Ordering>) -> bool {
        order.is_some_and(|order| match self {
            Comparison::Equal => order.is_eq(),
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
        })
    }
}

/// `*` stands for any characters, `?` for one. Steps back only to the last `*`, so that time is at most the product of
/// both lengths.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                back = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((star, from)) = back else { return false };
                back = Some((star, from + 1));
                p = star + 1;
                t = from + 1;
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}
