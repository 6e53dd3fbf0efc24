//! What one destination's drain knows, and what it does next.

use std::time::Duration;

use model::{Refusal, RefusalCounts, Signal};

use crate::backoff::Backoff;
use crate::error::{RetryAfter, SendError};

/// How long a drain that greets nobody rests before it looks for new blocks by itself.
const IDLE: Duration = Duration::from_secs(30);

/// The name under which a destination, or one signal of it, has its cursor and its books. Destinations' own names have no point.
pub fn consumer_name(destination: &str, signal: Option<Signal>) -> String {
    match signal {
        Some(signal) => format!("{destination}.{}", signal.name()),
        None => destination.to_owned(),
    }
}

/// How a destination is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LinkState {
    /// Nothing was tried yet.
    #[default]
    Starting,
    /// The last request was answered.
    Up,
    /// The last request failed; another try comes by itself.
    Backoff,
    /// The last request failed in a way that needs a person; tries go on, slowly.
    Blocked,
}

impl LinkState {
    /// The state's word in status and metrics.
    pub fn name(self) -> &'static str {
        match self {
            LinkState::Starting => "starting",
            LinkState::Up => "up",
            LinkState::Backoff => "backoff",
            LinkState::Blocked => "blocked",
        }
    }
}

/// What is known of a destination.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// Its name in books, on disk and for operators: the destination's, and behind a point the signal where it has one.
    pub name: String,
    /// The destination's name, as configured.
    pub destination: String,
    /// The signal that it takes of a destination whose signals go apart.
    pub signal: Option<Signal>,
    /// How it is doing.
    pub state: LinkState,
    /// Nothing is sent until an operator resumes it, or the program starts again.
    pub paused: bool,
    /// What went wrong last; empty when all is well.
    pub last_error: String,
    /// Of what kind that was.
    pub last_reason: Option<Refusal>,
    /// When it is tried again, Unix nanoseconds; `None` when it does not wait after a failure.
    pub retry_at_ns: Option<u64>,
    /// When it may be sent to again, Unix nanoseconds; `None` while it may.
    pub window_at_ns: Option<u64>,
    /// Requests that failed, since start.
    pub failures: u64,
    /// The same by reason.
    pub failed: RefusalCounts,
    /// Records that it will never take, by reason, since start.
    pub rejected: RefusalCounts,
    /// What it said last for each reason.
    pub words: Vec<(Refusal, String)>,
    /// Files of credentials that changed and cannot be used, so that what was read before is; empty when there are none.
    pub stale_files: String,
    /// Exemplars that went there apart from frames (OTLP), and those that did not.
    pub exemplars: (u64, u64),
    /// Records in the journal that it has not confirmed, those in flight included.
    pub queued_records: u64,
    /// Their bytes on disk.
    pub queued_bytes: u64,
    /// Event time of the oldest of them, Unix nanoseconds; 0 when there is none.
    pub oldest_ns: u64,
    /// Bytes of blocks that it confirmed, since start.
    pub delivered_bytes: u64,
}

impl Status {
    /// The word for its state.
    pub fn state_name(&self) -> &'static str {
        match (self.paused, self.window_at_ns) {
            (true, _) => "paused",
            (false, Some(_)) => "waiting",
            (false, None) => self.state.name(),
        }
    }

    /// Why an operator has to act; `None` when nobody has to.
    pub fn unwell(&self) -> Option<String> {
        (self.state == LinkState::Blocked && !self.paused)
            .then(|| format!("destination {} is blocked: {}", self.name, self.last_error))
    }

    /// What it said last for this reason.
    pub fn words_of(&self, reason: Refusal) -> &str {
        self.words.iter().find(|(other, _)| *other == reason).map_or("", |(_, words)| words)
    }
}

/// What a drain does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Greet the hub.
    Greet,
    /// Send the next blocks.
    Deliver,
    /// Nothing for [`Destination::rest`], or until somebody wakes it.
    Rest,
}

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// How long to wait.
    pub wait: Duration,
    /// How the destination is doing now.
    pub state: LinkState,
    /// Whether it is of another kind than the one before: it is to be told.
    pub is_news: bool,
}

/// One destination.
#[derive(Debug, Clone)]
pub struct Destination {
    status: Status,
    backoff: Backoff,
    /// A hub is greeted so often.
    heartbeat: Option<Duration>,
    /// When it was greeted last, since the last failure, monotonic nanoseconds.
    greeted_ns: Option<u64>,
}

