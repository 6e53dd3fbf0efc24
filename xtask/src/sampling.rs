//! `cargo xtask sampling`: the goldens of sampling through the agent as it ships.

use crate::build::programs;
use crate::tools::{root, run};
use anyhow::Result;
use std::process::Command;

/// Replays `tests/sampling`.
pub(crate) fn task() -> Result<()> {
    let programs = programs()?;
    run(Command::new(&programs.lab)
        .current_dir(root()?)
        .args(["replay", "tests/sampling", "--agent"])
        .arg(&programs.agent))
}
