//! `bench cpu`: CPU, memory and writes for each span on its whole way, beside the OpenTelemetry Collector with tail sampling, span metrics
//! and queues in files, and beside Fluent Bit where there is one. All get the same traffic, one after the other, several times.

use crate::bench::cost::Traffic;
use crate::bench::host::{Host, commit};
use crate::bench::peers::{Peer, start_collector, start_fluent_bit};
use crate::bench::process::{Memory, cpu_seconds, written_bytes};
use crate::clock::{monotonic, wall_ns};
use crate::console::Console;
use crate::device::{Device, Setting, Upstream, Waits};
use crate::otlp::{Answer, Client, Inbox, Protocol, Receiver};
use anyhow::{Context, Result, bail};
use flate2::read::MultiGzDecoder;
use model::{Signal, TraceId};
use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct CpuArgs {
    pub(crate) agent: PathBuf,
    pub(crate) collector: PathBuf,
    pub(crate) fluent_bit: Option<PathBuf>,
    /// Seconds of load in each run.
    pub(crate) seconds: u64,
    /// How often each program runs; medians are told.
    pub(crate) rounds: usize,
}

/// Spans a second, and MiB for the whole agent with the recorder in memory.
const LOADS: [(u64, u64); 2] = [(2_500, 12), (10_000, 24)];
/// Spans of a request, and of a trace.
const BATCH: u64 = 100;
const SPANS: u64 = 5;
const KEEP_ONE_IN: u64 = 5;
/// How long a trace waits for its decision, in all programs.
const WAIT: Duration = Duration::from_secs(5);
/// After the load: the wait, and what comes behind it.
const SETTLE: Duration = Duration::from_secs(9);

/// The outcome, as printed.
#[derive(Debug, Serialize)]
pub(crate) struct CpuResults {
    commit: Option<String>,
    host: Host,
    seconds: u64,
    rounds: usize,
    bytes_per_span: f64,
    rows: Vec<Row>,
}

/// Medians of one program under one load.
#[derive(Debug, Clone, Serialize)]
struct Row {
    spans_per_second: u64,
    program: &'static str,
    recorder: &'static str,
    cpu_seconds_per_million_spans: f64,
    of_the_collector: Option<f64>,
    resident_mb: f64,
    written_mb: f64,
    kept_traces: u64,
    missing_traces: u64,
    unwanted_traces: u64,
}

/// One run.
#[derive(Debug, Clone, Copy)]
struct Run {
    cpu_per_million: f64,
    resident: u64,
    written: u64,
    kept: u64,
    missing: u64,
    unwanted: u64,
    bytes_per_span: f64,
}

/// Which program, how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Memory,
    Masking,
    Files,
    Collector,
    Redaction,
    FluentBit,
}

impl Who {
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Memory => ("lightship", "memory"),
            Self::Masking => ("lightship", "memory, masking"),
            Self::Files => ("lightship", "files, written"),
            Self::Collector => ("Collector", "queue in files"),
            Self::Redaction => ("Collector", "queue in files, redaction"),
            Self::FluentBit => ("Fluent Bit", "buffer in files"),
        }
    }
}

/// A started program with where it listens.
enum Started {
    Agent(Device),
    Peer(Peer),
}

impl Started {
    fn process(&self) -> Result<u32> {
        match self {
            Self::Agent(device) => device.process(),
            Self::Peer(peer) => peer.program.id(),
        }
    }

    fn listen(&self) -> SocketAddr {
        match self {
            Self::Agent(device) => *device.otlp_http.borrow(),
            Self::Peer(peer) => peer.listen,
        }
    }

    async fn stop(self) -> Result<()> {
        match self {
            Self::Agent(mut device) => device.stop().await,
            Self::Peer(peer) => peer.program.stop().await,
        }
    }
}

/// Runs it.
pub(crate) async fn cpu(args: &CpuArgs, console: Console) -> Result<CpuResults> {
    let mut who = vec![Who::Collector, Who::Memory, Who::Masking, Who::Files];
    match &args.fluent_bit {
        Some(_) => who.push(Who::FluentBit),
        None => eprintln!("SKIPPED Fluent Bit: name it with --fluent-bit FILE"),
    }
    let (rows, bytes_per_span) = rows(args, &who, &LOADS, console).await?;
    Ok(CpuResults {
        commit: commit(),
        host: Host::this(),
        seconds: args.seconds,
        rounds: args.rounds,
        bytes_per_span: bytes_per_span.round(),
        rows,
    })
}

/// What masking costs, here and in the Collector: CPU seconds for a million spans more than without it.
#[derive(Debug, Serialize)]
pub(crate) struct MaskingCost {
    /// Of the guard.
    pub(crate) guard_cpu_seconds: f64,
    /// Of the `redaction` processor.
    pub(crate) redaction_cpu_seconds: f64,
    rows: Vec<Row>,
}

