//! A producer of the kill drill: it hands over requests one after the other, each until it is taken, and notes whose answer
//! was lost.

use crate::clock::wall_ns;
use crate::otlp::value::{attribute, int};
use crate::otlp::{Answer, Client, Protocol, Target, logs_request, metrics_request, traces_request};
use crate::rng::Rng;
use crate::vessel::{Fate, Line, Manifest, PlannedPoint, lines_of, resource, scope, spans_of};
use anyhow::{Result, bail};
use bytes::Bytes;
use model::{Signal, TraceId};
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, Gauge, Metric, NumberDataPoint, exemplar, metric, number_data_point,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// The gauge that producers send.
const METRIC: &str = "kill.round";
/// One point for each producer in so much time, so that each step of a query holds one at most.
pub(crate) const POINTS_EVERY_MS: u64 = 200;
/// Boundary cases of the plan.
const BOUNDARY_EVERY: u64 = 20;
/// After how long a request that is not taken ends the drill.
const PATIENCE: Duration = Duration::from_secs(60);
/// The share of requests of which parts come in a later export.
const APART: f64 = 0.4;

/// What a producer is told.
#[derive(Clone)]
pub(crate) struct Brief {
    pub(crate) seed: u64,
    /// Its number, of so many.
    pub(crate) producer: u64,
    pub(crate) producers: u64,
    pub(crate) protocol: Protocol,
    /// Whether its requests have an idempotency key.
    pub(crate) keyed: bool,
    pub(crate) target: Target,
    /// The longest rest between two rounds.
    pub(crate) rest: Duration,
    /// Whether every trace must be kept, and not those that the plan says.
    pub(crate) keep_all: bool,
    /// Counts the lines without a trace of all producers.
    pub(crate) loose_lines: Arc<AtomicU64>,
}

/// What a request held, by id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Held {
    /// Spans of each trace.
    Spans(BTreeMap<TraceId, u64>),
    Lines(Vec<String>),
    Points(u64),
}

impl Held {
    /// How many records.
    pub(crate) fn records(&self) -> u64 {
        match self {
            Held::Spans(traces) => traces.values().sum(),
            Held::Lines(ids) => ids.len() as u64,
            Held::Points(points) => *points,
        }
    }
}

/// A request that was taken in the end.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) keyed: bool,
    pub(crate) held: Held,
    /// Attempts that may have been taken without anybody knowing.
    pub(crate) answers_lost: u64,
    /// Attempts that the agent told to come later.
    pub(crate) refusals: u64,
}

/// What a producer did.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) manifest: Manifest,
    pub(crate) sent: Vec<Sent>,
}

/// Works until told to stop, and then hands over what is left.
pub(crate) async fn produce(brief: Brief, stop: watch::Receiver<bool>) -> Result<Log> {
    let client = |signal| Client::new(brief.protocol, signal, brief.target.clone());
    let mut producer = Producer {
        rng: Rng::new(brief.seed, u64::MAX - brief.producer),
        next: brief.producer,
        clients: [client(Signal::Traces), client(Signal::Logs), client(Signal::Metrics)],
        later: Round::default(),
        last_point_ns: 0,
        log: Log::default(),
        brief,
    };
    while !*stop.borrow() {
        producer.round(true).await?;
        let rest = producer.brief.rest.mul_f64(producer.rng.unit());
        sleep(rest).await;
    }
    producer.round(false).await?;
    Ok(producer.log)
}

/// What goes in one export.
#[derive(Default)]
struct Round {
    spans: Vec<Span>,
    lines: Vec<Line>,
}

struct Producer {
    brief: Brief,
    rng: Rng,
    /// The number of its next request of the plan.
    next: u64,
    /// For traces, logs and metrics.
    clients: [Client; 3],
    /// Parts of traces that come with the next round.
    later: Round,
    last_point_ns: u64,
    log: Log,
}

impl Producer {
    /// Hands over what is left of the last round, and a few new requests of the plan where `more` of them are to come.
    async fn round(&mut self, more: bool) -> Result<()> {
        let mut round = std::mem::take(&mut self.later);
        if more {
            for _ in 0..self.rng.between(1, 5) {
                self.plan(&mut round);
            }
            let count = self.brief.loose_lines.fetch_add(1, Ordering::Relaxed);
            round.lines.push(Line::loose(count, wall_ns(), "round begins"));
        }
        let of = round.spans.first().and_then(|span| TraceId::from_bytes(&span.trace_id));
        let lines_first = self.rng.chance(0.3);
        if lines_first {
            self.send_lines(&round.lines).await?;
        }
        self.send_spans(round.spans).await?;
        if !lines_first {
            self.send_lines(&round.lines).await?;
        }
        self.send_point(of).await
    }

