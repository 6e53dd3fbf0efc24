//! `bench hub`: one published data set of an edge fleet into the hub and into VictoriaMetrics, one after the other in the same run: bytes
//! for a sample, CPU for a sample, memory, and the time of the same questions; then again with half of the samples hours late.

use crate::bench::host::{Host, commit};
use crate::bench::process::{DirectorySize, Memory, cpu_seconds};
use crate::bench::wire::value;
use crate::clock::monotonic;
use crate::console::Console;
use crate::http_json::{get, is_ok, query};
use crate::otlp::metrics_request;
use crate::otlp::value::{attribute, text};
use crate::program::{Program, path_text};
use crate::rng::Rng;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Metric, NumberDataPoint, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// Series are metric `number % METRICS` of device `number / METRICS`.
const METRICS: u64 = 20;
/// Metrics that count; the others are gauges.
const COUNTERS: u64 = 5;
const SITES: u64 = 10;
const SECOND_NS: u64 = 1_000_000_000;
/// 2026-06-01, UTC.
const START_NS: u64 = 1_780_272_000 * SECOND_NS;
const INTERVAL_NS: u64 = 10 * SECOND_NS;
/// Samples of a series and devices of one request.
const STEPS: u64 = 10;
const DEVICES: u64 = 10;
/// Repetitions of each question; the median counts.
const TIMES: usize = 9;
/// The longest that a server may take to settle.
const PATIENCE: Duration = Duration::from_secs(300);
/// Nothing changes for so long when it is quiet.
const QUIET: Duration = Duration::from_secs(35);

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct HubArgs {
    pub(crate) hub: PathBuf,
    pub(crate) victoria_metrics: PathBuf,
    pub(crate) devices: u64,
    pub(crate) samples: u64,
    pub(crate) seed: u64,
}

/// The outcome, as printed. Times and rates belong to the machine; ratios are the hub's to VictoriaMetrics'.
#[derive(Debug, Serialize)]
pub(crate) struct HubResults {
    commit: Option<String>,
    host: Host,
    series: u64,
    samples: u64,
    in_order: Pair,
    half_late: Pair,
}

#[derive(Debug, Serialize)]
struct Pair {
    hub: Run,
    victoria_metrics: Run,
    bytes_ratio: f64,
    cpu_ratio: f64,
    memory_ratio: f64,
    questions: Vec<Compared>,
}

#[derive(Debug, Serialize)]
struct Compared {
    question: &'static str,
    hub_ms: f64,
    victoria_metrics_ms: f64,
    ratio: f64,
}

#[derive(Debug, Serialize)]
struct Run {
    /// Of the samples as they lie on the disk once it is quiet.
    bytes_per_sample: f64,
    /// Everything in the data directory.
    directory_bytes: u64,
    /// From the first request until it is quiet.
    cpu_seconds_per_million_samples: f64,
    /// The most that was resident, questions included.
    high_water: u64,
    refused: u64,
    #[serde(skip)]
    question_ms: Vec<f64>,
}

impl Run {
    /// What program `id` took: `samples_in` and `data` are its directories of samples and of everything; `answers` is how many requests it
    /// refused, and how long each question took.
    fn of(
        args: &HubArgs,
        id: u32,
        (samples_in, data): (&Path, &Path),
        cpu: f64,
        (refused, question_ms): (u64, Vec<f64>),
    ) -> Result<Self> {
        let samples = (args.devices * METRICS * args.samples) as f64;
        Ok(Self {
            bytes_per_sample: DirectorySize::of(samples_in)?.apparent_bytes as f64 / samples,
            directory_bytes: DirectorySize::of(data)?.worst(),
            cpu_seconds_per_million_samples: cpu / samples * 1e6,
            high_water: Memory::of(id)?.high_water,
            refused,
            question_ms,
        })
    }
}

/// A question, as each is asked it: the hub names a counter as Prometheus does.
struct Question {
    name: &'static str,
    hub: &'static str,
    victoria_metrics: &'static str,
}

