//! Sources that read: they fetch what they take in, instead of being sent it. What they share: how they hand over OTLP, and what they
//! tell of themselves.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use model::Signal;

use crate::{Answer, Intake, Limits, Position, Request, Share};

/// The most reasons that one source counts apart; what is beyond counts as the last one.
const MAX_REASONS: usize = 16;
/// The most bytes that are kept of a source's own words.
const MAX_WORDS: usize = 300;

/// What one configured source tells of itself: shown in `/status` and `/metrics`, row by row.
#[derive(Debug)]
pub struct SourceState {
    name: String,
    records: Cell<u64>,
    last_ns: Cell<u64>,
    lag: Cell<Option<Lag>>,
    errors: RefCell<Vec<SourceError>>,
}

/// How far a source is behind what there is to read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lag {
    /// So many bytes are not taken in yet.
    Bytes(u64),
    /// What is taken in is so many seconds old.
    Seconds(f64),
}

/// Errors of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceError {
    /// The kind, as a label: lower case with underscores.
    pub reason: &'static str,
    /// How many since the start.
    pub count: u64,
    /// The last one in the source's own words, at most 300 bytes.
    pub last: String,
}

impl SourceState {
    /// A source that took nothing yet. `name` is its kind and the name that the configuration gives it: `files/app`, `prometheus/node`.
    pub fn new(name: impl Into<String>) -> Rc<Self> {
        Rc::new(Self {
            name: name.into(),
            records: Cell::default(),
            last_ns: Cell::default(),
            lag: Cell::default(),
            errors: RefCell::default(),
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Records are taken in, at this wall time in Unix nanoseconds.
    pub fn took(&self, records: u64, wall_ns: u64) {
        if records > 0 {
            self.records.set(self.records.get() + records);
            self.last_ns.set(wall_ns);
        }
    }

    /// Records that were taken in since the start.
    pub fn records(&self) -> u64 {
        self.records.get()
    }

    /// When the last record was taken in, Unix nanoseconds; `None` when none was.
    pub fn last_ns(&self) -> Option<u64> {
        Some(self.last_ns.get()).filter(|wall_ns| *wall_ns > 0)
    }

    /// How far it is behind; `None` when it cannot be.
    pub fn set_lag(&self, lag: Option<Lag>) {
        self.lag.set(lag);
    }

    /// How far it is behind.
    pub fn lag(&self) -> Option<Lag> {
        self.lag.get()
    }

    /// Something went wrong, so often since it was told last: what kind of thing (`target_down`, `long_line`), and in the source's own
    /// words which one and why.
    pub fn error(&self, reason: &'static str, count: u64, why: &str) {
        let mut errors = self.errors.borrow_mut();
        let found = errors.iter().position(|error| error.reason == reason);
        let at = found.unwrap_or_else(|| {
            if errors.len() < MAX_REASONS {
                errors.push(SourceError { reason, count: 0, last: String::new() });
            }
            errors.len() - 1
        });
        let error = &mut errors[at];
        error.count += count;
        error.last.clear();
        error.last.push_str(&why[..why.floor_char_boundary(MAX_WORDS)]);
    }

    /// How many kinds of errors there were.
    pub fn kinds(&self) -> usize {
        self.errors.borrow().len()
    }

    /// Errors by kind, in the order in which the kinds came up.
    pub fn errors(&self) -> Vec<SourceError> {
        self.errors.borrow().clone()
    }
}

/// The way of a source that reads into the pipeline.
#[derive(Clone)]
pub struct Feed {
    intake: Intake,
    limits: Rc<Limits>,
    state: Rc<SourceState>,
}

impl Feed {
    /// The way for one source. Its bodies are not counted in `in_flight`: each source bounds what it reads ahead itself.
    pub fn new(intake: Intake, limits: Rc<Limits>, state: Rc<SourceState>) -> Self {
        Self { intake, limits, state }
    }

    /// What the source tells of itself.
    pub fn state(&self) -> &Rc<SourceState> {
        &self.state
    }

    /// Hands over an OTLP export request with so many records, read at this wall time in Unix nanoseconds. The answer comes when it is
    /// true at its acknowledgement level; what is taken is counted, and what is rejected as well. [`Answer::Wait`] is pressure: nothing
    /// was taken, the same may be given again after that time, or left out and told with [`SourceState::error`].
    pub async fn give(&self, signal: Signal, body: Vec<u8>, records: u64, wall_ns: u64) -> Answer {
        self.give_read(signal, body, records, wall_ns, None).await
    }

    /// The same with where the source stands behind it.
    pub async fn give_read(
        &self,
        signal: Signal,
        body: Vec<u8>,
        records: u64,
        wall_ns: u64,
        position: Option<Position>,
    ) -> Answer {
        let request = Request { signal, body, key: None };
        let answer = (self.intake)(request, position, Share::new(&self.limits)).await;
        match &answer {
            Answer::Accepted => self.state.took(records, wall_ns),
            Answer::Partial { rejected, why } => {
                self.state.took(records.saturating_sub(*rejected), wall_ns);
                self.state.error("rejected", *rejected, why);
            }
            Answer::Bad(why) | Answer::Conflict(why) => self.state.error("rejected", records, why),
            Answer::Wait(_) => {}
        }
        answer
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::Pending;

    /// Scenario: a source whose requests are taken, taken in part, refused as bad and refused for now. Guarantees: what is taken and what is
    /// not is counted, nothing twice (P1).
    #[test]
    fn what_becomes_of_a_request_is_counted() {
        let state = SourceState::new("files/app");
        let answers = RefCell::new(vec![
            Answer::Wait(std::time::Duration::from_secs(1)),
            Answer::Bad("no".into()),
            Answer::Partial { rejected: 2, why: "too large".into() },
            Answer::Accepted,
        ]);
        let intake: Intake = Rc::new(move |_, _, _| Pending::settled(answers.borrow_mut().pop().unwrap()));
        let feed = Feed::new(intake, Limits::new(1, 1, 1), Rc::clone(&state));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for time in 1..=4 {
                feed.give(Signal::Logs, Vec::new(), 5, time).await;
            }
        });
        assert_eq!((state.records(), state.last_ns()), (8, Some(2)));
        let errors = state.errors();
        assert_eq!((errors[0].reason, errors[0].count, &*errors[0].last), ("rejected", 7, "no"));
    }

    /// Scenario: a source that has ever new kinds of errors, with endless words. Guarantees: every one is counted, in bounded memory (P9).
    #[test]
    fn kinds_of_errors_are_bounded() {
        let state = SourceState::new("x/y");
        for number in 0..40 {
            state.error(Box::leak(format!("e{number}").into_boxed_str()), 1, &"\u{e4}".repeat(1000));
        }
        let errors = state.errors();
        assert_eq!(errors.len(), MAX_REASONS);
        assert_eq!(errors.iter().map(|error| error.count).sum::<u64>(), 40);
        assert!(errors.iter().all(|error| error.last.len() <= MAX_WORDS));
    }
}
