//! One line of an exposition: Prometheus text 0.0.4 and 1.0.0, OpenMetrics 1.0 and 2.0.

use std::borrow::Cow;

use crate::composite;
use crate::distribution::Distribution;
use crate::kind::Kind;
use crate::labels::{Labels, METRIC_NAME};
use crate::number;
use crate::shown::shown;

/// The grammar of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grammar {
    /// Prometheus text.
    Text,
    /// OpenMetrics up to 1.x.
    OpenMetrics,
    /// OpenMetrics 2.0.
    OpenMetrics2,
}

/// What a line says.
#[derive(Debug, PartialEq)]
pub(crate) enum Line<'a> {
    /// Nothing.
    Nothing,
    /// The type of a family.
    Type(Cow<'a, str>, Kind),
    /// What a family means.
    Help(Cow<'a, str>, Cow<'a, str>),
    /// The unit of a family.
    Unit(Cow<'a, str>, &'a str),
    /// The end of the exposition.
    End,
    /// A sample; its labels, exemplars and buckets are in the scratch.
    Sample(Sample),
}

/// What a sample has beside its labels.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Sample {
    /// Its number; `None` where it has a distribution.
    pub(crate) value: Option<f64>,
    /// Unix nanoseconds.
    pub(crate) time: Option<u64>,
    /// Unix nanoseconds.
    pub(crate) start: Option<u64>,
}

/// An exemplar; its labels are in the scratch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exemplar {
    pub(crate) labels: (usize, usize),
    pub(crate) value: f64,
    /// Unix nanoseconds.
    pub(crate) time: Option<u64>,
}

/// What lines are read into, used again for each.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// The series' labels, its name among them.
    pub(crate) labels: Labels,
    pub(crate) exemplars: Vec<Exemplar>,
    pub(crate) exemplar_labels: Labels,
    pub(crate) distribution: Distribution,
}

impl Scratch {
    /// Begins anew, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.labels.clear();
        self.exemplars.clear();
        self.exemplar_labels.clear();
    }

    /// The memory that it holds, roughly.
    pub(crate) fn capacity(&self) -> usize {
        self.labels.capacity() + self.exemplar_labels.capacity()
    }
}

/// Why a line is none.
pub(crate) type Fault = String;

/// Reads a line, without its line end.
pub(crate) fn read<'a>(line: &'a str, grammar: Grammar, scratch: &mut Scratch) -> Result<Line<'a>, Fault> {
    let line = match grammar {
        Grammar::Text => line.trim_start_matches([' ', '\t']),
        _ if line.is_empty() => return Err("an empty line".into()),
        _ => line,
    };
    match line.as_bytes().first() {
        None => Ok(Line::Nothing),
        Some(b'#') => comment(line, grammar),
        Some(_) => {
            scratch.clear();
            sample(line, grammar, scratch).map(Line::Sample)
        }
    }
}

fn comment(line: &str, grammar: Grammar) -> Result<Line<'_>, Fault> {
    let text = grammar == Grammar::Text;
    let rest = line.strip_prefix('#').unwrap_or(line);
    let rest = if text { rest.trim_start_matches([' ', '\t']) } else { rest.strip_prefix(' ').unwrap_or_default() };
    if !text && rest == "EOF" {
        return Ok(Line::End);
    }
    let Some((keyword, rest)) = rest.split_once([' ', '\t']) else {
        return if text {
            Ok(Line::Nothing)
        } else {
            Err(format!("{} is no comment that OpenMetrics has", shown(line)))
        };
    };
    if !matches!(keyword, "HELP" | "TYPE") && (text || keyword != "UNIT") {
        return if text {
            Ok(Line::Nothing)
        } else {
            Err(format!("{} is no comment that OpenMetrics has", shown(line)))
        };
    }
    let rest = if text { rest.trim_start_matches([' ', '\t']) } else { rest };
    let (name, rest) = match rest.strip_prefix('"') {
        Some(quoted) => quoted_text(quoted)?,
        None => {
            let end = rest.find([' ', '\t']).unwrap_or(rest.len());
            let (name, rest) = rest.split_at(end);
            if !is_metric_name(name) {
                return Err(format!("{} is no name of a metric", shown(name)));
            }
            (Cow::Borrowed(name), rest)
        }
    };
    let said = if text { rest.trim_start_matches([' ', '\t']) } else { rest.strip_prefix(' ').unwrap_or(rest) };
    match keyword {
        "HELP" => Ok(Line::Help(name, unescaped(said))),
        "UNIT" => {
            let behind = name.strip_suffix("_total").unwrap_or(&name);
            if grammar == Grammar::OpenMetrics && !said.is_empty() && !behind.ends_with(said) {
                return Err(format!("the unit {} does not end the name {}", shown(said), shown(&name)));
            }
            Ok(Line::Unit(name, said))
        }
        _ => {
            let word = said.trim_end_matches([' ', '\t']);
            let kind = Kind::of(word, !text).ok_or_else(|| format!("{} is no type of a metric", shown(word)))?;
            Ok(Line::Type(name, kind))
        }
    }
}

