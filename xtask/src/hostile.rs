//! `cargo xtask hostile`: attacks on every port of both programs at once, beside an honest producer that must lose nothing
//! (tests/hostile/run.py).

use crate::tools::{commit, root, run};
use crate::{build, dist, sdk};
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::process::Command;

/// Builds the hub, and the agent as it ships, since its memory is judged (a dynamic one maps 2 MB of libraries), and runs the drill:
/// `--seconds S` (60), `--report FILE` for what came out.
pub(crate) fn task(options: &[String]) -> Result<()> {
    let (mut seconds, mut report) = ("60", None);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match (option.as_str(), options.next()) {
            ("--seconds", Some(value)) => seconds = value,
            ("--report", Some(file)) => report = Some(PathBuf::from(file)),
            _ => bail!("the options are --seconds S and --report FILE"),
        }
    }
    let python = sdk::environment("sdk")?;
    let programs = build::programs()?;
    let mut drill = Command::new(python);
    drill.current_dir(root()?).args(["tests/hostile/run.py", "--seconds", seconds, "--commit", &commit()?]);
    if let Some(file) = report {
        drill.arg("--report").arg(file);
    }
    run(drill.arg("--agent").arg(dist::agent()?).arg("--hub").arg(&programs.hub))
}
