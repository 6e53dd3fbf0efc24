//! Building the three programs as they ship, and running the demonstration with them.

use crate::tools::{cargo, root, run, target_dir};
use crate::ui;
use anyhow::{Context, Result};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// Where the programs are after a build.
pub(crate) struct Programs {
    /// `lightship`, as it ships to devices.
    pub(crate) agent: PathBuf,
    /// `lightship-hub`.
    pub(crate) hub: PathBuf,
    /// `lightship-lab`.
    pub(crate) lab: PathBuf,
}

/// Builds the web page when it is stale, the agent as it ships to devices, the hub and the lab.
pub(crate) fn programs() -> Result<Programs> {
    ui::build_if_possible()?;
    run(cargo()?.args(["build", "--locked", "--profile", "device", "--package", "lightship"]))?;
    run(cargo()?.args(["build", "--locked", "--release", "--package", "lightship-hub", "--package", "lightship-lab"]))?;
    let target = target_dir()?;
    Ok(Programs {
        agent: target.join("device/lightship"),
        hub: target.join("release/lightship-hub"),
        lab: target.join("release/lightship-lab"),
    })
}

/// `cargo xtask demo`: builds the programs and runs the lab's demonstration; its options are passed on.
pub(crate) fn demo(options: &[String]) -> Result<()> {
    let programs = programs()?;
    let mut lab = Command::new(&programs.lab);
    lab.current_dir(root()?).arg("demo");
    lab.arg("--agent").arg(&programs.agent).arg("--hub").arg(&programs.hub).args(options);
    // In place of this program, so that Ctrl-C reaches the lab alone and it ends in order.
    Err(lab.exec()).with_context(|| format!("cannot start {}", programs.lab.display()))
}
