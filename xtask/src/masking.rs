//! `cargo xtask bench guard` and `bench false-positives`: what masking costs, and what it takes for a value that is none.

use crate::cost::{agent_with_symbols, collector, lab};
use crate::tools::{have, root, run};
use anyhow::{Context, Result, bail};
use std::process::Command;

const GUARD: &str = "docs/results/guard.json";
const FALSE_POSITIVES: &str = "docs/results/false-positives.json";

/// Instructions and allocations of the guard, and its CPU beside the Collector's `redaction`. With `--write`, the results are committed;
/// further options are passed on.
pub(crate) fn guard(options: &[String]) -> Result<()> {
    let (write, options) = crate::cost::take_write(options);
    let agent = agent_with_symbols()?;
    let mut lab = lab()?;
    lab.args(["bench", "guard"]).arg("--agent").arg(agent);
    if have("go") {
        lab.arg("--collector").arg(collector()?);
    }
    if write {
        lab.args(["--output", GUARD]);
    }
    run(lab.args(options))
}

/// Two million clean lines and spans of the vessel, and a public corpus. With `--write`, the results are committed; further options are
/// passed on.
pub(crate) fn false_positives(options: &[String]) -> Result<()> {
    let (write, options) = crate::cost::take_write(options);
    let agent = agent_with_symbols()?;
    let mut lab = lab()?;
    lab.args(["bench", "false-positives"]).arg("--agent").arg(agent);
    if have("go") {
        let fetched = Command::new(root()?.join("tests/corpus/fetch.sh")).output().context("cannot start fetch.sh")?;
        if !fetched.status.success() {
            bail!("the corpus could not be fetched: {}", String::from_utf8_lossy(&fetched.stderr));
        }
        let told = String::from_utf8_lossy(&fetched.stdout).into_owned();
        let (name, directory) = told.trim_end().split_once('\n').context("fetch.sh told no directory")?;
        lab.args(["--corpus", directory, "--corpus-name", name]);
    }
    if write {
        lab.args(["--output", FALSE_POSITIVES]);
    }
    run(lab.args(options))
}
