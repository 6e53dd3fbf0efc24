//! `lightship-bench`: benchmarks that link what they measure, beside the libraries that others would take for it. Each
//! engine runs in a process of its own, so that its memory is its own.

mod engines;
mod journal_bench;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::engines::Name;
use crate::work::{Load, Phase};

#[derive(Debug, Parser)]
#[command(version, about = "Benchmarks that link what they measure")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The journal next to fjall, redb and SQLite with its write-ahead log, at the same queue work
    Journal(journal_bench::Options),
    /// One engine at one kind of work, in this process; prints one JSON object
    #[command(hide = true)]
    Engine {
        name: Name,
        phase: Phase,
        #[arg(long)]
        directory: PathBuf,
        #[command(flatten)]
        load: Load,
    },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Journal(options) => journal_bench::run(&options),
        Command::Engine { name, phase, directory, load } => engine(name, phase, &directory, &load),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lightship-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn engine(name: Name, phase: Phase, directory: &std::path::Path, load: &Load) -> Result<()> {
    let results = engines::run(name, phase, directory, load)?;
    println!("{}", serde_json::to_string(&results)?);
    Ok(())
}
