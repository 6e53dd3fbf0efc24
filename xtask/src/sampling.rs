//! `cargo xtask sampling`: the goldens of sampling through the agent as it ships, then fidelity under load within little
//! memory.

use crate::build::{Programs, programs};
use crate::tools::{root, run};
use anyhow::Result;
use std::process::Command;

/// (spans a second, MiB, seconds); ten minutes each stand in docs/results.
const LOADS: [(&str, &str, &str); 2] = [("2500", "12", "60"), ("10000", "24", "30")];

/// Replays `tests/sampling` and drills.
pub(crate) fn task() -> Result<()> {
    let programs = programs()?;
    let lab = || -> Result<Command> {
        let mut lab = Command::new(&programs.lab);
        lab.current_dir(root()?);
        Ok(lab)
    };
    run(lab()?.args(["replay", "tests/sampling", "--agent"]).arg(&programs.agent))?;
    LOADS.iter().try_for_each(|load| fidelity(lab()?, &programs, load))
}

fn fidelity(mut lab: Command, programs: &Programs, (spans, memory, seconds): &(&str, &str, &str)) -> Result<()> {
    lab.args(["drill", "fidelity", "--spans-per-second", spans, "--memory", memory, "--seconds", seconds]);
    run(lab.arg("--agent").arg(&programs.agent).arg("--hub").arg(&programs.hub))
}
