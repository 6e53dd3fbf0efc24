//! Composite values of OpenMetrics 2.0: `count:2,sum:1.5,bucket:[0.5:1,+Inf:2]`.

use crate::distribution::{Distribution, Side};
use crate::number;
use crate::shown::shown;

/// Reads what stands between the braces.
pub(crate) fn read(text: &str, out: &mut Distribution) -> Result<(), String> {
    out.clear();
    let mut rest = text;
    loop {
        let (key, behind) = rest.split_once(':').ok_or_else(|| format!("{} has no ':'", shown(rest)))?;
        let (value, behind) = match behind.strip_prefix('[') {
            Some(list) => {
                let (list, behind) = list.split_once(']').ok_or_else(|| format!("the list of {key} does not end"))?;
                (list, behind)
            }
            None => behind.split_at(behind.find(',').unwrap_or(behind.len())),
        };
        field(key, value, out)?;
        if behind.is_empty() {
            return Ok(());
        }
        rest = behind.strip_prefix(',').ok_or_else(|| format!("',' is expected before {}", shown(behind)))?;
    }
}

fn field(key: &str, value: &str, out: &mut Distribution) -> Result<(), String> {
    let one = || float(value);
    match key {
        "count" | "gcount" => out.count = one()?,
        "sum" | "gsum" => out.sum = one()?,
        "bucket" => pairs(value, &mut out.buckets)?,
        "quantile" => pairs(value, &mut out.quantiles)?,
        "schema" => {
            out.is_native = true;
            out.native.schema = integer(value)?;
        }
        "zero_threshold" => out.native.zero_threshold = one()?,
        "zero_count" => out.native.zero_count = one()?,
        "positive_spans" => spans(value, &mut out.native.positive)?,
        "negative_spans" => spans(value, &mut out.native.negative)?,
        "positive_buckets" => counts(value, &mut out.native.positive)?,
        "negative_buckets" => counts(value, &mut out.native.negative)?,
        _ => return Err(format!("{} is no part of a value", shown(key))),
    }
    Ok(())
}

fn float(text: &str) -> Result<f64, String> {
    number::value(text).ok_or_else(|| format!("{} is no number", shown(text)))
}

fn integer(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("{} is no whole number", shown(text)))
}

fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').filter(move |_| !list.is_empty())
}

fn pair(item: &str) -> Result<(&str, &str), String> {
    item.split_once(':').ok_or_else(|| format!("{} has no ':'", shown(item)))
}

fn pairs(list: &str, out: &mut Vec<(f64, f64)>) -> Result<(), String> {
    for item in items(list) {
        let (bound, count) = pair(item)?;
        out.push((float(bound)?, float(count)?));
    }
    Ok(())
}

fn spans(list: &str, out: &mut Side) -> Result<(), String> {
    for item in items(list) {
        let (offset, length) = pair(item)?;
        let length = length.parse().map_err(|_| format!("{} is no length", shown(length)))?;
        out.spans.push((integer(offset)?, length));
    }
    Ok(())
}

fn counts(list: &str, out: &mut Side) -> Result<(), String> {
    for item in items(list) {
        out.counts.push(float(item)?);
    }
    Ok(())
}
