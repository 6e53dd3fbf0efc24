//! What every source that reads is started with, and what is then known of it.

use std::rc::Rc;

use sources::{Feed, Intake, Limits, SourceState};
use tokio::task::JoinHandle;

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
    pub(crate) reading: Reading,
}

#[cfg_attr(not(feature = "reading-sources"), allow(dead_code, reason = "this build has no source that reads"))]
impl<'a> Starting<'a> {
    /// Nothing is started yet.
    pub(crate) fn new(intake: &'a Intake, limits: &'a Rc<Limits>) -> Self {
        Self { intake, limits, reading: Reading::default() }
    }

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
