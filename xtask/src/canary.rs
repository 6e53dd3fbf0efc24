//! `cargo xtask canary`: values that must not get anywhere, planted into every field, through the real agent and into a real hub; and the
//! same with a guard that passes over one field, which the search must tell.

use crate::tools::{cargo, run, target_dir};
use anyhow::Result;

/// Runs the test with the switch for faults in the agent.
pub(crate) fn task() -> Result<()> {
    run(cargo()?.args(["build", "--locked", "--package", "lightship-hub"]))?;
    let test = ["test", "--locked", "--package", "lightship", "--features", "mutants", "--test", "canary"];
    run(cargo()?.args(test).env("LIGHTSHIP_HUB", target_dir()?.join("debug/lightship-hub")))
}
