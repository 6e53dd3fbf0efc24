//! `journal`: every engine at every kind of work, one after the other, and how the journal stands to each of the others.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::engines::Name;
use crate::work::{Load, Phase, Results};

/// What is asked for.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where the engines keep their files: on the disk that is to be measured [default: the temporary directory]
    #[arg(long)]
    directory: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Also write the JSON to this file
    #[arg(long)]
    output: Option<PathBuf>,
    /// The commit that is measured, for the report; the lab tells it
    #[arg(long)]
    commit: Option<String>,
    /// How often everything runs; results are medians
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    repeats: u32,
    #[command(flatten)]
    load: Load,
}

#[derive(Debug, Serialize)]
struct Report {
    commit: Option<String>,
    load: Load,
    repeats: u32,
    /// What the work is, and what it costs besides.
    notes: &'static str,
    runs: Vec<Run>,
}

#[derive(Debug, Serialize)]
struct Run {
    engine: Name,
    phase: Phase,
    #[serde(flatten)]
    results: Results,
    /// The engine's seconds by the journal's, run one after the other: the median, the least and the most of all
    /// repeats. Above 1, the journal is faster.
    seconds_to_journal: [f64; 3],
}

/// The journal first: the others are held against it.
const ENGINES: [Name; 4] = [Name::Journal, Name::Fjall, Name::Redb, Name::Sqlite];

const NOTES: &str = "every commit is durable before the next one; confirmations need not be. All engines store blocks of the \
same frames with the same compression; the journal makes them itself, with a digest, an index and a checksum for each. \
written_bytes is what the kernel counts for the process, file system metadata not included";

/// Runs everything.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut runs: Vec<Run> = Vec::new();
    for phase in [Phase::Steady, Phase::Outage] {
        let mut all: Vec<Vec<Results>> = Vec::new();
        for repeat in 1..=options.repeats {
            eprintln!("{}, {repeat} of {}", name(&phase)?, options.repeats);
            all.push(ENGINES.iter().map(|engine| child(*engine, phase, options)).collect::<Result<_>>()?);
        }
        for (at, engine) in ENGINES.into_iter().enumerate() {
            let of_engine = || all.iter().filter_map(|repeat| Some((repeat.first()?, repeat.get(at)?)));
            let mut ratios: Vec<f64> =
                of_engine().map(|(journal, results)| results.seconds / journal.seconds).collect();
            ratios.sort_by(f64::total_cmp);
            let mut results: Vec<&Results> = of_engine().map(|(_, results)| results).collect();
            results.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
            let (Some(least), Some(most)) = (ratios.first(), ratios.last()) else { bail!("nothing was run") };
            let seconds_to_journal = [ratios[ratios.len() / 2], *least, *most];
            runs.push(Run { engine, phase, seconds_to_journal, results: results[results.len() / 2].clone() });
        }
    }
    let (load, repeats) = (options.load, options.repeats);
    let report = Report { commit: options.commit.clone(), load, repeats, notes: NOTES, runs };
    let json = serde_json::to_string_pretty(&report)?;
    if let Some(path) = &options.output {
        std::fs::write(path, format!("{json}\n")).with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("{}", if options.json { json } else { table(&report)? });
    Ok(())
}

fn name(value: &impl ValueEnum) -> Result<String> {
    Ok(value.to_possible_value().context("a value without a name")?.get_name().to_owned())
}

fn child(engine: Name, phase: Phase, options: &Options) -> Result<Results> {
    let place = match &options.directory {
        Some(directory) => tempfile::tempdir_in(directory)?,
        None => tempfile::tempdir()?,
    };
    let load = options.load;
    let output = Command::new(std::env::current_exe()?)
        .args(["engine", &name(&engine)?, &name(&phase)?, "--directory"])
        .arg(place.path().join("data"))
        .args(["--commits", &load.commits.to_string(), "--frames", &load.frames.to_string()])
        .args(["--records", &load.records.to_string(), "--seed", &load.seed.to_string()])
        .output()?;
    if !output.status.success() {
        bail!("{engine:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn table(report: &Report) -> Result<String> {
    let mut out = format!(
        "{:<8} {:<8} {:>20} {:>12} {:>12} {:>14} {:>14}\n",
        "WORK", "ENGINE", "WRITTEN/DELIVERED", "RSS KiB", "ANON KiB", "DISK AFTER KiB", "TIME/JOURNAL"
    );
    for run in &report.runs {
        writeln!(
            out,
            "{:<8} {:<8} {:>20.2} {:>12} {:>12} {:>14} {:>14.2}",
            name(&run.phase)?,
            name(&run.engine)?,
            run.results.written_per_delivered,
            run.results.high_water_rss / 1024,
            run.results.anonymous_rss / 1024,
            run.results.disk_bytes_after / 1024,
            run.seconds_to_journal[0]
        )?;
    }
    Ok(out)
}
