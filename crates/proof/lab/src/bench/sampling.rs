//! `bench sampling`: what the way from a request to its decision costs: instructions and allocations for each span, memory
//! for each undecided span, and CPU and memory beside the OpenTelemetry Collector in the same run.

use crate::bench::host::{Host, commit};
use crate::bench::process::{Memory, cpu_seconds};
use crate::clock::monotonic;
use crate::console::Console;
use crate::device::{Device, Setting, Upstream, Waits};
use crate::differential::{Sent, collector_of, send_paced, traffic};
use crate::otlp::{Inbox, Protocol, Receiver};
use crate::program::path_text;
use crate::replay::{Golden, Script, run};
use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::time::sleep;

/// The published policies.
const POLICIES: &str = "{name: err, type: status_code, status_code: {status_codes: [ERROR]}}, {name: slow, type: latency, \
                        latency: {threshold_ms: 400}}";
const WAIT: Duration = Duration::from_secs(5);

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct SamplingArgs {
    pub(crate) agent: PathBuf,
    /// Also run this Collector.
    pub(crate) collector: Option<PathBuf>,
    pub(crate) seconds: u64,
}

/// The outcome, as printed.
#[derive(Debug, Serialize)]
pub(crate) struct SamplingResults {
    commit: Option<String>,
    host: Host,
    spans: u64,
    /// User instructions, from accepting a request to the encoded frame, by valgrind; `None` where it is not installed.
    instructions_per_span: Option<f64>,
    allocations_per_span: Option<f64>,
    most_pending_spans: u64,
    index_bytes_per_pending_span: f64,
    /// Compressed requests in the ring, those that are decided already among them.
    recorder_bytes_per_pending_span: f64,
    /// OTLP as it came, for comparison.
    otlp_bytes_per_span: f64,
    agent: Option<Run>,
    collector: Option<Run>,
    /// Agent to Collector.
    cpu_ratio: Option<f64>,
    memory_ratio: Option<f64>,
}

/// One program under the same traffic.
#[derive(Debug, Clone, Copy, Serialize)]
struct Run {
    spans_per_second: f64,
    cpu_share: f64,
    high_water: u64,
    resident_at_end: u64,
}

fn golden() -> Golden {
    let sampling = format!("decision_wait: {}s\nmemory: 8MiB\npolicies: [{POLICIES}]", WAIT.as_secs());
    Golden::of_sampling(sampling, "32MiB")
}

fn script(sent: &[Sent], verb: &str) -> Script {
    let mut script = Script { text: "0 silent\n".to_owned(), ..Script::default() };
    for request in sent {
        script.put(request.at_ms.cast_signed() * 1_000_000, verb, &request.body);
    }
    script
}

/// The number behind a word in what a tool of valgrind says.
fn number_after(text: &str, word: &str) -> Option<u64> {
    let rest = text.split(word).nth(1)?;
    let digits: String =
        rest.chars().skip_while(|c| !c.is_ascii_digit()).take_while(|c| c.is_ascii_digit() || *c == ',').collect();
    digits.replace(',', "").parse().ok()
}

/// Runs the agent's replay under a tool of valgrind and reads one number of what the tool says.
fn under_valgrind(tool: &[&str], word: &str, agent: &Path, script: &Script, directory: &Path) -> Result<u64> {
    let (config, input) = (directory.join("agent.yaml"), directory.join("input"));
    std::fs::write(&config, golden().configuration(directory)?)?;
    std::fs::write(&input, &script.text)?;
    let output = Command::new("valgrind")
        .args(tool)
        .arg(agent)
        .args(["replay", "--config", path_text(&config)?])
        .stdin(std::fs::File::open(&input)?)
        .stdout(Stdio::null())
        .output()
        .context("cannot start valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    number_after(&said, word).with_context(|| format!("valgrind said:\n{said}"))
}

/// What the pipeline costs each span, without what reading the input costs.
fn costs(sent: &[Sent], agent: &Path, directory: &Path) -> Result<(Option<f64>, Option<f64>)> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        eprintln!("SKIPPED instructions and allocations: valgrind is not installed");
        return Ok((None, None));
    }
    let spans: u64 = sent.iter().map(|request| request.spans).sum();
    let (all, none) = (script(sent, "traces"), script(sent, "discard"));
    let cost = |tool: &[&str], word: &str| -> Result<f64> {
        let with = under_valgrind(tool, word, agent, &all, directory)?;
        let without = under_valgrind(tool, word, agent, &none, directory)?;
        Ok(with.saturating_sub(without) as f64 / spans as f64)
    };
    let callgrind = ["--tool=callgrind", "--callgrind-out-file=/dev/null"];
    let instructions = cost(&callgrind, "Collected :")?;
    // Statically linked programs have an allocator that memcheck does not see: then it counts none.
    let allocations = cost(&["--tool=memcheck", "--leak-check=no", "--undef-value-errors=no"], "total heap usage:")?;
    Ok((Some(instructions), (allocations > 0.0).then_some(allocations)))
}

