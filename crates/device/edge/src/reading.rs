//! The sources that read: started as configured, each with what it tells of itself.

use std::rc::Rc;

use config::Config;
use sources::{Intake, Limits, ReadTo};

use crate::clock::Clock;
use crate::error::StartError;
use crate::feeds::{Reading, Starting};
use crate::sockets::Sockets;

/// Starts what the configuration names: a line for each kind of source. `read_to` is how far each was in an earlier life.
///
/// # Errors
/// [`StartError`] when one cannot start, or this build has it not.
pub(crate) fn start(
    config: &Config,
    clock: &Clock,
    intake: &Intake,
    limits: &Rc<Limits>,
    mut sockets: Sockets,
    read_to: &[ReadTo],
) -> Result<Reading, StartError> {
    #[cfg_attr(not(feature = "reading-sources"), allow(unused_mut, reason = "this build has no source that reads"))]
    let mut starting = Starting::new(intake, limits);
    start_prometheus(config, clock, &mut starting)?;
    start_host(config, clock, &mut starting)?;
    start_files(config, clock, read_to, &mut starting)?;
    start_programs(config, clock, &mut starting)?;
    start_stdin(config, clock, &mut starting)?;
    check_built(config)?;
    start_statsd(config, clock, sockets.statsd.take(), &mut starting);
    start_system_logs(config, clock, sockets, read_to, &mut starting);
    Ok(starting.reading)
}

#[cfg(feature = "source-prometheus")]
use crate::scraping::start as start_prometheus;

#[cfg(not(feature = "source-prometheus"))]
fn start_prometheus(config: &Config, _: &Clock, _: &mut Starting<'_>) -> Result<(), StartError> {
    match config.sources.prometheus {
        None => Ok(()),
        Some(_) => Err(crate::error::start_error(
            "sources.prometheus: this build has no scraping (cargo feature source-prometheus)",
        )),
    }
}

#[cfg(feature = "source-host")]
#[allow(clippy::unnecessary_wraps, reason = "a build without it fails")]
fn start_host(config: &Config, clock: &Clock, starting: &mut Starting<'_>) -> Result<(), StartError> {
    crate::hosting::start(config, clock, starting);
    Ok(())
}

#[cfg(not(feature = "source-host"))]
fn start_host(config: &Config, _: &Clock, _: &mut Starting<'_>) -> Result<(), StartError> {
    match config.sources.host {
        None => Ok(()),
        Some(_) => {
            Err(crate::error::start_error("sources.host: this build has no host metrics (cargo feature source-host)"))
        }
    }
}

#[cfg(feature = "source-files")]
use crate::files::start as start_files;

#[cfg(not(feature = "source-files"))]
fn start_files(config: &Config, _: &Clock, _: &[ReadTo], _: &mut Starting<'_>) -> Result<(), StartError> {
    match config.sources.files.is_empty() {
        true => Ok(()),
        false => {
            Err(crate::error::start_error("sources.files: this build reads no files (cargo feature source-files)"))
        }
    }
}

#[cfg(feature = "source-exec")]
use crate::programs::start as start_programs;

#[cfg(not(feature = "source-exec"))]
fn start_programs(config: &Config, _: &Clock, _: &mut Starting<'_>) -> Result<(), StartError> {
    match config.sources.exec.is_empty() {
        true => Ok(()),
        false => {
            Err(crate::error::start_error("sources.exec: this build runs no programs (cargo feature source-exec)"))
        }
    }
}

#[cfg(feature = "source-stdin")]
use crate::standard_input::start as start_stdin;

#[cfg(not(feature = "source-stdin"))]
fn start_stdin(config: &Config, _: &Clock, _: &mut Starting<'_>) -> Result<(), StartError> {
    match config.sources.stdin {
        None => Ok(()),
        Some(_) => Err(crate::error::start_error(
            "sources.stdin: this build reads no standard input (cargo feature source-stdin)",
        )),
    }
}

/// Refuses sources that this build does not have.
fn check_built(config: &Config) -> Result<(), StartError> {
    let sources = &config.sources;
    for (is_there, is_built, name, feature) in [
        (sources.syslog.is_some(), cfg!(feature = "source-syslog"), "syslog", "source-syslog"),
        (sources.kernel.is_some(), cfg!(feature = "source-kernel"), "kernel", "source-kernel"),
        (sources.journald.is_some(), cfg!(feature = "source-journald"), "journald", "source-journald"),
        (sources.statsd.is_some(), cfg!(feature = "source-statsd"), "statsd", "source-statsd"),
    ] {
        if is_there && !is_built {
            let what = format!("sources.{name}: this build does not have it (cargo feature {feature})");
            return Err(crate::error::start_error(what));
        }
    }
    Ok(())
}

#[cfg(feature = "source-statsd")]
use crate::statsd::start as start_statsd;

#[cfg(not(feature = "source-statsd"))]
fn start_statsd(_: &Config, _: &Clock, _: Option<crate::sockets::Datagrams>, _: &mut Starting<'_>) {}

#[cfg(feature = "system-logs")]
use crate::system_logs::start as start_system_logs;

#[cfg(not(feature = "system-logs"))]
fn start_system_logs(_: &Config, _: &Clock, _: Sockets, _: &[ReadTo], _: &mut Starting<'_>) {}
