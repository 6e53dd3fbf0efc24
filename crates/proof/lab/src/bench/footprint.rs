//! `bench footprint`: what the real agent takes on a typical device under a typical load.

use crate::agent_status::Status;
use crate::bench::host::{Binary, Host, commit};
use crate::bench::load::{LIMIT, LINE_SECONDS, Load, METRICS_SECONDS, POINTS, Request, TRACE_SECONDS};
use crate::bench::process::{DirectorySize, Memory, cpu_seconds};
use crate::clock::{monotonic, wall_ns};
use crate::console::Console;
use crate::device::{Device, Setting, Upstream};
use crate::hub::Hub;
use crate::otlp::{Inbox, Pipe, Protocol, Receiver};
use anyhow::{Context, Result, bail};
use model::Signal;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::sleep;

const MB: u64 = 1_000_000;
/// The limits, in bytes; a megabyte is a million bytes here, the stricter reading.
pub(crate) const LIMITS: Limits = Limits { binary: 6 * MB, high_water: 5 * MB, binary_and_data: 15 * MB };

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct FootprintArgs {
    pub(crate) agent: PathBuf,
    /// Deliver to this real hub over TLS; without it, to an OTLP receiver in this process.
    pub(crate) hub: Option<PathBuf>,
    pub(crate) time: Duration,
}

/// What is not to be reached or passed, in bytes.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Limits {
    /// The stripped program: less than this.
    binary: u64,
    /// Resident memory at any moment: less than this.
    high_water: u64,
    /// Program and data directory after the run: at most this.
    pub(crate) binary_and_data: u64,
}

/// The outcome, as printed. Sizes are in bytes.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Footprint {
    pub(crate) passed: bool,
    commit: Option<String>,
    host: Host,
    binary: Binary,
    /// Right after the start, and at the end of the load.
    memory_at_start: Memory,
    memory_at_end: Memory,
    /// The most of its own memory that was seen, once a second.
    most_anonymous: u64,
    cpu_seconds: f64,
    /// Of one core, over the time of the load.
    cpu_share: f64,
    data: DirectorySize,
    binary_and_data: u64,
    destination: &'static str,
    load: LoadReport,
    limits: Limits,
    pub(crate) faults: Vec<String>,
}

/// What the agent was given.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LoadReport {
    seconds: f64,
    description: String,
    /// Requests of at least nine tenths of the limit.
    large_requests: u64,
    largest_request_bytes: usize,
    spans: u64,
    log_lines: u64,
    points: u64,
    /// Records that the agent did not take.
    pub(crate) not_taken: u64,
}

/// Runs it.
pub(crate) async fn footprint(args: &FootprintArgs, console: Console) -> Result<Footprint> {
    let binary = Binary::read(&args.agent)?;
    let directory =
        tempfile::Builder::new().prefix("lightship-footprint-").tempdir().context("no temporary directory")?;
    let hub = match &args.hub {
        Some(binary) => Some(Hub::start(directory.path(), binary).await?),
        None => None,
    };
    let sink = Receiver::start(Protocol::Http, Inbox::default()).await?;
    let upstream = match &hub {
        Some(hub) => Upstream::Hub { link: hub.link, ca: hub.ca.clone() },
        None => Upstream::Otlp { address: sink.address },
    };
    let mut device = Device::start(directory.path(), &args.agent, Setting::Typical, &upstream).await?;
    let process = device.process()?;
    let memory_at_start = Memory::of(process)?;
    console.event(&format!("the agent runs; load for {} s", args.time.as_secs()));

    let mut run = Run::new(&device, 1);
    let begin = monotonic();
    let mut most_anonymous = memory_at_start.anonymous;
    let mut second = 0;
    while monotonic().duration_since(begin) < args.time {
        run.second(second).await?;
        second += 1;
        sleep(Duration::from_secs(second).saturating_sub(monotonic().duration_since(begin))).await;
        let memory = Memory::of(process)?;
        most_anonymous = most_anonymous.max(memory.anonymous);
        if second % 30 == 0 {
            let [high, resident, own] = [memory.high_water, memory.resident, memory.anonymous].map(|size| size / 1024);
            console.progress(&format!("{second} s: resident {resident} KiB ({own} its own), at most {high} KiB"));
        }
    }
    let load = run.finish(monotonic().duration_since(begin)).await?;
    let memory_at_end = Memory::of(process)?;
    let cpu_seconds = cpu_seconds(process)?;
    // What was delivered has to have got there, or it was not the whole work.
    let status = device.wait_until("drained", Duration::from_secs(60), Status::is_drained).await?;
    let confirmed = sink.inbox.lock().unwrap_or_else(PoisonError::into_inner).requests;
    if hub.is_none() && confirmed == 0 {
        bail!("nothing reached the receiver; the agent says: {status:?}");
    }
    device.stop().await?;
    if let Some(hub) = hub {
        hub.stop().await?;
    }
    let data = DirectorySize::of(&device.data_dir())?;

    let mut footprint = Footprint {
        passed: false,
        commit: commit(),
        host: Host::this(),
        binary_and_data: binary.bytes + data.worst(),
        binary,
        memory_at_start,
        memory_at_end,
        most_anonymous,
        cpu_seconds,
        cpu_share: cpu_seconds / load.seconds,
        data,
        destination: if args.hub.is_some() { "lightship-hub over TLS" } else { "OTLP/HTTP on loopback" },
        load,
        limits: LIMITS,
        faults: Vec::new(),
    };
    footprint.faults = faults(&footprint);
    footprint.passed = footprint.faults.is_empty();
    Ok(footprint)
}