/// The same load with and without masking, through both.
pub(crate) async fn masking(args: &CpuArgs, console: Console) -> Result<MaskingCost> {
    let who = [Who::Collector, Who::Redaction, Who::Memory, Who::Masking];
    let (rows, _) = rows(args, &who, &LOADS[1..], console).await?;
    let [plain, redaction, memory, masking] = rows.as_slice() else { bail!("not every program was measured") };
    let more = |with: &Row, without: &Row| {
        ((with.cpu_seconds_per_million_spans - without.cpu_seconds_per_million_spans) * 100.0).round() / 100.0
    };
    Ok(MaskingCost { guard_cpu_seconds: more(masking, memory), redaction_cpu_seconds: more(redaction, plain), rows })
}

/// Medians of each program under each load, and the size of a span.
async fn rows(args: &CpuArgs, who: &[Who], loads: &[(u64, u64)], console: Console) -> Result<(Vec<Row>, f64)> {
    let (mut rows, mut bytes_per_span) = (Vec::new(), 0.0);
    for &(rate, memory_mib) in loads {
        let mut runs: BTreeMap<Who, Vec<Run>> = BTreeMap::new();
        for round in 0..args.rounds {
            for one in who {
                let run = run(args, *one, rate, memory_mib, round as u64 + 1).await;
                let run = run.with_context(|| format!("{one:?} at {rate} spans/s"))?;
                let (program, recorder) = one.names();
                console.event(&format!(
                    "{rate} spans/s, round {}: {program} ({recorder}) {:.2} CPU s per 1 M spans, {:.1} MB; {} kept, {} missing, \
                     {} unwanted",
                    round + 1,
                    run.cpu_per_million,
                    run.resident as f64 / 1e6,
                    run.kept,
                    run.missing,
                    run.unwanted
                ));
                bytes_per_span = run.bytes_per_span;
                runs.entry(*one).or_default().push(run);
            }
        }
        let theirs = runs.get(&Who::Collector).map(|runs| median(runs, |run| run.cpu_per_million));
        rows.extend(who.iter().filter_map(|one| Some(row(*one, rate, runs.get(one)?, theirs))));
    }
    Ok((rows, bytes_per_span))
}

