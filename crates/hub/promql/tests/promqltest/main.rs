//! Prometheus' own tests of PromQL, run against this crate: `cargo xtask promqltest`.
//!
//! The scripts are Prometheus' (nothing of them is in this repository); the reader of their language is ours. With no
//! directory named in `PROMQLTEST_DIR` there is nothing to run, and it says so. What is counted, and how, stands in
//! docs/promql.md.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod compare;
mod run;
mod script;
mod series;
mod skips;

use std::process::ExitCode;

fn main() -> ExitCode {
    let Ok(directory) = std::env::var("PROMQLTEST_DIR") else {
        println!("  skipped: Prometheus' own tests of PromQL; `cargo xtask promqltest` fetches and runs them");
        return ExitCode::SUCCESS;
    };
    let verbose = std::env::var("PROMQLTEST_VERBOSE").is_ok();
    let only = std::env::var("PROMQLTEST_ONLY").unwrap_or_default();
    // Debug builds have large frames: this is the evaluator's stack, not a bound of it.
    let work =
        std::thread::Builder::new().stack_size(64 << 20).spawn(move || run::directory(&directory, &only, verbose));
    let outcome = work.map_err(|e| e.to_string()).and_then(|thread| thread.join().map_err(|_| "it panicked".into()));
    match outcome.and_then(|outcome| outcome) {
        Ok(report) => {
            println!("{}", report.json());
            if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(message) => {
            eprintln!("promqltest: {message}");
            ExitCode::FAILURE
        }
    }
}
