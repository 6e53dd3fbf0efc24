//! `cargo xtask drain`: what destinations may do to each other, which is nothing (tests/drain/run.py).

use crate::tools::{commit, root, run};
use crate::{build, sdk};
use anyhow::{Result, bail};
use std::process::Command;

/// Every wrong answer at once, dead destinations, a flapping link: `--minutes M` (1) for the last one, `--report FILE`.
pub(crate) fn task(options: &[String]) -> Result<()> {
    let (mut minutes, mut report) = ("1", None);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match (option.as_str(), options.next()) {
            ("--minutes", Some(value)) => minutes = value,
            ("--report", Some(file)) => report = Some(file),
            _ => bail!("the options are --minutes M and --report FILE"),
        }
    }
    let python = sdk::environment("sdk")?;
    let programs = build::programs()?;
    let mut drill = Command::new(python);
    drill.current_dir(root()?).args(["tests/drain/run.py", "--minutes", minutes, "--commit", &commit()?]);
    if let Some(file) = report {
        drill.args(["--report", file]);
    }
    run(drill.arg("--agent").arg(&programs.agent))
}
