//! The lab of Lightship: a simulated vessel, the demonstration that judges itself, and benchmarks.
//!
//! It shares no code with what it judges: the expected outcome of every run comes from the generator's plan.

mod agent_status;
mod bench;
mod cli;
mod cli_drill;
mod cli_guard;
mod cli_options;
mod clock;
mod console;
mod demo;
mod device;
mod differential;
mod drill;
mod http_json;
mod hub;
mod otlp;
mod program;
mod reconcile;
mod replay;
mod rng;
mod signals;
mod vessel;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
