//! Series as scripts write them: `name{label="value"} 1 2+3x4 _ stale {{schema:0 count:5 buckets:[1 4]}}`.

use promql::{CUSTOM_BUCKETS, Histogram, Labels, NAME, ResetHint, STALE, ast, parse};
use std::sync::Arc;

/// One item of a sequence.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Nothing,
    Float(f64),
    /// A histogram, and whether its hint was written down.
    Histogram(Arc<Histogram>, bool),
}

/// The labels and items of a line.
pub(crate) fn parse_line(line: &str) -> Result<(Labels, Vec<Item>), String> {
    let end = metric_end(line);
    let (metric, values) = line.split_at(end);
    Ok((parse_metric(metric.trim())?, parse_items(values)?))
}

/// Where the metric ends: after its braces, or at the first space.
fn metric_end(line: &str) -> usize {
    let mut quoted: Option<char> = None;
    let mut escaped = false;
    let mut inside = false;
    for (at, c) in line.char_indices() {
        match (quoted, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(q), '\\') if q != '`' => escaped = true,
            (Some(q), c) if c == q => quoted = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quoted = Some(c),
            (None, '{') => inside = true,
            (None, '}') => return at + 1,
            (None, ' ' | '\t') if !inside => {
                // `name {label="x"} 1`: the braces belong to the metric unless they open a histogram.
                let rest = line[at..].trim_start();
                if !rest.starts_with('{') || rest.starts_with("{{") {
                    return at;
                }
            }
            _ => {}
        }
    }
    line.len()
}

pub(crate) fn parse_metric(text: &str) -> Result<Labels, String> {
    if text == "{}" {
        return Ok(Labels::default());
    }
    // Empty values are no labels, and a selector of them alone is none: one that is there makes it one.
    let probe = if let Some(inner) = text.strip_suffix('}') {
        let inner = inner.trim_end().trim_end_matches(',');
        let comma = if inner.ends_with('{') { "" } else { "," };
        format!("{inner}{comma}promqltest_probe=\"x\"}}")
    } else {
        text.to_owned()
    };
    let expr = parse(&probe).map_err(|e| format!("{text}: {e}"))?;
    let ast::Expr::Vector(selector) = expr else { return Err(format!("{text} is no metric")) };
    let pairs = selector.matchers.iter().filter(|m| m.name != "promqltest_probe");
    Ok(Labels::new(pairs.map(|m| (m.name.as_str(), m.value.as_str())).collect::<Vec<_>>()))
}

pub(crate) fn base_of(labels: &Labels, name: &str) -> Labels {
    labels.with(NAME, name).with("le", "")
}

fn parse_items(text: &str) -> Result<Vec<Item>, String> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if rest.starts_with("{{") {
            rest = parse_histograms(rest, &mut out)?;
        } else {
            let end = rest.find([' ', '\t']).unwrap_or(rest.len());
            parse_item(&rest[..end], &mut out)?;
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    Ok(out)
}

fn times(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("{text} is no count"))
}

fn parse_item(text: &str, out: &mut Vec<Item>) -> Result<(), String> {
    if let Some(rest) = text.strip_prefix('_') {
        let count = rest.strip_prefix('x').map_or(Ok(1), times)?;
        out.extend(std::iter::repeat_n(Item::Nothing, count));
        return Ok(());
    }
    let (body, count) = match text.rsplit_once('x') {
        Some((body, count)) if !body.is_empty() => (body, Some(times(count)?)),
        _ => (text, None),
    };
    // `1+2`, `1-2`, `-1+-2`: the second sign begins the step.
    let split = body
        .char_indices()
        .skip(1)
        .find(|(at, c)| matches!(c, '+' | '-') && !matches!(body.as_bytes()[at - 1], b'e' | b'E'));
    let (mut value, step) = match split {
        Some((at, _)) => {
            let step = body[at..].trim_start_matches('+');
            (number(&body[..at])?, number(step)?)
        }
        None => (number(body)?, 0.0),
    };
    if let Some(count) = count {
        for _ in 0..=count {
            out.push(Item::Float(value));
            if split.is_some() {
                value += step;
            }
        }
    } else {
        out.push(Item::Float(value));
    }
    Ok(())
}

pub(crate) fn number(text: &str) -> Result<f64, String> {
    if text == "stale" {
        return Ok(f64::from_bits(STALE));
    }
    let bare = text.trim_start_matches(['+', '-']);
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    if bare.eq_ignore_ascii_case("inf") || bare.eq_ignore_ascii_case("nan") {
        return bare.parse::<f64>().map(|value| sign * value).map_err(|e| e.to_string());
    }
    if let Some(hex) = bare.strip_prefix("0x") {
        return i64::from_str_radix(hex, 16).map(|n| sign * n as f64).map_err(|e| e.to_string());
    }
    text.parse().map_err(|_| format!("{text} is no number"))
}

