//! `cargo xtask results`: measures what ships, and prints the results into docs/reproducibility.md.

use crate::dist::compile;
use crate::dist::job::{Job, Linkage};
use crate::dist::place::{Arch, Place, Program};
use crate::dist::{inputs, packages, toolchain};
use crate::tools::{cargo, root, run, target_dir};
use anyhow::{Context, Result, bail};
use lexopt::prelude::{Long, ValueExt};
use serde_json::{Value, json};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Around what this command writes.
const MARKS: [&str; 2] = ["<!-- results: cargo xtask results -->", "<!-- end of results -->"];
const PAGE: &str = "docs/reproducibility.md";
/// Made by `cargo xtask repro --report`.
const REPRO: &str = "docs/results/repro.json";
/// Made by this command.
const STATIC: &str = "docs/results/static.json";

/// Measures and prints; `--print` prints again from the reports that are there.
pub(crate) fn task(options: &[String]) -> Result<()> {
    let (mut only_print, mut seconds, mut speed) = (false, 180_u32, 8_u32);
    let mut hub = target_dir()?.join("dist/lightship-hub-x86_64-linux-musl");
    let mut parser = lexopt::Parser::from_args(options);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("print") => only_print = true,
            Long("seconds") => seconds = parser.value()?.parse()?,
            Long("speed") => speed = parser.value()?.parse()?,
            Long("hub") => hub = std::path::absolute(parser.value()?)?,
            other => bail!("{}; see cargo xtask help", other.unexpected()),
        }
    }
    let root = root()?;
    if !only_print {
        let results = measure(&hub, seconds, speed)?;
        let text = serde_json::to_string_pretty(&results).context("the results are no JSON")? + "\n";
        fs::write(root.join(STATIC), text).with_context(|| format!("cannot write {STATIC}"))?;
    }
    let read = |name: &str| -> Result<Value> {
        let text = fs::read_to_string(root.join(name)).with_context(|| format!("cannot read {name}"))?;
        serde_json::from_str(&text).with_context(|| format!("{name} is no JSON"))
    };
    let page = fs::read_to_string(root.join(PAGE)).with_context(|| format!("cannot read {PAGE}"))?;
    let page = with_results(&page, &tables(&read(REPRO)?, &read(STATIC)?))?;
    fs::write(root.join(PAGE), page).with_context(|| format!("cannot write {PAGE}"))
}

/// The agent that ships, the same at fixed addresses, and the smallest one; and what the first two need.
fn measure(hub: &Path, seconds: u32, speed: u32) -> Result<Value> {
    if !hub.is_file() {
        bail!("no {}; run cargo xtask dist --arch x86_64 first, or name a hub with --hub", hub.display());
    }
    let place = Place::new(root()?, target_dir()?.join("dist-work"), None)?;
    let toolchain = toolchain::musl(&place, &inputs::collect(&inputs::cache()?)?)?;
    let variant = |name: &str, linkage: Linkage, features: Option<&'static str>| -> Result<PathBuf> {
        let job = Job { program: Program::Agent, arch: Arch::X86_64, linkage, features };
        let packages = packages::linked(&place, &toolchain, &job)?;
        let program = compile::build(&place, &toolchain, &job, &packages)?;
        let kept = place.work.join(name);
        fs::copy(&program, &kept).with_context(|| format!("cannot copy {}", program.display()))?;
        Ok(kept)
    };
    let shipped = variant("lightship-shipped", Linkage::Pie, None)?;
    run(cargo()?.args(["build", "--locked", "--release", "--package", "lightship-lab"]))?;
    let lab = target_dir()?.join("release/lightship-lab");
    // They take long and do little, so that the rest goes on beside them.
    let outage = |large_minutes: &str| -> Result<Child> {
        let mut outage = Command::new(&lab);
        outage.current_dir(root()?).args(["bench", "outage", "--json", "--speed", &speed.to_string()]);
        outage.args(["--large-minutes", large_minutes]).arg("--agent").arg(&shipped);
        outage.stdout(Stdio::piped()).spawn().context("cannot start the lab")
    };
    let outages = [outage("10")?, outage("1")?];
    let smallest = variant("lightship-smallest", Linkage::Pie, Some(""))?;
    let fixed = variant("lightship-fixed", Linkage::Fixed, None)?;
    let footprint = |agent: &Path| -> Result<Value> {
        let mut bench = Command::new(&lab);
        bench.current_dir(root()?).args(["bench", "footprint", "--json", "--seconds", &seconds.to_string()]);
        report(bench.arg("--agent").arg(agent).arg("--hub").arg(hub).stdout(Stdio::piped()).spawn()?)
    };
    let (pie, at_fixed) = (footprint(&shipped)?, footprint(&fixed)?);
    let outages = outages.into_iter().map(report).collect::<Result<Vec<_>>>()?;
    let bytes = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    Ok(json!({
        "revision": place.revision,
        "smallest_bytes": bytes(&smallest),
        "pie": { "bytes": bytes(&shipped), "footprint": pie },
        "fixed": { "bytes": bytes(&fixed), "footprint": at_fixed },
        "outages": outages,
    }))
}

