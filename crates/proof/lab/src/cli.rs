//! The command line.

use crate::bench::{
    CostArgs, CostResults, CpuArgs, FootprintArgs, HubArgs, OutageArgs, SamplingArgs, WireArgs, compare, cost, cpu,
    footprint, hub_results, outage, sampling_results, wire_results,
};
use crate::cli_drill::{self, DrillCommand};
use crate::cli_guard::{FalsePositiveOptions, GuardOptions, false_positives_command, guard_command};
use crate::cli_options::{OutputOptions, fresh_seed};
use crate::clock::monotonic;
use crate::console::Console;
use crate::demo::{Cut, ShowArgs, SmokeArgs, show, smoke};
use crate::differential::{DifferentialArgs, differential};
use crate::otlp::Protocol;
use crate::program::locate;
use crate::replay::replay;
use crate::signals::{told_to_stop, unless_told_to_stop};
use crate::vessel::{Options, Ramp, Vessel};
use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::watch;

/// The lab of Lightship: a simulated vessel, the demonstration, and benchmarks.
#[derive(Debug, Parser)]
#[command(name = "lightship-lab", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the simulated application of the vessel against an OTLP receiver
    Vessel(VesselArgs),
    /// Run hub, agent and vessel on this machine, cut the link between them, and restore it
    Demo(DemoArgs),
    /// Prove one promise under load
    #[command(subcommand)]
    Drill(DrillCommand),
    /// Send the same traffic through the OpenTelemetry Collector and the agent, and compare what each policy keeps
    Differential(DifferentialOptions),
    /// Replay goldens through the real agent on a simulated clock, and compare the kept sets by trace id
    Replay(ReplayArgs),
    /// Run the assembled edge on a model disk with power cuts and every other fault, and check every promise
    Crash(ApartArgs),
    /// Measure, and hold the results against their limits
    #[command(subcommand)]
    Bench(BenchCommand),
}

/// Options of a program that stands apart, so that the lab shares no code with what it judges.
#[derive(Debug, Args)]
struct ApartArgs {
    /// Passed on; `-- --help` tells them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

#[derive(Debug, Args)]
struct DifferentialOptions {
    /// The Collector's binary (tests/collector/build.sh makes it)
    #[arg(long, value_name = "FILE")]
    collector: PathBuf,
    /// The agent's binary [default: lightship beside this program]
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// Seconds of traffic
    #[arg(long, default_value_t = 25, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(5..=600))]
    seconds: u64,
    /// The seed that decides every trace
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    output: OutputOptions,
}

#[derive(Debug, Args)]
struct ReplayArgs {
    /// The directory of the goldens (*.yaml)
    directory: PathBuf,
    /// The agent's binary [default: lightship beside this program]
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// Print the outcome as JSON on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// What a span, a log record and a point cost, stage by stage: instructions, allocations, copied bytes
    Cost(CostOptions),
    /// CPU, memory and writes for each span, beside the OpenTelemetry Collector and Fluent Bit
    Cpu(CpuOptions),
    /// What masking takes for a value that is none, in lines and spans of the vessel and in a public corpus
    FalsePositives(FalsePositiveOptions),
    /// What masking costs a clean record, in instructions, and beside the Collector's redaction in CPU
    Guard(GuardOptions),
    /// Binary, memory, CPU and disk of the real agent on a typical device under a typical load
    Footprint(FootprintOptions),
    /// What a long outage at the typical load leaves on the device's disk
    Outage(OutageOptions),
    /// Bytes, CPU, memory and questions of the hub's metrics, beside VictoriaMetrics
    Hub(HubOptions),
    /// The journal beside fjall, redb and SQLite, at the same queue work in the same run
    Journal(ApartArgs),
    /// What a span costs on its way to the decision, and beside the OpenTelemetry Collector
    Sampling(SamplingOptions),
    /// Bytes per span, line and sample in frames and blocks, against OTLP with gzip and zstd
    Wire(WireOptions),
}

#[derive(Debug, Args)]
struct CostOptions {
    /// The agent's binary, with its symbols [default: lightship beside this program]
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// Fail where a stage costs 3 % more than in these results
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Also count the bytes that are copied
    #[arg(long)]
    copies: bool,
    /// Keep callgrind's profiles in this directory, for callgrind_annotate
    #[arg(long, value_name = "DIRECTORY")]
    profiles: Option<PathBuf>,
    #[command(flatten)]
    output: OutputOptions,
}

#[derive(Debug, Args)]
struct CpuOptions {
    /// The agent's binary [default: lightship beside this program]
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// The Collector's binary (tests/collector/build.sh makes it)
    #[arg(long, value_name = "FILE")]
    collector: PathBuf,
    /// Fluent Bit's binary; without it, it is left out
    #[arg(long, value_name = "FILE")]
    fluent_bit: Option<PathBuf>,
    /// Seconds of load in each run
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(5..=600))]
    seconds: u64,
    /// How often each program runs
    #[arg(long, default_value_t = 5, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=50))]
    rounds: u64,
    #[command(flatten)]
    output: OutputOptions,
}

