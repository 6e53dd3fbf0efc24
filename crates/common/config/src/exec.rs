//! Programs that are run, and lines that come once: through a pipe, on standard input.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::files::{check_format, check_multiline, default_delimiter, default_flush_after, default_max_line};
use crate::units::{ByteSize, Span};
use crate::{Config, FileFormat, FileMultiline, KIB, MIB, is_name};

/// How lines become log records.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LineOptions {
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
    /// The most bytes of one record: a longer line goes on in further records, and is counted.
    #[serde(default = "default_max_line")]
    pub max_line: ByteSize,
    /// How long a record that may go on waits for more.
    #[serde(default = "default_flush_after")]
    pub flush_after: Span,
    /// Attributes of the resource, for example `service.name: app`.
    #[serde(default)]
    pub resource: BTreeMap<String, String>,
    /// Attributes of every record.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

impl Default for LineOptions {
    fn default() -> Self {
        Self {
            format: FileFormat::default(),
            pattern: None,
            columns: Vec::new(),
            delimiter: default_delimiter(),
            multiline: None,
            max_line: default_max_line(),
            flush_after: default_flush_after(),
            resource: BTreeMap::new(),
            attributes: BTreeMap::new(),
        }
    }
}

/// A program that is run, and whose output is taken in. Its environment is `PATH` and what is said here, it gets no input, and it ends with
/// the agent, with all that it started.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ExecSource {
    /// Its name in status and metrics, `exec/NAME`: letters, digits, `.`, `_`, `-`.
    pub name: String,
    /// The program, an absolute path, and its arguments. No shell reads them.
    pub command: Vec<String>,
    /// How often it is run. Absent: it is kept running, and started again when it ends, after 1 s at first and 60 s at last.
    pub interval: Option<Span>,
    /// How long a run at an interval may take; then it is ended. Absent: 10 s, or the interval where that is shorter.
    pub timeout: Option<Span>,
    /// What it writes to its standard output.
    #[serde(default)]
    pub output: ExecFormat,
    /// The most bytes of one exposition (`output: prometheus`), or of one line (`output: otlp_json`).
    #[serde(default = "default_max_output")]
    pub max_output: ByteSize,
    /// For `output: lines`: how they become log records.
    #[serde(default)]
    pub lines: LineOptions,
    /// Its environment beside `PATH`.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Where it is run.
    #[serde(default = "default_directory")]
    pub directory: PathBuf,
}

impl ExecSource {
    /// How long a run at an interval may take.
    pub fn time_limit(&self) -> Duration {
        let most = self.interval.map_or(TIMEOUT, |interval| interval.0);
        self.timeout.map_or(TIMEOUT, |timeout| timeout.0).min(most)
    }
}

/// What a program writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ExecFormat {
    /// Log lines.
    #[default]
    Lines,
    /// Metrics in Prometheus' text format. Where the program is kept running, a line `# EOF` ends each exposition.
    Prometheus,
    /// OTLP in JSON, one request a line: `{"resourceSpans":...}`, `{"resourceLogs":...}` or `{"resourceMetrics":...}`.
    OtlpJson,
}

const TIMEOUT: Duration = Duration::from_secs(10);

fn default_max_output() -> ByteSize {
    ByteSize(256 * KIB)
}

fn default_directory() -> PathBuf {
    "/".into()
}

/// What is wrong with lines.
fn check_lines(lines: &LineOptions) -> Result<(), String> {
    if !(256..=192 * KIB).contains(&lines.max_line.0) {
        return Err("max_line: from 256 to 192KiB".into());
    }
    check_format(lines.format, lines.pattern.as_ref(), &lines.columns, lines.delimiter)?;
    lines.multiline.as_ref().map_or(Ok(()), check_multiline)
}

