//! Pipelines: what becomes of a record, stage by stage.

pub(crate) mod filter;
mod ip;
mod json;
mod logfmt;
mod pattern;

use std::borrow::Cow;

use regex::Regex;

use crate::fields::{ERROR, ERROR_DETAILS, Fields, put_label_name};
use crate::syntax::ast::{Extraction, LabelFormat, Named, Stage};
use crate::template::{Filling, Template};
use filter::{Labelled, Lines};
use pattern::Pattern;

/// A stage, ready to work.
#[derive(Debug, Clone)]
enum Ready {
    Line(Lines),
    Json,
    JsonPaths(Vec<(String, Vec<json::Step>)>),
    Logfmt { strict: bool, keep_empty: bool, fields: Vec<Extraction> },
    Regexp(Regex),
    Pattern(Pattern),
    Unpack,
    Label(Labelled),
    LineFormat(Template),
    LabelFormat(Vec<(String, Result<Template, String>)>),
    Drop(Vec<Named>),
    Keep(Vec<Named>),
    Decolorize,
}

/// Stages, ready to work.
#[derive(Debug, Clone)]
pub(crate) struct Pipeline {
    /// Filters of lines before anything else.
    first: Vec<Lines>,
    stages: Vec<Ready>,
}

impl Pipeline {
    /// Makes ready what stages say.
    ///
    /// # Errors
    /// An expression, pattern, path or template that is none.
    pub(crate) fn new(stages: &[Stage]) -> Result<Self, String> {
        let is_line = |stage: &&Stage| matches!(stage, Stage::Line(_));
        let count = stages.iter().take_while(is_line).count();
        let mut first = Vec::with_capacity(count);
        let mut rest = Vec::with_capacity(stages.len() - count);
        for (place, stage) in stages.iter().enumerate() {
            match ready(stage)? {
                Ready::Line(lines) if place < count => first.push(lines),
                other => rest.push(other),
            }
        }
        Ok(Self { first, stages: rest })
    }

    /// Whether a line passes the filters that come before anything else.
    pub(crate) fn passes_first(&self, line: &str) -> bool {
        self.first.iter().all(|lines| lines.passes(line))
    }

    /// Takes a record that passed the first filters through the stages; its line, unless it is left out.
    pub(crate) fn run<'l>(&self, line: &'l str, time_ns: i64, fields: &mut Fields<'_>) -> Option<Cow<'l, str>> {
        let mut line = Cow::Borrowed(line);
        for stage in &self.stages {
            if !stage.run(&mut line, time_ns, fields) {
                return None;
            }
        }
        Some(line)
    }
}

fn ready(stage: &Stage) -> Result<Ready, String> {
    Ok(match stage {
        Stage::Line(filter) => Ready::Line(Lines::new(filter)?),
        Stage::Json(fields) if fields.is_empty() => Ready::Json,
        Stage::Json(fields) => {
            let paths = fields.iter().map(|own| Ok((own.name.clone(), json::path(&own.path)?)));
            Ready::JsonPaths(paths.collect::<Result<_, String>>()?)
        }
        Stage::Logfmt { strict, keep_empty, fields } => {
            Ready::Logfmt { strict: *strict, keep_empty: *keep_empty, fields: fields.clone() }
        }
        Stage::Regexp(text) => {
            let regex = promql::expression(text)?;
            let names: Vec<&str> = regex.capture_names().flatten().collect();
            if names.is_empty() {
                return Err("at least one named capture must be supplied".into());
            }
            Ready::Regexp(regex)
        }
        Stage::Pattern(text) => Ready::Pattern(Pattern::captures_of(text)?),
        Stage::Unpack => Ready::Unpack,
        Stage::Label(filter) => Ready::Label(Labelled::new(filter)?),
        Stage::LineFormat(text) => Ready::LineFormat(Template::new(text)?),
        Stage::LabelFormat(formats) => {
            let format = |(name, format): &(String, LabelFormat)| {
                let made = match format {
                    LabelFormat::Rename(from) => Err(from.clone()),
                    LabelFormat::Template(text) => Ok(Template::new(text)?),
                };
                Ok((name.clone(), made))
            };
            Ready::LabelFormat(formats.iter().map(format).collect::<Result<_, String>>()?)
        }
        Stage::Drop(names) => Ready::Drop(names.clone()),
        Stage::Keep(names) => Ready::Keep(names.clone()),
        Stage::Decolorize => Ready::Decolorize,
    })
}

/// What a line is, `json` or `logfmt`, and its pairs; `None` where it is neither.
#[must_use]
pub fn detect(line: &str) -> Option<(&'static str, Vec<(String, String)>)> {
    let none = promql::Labels::default();
    let mut fields = Fields::new(&none, &[]);
    let parser = if line.trim_start().starts_with('{') && json::flatten(line, &mut fields).is_ok() {
        "json"
    } else {
        fields = Fields::new(&none, &[]);
        logfmt(line, true, false, &[], &mut fields);
        if fields.error().is_some() {
            return None;
        }
        "logfmt"
    };
    let pairs: Vec<(String, String)> = fields.made().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    (!pairs.is_empty()).then_some((parser, pairs))
}

