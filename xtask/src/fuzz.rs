//! `cargo xtask fuzz`: the targets of `fuzz/` under libFuzzer, on the stable compiler. LLVM's coverage pass is asked for
//! by flags; libFuzzer itself comes with libfuzzer-sys and needs a C++ compiler.

use crate::tools::{cargo, output, root, run, target_dir};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

const TARGETS: &[&str] = &[
    "walker",
    "door",
    "guard",
    "limits",
    "json",
    "frame",
    "block",
    "segment",
    "config",
    "columns",
    "query",
    "line",
    "records",
    "prometheus",
    "logql",
    "promql",
    "loki",
    "nats",
    "certificate",
    "mqtt",
    "scrape",
    "relabel",
    "tail",
    "system_logs",
    "written",
    "statsd",
];

/// What `cargo fuzz` passes, without what only a nightly compiler takes (the address sanitiser).
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";

/// Runs each target for the given seconds, two at a time. What they find stays in `fuzz/artifacts`.
pub(crate) fn task(options: &[String]) -> Result<()> {
    let seconds = match options {
        [] => 60,
        [name, value] if name == "--seconds" => value.parse().with_context(|| format!("not a number: {value}"))?,
        _ => bail!("usage: cargo xtask fuzz [--seconds N]"),
    };
    let fuzzers = build()?;
    let mut failed = Vec::new();
    for pair in TARGETS.chunks(2) {
        let mut running = Vec::new();
        for target in pair {
            running.push((target, start(&fuzzers, target, seconds)?));
        }
        for (target, (mut fuzzer, log)) in running {
            let status = fuzzer.wait()?;
            let text = fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))?;
            let last = text.lines().rev().find(|line| line.contains("runs in") || line.contains("SUMMARY"));
            eprintln!("{target}: {} ({})", last.unwrap_or("no summary"), log.display());
            if !status.success() {
                eprintln!("{}", last_lines(&text, 40));
                failed.push(*target);
            }
        }
    }
    if !failed.is_empty() {
        bail!("found something: {}; the inputs are in fuzz/artifacts", failed.join(", "));
    }
    Ok(())
}

/// Builds all targets and gives the directory that they are in.
fn build() -> Result<PathBuf> {
    let version = output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let directory = target_dir()?.join("fuzz");
    // Naming the target keeps the flags away from build scripts.
    run(cargo()?
        .current_dir(root()?.join("fuzz"))
        .env("RUSTFLAGS", FLAGS)
        .env("CARGO_TARGET_DIR", &directory)
        .args(["build", "--locked", "--release", "--bins", "--target", host]))?;
    Ok(directory.join(host).join("release"))
}

/// Starts one target. It begins with the seeds that are committed and with what earlier runs on this machine found worth
/// keeping; only the latter directory grows.
fn start(fuzzers: &Path, target: &str, seconds: u32) -> Result<(Child, PathBuf)> {
    let root = root()?;
    let kept = target_dir()?.join("fuzz-corpus").join(target);
    let artifacts = root.join("fuzz/artifacts").join(target);
    for directory in [&kept, &artifacts] {
        fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    }
    let log = target_dir()?.join(format!("fuzz-{target}.log"));
    let file = fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let fuzzer = Command::new(fuzzers.join(target))
        .current_dir(&root)
        .args([format!("-max_total_time={seconds}"), format!("-artifact_prefix={}/", artifacts.display())])
        .args(["-timeout=10", "-rss_limit_mb=1024", "-max_len=16384", "-print_final_stats=1"])
        .arg(&kept)
        .arg(root.join("fuzz/corpus").join(target))
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
        .with_context(|| format!("cannot start the fuzzer {target}"))?;
    Ok((fuzzer, log))
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