fn sample(line: &str, grammar: Grammar, scratch: &mut Scratch) -> Result<Sample, Fault> {
    let mut rest = line;
    if !line.starts_with('{') {
        let end = line.find(|c: char| !is_name_char(c)).unwrap_or(line.len());
        let (name, behind) = line.split_at(end);
        if !is_metric_name(name) {
            return Err(format!("a name of a metric is expected, and {} is none", shown(line)));
        }
        scratch.labels.push(METRIC_NAME, name);
        rest = behind;
        if grammar == Grammar::Text {
            rest = rest.trim_start_matches([' ', '\t']);
        }
    }
    if let Some(inside) = rest.strip_prefix('{') {
        rest = labels(inside, &mut scratch.labels, !line.starts_with('{'))?;
    }
    if scratch.labels.get(METRIC_NAME).is_none_or(str::is_empty) {
        return Err("the name of the metric is missing".into());
    }
    let is_blank = |c: char| c == ' ' || (grammar == Grammar::Text && c == '\t');
    let blank = rest.starts_with(is_blank);
    if grammar == Grammar::Text {
        rest = rest.trim_matches(is_blank);
    } else {
        rest = rest.strip_prefix(' ').unwrap_or(rest);
    }
    if !blank && rest.is_empty() {
        return Err("a value is expected behind the labels".into());
    }
    let mut sample = Sample::default();
    if let Some(inside) = rest.strip_prefix('{').filter(|_| grammar == Grammar::OpenMetrics2) {
        let (inside, behind) = inside.split_once('}').ok_or("a value begins with '{' and does not end")?;
        composite::read(inside, &mut scratch.distribution)?;
        rest = behind;
    } else {
        let (word, behind) = word(rest);
        sample.value = Some(number::value(word).ok_or_else(|| format!("{} is no number", shown(word)))?);
        rest = behind;
    }
    behind_value(rest, grammar, &mut sample, scratch)?;
    Ok(sample)
}

/// Reads what stands behind a value: time, start, exemplars.
fn behind_value(rest: &str, grammar: Grammar, sample: &mut Sample, scratch: &mut Scratch) -> Result<(), Fault> {
    if grammar == Grammar::Text {
        let rest = rest.trim_matches([' ', '\t']);
        if !rest.is_empty() {
            let millis: i64 = rest.parse().map_err(|_| format!("{} is no time in milliseconds", shown(rest)))?;
            sample.time = Some(number::of_millis(millis));
        }
        return Ok(());
    }
    let mut rest = rest;
    while !rest.is_empty() {
        rest = rest.strip_prefix(' ').ok_or_else(|| format!("a space is expected before {}", shown(rest)))?;
        if let Some(exemplar) = rest.strip_prefix("# {") {
            if grammar == Grammar::OpenMetrics && !scratch.exemplars.is_empty() {
                return Err("a second exemplar, of which there may be one".into());
            }
            rest = read_exemplar(exemplar, scratch)?;
            continue;
        }
        let (word, behind) = word(rest);
        match word.strip_prefix("st@").filter(|_| grammar == Grammar::OpenMetrics2) {
            Some(start) => sample.start = Some(seconds(start)?),
            None if sample.time.is_none() && scratch.exemplars.is_empty() => sample.time = Some(seconds(word)?),
            None => return Err(format!("{} is one word too many", shown(word))),
        }
        rest = behind;
    }
    Ok(())
}

/// Reads an exemplar from behind its brace: what stands behind it.
fn read_exemplar<'a>(text: &'a str, scratch: &mut Scratch) -> Result<&'a str, Fault> {
    let from = scratch.exemplar_labels.len();
    let rest = labels(text, &mut scratch.exemplar_labels, true)?;
    let rest = rest.strip_prefix(' ').ok_or("a value is expected behind the labels of an exemplar")?;
    let (value, mut rest) = word(rest);
    let value = number::value(value).ok_or_else(|| format!("{} is no number of an exemplar", shown(value)))?;
    let mut time = None;
    if let Some(more) = rest.strip_prefix(' ').filter(|more| !more.starts_with('#')) {
        let (word, behind) = word(more);
        time = Some(seconds(word)?);
        rest = behind;
    }
    let labels = (from, scratch.exemplar_labels.len());
    scratch.exemplars.push(Exemplar { labels, value, time });
    Ok(rest)
}

