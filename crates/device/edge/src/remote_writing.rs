//! Remote write, from its configuration.

use std::rc::Rc;

use config::Config;
use sources::SourceState;

use crate::clock::Clock;
use crate::error::StartError;
use crate::listeners::Beside;

/// What is taken beside OTLP over HTTP, and the source that is shown, where remote write is configured.
///
/// # Errors
/// [`StartError`] where this build has it not.
#[cfg(feature = "source-remote-write")]
#[allow(clippy::unnecessary_wraps, reason = "a build without it fails")]
pub(crate) fn beside(config: &Config, clock: &Clock) -> Result<(Beside, Option<Rc<SourceState>>), StartError> {
    let state = config.sources.remote_write.map(|_| SourceState::new("remote_write"));
    let clock = clock.clone();
    let wall_ns: Rc<dyn Fn() -> u64> = Rc::new(move || clock.wall_ns());
    let remote_write = state.as_ref().map(|state| sources::RemoteWrite::new(Rc::clone(state), wall_ns));
    Ok((Beside { remote_write }, state))
}

/// The same in a build without it.
///
/// # Errors
/// [`StartError`] where it is configured.
#[cfg(not(feature = "source-remote-write"))]
pub(crate) fn beside(config: &Config, _: &Clock) -> Result<(Beside, Option<Rc<SourceState>>), StartError> {
    match config.sources.remote_write {
        None => Ok((Beside::default(), None)),
        Some(_) => Err(crate::error::start_error(
            "sources.remote_write: this build takes none (cargo feature source-remote-write)",
        )),
    }
}

/// What it keeps between requests, bytes (P9).
pub(crate) fn budget(config: &Config) -> u64 {
    #[cfg(feature = "source-remote-write")]
    let most = sources::RemoteWrite::BUDGET;
    #[cfg(not(feature = "source-remote-write"))]
    let most = 0;
    config.sources.remote_write.map_or(0, |_| most)
}
