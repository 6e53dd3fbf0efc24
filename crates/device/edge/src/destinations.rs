//! All consumers of the journal: what is known of each, and operators' hands on them.

use std::cell::{Ref, RefCell};
use std::collections::VecDeque;

use config::{Config, DestinationKind};
use drain::{Destination, Incidents};
use journal::Depth;
use pipeline::Books;
use tokio::sync::Notify;

use crate::consumers::{Consumer, consumers};
use crate::dead_letters::addressee;
use crate::log;

/// So many dead letters wait to be sent once more at most, for each destination.
const MOST_LETTERS: usize = 1024;

/// All destinations, in the order of the configuration.
pub(crate) struct Destinations {
    all: RefCell<Vec<Destination>>,
    /// By destination: ends its waiting, an operator wants to see it tried now.
    resumed: Vec<Notify>,
    /// By destination: names of dead letters that are to be sent once more.
    letters: RefCell<Vec<VecDeque<String>>>,
    /// The destination that wants an incident window open.
    incidents: RefCell<Incidents>,
}

impl Destinations {
    /// Those of a configuration, at the start.
    pub(crate) fn of(config: &Config) -> Self {
        let consumers = consumers(config);
        let new = |one: &Consumer| {
            let destination = &config.destinations[one.destination];
            let heartbeat = (destination.kind == DestinationKind::Hub).then_some(destination.heartbeat.0);
            Destination::new(&destination.name, one.signal, destination.max_backoff.0, heartbeat)
        };
        Self {
            all: RefCell::new(consumers.iter().map(new).collect()),
            resumed: consumers.iter().map(|_| Notify::new()).collect(),
            letters: RefCell::new(consumers.iter().map(|_| VecDeque::new()).collect()),
            incidents: RefCell::default(),
        }
    }

    /// All of them, to be shown.
    pub(crate) fn all(&self) -> Ref<'_, Vec<Destination>> {
        self.all.borrow()
    }

    /// The positions of a destination's consumers, or of the one consumer with this name.
    pub(crate) fn positions(&self, name: &str) -> Vec<usize> {
        let all = self.all.borrow();
        let is_it = |one: &Destination| one.name() == name || one.status().destination == name;
        all.iter().enumerate().filter(|(_, one)| is_it(one)).map(|(position, _)| position).collect()
    }

    /// The name of the one at this position, in the books.
    pub(crate) fn name(&self, position: usize) -> String {
        self.all.borrow().get(position).map_or_else(String::new, |one| one.name().to_owned())
    }

    /// Books what consumers were passed by, because it has none of their signals.
    pub(crate) fn skipped(&self, passed: &[(usize, i64)], books: &mut Books) {
        for (position, records) in passed {
            books.skipped(&self.name(*position), *records);
        }
    }

    /// Calls `each` with the one at this position.
    pub(crate) fn with<T>(&self, position: usize, each: impl FnOnce(&mut Destination) -> T) -> T {
        each(&mut self.all.borrow_mut()[position])
    }

    /// Pauses or resumes one; false when there is none of this name.
    pub(crate) fn pause(&self, name: &str, paused: bool) -> bool {
        let positions = self.positions(name);
        for position in &positions {
            self.with(*position, |one| one.pause(paused));
            if !paused {
                self.resumed[*position].notify_one();
            }
        }
        if positions.is_empty() {
            return false;
        }
        log::info(&format!("destination {name}: {} by an operator", if paused { "paused" } else { "resumed" }));
        true
    }

    /// Has a dead letter sent once more to whom it was refused by; an error says why not.
    pub(crate) fn retry_letter(&self, name: &str) -> Result<(), String> {
        let (destination, signal) = addressee(name).ok_or_else(|| format!("{name} is no dead letter's name"))?;
        let position = self.all.borrow().iter().position(|one| {
            one.status().destination == destination && one.status().signal.is_none_or(|own| own == signal)
        });
        let position = position.ok_or_else(|| {
            format!(
                "{destination} takes no {} any more; `lightship journal import` delivers to every destination",
                signal.name()
            )
        })?;
        let mut letters = self.letters.borrow_mut();
        if letters[position].len() >= MOST_LETTERS {
            return Err(format!("{MOST_LETTERS} letters wait to be sent once more already"));
        }
        if !letters[position].iter().any(|other| other == name) {
            letters[position].push_back(name.to_owned());
        }
        self.resumed[position].notify_one();
        Ok(())
    }

    /// The dead letter that is sent next to the one at this position; it stays until [`Destinations::letter_done`].
    #[cfg_attr(not(feature = "signal-sinks"), allow(dead_code, reason = "only exporters have records refused"))]
    pub(crate) fn next_letter(&self, position: usize) -> Option<String> {
        self.letters.borrow()[position].front().cloned()
    }

    /// That one is done with, whatever became of it.
    #[cfg_attr(not(feature = "signal-sinks"), allow(dead_code, reason = "only exporters have records refused"))]
    pub(crate) fn letter_done(&self, position: usize) {
        self.letters.borrow_mut()[position].pop_front();
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
