//! `cargo xtask bench cost` and `bench cpu`: what records cost, held against the results that are committed, and printed into the page.

use crate::build;
use crate::tools::{cargo, root, run, target_dir};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const PAGE: &str = "docs/cost.md";
const COST: &str = "docs/results/cost.json";
const CPU: &str = "docs/results/cpu.json";
/// Around what these commands write.
const COST_MARKS: [&str; 2] = ["<!-- cost: cargo xtask bench cost --write -->", "<!-- end of cost -->"];
const CPU_MARKS: [&str; 2] = ["<!-- cpu: cargo xtask bench cpu --write -->", "<!-- end of cpu -->"];

/// The agent as it ships to devices, but with its symbols.
pub(crate) fn agent_with_symbols() -> Result<PathBuf> {
    run(cargo()?.args(["build", "--locked", "--profile", "device-symbols", "--package", "lightship"]))?;
    Ok(target_dir()?.join("device-symbols/lightship"))
}

/// The lab, about to start.
pub(crate) fn lab() -> Result<Command> {
    run(cargo()?.args(["build", "--locked", "--release", "--package", "lightship-lab"]))?;
    let mut lab = Command::new(target_dir()?.join("release/lightship-lab"));
    lab.current_dir(root()?);
    Ok(lab)
}

/// Instructions, allocations and copied bytes by stage. Fails where a stage grew by 3 %; with `--write`, the results and the page are
/// written anew instead; `--print` prints those that are there; further options are passed on.
pub(crate) fn cost(options: &[String]) -> Result<()> {
    if options == ["--print"] {
        return print();
    }
    let (write, options) = take_write(options);
    let agent = agent_with_symbols()?;
    let mut lab = lab()?;
    lab.args(["bench", "cost"]).arg("--agent").arg(agent);
    if write {
        run(lab.args(["--copies", "--output", COST]).args(options))?;
        return print();
    }
    run(lab.args(["--against", COST]).args(options))
}

/// CPU beside the Collector. With `--write`, the results and the page are written anew; further options are passed on.
pub(crate) fn cpu(options: &[String]) -> Result<()> {
    let (write, options) = take_write(options);
    let programs = build::programs()?;
    let mut lab = lab()?;
    lab.args(["bench", "cpu", "--collector", &collector()?]).arg("--agent").arg(programs.agent);
    if write {
        lab.args(["--output", CPU]);
    }
    run(lab.args(options))?;
    if write { print() } else { Ok(()) }
}

/// The Collector, built when it is not there.
pub(crate) fn collector() -> Result<String> {
    let built = Command::new(root()?.join("tests/collector/build.sh")).output().context("cannot start build.sh")?;
    if !built.status.success() {
        bail!("the Collector could not be built: {}", String::from_utf8_lossy(&built.stderr));
    }
    let printed = String::from_utf8_lossy(&built.stdout).into_owned();
    printed.lines().last().map(str::to_owned).context("build.sh told no program")
}

/// Whether `--write` is among the options, and the others.
pub(crate) fn take_write(options: &[String]) -> (bool, Vec<&String>) {
    let rest: Vec<&String> = options.iter().filter(|option| *option != "--write").collect();
    (rest.len() < options.len(), rest)
}

/// Prints the results that are there into the page.
fn print() -> Result<()> {
    let root = root()?;
    let mut page = fs::read_to_string(root.join(PAGE)).with_context(|| format!("cannot read {PAGE}"))?;
    for (file, marks, table) in [(COST, COST_MARKS, cost_table as fn(&Value) -> String), (CPU, CPU_MARKS, cpu_table)] {
        // Results that were never made leave their place as it is.
        let Ok(text) = fs::read_to_string(root.join(file)) else { continue };
        let results: Value = serde_json::from_str(&text).with_context(|| format!("{file} is no JSON"))?;
        page = between(&page, marks, &table(&results))?;
    }
    fs::write(root.join(PAGE), page).with_context(|| format!("cannot write {PAGE}"))
}