fn is_named(names: &[Named], label: &str, fields: &Fields<'_>) -> bool {
    names.iter().any(|named| match named {
        Named::Name(name) => name == label,
        Named::Matcher(matcher) => matcher.name == label && matcher.matches(fields.get(label).unwrap_or("")),
    })
}

impl Ready {
    /// Does its work; whether the record goes on.
    fn run(&self, line: &mut Cow<'_, str>, time_ns: i64, fields: &mut Fields<'_>) -> bool {
        match self {
            Ready::Line(lines) => return lines.passes(line),
            Ready::Label(filter) => return filter.passes(fields),
            Ready::Json => {
                if json::flatten(line, fields).is_err() {
                    fields.fail("JSONParserErr", "the line is no JSON object");
                }
            }
            Ready::JsonPaths(wanted) => {
                if json::extract(line, wanted, fields).is_err() {
                    fields.fail("JSONParserErr", "the line is no JSON");
                }
            }
            Ready::Logfmt { strict, keep_empty, fields: wanted } => logfmt(line, *strict, *keep_empty, wanted, fields),
            Ready::Regexp(regex) => {
                if let Some(found) = regex.captures(line) {
                    for name in regex.capture_names().flatten() {
                        fields.extract(name, found.name(name).map_or("", |found| found.as_str()));
                    }
                }
            }
            Ready::Pattern(pattern) => pattern.captures(line, |name, value| fields.extract(name, value)),
            Ready::Unpack => match json::unpack(line, fields) {
                Ok(Some(entry)) => *line = Cow::Owned(entry),
                Ok(None) => {}
                Err(json::Malformed) => fields.fail("JSONParserErr", "the line is no JSON object"),
            },
            Ready::LineFormat(template) => match fill(template, line, time_ns, fields) {
                Ok(text) => *line = Cow::Owned(text),
                Err(what) => fields.fail("TemplateFormatErr", what),
            },
            Ready::LabelFormat(formats) => {
                for (name, format) in formats {
                    match format {
                        Err(from) => {
                            if let Some(value) = fields.get(from).map(str::to_owned) {
                                fields.remove(from);
                                fields.set(name, value);
                            }
                        }
                        Ok(template) => match fill(template, line, time_ns, fields) {
                            Ok(text) => fields.set(name, text),
                            Err(what) => fields.fail("TemplateFormatErr", what),
                        },
                    }
                }
            }
            Ready::Drop(names) => {
                let mut all = fields.names();
                all.retain(|label| is_named(names, label, fields));
                all.iter().for_each(|label| fields.remove(label));
            }
            Ready::Keep(names) => {
                let mut all = fields.names();
                all.retain(|label| !matches!(label.as_str(), ERROR | ERROR_DETAILS) && !is_named(names, label, fields));
                all.iter().for_each(|label| fields.remove(label));
            }
            Ready::Decolorize => {
                if line.contains('\u{1b}') {
                    *line = Cow::Owned(decolorized(line));
                }
            }
        }
        true
    }
}

fn fill(template: &Template, line: &str, time_ns: i64, fields: &Fields<'_>) -> Result<String, String> {
    let label = |name: &str| fields.get(name).unwrap_or("").to_owned();
    template.fill(&Filling { label: &label, line, time_ns })
}

fn logfmt(line: &str, strict: bool, keep_empty: bool, wanted: &[Extraction], fields: &mut Fields<'_>) {
    let mut bad = false;
    let mut found: Vec<(&str, String)> = Vec::new();
    logfmt::pairs(line, |pair| match pair {
        logfmt::Found::Bad => bad = true,
        logfmt::Found::Pair(key, value) => {
            let value = value.unwrap_or_default();
            if (!bad || !strict) && (keep_empty || !value.is_empty()) {
                found.push((key, value));
            }
        }
    });
    if strict && bad {
        fields.fail("LogfmtParserErr", "a part of the line is no key=value");
    }
    if wanted.is_empty() {
        let mut name = String::new();
        for (key, value) in found {
            name.clear();
            put_label_name(&mut name, key);
            if !name.is_empty() {
                fields.extract(&name, value);
            }
        }
        return;
    }
    for own in wanted {
        let value = found.iter().find(|(key, _)| *key == own.path).map(|(_, value)| value.clone());
        fields.extract(&own.name, value.unwrap_or_default());
    }
}

/// Without the sequences of a terminal: `ESC [ .. m` and its kind.
fn decolorized(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find('\u{1b}') {
        out.push_str(&rest[..at]);
        let sequence = &rest[at + 1..];
        rest = match sequence.strip_prefix('[') {
            Some(inner) => match inner.find(|c: char| ('@'..='~').contains(&c)) {
                Some(end) => &inner[end + 1..],
                None => "",
            },
            None => sequence,
        };
    }
    out.push_str(rest);
    out
}
