//! `cargo xtask test`: every test that needs no running demonstration.

use crate::report::Report;
use crate::tools::{cargo, have, root, run};
use crate::ui;
use anyhow::Result;
use std::process::Command;

/// Runs every test.
pub(crate) fn run_all() -> Result<()> {
    let root = root()?;
    let mut report = Report::new("test");
    report.step("workspace", || run(cargo()?.args(["test", "--locked", "--workspace"])));

    if have("npm") {
        report.step("web page", || {
            ui::install()?;
            run(Command::new("npm").current_dir(root.join("ui")).arg("test"))
        });
    } else {
        report.skip("web page", "npm is not installed (Node 20 or newer)");
    }

    if have("python3") {
        report.step("golden vectors in Python", || {
            let script = ["tests/python/lightship_frame.py", "check", "tests/golden"];
            run(Command::new("python3").current_dir(&root).args(script))
        });
    } else {
        report.skip("golden vectors in Python", "python3 is not installed");
    }
    report.finish()
}
