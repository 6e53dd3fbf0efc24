//! The agent's own words on standard error: level, text; one line each.

use std::io::Write;

fn line(level: &str, text: &str) {
    // When standard error is gone there is nobody left to tell.
    let _written = writeln!(std::io::stderr(), "{level:5} {text}");
}

/// Something that is as it should be, told once.
pub(crate) fn info(text: &str) {
    line("info", text);
}

/// Something that mends itself, or that an operator may want to look at.
pub(crate) fn warn(text: &str) {
    line("warn", text);
}

/// Loss of data, or something that an operator has to mend.
pub(crate) fn error(text: &str) {
    line("error", text);
}