fn between(page: &str, [begin, end]: [&str; 2], text: &str) -> Result<String> {
    let (Some((before, rest)), Some((_, after))) = (page.split_once(begin), page.split_once(end)) else {
        bail!("{PAGE} has no place for results between {begin} and {end}");
    };
    if !rest.contains(end) {
        bail!("{PAGE}: {end} stands before {begin}");
    }
    Ok(format!("{before}{begin}\n\n{text}\n{end}{after}"))
}

/// The stages in the order of a record's way, as `lightship-lab` names them.
const STAGES: [&str; 13] = [
    "intake", "look", "guard", "limits", "route", "red", "sampler", "recorder", "decision", "encode", "journal",
    "sink", "rest",
];

fn cost_table(results: &Value) -> String {
    let scenarios: Vec<(&String, &Value)> = results["scenarios"].as_object().into_iter().flatten().collect();
    let mut text = String::new();
    for (name, scenario) in &scenarios {
        let bytes = scenario["bytes_per_record"].as_f64().unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "- `{name}`: {} ({bytes:.0} B each)", scenario["what"].as_str().unwrap_or("unknown"));
    }
    for (what, key, digits) in [
        ("Instructions", "instructions", 0),
        ("Allocations", "allocations", 2),
        ("Copied bytes (memcpy and its kin)", "copied_bytes", 0),
    ] {
        let names: Vec<&str> = scenarios.iter().map(|(name, _)| name.as_str()).collect();
        let _ = write!(text, "\n| {what}, each | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
        for stage in STAGES.into_iter().chain(["**all**"]) {
            let cell = |scenario: &Value| {
                let cost = if stage == "**all**" { &scenario["total"] } else { &scenario["stages"][stage] };
                cost[key].as_f64().map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
            };
            let cells: Vec<String> = scenarios.iter().map(|(_, scenario)| cell(scenario)).collect();
            let _ = writeln!(text, "| {stage} | {} |", cells.join(" | "));
        }
    }
    text
}

fn cpu_table(results: &Value) -> String {
    let mut text = String::from(
        "| spans/s | recorder | program | CPU s per 1 M spans | of the Collector | resident MB | written MB | kept, missing, unwanted |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for row in results["rows"].as_array().into_iter().flatten() {
        let number = |key: &str, digits: usize| {
            row[key].as_f64().map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        let word = |key: &str| row[key].as_str().unwrap_or("-").to_owned();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {}, {}, {} |",
            number("spans_per_second", 0),
            word("recorder"),
            word("program"),
            number("cpu_seconds_per_million_spans", 2),
            number("of_the_collector", 3),
            number("resident_mb", 1),
            number("written_mb", 1),
            number("kept_traces", 0),
            number("missing_traces", 0),
            number("unwanted_traces", 0),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: results of one scenario are printed into a page, twice. Guarantees: they stand between the marks, in the order of a
    /// record's way, and nothing else changes.
    #[test]
    fn results_stand_between_their_marks() {
        let [begin, end] = COST_MARKS;
        let page = format!("a\n{begin}\nold\n{end}\nb\n");
        let results = serde_json::json!({"scenarios": {"http": {"what": "spans", "bytes_per_record": 300.0,
            "total": {"instructions": 3.0}, "stages": {"look": {"instructions": 1.0}, "sink": {"instructions": 2.0}}}}});
        let once = between(&page, COST_MARKS, &cost_table(&results)).unwrap();
        assert_eq!(between(&once, COST_MARKS, &cost_table(&results)).unwrap(), once);
        assert!(once.starts_with("a\n") && once.ends_with("b\n") && !once.contains("old"));
        let (look, sink) = (once.find("| look | 1 |").unwrap(), once.find("| sink | 2 |").unwrap());
        assert!(look < sink && once.contains("| **all** | 3 |"), "{once}");
        assert!(between("none", COST_MARKS, "").is_err());
    }
}
