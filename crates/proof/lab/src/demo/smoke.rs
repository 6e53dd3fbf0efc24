//! The demonstration that judges itself: load, an outage in the middle with a kill of the agent in it, and a
//! reconciliation by id.

use crate::agent_status::Status;
use crate::clock::{monotonic, nanoseconds, wall_ns};
use crate::console::Console;
use crate::demo::link::{Cut, Link};
use crate::device::{Device, Setting, Upstream, Waits};
use crate::hub::Hub;
use crate::otlp::Protocol;
use crate::reconcile::{AgentResults, Verdict, Window, both_ledgers, judge, read_hub, red_calls};
use crate::vessel::{Manifest, Options, Ramp, Totals, Vessel};
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// The agent's waits in this run.
const WAITS: Waits = Waits {
    decision: Duration::from_secs(2),
    red: Duration::from_secs(1),
    commit: Duration::from_millis(200),
    heartbeat: Duration::from_secs(1),
    backoff: Duration::from_secs(1),
};
/// What a loaded machine may add to any of them.
const SLACK: Duration = Duration::from_millis(600);
const METRICS_EVERY_MS: u64 = 1_000;
/// How long the agent may take to decide and to deliver everything after the load has ended.
const DRAIN: Duration = Duration::from_secs(60);

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct SmokeArgs {
    pub(crate) agent: PathBuf,
    pub(crate) hub: PathBuf,
    pub(crate) load: Duration,
    pub(crate) outage: Duration,
    pub(crate) seed: u64,
    pub(crate) users: f64,
    pub(crate) protocol: Protocol,
    pub(crate) cut: Cut,
}

/// Runs it; the files of the run stay when it did not pass.
pub(crate) async fn smoke(args: SmokeArgs, console: Console) -> Result<Verdict> {
    let directory = tempfile::Builder::new().prefix("lightship-smoke-").tempdir().context("no temporary directory")?;
    let outcome = Run::start(&args, directory.path(), console).await?.carry_out().await;
    if !outcome.as_ref().is_ok_and(|verdict| verdict.passed) {
        console.bad(&format!("the files of this run stay in {}", directory.keep().display()));
    }
    outcome
}

struct Run<'a> {
    args: &'a SmokeArgs,
    console: Console,
    begin: Instant,
    begin_wall_ns: u64,
    hub: Hub,
    link: Link,
    device: Device,
    vessel: Vessel,
    /// How long the vessel has paused.
    paused: Duration,
    printed: Instant,
}

impl<'a> Run<'a> {
    async fn start(args: &'a SmokeArgs, directory: &std::path::Path, console: Console) -> Result<Self> {
        if args.load <= args.outage {
            bail!("the load must take longer than the outage in its middle");
        }
        console.event(&format!("seed {}: starting hub and agent", args.seed));
        let hub = Hub::start(directory, &args.hub).await?;
        let link = Link::open(hub.link).await?;
        let upstream = Upstream::Hub { link: link.address, ca: hub.ca.clone() };
        let device = Device::start(directory, &args.agent, Setting::Vessel(WAITS), &upstream).await?;
        let options = Options {
            seed: args.seed,
            ramp: Ramp { users: args.users, speed: 30.0 },
            boundary_every: Some(40),
            protocol: args.protocol,
            batch_delay: Duration::from_millis(200),
            metrics_every: Duration::from_millis(METRICS_EVERY_MS),
            spread: Duration::from_millis(500),
            log_file: None,
            remember: true,
            patience: Duration::from_secs(30),
        };
        let target = match args.protocol {
            Protocol::Grpc => device.otlp_grpc.subscribe(),
            Protocol::Http => device.otlp_http.subscribe(),
        };
        let begin_wall_ns = wall_ns();
        let vessel = Vessel::start(options, &target)?;
        let begin = monotonic();
        console.event(&format!("vessel under way; the page is http://{}/", hub.http));
        Ok(Self {
            args,
            console,
            begin,
            begin_wall_ns,
            hub,
            link,
            device,
            vessel,
            paused: Duration::ZERO,
            printed: begin,
        })
    }

