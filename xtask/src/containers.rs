//! `cargo xtask test-containers`: the images of the last `cargo xtask dist` under podman (tests/containers/run.py).

use crate::tools::{have, root, run, target_dir};
use anyhow::{Result, bail};
use lexopt::prelude::Long;
use std::path::PathBuf;
use std::process::Command;

/// Runs the test.
pub(crate) fn task(options: &[String]) -> Result<()> {
    let mut images = target_dir()?.join("dist");
    let mut parser = lexopt::Parser::from_args(options);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("images") => images = PathBuf::from(parser.value()?),
            other => bail!("{}; see cargo xtask help", other.unexpected()),
        }
    }
    if !have("python3") {
        eprintln!("test-containers: SKIPPED, nothing was run: python3 is not installed");
        return Ok(());
    }
    run(Command::new("python3").arg(root()?.join("tests/containers/run.py")).arg("--images").arg(images))
}