const QUESTIONS: [Question; 4] = [
    Question { name: "one gauge, 8 h", hub: "m5{device=\"d007\"}", victoria_metrics: "m5{device=\"d007\"}" },
    Question {
        name: "rate of one counter, 8 h",
        hub: "rate(m0_total{device=\"d007\"}[5m])",
        victoria_metrics: "rate(m0{device=\"d007\"}[5m])",
    },
    Question {
        name: "sum by (site) (rate(counter[5m])), 100 series, 8 h",
        hub: "sum by (site) (rate(m0_total[5m]))",
        victoria_metrics: "sum by (site) (rate(m0[5m]))",
    },
    Question {
        name: "avg_over_time(gauge[1h]), 100 series, 8 h",
        hub: "avg_over_time(m5[1h])",
        victoria_metrics: "avg_over_time(m5[1h])",
    },
];

/// The requests of the data set in the order of time, each with the samples of some devices over some steps.
fn requests(args: &HubArgs) -> Vec<Bytes> {
    let mut rng = Rng::new(args.seed, 1);
    let mut last = vec![0.0; (args.devices * METRICS) as usize];
    let mut requests = Vec::new();
    for first in (0..args.samples).step_by(STEPS as usize) {
        for device in (0..args.devices).step_by(DEVICES as usize) {
            let devices = device..(device + DEVICES).min(args.devices);
            let steps = first..(first + STEPS).min(args.samples);
            let metrics = (0..METRICS).map(|metric| {
                let points = devices.clone().flat_map(|device| steps.clone().map(move |step| (device, step)));
                let points = points.map(|(device, step)| {
                    let series = device * METRICS + metric;
                    let jitter = if series.is_multiple_of(2) { rng.between(0, 8) * 1_000_000 } else { 0 };
                    let value = value(series, step, &mut rng, &mut last[series as usize]);
                    point(device, START_NS + step * INTERVAL_NS + jitter, value)
                });
                metric_of(metric, points.collect())
            });
            let resource =
                Resource { attributes: vec![attribute("service.name", text("edge"))], ..Resource::default() };
            requests.push(metrics_request(resource, InstrumentationScope::default(), metrics.collect()));
        }
    }
    requests
}

fn point(device: u64, time: u64, value: f64) -> NumberDataPoint {
    let name = |letter: char, number: u64| text(&format!("{letter}{number:03}"));
    NumberDataPoint {
        attributes: vec![attribute("device", name('d', device)), attribute("site", name('s', device % SITES))],
        start_time_unix_nano: START_NS,
        time_unix_nano: time,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

fn metric_of(metric: u64, data_points: Vec<NumberDataPoint>) -> Metric {
    let data = if metric < COUNTERS {
        let aggregation_temporality = AggregationTemporality::Cumulative.into();
        metric::Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic: true })
    } else {
        metric::Data::Gauge(Gauge { data_points })
    };
    Metric { name: format!("m{metric}"), data: Some(data), ..Metric::default() }
}

/// Half of the requests come one to six hours later than they would.
fn half_late(requests: &[Bytes], args: &HubArgs) -> Vec<Bytes> {
    let mut rng = Rng::new(args.seed, 2);
    let each_hour = 360 / STEPS * args.devices.div_ceil(DEVICES);
    let mut placed: Vec<(u64, u64, &Bytes)> = Vec::new();
    for (at, request) in requests.iter().enumerate() {
        let late = if rng.chance(0.5) { rng.between(each_hour, 6 * each_hour) } else { 0 };
        placed.push((at as u64 + late, rng.bits(), request));
    }
    placed.sort_by_key(|(at, random, _)| (*at, *random));
    placed.into_iter().map(|(_, _, request)| request.clone()).collect()
}

/// One connection to a server.
struct Line {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
}

impl Line {
    async fn open(address: SocketAddr) -> Result<Self> {
        let (sender, connection) = handshake(TokioIo::new(TcpStream::connect(address).await?)).await?;
        tokio::spawn(connection);
        Ok(Self { address, sender })
    }

    async fn ask(&mut self, request: http::request::Builder, body: Bytes) -> Result<(StatusCode, Bytes)> {
        if self.sender.ready().await.is_err() {
            *self = Self::open(self.address).await?;
        }
        let request = request.header(header::HOST, self.address.to_string()).body(Full::new(body))?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }

