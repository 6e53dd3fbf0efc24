//! One target, scraped again and again.

use std::rc::Rc;
use std::time::Duration;

use model::{Answer, Signal};
use scrape::{Scraped, Target, TargetState};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::fetch::fetch;
use super::memory::Charge;
use super::setup::{ScrapeJob, ScrapeShared};
use crate::Feed;

/// One target, and what is known of its series.
pub(crate) struct Rounds {
    job: Rc<ScrapeJob>,
    target: Target,
    feed: Feed,
    shared: ScrapeShared,
    stop: Rc<Notify>,
    state: TargetState,
    /// Of what is known between scrapes.
    charge: Charge,
}

impl Rounds {
    /// Nothing is known yet.
    pub(crate) fn new(job: Rc<ScrapeJob>, target: Target, feed: Feed, shared: ScrapeShared, stop: Rc<Notify>) -> Self {
        let charge = Charge::new(&shared.memory);
        Self { job, target, feed, shared, stop, state: TargetState::default(), charge }
    }

    /// Scrapes at the target's interval, until it is told to stop.
    pub(crate) async fn run(mut self) {
        // Targets are spread over the interval, each at the same place whenever the program starts.
        let length = u64::try_from(self.target.interval.as_nanos()).unwrap_or(u64::MAX).max(1);
        let first = length - ((self.shared.wall_ns)() % length);
        let offset = Duration::from_nanos((first + self.target.spread() % length) % length);
        let mut rounds = interval_at(Instant::now() + offset, self.target.interval);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                _ = rounds.tick() => Box::pin(self.round()).await,
                () = self.stop.notified() => break,
            }
        }
        let time = (self.shared.wall_ns)();
        for request in self.state.gone(&self.target, time) {
            self.give(request, 0).await;
        }
    }

    async fn round(&mut self) {
        let places = Rc::clone(&self.shared.places);
        let Ok(_place) = places.acquire().await else { return };
        let (time, began) = ((self.shared.wall_ns)(), Instant::now());
        let mut charge = Charge::new(&self.shared.memory);
        let fetched = fetch(&self.job, &self.target, &self.state, &mut charge, time).await;
        let Scraped { requests, points, counts } = match fetched {
            Ok(finished) => finished.settle(&mut self.state),
            Err((reason, why)) => {
                self.feed.state().error(reason, 1, &format!("{}: {why}", self.target.url()));
                self.state.failed(&self.target, time, began.elapsed())
            }
        };
        for (reason, count, why) in [
            ("duplicate_sample", counts.duplicates, "has samples of a series twice; the first one is taken"),
            ("unsupported_sample", counts.unsupported, "has native histograms that OTLP has no place for"),
        ] {
            if count > 0 {
                self.feed.state().error(reason, count, &format!("{}: {why}", self.target.url()));
            }
        }
        if !self.charge.resize(self.state.bytes()) {
            let why = "what is known of its series does not fit into sources.prometheus.memory: those that end are not marked";
            self.feed.state().error("no_room", 1, &format!("{}: {why}", self.target.url()));
            self.state = TargetState::default();
        }
        let mut points = points;
        for request in requests {
            self.give(request, std::mem::take(&mut points)).await;
        }
    }

    async fn give(&self, request: Vec<u8>, points: u64) {
        let answer = self.feed.give(Signal::Metrics, request, points, (self.shared.wall_ns)()).await;
        if let Answer::Wait(_) = answer {
            let why = format!("{}: there is no room for what was scraped; the round is left out", self.target.url());
            self.feed.state().error("refused", points, &why);
        }
    }
}