/// The same traffic at its pace into a running program.
async fn measure(process: u32, listen: std::net::SocketAddr, sent: &[Sent], seed: u64) -> Result<Run> {
    let before = cpu_seconds(process)?;
    let begin = monotonic();
    send_paced(listen, sent, seed).await?;
    sleep(WAIT + Duration::from_secs(2)).await;
    let seconds = monotonic().duration_since(begin).as_secs_f64();
    let (memory, cpu) = (Memory::of(process)?, cpu_seconds(process)? - before);
    let spans: u64 = sent.iter().map(|request| request.spans).sum();
    Ok(Run {
        spans_per_second: spans as f64 / seconds,
        cpu_share: cpu / seconds,
        high_water: memory.high_water,
        resident_at_end: memory.resident,
    })
}

/// Runs it.
pub(crate) async fn sampling_results(args: &SamplingArgs, console: Console) -> Result<SamplingResults> {
    let directory = tempfile::Builder::new().prefix("lightship-bench-").tempdir().context("no temporary directory")?;
    // Ten requests a second of 75 traces: about 225 spans.
    let sent = traffic(1, args.seconds, 75);
    let spans: u64 = sent.iter().map(|request| request.spans).sum();
    let bytes: usize = sent.iter().map(|request| request.body.len()).sum();
    let outcome = run(&golden(), &script(&sent, "traces"), &args.agent)?;
    let status = |name: &str| outcome.status(name).with_context(|| format!("the agent told no {name}"));
    let pending = status("most_pending_spans")?.max(1) as f64;
    let short: Vec<Sent> = traffic(1, 10, 75);
    console.event("counting instructions and allocations");
    let (instructions_per_span, allocations_per_span) = costs(&short, &args.agent, directory.path())?;
    let mut results = SamplingResults {
        commit: commit(),
        host: Host::this(),
        spans,
        instructions_per_span,
        allocations_per_span,
        most_pending_spans: pending as u64,
        index_bytes_per_pending_span: status("index_bytes_then")? as f64 / pending,
        recorder_bytes_per_pending_span: status("recorder_bytes_then")? as f64 / pending,
        otlp_bytes_per_span: bytes as f64 / spans as f64,
        agent: None,
        collector: None,
        cpu_ratio: None,
        memory_ratio: None,
    };
    let Some(collector) = &args.collector else {
        eprintln!("SKIPPED the comparison with the Collector: name it with --collector FILE");
        return Ok(results);
    };
    console.event("the Collector under the traffic");
    let sink = Receiver::start(Protocol::Http, Inbox::default()).await?;
    let processors = format!("{{decision_wait: {}s, num_traces: 50000, policies: [{POLICIES}]}}", WAIT.as_secs());
    let (program, listen) = collector_of(collector, &[(processors, sink.address)], directory.path()).await?;
    let theirs = measure(program.id()?, listen, &sent, 1).await?;
    program.stop().await?;
    console.event("the agent under the traffic");
    let waits = Waits {
        decision: WAIT,
        red: Duration::from_secs(10),
        commit: Duration::from_secs(1),
        heartbeat: Duration::from_secs(5),
        backoff: Duration::from_secs(1),
    };
    let setting = Setting::Limited { waits, memory_mib: 12, masks: true };
    let upstream = Upstream::Otlp { address: sink.address };
    let mut device = Device::start(directory.path(), &args.agent, setting, &upstream).await?;
    let listen = *device.otlp_http.borrow();
    let ours = measure(device.process()?, listen, &sent, 2).await?;
    device.stop().await?;
    if ours.spans_per_second < 0.9 * theirs.spans_per_second {
        bail!("the traffic was not the same: {ours:?}, {theirs:?}");
    }
    results.cpu_ratio = Some(ours.cpu_share / theirs.cpu_share);
    results.memory_ratio = Some(ours.high_water as f64 / theirs.high_water as f64);
    (results.agent, results.collector) = (Some(ours), Some(theirs));
    Ok(results)
}
