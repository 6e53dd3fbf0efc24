//! `cargo xtask interop`: two hours of a vessel behind a link that is down, to real backends at once (tests/interop/run.py).

use crate::tools::{commit, root, run};
use crate::{build, sdk};
use anyhow::{Result, bail};
use std::process::Command;

/// Runs the drill with the backends that are built: `--hours H` (2), `--build` to build the others first, `--write` for the report and
/// docs/backends.md.
pub(crate) fn task(options: &[String]) -> Result<()> {
    let (mut hours, mut builds, mut writes) = ("2", false, false);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match option.as_str() {
            "--build" => builds = true,
            "--write" => writes = true,
            "--hours" => match options.next() {
                Some(value) => hours = value,
                None => bail!("--hours H"),
            },
            _ => bail!("the options are --hours H, --build and --write"),
        }
    }
    let programs = build::programs()?;
    let collector = root()?.join("target/collector/out/otelcol-peer");
    let mut drill = Command::new(sdk::environment("sdk")?);
    drill.current_dir(root()?).args(["tests/interop/run.py", "--hours", hours, "--commit", &commit()?]);
    match collector.is_file() {
        true => _ = drill.arg("--collector").arg(collector),
        false => {
            eprintln!("SKIPPED the Collector beside it: it is not built (tests/collector/build.sh; ten minutes, once)");
        }
    }
    if builds {
        drill.arg("--build");
    }
    if writes {
        drill.args(["--report", "docs/results/interop.json", "--page", "docs/backends.md"]);
    }
    run(drill.arg("--agent").arg(&programs.agent))
}
