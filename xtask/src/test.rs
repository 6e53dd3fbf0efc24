//! `cargo xtask test`: every test that needs no running demonstration.

use crate::report::Report;
use crate::tools::{cargo, have, root, run};
use crate::ui;
use anyhow::Result;
use std::process::Command;

/// The examples that docs/extending.md leads to, by their package.
const EXAMPLES: [(&str, &str); 3] = [("pipeline", "toy_source"), ("sampling", "toy_policy"), ("drain", "toy_sink")];

/// Runs every test.
pub(crate) fn run_all() -> Result<()> {
    let root = root()?;
    let mut report = Report::new("test");
    report.step("workspace", || run(cargo()?.args(["test", "--locked", "--workspace"])));

    for (package, example) in EXAMPLES {
        report.step(&format!("example {example}"), || {
            run(cargo()?.args(["run", "--locked", "--quiet", "--package", package, "--example", example]))
        });
    }

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
