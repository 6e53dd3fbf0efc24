//! Filters of lines and of labels.

use regex::Regex;

use super::ip::Addresses;
use super::pattern::Pattern;
use crate::fields::Fields;
use crate::lengths::{parse_bytes, parse_duration};
use crate::syntax::ast::{Compare, LabelFilter, LineFilter, LineOp, LineValue, MatchOp, Matcher};

/// The error of a label that is no number, duration, size or address where one is compared.
const FAILED: &str = "LabelFilterErr";

/// What a line is looked at for.
#[derive(Debug, Clone)]
enum Wanted {
    Text(String),
    Expression(Regex),
    Pattern(Pattern),
    Addresses(Addresses),
}

/// A filter of lines, ready to look.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    wanted: Vec<Wanted>,
    denies: bool,
}

impl Lines {
    pub(crate) fn new(filter: &LineFilter) -> Result<Self, String> {
        let denies = matches!(filter.op, LineOp::ContainsNot | LineOp::MatchesNot | LineOp::PatternNot);
        let wanted = filter.values.iter().map(|value| {
            Ok(match (value, filter.op) {
                (LineValue::Ip(network), _) => Wanted::Addresses(Addresses::new(network)?),
                (LineValue::Text(text), LineOp::Contains | LineOp::ContainsNot) => Wanted::Text(text.clone()),
                (LineValue::Text(text), LineOp::Matches | LineOp::MatchesNot) => {
                    Wanted::Expression(promql::expression(text)?)
                }
                (LineValue::Text(text), _) => Wanted::Pattern(Pattern::filter_of(text)?),
            })
        });
        Ok(Self { wanted: wanted.collect::<Result<_, String>>()?, denies })
    }

    /// Whether a line passes.
    pub(crate) fn passes(&self, line: &str) -> bool {
        let fits = self.wanted.iter().any(|wanted| match wanted {
            Wanted::Text(text) => line.contains(text.as_str()),
            Wanted::Expression(regex) => regex.is_match(line),
            Wanted::Pattern(pattern) => pattern.fits(line),
            Wanted::Addresses(addresses) => addresses.is_in(line),
        });
        fits != self.denies
    }
}

/// A filter of labels, ready to look.
#[derive(Debug, Clone)]
pub(crate) enum Labelled {
    Matcher(Matcher),
    Number(String, Compare, f64),
    Duration(String, Compare, i64),
    Bytes(String, Compare, u64),
    Addresses(String, bool, Addresses),
    And(Box<Labelled>, Box<Labelled>),
    Or(Box<Labelled>, Box<Labelled>),
}

fn compares<T: PartialOrd>(compare: Compare, own: &T, other: &T) -> bool {
    match compare {
        Compare::Equal => own == other,
        Compare::NotEqual => own != other,
        Compare::Greater => own > other,
        Compare::GreaterEqual => own >= other,
        Compare::Less => own < other,
        Compare::LessEqual => own <= other,
    }
}

impl Labelled {
    pub(crate) fn new(filter: &LabelFilter) -> Result<Self, String> {
        let both =
            |a: &LabelFilter, b: &LabelFilter| Ok::<_, String>((Box::new(Self::new(a)?), Box::new(Self::new(b)?)));
        Ok(match filter {
            LabelFilter::Matcher(matcher) => Self::Matcher(matcher.clone()),
            LabelFilter::Number(name, compare, value) => Self::Number(name.clone(), *compare, *value),
            LabelFilter::Duration(name, compare, ns) => Self::Duration(name.clone(), *compare, *ns),
            LabelFilter::Bytes(name, compare, bytes, _) => Self::Bytes(name.clone(), *compare, *bytes),
            LabelFilter::Ip(name, denies, network) => Self::Addresses(name.clone(), *denies, Addresses::new(network)?),
            LabelFilter::And(a, b) => {
                let (a, b) = both(a, b)?;
                Self::And(a, b)
            }
            LabelFilter::Or(a, b) => {
                let (a, b) = both(a, b)?;
                Self::Or(a, b)
            }
        })
    }

    /// Whether a record passes. A label that is not what it is compared with is an error of the record, which passes.
    pub(crate) fn passes(&self, fields: &mut Fields<'_>) -> bool {
        let (name, compared): (&str, Option<bool>) = match self {
            Self::And(a, b) => return a.passes(fields) && b.passes(fields),
            Self::Or(a, b) => return a.passes(fields) || b.passes(fields),
            Self::Matcher(matcher) => {
                return matcher.matches(fields.get(&matcher.name).unwrap_or(""));
            }
            // What went wrong before is left to filters of the error.
            _ if fields.error().is_some() => return true,
            Self::Addresses(name, denies, addresses) => {
                return fields.get(name).is_some_and(|value| addresses.is(value) != *denies);
            }
            Self::Number(name, compare, wanted) => {
                let Some(value) = fields.get(name) else { return false };
                (name, value.parse::<f64>().ok().map(|own| compares(*compare, &own, wanted)))
            }
            Self::Duration(name, compare, wanted) => {
                let Some(value) = fields.get(name) else { return false };
                (name, parse_duration(value).map(|own| compares(*compare, &own, wanted)))
            }
            Self::Bytes(name, compare, wanted) => {
                let Some(value) = fields.get(name) else { return false };
                (name, parse_bytes(value).map(|own| compares(*compare, &own, wanted)))
            }
        };
        compared.unwrap_or_else(|| {
            let what = format!("{name}: {:?} cannot be compared", fields.get(name).unwrap_or(""));
            fields.fail(FAILED, what);
            true
        })
    }
}

/// The one value that a label has to have, if a filter that every record must pass says so.
pub(crate) fn exact<'f>(filter: &'f LabelFilter, out: &mut Vec<(&'f str, &'f str)>) {
    match filter {
        LabelFilter::Matcher(own) if own.op == MatchOp::Equal && !own.value.is_empty() => {
            out.push((&own.name, &own.value));
        }
        LabelFilter::And(a, b) => {
            exact(a, out);
            exact(b, out);
        }
        _ => {}
    }
}
