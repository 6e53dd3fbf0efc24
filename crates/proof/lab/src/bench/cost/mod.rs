//! `bench cost`: what a record costs the agent, stage by stage: user instructions and allocations by callgrind, copied bytes by DHAT.
//! The program is the one that ships, with its symbols; it takes OTLP in over a socket and delivers to an OTLP endpoint.

mod callgrind;
mod compare;
mod copies;
mod stages;
mod traffic;

use crate::bench::host::{Host, commit};
use crate::clock::{monotonic, wall_ns};
use crate::console::Console;
use crate::device::{Device, Setting, Upstream, Waits};
use crate::otlp::{Answer, Client, Inbox, Protocol, Receiver};
use crate::program::path_text;
use anyhow::{Context, Result, bail};
use callgrind::Profile;
pub(crate) use compare::compare;
use model::Signal;
use serde::{Deserialize, Serialize};
use stages::{STAGES, by_stage};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;
pub(crate) use traffic::Traffic;

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct CostArgs {
    /// The agent as it ships, with its symbols.
    pub(crate) agent: PathBuf,
    /// Count copied bytes as well, which takes twice as long.
    pub(crate) copies: bool,
    /// Keep callgrind's profiles in this directory.
    pub(crate) profiles: Option<PathBuf>,
    /// Only these scenarios; all where there is none.
    pub(crate) only: &'static [&'static str],
}

/// One kind of traffic, and how it is taken in.
struct Scenario {
    name: &'static str,
    what: &'static str,
    protocol: Protocol,
    signal: Signal,
    /// Records of a request.
    batch: u64,
    keep_one_in: u64,
    files: bool,
    /// Whether bodies of log records are lines of logfmt.
    pairs: bool,
}

const SCENARIOS: [Scenario; 7] = [
    Scenario {
        name: "grpc-512",
        what: "the default batch of an SDK over gRPC: 512 spans, 20 % to keep",
        protocol: Protocol::Grpc,
        signal: Signal::Traces,
        batch: 512,
        keep_one_in: 5,
        files: false,
        pairs: false,
    },
    Scenario {
        name: "http-100",
        what: "100 spans over HTTP, 20 % to keep",
        protocol: Protocol::Http,
        signal: Signal::Traces,
        batch: 100,
        keep_one_in: 5,
        files: false,
        pairs: false,
    },
    Scenario {
        name: "http-100-5",
        what: "100 spans over HTTP, 5 % to keep",
        protocol: Protocol::Http,
        signal: Signal::Traces,
        batch: 100,
        keep_one_in: 20,
        files: false,
        pairs: false,
    },
    Scenario {
        name: "files-100",
        what: "100 spans over HTTP, 20 % to keep, the recorder in files, answered once written",
        protocol: Protocol::Http,
        signal: Signal::Traces,
        batch: 100,
        keep_one_in: 5,
        files: true,
        pairs: false,
    },
    Scenario {
        name: "logs-100",
        what: "100 log records over HTTP, half of them of traces without spans",
        protocol: Protocol::Http,
        signal: Signal::Logs,
        batch: 100,
        keep_one_in: 1,
        files: false,
        pairs: false,
    },
    Scenario {
        name: "pairs-100",
        what: "100 log records over HTTP, each a line of logfmt with eight pairs",
        protocol: Protocol::Http,
        signal: Signal::Logs,
        batch: 100,
        keep_one_in: 1,
        files: false,
        pairs: true,
    },
    Scenario {
        name: "points-100",
        what: "100 data points over HTTP",
        protocol: Protocol::Http,
        signal: Signal::Metrics,
        batch: 100,
        keep_one_in: 1,
        files: false,
        pairs: false,
    },
];

/// Records of a measurement, and of what comes before it, and how many come in a second.
const RECORDS: u64 = 12_288;
const WARM_UP: u64 = 1_024;
const RATE: u64 = 2_500;
const WAITS: Waits = Waits {
    decision: Duration::from_secs(1),
    red: Duration::from_secs(10),
    commit: Duration::from_secs(1),
    heartbeat: Duration::from_secs(5),
    backoff: Duration::from_secs(1),
};

