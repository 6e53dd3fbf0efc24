//! Programs that are run, and standard input, from their configuration.

use std::rc::Rc;

use config::{Config, ExecFormat};
use sources::exec::{ExecOutput, ExecSettings};

use crate::clock::Clock;
use crate::error::{StartError, start_error};
use crate::feeds::Starting;
use crate::lines;

/// Starts what the configuration names.
///
/// # Errors
/// [`StartError`] where an expression is none.
pub(crate) fn start(config: &Config, clock: &Clock, starting: &mut Starting<'_>) -> Result<(), StartError> {
    for settings in settings(config)? {
        let feed = starting.feed(settings.shown());
        let clock = clock.clone();
        starting.spawn(sources::exec::run(settings, feed, Rc::new(move || clock.wall_ns())));
    }
    Ok(())
}

/// How the programs of a configuration are run.
///
/// # Errors
/// [`StartError`] where an expression is none.
pub(crate) fn settings(config: &Config) -> Result<Vec<ExecSettings>, StartError> {
    config.sources.exec.iter().map(|source| one(config, source)).collect()
}

fn one(config: &Config, source: &config::ExecSource) -> Result<ExecSettings, StartError> {
    let output = match source.output {
        ExecFormat::Lines => {
            let fail = |why| start_error(format!("sources.exec, {}: {why}", source.name));
            let mut lines = lines::settings(&source.lines).map_err(fail)?;
            if !source.lines.resource.contains_key("service.name") {
                lines.resource.push(("service.name".to_owned(), source.name.clone()));
            }
            ExecOutput::Lines(Box::new(lines))
        }
        ExecFormat::Prometheus => ExecOutput::Prometheus { instance: config.device.id.clone() },
        ExecFormat::OtlpJson => ExecOutput::OtlpJson,
    };
    Ok(ExecSettings {
        name: source.name.clone(),
        command: source.command.clone(),
        interval: source.interval.map(|interval| interval.0),
        timeout: source.time_limit(),
        output,
        max_output: usize::try_from(source.max_output.0).unwrap_or(usize::MAX),
        environment: lines::pairs(&source.environment),
        directory: source.directory.clone(),
    })
}
