//! All destinations: what is known of each, and operators' hands on them.

use std::cell::{Ref, RefCell};

use config::{Config, DestinationKind};
use drain::{Destination, Incidents};
use journal::Depth;
use tokio::sync::Notify;

use crate::log;

/// All destinations, in the order of the configuration.
pub(crate) struct Destinations {
    all: RefCell<Vec<Destination>>,
    /// By destination: ends its waiting, an operator wants to see it tried now.
    resumed: Vec<Notify>,
    /// The destination that wants an incident window open.
    incidents: RefCell<Incidents>,
}

impl Destinations {
    /// Those of a configuration, at the start.
    pub(crate) fn of(config: &Config) -> Self {
        let new = |one: &config::Destination| {
            let heartbeat = (one.kind == DestinationKind::Hub).then_some(one.heartbeat.0);
            Destination::new(&one.name, one.max_backoff.0, heartbeat)
        };
        Self {
            all: RefCell::new(config.destinations.iter().map(new).collect()),
            resumed: config.destinations.iter().map(|_| Notify::new()).collect(),
            incidents: RefCell::default(),
        }
    }

    /// All of them, to be shown.
    pub(crate) fn all(&self) -> Ref<'_, Vec<Destination>> {
        self.all.borrow()
    }

    /// The position of the one with this name.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.all.borrow().iter().position(|one| one.name() == name)
    }

    /// Calls `each` with the one at this position.
    pub(crate) fn with<T>(&self, position: usize, each: impl FnOnce(&mut Destination) -> T) -> T {
        each(&mut self.all.borrow_mut()[position])
    }

    /// Pauses or resumes one; false when there is none of this name.
    pub(crate) fn pause(&self, name: &str, paused: bool) -> bool {
        let Some(position) = self.position(name) else { return false };
        self.with(position, |one| one.pause(paused));
        if !paused {
            self.resumed[position].notify_one();
        }
        log::info(&format!("destination {name}: {} by an operator", if paused { "paused" } else { "resumed" }));
        true
    }

    /// Returns when an operator resumes the one at this position.
    pub(crate) async fn resumed(&self, position: usize) {
        self.resumed[position].notified().await;
    }

    /// Takes what each of them still has to get.
    pub(crate) fn set_depths(&self, depths: &[Depth]) {
        for (one, depth) in self.all.borrow_mut().iter_mut().zip(depths) {
            one.queued(depth.records, depth.bytes, depth.oldest_ns.unwrap_or(0));
        }
    }

    /// Why an operator has to act, for each that needs it.
    pub(crate) fn unwell(&self) -> Vec<String> {
        self.all.borrow().iter().filter_map(|one| one.status().unwell()).collect()
    }

    /// The one at this position was greeted, and wants an incident window open for so many seconds, or none; see
    /// [`Incidents::answered`].
    pub(crate) fn incident(&self, position: usize, seconds: Option<u32>) -> Option<u64> {
        self.incidents.borrow_mut().answered(position, seconds)
    }
}
