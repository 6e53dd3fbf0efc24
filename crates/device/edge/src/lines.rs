//! How lines are read, from their configuration.

#![cfg_attr(
    not(all(feature = "source-files", feature = "source-exec")),
    allow(dead_code, reason = "this build has not all of the sources that read lines")
)]

use std::collections::BTreeMap;

use config::{FileFormat, FileMultiline, StackTraces};
use regex_lite::Regex;
use tail::{Format, Multiline, Preset};

fn regex(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| format!("'{text}': {error}"))
}

/// A format with what it needs.
///
/// # Errors
/// Where an expression is none.
pub(crate) fn format(
    format: FileFormat,
    pattern: Option<&str>,
    columns: &[String],
    delimiter: char,
) -> Result<Format, String> {
    Ok(match format {
        FileFormat::Auto => Format::Auto,
        FileFormat::Plain => Format::Plain,
        FileFormat::Cri => Format::Cri,
        FileFormat::Docker => Format::Docker,
        FileFormat::Json => Format::Json,
        FileFormat::Logfmt => Format::Logfmt,
        FileFormat::Regex => Format::Regex(regex(pattern.unwrap_or_default())?),
        FileFormat::Csv => Format::Csv { columns: columns.to_vec(), delimiter: delimiter as u8 },
        FileFormat::Syslog => Format::Syslog,
    })
}

/// Which lines are one record.
///
/// # Errors
/// Where an expression is none.
pub(crate) fn multiline(lines: &FileMultiline) -> Result<Multiline, String> {
    Ok(match (&lines.start, &lines.continuation, lines.preset) {
        (Some(start), _, _) => Multiline::Start(regex(start)?),
        (_, Some(more), _) => Multiline::Continuation(regex(more)?),
        (_, _, Some(StackTraces::Go)) => Multiline::Preset(Preset::Go),
        (_, _, Some(StackTraces::Python)) => Multiline::Preset(Preset::Python),
        (_, _, Some(StackTraces::Java) | None) => Multiline::Preset(Preset::Java),
    })
}

/// Attributes in the order of their names.
pub(crate) fn pairs(map: &BTreeMap<String, String>) -> Vec<(String, String)> {
    map.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Lines that come once.
///
/// # Errors
/// Where an expression is none.
#[cfg(feature = "stream-lines")]
pub(crate) fn settings(options: &config::LineOptions) -> Result<sources::LineSettings, String> {
    let format = format(options.format, options.pattern.as_deref(), &options.columns, options.delimiter)?;
    let multiline = options.multiline.as_ref().map(multiline).transpose()?;
    let max_line = usize::try_from(options.max_line.0).unwrap_or(usize::MAX);
    Ok(sources::LineSettings {
        cutter: tail::Cutter::new(format.clone(), multiline, tail::Encoding::Utf8, max_line),
        format,
        flush_after: options.flush_after.0,
        resource: pairs(&options.resource),
        attributes: pairs(&options.attributes),
    })
}
