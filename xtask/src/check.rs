//! `cargo xtask check`: everything that can be said about the repository without running its programs.

use crate::report::Report;
use crate::tools::{cargo, have, output, run};
use crate::{circles, floors, links, reference, sources};
use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Runs every check, or with `--quick` those that compile nothing.
pub(crate) fn task(options: &[String]) -> Result<()> {
    let is_quick = match options {
        [] => false,
        [only] if only == "--quick" => true,
        _ => bail!("usage: cargo xtask check [--quick]"),
    };
    let mut report = Report::new("check");
    let metadata = metadata()?;
    report.step("formatting", || {
        run(cargo()?.args(["fmt", "--all", "--check"]))?;
        run(cargo()?.args(["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]))
    });
    report.step("floors", || floors::check(&metadata));
    report.step("circles of files, and methods away from their types", || circles::check(&metadata));
    report.step("file lengths and characters", sources::check);
    report.step("links between pages", links::check);
    if is_quick {
        report.skip("what compiles", "--quick");
        return report.finish();
    }
    report.step("lints", || {
        run(cargo()?.args(["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]))
    });
    report.step("configuration reference", || {
        let lint = ["clippy", "--locked", "--package", "config", "--features", "schema", "--all-targets"];
        run(cargo()?.args(lint).args(["--", "-D", "warnings"]))?;
        reference::check()
    });
    report.step("docs", || {
        run(cargo()?.env("RUSTDOCFLAGS", "-D warnings").args([
            "doc",
            "--locked",
            "--workspace",
            "--no-deps",
            "--document-private-items",
        ]))
    });
    for features in agent_builds(&metadata) {
        let name = format!("agent with only: {}", if features.is_empty() { "nothing" } else { &features });
        report.step(&name, || {
            run(cargo()?
                .args([
                    "clippy",
                    "--locked",
                    "--package",
                    "lightship",
                    "--no-default-features",
                    "--features",
                    &features,
                ])
                .args(["--", "-D", "warnings"]))
        });
    }
    licences(&mut report);
    report.finish()
}

/// Licences, bans, sources and, where the database can be had, advisories: deny.toml.
fn licences(report: &mut Report) {
    if !have("cargo-deny") {
        report.skip("licences and advisories", "cargo-deny is not installed (cargo install cargo-deny --locked)");
        return;
    }
    report.step("licences, bans, sources", || {
        run(cargo()?.args(["deny", "--workspace", "check", "--hide-inclusion-graph", "licenses", "bans", "sources"]))
    });
    match cargo().and_then(|mut cargo| run(cargo.args(["deny", "fetch", "db"]))) {
        Ok(()) => report.step("advisories", || {
            run(cargo()?.args(["deny", "--workspace", "check", "--disable-fetch", "advisories"]))
        }),
        Err(error) => report.skip("advisories", &format!("the database cannot be had here ({error})")),
    }
}

/// The feature sets in which the agent must build on its own: none, and each one alone.
fn agent_builds(metadata: &Value) -> Vec<String> {
    let agent = floors::packages(metadata).find(|package| package["name"] == "lightship");
    let features = agent.and_then(|package| package["features"].as_object());
    let names = features.into_iter().flat_map(|features| features.keys());
    std::iter::once(String::new()).chain(names.filter(|name| *name != "default").cloned()).collect()
}

fn metadata() -> Result<Value> {
    let text = output(cargo()?.args(["metadata", "--locked", "--no-deps", "--format-version", "1"]))?;
    serde_json::from_str(&text).context("cargo metadata did not print JSON")
}
