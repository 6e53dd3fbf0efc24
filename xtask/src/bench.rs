//! `cargo xtask bench NAME`: a benchmark, with the programs as they ship.

use crate::build;
use crate::dist;
use crate::tools::{cargo, root, run, target_dir};
use anyhow::{Result, bail};
use std::process::Command;

/// Builds what the benchmark needs and runs it; further options are passed on.
pub(crate) fn task(options: &[String]) -> Result<()> {
    let Some((name, options)) = options.split_first() else { bail!("usage: cargo xtask bench NAME [OPTIONS]") };
    if name == "journal" {
        run(cargo()?.args(["build", "--locked", "--release", "--package", "lightship-bench"]))?;
        let mut bench = Command::new(target_dir()?.join("release/lightship-bench"));
        return run(bench.current_dir(root()?).arg(name).args(options));
    }
    let programs = build::programs()?;
    let mut lab = Command::new(&programs.lab);
    lab.current_dir(root()?).args(["bench", name]);
    if ["footprint", "outage"].contains(&name.as_str()) {
        lab.arg("--agent").arg(dist::agent()?);
    }
    if name == "footprint" {
        lab.arg("--hub").arg(&programs.hub);
    }
    run(lab.args(options))
}
