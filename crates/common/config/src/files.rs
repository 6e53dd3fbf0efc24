//! Log files that are read.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::units::{ByteSize, Span};
use crate::{Config, KIB, is_name};

/// Log files that are read as they grow, through rotation of every kind.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FileSource {
    /// Its name in status and metrics, `files/NAME`, and in the positions that survive a restart: letters, digits, `.`, `_`, `-`.
    pub name: String,
    /// Which files: absolute paths, in which `*` stands for any text without `/`, `?` for one character, `[ab]` for one of some, and `**`
    /// for any directories. Compressed files (`.gz`) are read for the rest of what was being read when they were made, never by themselves.
    pub include: Vec<String>,
    /// Which of them not, in the same form.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Where reading begins in files that are there when this source is first started. Files that come later are read from their beginning.
    #[serde(default)]
    pub start: FileStart,
    /// What the lines are.
    #[serde(default)]
    pub format: FileFormat,
    /// For `format: regex`: an expression whose named groups, `(?P<name>...)`, are the fields.
    pub pattern: Option<String>,
    /// For `format: csv`: the names of the columns, in order; an empty name leaves a column out.
    #[serde(default)]
    pub columns: Vec<String>,
    /// For `format: csv`: what stands between values, one ASCII character.
    #[serde(default = "default_delimiter")]
    pub delimiter: char,
    /// Which lines are one record; absent: each line is one.
    pub multiline: Option<FileMultiline>,
    /// How bytes are text.
    #[serde(default)]
    pub encoding: FileEncoding,
    /// The most bytes of one record: a longer line goes on in further records, and is counted.
    #[serde(default = "default_max_line")]
    pub max_line: ByteSize,
    /// How long a record that may go on, or a line without its end, waits for more.
    #[serde(default = "default_flush_after")]
    pub flush_after: Span,
    /// How many files are known at once; more are not read, and counted.
    #[serde(default = "default_max_files")]
    pub max_files: u16,
    /// Attributes of the resource, for example `service.name: app`. What the path says of a Kubernetes pod is there by itself.
    #[serde(default)]
    pub resource: BTreeMap<String, String>,
    /// Attributes of every record.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

/// Where reading begins: `end` (only what is written from now on), `beginning`, or a time (RFC 3339): from the first record of that time or later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileStart {
    /// At their end: only what is written from now on.
    #[default]
    End,
    /// At their beginning.
    Beginning,
    /// At their first record of this time or a later one, Unix nanoseconds.
    Time(u64),
}

impl<'de> Deserialize<'de> for FileStart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "end" => Ok(Self::End),
            "beginning" => Ok(Self::Beginning),
            text => filter::rfc3339_ns(text).map(Self::Time).ok_or_else(|| {
                D::Error::custom(format!(
                    "'{text}' is neither end nor beginning nor a time such as 2026-01-31T12:00:00Z"
                ))
            }),
        }
    }
}

/// What lines are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FileFormat {
    /// Lines of containers (CRI, Docker) without their envelope, JSON objects as fields, all others as they are.
    #[default]
    Auto,
    /// Each as it is.
    Plain,
    /// Lines of Kubernetes' containers; inside as `auto`.
    Cri,
    /// Lines of Docker's `json-file`; inside as `auto`.
    Docker,
    /// A JSON object each.
    Json,
    /// `key=value key="a value"`.
    Logfmt,
    /// What the groups of `pattern` match.
    Regex,
    /// Values of `columns` between `delimiter`.
    Csv,
    /// RFC 5424 and RFC 3164.
    Syslog,
}

/// How bytes are text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum FileEncoding {
    /// UTF-8; other bytes become U+FFFD, and are counted.
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// UTF-16, little-endian.
    #[serde(rename = "utf-16le")]
    Utf16Le,
    /// UTF-16, big-endian.
    #[serde(rename = "utf-16be")]
    Utf16Be,
    /// ISO 8859-1.
    #[serde(rename = "latin1")]
    Latin1,
}

/// Which lines are one record; one of the three.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FileMultiline {
    /// A line that matches this expression begins a record.
    pub start: Option<String>,
    /// A line that matches this expression goes on with the one before.
    pub continuation: Option<String>,
    /// The stack traces of a language go on with the line before.
    pub preset: Option<StackTraces>,
}

/// Languages whose stack traces are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StackTraces {
    /// Java and other languages of its machine.
    Java,
    /// Go.
    Go,
    /// Python.
    Python,
}

pub(crate) fn default_delimiter() -> char {
    ','
}

pub(crate) fn default_max_line() -> ByteSize {
    ByteSize(64 * KIB)
}

pub(crate) fn default_flush_after() -> Span {
    Span(Duration::from_secs(1))
}

fn default_max_files() -> u16 {
    512
}