#[derive(Debug, Args)]
struct OutageOptions {
    /// The agent's binary [default: lightship beside this program]
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// Seconds of the outage, as the agent and its load see them
    #[arg(long, default_value_t = 7200, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(60..))]
    seconds: u64,
    /// How many times faster load and waits run
    #[arg(long, default_value_t = 8, value_name = "FACTOR", value_parser = clap::value_parser!(u32).range(1..=20))]
    speed: u32,
    /// Minutes from one request of 250 KiB of spans, and one of random digits in a log record, to the next
    #[arg(long, default_value_t = 10, value_name = "MINUTES", value_parser = clap::value_parser!(u64).range(1..))]
    large_minutes: u64,
    #[command(flatten)]
    output: OutputOptions,
}

#[derive(Debug, Args)]
struct SamplingOptions {
    /// The agent's binary [default: lightship beside this program]
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// The Collector's binary (tests/collector/build.sh makes it); without it, it is left out
    #[arg(long, value_name = "FILE")]
    collector: Option<PathBuf>,
    /// Seconds of traffic into each of both
    #[arg(long, default_value_t = 40, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(10..=3_600))]
    seconds: u64,
    #[command(flatten)]
    output: OutputOptions,
}

#[derive(Debug, Args)]
struct HubOptions {
    /// The hub's binary [default: lightship-hub beside this program]
    #[arg(long, value_name = "FILE")]
    hub: Option<PathBuf>,
    /// VictoriaMetrics' binary (tests/backends/build-victoria-metrics.sh makes it)
    #[arg(long, value_name = "FILE")]
    victoria_metrics: PathBuf,
    /// Devices of 20 series each
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(10..=999))]
    devices: u64,
    /// Samples of each series, one every 10 s
    #[arg(long, default_value_t = 2_880, value_parser = clap::value_parser!(u64).range(100..=8_640))]
    samples: u64,
    /// The seed that decides every value
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    output: OutputOptions,
}

#[derive(Debug, Args)]
struct WireOptions {
    /// The seed that decides every record
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    output: OutputOptions,
}

#[derive(Debug, Args)]
struct FootprintOptions {
    /// The agent's binary [default: lightship beside this program]
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// Deliver to a real hub with this binary, over TLS; without it, to an OTLP receiver in this process
    #[arg(long, value_name = "FILE")]
    hub: Option<PathBuf>,
    /// Seconds of load
    #[arg(long, default_value_t = 600, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    #[command(flatten)]
    output: OutputOptions,
}

#[derive(Debug, Args)]
struct DemoArgs {
    /// Judge by itself: load with an outage and a kill of the agent, then a reconciliation by id, printed as JSON
    #[arg(long)]
    smoke: bool,
    /// The agent's binary [default: lightship beside this program]
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// The hub's binary [default: lightship-hub beside this program]
    #[arg(long, value_name = "FILE")]
    hub: Option<PathBuf>,
    /// Seconds of load in all (with --smoke), or before the link is cut (without)
    #[arg(long, default_value_t = 20, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Seconds without the link [default: 6 with --smoke, 30 without]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    outage: Option<u64>,
    /// What the cut link does with new connections
    #[arg(long, value_enum, default_value_t = Cut::Refuse)]
    cut: Cut,
    /// Users per published user; at 1 there are 500 in the end
    #[arg(long, default_value_t = 0.4, value_name = "FACTOR")]
    users: f64,
    /// How OTLP travels from vessel to agent
    #[arg(long, value_enum, default_value_t = Protocol::Grpc)]
    protocol: Protocol,
    /// The seed that decides every request; without it, a new one, which is printed
    #[arg(long)]
    seed: Option<u64>,
}

