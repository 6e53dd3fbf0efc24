//! `cargo xtask disk`: a small file system, mounted in a namespace of the drill's own, is filled by someone else under load.

use crate::build::programs;
use crate::report::Report;
use crate::tools::{root, run};
use anyhow::{Result, bail};
use std::process::{Command, Stdio};

/// Before a program that may mount file systems which nobody else sees.
const APART: [&str; 3] = ["unshare", "--map-root-user", "--mount"];

/// Runs the drill; `--results` writes what comes out into docs/results.
pub(crate) fn task(options: &[String]) -> Result<()> {
    let results = match options {
        [] => false,
        [option] if option == "--results" => true,
        _ => bail!("the only option is --results"),
    };
    let mut report = Report::new("disk");
    let apart = || {
        let mut command = Command::new(APART[0]);
        command.args(&APART[1..]);
        command
    };
    let probe = apart().arg("true").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !probe.is_ok_and(|status| status.success()) {
        report.skip("a full disk", "this machine allows no mount namespaces (unshare --map-root-user --mount)");
        return report.finish();
    }
    let programs = programs()?;
    report.step("a full disk", || {
        let mut drill = apart();
        drill.current_dir(root()?).arg(&programs.lab).args(["drill", "disk"]);
        drill.arg("--agent").arg(&programs.agent).arg("--hub").arg(&programs.hub);
        if results {
            drill.arg("--output").arg(root()?.join("docs/results/disk.json"));
        }
        run(&mut drill)
    });
    report.finish()
}
