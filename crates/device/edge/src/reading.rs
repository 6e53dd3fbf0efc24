//! The sources that read: started as configured, each with what it tells of itself.

use std::rc::Rc;

use config::Config;
use sources::{Feed, Intake, Limits, SourceState};
use tokio::task::JoinHandle;

use crate::error::StartError;

/// Sources that read, running.
#[derive(Default)]
pub(crate) struct Reading {
    /// Their tasks: ended with the tasks of the other sources.
    pub(crate) tasks: Vec<JoinHandle<()>>,
    /// What each tells of itself, in the order of the configuration.
    pub(crate) states: Vec<Rc<SourceState>>,
}

/// What every source that reads is started with.
#[cfg_attr(not(feature = "reading-sources"), allow(dead_code, reason = "this build has no source that reads"))]
pub(crate) struct Starting<'a> {
    intake: &'a Intake,
    limits: &'a Rc<Limits>,
    reading: Reading,
}

#[cfg_attr(not(feature = "reading-sources"), allow(dead_code, reason = "this build has no source that reads"))]
impl Starting<'_> {
    /// The way into the pipeline for one source of this name, which is shown from now on.
    pub(crate) fn feed(&mut self, name: String) -> Feed {
        let state = SourceState::new(name);
        self.reading.states.push(Rc::clone(&state));
        Feed::new(Rc::clone(self.intake), Rc::clone(self.limits), state)
    }

    /// Runs one.
    pub(crate) fn spawn(&mut self, source: impl Future<Output = ()> + 'static) {
        self.reading.tasks.push(tokio::task::spawn_local(source));
    }
}

/// Starts what the configuration names: a line for each kind of source.
///
/// # Errors
/// [`StartError`] when one cannot start, or this build has it not.
pub(crate) fn start(_config: &Config, intake: &Intake, limits: &Rc<Limits>) -> Result<Reading, StartError> {
    let starting = Starting { intake, limits, reading: Reading::default() };
    Ok(starting.reading)
}
