//! The demonstration for a person: a short baseline, a cut, the link's return, and load until Ctrl-C.

use crate::clock::monotonic;
use crate::console::Console;
use crate::demo::link::{Cut, Link};
use crate::device::{Device, Setting, Upstream, Waits};
use crate::hub::Hub;
use crate::otlp::Protocol;
use crate::signals::told_to_stop;
use crate::vessel::{Options, Ramp, Totals, Vessel};
use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::sleep;

/// Short enough to watch, long enough for the parts of a trace to come together.
const WAITS: Waits = Waits {
    decision: Duration::from_secs(4),
    red: Duration::from_secs(2),
    commit: Duration::from_millis(500),
    heartbeat: Duration::from_secs(2),
    backoff: Duration::from_secs(2),
};
const STATUS_EVERY: Duration = Duration::from_secs(2);

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct ShowArgs {
    pub(crate) agent: PathBuf,
    pub(crate) hub: PathBuf,
    pub(crate) baseline: Duration,
    pub(crate) outage: Duration,
    pub(crate) seed: u64,
    pub(crate) users: f64,
    pub(crate) protocol: Protocol,
    pub(crate) cut: Cut,
}

/// Runs it until Ctrl-C.
pub(crate) async fn show(args: ShowArgs, console: Console) -> Result<()> {
    let directory = tempfile::Builder::new().prefix("lightship-demo-").tempdir().context("no temporary directory")?;
    console.event("starting the hub, the agent and the vessel");
    let hub = Hub::start(directory.path(), &args.hub).await?;
    let link = Link::open(hub.link).await?;
    let upstream = Upstream::Hub { link: link.address, ca: hub.ca.clone() };
    let device = Device::start(directory.path(), &args.agent, Setting::Vessel(WAITS), &upstream).await?;
    let options = Options {
        seed: args.seed,
        ramp: Ramp { users: args.users, speed: 10.0 },
        boundary_every: None,
        protocol: args.protocol,
        batch_delay: Duration::from_secs(1),
        metrics_every: Duration::from_secs(2),
        spread: Duration::ZERO,
        log_file: None,
        remember: false,
        patience: Duration::from_secs(120),
    };
    let target = match args.protocol {
        Protocol::Grpc => device.otlp_grpc.subscribe(),
        Protocol::Http => device.otlp_http.subscribe(),
    };
    let vessel = Vessel::start(options, &target)?;
    let mut show = Show { console, link, device, vessel, page: hub.http, before: Totals::default() };
    console.good(&format!("open http://{}/ (stop with Ctrl-C)", hub.http));

    let played = tokio::select! {
        played = show.play(&args) => played,
        told = told_to_stop() => told,
    };
    console.event("stopping");
    drop(show.vessel);
    let device_stopped = show.device.stop().await;
    let hub_stopped = hub.stop().await;
    played.and(device_stopped).and(hub_stopped)
}

struct Show {
    console: Console,
    link: Link,
    device: Device,
    vessel: Vessel,
    page: SocketAddr,
    before: Totals,
}

impl Show {
    async fn play(&mut self, args: &ShowArgs) -> Result<()> {
        self.console.event(&format!("baseline: {} s with the link up", args.baseline.as_secs()));
        self.watch(args.baseline).await?;
        self.console
            .bad(&format!("the link is cut for {} s: the agent keeps what matters on its disk", args.outage.as_secs()));
        self.link.cut(args.cut);
        self.watch(args.outage).await?;
        self.link.restore();
        self.console.good("the link is back: the backlog drains beside the live data");
        self.watch_drain().await?;
        self.console.event(&format!("load goes on; look at the outage in the page: http://{}/", self.page));
        loop {
            self.watch(Duration::from_secs(60)).await?;
        }
    }

    async fn watch(&mut self, time: Duration) -> Result<()> {
        let begin = monotonic();
        loop {
            let left = time.saturating_sub(monotonic().duration_since(begin));
            if left.is_zero() {
                return Ok(());
            }
            sleep(left.min(STATUS_EVERY)).await;
            self.print().await?;
        }
    }

    /// Watches until what was queued when the link came back is gone: the oldest record is younger than the link.
    async fn watch_drain(&mut self) -> Result<()> {
        let begin = monotonic();
        loop {
            sleep(Duration::from_millis(500)).await;
            self.print().await?;
            let status = self.device.status().await?;
            let restored = monotonic().duration_since(begin).as_secs_f64();
            let behind = |queued: u64, age: f64| queued > 0 && age > restored;
            if !status.destinations.iter().any(|one| behind(one.queued_records, one.oldest_age_s)) {
                self.console.good(&format!("drained {restored:.1} s after the link came back"));
                return Ok(());
            }
        }
    }

    async fn print(&mut self) -> Result<()> {
        let now = self.vessel.totals();
        let status = self.device.status().await?;
        let new_spans = now.spans - self.before.spans;
        let kept = status.sampling.kept_traces;
        let mut line = format!("{} users, {} spans (+{new_spans}), {kept} traces kept", now.users, now.spans);
        for destination in &status.destinations {
            line.push_str(&format!(
                "; {} {}: backlog {} records, {:.0} KiB",
                destination.name,
                destination.state,
                destination.queued_records,
                destination.queued_bytes as f64 / 1024.0
            ));
            if destination.queued_records > 0 {
                line.push_str(&format!(", oldest {:.0} s", destination.oldest_age_s));
            }
            if destination.state != "up" && !destination.last_error.is_empty() {
                line.push_str(&format!(" ({})", destination.last_error));
            }
        }
        if let Some(why) = now.last_refusal()
            && now.not_taken() > 0
        {
            line.push_str(&format!("; {} records not taken: {why}", now.not_taken()));
        }
        self.console.progress(&line);
        self.before = now;
        Ok(())
    }
}
