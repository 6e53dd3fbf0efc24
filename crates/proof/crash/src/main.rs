//! `lightship-crash`: the assembled edge on a disk that loses what was not synced, run after run, each from its seed.
//!
//! It stands apart from the lab, which shares no code with what it judges; `lightship-lab crash` starts it.

mod hub;
mod mutants;
mod plan;
mod report;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};
use clap::Parser;
use serde::Serialize;

use crate::mutants::{Mutant, choose};
use crate::report::Counts;
use crate::world::{Setting, World};

/// Steps of one run, before everything is settled.
const STEPS: u64 = 240;
/// Lines of a trace that are printed; the JSON report has all of them.
const TRACE: usize = 80;

/// Run the assembled edge on a model disk, with power cuts and every other fault, and check every promise.
#[derive(Debug, Parser)]
#[command(name = "lightship-crash", version, max_term_width = 100)]
struct Options {
    /// How many seeds to run
    #[arg(long, default_value_t = 3000)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Threads [default: one for each core]
    #[arg(long)]
    threads: Option<usize>,
    /// Break one thing on purpose; the run then succeeds when a violation is found
    #[arg(long, value_name = "NAME")]
    mutant: Option<String>,
    /// Break each thing in turn, and require that each is noticed within the number of seeds
    #[arg(long)]
    mutants: bool,
    /// Also write the report as JSON to this file
    #[arg(long)]
    output: Option<PathBuf>,
    /// The commit that is measured, for the report; the lab tells it
    #[arg(long)]
    commit: Option<String>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Serialize)]
struct Failure {
    seed: u64,
    why: String,
    steps: u64,
    trace: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Report {
    passed: bool,
    commit: Option<String>,
    seeds: u64,
    violations: u64,
    /// Sums over all seeds.
    counts: Counts,
    /// In how many seeds each happened.
    seeds_with: Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
}

#[derive(Debug, Serialize)]
struct MutantReport {
    name: &'static str,
    /// The first seed that noticed it.
    seed: Option<u64>,
    why: String,
}

fn run_one(setting: Setting, mutant: Option<Mutant>) -> (Result<(), String>, World) {
    choose(mutant);
    let mut world = World::new(setting);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.run()));
    choose(None);
    let outcome = outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panicked: {}", text.unwrap_or_default()))
    });
    (outcome, world)
}

/// Sums, in how many seeds, seeds, and the first that failed.
type Found = (Counts, Counts, u64, Option<(u64, String)>);

/// Runs seeds until one fails, or all.
fn run_all(options: &Options, mutant: Option<Mutant>, progress: bool) -> Report {
    let next = AtomicU64::new(options.from);
    let end = options.from + options.seeds;
    let found: Mutex<Found> = Mutex::default();
    let threads = options.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let (outcome, world) = run_one(Setting { seed, steps: STEPS, trace: false }, mutant);
                    let Ok(mut found) = found.lock() else { return };
                    found.0.add(world.counts);
                    found.1.add(world.counts.happened());
                    found.2 += 1;
                    if progress && found.2.is_multiple_of(5000) {
                        eprintln!("{} of {} seeds", found.2, options.seeds);
                    }
                    if let Err(why) = outcome {
                        let earlier = found.3.as_ref().is_some_and(|(other, _)| *other < seed);
                        if !earlier {
                            found.3 = Some((seed, why));
                        }
                        // The others end what they have begun.
                        next.store(end, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let (counts, seeds_with, seeds, failed) = found.into_inner().unwrap_or_default();
    let failure = failed.map(|(seed, why)| minimal(seed, why, mutant));
    Report {
        passed: failure.is_none(),
        commit: options.commit.clone(),
        seeds,
        violations: u64::from(failure.is_some()),
        counts,
        seeds_with,
        failure,
    }
}

/// The fewest steps after which a seed still fails, and what happened in them.
fn minimal(seed: u64, why: String, mutant: Option<Mutant>) -> Failure {
    let fails = |steps: u64| run_one(Setting { seed, steps, trace: false }, mutant).0.is_err();
    let mut steps = STEPS;
    let mut less = STEPS / 2;
    while less > 0 {
        while steps > less && fails(steps - less) {
            steps -= less;
        }
        less /= 2;
    }
    let (outcome, world) = run_one(Setting { seed, steps, trace: true }, mutant);
    Failure { seed, why: outcome.err().unwrap_or(why), steps, trace: world.log }
}

fn print(report: &Report) {
    println!("{} seeds, {} operations", report.seeds, report.counts.operations);
    if let (Ok(sums), Ok(seeds)) = (serde_json::to_value(report.counts), serde_json::to_value(report.seeds_with))
        && let (Some(sums), Some(seeds)) = (sums.as_object(), seeds.as_object())
    {
        for (name, sum) in sums.iter().filter(|(name, _)| *name != "operations") {
            let share = seeds[name].as_u64().unwrap_or(0) as f64 * 100.0 / report.seeds.max(1) as f64;
            println!("  {:<28} {sum:>10}, in {share:5.1} % of the seeds", name.replace('_', " "));
        }
    }
    if let Some(failure) = &report.failure {
        println!("the last of the {} steps of seed {}:", failure.steps, failure.seed);
        let skip = failure.trace.len().saturating_sub(TRACE);
        failure.trace.iter().skip(skip).for_each(|line| println!("  {line}"));
        println!("VIOLATION in seed {}: {}", failure.seed, failure.why);
    } else {
        println!("no violation");
    }
}

fn run_mutants(options: &Options) -> Result<bool> {
    let mut reports = Vec::new();
    for (mutant, name) in mutants::all() {
        let report = run_all(options, Some(mutant), false);
        let (seed, why) = report.failure.map_or((None, String::new()), |failure| (Some(failure.seed), failure.why));
        if !options.json {
            match seed {
                Some(seed) => println!("noticed  {name:<18} seed {seed}: {why}"),
                None => println!("MISSED   {name:<18} in {} seeds", report.seeds),
            }
        }
        reports.push(MutantReport { name, seed, why });
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&reports)?);
    }
    Ok(reports.iter().all(|report| report.seed.is_some()))
}

fn main_checked() -> Result<bool> {
    let options = Options::parse();
    // A violation that panics is reported like any other.
    std::panic::set_hook(Box::new(|_| ()));
    if options.mutants {
        return run_mutants(&options);
    }
    let mutant = match &options.mutant {
        None => None,
        Some(name) => {
            let found = mutants::all().find(|(_, known)| known == name);
            let names: Vec<&str> = mutants::all().map(|(_, name)| name).collect();
            Some(found.with_context(|| format!("no mutant {name:?}; there are {}", names.join(", ")))?.0)
        }
    };
    if options.seeds == 0 {
        bail!("--seeds 0 would check nothing");
    }
    let report = run_all(&options, mutant, !options.json);
    if let Some(path) = &options.output {
        let json = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, format!("{json}\n")).with_context(|| format!("cannot write {}", path.display()))?;
    }
    match options.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => print(&report),
    }
    Ok(report.passed != mutant.is_some())
}

fn main() -> ExitCode {
    match main_checked() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("lightship-crash: {error:#}");
            ExitCode::from(2)
        }
    }
}
