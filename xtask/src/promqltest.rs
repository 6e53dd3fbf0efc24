//! `cargo xtask promqltest`: Prometheus' own tests of PromQL, from its Go module at a pinned version, against the crate `promql`
//! (docs/promql.md). Nothing of them is kept in this repository.

use crate::tools::{cargo, root};
use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The module, its version (Prometheus 3.16.0), and what it has to hash to.
const MODULE: &str = "github.com/prometheus/prometheus";
const VERSION: &str = "v0.316.0";
const SUM: &str = "h1:f1GRFerhTMKQma+awCoC9T820ecWeGSdF+xAlMHzZzM=";
/// What has to pass, in percent.
const GOALS: [(&str, f64); 2] = [("float", 97.0), ("native_histogram", 85.0)];
const RESULTS: &str = "docs/results/promql.json";

/// Fetches the tests, runs them and prints the counts.
pub(crate) fn task(options: &[String]) -> Result<()> {
    let (mut json, mut write) = (false, false);
    for option in options {
        match option.as_str() {
            "--json" => json = true,
            "--write" => write = true,
            _ => bail!("usage: cargo xtask promqltest [--json] [--write]"),
        }
    }
    let directory = match fetch()? {
        Ok(directory) => directory,
        Err(why) => {
            eprintln!("SKIPPED Prometheus' own tests of PromQL: {why}");
            return Ok(());
        }
    };
    let run = cargo()?
        .args(["test", "--locked", "--quiet", "-p", "promql", "--test", "promqltest"])
        .env("PROMQLTEST_DIR", &directory)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run the tests of promql")?;
    let text = String::from_utf8_lossy(&run.stdout);
    let start = text.find('{').context("the runner gave no report")?;
    let mut report: Map<String, Value> = serde_json::from_str(&text[start..]).context("the report is no JSON")?;
    report.insert("module".into(), format!("{MODULE}@{VERSION}").into());
    let text = serde_json::to_string_pretty(&report)? + "\n";
    if json {
        print!("{text}");
    }
    let mut missed = Vec::new();
    for (kind, goal) in GOALS {
        let number = |name: &str| report.get(kind).and_then(|counts| counts.get(name)).cloned().unwrap_or_default();
        let percent = number("passed_percent").as_f64().unwrap_or(0.0);
        let (passed, all, skipped) = (number("passed"), number("evaluations"), number("skipped"));
        eprintln!(
            "{kind}: {passed} of {all} evaluations pass ({percent} %, goal {goal} %), {skipped} are known not to"
        );
        if percent < goal {
            missed.push(kind);
        }
    }
    for failure in report.get("failures").and_then(Value::as_array).into_iter().flatten() {
        eprintln!("  {}", failure.as_str().unwrap_or_default());
    }
    for skip in report.get("skips").and_then(Value::as_array).into_iter().flatten() {
        eprintln!("  known: {skip}");
    }
    if !run.status.success() || !missed.is_empty() {
        bail!("PromQL is not what Prometheus' tests ask for (above)");
    }
    if write {
        let path = root()?.join(RESULTS);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Where the scripts are, in Go's cache of modules: fetched once, and checked against what they have to hash to. Inside: why
/// they cannot be had here.
fn fetch() -> Result<std::result::Result<PathBuf, String>> {
    if !have_go() {
        return Ok(Err(format!("go is not installed; it fetches {MODULE} {VERSION}")));
    }
    let output = Command::new("go")
        .current_dir(std::env::temp_dir())
        .env("GOFLAGS", "-mod=mod")
        .args(["mod", "download", "-json", &format!("{MODULE}@{VERSION}")])
        .output()
        .context("cannot run go")?;
    let answer: Value = serde_json::from_slice(&output.stdout).context("go gave no answer")?;
    let field = |name: &str| answer.get(name).and_then(Value::as_str);
    if let Some(error) = field("Error") {
        return Ok(Err(format!("{MODULE} {VERSION} cannot be fetched: {error}")));
    }
    let (directory, sum) = field("Dir").zip(field("Sum")).context("go named no directory")?;
    if sum != SUM {
        bail!("{MODULE} {VERSION} hashes to {sum}, not to {SUM}");
    }
    Ok(Ok(PathBuf::from(directory).join("promql/promqltest/testdata")))
}

fn have_go() -> bool {
    // It knows no `--version`.
    Command::new("go").arg("version").output().is_ok_and(|output| output.status.success())
}