/// What a record costs in one stage.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct StageCost {
    pub(crate) instructions: f64,
    pub(crate) allocations: f64,
    /// Bytes that memcpy and its kin moved; `None` where they were not counted.
    pub(crate) copied_bytes: Option<f64>,
}

/// The costs of one scenario, for each record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ScenarioCost {
    pub(crate) what: String,
    pub(crate) records: u64,
    pub(crate) bytes_per_record: f64,
    pub(crate) total: StageCost,
    pub(crate) stages: BTreeMap<String, StageCost>,
}

/// The outcome, as printed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CostResults {
    commit: Option<String>,
    #[serde(skip_deserializing)]
    host: Option<Host>,
    pub(crate) scenarios: BTreeMap<String, ScenarioCost>,
}

/// Runs it; `None` where valgrind is not installed.
pub(crate) async fn cost(args: &CostArgs, console: Console) -> Result<Option<CostResults>> {
    let has = |tool: &str| Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if has("valgrind").is_err() || has("callgrind_control").is_err() {
        eprintln!("SKIPPED the cost of records: valgrind is not installed");
        return Ok(None);
    }
    let mut scenarios = BTreeMap::new();
    for scenario in &SCENARIOS {
        if !args.only.is_empty() && !args.only.contains(&scenario.name) {
            continue;
        }
        console.event(&format!("{}: {}", scenario.name, scenario.what));
        let cost = measure(args, scenario).await.with_context(|| format!("scenario {}", scenario.name))?;
        console.event(&format!(
            "{}: {:.0} instructions and {:.2} allocations a record",
            scenario.name, cost.total.instructions, cost.total.allocations
        ));
        scenarios.insert(scenario.name.to_owned(), cost);
    }
    Ok(Some(CostResults { commit: commit(), host: Some(Host::this()), scenarios }))
}