fn seconds(word: &str) -> Result<u64, Fault> {
    number::of_seconds(word).ok_or_else(|| format!("{} is no time in seconds", shown(word)))
}

/// Splits at the first blank, which stays with what is behind.
fn word(text: &str) -> (&str, &str) {
    text.split_at(text.find([' ', '\t']).unwrap_or(text.len()))
}

/// Reads labels from behind their brace: what stands behind the other one. A quoted text alone is the name, where there is none yet.
fn labels<'a>(text: &'a str, out: &mut Labels, named: bool) -> Result<&'a str, Fault> {
    let blank = [' ', '\t'];
    let mut rest = text.trim_start_matches(blank);
    let mut named = named;
    loop {
        if let Some(behind) = rest.strip_prefix('}') {
            return Ok(behind);
        }
        let (name, behind) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_text(quoted)?,
            None => {
                let end = rest.find(|c: char| !is_name_char(c) || c == ':').unwrap_or(rest.len());
                let (name, behind) = rest.split_at(end);
                if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
                    return Err(format!("a label is expected, and {} is none", shown(rest)));
                }
                (Cow::Borrowed(name), behind)
            }
        };
        let is_quoted = rest.starts_with('"');
        let behind = behind.trim_start_matches(blank);
        rest = match behind.strip_prefix('=') {
            Some(value) => {
                let value = value.trim_start_matches(blank).strip_prefix('"');
                let value = value.ok_or_else(|| format!("the value of label {} must stand in quotes", shown(&name)))?;
                if name.is_empty() || name == METRIC_NAME {
                    return Err(format!("{} is no name of a label", shown(&name)));
                }
                let (value, behind) = quoted_text(value)?;
                out.push(&name, &value);
                behind
            }
            None if is_quoted && !named => {
                named = true;
                out.push(METRIC_NAME, &name);
                behind
            }
            None => return Err(format!("'=' is expected behind label {}", shown(&name))),
        };
        rest = rest.trim_start_matches(blank);
        rest = match (rest.strip_prefix(','), rest.starts_with('}')) {
            (Some(more), _) => more.trim_start_matches(blank),
            (None, true) => rest,
            (None, false) => return Err(format!("',' or '}}' is expected between labels, not {}", shown(rest))),
        };
    }
}

/// Reads a text from behind its quote: the text, and what stands behind the other quote.
fn quoted_text(text: &str) -> Result<(Cow<'_, str>, &str), Fault> {
    let bytes = text.as_bytes();
    let (mut at, mut escapes) = (0, false);
    loop {
        match bytes.get(at) {
            None => return Err(format!("the quote in front of {} is not closed", shown(text))),
            Some(b'"') => break,
            Some(b'\\') => {
                escapes = true;
                at += 2;
            }
            Some(_) => at += 1,
        }
    }
    // A backslash in front of the last quote may have led beyond the end.
    let (Some(inside), Some(behind)) = (text.get(..at), text.get(at + 1..)) else {
        return Err(format!("the quote in front of {} is not closed", shown(text)));
    };
    Ok((if escapes { unescaped(inside) } else { Cow::Borrowed(inside) }, behind))
}

/// A text without its escapes; those that there are none of stay as they are.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('\\') {
        out.push_str(before);
        let mut characters = behind.chars();
        match characters.next() {
            Some('n') => out.push('\n'),
            Some(c @ ('\\' | '"')) => out.push(c),
            Some(c) => out.extend(['\\', c]),
            None => out.push('\\'),
        }
        rest = characters.as_str();
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