fn median(runs: &[Run], value: impl Fn(&Run) -> f64) -> f64 {
    let mut values: Vec<f64> = runs.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

fn row(who: Who, rate: u64, runs: &[Run], theirs: Option<f64>) -> Row {
    let (program, recorder) = who.names();
    let cpu = median(runs, |run| run.cpu_per_million);
    let hundredth = |value: f64| (value * 100.0).round() / 100.0;
    let sum = |value: fn(&Run) -> u64| runs.iter().map(value).sum();
    Row {
        spans_per_second: rate,
        program,
        recorder,
        cpu_seconds_per_million_spans: hundredth(cpu),
        of_the_collector: theirs.map(|theirs| (cpu / theirs * 1000.0).round() / 1000.0),
        resident_mb: hundredth(median(runs, |run| run.resident as f64) / 1e6),
        written_mb: hundredth(median(runs, |run| run.written as f64) / 1e6),
        kept_traces: sum(|run| run.kept),
        missing_traces: sum(|run| run.missing),
        unwanted_traces: sum(|run| run.unwanted),
    }
}

async fn start(args: &CpuArgs, who: Who, memory_mib: u64, directory: &Path, sink: SocketAddr) -> Result<Started> {
    let waits = Waits {
        decision: WAIT,
        red: Duration::from_secs(15),
        commit: Duration::from_secs(1),
        heartbeat: Duration::from_secs(5),
        backoff: Duration::from_secs(1),
    };
    let setting = match who {
        Who::Collector | Who::Redaction => {
            let masks = who == Who::Redaction;
            return Ok(Started::Peer(start_collector(&args.collector, sink, directory, WAIT, masks).await?));
        }
        Who::FluentBit => {
            let binary = args.fluent_bit.as_deref().context("no Fluent Bit was named")?;
            return Ok(Started::Peer(start_fluent_bit(binary, sink, directory, WAIT).await?));
        }
        // The peers mask nothing either.
        Who::Memory => Setting::Limited { waits, memory_mib, masks: false },
        Who::Masking => Setting::Limited { waits, memory_mib, masks: true },
        Who::Files => Setting::Written { waits, keep_all: false, masks: false },
    };
    Ok(Started::Agent(Device::start(directory, &args.agent, setting, &Upstream::Otlp { address: sink }).await?))
}

async fn run(args: &CpuArgs, who: Who, rate: u64, memory_mib: u64, seed: u64) -> Result<Run> {
    let directory = tempfile::Builder::new().prefix("lightship-cpu-").tempdir().context("no temporary directory")?;
    let sink = Receiver::start(Protocol::Http, Inbox { kept: Some(Vec::new()), ..Inbox::default() }).await?;
    let started = start(args, who, memory_mib, directory.path(), sink.address).await?;
    let process = started.process()?;
    let before = (cpu_seconds(process)?, written_bytes(process)?);
    let (_keep, target) = watch::channel(started.listen());
    let mut client = Client::new(Protocol::Http, Signal::Traces, target);
    let mut traffic = Traffic::new(seed, KEEP_ONE_IN);
    let (mut spans, mut bytes, mut wanted) = (0, 0, BTreeSet::new());
    let begin = monotonic();
    while spans < rate * args.seconds {
        sleep(Duration::from_micros(spans * 1_000_000 / rate).saturating_sub(monotonic().duration_since(begin))).await;
        let request = traffic.request(Signal::Traces, BATCH, wall_ns());
        match client.send(&request, None).await {
            Answer::Taken(0, _) => {}
            Answer::Later(..) => {
                sleep(Duration::from_millis(100)).await;
                continue;
            }
            other => bail!("a request was not taken: {other:?}"),
        }
        spans += BATCH;
        bytes += request.len();
        wanted.extend(failed(&request)?);
    }
    let took = monotonic().duration_since(begin);
    if took > Duration::from_secs(args.seconds) * 11 / 10 {
        bail!("the load fell behind: {} s instead of {}", took.as_secs(), args.seconds);
    }
    sleep(SETTLE).await;
    let (cpu, written) = (cpu_seconds(process)? - before.0, written_bytes(process)? - before.1);
    let memory = Memory::of(process)?;
    started.stop().await?;
    let received = received(&sink)?;
    let whole = |trace: &&TraceId| received.get(*trace) == Some(&SPANS);
    let kept = wanted.iter().filter(whole).count() as u64;
    Ok(Run {
        cpu_per_million: cpu * 1e6 / spans as f64,
        resident: memory.high_water,
        written,
        kept,
        missing: wanted.len() as u64 - kept,
        unwanted: received.keys().filter(|trace| !wanted.contains(trace)).count() as u64,
        bytes_per_span: bytes as f64 / spans as f64,
    })
}

/// The traces of a request that are to be kept: those with a failed span.
fn failed(request: &[u8]) -> Result<Vec<TraceId>> {
    let data = TracesData::decode(request)?;
    let scopes = data.resource_spans.iter().flat_map(|group| &group.scope_spans);
    let failed =
        scopes.flat_map(|scope| &scope.spans).filter(|span| span.status.as_ref().is_some_and(|one| one.code == 2));
    Ok(failed.filter_map(|span| TraceId::from_bytes(&span.trace_id)).collect())
}

/// Trace ids and their spans in what a receiver got. Each span counts, also one that came twice.
fn received(receiver: &Receiver) -> Result<BTreeMap<TraceId, u64>> {
    let inbox = receiver.inbox.lock().unwrap_or_else(PoisonError::into_inner);
    let mut found = BTreeMap::new();
    for request in inbox.kept.iter().flatten().filter(|request| request.signal == Signal::Traces) {
        let mut body = Vec::new();
        if request.body.starts_with(&[0x1f, 0x8b]) {
            MultiGzDecoder::new(request.body.as_ref()).read_to_end(&mut body).context("a request does not inflate")?;
        } else {
            body.extend_from_slice(&request.body);
        }
        let data = TracesData::decode(body.as_slice())?;
        let scopes = data.resource_spans.iter().flat_map(|group| &group.scope_spans);
        for span in scopes.flat_map(|scope| &scope.spans) {
            if let Some(trace) = TraceId::from_bytes(&span.trace_id) {
                *found.entry(trace).or_default() += 1;
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a request of a hundred spans. Guarantees: the traces to keep are told from the request alone, one in five.
    #[test]
    fn the_traffic_tells_what_is_to_be_kept() {
        let request = Traffic::new(1, KEEP_ONE_IN).request(Signal::Traces, BATCH, 1_767_225_600_000_000_000);
        assert_eq!(failed(&request).unwrap().len() as u64, BATCH / SPANS / KEEP_ONE_IN);
    }

    /// Scenario: five runs, one of them far off. Guarantees: the median does not see it.
    #[test]
    fn medians_are_told() {
        let one = |cpu_per_million| Run {
            cpu_per_million,
            resident: 1,
            written: 0,
            kept: 2,
            missing: 0,
            unwanted: 0,
            bytes_per_span: 300.0,
        };
        let runs = [3.0, 90.0, 2.0, 4.0, 1.0].map(one);
        let row = row(Who::Memory, 2_500, &runs, Some(6.0));
        assert_eq!((row.cpu_seconds_per_million_spans, row.of_the_collector, row.kept_traces), (3.0, Some(0.5), 10));
    }
}
