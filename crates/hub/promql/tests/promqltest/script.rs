//! The language of the scripts: `load`, `clear`, `eval`.

use crate::series::{Item, number, parse_line, parse_metric};
use promql::{Labels, parse_duration};
use regex::Regex;

/// What a line of `expect` asks for.
#[derive(Debug)]
pub(crate) enum Wanted {
    Any,
    Text(String),
    Regex(Regex),
}

impl Wanted {
    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Wanted::Any => true,
            Wanted::Text(own) => own == text,
            Wanted::Regex(own) => own.is_match(text),
        }
    }
}

/// What is expected of an answer.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    pub(crate) series: Vec<(Labels, Vec<Item>)>,
    pub(crate) scalar: Option<f64>,
    pub(crate) text: Option<String>,
    pub(crate) ordered: bool,
    pub(crate) fail: Option<Wanted>,
    pub(crate) warn: Vec<Wanted>,
    pub(crate) info: Vec<Wanted>,
    pub(crate) some_warn: bool,
    pub(crate) some_info: bool,
    pub(crate) no_warn: bool,
    pub(crate) no_info: bool,
    /// First, last and step of a range vector's samples.
    pub(crate) range_vector: Option<(i64, i64, i64)>,
}

/// When a query is evaluated.
#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    Instant(i64),
    Range(i64, i64, i64),
}

/// A query and what is expected.
#[derive(Debug)]
pub(crate) struct Eval {
    pub(crate) line: usize,
    pub(crate) query: String,
    pub(crate) when: When,
    pub(crate) expected: Expected,
}

/// Series that are loaded.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) step: i64,
    pub(crate) custom_buckets: bool,
    /// Labels, items, and for each item how long before it its counting began.
    pub(crate) series: Vec<(Labels, Vec<Item>, Vec<Option<i64>>)>,
}

/// A command.
#[derive(Debug)]
pub(crate) enum Command {
    Clear,
    Load(Load),
    Eval(Box<Eval>),
}

/// A script's commands; an evaluation that cannot be read is the error of its line.
pub(crate) fn parse_script(text: &str) -> Vec<Result<Command, (usize, String)>> {
    let lines: Vec<&str> = text.lines().map(str::trim).map(|l| if l.starts_with('#') { "" } else { l }).collect();
    let mut out = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        let number = at + 1;
        at += 1;
        if line.is_empty() {
            continue;
        }
        let body_end = lines[at..].iter().position(|l| l.is_empty()).map_or(lines.len(), |more| at + more);
        let word = line.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
        let command = if word == "clear" {
            out.push(Ok(Command::Clear));
            continue;
        } else if word.starts_with("load") {
            parse_load(line, &lines[at..body_end]).map(Command::Load)
        } else {
            parse_eval(line, number, &lines[at..body_end]).map(|eval| Command::Eval(Box::new(eval)))
        };
        at = body_end;
        out.push(command.map_err(|message| (number, message)));
    }
    out
}

fn parse_load(line: &str, body: &[&str]) -> Result<Load, String> {
    let mut words = line.split_whitespace();
    let custom_buckets = words.next() == Some("load_with_nhcb");
    let step = parse_duration(words.next().ok_or("load lacks a step")?)?;
    let mut series = Vec::new();
    let mut starts: Option<Vec<Option<i64>>> = None;
    for line in body {
        let metric_end = line.find([' ', '\t']).unwrap_or(line.len());
        if let Some(metric) = line[..metric_end].strip_suffix("@st") {
            parse_metric(metric)?;
            let items: Result<Vec<_>, String> = line[metric_end..].split_whitespace().map(parse_starts).collect();
            starts = Some(items?.into_iter().flatten().collect());
            continue;
        }
        let (labels, items) = parse_line(line)?;
        series.push((labels, items, starts.take().unwrap_or_default()));
    }
    Ok(Load { step, custom_buckets, series })
}

/// `_`, `_x3`, `-1m`, `-1mx3`, `-1m-30sx3`.
fn parse_starts(item: &str) -> Result<Vec<Option<i64>>, String> {
    let count = |text: &str| text.parse::<usize>().map_err(|_| format!("{text} is no count"));
    if let Some(rest) = item.strip_prefix('_') {
        return Ok(vec![None; rest.strip_prefix('x').map_or(Ok(1), count)?]);
    }
    let (body, times) = match item.split_once('x') {
        Some((body, times)) => (body, Some(count(times)?)),
        None => (item, None),
    };
    let signed = |text: &str| -> Result<i64, String> {
        let size = parse_duration(text.trim_start_matches(['+', '-']))?;
        Ok(if text.starts_with('-') { -size } else { size })
    };
    let split = body.char_indices().skip(1).find(|(_, c)| matches!(c, '+' | '-')).map(|(at, _)| at);
    let (base, step) = match split {
        Some(at) => (signed(&body[..at])?, signed(&body[at..])?),
        None => (signed(body)?, 0),
    };
    Ok((0..=times.unwrap_or(0)).map(|n| Some(base + step * n as i64)).collect())
}

