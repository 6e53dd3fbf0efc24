//! `cargo xtask bench NAME`: a benchmark, with the programs as they ship.

use crate::build;
use crate::cost;
use crate::dist;
use crate::masking;
use crate::tools::{cargo, root, run};
use anyhow::{Result, bail};
use std::process::Command;

/// Builds what the benchmark needs and runs it; further options are passed on.
pub(crate) fn task(options: &[String]) -> Result<()> {
    let Some((name, options)) = options.split_first() else { bail!("usage: cargo xtask bench NAME [OPTIONS]") };
    match name.as_str() {
        "cost" => return cost::cost(options),
        "cpu" => return cost::cpu(options),
        "guard" => return masking::guard(options),
        "false-positives" => return masking::false_positives(options),
        _ => {}
    }
    let programs = build::programs()?;
    if name == "journal" {
        run(cargo()?.args(["build", "--locked", "--release", "--package", "lightship-bench"]))?;
    }
    let mut lab = Command::new(&programs.lab);
    lab.current_dir(root()?).args(["bench", name]);
    if ["footprint", "outage"].contains(&name.as_str()) {
        lab.arg("--agent").arg(dist::agent()?);
    }
    // Without a hub, the lab delivers to an OTLP endpoint of its own.
    let (otlp, options): (Vec<&String>, Vec<&String>) =
        options.iter().partition(|option| name == "footprint" && *option == "--otlp");
    if name == "footprint" && otlp.is_empty() {
        lab.arg("--hub").arg(&programs.hub);
    }
    if name == "journal" {
        // The rest is for the program that the lab starts.
        lab.arg("--");
    }
    run(lab.args(options))
}
