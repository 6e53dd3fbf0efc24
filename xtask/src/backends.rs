//! `cargo xtask backends`: the sinks against Prometheus, VictoriaMetrics, VictoriaLogs and a NATS server, built from their Go modules at
//! pinned versions (tests/backends), and Mosquitto where it is installed; run on loopback (crates/device/sinks/tests, `backends.rs` and
//! `brokers.rs`); the hub's APIs beside Prometheus, Jaeger and Loki. Where Prometheus is there, targets are scraped by it and by the agent, too (tests/scrape).

use crate::sdk;
use crate::tools::{cargo, have, root, run, target_dir};
use anyhow::{Context, Result, bail};
use std::process::Command;

/// Each backend's build script, and how the names of its tests begin.
const BACKENDS: [(&str, &str); 5] = [
    ("prometheus", "prometheus_"),
    ("victoria-metrics", "victoria_metrics_"),
    ("victoria-logs", "victoria_logs_"),
    ("nats", "nats_"),
    ("mosquitto", "mosquitto_"),
];
/// A script's exit code where nothing is built and nothing may be.
const NOT_CACHED: i32 = 3;

/// Builds what is missing, unless `--cached` says that only what is there is tried, and runs the tests of each.
pub(crate) fn task(options: &[String]) -> Result<()> {
    let cached = match options {
        [] => false,
        [option] if option == "--cached" => true,
        _ => bail!("usage: cargo xtask backends [--cached]"),
    };
    let mut tests = cargo()?;
    tests.current_dir(root()?).args([
        "test",
        "--locked",
        "-p",
        "sinks",
        "--all-features",
        "--test",
        "backends",
        "--test",
        "brokers",
        "--",
        "--ignored",
    ]);
    let mut skipped = Vec::new();
    for (name, filter) in BACKENDS {
        let mut script = Command::new(root()?.join(format!("tests/backends/build-{name}.sh")));
        if cached {
            script.arg("--cached");
        }
        let status = script.status().with_context(|| format!("cannot run the build of {name}"))?;
        match status.code() {
            Some(0) => _ = tests.arg(filter),
            Some(NOT_CACHED) if cached || name == "mosquitto" => skipped.push(name),
            _ => bail!("the build of {name} failed: {status}"),
        }
    }
    if skipped.len() < BACKENDS.len() {
        run(&mut tests)?;
    }
    if !skipped.contains(&"prometheus") {
        // The hub's answers to PromQL beside Prometheus' own.
        let hub = ["test", "--locked", "-p", "lightship-hub", "--test", "prometheus", "--", "--ignored"];
        run(cargo()?.current_dir(root()?).args(hub))?;
        scrape()?;
    }
    // The hub's answers to APIs beside those of the servers whose APIs they are.
    for name in ["jaeger", "loki"] {
        let mut script = Command::new(root()?.join(format!("tests/backends/build-{name}.sh")));
        if cached {
            script.arg("--cached");
        }
        let status = script.status().with_context(|| format!("cannot run the build of {name}"))?;
        match status.code() {
            Some(0) => {
                let hub = ["test", "--locked", "-p", "lightship-hub", "--test", name, "--", "--ignored"];
                run(cargo()?.current_dir(root()?).args(hub))?;
            }
            Some(NOT_CACHED) if cached => skipped.push(name),
            _ => bail!("the build of {name} failed: {status}"),
        }
    }
    if !skipped.is_empty() {
        eprintln!("SKIPPED, because they are not there yet: {}", skipped.join(", "));
    }
    Ok(())
}

/// The same targets, scraped by the agent and by Prometheus itself (tests/scrape/run.py); Debian's node exporter is one where it is installed.
fn scrape() -> Result<()> {
    let script = Command::new(root()?.join("tests/backends/build-prometheus.sh")).arg("--cached").output();
    let prometheus = String::from_utf8(script.context("cannot ask where Prometheus is")?.stdout)?;
    run(cargo()?.current_dir(root()?).args(["build", "--locked", "-p", "lightship"]))?;
    let mut test = Command::new(sdk::environment("scrape")?);
    test.current_dir(root()?).arg("tests/scrape/run.py").arg("--agent").arg(target_dir()?.join("debug/lightship"));
    test.arg("--prometheus").arg(prometheus.trim());
    if have("prometheus-node-exporter") {
        test.args(["--node-exporter", "prometheus-node-exporter"]);
    }
    run(&mut test)
}