fn parse_eval(line: &str, number_of_line: usize, body: &[&str]) -> Result<Eval, String> {
    let mut expected = Expected::default();
    let (word, rest) = line.split_once([' ', '\t']).ok_or("not a command")?;
    match word {
        "eval" => {}
        "eval_ordered" => expected.ordered = true,
        "eval_fail" => expected.fail = Some(Wanted::Any),
        "eval_warn" => expected.some_warn = true,
        "eval_info" => expected.some_info = true,
        other => return Err(format!("{other} is no command")),
    }
    let rest = rest.trim();
    let (when, query) = if let Some(rest) = rest.strip_prefix("instant") {
        let rest = rest.trim();
        match rest.strip_prefix("at ") {
            Some(rest) => {
                let (time, query) = rest.trim().split_once([' ', '\t']).ok_or("no query")?;
                (When::Instant(time_of(time)?), query)
            }
            None => (When::Instant(0), rest),
        }
    } else {
        let words: Vec<&str> = rest.split_whitespace().take(7).collect();
        let ["range", "from", from, "to", to, "step", step] = words[..] else { return Err("no range".into()) };
        let query =
            rest.split_once(" step ").and_then(|(_, tail)| tail.trim().split_once([' ', '\t'])).ok_or("no query")?;
        (When::Range(time_of(from)?, time_of(to)?, time_of(step)?), query.1)
    };
    for line in body {
        parse_expectation(line, &mut expected)?;
    }
    Ok(Eval { line: number_of_line, query: query.trim().to_owned(), when, expected })
}

fn time_of(text: &str) -> Result<i64, String> {
    match text.strip_prefix('-') {
        Some(size) => Ok(-parse_duration(size)?),
        None => parse_duration(text),
    }
}

fn parse_expectation(line: &str, expected: &mut Expected) -> Result<(), String> {
    if let Some(message) = line.strip_prefix("expected_fail_message") {
        expected.fail = Some(Wanted::Text(message.trim().to_owned()));
        return Ok(());
    }
    if let Some(pattern) = line.strip_prefix("expected_fail_regexp") {
        expected.fail = Some(Wanted::Regex(Regex::new(pattern.trim()).map_err(|e| e.to_string())?));
        return Ok(());
    }
    if let Some(range) = line.strip_prefix("expect range vector") {
        let words: Vec<&str> = range.split_whitespace().collect();
        let ["from", from, "to", to, "step", step] = words[..] else { return Err("no range vector".into()) };
        expected.range_vector = Some((time_of(from)?, time_of(to)?, time_of(step)?));
        return Ok(());
    }
    if let Some(text) = line.strip_prefix("expect string ") {
        let expr = promql::parse(text).map_err(|e| e.to_string())?;
        let promql::ast::Expr::String(text, _) = expr else { return Err("no string".into()) };
        expected.text = Some(text);
        return Ok(());
    }
    if line.split(' ').next() == Some("expect") {
        return parse_expect(line["expect".len()..].trim(), expected);
    }
    if let Ok(value) = number(line) {
        expected.scalar = Some(value);
        return Ok(());
    }
    let (labels, items) = parse_line(line)?;
    expected.series.push((labels, items));
    Ok(())
}

fn parse_expect(rest: &str, expected: &mut Expected) -> Result<(), String> {
    let (kind, rest) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
    let rest = rest.trim();
    let wanted = if let Some(text) = rest.strip_prefix("msg:") {
        Wanted::Text(text.trim().to_owned())
    } else if let Some(pattern) = rest.strip_prefix("regex:") {
        Wanted::Regex(Regex::new(pattern.trim()).map_err(|e| e.to_string())?)
    } else {
        Wanted::Any
    };
    match kind {
        "fail" => expected.fail = Some(wanted),
        "warn" => expected.warn.push(wanted),
        "info" => expected.info.push(wanted),
        "no_warn" => expected.no_warn = true,
        "no_info" => expected.no_info = true,
        "ordered" => expected.ordered = true,
        other => return Err(format!("expect {other} is not known")),
    }
    Ok(())
}
