//! Log files, from their configuration.

use std::time::Duration;

use config::{Config, FileEncoding, FileFormat, FileStart, StackTraces};
use regex_lite::Regex;
use sources::ReadTo;
use sources::files::{FileSettings, FileSource};
use tail::{Cutter, Encoding, Format, Multiline, Preset};

use crate::clock::Clock;
use crate::error::{StartError, start_error};
use crate::feeds::Starting;

/// Starts what the configuration names. `read_to` is how far each source was in an earlier life.
///
/// # Errors
/// [`StartError`] when one cannot start.
pub(crate) fn start(
    config: &Config,
    clock: &Clock,
    read_to: &[ReadTo],
    starting: &mut Starting<'_>,
) -> Result<(), StartError> {
    let mut all = Vec::with_capacity(config.sources.files.len());
    for source in &config.sources.files {
        let settings = settings(source)?;
        let feed = starting.feed(settings.shown());
        all.push(FileSource { settings, feed, read_to: read_to.to_vec() });
    }
    if !all.is_empty() {
        let clock = clock.clone();
        let times = Box::new(move || (Duration::from_nanos(clock.now_ns()), clock.wall_ns()));
        let serving = sources::files::serve(all, times);
        starting.spawn(serving.map_err(|error| start_error(format!("sources.files: {error}")))?);
    }
    Ok(())
}

/// How the files of one source are read.
///
/// # Errors
/// [`StartError`] where an expression is none.
pub(crate) fn settings(source: &config::FileSource) -> Result<FileSettings, StartError> {
    let regex = |text: &str| {
        Regex::new(text).map_err(|error| start_error(format!("sources.files, {}: '{text}': {error}", source.name)))
    };
    let format = match source.format {
        FileFormat::Auto => Format::Auto,
        FileFormat::Plain => Format::Plain,
        FileFormat::Cri => Format::Cri,
        FileFormat::Docker => Format::Docker,
        FileFormat::Json => Format::Json,
        FileFormat::Logfmt => Format::Logfmt,
        FileFormat::Regex => Format::Regex(regex(source.pattern.as_deref().unwrap_or_default())?),
        FileFormat::Csv => Format::Csv { columns: source.columns.clone(), delimiter: source.delimiter as u8 },
        FileFormat::Syslog => Format::Syslog,
    };
    let multiline = match &source.multiline {
        None => None,
        Some(lines) => Some(match (&lines.start, &lines.continuation, lines.preset) {
            (Some(start), _, _) => Multiline::Start(regex(start)?),
            (_, Some(more), _) => Multiline::Continuation(regex(more)?),
            (_, _, Some(StackTraces::Go)) => Multiline::Preset(Preset::Go),
            (_, _, Some(StackTraces::Python)) => Multiline::Preset(Preset::Python),
            (_, _, Some(StackTraces::Java) | None) => Multiline::Preset(Preset::Java),
        }),
    };
    let encoding = match source.encoding {
        FileEncoding::Utf8 => Encoding::Utf8,
        FileEncoding::Utf16Le => Encoding::Utf16Le,
        FileEncoding::Utf16Be => Encoding::Utf16Be,
        FileEncoding::Latin1 => Encoding::Latin1,
    };
    let max_line = usize::try_from(source.max_line.0).unwrap_or(usize::MAX);
    let pairs = |map: &std::collections::BTreeMap<String, String>| {
        map.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    Ok(FileSettings {
        name: source.name.clone(),
        include: source.include.clone(),
        exclude: source.exclude.clone(),
        from_beginning: source.start == FileStart::Beginning,
        cutter: Cutter::new(format.clone(), multiline, encoding, max_line),
        format,
        flush_after: source.flush_after.0,
        max_files: usize::from(source.max_files),
        resource: pairs(&source.resource),
        attributes: pairs(&source.attributes),
    })
}
