//! What a selector asks of labels.

use crate::labels::Labels;
use crate::text::quote;
use regex::Regex;
use std::fmt;

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`: the whole value matches the expression.
    Regex,
    /// `!~`
    NotRegex,
}

/// One condition of a selector. A label that a series does not have counts as `""`.
#[derive(Clone, Debug)]
pub struct Matcher {
    /// The label.
    pub name: String,
    /// The comparison.
    pub op: MatchOp,
    /// The value or expression.
    pub value: String,
    regex: Option<Regex>,
}

/// The bytes that one compiled expression may take.
const REGEX_BYTES: usize = 1 << 20;

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Matcher {
    /// A condition.
    ///
    /// # Errors
    /// The expression is none, or takes more than 1 MiB compiled.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, String> {
        let regex = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(anchored(value)?),
        };
        Ok(Self { name: name.into(), op, value: value.into(), regex })
    }

    /// `name="value"`.
    #[must_use]
    pub fn equal(name: &str, value: &str) -> Self {
        Self { name: name.into(), op: MatchOp::Equal, value: value.into(), regex: None }
    }

    /// Whether a value fulfils it.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        let expression = || self.regex.as_ref().is_some_and(|regex| regex.is_match(value));
        match self.op {
            MatchOp::Equal => self.value == value,
            MatchOp::NotEqual => self.value != value,
            MatchOp::Regex => expression(),
            MatchOp::NotRegex => !expression(),
        }
    }

    /// Whether a label set fulfils it.
    #[must_use]
    pub fn matches_labels(&self, labels: &Labels) -> bool {
        self.matches(labels.get(&self.name))
    }
}

/// An expression that the whole value has to match, in the syntax of Go (RE2).
pub(crate) fn anchored(expression: &str) -> Result<Regex, String> {
    build(expression, |own| format!("^(?s:{own})$"))
}

/// An expression that matches somewhere, in the syntax of Go (RE2).
///
/// # Errors
/// It is none, or takes more than 1 MiB compiled.
pub fn expression(expression: &str) -> Result<Regex, String> {
    build(expression, str::to_owned)
}

fn build(expression: &str, framed: impl Fn(&str) -> String) -> Result<Regex, String> {
    regex::RegexBuilder::new(&framed(&literal_braces(expression)))
        .size_limit(REGEX_BYTES)
        .build()
        .map_err(|error| format!("error parsing regexp {}: {error}", quote(expression)))
}

/// A brace that opens no repetition is itself, as in Go.
fn literal_braces(expression: &str) -> String {
    let mut out = String::with_capacity(expression.len());
    let mut rest = expression;
    let mut class = false;
    while let Some(c) = rest.chars().next() {
        let width = c.len_utf8();
        match c {
            '\\' => {
                let next = rest[width..].chars().next().map_or(0, char::len_utf8);
                // `\pL` and `\p{Greek}` are classes: their brace is no literal.
                let mut take = width + next;
                if rest[width..].starts_with(['p', 'P', 'x']) && rest[take..].starts_with('{') {
                    take = rest.find('}').map_or(rest.len(), |at| at + 1);
                }
                out.push_str(&rest[..take]);
                rest = &rest[take..];
                continue;
            }
            '[' => class = true,
            ']' => class = false,
            '{' if !class && !repetition(&rest[width..]) => out.push('\\'),
            _ => {}
        }
        out.push(c);
        rest = &rest[width..];
    }
    out
}

fn repetition(after_brace: &str) -> bool {
    let Some((inside, _)) = after_brace.split_once('}') else { return false };
    let mut parts = inside.split(',');
    let number = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    parts.next().is_some_and(|first| !first.is_empty() && number(first))
        && parts.next().is_none_or(number)
        && parts.next().is_none()
}

impl fmt::Display for MatchOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: expressions of Go. Promise: they match the whole value, and braces are read as in Go.
    #[test]
    fn expressions() {
        let regex = |value: &str| Matcher::new("a", MatchOp::Regex, value);
        assert!(regex("a|bc").unwrap().matches("bc"));
        assert!(!regex("a").unwrap().matches("ab"));
        assert!(regex(".*").unwrap().matches("a\nb"));
        assert!(regex("a{b}").unwrap().matches("a{b}"));
        assert!(regex("a{2,}").unwrap().matches("aaa"));
        assert!(regex(r"\p{Greek}+").unwrap().matches("\u{3b1}"));
        assert!(regex("(").is_err());
        assert!(regex("((a{1000}){1000}){1000}").is_err(), "bounded in bytes");
    }
}