/// What is wrong with them.
pub(crate) fn check(config: &Config) -> Result<(), String> {
    let mut names = BTreeSet::new();
    for source in &config.sources.exec {
        let name = &source.name;
        check_one(source).map_err(|why| format!("sources.exec, {name}: {why}"))?;
        if !names.insert(name) {
            return Err(format!("sources.exec: two are named {name}; every source needs its own name"));
        }
    }
    config.sources.stdin.as_ref().map_or(Ok(()), check_lines).map_err(|why| format!("sources.stdin.{why}"))
}

fn check_one(source: &ExecSource) -> Result<(), String> {
    if !is_name(&source.name, "._-") {
        return Err("name: use 1 to 128 letters, digits, '.', '_' or '-'".into());
    }
    if source.command.first().is_none_or(|program| !program.starts_with('/')) {
        return Err("command: begin with the absolute path of a program".into());
    }
    if source.command.iter().any(|word| word.contains('\0'))
        || source
            .environment
            .iter()
            .any(|(name, value)| name.is_empty() || name.contains(['=', '\0']) || value.contains('\0'))
    {
        return Err("command and environment: no NUL, and no '=' in a name".into());
    }
    if source.interval.is_some_and(|interval| interval.0 < Duration::from_secs(1)) {
        return Err("interval: at least 1s".into());
    }
    match (source.interval, source.timeout) {
        (None, Some(_)) => return Err("timeout: it is for a program with an interval".into()),
        (Some(interval), Some(timeout)) if timeout > interval || timeout.0.is_zero() => {
            return Err("timeout: it must not be 0 or longer than interval".into());
        }
        _ => {}
    }
    if !(KIB..=4 * MIB).contains(&source.max_output.0) {
        return Err("max_output: from 1KiB to 4MiB".into());
    }
    if !source.directory.is_absolute() {
        return Err("directory: use an absolute path".into());
    }
    check_lines(&source.lines).map_err(|why| format!("lines.{why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(sources: &str) -> Result<Config, String> {
        let text = format!(
            "version: 0\ndevice: {{ id: d }}\ndata_dir: /d\nsources: {{ {sources} }}\n\
             destinations: [{{ name: hub, type: hub, url: 'http://localhost:1' }}]\n"
        );
        crate::parse(&text).map_err(|error| error.to_string())
    }

    /// Scenario: programs with every key, and ones with a wrong one; standard input. Guarantees: what is wrong is told with the source's name.
    #[test]
    fn programs_are_read() {
        let config = read(
            "stdin: { format: json, resource: { service.name: app } }, exec: [{ name: a, command: [/bin/x, -v], interval: 5s }, \
             { name: b, command: [/bin/y], output: otlp_json, max_output: 1MiB, environment: { A: b }, directory: /tmp }]",
        );
        let sources = config.unwrap().sources;
        assert_eq!((sources.exec[0].time_limit(), sources.exec[0].output), (Duration::from_secs(5), ExecFormat::Lines));
        assert_eq!(sources.stdin.unwrap().format, FileFormat::Json);
        for (bad, says) in [
            ("name: a, command: []", "command"),
            ("name: a, command: [x]", "absolute"),
            ("name: 'a b', command: [/x]", "name: "),
            ("name: a, command: [/x], interval: 10ms", "interval"),
            ("name: a, command: [/x], timeout: 1s", "timeout"),
            ("name: a, command: [/x], interval: 1s, timeout: 2s", "timeout"),
            ("name: a, command: [/x], max_output: 1GiB", "max_output"),
            ("name: a, command: [/x], directory: x", "directory"),
            ("name: a, command: [/x], environment: { 'A=': b }", "environment"),
            ("name: a, command: [/x], lines: { format: csv }", "lines.columns"),
            ("name: a, command: [/x] }, { name: a, command: [/y]", "two are named a"),
        ] {
            let error = read(&format!("exec: [{{ {bad} }}]")).unwrap_err();
            assert!(error.contains("sources.exec") && error.contains(says), "{bad}: {error}");
        }
        assert!(read("stdin: { max_line: 1MiB }").unwrap_err().contains("sources.stdin.max_line"));
    }
}
