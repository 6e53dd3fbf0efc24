//! `lightship`, the program on the device. It only wires: everything it does lives in the crates below.

mod init;
mod status;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::prelude::{Long, Short, Value, ValueExt};

const USAGE: &str = "\
lightship: telemetry for machines that the network cannot always reach

usage:
  lightship run     --config FILE            run the agent
  lightship check   --config FILE            check the configuration, the data directory and the destinations' addresses
  lightship status  --config FILE [--json]   ask the running agent how it is
  lightship init    [--device-type TYPE] [--backend BACKEND] [--output FILE]
                                             write a commented starter configuration
                                             TYPE: sensor, machine (default), vessel
                                             BACKEND: hub (default), otlp-http, otlp-grpc
  lightship replay  --config FILE            run recorded requests from standard input through the pipeline, on a
                                             simulated clock; for `lightship-lab replay`
  lightship --version | --help

exit codes: 0 all is well, 1 the agent does not answer or is not well, 2 the command or the configuration is wrong
";

/// What went wrong, with its exit code.
struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    fn usage(text: impl Into<String>) -> Self {
        Self { code: 2, text: text.into() }
    }
}

#[derive(Default)]
struct Arguments {
    command: Option<String>,
    config: Option<PathBuf>,
    json: bool,
    device_type: Option<String>,
    backend: Option<String>,
    output: Option<PathBuf>,
}

fn parse() -> Result<Option<Arguments>, lexopt::Error> {
    let mut arguments = Arguments::default();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => {
                print(USAGE);
                return Ok(None);
            }
            Short('V') | Long("version") => {
                print(concat!("lightship ", env!("CARGO_PKG_VERSION"), "\n"));
                return Ok(None);
            }
            Short('c') | Long("config") => arguments.config = Some(parser.value()?.into()),
            Long("json") => arguments.json = true,
            Long("device-type") => arguments.device_type = Some(parser.value()?.string()?),
            Long("backend") => arguments.backend = Some(parser.value()?.string()?),
            Short('o') | Long("output") => arguments.output = Some(parser.value()?.into()),
            Value(word) if arguments.command.is_none() => arguments.command = Some(word.string()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(arguments))
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
        Some("check") => {
            let report = edge::check(&load(arguments)?).map_err(|error| Failure::usage(error.to_string()))?;
            print(&report);
            Ok(())
        }
        Some("replay") => edge::replay(&load(arguments)?, std::io::stdin().lock(), std::io::stdout().lock())
            .map_err(|error| Failure::usage(error.to_string())),
        Some("status") => status::show(&load(arguments)?, arguments.json),
        Some("init") => init::write(arguments),
        Some(other) => Err(Failure::usage(format!("no such command: {other}; see lightship --help"))),
        None => Err(Failure::usage(USAGE)),
    }
}

fn main() -> ExitCode {
    let outcome = match parse() {
        Ok(None) => Ok(()),
        Ok(Some(arguments)) => execute(&arguments),
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