impl Destination {
    /// A destination of this name, or one signal of it. `heartbeat`: it is a hub, and greeted so often.
    pub fn new(destination: &str, signal: Option<Signal>, max_backoff: Duration, heartbeat: Option<Duration>) -> Self {
        Self {
            status: Status {
                name: consumer_name(destination, signal),
                destination: destination.to_owned(),
                signal,
                ..Status::default()
            },
            backoff: Backoff::new(max_backoff),
            heartbeat,
            greeted_ns: None,
        }
    }

    /// What is known of it.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.status.name
    }

    /// Whether it knows that the device is there, and would be told when that ends.
    pub fn is_greeted(&self) -> bool {
        self.greeted_ns.is_some()
    }

    /// What is to be done now. A paused hub is still greeted, so that it knows what is held here.
    pub fn step(&self, now_ns: u64) -> Step {
        let due = self.heartbeat.is_some_and(|heartbeat| {
            self.greeted_ns.is_none_or(|last| now_ns.saturating_sub(last) >= heartbeat.as_nanos() as u64)
        });
        match (due, self.status.paused) {
            (true, _) => Step::Greet,
            (false, true) => Step::Rest,
            (false, false) => Step::Deliver,
        }
    }

    /// How long it rests when there is nothing to send.
    pub fn rest(&self) -> Duration {
        self.heartbeat.unwrap_or(IDLE)
    }

    /// The hub answered a greeting; true when it was not up before.
    pub fn greeted(&mut self, now_ns: u64) -> bool {
        self.greeted_ns = Some(now_ns);
        self.answered()
    }

    /// Whatever was tried last was answered; true when it was not up before.
    pub fn answered(&mut self) -> bool {
        let was_up = self.status.state == LinkState::Up;
        self.status.state = LinkState::Up;
        self.status.last_reason = None;
        self.status.last_error.clear();
        !was_up
    }

    /// A turn came to its end without a failure.
    pub fn turned(&mut self) {
        self.backoff.reset();
    }

    /// What was tried last failed. `random` are 64 random bits.
    pub fn failed(&mut self, error: &SendError, wall_ns: u64, random: u64) -> Failure {
        let (state, reason) = match error {
            SendError::Retry { reason, .. } => (LinkState::Backoff, *reason),
            SendError::Blocked { reason, .. } | SendError::Rejected { reason, .. } => (LinkState::Blocked, *reason),
        };
        let is_news = (self.status.state, self.status.last_reason) != (state, Some(reason));
        let wait = match state {
            LinkState::Blocked => self.backoff.max(),
            _ => self.backoff.next(asked(error, wall_ns), random),
        };
        self.greeted_ns = None;
        self.status.failures += 1;
        self.status.failed.add(reason, 1);
        self.status.state = state;
        self.status.last_reason = Some(reason);
        self.status.last_error = error.to_string();
        self.status.retry_at_ns = Some(wall_ns.saturating_add(wait.as_nanos() as u64));
        Failure { wait, state, is_news }
    }

    /// The wait after a failure is over; `by_operator`: somebody wants to see it tried now.
    pub fn waited(&mut self, by_operator: bool) {
        self.status.retry_at_ns = None;
        if by_operator {
            self.backoff.reset();
        }
    }

    /// It may be sent to at this time again, or now.
    pub fn window(&mut self, at_ns: Option<u64>) {
        self.status.window_at_ns = at_ns;
    }

    /// An operator pauses or resumes it.
    pub fn pause(&mut self, paused: bool) {
        self.status.paused = paused;
    }

    /// It confirmed blocks of so many bytes.
    pub fn delivered(&mut self, bytes: usize) {
        self.status.delivered_bytes += bytes as u64;
    }

    /// It refused records for good.
    pub fn rejected(&mut self, reason: Refusal, records: u64, words: &str) {
        self.status.rejected.add(reason, records);
        match self.status.words.iter_mut().find(|(other, _)| *other == reason) {
            Some((_, last)) => words.clone_into(last),
            None => self.status.words.push((reason, words.to_owned())),
        }
    }

    /// Files of credentials changed; `faults`: why some cannot be used.
    pub fn stale_files(&mut self, faults: &str) {
        faults.clone_into(&mut self.status.stale_files);
    }

    /// Exemplars that went there apart from frames, and those that did not, since start.
    pub fn exemplars(&mut self, sent: u64, left_out: u64) {
        self.status.exemplars = (sent, left_out);
    }

    /// What is behind its cursor.
    pub fn queued(&mut self, records: u64, bytes: u64, oldest_ns: u64) {
        (self.status.queued_records, self.status.queued_bytes, self.status.oldest_ns) = (records, bytes, oldest_ns);
    }
}