/// One description and what is repeated of it.
fn parse_histograms<'a>(text: &'a str, out: &mut Vec<Item>) -> Result<&'a str, String> {
    let (first, set, rest) = parse_histogram(text)?;
    let mut current = first;
    if let Some(rest) = rest.strip_prefix('x') {
        let end = rest.find([' ', '\t']).unwrap_or(rest.len());
        let item = Item::Histogram(Arc::new(current), set);
        out.extend(std::iter::repeat_n(item, times(&rest[..end])? + 1));
        return Ok(&rest[end..]);
    }
    let Some(sign) = rest.chars().next().filter(|c| matches!(c, '+' | '-')) else {
        out.push(Item::Histogram(Arc::new(current), set));
        return Ok(rest);
    };
    let (step, set, rest) = parse_histogram(&rest[1..])?;
    let rest = rest.strip_prefix('x').ok_or("a histogram's step lacks a count")?;
    let end = rest.find([' ', '\t']).unwrap_or(rest.len());
    let count = times(&rest[..end])?;
    out.push(Item::Histogram(Arc::new(current.clone()), set));
    for _ in 0..count {
        current = combined(&current, &step, if sign == '+' { 1.0 } else { -1.0 })?;
        out.push(Item::Histogram(Arc::new(current.clone()), set));
    }
    Ok(&rest[end..])
}

/// Histograms added bucket by bucket; scripts do it with equal layouts, or with bounds in common.
fn combined(a: &Histogram, b: &Histogram, factor: f64) -> Result<Histogram, String> {
    let source = crate::run::two(a.clone(), b.clone());
    let text = if factor > 0.0 { "a + on () b" } else { "a - on () b" };
    let expr = parse(text).map_err(|e| e.to_string())?;
    let answer = promql::evaluate(&source, &expr, promql::Query::Instant(0), &promql::Options::default());
    match answer.map_err(|e| e.to_string())?.value {
        promql::Value::Vector(all) => {
            let (_, samples) = all.first().ok_or("histograms that do not go together")?;
            let (_, histogram) = samples.histograms.first().ok_or("no histogram")?;
            let mut out = (**histogram).clone();
            out.hint = joined_hint(a.hint, b.hint);
            Ok(out)
        }
        _ => Err("no vector".into()),
    }
}

fn joined_hint(a: ResetHint, b: ResetHint) -> ResetHint {
    match (a, b) {
        (a, b) if a == b => a,
        (ResetHint::Gauge, _) | (_, ResetHint::Gauge) => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    }
}

fn parse_histogram(text: &str) -> Result<(Histogram, bool, &str), String> {
    let end = text.find("}}").ok_or("a histogram without end")?;
    let inner = text.get(2..end).ok_or("a histogram without begin")?;
    let mut out = Histogram::default();
    let (mut set, mut bounds) = (false, Vec::new());
    let (mut buckets, mut offset, mut negative, mut negative_offset) = (Vec::new(), 0, Vec::new(), 0);
    let mut rest = inner.trim();
    while !rest.is_empty() {
        let (key, tail) = rest.split_once(':').ok_or_else(|| format!("{rest}: a key without value"))?;
        let end = if tail.starts_with('[') {
            tail.find(']').map(|at| at + 1).ok_or("a list without end")?
        } else {
            tail.find([' ', '\t']).unwrap_or(tail.len())
        };
        let value = &tail[..end];
        let list =
            || -> Result<Vec<f64>, String> { value.trim_matches(['[', ']']).split_whitespace().map(number).collect() };
        match key.trim() {
            "schema" => out.schema = value.parse().map_err(|_| format!("{value} is no schema"))?,
            "sum" => out.sum = number(value)?,
            "count" => out.count = number(value)?,
            "z_bucket" => out.zero_count = number(value)?,
            "z_bucket_w" => out.zero_threshold = number(value)?,
            "custom_values" => bounds = list()?,
            "buckets" => buckets = list()?,
            "offset" => offset = value.parse().map_err(|_| format!("{value} is no offset"))?,
            "n_buckets" => negative = list()?,
            "n_offset" => negative_offset = value.parse().map_err(|_| format!("{value} is no offset"))?,
            "counter_reset_hint" => {
                set = true;
                out.hint = match value {
                    "unknown" => ResetHint::Unknown,
                    "reset" => ResetHint::Reset,
                    "not_reset" => ResetHint::NotReset,
                    "gauge" => ResetHint::Gauge,
                    other => return Err(format!("{other} is no hint")),
                };
            }
            other => return Err(format!("{other} is no key of a histogram")),
        }
        rest = tail[end..].trim_start();
    }
    let indexed = |buckets: Vec<f64>, offset: i32| (offset..).zip(buckets).filter(|(_, count)| *count != 0.0).collect();
    out.positive = indexed(buckets, offset);
    out.negative = indexed(negative, negative_offset);
    out.bounds = bounds.into();
    debug_assert!(out.bounds.is_empty() || out.schema == CUSTOM_BUCKETS);
    Ok((out, set, &text[end + 2..]))
}
