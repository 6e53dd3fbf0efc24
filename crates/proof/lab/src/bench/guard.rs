//! `bench guard`: what masking costs a clean record, in instructions and allocations of the whole guard, and beside the Collector's
//! `redaction` processor in CPU seconds.

use crate::bench::cost::{CostArgs, cost};
use crate::bench::cpu::{CpuArgs, MaskingCost, masking};
use crate::bench::host::{Host, commit};
use crate::console::Console;
use anyhow::{Context, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct GuardArgs {
    /// The agent as it ships, with its symbols.
    pub(crate) agent: PathBuf,
    /// The Collector; without it, only instructions are counted.
    pub(crate) collector: Option<PathBuf>,
    /// Seconds of load in each run, and how often each program runs.
    pub(crate) seconds: u64,
    pub(crate) rounds: usize,
}

/// Scenarios of `bench cost`, and the most instructions of the guard for each of their records. The goal of a line of logfmt is 1,500 too: it
/// is not held (docs/masking.md), and may not move further away.
const GOALS: [(&str, f64); 3] = [("http-100", 1_200.0), ("logs-100", 1_500.0), ("pairs-100", 3_700.0)];
/// So many allocations a record are none: those of the start, shared by all.
const NO_ALLOCATION: f64 = 0.005;

/// What the guard costs a record of one kind.
#[derive(Debug, Serialize)]
struct Clean {
    what: String,
    bytes_per_record: f64,
    instructions: f64,
    most_instructions: f64,
    allocations: f64,
}

/// The outcome, as printed.
#[derive(Debug, Serialize)]
pub(crate) struct GuardResults {
    commit: Option<String>,
    host: Host,
    clean: BTreeMap<String, Clean>,
    beside: Option<MaskingCost>,
    /// What does not hold.
    pub(crate) faults: Vec<String>,
}

/// Runs it; `None` without valgrind.
pub(crate) async fn guard_results(args: &GuardArgs, console: Console) -> Result<Option<GuardResults>> {
    const NAMES: &[&str] = &[GOALS[0].0, GOALS[1].0, GOALS[2].0];
    let counted = CostArgs { agent: args.agent.clone(), copies: false, profiles: None, only: NAMES };
    let Some(costs) = cost(&counted, console).await? else { return Ok(None) };
    let (mut clean, mut faults) = (BTreeMap::new(), Vec::new());
    for (name, most_instructions) in GOALS {
        let scenario = costs.scenarios.get(name).with_context(|| format!("{name} was not measured"))?;
        let guard = scenario.stages.get("guard").copied().unwrap_or_default();
        if guard.instructions > most_instructions {
            faults.push(format!("{name}: {:.0} instructions a record, above {most_instructions}", guard.instructions));
        }
        if guard.allocations > NO_ALLOCATION {
            faults.push(format!("{name}: {:.2} allocations a record", guard.allocations));
        }
        let one = Clean {
            what: scenario.what.clone(),
            bytes_per_record: scenario.bytes_per_record,
            instructions: guard.instructions,
            most_instructions,
            allocations: guard.allocations,
        };
        clean.insert(name.to_owned(), one);
    }
    let beside = match &args.collector {
        Some(collector) => {
            let (agent, collector) = (args.agent.clone(), collector.clone());
            let (seconds, rounds) = (args.seconds, args.rounds);
            Some(masking(&CpuArgs { agent, collector, fluent_bit: None, seconds, rounds }, console).await?)
        }
        None => {
            eprintln!("SKIPPED the Collector: name it with --collector FILE");
            None
        }
    };
    Ok(Some(GuardResults { commit: commit(), host: Host::this(), clean, beside, faults }))
}
