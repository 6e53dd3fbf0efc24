//! Standard input as a source, from its configuration.

use std::rc::Rc;

use config::Config;
use sources::LineSettings;

use crate::clock::Clock;
use crate::error::{StartError, start_error};
use crate::feeds::Starting;
use crate::lines;

/// Starts it, where it is configured.
///
/// # Errors
/// [`StartError`] where an expression is none.
pub(crate) fn start(config: &Config, clock: &Clock, starting: &mut Starting<'_>) -> Result<(), StartError> {
    if let Some(settings) = settings(config)? {
        let feed = starting.feed("stdin".to_owned());
        let clock = clock.clone();
        starting.spawn(sources::stdin::run(settings, feed, Rc::new(move || clock.wall_ns())));
    }
    Ok(())
}

/// How its lines are read, where it is configured.
///
/// # Errors
/// [`StartError`] where an expression is none.
pub(crate) fn settings(config: &Config) -> Result<Option<LineSettings>, StartError> {
    let settings = config.sources.stdin.as_ref().map(lines::settings).transpose();
    settings.map_err(|why| start_error(format!("sources.stdin: {why}")))
}
