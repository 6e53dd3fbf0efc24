//! `cargo xtask kill`: the agent as it ships is killed again and again under load, with every trace kept, with sampling, and
//! with answers that promise nothing over a kill.

use crate::build::{Programs, programs};
use crate::report::Report;
use crate::tools::{root, run};
use anyhow::{Result, bail};
use std::process::Command;

/// (mode, name of its figures).
const MODES: [(&str, &str); 3] =
    [("always-sample", "kill-always"), ("sampling", "kill-sampling"), ("received", "kill-received")];

/// Runs the drill in all modes: `--kills N`, and `--figures` to write what comes out into docs/figures.
pub(crate) fn task(options: &[String]) -> Result<()> {
    let (mut kills, mut figures) = ("200", false);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match (option.as_str(), options.as_slice().first()) {
            ("--kills", Some(count)) => {
                kills = count;
                options.next();
            }
            ("--figures", _) => figures = true,
            _ => bail!("{option}: the options are --kills N and --figures"),
        }
    }
    let programs = programs()?;
    let mut report = Report::new("kill");
    for (mode, name) in MODES {
        report.step(mode, || drill(mode, kills, figures.then_some(name), &programs));
    }
    report.finish()
}

fn drill(mode: &str, kills: &str, figures: Option<&str>, programs: &Programs) -> Result<()> {
    let mut lab = Command::new(&programs.lab);
    lab.current_dir(root()?).args(["drill", "kill", "--mode", mode, "--kills", kills]);
    lab.arg("--agent").arg(&programs.agent).arg("--hub").arg(&programs.hub);
    if let Some(name) = figures {
        lab.arg("--output").arg(root()?.join(format!("docs/figures/{name}.json")));
    }
    run(&mut lab)
}
