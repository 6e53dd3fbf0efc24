//! `lightship-lab drill`.

use crate::cli_options::{OutputOptions, fresh_seed};
use crate::console::Console;
use crate::drill::{DiskArgs, DriftArgs, FidelityArgs, KillArgs, Mode, disk, drift, fidelity, kill};
use crate::program::locate;
use crate::signals::unless_told_to_stop;
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Debug, Subcommand)]
pub(crate) enum DrillCommand {
    /// Every trace that should be kept is, and no other one, at a fixed rate within a fixed memory
    Fidelity(FidelityOptions),
    /// Nothing acknowledged is lost and nothing is stored twice, however often the agent is killed
    Kill(KillOptions),
    /// A small file system is filled by someone else: lanes yield in order, and all of it is told
    Disk(DiskOptions),
    /// The vessel's application changes a field's name, unit and type while it runs: each is named within a minute
    Drift(DriftOptions),
}

#[derive(Debug, Args)]
pub(crate) struct DriftOptions {
    /// The agent's binary [default: lightship beside this program]
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// The seed that decides every request; without it, a new one, which is printed
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    output: OutputOptions,
}

#[derive(Debug, Args)]
pub(crate) struct FidelityOptions {
    /// The agent's binary [default: lightship beside this program]
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// The hub's binary [default: lightship-hub beside this program]
    #[arg(long, value_name = "FILE")]
    hub: Option<PathBuf>,
    /// The load
    #[arg(long, default_value_t = 2_500, value_name = "SPANS")]
    spans_per_second: u64,
    /// What the agent may take, in MiB
    #[arg(long, default_value_t = 12, value_name = "MIB")]
    memory: u64,
    /// Seconds of load
    #[arg(long, default_value_t = 600, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// The seed that decides every request; without it, a new one, which is printed
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    output: OutputOptions,
}

#[derive(Debug, Args)]
pub(crate) struct KillOptions {
    /// The agent's binary [default: lightship beside this program]
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// The hub's binary [default: lightship-hub beside this program]
    #[arg(long, value_name = "FILE")]
    hub: Option<PathBuf>,
    /// What the agent is to keep
    #[arg(long, value_enum, default_value_t = Mode::Sampling)]
    mode: Mode,
    /// How often it is killed
    #[arg(long, default_value_t = 200, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    kills: u64,
    /// The seed that decides every request and every kill; without it, a new one, which is printed
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    output: OutputOptions,
}

#[derive(Debug, Args)]
pub(crate) struct DiskOptions {
    /// The agent's binary [default: lightship beside this program]
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// The hub's binary [default: lightship-hub beside this program]
    #[arg(long, value_name = "FILE")]
    hub: Option<PathBuf>,
    /// MiB of the agent's file system
    #[arg(long, default_value_t = 12, value_name = "MIB", value_parser = clap::value_parser!(u64).range(8..=256))]
    disk: u64,
    /// Seconds in which somebody else takes all that is free
    #[arg(long, default_value_t = 8, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(5..))]
    full: u64,
    /// The seed of all that is sent; without it, a new one, which is printed
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    output: OutputOptions,
}

/// Runs one of them.
pub(crate) async fn run(command: DrillCommand) -> Result<ExitCode> {
    match command {
        DrillCommand::Fidelity(options) => fidelity_command(options).await,
        DrillCommand::Kill(options) => kill_command(options).await,
        DrillCommand::Disk(options) => disk_command(options).await,
        DrillCommand::Drift(options) => drift_command(options).await,
    }
}

async fn drift_command(options: DriftOptions) -> Result<ExitCode> {
    let console = Console::new();
    let args = DriftArgs {
        agent: locate(options.agent.as_deref(), "lightship")?,
        seed: options.seed.unwrap_or_else(fresh_seed),
    };
    let results = unless_told_to_stop(drift(&args, console))
        .await
        .with_context(|| format!("the drill with seed {} broke", args.seed))?;
    options.output.write(&serde_json::to_value(&results)?)?;
    results.faults.iter().for_each(|fault| console.bad(fault));
    Ok(if results.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn fidelity_command(options: FidelityOptions) -> Result<ExitCode> {
    let console = Console::new();
    let args = FidelityArgs {
        agent: locate(options.agent.as_deref(), "lightship")?,
        hub: locate(options.hub.as_deref(), "lightship-hub")?,
        spans_per_second: options.spans_per_second,
        memory_mib: options.memory,
        load: Duration::from_secs(options.seconds),
        seed: options.seed.unwrap_or_else(fresh_seed),
    };
    let results = unless_told_to_stop(fidelity(&args, console))
        .await
        .with_context(|| format!("the drill with seed {} broke", args.seed))?;
    options.output.write(&serde_json::to_value(&results)?)?;
    results.faults.iter().for_each(|fault| console.bad(fault));
    Ok(if results.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn kill_command(options: KillOptions) -> Result<ExitCode> {
    let console = Console::new();
    let args = KillArgs {
        agent: locate(options.agent.as_deref(), "lightship")?,
        hub: locate(options.hub.as_deref(), "lightship-hub")?,
        mode: options.mode,
        kills: options.kills,
        seed: options.seed.unwrap_or_else(fresh_seed),
    };
    let results = unless_told_to_stop(kill(&args, console))
        .await
        .with_context(|| format!("seed {} broke the drill", args.seed))?;
    options.output.write(&serde_json::to_value(&results)?)?;
    results.faults.iter().for_each(|fault| console.bad(fault));
    Ok(if results.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn disk_command(options: DiskOptions) -> Result<ExitCode> {
    let console = Console::new();
    let args = DiskArgs {
        agent: locate(options.agent.as_deref(), "lightship")?,
        hub: locate(options.hub.as_deref(), "lightship-hub")?,
        disk_mib: options.disk,
        full: Duration::from_secs(options.full),
        seed: options.seed.unwrap_or_else(fresh_seed),
    };
    let results = unless_told_to_stop(disk(&args, console))
        .await
        .with_context(|| format!("seed {} broke the drill", args.seed))?;
    options.output.write(&serde_json::to_value(&results)?)?;
    results.faults.iter().for_each(|fault| console.bad(fault));
    Ok(if results.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
