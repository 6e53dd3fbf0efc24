//! `cargo xtask deploy`: what operators copy out of deploy/, read by systemd, by Kubernetes' schemas and by the programs
//! (tests/deploy/check.py).

use crate::tools::{root, run};
use crate::{build, sdk};
use anyhow::Result;
use std::process::Command;

/// Builds the programs and checks the files.
pub(crate) fn task() -> Result<()> {
    let programs = build::programs()?;
    let mut check = Command::new(sdk::environment("sdk")?);
    check.current_dir(root()?).arg("tests/deploy/check.py");
    run(check.arg("--agent").arg(&programs.agent).arg("--hub").arg(&programs.hub))
}