/// What is wrong with them.
pub(crate) fn check(config: &Config) -> Result<(), String> {
    let mut names = BTreeSet::new();
    for source in &config.sources.files {
        let name = &source.name;
        check_one(source).map_err(|why| format!("sources.files, {name}: {why}"))?;
        if !names.insert(name) {
            return Err(format!("sources.files: two are named {name}; every source needs its own name"));
        }
    }
    Ok(())
}

fn check_one(source: &FileSource) -> Result<(), String> {
    if !is_name(&source.name, "._-") {
        return Err("name: use 1 to 128 letters, digits, '.', '_' or '-'".into());
    }
    if source.include.is_empty() {
        return Err("include: name at least one path".into());
    }
    if let Some(path) = source.include.iter().chain(&source.exclude).find(|path| !path.starts_with('/')) {
        return Err(format!("'{path}' must begin with '/'"));
    }
    if !(256..=192 * KIB).contains(&source.max_line.0) {
        return Err("max_line: from 256 to 192KiB".into());
    }
    if source.max_files == 0 {
        return Err("max_files: at least 1".into());
    }
    check_format(source.format, source.pattern.as_ref(), &source.columns, source.delimiter)?;
    source.multiline.as_ref().map_or(Ok(()), check_multiline)
}

fn expression(key: &str, text: Option<&String>) -> Result<(), String> {
    match text {
        Some(text) => regex_lite::Regex::new(text).map(drop).map_err(|error| format!("{key}: {error}")),
        None => Ok(()),
    }
}

/// What is wrong with a format and what it needs.
pub(crate) fn check_format(
    format: FileFormat,
    pattern: Option<&String>,
    columns: &[String],
    delimiter: char,
) -> Result<(), String> {
    expression("pattern", pattern)?;
    if (format == FileFormat::Regex) != pattern.is_some() {
        return Err("pattern: it is for format: regex, which needs one".into());
    }
    if (format == FileFormat::Csv) == columns.is_empty() {
        return Err("columns: they are for format: csv, which needs them".into());
    }
    if !delimiter.is_ascii() {
        return Err("delimiter: one ASCII character".into());
    }
    Ok(())
}

/// What is wrong with lines that go together.
pub(crate) fn check_multiline(multiline: &FileMultiline) -> Result<(), String> {
    expression("multiline.start", multiline.start.as_ref())?;
    expression("multiline.continuation", multiline.continuation.as_ref())?;
    let given = [multiline.start.is_some(), multiline.continuation.is_some(), multiline.preset.is_some()];
    if given.into_iter().filter(|given| *given).count() != 1 {
        return Err("multiline: give one of start, continuation and preset".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &str) -> Result<FileSource, String> {
        let text = format!(
            "version: 0\ndevice: {{ id: d }}\ndata_dir: /d\nsources: {{ files: [{files}] }}\n\
             destinations: [{{ name: hub, type: hub, url: 'http://localhost:1' }}]\n"
        );
        crate::parse(&text).map(|mut config| config.sources.files.remove(0)).map_err(|error| error.to_string())
    }

    /// Scenario: sources with every key, and ones with a wrong one. Guarantees: what is wrong is told with the source's name.
    #[test]
    fn file_sources_are_read() {
        let source = read("{ name: app, include: ['/var/log/*.log'] }").unwrap();
        assert_eq!((source.start, source.format, source.max_line.0), (FileStart::End, FileFormat::Auto, 65536));
        let source = read(
            "{ name: a, include: [/a], exclude: ['/a.gz'], start: beginning, format: csv, columns: [x, '', y], delimiter: ';', \
             encoding: utf-16le, max_line: 1KiB, flush_after: 5s, resource: { service.name: app }, attributes: { x: y }, \
             multiline: { preset: java } }",
        );
        assert_eq!(source.unwrap().encoding, FileEncoding::Utf16Le);
        let source = read("{ name: a, include: [/a], start: '1970-01-01T00:00:07Z' }").unwrap();
        assert_eq!(source.start, FileStart::Time(7_000_000_000));
        for (bad, says) in [
            ("name: a, include: [/a], start: noon", "neither end nor beginning"),
            ("name: a, include: []", "include"),
            ("name: a, include: [a.log]", "must begin with '/'"),
            ("name: 'a b', include: [/a]", "name: "),
            ("name: a, include: [/a], max_line: 1MiB", "max_line"),
            ("name: a, include: [/a], format: regex", "pattern"),
            ("name: a, include: [/a], format: regex, pattern: '('", "pattern"),
            ("name: a, include: [/a], pattern: 'x'", "pattern"),
            ("name: a, include: [/a], format: csv", "columns"),
            ("name: a, include: [/a], multiline: {}", "multiline"),
            ("name: a, include: [/a], multiline: { start: x, preset: go }", "multiline"),
            ("name: a, include: [/a] }, { name: a, include: [/b]", "two are named a"),
            ("name: a, include: [/a], max_files: 0", "max_files"),
        ] {
            let error = read(&format!("{{ {bad} }}")).unwrap_err();
            assert!(error.contains(says), "{bad}: {error}");
        }
    }
}
