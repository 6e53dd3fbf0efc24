//! `bench outage`: what a long outage at the typical load leaves on the device's disk. Load and waits run faster by one
//! factor, so that commits, blocks and decisions are as many as in the real time.

use crate::bench::footprint::{LIMITS, LoadReport, Run};
use crate::bench::host::{Binary, Host, commit};
use crate::bench::process::{DirectorySize, Memory};
use crate::clock::{monotonic, wall_ns};
use crate::console::Console;
use crate::device::{Device, Setting, Upstream};
use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::sleep;

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct OutageArgs {
    pub(crate) agent: PathBuf,
    /// How long the outage is for the agent and its load.
    pub(crate) time: Duration,
    /// How many times faster both run.
    pub(crate) speed: u32,
    /// Minutes from one large trace, and one large line, to the next.
    pub(crate) large_minutes: u64,
}

/// The outcome, as printed. Sizes are in bytes.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Outage {
    pub(crate) passed: bool,
    commit: Option<String>,
    host: Host,
    binary: Binary,
    seconds: u64,
    speed: u32,
    load: LoadReport,
    data: DirectorySize,
    /// The program and the most that its directory had at the end of any minute.
    binary_and_data: u64,
    binary_and_data_limit: u64,
    memory_at_end: Memory,
    /// Records that wait for the link, and that had to yield to newer ones: each is told of by a gap record.
    queued: u64,
    yielded: u64,
    not_taken: u64,
    ledger_difference: i64,
    pub(crate) faults: Vec<String>,
}

/// Runs it.
pub(crate) async fn outage(args: &OutageArgs, console: Console) -> Result<Outage> {
    let binary = Binary::read(&args.agent)?;
    let directory = tempfile::Builder::new().prefix("lightship-outage-").tempdir().context("no temporary directory")?;
    // Nobody listens on it: it was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").and_then(|probe| probe.local_addr()).context("no free port")?;
    let upstream = Upstream::Otlp { address };
    let mut device = Device::start(directory.path(), &args.agent, Setting::Hastened(args.speed), &upstream).await?;
    let process = device.process()?;
    let mut run = Run::new(&device, args.large_minutes);
    let (begin, seconds) = (monotonic(), args.time.as_secs());
    let mut most = 0;
    // The last record is of now, so that none comes from the future.
    let first_ns = wall_ns().saturating_sub(seconds * 1_000_000_000);
    for second in 0..seconds {
        run.second_at(second, first_ns + second * 1_000_000_000).await?;
        let due = Duration::from_secs(second + 1) / args.speed;
        sleep(due.saturating_sub(monotonic().duration_since(begin))).await;
        if (second + 1) % 60 == 0 {
            let size = DirectorySize::of(&device.data_dir())?.worst();
            most = most.max(size);
            let minutes = (second + 1) / 60;
            console.progress(&format!("{minutes} minutes of the outage: {} KiB of data", size / 1024));
        }
    }
    let took = monotonic().duration_since(begin);
    if took > args.time / args.speed * 5 / 4 {
        bail!("this machine is too slow for a speed of {}: {} s; choose a lower --speed", args.speed, took.as_secs());
    }
    let load = run.finish(took).await?;
    // What is undecided still goes to the disk.
    let status =
        device.wait_until("done deciding", Duration::from_secs(60), |status| status.ledger.pending.sum() == 0).await?;
    let memory_at_end = Memory::of(process)?;
    let destination = status.ledger.destinations.first().context("the agent names no destination")?;
    let (queued, yielded, ledger_difference) = (destination.queued, destination.lost, status.ledger.difference);
    device.stop().await?;
    let data = DirectorySize::of(&device.data_dir())?;
    let mut outage = Outage {
        passed: false,
        commit: commit(),
        host: Host::this(),
        seconds,
        speed: args.speed,
        not_taken: load.not_taken,
        load,
        binary_and_data: binary.bytes + most.max(data.worst()),
        binary_and_data_limit: LIMITS.binary_and_data,
        binary,
        data,
        memory_at_end,
        queued,
        yielded,
        ledger_difference,
        faults: Vec::new(),
    };
    outage.faults = faults(&outage);
    outage.passed = outage.faults.is_empty();
    Ok(outage)
}

fn faults(results: &Outage) -> Vec<String> {
    let mut faults = Vec::new();
    if results.binary_and_data > results.binary_and_data_limit {
        let (both, limit) = (results.binary_and_data, results.binary_and_data_limit);
        faults.push(format!("binary and data directory: {both} bytes, the limit is {limit}"));
    }
    if results.queued == 0 {
        faults.push("nothing waits for the link, so there was no outage".to_owned());
    }
    if results.not_taken > 0 {
        faults.push(format!("{} records were not taken", results.not_taken));
    }
    if results.ledger_difference != 0 {
        faults.push(format!("the ledger does not add up: {}", results.ledger_difference));
    }
    faults
}
