//! Log files, from their configuration.

use std::time::Duration;

use config::{Config, FileEncoding, FileStart};
use sources::ReadTo;
use sources::files::{FileSettings, FileSource, Start};
use tail::{Cutter, Encoding};

use crate::clock::Clock;
use crate::error::{StartError, start_error};
use crate::feeds::Starting;
use crate::lines::{format, multiline, pairs};

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
    let fail = |why: String| start_error(format!("sources.files, {}: {why}", source.name));
    let format = format(source.format, source.pattern.as_deref(), &source.columns, source.delimiter).map_err(fail)?;
    let multiline = source.multiline.as_ref().map(multiline).transpose().map_err(fail)?;
    let encoding = match source.encoding {
        FileEncoding::Utf8 => Encoding::Utf8,
        FileEncoding::Utf16Le => Encoding::Utf16Le,
        FileEncoding::Utf16Be => Encoding::Utf16Be,
        FileEncoding::Latin1 => Encoding::Latin1,
    };
    let max_line = usize::try_from(source.max_line.0).unwrap_or(usize::MAX);
    Ok(FileSettings {
        name: source.name.clone(),
        include: source.include.clone(),
        exclude: source.exclude.clone(),
        start: match source.start {
            FileStart::End => Start::End,
            FileStart::Beginning => Start::Beginning,
            FileStart::Time(time_ns) => Start::Time(time_ns),
        },
        cutter: Cutter::new(format.clone(), multiline, encoding, max_line),
        format,
        flush_after: source.flush_after.0,
        max_files: usize::from(source.max_files),
        resource: pairs(&source.resource),
        attributes: pairs(&source.attributes),
    })
}
