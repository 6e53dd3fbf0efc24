//! `cargo xtask bench NAME`: a benchmark of the lab, with the programs as they ship.

use crate::build;
use crate::tools::{cargo, output, root, run, target_dir};
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::Command;

/// Builds what the benchmark needs and runs it; further options are passed on.
pub(crate) fn task(options: &[String]) -> Result<()> {
    let Some((name, options)) = options.split_first() else { bail!("usage: cargo xtask bench NAME [OPTIONS]") };
    let programs = build::programs()?;
    let mut lab = Command::new(&programs.lab);
    lab.current_dir(root()?).args(["bench", name]);
    if name == "footprint" {
        lab.arg("--agent").arg(static_agent()?).arg("--hub").arg(&programs.hub);
    }
    run(lab.args(options))
}

/// The agent as it ships, with the C library linked in.
fn static_agent() -> Result<PathBuf> {
    let version = output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let directory = target_dir()?.join("static");
    // Naming the target keeps the flag away from build scripts and procedural macros, which cannot be linked that way.
    run(cargo()?.env("RUSTFLAGS", "-Ctarget-feature=+crt-static").env("CARGO_TARGET_DIR", &directory).args([
        "build",
        "--locked",
        "--profile",
        "device",
        "--package",
        "lightship",
        "--target",
        host,
    ]))?;
    Ok(directory.join(host).join("device/lightship"))
}
