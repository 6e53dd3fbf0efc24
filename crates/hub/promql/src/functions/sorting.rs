//! The order that `sort` and its kind give.

use crate::points::{Point, Series};
use std::cmp::Ordering;

/// By value, NaN last.
pub(crate) fn by_value(series: &mut Vec<Series>, descending: bool) {
    series.retain(|own| own.points.iter().any(|point| matches!(point, Point::Float(_))));
    let value = |series: &Series| match series.points.first() {
        Some(Point::Float(value)) => *value,
        _ => f64::NAN,
    };
    series.sort_by(|a, b| {
        let (a, b) = (value(a), value(b));
        match (a.is_nan(), b.is_nan()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            _ if descending => b.total_cmp(&a),
            _ => a.total_cmp(&b),
        }
    });
}

/// By labels, digits in them as numbers.
pub(crate) fn by_labels(series: &mut [Series], names: &[String], descending: bool) {
    series.sort_by(|a, b| {
        let named = names.iter().map(|name| natural(a.labels.get(name), b.labels.get(name)));
        let order = named.fold(Ordering::Equal, Ordering::then).then_with(|| a.labels.cmp(&b.labels));
        if descending { order.reverse() } else { order }
    });
}

/// Texts with digits in them compared as numbers.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        if a.is_empty() || b.is_empty() {
            return a.len().cmp(&b.len());
        }
        let (Some(x), Some(y)) = (chunk(&mut a), chunk(&mut b)) else { return Ordering::Equal };
        let numbers = x.parse::<u64>().ok().zip(y.parse::<u64>().ok());
        let order = numbers.map_or_else(|| x.cmp(y), |(x, y)| x.cmp(&y));
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// The digits or other characters at the start.
fn chunk<'a>(text: &mut &'a str) -> Option<&'a str> {
    let digit = text.chars().next()?.is_ascii_digit();
    let end = text.find(|c: char| c.is_ascii_digit() != digit).unwrap_or(text.len());
    let (chunk, rest) = text.split_at(end);
    *text = rest;
    Some(chunk)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: names with numbers. Promise: they are ordered as a person would.
    #[test]
    fn numbers_in_names() {
        assert_eq!(natural("a2", "a10"), Ordering::Less);
        assert_eq!(natural("a10b", "a10a"), Ordering::Greater);
        assert_eq!(natural("", "a"), Ordering::Less);
        assert_eq!(natural("a", "a"), Ordering::Equal);
    }
}
