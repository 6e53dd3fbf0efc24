//! `drill kill`: the agent is killed with SIGKILL again and again under load, link up and down, and started again on the
//! same data; at the end everything is compared by id.

mod producer;
mod verdict;

use crate::agent_status::Status;
use crate::bench::{Host, commit};
use crate::clock::{monotonic, nanoseconds, wall_ns};
use crate::console::Console;
use crate::demo::{Cut, Link};
use crate::device::{Device, Setting, Upstream, Waits};
use crate::hub::Hub;
use crate::otlp::Protocol;
use crate::reconcile::{Window, both_ledgers, read_hub};
use crate::rng::Rng;
use crate::vessel::Manifest;
use anyhow::{Context, Result, bail};
use producer::{Brief, Log, POINTS_EVERY_MS, Sent, produce};
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;
use verdict::{Facts, Verdict, judge};

/// Hasty, so that hundreds of kills take minutes. A trace's parts come within a few round trips of each other.
const WAITS: Waits = Waits {
    decision: Duration::from_millis(1_500),
    red: Duration::from_millis(500),
    commit: Duration::from_millis(100),
    heartbeat: Duration::from_millis(500),
    backoff: Duration::from_millis(300),
};
const SLACK: Duration = Duration::from_secs(1);
const DRAIN: Duration = Duration::from_secs(120);
/// Of each of four kinds: gRPC and HTTP, with and without an idempotency key.
const PRODUCERS_OF_A_KIND: u64 = 2;
/// The longest rest of a producer between two rounds.
const REST: Duration = Duration::from_millis(160);
/// The agent lives so long until it is killed, milliseconds.
const LIFE_MS: (u64, u64) = (20, 3_000);
/// The share of kills that are followed by one while the agent starts, within so many milliseconds.
const WHILE_STARTING: f64 = 0.15;
const START_MS: u64 = 60;
/// The share of lives that end in order, by SIGTERM.
const IN_ORDER: f64 = 0.15;
/// The link is up and down for so long in turns, milliseconds.
const TURN_MS: (u64, u64) = (300, 4_000);

/// What the agent is to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// Every trace
    AlwaysSample,
    /// Failed and slow traces
    Sampling,
    /// Failed and slow traces, with answers that promise nothing over a kill: what is lost has to be told
    Received,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Mode::AlwaysSample => "always-sample",
            Mode::Sampling => "sampling",
            Mode::Received => "received",
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct KillArgs {
    pub(crate) agent: PathBuf,
    pub(crate) hub: PathBuf,
    pub(crate) mode: Mode,
    pub(crate) kills: u64,
    pub(crate) seed: u64,
}

/// The outcome, as printed.
#[derive(Debug, Serialize)]
pub(crate) struct Kill {
    pub(crate) passed: bool,
    commit: Option<String>,
    host: Host,
    mode: &'static str,
    seed: u64,
    kills: u64,
    /// Kills of an agent that was not ready yet.
    kills_while_starting: u64,
    /// How often the agent was told to end in order, beside the kills.
    stops: u64,
    /// How often the link went down.
    outages: u64,
    load_seconds: f64,
    /// Records that were undecided at a kill and waited again after it, all kills together.
    undecided_at_kills: u64,
    verdict: Verdict,
    pub(crate) faults: Vec<String>,
}

/// Runs it; the files of the run stay when it did not pass.
pub(crate) async fn kill(args: &KillArgs, console: Console) -> Result<Kill> {
    let directory = tempfile::Builder::new().prefix("lightship-kill-").tempdir().context("no temporary directory")?;
    let outcome = run(args, directory.path(), console).await;
    if !outcome.as_ref().is_ok_and(|results| results.passed) {
        console.bad(&format!("the files of this run stay in {}", directory.keep().display()));
    }
    outcome
}

/// What the kills were.
#[derive(Default)]
struct Killed {
    all: u64,
    while_starting: u64,
    stops: u64,
    undecided: u64,
}