    /// Sends a request until it is taken; how often it was refused.
    async fn post(&mut self, path: &str, body: &Bytes) -> Result<u64> {
        let mut refused = 0;
        loop {
            let request = Request::post(path).header(header::CONTENT_TYPE, "application/x-protobuf");
            match self.ask(request, body.clone()).await? {
                (status, _) if status.is_success() => return Ok(refused),
                (StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS, _) => refused += 1,
                (status, answer) => bail!("{path} answered {status}: {}", String::from_utf8_lossy(&answer)),
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// The median time of a question, and the bytes of its answer.
    async fn time(&mut self, path: &str) -> Result<f64> {
        let mut times = Vec::new();
        for number in 0..=TIMES {
            let begin = monotonic();
            let (status, answer) = self.ask(Request::get(path), Bytes::new()).await?;
            let took = monotonic().duration_since(begin).as_secs_f64() * 1e3;
            if status != StatusCode::OK || answer.len() < 1_000 {
                bail!("{path} answered {status}: {}", String::from_utf8_lossy(&answer));
            }
            if number > 0 {
                times.push(took);
            }
        }
        times.sort_by(f64::total_cmp);
        Ok(times[TIMES / 2])
    }
}

/// Waits until a directory has not changed its size for a while, and `is_done` says so too.
async fn quiet(what: &str, directory: &Path, is_done: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let begin = monotonic();
    let (mut size, mut since) = (0, begin);
    loop {
        let now = DirectorySize::of(directory).map_or(size, |found| found.apparent_bytes);
        if now != size {
            (size, since) = (now, monotonic());
        }
        if monotonic().duration_since(since) > QUIET && is_done().await? {
            return Ok(());
        }
        if monotonic().duration_since(begin) > PATIENCE {
            bail!("{what} is not quiet within {} s", PATIENCE.as_secs());
        }
        sleep(Duration::from_millis(500)).await;
    }
}

#[derive(Debug, Clone, Deserialize)]
struct Addresses {
    http: SocketAddr,
}

/// The path that asks it of all the time, a value a minute.
fn of_question(api: &str, promql: &str, args: &HubArgs) -> String {
    let from = (START_NS / SECOND_NS).to_string();
    let to = ((START_NS + args.samples * INTERVAL_NS) / SECOND_NS).to_string();
    let parameters = [("query", promql), ("start", &from), ("end", &to), ("step", "60s")];
    query(&format!("{api}/query_range"), &parameters)
}

async fn run_hub(args: &HubArgs, requests: &[Bytes], directory: &Path) -> Result<Run> {
    let data = directory.join("hub");
    std::fs::create_dir_all(&data)?;
    let arguments = ["run", "--data-dir", path_text(&data)?, "--http", "127.0.0.1:0", "--link", "127.0.0.1:0"];
    let mut program = Program::start("lightship-hub", &args.hub, &arguments, &directory.join("hub.log"))?;
    let Addresses { http } = program.wrote(&data.join("addresses.json")).await?;
    let id = program.id()?;
    let mut line = Line::open(http).await?;
    let before = cpu_seconds(id)?;
    let mut refused = 0;
    for request in requests {
        refused += line.post("/v1/metrics", request).await?;
    }
    let packs = data.join("packs");
    let has_empty_heads = async || {
        let (_, text) = Line::open(http).await?.ask(Request::get("/metrics"), Bytes::new()).await?;
        Ok(String::from_utf8_lossy(&text).lines().any(|line| line == "lightship_hub_head_bytes 0"))
    };
    quiet("the hub", &packs, has_empty_heads).await?;
    let cpu = cpu_seconds(id)? - before;
    let mut question_ms = Vec::new();
    for question in QUESTIONS {
        question_ms.push(line.time(&of_question("/prometheus/api/v1", question.hub, args)).await?);
    }
    let run = Run::of(args, id, (&packs, &data), cpu, (refused, question_ms))?;
    program.stop().await?;
    Ok(run)
}

async fn run_victoria_metrics(args: &HubArgs, requests: &[Bytes], directory: &Path) -> Result<Run> {
    let data = directory.join("victoria-metrics");
    std::fs::create_dir_all(&data)?;
    let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let arguments = [
        format!("-storageDataPath={}", path_text(&data)?),
        format!("-httpListenAddr={address}"),
        "-retentionPeriod=100y".to_owned(),
    ];
    let log = directory.join("victoria-metrics.log");
    let program = Program::start("victoria-metrics", &args.victoria_metrics, &arguments, &log)?;
    let id = program.id()?;
    let begin = monotonic();
    while !is_ok(address, "/health").await {
        if monotonic().duration_since(begin) > PATIENCE {
            bail!("VictoriaMetrics does not start");
        }
        sleep(Duration::from_millis(100)).await;
    }
    let mut line = Line::open(address).await?;
    let before = cpu_seconds(id)?;
    let mut refused = 0;
    for request in requests {
        refused += line.post("/opentelemetry/v1/metrics", request).await?;
    }
    line.ask(Request::get("/internal/force_flush"), Bytes::new()).await?;
    line.ask(Request::get("/internal/force_merge"), Bytes::new()).await?;
    let parts = data.join("data");
    quiet("VictoriaMetrics", &parts, async || Ok(true)).await?;
    let cpu = cpu_seconds(id)? - before;
    let mut question_ms = Vec::new();
    for question in QUESTIONS {
        let path = of_question("/api/v1", question.victoria_metrics, args);
        question_ms.push(line.time(&format!("{path}&nocache=1")).await?);
    }
    let counted: serde_json::Value = get(address, &query("/api/v1/series/count", &[])).await?;
    if counted["data"][0].as_u64() != Some(args.devices * METRICS) {
        bail!("VictoriaMetrics holds {counted}, not {} series", args.devices * METRICS);
    }
    let run = Run::of(args, id, (&parts, &data), cpu, (refused, question_ms))?;
    program.stop().await?;
    Ok(run)
}

async fn pair(args: &HubArgs, requests: &[Bytes], console: Console) -> Result<Pair> {
    let directory = tempfile::tempdir().context("cannot create a directory for the data")?;
    console.progress("  the hub");
    let hub = run_hub(args, requests, directory.path()).await?;
    console.progress("  VictoriaMetrics");
    let other = run_victoria_metrics(args, requests, directory.path()).await?;
    let questions = QUESTIONS.iter().zip(&hub.question_ms).zip(&other.question_ms);
    let questions = questions.map(|((question, hub_ms), victoria_metrics_ms)| Compared {
        question: question.name,
        hub_ms: *hub_ms,
        victoria_metrics_ms: *victoria_metrics_ms,
        ratio: hub_ms / victoria_metrics_ms,
    });
    Ok(Pair {
        bytes_ratio: hub.bytes_per_sample / other.bytes_per_sample,
        cpu_ratio: hub.cpu_seconds_per_million_samples / other.cpu_seconds_per_million_samples,
        memory_ratio: hub.high_water as f64 / other.high_water as f64,
        questions: questions.collect(),
        hub,
        victoria_metrics: other,
    })
}

/// Runs it.
///
/// # Errors
/// When a program cannot be started, does not take the data, or answers wrongly.
pub(crate) async fn hub_results(args: &HubArgs, console: Console) -> Result<HubResults> {
    let in_time = requests(args);
    console.progress(&format!("{} requests in the order of time", in_time.len()));
    let in_order = pair(args, &in_time, console).await?;
    console.progress("half of them one to six hours late");
    let half_late = pair(args, &half_late(&in_time, args), console).await?;
    Ok(HubResults {
        commit: commit(),
        host: Host::this(),
        series: args.devices * METRICS,
        samples: args.devices * METRICS * args.samples,
        in_order,
        half_late,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> HubArgs {
        let none = PathBuf::new();
        HubArgs { hub: none.clone(), victoria_metrics: none, devices: 12, samples: 25, seed: 1 }
    }

    /// Scenario: a small data set of one seed, twice, and the same with half of it late. Guarantees: it does not depend on
    /// chance or time, and what is late is the same requests in another order.
    #[test]
    fn the_data_set_is_reproducible() {
        let (first, second) = (requests(&args()), requests(&args()));
        assert_eq!((first.len(), &first), (6, &second));
        let (mut late, again) = (half_late(&first, &args()), half_late(&first, &args()));
        assert_eq!(late, again);
        let mut all = first.clone();
        all.sort();
        late.sort();
        assert_eq!(late, all);
    }
}