/// What a benchmark printed, also when it is over a limit: the page then says so.
fn report(bench: Child) -> Result<Value> {
    let done = bench.wait_with_output().context("cannot wait for the lab")?;
    serde_json::from_slice(&done.stdout).context("the lab printed no report")
}

fn with_results(page: &str, results: &str) -> Result<String> {
    let [begin, end] = MARKS;
    let (Some((before, rest)), Some((_, after))) = (page.split_once(begin), page.split_once(end)) else {
        bail!("{PAGE} has no place for results between {begin} and {end}");
    };
    if !rest.contains(end) {
        bail!("{PAGE}: {end} stands before {begin}");
    }
    Ok(format!("{before}{begin}\n\n{results}\n{end}{after}"))
}

fn tables(repro: &Value, measured: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or("unknown").to_owned();
    let mib = |value: &Value| value.as_u64().map_or_else(String::new, |bytes| format!("{:.2}", bytes as f64 / 1e6));
    let mut text = format!(
        "Built twice at {} ({}), by two builders as `{REPRO}` describes them:\n\n| file | bytes | SHA-256 | twice the same |\n\
         |---|---|---|---|\n",
        word(&repro["revision"]),
        if repro["identical"] == true { "identical" } else { "NOT identical" }
    );
    for row in repro["artefacts"].as_array().into_iter().flatten() {
        let same = if row["identical"] == true { "yes" } else { "NO" };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {} | {} | `{}` | {same} |", word(&row["file"]), row["bytes"], word(&row["sha256"]));
    }
    let load = &measured["pie"]["footprint"]["load"]["description"];
    let _ = write!(
        text,
        "\nMeasured at {}, x86-64, in MB (a million bytes). The load is {}; resident memory is the highest during {} s.\n\n\
         | `lightship` | program | resident at most | its own at most |\n|---|---|---|---|\n",
        word(&measured["revision"]),
        word(load),
        measured["pie"]["footprint"]["load"]["seconds"].as_f64().unwrap_or_default().round()
    );
    for (name, key) in [("static-pie, as it ships", "pie"), ("at fixed addresses", "fixed")] {
        let (bytes, footprint) = (&measured[key]["bytes"], &measured[key]["footprint"]);
        let high = mib(&footprint["memory_at_end"]["high_water"]);
        let _ = writeln!(text, "| {name} | {} | {high} | {} |", mib(bytes), mib(&footprint["most_anonymous"]));
    }
    let _ = writeln!(text, "| smallest feature set (none) | {} | | |", mib(&measured["smallest_bytes"]));
    text.push_str(&outages(&measured["outages"]));
    text
}

fn outages(reports: &Value) -> String {
    let mb = |value: &Value| format!("{:.2}", value.as_u64().unwrap_or_default() as f64 / 1e6);
    let speed = &reports[0]["speed"];
    let mut text = format!(
        "\nAfter an outage of two hours (at {speed} times the speed, with waits as much shorter), in MB. A large line is random \
         digits, of which 0.125 MB remain however well it is compressed, so that one a minute makes 15 MB by itself; the \
         journal's budget is that of a sensor, 8 MiB:\n\n\
         | load | program and data | data | records that wait | had to yield | not taken | limit of {} MB |\n\
         |---|---|---|---|---|---|---|\n",
        mb(&reports[0]["binary_and_data_limit"])
    );
    for report in reports.as_array().into_iter().flatten() {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            report["load"]["description"].as_str().unwrap_or("unknown"),
            mb(&report["binary_and_data"]),
            mb(&report["data"]["disk_bytes"]),
            report["queued"],
            report["yielded"],
            report["not_taken"],
            if report["passed"] == true { "held" } else { "NOT held" },
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a page with the marks, without them, and with them the wrong way round. Guarantees: only what is between
    /// the marks is replaced, and printing twice changes nothing.
    #[test]
    fn only_the_results_are_replaced() {
        let [begin, end] = MARKS;
        let page = format!("before\n{begin}\nold\n{end}\nafter\n");
        let once = with_results(&page, "new\n").unwrap();
        assert_eq!(once, format!("before\n{begin}\n\nnew\n\n{end}\nafter\n"));
        assert_eq!(with_results(&once, "new\n").unwrap(), once);
        assert!(with_results("nothing", "new").is_err());
        assert!(with_results(&format!("{end}{begin}"), "new").is_err());
    }
}
