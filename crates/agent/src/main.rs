//! `lightship`, the program on the device. It only wires: everything it does lives in the crates below.

mod arguments;
mod fetch;
mod imports;
mod init;
mod journal_tools;
mod local;
mod outage;
mod socket;
mod status;

use std::io::Write;
use std::process::ExitCode;

use arguments::{Arguments, Asked, USAGE};

/// What went wrong, with its exit code.
struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    /// The agent does not answer or is not well.
    fn unwell(text: impl Into<String>) -> Self {
        Self { code: 1, text: text.into() }
    }

    /// The command or the configuration is wrong.
    fn usage(text: impl Into<String>) -> Self {
        Self { code: 2, text: text.into() }
    }

    /// Stored data is not as it was written.
    fn damage(text: impl Into<String>) -> Self {
        Self { code: 3, text: text.into() }
    }
}

/// Writes to standard output; a reader that has gone away ends nothing.
fn print(text: &str) {
    let _written = std::io::stdout().write_all(text.as_bytes());
}

fn load(arguments: &Arguments) -> Result<config::Config, Failure> {
    let path =
        arguments.config.as_deref().ok_or_else(|| Failure::usage("name the configuration with --config FILE"))?;
    config::load(path).map_err(|error| Failure::usage(error.to_string()))
}

fn execute(arguments: &Arguments) -> Result<(), Failure> {
    match arguments.command.as_deref() {
        Some("run") => edge::run(&load(arguments)?).map_err(|error| Failure::usage(error.to_string())),
        Some("check") => outage::check(&load(arguments)?, arguments),
        Some("replay") => edge::replay(&load(arguments)?, std::io::stdin().lock(), std::io::stdout().lock())
            .map_err(|error| Failure::usage(error.to_string())),
        Some("status") => status::show(&load(arguments)?, arguments.json),
        Some("top") => status::top(&load(arguments)?, arguments),
        Some("queue") => status::queue(&load(arguments)?, arguments),
        Some("init") => init::write(arguments),
        Some("query") => local::query(arguments),
        Some("tail") => local::tail(arguments),
        Some("trace") => local::trace(arguments),
        Some("fetch") => fetch::fetch(arguments),
        Some("gaps") => local::gaps(arguments),
        Some("journal") => journal_tools::run(arguments),
        Some(other) => Err(Failure::usage(format!("no such command: {other}; see lightship --help"))),
        None => Err(Failure::usage(USAGE)),
    }
}

fn main() -> ExitCode {
    let outcome = match arguments::parse() {
        Ok(Asked::Help) => {
            print(USAGE);
            Ok(())
        }
        Ok(Asked::Version) => {
            print(concat!("lightship ", env!("CARGO_PKG_VERSION"), "\n"));
            Ok(())
        }
        Ok(Asked::Command(arguments)) => execute(&arguments),
        Err(error) => Err(Failure::usage(format!("{error}; see lightship --help"))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _written = writeln!(std::io::stderr(), "lightship: {}", failure.text.trim_end());
            ExitCode::from(failure.code)
        }
    }
}