async fn measure(args: &CostArgs, scenario: &Scenario) -> Result<ScenarioCost> {
    let directory = tempfile::Builder::new().prefix("lightship-cost-").tempdir().context("no temporary directory")?;
    let profile = directory.path().join("callgrind.out");
    let tool = format!("--tool=callgrind --callgrind-out-file={}", path_text(&profile)?);
    let run = under(&tool, &args.agent, scenario, directory.path(), true).await?;
    // The first dump; what ended the program comes in another.
    let text = std::fs::read(profile.with_extension("out.1")).context("callgrind wrote no profile")?;
    if let Some(kept) = &args.profiles {
        std::fs::create_dir_all(kept)?;
        std::fs::write(kept.join(format!("callgrind.out.{}", scenario.name)), &text)?;
    }
    let profile = Profile::read(&String::from_utf8_lossy(&text));
    if profile.functions.len() < 100 {
        bail!(
            "the program has no symbols: build it with CARGO_PROFILE_DEVICE_STRIP=none (cargo xtask bench cost does)"
        );
    }
    let copied = if args.copies {
        let file = directory.path().join("dhat.out");
        let tool = format!("--tool=dhat --mode=copy --num-callers=60 --dhat-out-file={}", path_text(&file)?);
        let run = under(&tool, &args.agent, scenario, directory.path(), false).await?;
        Some((copies::by_stage(&std::fs::read_to_string(&file)?)?, run.records))
    } else {
        None
    };
    let per = 1.0 / run.records as f64;
    let costs = by_stage(&profile);
    let mut total = StageCost { copied_bytes: copied.as_ref().map(|_| 0.0), ..StageCost::default() };
    let mut stages = BTreeMap::new();
    for stage in STAGES {
        let cost = costs.get(&stage).copied().unwrap_or_default();
        let copied_bytes =
            copied.as_ref().map(|(bytes, records)| bytes.get(&stage).copied().unwrap_or(0) as f64 / *records as f64);
        let one = StageCost {
            instructions: rounded(cost.instructions * per),
            allocations: rounded(cost.allocations * per),
            copied_bytes: copied_bytes.map(rounded),
        };
        total.instructions += one.instructions;
        total.allocations += one.allocations;
        total.copied_bytes = total.copied_bytes.zip(one.copied_bytes).map(|(sum, more)| sum + more);
        stages.insert(stage.name().to_owned(), one);
    }
    let total = StageCost {
        instructions: rounded(total.instructions),
        allocations: rounded(total.allocations),
        copied_bytes: total.copied_bytes.map(rounded),
    };
    let bytes_per_record = rounded(run.bytes as f64 * per);
    Ok(ScenarioCost { what: scenario.what.to_owned(), records: run.records, bytes_per_record, total, stages })
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

struct Run {
    records: u64,
    bytes: u64,
}

/// Runs the agent under a tool of valgrind, through the whole of a scenario.
async fn under(tool: &str, agent: &Path, scenario: &Scenario, directory: &Path, zero: bool) -> Result<Run> {
    let launcher = directory.join("under-valgrind");
    let script = format!("#!/bin/sh\nexec valgrind -q {tool} {} \"$@\"\n", path_text(agent)?);
    std::fs::write(&launcher, script)?;
    std::fs::set_permissions(&launcher, std::fs::Permissions::from_mode(0o700))?;
    let sink = Receiver::start(Protocol::Http, Inbox::default()).await?;
    let setting = match scenario.files {
        true => Setting::Written { waits: WAITS, keep_all: false, masks: true },
        false => Setting::Vessel(WAITS),
    };
    let data = directory.join(if zero { "data" } else { "again" });
    std::fs::create_dir(&data)?;
    let upstream = Upstream::Otlp { address: sink.address };
    let mut device = Device::start(&data, &launcher, setting, &upstream).await?;
    let listen = match scenario.protocol {
        Protocol::Grpc => *device.otlp_grpc.borrow(),
        Protocol::Http => *device.otlp_http.borrow(),
    };
    let (_keep, target) = watch::channel(listen);
    let mut client = Client::new(scenario.protocol, scenario.signal, target);
    let traffic = Traffic::new(1, scenario.keep_one_in);
    let mut traffic = if scenario.pairs { traffic.with_pairs() } else { traffic };
    let mut warm_up = Run { records: 0, bytes: 0 };
    send(scenario, WARM_UP, &mut client, &mut traffic, &mut warm_up).await?;
    settle(&device).await?;
    if zero {
        control(&device, "--zero")?;
    }
    let mut run = Run { records: 0, bytes: 0 };
    send(scenario, RECORDS, &mut client, &mut traffic, &mut run).await?;
    settle(&device).await?;
    if zero {
        // What ending costs is no cost of a record.
        control(&device, "--dump=end")?;
    }
    device.stop().await?;
    if !zero {
        run.records += warm_up.records;
    }
    Ok(run)
}

/// Tells callgrind to do something with its counts.
fn control(device: &Device, what: &str) -> Result<()> {
    let process = device.process()?.to_string();
    let told =
        Command::new("callgrind_control").args([what, &process]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !told.context("cannot start callgrind_control")?.success() {
        bail!("callgrind_control {what} failed");
    }
    Ok(())
}

/// Sends so many records at the pace of a vessel, one request after the other.
async fn send(
    scenario: &Scenario,
    records: u64,
    client: &mut Client,
    traffic: &mut Traffic,
    run: &mut Run,
) -> Result<()> {
    let begin = monotonic();
    while run.records < records {
        let due = Duration::from_micros(run.records * 1_000_000 / RATE);
        sleep(due.saturating_sub(monotonic().duration_since(begin))).await;
        let request = traffic.request(scenario.signal, scenario.batch, wall_ns());
        run.bytes += request.len() as u64;
        match client.send(&request, None).await {
            Answer::Taken(0, _) => run.records += scenario.batch,
            other => bail!("the agent did not take a request: {other:?}"),
        }
    }
    Ok(())
}

/// Waits until all is decided and delivered, without asking often: each answer costs.
async fn settle(device: &Device) -> Result<()> {
    for _ in 0..30 {
        sleep(Duration::from_secs(2)).await;
        if device.status().await?.is_drained() {
            return Ok(());
        }
    }
    bail!("not everything was delivered within a minute")
}
