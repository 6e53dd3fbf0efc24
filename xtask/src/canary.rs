//! `cargo xtask canary`: values that must not get anywhere, planted into every field, through the real agent; and the same with a guard
//! that passes over one field, which the search must tell.

use crate::tools::{cargo, run};
use anyhow::Result;

/// Runs the test with the switch for faults in the agent.
pub(crate) fn task() -> Result<()> {
    let test = ["test", "--locked", "--package", "lightship", "--features", "mutants", "--test", "canary"];
    run(cargo()?.args(test))
}
