//! `lightship`, the program on the device. It only wires: everything it does lives in the crates below.

mod arguments;
mod commands;
mod dead;
mod doctor;
mod exception;
mod fetch;
mod help;
mod imports;
mod init;
mod init_backends;
mod journal_tools;
mod local;
mod mask;
mod outage;
mod queue;
mod socket;
mod status;
mod top;
mod trace;

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use arguments::{Arguments, Asked};

/// Where the configuration is when nothing names another.
const CONFIG: &str = "/etc/lightship/lightship.yaml";

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

/// Writes to standard output. A closed pipe is ignored: whoever read there has enough.
///
/// # Errors
/// When it cannot be written: a full disk, say.
fn print(text: &str) -> Result<(), Failure> {
    print_on(text).map(|_| ())
}

/// As [`print()`]; false when the pipe is closed, so that what goes on printing can end.
///
/// # Errors
/// As [`print()`].
fn print_on(text: &str) -> Result<bool, Failure> {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::unwell(format!("standard output: {error}; what was printed is not whole"))),
    }
}

/// `--config`, else `LIGHTSHIP_CONFIG`, else the usual place.
fn config_path(arguments: &Arguments) -> PathBuf {
    let named = arguments.config.clone().or_else(|| std::env::var_os("LIGHTSHIP_CONFIG").map(PathBuf::from));
    named.unwrap_or_else(|| PathBuf::from(CONFIG))
}

fn load(arguments: &Arguments) -> Result<config::Config, Failure> {
    config::load(&config_path(arguments)).map_err(|error| Failure::usage(error.to_string()))
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    edge::cut_program_pages();
    edge::run(&load(arguments)?).map_err(|error| match error.ran {
        true => Failure::unwell(error.to_string()),
        false => Failure::usage(error.to_string()),
    })
}

fn execute(arguments: &Arguments) -> Result<(), Failure> {
    match arguments.command.as_deref() {
        Some("run") => run(arguments),
        Some("check") => outage::check(&load(arguments)?, arguments),
        Some("doctor") => doctor::doctor(&load(arguments)?, arguments),
        Some("replay") => edge::replay(&load(arguments)?, std::io::stdin().lock(), std::io::stdout().lock())
            .map_err(|error| Failure::usage(error.to_string())),
        Some("status") => status::show(&load(arguments)?, arguments.json),
        Some("top") => top::top(&load(arguments)?, arguments),
        Some("queue") => queue::queue(&load(arguments)?, arguments),
        Some("init") => init::write(arguments),
        Some("query") => local::query(arguments),
        Some("tail") => local::tail(arguments),
        Some("trace") => trace::trace(arguments),
        Some("fetch") => fetch::fetch(arguments),
        Some("gaps") => local::gaps(arguments),
        Some("exception") => exception::run(arguments),
        Some("mask") => mask::run(arguments),
        Some("journal") => journal_tools::run(arguments),
        Some("completions") => {
            let script = arguments.words.first().and_then(|shell| help::completions(shell));
            print(&script.ok_or_else(|| Failure::usage("for which shell? lightship completions bash|zsh|fish"))?)
        }
        Some("man") => print(&help::manual()),
        Some(other) => Err(no_such_command(other)),
        None => Err(Failure::usage(help::overview())),
    }
}

fn no_such_command(name: &str) -> Failure {
    Failure::usage(format!("no such command: {name}; see lightship help"))
}

fn main() -> ExitCode {
    let outcome = match arguments::parse() {
        Ok(Asked::Help(None)) => print(&help::overview()),
        Ok(Asked::Help(Some(name))) => {
            help::of(&name).ok_or_else(|| no_such_command(&name)).and_then(|text| print(&text))
        }
        Ok(Asked::Version) => print(concat!("lightship ", env!("CARGO_PKG_VERSION"), "\n")),
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
