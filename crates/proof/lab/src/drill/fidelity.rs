//! `drill fidelity`: the vessel at a fixed rate into an agent with little memory; every trace that should be kept is, no
//! other one is, lines and exemplars follow, and the RED counts are the generator's.

use crate::agent_status::Status;
use crate::bench::{Host, Memory, commit, cpu_seconds};
use crate::clock::{monotonic, nanoseconds, wall_ns};
use crate::console::Console;
use crate::device::{Device, Setting, Upstream, Waits};
use crate::hub::Hub;
use crate::otlp::Protocol;
use crate::reconcile::{AgentResults, Verdict, Window, judge, read_hub, red_calls, stored_points};
use crate::vessel::{Manifest, Options, Ramp, Totals, Vessel};
use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::sleep;

/// Spans a second at one user per published user.
const PUBLISHED_RATE: f64 = 2_700.0;
const WAITS: Waits = Waits {
    decision: Duration::from_secs(5),
    red: Duration::from_secs(10),
    commit: Duration::from_secs(1),
    heartbeat: Duration::from_secs(5),
    backoff: Duration::from_secs(1),
};
const SLACK: Duration = Duration::from_secs(1);
const METRICS_EVERY_MS: u64 = 10_000;
const DRAIN: Duration = Duration::from_secs(120);

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct FidelityArgs {
    pub(crate) agent: PathBuf,
    pub(crate) hub: PathBuf,
    pub(crate) spans_per_second: u64,
    /// MiB that the agent may take, all in all.
    pub(crate) memory_mib: u64,
    pub(crate) load: Duration,
    pub(crate) seed: u64,
}

/// The outcome, as printed. Sizes are in bytes.
#[derive(Debug, Serialize)]
pub(crate) struct Fidelity {
    pub(crate) passed: bool,
    commit: Option<String>,
    host: Host,
    load_seconds: f64,
    spans_per_second: f64,
    limit: u64,
    /// The most that was resident at once.
    high_water: u64,
    resident_at_end: u64,
    cpu_seconds: f64,
    /// Of one core.
    cpu_share: f64,
    /// kept / should_keep.
    fidelity: f64,
    /// Traces stored that should not be.
    unwanted: u64,
    decided_early: u64,
    /// Decisions forgotten before their hour, because the memory is smaller than that.
    forgotten_early: u64,
    recalled: u64,
    verdict: Verdict,
    pub(crate) faults: Vec<String>,
}

/// Runs it.
pub(crate) async fn fidelity(args: &FidelityArgs, console: Console) -> Result<Fidelity> {
    let directory =
        tempfile::Builder::new().prefix("lightship-fidelity-").tempdir().context("no temporary directory")?;
    console.event(&format!("seed {}: starting hub and agent", args.seed));
    let hub = Hub::start(directory.path(), &args.hub).await?;
    let upstream = Upstream::Hub { link: hub.link, ca: hub.ca.clone() };
    let setting = Setting::Limited { waits: WAITS, memory_mib: args.memory_mib, masks: true };
    let mut device = Device::start(directory.path(), &args.agent, setting, &upstream).await?;
    let process = device.process()?;
    let options = Options {
        seed: args.seed,
        ramp: Ramp { users: args.spans_per_second as f64 / PUBLISHED_RATE, speed: 60.0 },
        boundary_every: Some(100),
        protocol: Protocol::Grpc,
        batch_delay: Duration::from_millis(200),
        metrics_every: Duration::from_millis(METRICS_EVERY_MS),
        spread: Duration::from_millis(500),
        log_file: None,
        remember: true,
        patience: Duration::from_secs(30),
    };
    let (begin_wall_ns, begin) = (wall_ns(), monotonic());
    let vessel = Vessel::start(options, &device.otlp_grpc.subscribe())?;
    while monotonic().duration_since(begin) < args.load {
        let left = args.load.saturating_sub(monotonic().duration_since(begin));
        sleep(left.min(Duration::from_secs(10))).await;
        let (totals, memory) = (vessel.totals(), Memory::of(process)?);
        let seconds = monotonic().duration_since(begin).as_secs_f64();
        console.progress(&format!(
            "{seconds:4.0} s: {:.0} spans/s, resident {} KiB, at most {} KiB",
            totals.spans as f64 / seconds,
            memory.resident / 1024,
            memory.high_water / 1024
        ));
    }
    let (manifest, totals) = vessel.stop().await?;
    let load_seconds = monotonic().duration_since(begin).as_secs_f64();
    sleep(WAITS.decision + WAITS.red + WAITS.commit + SLACK).await;
    device.wait_until("drained", DRAIN, Status::is_drained).await?;
    let (memory, cpu) = (Memory::of(process)?, cpu_seconds(process)?);
    console.event("drained; reading the hub");
    let run = Window { start_ns: begin_wall_ns, end_ns: wall_ns() };
    let (verdict, status) = reconcile(&hub, &device, args.seed, run, &manifest, &totals).await?;
    device.stop().await?;
    hub.stop().await?;
    let mut results = Fidelity {
        passed: false,
        commit: commit(),
        host: Host::this(),
        load_seconds,
        spans_per_second: totals.spans as f64 / load_seconds,
        limit: args.memory_mib << 20,
        high_water: memory.high_water,
        resident_at_end: memory.resident,
        cpu_seconds: cpu,
        cpu_share: cpu / load_seconds,
        fidelity: verdict.kept as f64 / verdict.should_keep.max(1) as f64,
        unwanted: verdict.orphan_traces,
        decided_early: status.sampling.decided_early,
        forgotten_early: status.sampling.forgotten_early,
        recalled: status.sampling.recalled_traces,
        verdict,
        faults: Vec::new(),
    };
    results.faults = faults(&results, args);
    results.passed = results.faults.is_empty();
    Ok(results)
}

fn faults(results: &Fidelity, args: &FidelityArgs) -> Vec<String> {
    let mut faults = results.verdict.faults.clone();
    if results.high_water >= results.limit {
        faults.push(format!("resident memory was {} bytes, the limit is {}", results.high_water, results.limit));
    }
    if results.spans_per_second < 0.95 * args.spans_per_second as f64 {
        faults.push(format!("only {:.0} spans a second were generated", results.spans_per_second));
    }
    faults
}

async fn reconcile(
    hub: &Hub,
    device: &Device,
    seed: u64,
    run: Window,
    manifest: &Manifest,
    totals: &Totals,
) -> Result<(Verdict, Status)> {
    let hour = nanoseconds(Duration::from_secs(3_600));
    let window = Window { start_ns: run.start_ns.saturating_sub(hour), end_ns: run.end_ns + hour };
    let found = read_hub(hub.http, window, manifest, METRICS_EVERY_MS).await?;
    let before = device.wait_until("drained", DRAIN, Status::is_drained).await?;
    let points = stored_points(hub.http).await?;
    let status = device.status().await?;
    let delivered = |status: &Status| status.ledger.destinations.iter().map(|one| one.delivered).sum::<u64>();
    if delivered(&before) != delivered(&status) {
        bail!("the agent went on delivering while the hub was asked; run it again");
    }
    let agent = AgentResults {
        status: status.clone(),
        stored_points: points,
        acknowledged: totals.tallies.each_ref().map(|tally| tally.taken),
        not_taken: totals.not_taken(),
        // Nothing is killed: all of it is before the end.
        red_calls: red_calls(hub.http, run, run.end_ns).await?,
    };
    Ok((judge(seed, manifest, &found, &agent), status))
}
