//! What a program writes as Prometheus' text, and as OTLP in JSON lines.

use std::time::Duration;

use model::Signal;
use model::otlp::inspect;
use otlp::Form;
use otlp::intake::to_protobuf;
use scrape::{Job, Protocol, Scrape, Target, TargetState};

use crate::Answer;
use crate::lines::Giver;

/// A program as a target that is scraped.
pub(crate) struct Exposed {
    job: Job,
    target: Target,
    state: TargetState,
}

impl Exposed {
    /// Its job is its name in the configuration, its instance the device. `most`: bytes of an exposition.
    ///
    /// # Errors
    /// When the name can be no label.
    pub(crate) fn new(name: &str, instance: &str, most: usize) -> Result<Self, String> {
        let mut job = Job::new(name);
        (job.reports, job.honor_labels) = (false, true);
        job.limits.body_bytes = most;
        let target = Target::new(&job, [("__address__", "localhost"), ("instance", instance)])?;
        Ok(Self { job, target: target.ok_or("it has no target")?, state: TargetState::default() })
    }

    /// Hands an exposition over. Without room it is left out: the next one is newer.
    pub(crate) async fn take(&mut self, text: &[u8], giver: &Giver) {
        let Self { job, target, state } = self;
        let time = giver.wall_ns();
        let mut scrape = Scrape::new(job, target, state, Protocol::PrometheusText0_0_4, time);
        let read = scrape.push(text).and_then(|()| scrape.finish(Duration::ZERO));
        let scraped = match read {
            Ok(finished) => finished.settle(state),
            Err(error) => {
                giver.feed.state().error("bad_output", 1, &error.to_string());
                self.failed(giver).await;
                return;
            }
        };
        let mut points = scraped.points;
        for request in scraped.requests {
            give(giver, request, std::mem::take(&mut points)).await;
        }
    }

    /// A run failed: its series have ended.
    pub(crate) async fn failed(&mut self, giver: &Giver) {
        if let Some(request) = self.state.ended(giver.wall_ns()) {
            give(giver, request, 0).await;
        }
    }
}

async fn give(giver: &Giver, request: Vec<u8>, points: u64) {
    if let Answer::Wait(_) = giver.feed.give(Signal::Metrics, request, points, giver.wall_ns()).await {
        giver.feed.state().error("refused", points, "there is no room for it; the round is left out");
    }
}

/// The signal of a request in JSON, by its first key.
fn signal(line: &[u8]) -> Option<Signal> {
    let text = std::str::from_utf8(line).ok()?.trim_start().strip_prefix('{')?.trim_start();
    let key = text.strip_prefix('"')?.split('"').next()?;
    Some(match key {
        "resourceSpans" | "resource_spans" => Signal::Traces,
        "resourceLogs" | "resource_logs" => Signal::Logs,
        "resourceMetrics" | "resource_metrics" => Signal::Metrics,
        _ => return None,
    })
}

/// Hands a line of OTLP over, and waits for room.
pub(crate) async fn take_otlp(line: &[u8], most: usize, giver: &Giver) {
    if line.trim_ascii().is_empty() {
        return;
    }
    let request = match signal(line) {
        Some(signal) => {
            to_protobuf(signal, Form::Json, line, most).map(|body| (signal, body)).map_err(|error| error.why)
        }
        None => {
            Err("a line is no OTLP request: its first key is resourceSpans, resourceLogs or resourceMetrics".into())
        }
    };
    match request {
        Ok((signal, Some(body))) => {
            let records = inspect(signal, &body).map_or(0, |found| found.records);
            giver.give(signal, body, records).await;
        }
        Ok((_, None)) => {}
        Err(why) => giver.feed.state().error("bad_output", 1, &why),
    }
}
