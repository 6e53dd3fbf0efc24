//! The command line of the benchmarks of masking.

use crate::bench::{FalsePositiveArgs, GuardArgs, false_positives, guard_results};
use crate::cli_options::OutputOptions;
use crate::console::Console;
use crate::program::locate;
use crate::signals::unless_told_to_stop;
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct GuardOptions {
    /// The agent's binary, with its symbols [default: lightship beside this program]
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// The Collector's binary (tests/collector/build.sh makes it); without it, it is left out
    #[arg(long, value_name = "FILE")]
    collector: Option<PathBuf>,
    /// Seconds of load in each run
    #[arg(long, default_value_t = 20, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(5..=600))]
    seconds: u64,
    /// How often each program runs
    #[arg(long, default_value_t = 3, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=50))]
    rounds: u64,
    #[command(flatten)]
    output: OutputOptions,
}

#[derive(Debug, Args)]
pub(crate) struct FalsePositiveOptions {
    /// The agent's binary [default: lightship beside this program]
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// A directory with log files, `*.log` at any depth (tests/corpus/fetch.sh fetches one); without it, it is left out
    #[arg(long, value_name = "DIRECTORY")]
    corpus: Option<PathBuf>,
    /// Where the corpus is from, for the report
    #[arg(long, value_name = "NAME")]
    corpus_name: Option<String>,
    /// Lines and spans of the vessel together
    #[arg(long, default_value_t = 2_200_000, value_name = "COUNT")]
    records: u64,
    #[command(flatten)]
    output: OutputOptions,
}

/// What masking costs.
pub(crate) async fn guard_command(options: GuardOptions) -> Result<ExitCode> {
    let console = Console::new();
    let args = GuardArgs {
        agent: locate(options.agent.as_deref(), "lightship")?,
        collector: options.collector.as_deref().map(|path| locate(Some(path), "the Collector")).transpose()?,
        seconds: options.seconds,
        rounds: usize::try_from(options.rounds)?,
    };
    let Some(results) = unless_told_to_stop(guard_results(&args, console)).await? else {
        return Ok(ExitCode::SUCCESS);
    };
    options.output.write(&serde_json::to_value(&results)?)?;
    Ok(ended(&results.faults, console))
}

/// What masking takes for a value that is none.
pub(crate) fn false_positives_command(options: FalsePositiveOptions) -> Result<ExitCode> {
    let console = Console::new();
    let args = FalsePositiveArgs {
        agent: locate(options.agent.as_deref(), "lightship")?,
        corpus: options.corpus,
        corpus_name: options.corpus_name,
        records: options.records,
    };
    let results = false_positives(&args, console)?;
    options.output.write(&serde_json::to_value(&results)?)?;
    Ok(ended(&results.faults, console))
}

fn ended(faults: &[String], console: Console) -> ExitCode {
    faults.iter().for_each(|fault| console.bad(fault));
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
