//! `cargo xtask mutants`: programs that are broken on purpose must fail the run that is there for their fault, and fail it in
//! the field that is there for it. A run that lets one through proves nothing.

use crate::build::{self, Programs};
use crate::report::Report;
use crate::tools::{cargo, root, run, target_dir};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A fault, the lab's command that must notice it, and the place in its outcome that must show it.
struct Mutant {
    /// The value of `LIGHTSHIP_MUTANT`.
    name: &'static str,
    command: &'static [&'static str],
    /// A JSON pointer.
    field: &'static str,
}

const SMOKE: &[&str] = &["demo", "--smoke"];
const KILL: &[&str] = &["drill", "kill", "--kills", "5", "--json"];

const MUTANTS: [Mutant; 4] = [
    // The agent forgets one frame of kept traces between journal and hub.
    Mutant { name: "drop-frame", command: SMOKE, field: "/lost" },
    // The agent delivers one log line of a trace that it dropped.
    Mutant { name: "orphan-line", command: SMOKE, field: "/orphan_logs" },
    // The hub stores one frame twice.
    Mutant { name: "store-twice", command: SMOKE, field: "/duplicates" },
    // The agent answers before a request is recorded.
    Mutant { name: "answer-early", command: KILL, field: "/verdict/acknowledged_and_lost" },
];

/// Builds agent and hub with their switch for faults, and runs each mutant.
pub(crate) fn task() -> Result<()> {
    let programs = build()?;
    let mut report = Report::new("mutants");
    for mutant in &MUTANTS {
        report.step(mutant.name, || judge(mutant, &programs));
    }
    report.finish()
}

/// The programs with the feature `mutants`, copied aside so that the next build does not take their place.
fn build() -> Result<Programs> {
    let lab = build::programs()?.lab;
    let aside = target_dir()?.join("mutants");
    fs::create_dir_all(&aside).with_context(|| format!("cannot create {}", aside.display()))?;
    let with_switch = |package: &str| -> Result<PathBuf> {
        run(cargo()?.args(["build", "--locked", "--release", "--package", package, "--features", "mutants"]))?;
        let copy = aside.join(package);
        let built = target_dir()?.join("release").join(package);
        fs::copy(&built, &copy).with_context(|| format!("cannot copy {}", built.display()))?;
        Ok(copy)
    };
    Ok(Programs { agent: with_switch("lightship")?, hub: with_switch("lightship-hub")?, lab })
}

fn judge(mutant: &Mutant, programs: &Programs) -> Result<()> {
    // The lab leaves the files of a run that failed, and these are to fail: only the last ones stay.
    let files = target_dir()?.join("mutants/files");
    if files.is_dir() {
        fs::remove_dir_all(&files).with_context(|| format!("cannot remove {}", files.display()))?;
    }
    fs::create_dir_all(&files).with_context(|| format!("cannot create {}", files.display()))?;
    let output = Command::new(&programs.lab)
        .current_dir(root()?)
        .args(mutant.command)
        .arg("--agent")
        .arg(&programs.agent)
        .arg("--hub")
        .arg(&programs.hub)
        .env("LIGHTSHIP_MUTANT", mutant.name)
        .env("TMPDIR", &files)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start the lab")?;
    if output.status.success() {
        bail!("`{}` passed with the fault {} in it", mutant.command.join(" "), mutant.name);
    }
    let outcome: Value = serde_json::from_slice(&output.stdout).with_context(|| {
        format!("`{}` broke instead of judging the fault {}", mutant.command.join(" "), mutant.name)
    })?;
    let value = outcome.pointer(mutant.field).and_then(Value::as_u64);
    let value = value.with_context(|| format!("the outcome has no {}", mutant.field))?;
    if value == 0 {
        bail!("the run failed, but not by {}: {}", mutant.field, outcome["faults"]);
    }
    eprintln!("{}: seen, {} is {value}", mutant.name, mutant.field);
    Ok(())
}