    async fn carry_out(mut self) -> Result<Verdict> {
        let before = (self.args.load - self.args.outage) / 2;
        self.load_until(before).await?;

        self.console.event("cutting the link");
        let cut_at = monotonic();
        self.link.cut(self.args.cut);
        self.load_until(before + (self.args.outage / 6).max(Duration::from_millis(500))).await?;
        let killed_wall_ns = self.kill_in_the_dark().await?;
        // Some load after the restart belongs to the outage, even where the restart took long.
        let resumed = self.load_time();
        self.load_until(resumed + Duration::from_secs(1)).await?;
        let rest = self.args.outage.saturating_sub(monotonic().duration_since(cut_at));
        self.load_until(self.load_time() + rest).await?;
        let backlog = self.backlog().await?;
        let outage = monotonic().duration_since(cut_at).as_secs_f64();
        self.console.event(&format!("restoring the link after {outage:.1} s; backlog {backlog} records"));
        if backlog == 0 {
            bail!("the outage left no backlog, so this run proves nothing");
        }
        self.link.restore();
        self.load_until(self.args.load).await?;

        self.console.event("load ends; waiting until everything is decided and delivered");
        let (manifest, totals) = self.vessel.stop().await?;
        let end = monotonic();
        sleep(WAITS.decision + WAITS.red + WAITS.commit + SLACK).await;
        self.device.wait_until("drained", DRAIN, Status::is_drained).await?;
        let took = monotonic().duration_since(end).as_secs_f64();
        self.console.event(&format!("drained {took:.1} s after the end of the load; reading the hub"));

        let run = Window { start_ns: self.begin_wall_ns, end_ns: wall_ns() };
        let verdict = reconcile(&self.hub, &self.device, self.args, run, killed_wall_ns, &manifest, &totals).await?;
        self.device.stop().await?;
        self.hub.stop().await?;
        Ok(verdict)
    }

    /// Pauses the vessel until the agent has decided and committed everything, kills the agent, starts it again, and
    /// lets the vessel go on. Gives the wall time of the kill.
    async fn kill_in_the_dark(&mut self) -> Result<u64> {
        self.vessel.pause().await?;
        let since = monotonic();
        sleep(WAITS.decision + WAITS.commit + SLACK).await;
        let decided = self.device.wait_until("done deciding", DRAIN, Status::is_decided).await?;
        sleep(WAITS.commit + SLACK / 2).await;
        let queued: u64 = decided.destinations.iter().map(|destination| destination.queued_records).sum();
        self.console.event(&format!("killing the agent (SIGKILL) with {queued} records in its journal"));
        let killed_wall_ns = wall_ns();
        self.device.kill().await?;
        self.device.restart().await?;
        let again = self.device.status().await?;
        if again.epoch != decided.epoch {
            bail!("the agent came back with another epoch: {} instead of {}", again.epoch, decided.epoch);
        }
        self.vessel.resume().await?;
        self.paused += monotonic().duration_since(since);
        self.console.event("the agent is back; the vessel goes on");
        Ok(killed_wall_ns)
    }

    /// How long the vessel has been under load, without its pauses.
    fn load_time(&self) -> Duration {
        monotonic().duration_since(self.begin).saturating_sub(self.paused)
    }

    async fn load_until(&mut self, load_time: Duration) -> Result<()> {
        loop {
            let left = load_time.saturating_sub(self.load_time());
            if left.is_zero() {
                return Ok(());
            }
            sleep(left.min(Duration::from_millis(500))).await;
            if monotonic().duration_since(self.printed) >= Duration::from_secs(2) {
                self.printed = monotonic();
                self.print_progress().await?;
            }
        }
    }

    async fn print_progress(&self) -> Result<()> {
        let totals = self.vessel.totals();
        let backlog = self.backlog().await?;
        self.console.progress(&format!(
            "{:4.1} s: {} users, {} requests, {} spans, backlog {backlog} records",
            self.load_time().as_secs_f64(),
            totals.users,
            totals.requests,
            totals.spans
        ));
        Ok(())
    }

    async fn backlog(&self) -> Result<u64> {
        let status = self.device.status().await?;
        Ok(status.destinations.iter().map(|destination| destination.queued_records).sum())
    }
}

/// Reads everything back and compares. The load has ended; only the RED metrics go on.
async fn reconcile(
    hub: &Hub,
    device: &Device,
    args: &SmokeArgs,
    run: Window,
    killed_wall_ns: u64,
    manifest: &Manifest,
    totals: &Totals,
) -> Result<Verdict> {
    // Traces begin before they are emitted; nothing is stored beside this run.
    let hour = nanoseconds(Duration::from_secs(3_600));
    let window = Window { start_ns: run.start_ns.saturating_sub(hour), end_ns: run.end_ns + hour };
    let found = read_hub(hub.http, window, manifest, METRICS_EVERY_MS).await?;
    let (stored_points, status) = both_ledgers(hub.http, device, DRAIN).await?;
    let agent = AgentResults {
        status,
        stored_points,
        acknowledged: totals.tallies.each_ref().map(|tally| tally.taken),
        not_taken: totals.not_taken(),
        red_calls: red_calls(hub.http, run, killed_wall_ns).await?,
    };
    Ok(judge(args.seed, manifest, &found, &agent))
}
