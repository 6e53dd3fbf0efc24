//! `cargo xtask kill`: the agent as it ships is killed again and again under load, with every trace kept, with sampling, and
//! with answers that promise nothing over a kill.

use crate::build::{Programs, programs};
use crate::report::Report;
use crate::tools::{root, run};
use anyhow::{Result, bail};
use std::process::Command;

/// (mode, name of its results).
const MODES: [(&str, &str); 3] =
    [("always-sample", "kill-always"), ("sampling", "kill-sampling"), ("received", "kill-received")];

/// Runs the drill in all modes: `--kills N`, and `--results` to write what comes out into docs/results.
pub(crate) fn task(options: &[String]) -> Result<()> {
    let (mut kills, mut results) = ("200", false);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match (option.as_str(), options.as_slice().first()) {
            ("--kills", Some(count)) => {
                kills = count;
                options.next();
            }
            ("--results", _) => results = true,
            _ => bail!("{option}: the options are --kills N and --results"),
        }
    }
    let programs = programs()?;
    let mut report = Report::new("kill");
    for (mode, name) in MODES {
        report.step(mode, || drill(mode, kills, results.then_some(name), &programs));
    }
    report.finish()
}

fn drill(mode: &str, kills: &str, results: Option<&str>, programs: &Programs) -> Result<()> {
    let mut lab = Command::new(&programs.lab);
    lab.current_dir(root()?).args(["drill", "kill", "--mode", mode, "--kills", kills]);
    lab.arg("--agent").arg(&programs.agent).arg("--hub").arg(&programs.hub);
    if let Some(name) = results {
        lab.arg("--output").arg(root()?.join(format!("docs/results/{name}.json")));
    }
    run(&mut lab)
}