/// The wait that the server asked for.
fn asked(error: &SendError, wall_ns: u64) -> Option<Duration> {
    match error {
        SendError::Retry { after: Some(RetryAfter::In(wait)), .. } => Some(*wait),
        SendError::Retry { after: Some(RetryAfter::At(at)), .. } => {
            Some(Duration::from_secs(at.saturating_sub(wall_ns / 1_000_000_000)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const BEAT: Duration = Duration::from_secs(10);

    fn hub() -> Destination {
        Destination::new("hub", None, Duration::from_secs(60), Some(BEAT))
    }

    /// Scenario: a hub is greeted, paused, fails, comes back; an OTLP endpoint is never greeted. Guarantees: a hub is greeted first, at
    /// each heartbeat, and anew after a failure; a paused one is greeted and gets nothing (P3).
    #[test]
    fn a_hub_is_greeted_before_it_gets_anything() {
        let mut hub = hub();
        assert_eq!(hub.step(0), Step::Greet);
        assert!(hub.greeted(SECOND) && !hub.greeted(2 * SECOND), "up once");
        assert_eq!((hub.step(3 * SECOND), hub.step(12 * SECOND)), (Step::Deliver, Step::Greet));
        hub.pause(true);
        assert_eq!((hub.step(3 * SECOND), hub.step(12 * SECOND)), (Step::Rest, Step::Greet));
        hub.pause(false);
        hub.failed(&SendError::retry(Refusal::TimedOut, "slow"), 0, 0);
        assert_eq!(hub.step(3 * SECOND), Step::Greet);
        let otlp = Destination::new("far", None, BEAT, None);
        assert_eq!((otlp.step(0), otlp.rest()), (Step::Deliver, IDLE));
    }

    /// Scenario: a destination fails twice for one reason, then for one that a person has to mend, then is tried by hand and answers.
    /// Guarantees: each kind is news once; waits grow, and are the longest while it is blocked; status tells the next try, and is well
    /// again afterwards (D7).
    #[test]
    fn failures_are_counted_told_once_and_waited_for() {
        let mut hub = hub();
        let slow = SendError::retry(Refusal::TimedOut, "slow");
        let first = hub.failed(&slow, 5 * SECOND, u64::MAX);
        let second = hub.failed(&slow, 6 * SECOND, u64::MAX);
        assert!(first.is_news && !second.is_news && second.wait > first.wait && second.state == LinkState::Backoff);
        assert_eq!(hub.status().retry_at_ns, Some(6 * SECOND + second.wait.as_nanos() as u64));
        let third = hub.failed(&SendError::blocked(Refusal::DestinationUnauthorized, "token"), 7 * SECOND, 0);
        assert!(third.is_news && third.wait == Duration::from_secs(60) && third.state == LinkState::Blocked);
        assert_eq!(hub.status().unwell().unwrap(), "destination hub is blocked: token");
        hub.waited(true);
        assert!(hub.failed(&slow, 8 * SECOND, u64::MAX).wait <= first.wait, "it began anew");
        assert!(hub.answered());
        assert_eq!((hub.status().failures, hub.status().failed.get(Refusal::TimedOut)), (4, 3));
        assert!(hub.status().unwell().is_none() && hub.status().last_error.is_empty());
    }

    /// Scenario: a server says when it wants to be asked again, as a time to wait and as a moment. Guarantees: it is heeded, up to the
    /// longest wait (D7).
    #[test]
    fn a_server_is_asked_when_it_wants_to() {
        let error = |after| SendError::Retry {
            reason: Refusal::Throttled,
            why: "later".into(),
            after: Some(after),
            doubtful: false,
        };
        let wait = |after| hub().failed(&error(after), 1_000 * SECOND, 0).wait;
        assert_eq!(wait(RetryAfter::In(Duration::from_secs(20))), Duration::from_secs(20));
        assert_eq!(wait(RetryAfter::At(1_030)), Duration::from_secs(30));
        assert_eq!(wait(RetryAfter::At(9_999_999)), Duration::from_secs(60));
    }
}