    /// Decides one request of the plan and puts its spans and lines into this round or the next one.
    fn plan(&mut self, round: &mut Round) {
        let fate = Fate::decide(self.brief.seed, self.next, Some(BOUNDARY_EVERY));
        self.next += self.brief.producers;
        self.log.manifest.note(&fate);
        if self.brief.keep_all
            && let Some(request) = self.log.manifest.requests.last_mut()
        {
            request.should_keep = true;
        }
        let end_ns = wall_ns();
        let apart = self.rng.chance(APART);
        for span in spans_of(&fate, end_ns) {
            let later = apart && self.rng.chance(0.5);
            if later { &mut self.later } else { &mut *round }.spans.push(span);
        }
        for line in lines_of(&fate, end_ns) {
            let later = apart && self.rng.chance(0.5);
            if later { &mut self.later } else { &mut *round }.lines.push(line);
        }
    }

    async fn send_spans(&mut self, spans: Vec<Span>) -> Result<()> {
        let mut traces = BTreeMap::new();
        for trace in spans.iter().filter_map(|span| TraceId::from_bytes(&span.trace_id)) {
            *traces.entry(trace).or_default() += 1;
        }
        let held = Held::Spans(traces);
        self.hand_over(Signal::Traces, traces_request(resource(), scope(), spans), held).await
    }

    async fn send_lines(&mut self, lines: &[Line]) -> Result<()> {
        let held = Held::Lines(lines.iter().map(|line| line.id.clone()).collect());
        let records = lines.iter().map(Line::record).collect();
        self.hand_over(Signal::Logs, logs_request(resource(), scope(), records), held).await
    }

    /// A point on a grid of time, with an exemplar of this trace.
    async fn send_point(&mut self, of: Option<TraceId>) -> Result<()> {
        let now = wall_ns();
        let time_ns = now - now % (POINTS_EVERY_MS * 1_000_000);
        if time_ns <= self.last_point_ns {
            return Ok(());
        }
        self.last_point_ns = time_ns;
        let (number, value) = (self.brief.producer.cast_signed(), self.log.manifest.points.len() as f64);
        let exemplar = of.map(|trace| Exemplar {
            time_unix_nano: time_ns,
            trace_id: trace.0.to_vec(),
            value: Some(exemplar::Value::AsDouble(value)),
            ..Exemplar::default()
        });
        let point = NumberDataPoint {
            attributes: vec![attribute("producer", int(number))],
            time_unix_nano: time_ns,
            exemplars: exemplar.into_iter().collect(),
            value: Some(number_data_point::Value::AsDouble(value)),
            ..NumberDataPoint::default()
        };
        let data = Some(metric::Data::Gauge(Gauge { data_points: vec![point] }));
        let metric = Metric { name: METRIC.to_owned(), data, ..Metric::default() };
        self.log.manifest.points.push(PlannedPoint {
            metric: METRIC,
            is_histogram: false,
            attributes: vec![("producer", number.to_string())],
            time_ns,
            value,
        });
        let body = metrics_request(resource(), scope(), vec![metric]);
        self.hand_over(Signal::Metrics, body, Held::Points(1)).await
    }

    /// Sends one request until it is taken: the same bytes, and the same key where there is one.
    async fn hand_over(&mut self, signal: Signal, body: Bytes, held: Held) -> Result<()> {
        if held.records() == 0 {
            return Ok(());
        }
        let key = self.brief.keyed.then(|| format!("{:016x}{:016x}", self.rng.bits(), self.rng.bits()));
        let mut sent = Sent { keyed: key.is_some(), held, answers_lost: 0, refusals: 0 };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let [traces, logs, metrics] = &mut self.clients;
            let client = match signal {
                Signal::Traces => traces,
                Signal::Logs => logs,
                Signal::Metrics => metrics,
            };
            let answer = client.send(&body, key.as_deref()).await;
            match &answer {
                Answer::Taken(0, _) => break,
                Answer::Taken(..) | Answer::Refused(_) => bail!("a request was refused for good: {answer:?}"),
                Answer::Later(..) => sent.refusals += 1,
                Answer::Unreachable(_) => {}
                Answer::Lost(_) => sent.answers_lost += 1,
            }
            if Instant::now() > deadline {
                bail!("a request was not taken within {} s: {answer:?}", PATIENCE.as_secs());
            }
            let (wait, _) = answer.later();
            sleep(wait.unwrap_or_else(|| Duration::from_millis(self.rng.between(5, 40)))).await;
        }
        self.log.sent.push(sent);
        Ok(())
    }
}