async fn run(args: &KillArgs, directory: &std::path::Path, console: Console) -> Result<Kill> {
    console.event(&format!("seed {}: starting hub and agent", args.seed));
    let keep_all = args.mode == Mode::AlwaysSample;
    // That of the programs: what is checked out when a long run ends may be another one.
    let commit = commit();
    let hub = Hub::start(directory, &args.hub).await?;
    let link = Link::open(hub.link).await?;
    let upstream = Upstream::Hub { link: link.address, ca: hub.ca.clone() };
    let setting = match args.mode {
        Mode::AlwaysSample | Mode::Sampling => Setting::Written { waits: WAITS, keep_all, masks: true },
        Mode::Received => Setting::Received(WAITS),
    };
    let mut device = Device::start(directory, &args.agent, setting, &upstream).await?;
    let (begin_wall_ns, begin) = (wall_ns(), monotonic());
    let (stop, stopped) = watch::channel(false);
    let loose_lines = Arc::new(AtomicU64::new(0));
    let mut producers = producers(args.seed, keep_all, &device, &loose_lines, &stopped);
    let turns = take_turns(link, Rng::new(args.seed, u64::MAX / 2), stopped);

    let killed = kill_again_and_again(args, &mut device, &mut producers, console).await?;
    console.event("load ends; waiting until everything is decided and delivered");
    stop.send_replace(true);
    let (mut manifest, mut sent) = (Manifest::default(), Vec::new());
    while let Some(ended) = producers.join_next().await {
        gather(ended.context("a producer broke")??, &mut manifest, &mut sent);
    }
    manifest.loose_lines = loose_lines.load(Ordering::Relaxed);
    let load_seconds = monotonic().duration_since(begin).as_secs_f64();
    let (_link, outages) = turns.await.context("the link broke")?;
    sleep(2 * WAITS.decision + WAITS.red + WAITS.commit + SLACK).await;
    device.wait_until("drained", DRAIN, Status::is_drained).await?;

    console.event("drained; reading the hub");
    let hour = nanoseconds(Duration::from_secs(3_600));
    let window = Window { start_ns: begin_wall_ns.saturating_sub(hour), end_ns: wall_ns() + hour };
    let found = read_hub(hub.http, window, &manifest, POINTS_EVERY_MS).await?;
    let (stored_points, status) = both_ledgers(hub.http, &device, DRAIN).await?;
    device.stop().await?;
    hub.stop().await?;
    let facts =
        Facts { manifest: &manifest, sent: &sent, found: &found, status: &status, stored_points, mode: args.mode };
    let (verdict, mut faults) = judge(&facts);
    if killed.undecided == 0 && args.mode != Mode::Received {
        faults.push("nothing was undecided at any kill, so this run proves little".to_owned());
    }
    Ok(Kill {
        passed: faults.is_empty(),
        commit,
        host: Host::this(),
        mode: args.mode.name(),
        seed: args.seed,
        kills: killed.all,
        kills_while_starting: killed.while_starting,
        stops: killed.stops,
        outages,
        load_seconds,
        undecided_at_kills: killed.undecided,
        verdict,
        faults,
    })
}

fn producers(
    seed: u64,
    keep_all: bool,
    device: &Device,
    loose_lines: &Arc<AtomicU64>,
    stop: &watch::Receiver<bool>,
) -> JoinSet<Result<Log>> {
    let mut set = JoinSet::new();
    let producers = 4 * PRODUCERS_OF_A_KIND;
    for producer in 0..producers {
        let (protocol, target) = match producer % 2 {
            0 => (Protocol::Grpc, device.otlp_grpc.subscribe()),
            _ => (Protocol::Http, device.otlp_http.subscribe()),
        };
        let keyed = producer / 2 % 2 == 0;
        let loose_lines = Arc::clone(loose_lines);
        let brief = Brief { seed, producer, producers, protocol, keyed, target, rest: REST, keep_all, loose_lines };
        set.spawn(produce(brief, stop.clone()));
    }
    set
}

/// Cuts and restores the link in turns, in both ways, until told to stop; it is up in the end.
fn take_turns(link: Link, mut rng: Rng, mut stop: watch::Receiver<bool>) -> JoinHandle<(Link, u64)> {
    tokio::spawn(async move {
        let mut outages = 0;
        loop {
            for down in [false, true] {
                if down {
                    outages += 1;
                    link.cut(if rng.chance(0.5) { Cut::Refuse } else { Cut::Silent });
                } else {
                    link.restore();
                }
                let turn = Duration::from_millis(rng.between(TURN_MS.0, TURN_MS.1));
                // Whoever told it to stop may have gone.
                if tokio::time::timeout(turn, stop.wait_for(|stop| *stop)).await.is_ok() {
                    link.restore();
                    return (link, outages);
                }
            }
        }
    })
}

async fn kill_again_and_again(
    args: &KillArgs,
    device: &mut Device,
    producers: &mut JoinSet<Result<Log>>,
    console: Console,
) -> Result<Killed> {
    let mut rng = Rng::new(args.seed, u64::MAX / 3);
    let mut killed = Killed::default();
    let mut told = 0;
    let epoch = device.status().await?.epoch;
    while killed.all < args.kills {
        let life = Duration::from_millis(rng.between(LIFE_MS.0, LIFE_MS.1));
        tokio::select! {
            () = sleep(life) => {}
            Some(ended) = producers.join_next() => {
                ended.context("a producer broke")??;
                bail!("a producer ended early");
            }
        }
        if rng.chance(IN_ORDER) {
            device.stop().await?;
            killed.stops += 1;
        } else {
            device.kill().await?;
            killed.all += 1;
        }
        while killed.all < args.kills && rng.chance(WHILE_STARTING) {
            device.kill_while_starting(Duration::from_millis(rng.between(0, START_MS))).await?;
            killed.all += 1;
            killed.while_starting += 1;
        }
        device.restart().await?;
        let status = device.status().await?;
        if status.epoch != epoch {
            bail!("the agent came back with another epoch: {} instead of {epoch}", status.epoch);
        }
        killed.undecided += status.ledger.pending.traces + status.ledger.pending.logs;
        if killed.all >= told + 20 {
            told = killed.all;
            console.progress(&format!("{} kills, {} undecided records survived", killed.all, killed.undecided));
        }
    }
    Ok(killed)
}

fn gather(log: Log, manifest: &mut Manifest, sent: &mut Vec<Sent>) {
    manifest.requests.extend(log.manifest.requests);
    manifest.points.extend(log.manifest.points);
    sent.extend(log.sent);
}
