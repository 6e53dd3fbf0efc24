//! `cargo xtask sdk`: an OpenTelemetry SDK that nobody here wrote sends to the agent, and everything is looked for in the
//! hub. The SDK is Python's, in the versions that tests/sdk/requirements.txt pins, in an environment of its own.

use crate::build;
use crate::tools::{have, root, run, target_dir};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Builds the programs and runs the test.
pub(crate) fn task() -> Result<()> {
    let programs = build::programs()?;
    let python = environment("sdk")?;
    let mut test = Command::new(python);
    test.current_dir(root()?).arg("tests/sdk/run.py");
    run(test.arg("--agent").arg(&programs.agent).arg("--hub").arg(&programs.hub))
}

/// The interpreter of an environment with exactly the packages that `tests/NAME/requirements.txt` pins; made anew when they change.
pub(crate) fn environment(name: &str) -> Result<PathBuf> {
    if !have("python3") {
        bail!("python3 is not installed");
    }
    let pinned = root()?.join(format!("tests/{name}/requirements.txt"));
    let wanted = fs::read_to_string(&pinned).with_context(|| format!("cannot read {}", pinned.display()))?;
    let environment = target_dir()?.join(format!("{name}-python"));
    let python = environment.join("bin/python");
    let installed = environment.join("installed-requirements.txt");
    if fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--requirement"];
    run(Command::new(&python).args(pip).arg(&pinned))?;
    fs::write(&installed, wanted).with_context(|| format!("cannot write {}", installed.display()))?;
    Ok(python)
}
