//! `cargo xtask clients`: SDKs that nobody here wrote, in Python, JavaScript, Go and Java, send to the agent all at once, and
//! every field of every record is compared with what was sent (tests/clients/run.py). Each is pinned by its own lock file.

use crate::tools::{have, output, root, run, target_dir};
use crate::{build, sdk, ui};
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::process::Command;

/// Builds the programs and the clients, and runs the drill: `--long SECONDS` for the span that lasts so long (60).
pub(crate) fn task(options: &[String]) -> Result<()> {
    let (long, only) = match options {
        [] => ("60", None),
        [option, seconds] if option == "--long" => (seconds.as_str(), None),
        [option, name] if option == "--only" => ("60", Some(name)),
        _ => bail!("the options are --long SECONDS or --only NAME"),
    };
    let python = sdk::environment("sdk")?;
    let mut drill = Command::new(python);
    drill.current_dir(root()?).args(["tests/clients/run.py", "--long", long]);
    if let Some(name) = only {
        drill.args(["--only", name]);
    }
    if have("npm") {
        let node = root()?.join("tests/clients/node");
        ui::install_in(&node)?;
        drill.arg("--node").arg(node);
    }
    if let Some(program) = go()? {
        drill.arg("--go").arg(program);
    }
    if let Some(classes) = java()? {
        drill.arg("--java").arg(classes);
    }
    let programs = build::programs()?;
    run(drill.arg("--agent").arg(&programs.agent).arg("--hub").arg(&programs.hub))
}

/// The Go client, where there is a toolchain.
fn go() -> Result<Option<PathBuf>> {
    if output(Command::new("go").arg("version")).is_err() {
        return Ok(None);
    }
    let program = target_dir()?.join("clients/go-client");
    let mut build = Command::new("go");
    build.current_dir(root()?.join("tests/clients/go")).args(["build", "-trimpath", "-o"]);
    run(build.arg(&program).arg("."))?;
    Ok(Some(program))
}

/// The directory of the Java client and its libraries, where there is Maven.
fn java() -> Result<Option<PathBuf>> {
    if !have("mvn") {
        return Ok(None);
    }
    let classes = target_dir()?.join("clients/java");
    let mut build = Command::new("mvn");
    build.current_dir(root()?.join("tests/clients/java")).args(["--quiet", "--batch-mode"]);
    run(build.arg(format!("-Dclients.target={}", classes.display())).arg("package"))?;
    Ok(Some(classes))
}