#[derive(Debug, Args)]
struct VesselArgs {
    /// The receiver's address; 4317 is the usual port of gRPC, 4318 that of HTTP
    #[arg(long, default_value = "127.0.0.1:4317", value_name = "ADDRESS")]
    otlp: SocketAddr,
    /// How OTLP travels
    #[arg(long, value_enum, default_value_t = Protocol::Grpc)]
    protocol: Protocol,
    /// Users per published user; at 1 there are 100 after 30 s, 250 after 60 s, and 500 from 120 s on
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    users: f64,
    /// How many times faster than published the number of users grows
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    ramp_speed: f64,
    /// Stop after this many seconds; without it, at Ctrl-C
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,
    /// The seed that decides every request; without it, a new one, which is printed
    #[arg(long)]
    seed: Option<u64>,
    /// Also append the application's JSON log records to this file
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// The longest time that a record waits for its batch to fill, in milliseconds
    #[arg(long, default_value_t = 5_000, value_name = "MS")]
    batch_delay: u64,
    /// Seconds between two exports of metrics
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    metrics_every: u64,
    /// How far apart the parts of one trace may be sent, in milliseconds
    #[arg(long, default_value_t = 0, value_name = "MS")]
    spread: u64,
    /// Add, once in so many requests, one each of 199.999, 200.000 and 200.001 ms, and one slow only as a whole
    #[arg(long, value_name = "REQUESTS")]
    boundary_every: Option<u64>,
}

