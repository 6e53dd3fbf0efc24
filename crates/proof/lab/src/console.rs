//! What a person reads while a command runs: on standard error, with colour only on a terminal.

use std::io::{IsTerminal, stderr};

/// Prints lines for a person.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Console {
    colour: bool,
}

impl Console {
    pub(crate) fn new() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colour: wanted && stderr().is_terminal() }
    }

    /// A step that begins or has happened.
    pub(crate) fn event(self, line: &str) {
        self.print("1;36", line);
    }

    /// Progress inside a step.
    pub(crate) fn progress(self, line: &str) {
        eprintln!("  {line}");
    }

    /// Something went as it should.
    pub(crate) fn good(self, line: &str) {
        self.print("1;32", line);
    }

    /// Something did not.
    pub(crate) fn bad(self, line: &str) {
        self.print("1;31", line);
    }

    fn print(self, code: &str, line: &str) {
        if self.colour {
            eprintln!("\x1b[{code}m{line}\x1b[0m");
        } else {
            eprintln!("{line}");
        }
    }
}