fn is_metric_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(is_name_char)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample_of(text: &str, grammar: Grammar) -> Result<(String, Sample, usize), Fault> {
        let mut scratch = Scratch::default();
        match read(text, grammar, &mut scratch)? {
            Line::Sample(sample) => {
                let labels: Vec<_> = scratch.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
                Ok((labels.join("|"), sample, scratch.exemplars.len()))
            }
            other => Err(format!("{other:?}")),
        }
    }

    /// Scenario: samples of Prometheus text in every form that it may have. Guarantees: labels, value and time as meant.
    #[test]
    fn text_samples_are_read() {
        let read = |text: &str| sample_of(text, Grammar::Text).unwrap();
        assert_eq!(read("up 1").0, "__name__=up");
        let (labels, sample, _) = read(" a:b{x=\"1\", y = \"q\\\"\\\\\\n\\d\" ,}\t-2.5\t1395066363000 ");
        assert_eq!(labels, "__name__=a:b|x=1|y=q\"\\\n\\d");
        assert_eq!((sample.value, sample.time), (Some(-2.5), Some(1_395_066_363_000_000_000)));
        assert_eq!(read("a {} NaN").1.value.unwrap().to_bits(), number::NORMAL_NAN);
        assert_eq!(read("{\"my.metric\",\"a b\"=\"c\",d=\"\u{e9}\"} 1e3").0, "__name__=my.metric|a b=c|d=\u{e9}");
        assert_eq!(read("a{b=\"}\"}1").1.value, Some(1.0));
        for bad in [
            "a",
            "a{",
            "a{b}",
            "a{b=}",
            "a{b=\"",
            "a{b=\"c\"",
            "a{b=\"c\" d=\"e\"} 1",
            "a{1b=\"c\"} 1",
            "1a 1",
            "a 1 x",
            "a 1 2 3",
            "a{\"b\"} 1",
            "{a=\"b\"} 1",
            "a{\"\"=\"b\"} 1",
            "a b",
            "a 1 1.5",
            "a{b=\"c\\\"} 1",
            "\u{e9} 1",
            "a{__name__=\"b\"} 1",
            "{\"\"} 1",
            "a 1 # {b=\"c\"} 1",
        ] {
            assert!(sample_of(bad, Grammar::Text).is_err(), "{bad}");
        }
    }

    /// Scenario: samples of OpenMetrics with times, starts and exemplars. Guarantees: read as meant; spaces are exact.
    #[test]
    fn openmetrics_samples_are_read() {
        let (labels, sample, exemplars) =
            sample_of("a_total{b=\"c\"} 1.0 1.5 # {trace_id=\"ab\"} 0.5 1.25", Grammar::OpenMetrics).unwrap();
        assert_eq!((labels.as_str(), exemplars), ("__name__=a_total|b=c", 1));
        assert_eq!(sample.time, Some(1_500_000_000));
        let (_, sample, exemplars) =
            sample_of("a 17.0 2 st@1.5 # {} 0.6 1 # {x=\"y\"} 2 3", Grammar::OpenMetrics2).unwrap();
        assert_eq!((sample.time, sample.start, exemplars), (Some(2_000_000_000), Some(1_500_000_000), 2));
        let composite = "a{b=\"c\"} {count:2,sum:1.2e2,bucket:[0.5:1,+Inf:2]} st@1";
        assert_eq!(sample_of(composite, Grammar::OpenMetrics2).unwrap().1.value, None);
        for bad in [
            "",
            " a 1",
            "a  1",
            "a\t1",
            "a 1 ",
            "a 1  2",
            "a 1 st@1",
            "a 1 # {",
            "a 1 # {} x",
            "a 1 # {} 1 x",
            "a {} 1",
            "a 1 # {} 1 # {} 1",
            "a {count:1}",
            "# nothing",
            "#EOF",
            "# UNIT a b",
        ] {
            let read = sample_of(bad, Grammar::OpenMetrics);
            assert!(read.is_err(), "{bad}: {read:?}");
        }
    }

    /// Scenario: comments of both formats. Guarantees: type, help and unit are told with the family's name; other comments are nothing in
    /// text and an error in OpenMetrics.
    #[test]
    fn comments_are_read() {
        let mut scratch = Scratch::default();
        let mut text = |line| read(line, Grammar::Text, &mut scratch).map(|line| format!("{line:?}"));
        assert_eq!(text("#\tHELP  a   it \\n says").unwrap(), "Help(\"a\", \"it \\n says\")");
        assert_eq!(text("# TYPE \"a.b\" counter").unwrap(), "Type(\"a.b\", Counter)");
        assert_eq!(text("# TYPE a untyped").unwrap(), "Type(\"a\", Unknown)");
        for nothing in ["", "#", "# anything", "# TYPED a counter", "# EOF", "# UNIT a b", "\t "] {
            assert_eq!(text(nothing).unwrap(), "Nothing", "{nothing}");
        }
        for bad in ["# TYPE a", "# TYPE a colour", "# HELP 1a x", "# TYPE \"a counter"] {
            assert!(text(bad).is_err(), "{bad}");
        }
        let mut open = |line| read(line, Grammar::OpenMetrics, &mut scratch).map(|line| format!("{line:?}"));
        assert_eq!(open("# UNIT a_seconds seconds").unwrap(), "Unit(\"a_seconds\", \"seconds\")");
        assert_eq!(open("# EOF").unwrap(), "End");
        assert_eq!(open("# TYPE a stateset").unwrap(), "Type(\"a\", StateSet)");
        assert!(open("# UNIT a seconds").is_err());
        assert!(open("# TYPE a untyped").is_err());
    }
}
