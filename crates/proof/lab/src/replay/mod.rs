//! `lightship-lab replay`: recorded and written requests through the real agent on a simulated clock, and the kept sets
//! against the expected ones, by id.

mod compare;
mod golden;
mod script;

pub(crate) use compare::Outcome;
pub(crate) use golden::Golden;
pub(crate) use script::{START_NS, Script};

use crate::console::Console;
use crate::program::path_text;
use anyhow::{Context, Result, bail};
use compare::compare;
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What became of one golden.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) golden: String,
    scenario: String,
    pub(crate) traces: usize,
    pub(crate) kept: usize,
    /// How the outcome differs from the expectation; empty when it does not.
    pub(crate) faults: Vec<String>,
}

/// The goldens of a directory, in order of their names.
fn goldens(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
    found.sort();
    if found.is_empty() {
        bail!("there is no golden (*.yaml) in {}", directory.display());
    }
    Ok(found)
}

/// Replays every golden of a directory through the agent's binary.
pub(crate) fn replay(directory: &Path, agent: &Path, console: Console) -> Result<Vec<Report>> {
    let mut reports = Vec::new();
    for path in goldens(directory)? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let golden = Golden::read(&path)?;
        let script = Script::of(&golden, directory).with_context(|| format!("golden {name}"))?;
        let outcome = run(&golden, &script, agent).with_context(|| format!("golden {name}"))?;
        let faults = compare(&golden, &script, &outcome)?;
        let (traces, kept) = (script.spans.len(), outcome.spans.len());
        if faults.is_empty() {
            console.event(&format!("{name:28} {kept:5} of {traces:5} traces kept, as expected"));
        } else {
            console.bad(&format!("{name:28} {}", faults.join("\n    ")));
        }
        reports.push(Report { golden: name, scenario: golden.scenario, traces, kept, faults });
    }
    Ok(reports)
}

/// Gives the script to the agent and reads what it delivers.
pub(crate) fn run(golden: &Golden, script: &Script, agent: &Path) -> Result<Outcome> {
    let directory = tempfile::Builder::new().prefix("lightship-replay-").tempdir().context("no temporary directory")?;
    let file = directory.path().join("agent.yaml");
    let config = golden.configuration(directory.path())?;
    std::fs::write(&file, config).with_context(|| format!("cannot write {}", file.display()))?;
    let mut program = Command::new(agent)
        .args(["replay", "--config", path_text(&file)?])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", agent.display()))?;
    let mut input = program.stdin.take().context("no standard input")?;
    let text = script.text.clone();
    // It may answer before it has read all.
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = program.wait_with_output()?;
    // A program that ended early says why on its own.
    let _written = writer.join();
    if !output.status.success() {
        bail!("the agent ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Outcome::read(&String::from_utf8(output.stdout)?)
}
