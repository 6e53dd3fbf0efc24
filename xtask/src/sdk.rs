//! `cargo xtask sdk`: an OpenTelemetry SDK that nobody here wrote, against the real agent and hub.

use crate::tools::{cargo, root, run, target_dir};
use anyhow::{Context, Result};
use std::fs;
use std::process::Command;

/// Builds the programs, installs the SDK by its pinned versions into an environment of its own, and runs the test.
pub(crate) fn task() -> Result<()> {
    run(cargo()?.args(["build", "--locked", "--package", "lightship", "--package", "lightship-hub"]))?;
    let (root, target) = (root()?, target_dir()?);
    let (wanted, environment) = (root.join("tests/sdk/requirements.txt"), target.join("sdk-python"));
    let python = environment.join("bin/python");
    let installed = environment.join("requirements.txt");
    let versions = fs::read_to_string(&wanted).with_context(|| format!("cannot read {}", wanted.display()))?;
    if fs::read_to_string(&installed).ok().as_ref() != Some(&versions) {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
        run(Command::new(&python).args(pip).arg(&wanted))?;
        fs::write(&installed, versions).with_context(|| format!("cannot write {}", installed.display()))?;
    }
    let mut test = Command::new(&python);
    test.current_dir(&root).arg("tests/sdk/run.py");
    run(test.arg("--agent").arg(target.join("debug/lightship")).arg("--hub").arg(target.join("debug/lightship-hub")))
}