fn faults(results: &Footprint) -> Vec<String> {
    let limits = results.limits;
    let mut faults = Vec::new();
    let mut over = |what: &str, value: u64, limit: u64, allowed: bool| {
        if !allowed {
            faults.push(format!("{what}: {value} bytes, the limit is {limit}"));
        }
    };
    over("binary", results.binary.bytes, limits.binary, results.binary.bytes < limits.binary);
    let high = results.memory_at_end.high_water;
    over("resident memory at most", high, limits.high_water, high < limits.high_water);
    let both = results.binary_and_data;
    over("binary and data directory", both, limits.binary_and_data, both <= limits.binary_and_data);
    if !results.binary.stripped {
        faults.push("the binary is not stripped, so its size says nothing".to_owned());
    }
    if results.load.not_taken > 0 {
        faults.push(format!("{} records were not taken", results.load.not_taken));
    }
    faults
}

/// The load while it runs: traces and metrics over gRPC, log records over HTTP.
pub(crate) struct Run {
    load: Load,
    traces: Pipe,
    lines: Pipe,
    metrics: Pipe,
    report: LoadReport,
}

impl Run {
    /// One trace and one line fill a large request every `large_minutes`.
    pub(crate) fn new(device: &Device, large_minutes: u64) -> Self {
        const PATIENCE: Duration = Duration::from_secs(20);
        const SEED: u64 = 1;
        let pipe = |protocol, signal, target: &tokio::sync::watch::Sender<_>| {
            Pipe::start(protocol, signal, target.subscribe(), PATIENCE, SEED)
        };
        let often = if large_minutes == 1 { "minute".to_owned() } else { format!("{large_minutes} minutes") };
        let description = format!(
            "every {METRICS_SECONDS} s one export of {POINTS} points, every {TRACE_SECONDS} s a trace of 5 spans, every \
             {LINE_SECONDS} s a log record; in each {often} one trace and one line fill a request of 236 to 250 KiB \
             (the limit is {} KiB)",
            LIMIT / 1024
        );
        Self {
            load: Load::new(SEED, wall_ns(), large_minutes),
            traces: pipe(Protocol::Grpc, Signal::Traces, &device.otlp_grpc),
            lines: pipe(Protocol::Http, Signal::Logs, &device.otlp_http),
            metrics: pipe(Protocol::Grpc, Signal::Metrics, &device.otlp_grpc),
            report: LoadReport {
                seconds: 0.0,
                description,
                large_requests: 0,
                largest_request_bytes: 0,
                spans: 0,
                log_lines: 0,
                points: 0,
                not_taken: 0,
            },
        }
    }

    /// Sends what is due in this second; the three signals do not come in the same one.
    async fn second(&mut self, second: u64) -> Result<()> {
        self.second_at(second, wall_ns()).await
    }

    /// The same at a time of the load's own.
    pub(crate) async fn second_at(&mut self, second: u64, now: u64) -> Result<()> {
        if second % METRICS_SECONDS == 1 {
            let request = self.load.metrics(now);
            self.note(&request);
            self.metrics.send(request.body, request.records).await?;
        }
        if second % TRACE_SECONDS == 2 {
            let request = self.load.trace(now);
            self.note(&request);
            self.traces.send(request.body, request.records).await?;
        }
        if second % LINE_SECONDS == 3 {
            let request = self.load.line(now);
            self.note(&request);
            self.lines.send(request.body, request.records).await?;
        }
        Ok(())
    }

    fn note(&mut self, request: &Request) {
        self.report.large_requests += u64::from(request.body.len() * 10 >= LIMIT * 9);
        self.report.largest_request_bytes = self.report.largest_request_bytes.max(request.body.len());
    }

    pub(crate) async fn finish(mut self, took: Duration) -> Result<LoadReport> {
        for pipe in [&self.traces, &self.lines, &self.metrics] {
            pipe.settled().await?;
        }
        let [spans, lines, points] = [&self.traces, &self.lines, &self.metrics]
            .map(|pipe| pipe.tally().lock().unwrap_or_else(PoisonError::into_inner).clone());
        self.report.seconds = took.as_secs_f64();
        self.report.spans = spans.taken;
        self.report.log_lines = lines.taken;
        self.report.points = points.taken;
        self.report.not_taken = spans.not_taken + lines.not_taken + points.not_taken;
        Ok(self.report)
    }
}
