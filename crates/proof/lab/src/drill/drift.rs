//! `drill drift`: the vessel's application is replaced by its next version while it runs: a field of its log records has another name, unit and
//! type, another one another type, a metric another unit. The agent names each within a minute.

use crate::bench::commit;
use crate::clock::monotonic;
use crate::console::Console;
use crate::device::{Device, Setting, Upstream, Waits};
use crate::otlp::{Inbox, Protocol, Receiver};
use crate::vessel::{DURATION, NEXT_DURATION, Options, Ramp, Vessel};
use anyhow::{Context, Result};
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::sleep;

const WAITS: Waits = Waits {
    decision: Duration::from_secs(2),
    red: Duration::from_secs(10),
    commit: Duration::from_secs(1),
    heartbeat: Duration::from_secs(5),
    backoff: Duration::from_secs(1),
};
/// How long the first version runs, and how long a finding may take.
const BEFORE: Duration = Duration::from_secs(30);
const MINUTE: Duration = Duration::from_secs(60);

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct DriftArgs {
    pub(crate) agent: PathBuf,
    pub(crate) seed: u64,
}

/// A change, and when it was told.
#[derive(Debug, Serialize)]
pub(crate) struct Told {
    change: &'static str,
    /// The agent's words; none where it told nothing within a minute.
    words: Option<String>,
    seconds: f64,
}

/// The outcome, as printed.
#[derive(Debug, Serialize)]
pub(crate) struct Drifted {
    pub(crate) passed: bool,
    commit: Option<String>,
    told: Vec<Told>,
    /// What was told before that: fields that few records have, when they came first.
    told_before: Vec<String>,
    pub(crate) faults: Vec<String>,
}

/// Runs it.
pub(crate) async fn drift(args: &DriftArgs, console: Console) -> Result<Drifted> {
    let directory = tempfile::Builder::new().prefix("lightship-drift-").tempdir().context("no temporary directory")?;
    let sink = Receiver::start(Protocol::Http, Inbox::default()).await?;
    let upstream = Upstream::Otlp { address: sink.address };
    let mut device = Device::start(directory.path(), &args.agent, Setting::Vessel(WAITS), &upstream).await?;
    let options = Options {
        seed: args.seed,
        ramp: Ramp { users: 0.05, speed: 60.0 },
        boundary_every: None,
        protocol: Protocol::Grpc,
        batch_delay: Duration::from_millis(200),
        metrics_every: Duration::from_secs(2),
        spread: Duration::ZERO,
        log_file: None,
        remember: false,
        patience: Duration::from_secs(30),
    };
    let vessel = Vessel::start(options, &device.otlp_grpc.subscribe())?;
    console.event(&format!("seed {}: the first version runs", args.seed));
    sleep(BEFORE).await;
    let log = directory.path().join("agent.log");
    let lines = || -> Result<Vec<String>> {
        let text = std::fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))?;
        Ok(text.lines().filter(|line| line.contains("drift: ")).map(str::to_owned).collect())
    };
    let told_before = lines()?;
    console.event("the next version is deployed");
    vessel.deploy().await?;
    let begin = monotonic();
    let unit = format!("the unit of metrics {DURATION:?}");
    let name = format!("field {NEXT_DURATION:?} (string)");
    let mut told: Vec<Told> = ["another name, unit and type", "another type", "another unit of a metric"]
        .map(|change| Told { change, words: None, seconds: 0.0 })
        .into();
    let wanted = [name.as_str(), "field \"status\" of logs", &unit];
    while told.iter().any(|one| one.words.is_none()) && monotonic().duration_since(begin) < MINUTE {
        sleep(Duration::from_millis(200)).await;
        let lines = lines()?;
        for (one, wanted) in told.iter_mut().zip(wanted).filter(|(one, _)| one.words.is_none()) {
            if let Some(line) = lines.iter().skip(told_before.len()).find(|line| line.contains(wanted)) {
                one.words = Some(line.split_once("drift: ").map_or(line.as_str(), |(_, words)| words).to_owned());
                one.seconds = monotonic().duration_since(begin).as_secs_f64();
                console.event(&format!("{:.1} s: {line}", one.seconds));
            }
        }
    }
    let (_, totals) = vessel.stop().await?;
    device.stop().await?;
    let mut faults: Vec<String> = told
        .iter()
        .filter(|one| one.words.is_none())
        .map(|one| format!("{} was not told within a minute", one.change))
        .collect();
    if totals.not_taken() > 0 {
        faults.push(format!("{} records were not taken", totals.not_taken()));
    }
    Ok(Drifted { passed: faults.is_empty(), commit: commit(), told, told_before, faults })
}