/// Runs the command that the arguments name.
pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    let result = runtime().and_then(|runtime| {
        runtime.block_on(async {
            match cli.command {
                Command::Vessel(args) => vessel(args).await,
                Command::Demo(args) => demo(args).await,
                Command::Drill(command) => cli_drill::run(command).await,
                Command::Differential(options) => differential_command(options).await,
                Command::Replay(args) => replay_command(&args),
                Command::Crash(args) => apart("lightship-crash", &[], &args).await,
                Command::Bench(BenchCommand::Cost(options)) => cost_command(options).await,
                Command::Bench(BenchCommand::Cpu(options)) => cpu_command(options).await,
                Command::Bench(BenchCommand::FalsePositives(options)) => false_positives_command(options),
                Command::Bench(BenchCommand::Guard(options)) => guard_command(options).await,
                Command::Bench(BenchCommand::Footprint(options)) => footprint_command(options).await,
                Command::Bench(BenchCommand::Outage(options)) => outage_command(options).await,
                Command::Bench(BenchCommand::Hub(options)) => hub_command(options).await,
                Command::Bench(BenchCommand::Journal(args)) => apart("lightship-bench", &["journal"], &args).await,
                Command::Bench(BenchCommand::Sampling(options)) => sampling_command(options).await,
                Command::Bench(BenchCommand::Wire(options)) => wire_command(&options),
            }
        })
    });
    match result {
        Ok(code) => code,
        Err(error) => {
            Console::new().bad(&format!("lightship-lab: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Starts a program of the lab that stands beside this one, and tells it the commit that is checked out.
async fn apart(name: &'static str, first: &[&str], args: &ApartArgs) -> Result<ExitCode> {
    let program = locate(None, name)?;
    let mut child = tokio::process::Command::new(&program);
    child.args(first);
    if let Some(commit) = crate::bench::commit() {
        child.args(["--commit", &commit]);
    }
    let status = child.args(&args.options).status().await;
    let status = status.with_context(|| format!("cannot start {}", program.display()))?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(2)))
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

async fn demo(args: DemoArgs) -> Result<ExitCode> {
    let console = Console::new();
    if args.users <= 0.0 {
        bail!("--users must be above 0");
    }
    let agent = locate(args.agent.as_deref(), "lightship")?;
    let hub = locate(args.hub.as_deref(), "lightship-hub")?;
    let seed = args.seed.unwrap_or_else(fresh_seed);
    let (users, protocol, cut) = (args.users, args.protocol, args.cut);
    if !args.smoke {
        let (baseline, outage) = (Duration::from_secs(args.seconds), Duration::from_secs(args.outage.unwrap_or(30)));
        show(ShowArgs { agent, hub, baseline, outage, seed, users, protocol, cut }, console).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let (load, outage) = (Duration::from_secs(args.seconds), Duration::from_secs(args.outage.unwrap_or(6)));
    let run = SmokeArgs { agent, hub, load, outage, seed, users, protocol, cut };
    let verdict =
        unless_told_to_stop(smoke(run, console)).await.with_context(|| format!("the run with seed {seed} broke"))?;
    println!("{}", serde_json::to_string_pretty(&verdict)?);
    if verdict.passed {
        console.good("passed: kept = should_keep = stored, nothing lost, nothing twice, nothing astray");
        return Ok(ExitCode::SUCCESS);
    }
    verdict.faults.iter().for_each(|fault| console.bad(fault));
    Ok(ExitCode::FAILURE)
}

async fn footprint_command(options: FootprintOptions) -> Result<ExitCode> {
    let console = Console::new();
    let agent = locate(options.agent.as_deref(), "lightship")?;
    let hub = options.hub.as_deref().map(|path| locate(Some(path), "lightship-hub")).transpose()?;
    let args = FootprintArgs { agent, hub, time: Duration::from_secs(options.seconds) };
    let results = unless_told_to_stop(footprint(&args, console)).await?;
    options.output.write(&serde_json::to_value(&results)?)?;
    results.faults.iter().for_each(|fault| console.bad(fault));
    Ok(if results.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn differential_command(options: DifferentialOptions) -> Result<ExitCode> {
    let console = Console::new();
    let args = DifferentialArgs {
        agent: locate(options.agent.as_deref(), "lightship")?,
        collector: locate(Some(&options.collector), "the Collector")?,
        seconds: options.seconds,
        seed: options.seed,
    };
    let comparisons = unless_told_to_stop(differential(&args, console)).await?;
    let differ = comparisons.iter().filter(|one| !one.equal).count();
    options
        .output
        .write(&serde_json::json!({ "seed": args.seed, "seconds": args.seconds, "policies": comparisons }))?;
    if differ > 0 {
        console.bad(&format!("{differ} policies differ"));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn replay_command(args: &ReplayArgs) -> Result<ExitCode> {
    let console = Console::new();
    let agent = locate(args.agent.as_deref(), "lightship")?;
    let reports = replay(&args.directory, &agent, console)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&reports)?);
    }
    let failed = reports.iter().filter(|report| !report.faults.is_empty()).count();
    if failed > 0 {
        console.bad(&format!("{failed} of {} goldens differ", reports.len()));
        return Ok(ExitCode::FAILURE);
    }
    console.good(&format!("{} goldens, all as expected", reports.len()));
    Ok(ExitCode::SUCCESS)
}

async fn outage_command(options: OutageOptions) -> Result<ExitCode> {
    let console = Console::new();
    let agent = locate(options.agent.as_deref(), "lightship")?;
    let OutageOptions { seconds, speed, large_minutes, .. } = options;
    let args = OutageArgs { agent, time: Duration::from_secs(seconds), speed, large_minutes };
    let results = unless_told_to_stop(outage(&args, console)).await?;
    options.output.write(&serde_json::to_value(&results)?)?;
    results.faults.iter().for_each(|fault| console.bad(fault));
    Ok(if results.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn sampling_command(options: SamplingOptions) -> Result<ExitCode> {
    let console = Console::new();
    let agent = locate(options.agent.as_deref(), "lightship")?;
    let collector = options.collector.as_deref().map(|path| locate(Some(path), "the Collector")).transpose()?;
    let args = SamplingArgs { agent, collector, seconds: options.seconds };
    let results = unless_told_to_stop(sampling_results(&args, console)).await?;
    options.output.write(&serde_json::to_value(&results)?)?;
    Ok(ExitCode::SUCCESS)
}

async fn cost_command(options: CostOptions) -> Result<ExitCode> {
    let console = Console::new();
    let agent = std::path::absolute(locate(options.agent.as_deref(), "lightship")?)?;
    let against = options.against.as_deref().map(|path| -> Result<CostResults> {
        let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} holds other results", path.display()))
    });
    let against = against.transpose()?;
    let args = CostArgs { agent, copies: options.copies, profiles: options.profiles, only: &[] };
    let Some(results) = unless_told_to_stop(cost(&args, console)).await? else { return Ok(ExitCode::SUCCESS) };
    options.output.write(&serde_json::to_value(&results)?)?;
    let faults = against.map_or_else(Vec::new, |before| compare(&before, &results));
    faults.iter().for_each(|fault| console.bad(fault));
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn cpu_command(options: CpuOptions) -> Result<ExitCode> {
    let agent = locate(options.agent.as_deref(), "lightship")?;
    let collector = locate(Some(&options.collector), "the Collector")?;
    let fluent_bit = options.fluent_bit.as_deref().map(|path| locate(Some(path), "Fluent Bit")).transpose()?;
    let rounds = usize::try_from(options.rounds).context("too many rounds")?;
    let args = CpuArgs { agent, collector, fluent_bit, seconds: options.seconds, rounds };
    let results = unless_told_to_stop(cpu(&args, Console::new())).await?;
    options.output.write(&serde_json::to_value(&results)?)?;
    Ok(ExitCode::SUCCESS)
}

async fn hub_command(options: HubOptions) -> Result<ExitCode> {
    let hub = locate(options.hub.as_deref(), "lightship-hub")?;
    let victoria_metrics = locate(Some(&options.victoria_metrics), "VictoriaMetrics")?;
    let (devices, samples, seed) = (options.devices, options.samples, options.seed);
    let args = HubArgs { hub, victoria_metrics, devices, samples, seed };
    let results = unless_told_to_stop(hub_results(&args, Console::new())).await?;
    options.output.write(&serde_json::to_value(&results)?)?;
    Ok(ExitCode::SUCCESS)
}

fn wire_command(options: &WireOptions) -> Result<ExitCode> {
    let results = wire_results(WireArgs { seed: options.seed })?;
    options.output.write(&serde_json::to_value(&results)?)?;
    Ok(ExitCode::SUCCESS)
}

async fn vessel(args: VesselArgs) -> Result<ExitCode> {
    let console = Console::new();
    if !(args.users > 0.0 && args.ramp_speed > 0.0) {
        bail!("--users and --ramp-speed must be above 0");
    }
    let seed = args.seed.unwrap_or_else(fresh_seed);
    let options = Options {
        seed,
        ramp: Ramp { users: args.users, speed: args.ramp_speed },
        boundary_every: args.boundary_every,
        protocol: args.protocol,
        batch_delay: Duration::from_millis(args.batch_delay),
        metrics_every: Duration::from_secs(args.metrics_every),
        spread: Duration::from_millis(args.spread),
        log_file: args.log_file,
        remember: false,
        patience: Duration::from_secs(60),
    };
    let (_keep, target) = watch::channel(args.otlp);
    let vessel = Vessel::start(options, &target)?;
    console.event(&format!("vessel under way: seed {seed}, OTLP to {}", args.otlp));
    let start = monotonic();
    let mut before = vessel.totals();
    loop {
        let elapsed = monotonic().duration_since(start).as_secs();
        let left = args.seconds.map_or(u64::MAX, |seconds| seconds.saturating_sub(elapsed));
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(left.min(5))) => {}
            told = told_to_stop() => {
                told?;
                break;
            }
        }
        if left == 0 {
            break;
        }
        let now = vessel.totals();
        console.progress(&format!(
            "{} users, {} requests, {} spans (+{}), {} log records, {} points; {} retries, {} records not taken{}",
            now.users,
            now.requests,
            now.spans,
            now.spans - before.spans,
            now.lines,
            now.points,
            now.retries(),
            now.not_taken(),
            now.last_refusal().map(|why| format!(" (last: {why})")).unwrap_or_default(),
        ));
        before = now;
    }
    let (_, totals) = vessel.stop().await?;
    let taken: u64 = totals.tallies.iter().map(|tally| tally.taken).sum();
    console.event(&format!("vessel stopped: {taken} records taken, {} not taken", totals.not_taken()));
    Ok(if totals.not_taken() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
