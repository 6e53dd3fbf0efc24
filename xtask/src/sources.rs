//! Rules about source files: none is too long to read in one go, and Rust sources are ASCII.

use crate::tools::{files, root};
use anyhow::{Context, Result, bail};
use std::fs;

/// The most lines that a source file may have.
const MOST_LINES: usize = 600;

/// Looks at every source file.
pub(crate) fn check() -> Result<()> {
    let root = root()?;
    let mut faults = Vec::new();
    for path in files(&["rs", "ts", "tsx", "css", "py"])? {
        let text = fs::read_to_string(root.join(&path)).with_context(|| format!("cannot read {}", path.display()))?;
        let rust = path.extension().is_some_and(|ending| ending == "rs");
        faults.extend(faults_of(&text, rust).into_iter().map(|fault| format!("{}{fault}", path.display())));
    }
    if !faults.is_empty() {
        bail!("{} faults in source files:\n{}", faults.len(), faults.join("\n"));
    }
    Ok(())
}

fn faults_of(text: &str, rust: bool) -> Vec<String> {
    let mut faults = Vec::new();
    let lines = text.lines().count();
    if lines > MOST_LINES {
        faults.push(format!(": {lines} lines, at most {MOST_LINES}; split it by concept"));
    }
    if rust && let Some(line) = text.lines().position(|line| !line.is_ascii()) {
        faults.push(format!(":{}: Rust sources are ASCII; write an escape", line + 1));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: files at the limit, above it, and with a letter outside ASCII. Guarantees: only the last two are
    /// faults, and the letter is one in Rust only.
    #[test]
    fn long_files_and_odd_letters_are_faults() {
        assert!(faults_of(&"x\n".repeat(MOST_LINES), true).is_empty());
        assert_eq!(faults_of(&"x\n".repeat(MOST_LINES + 1), true).len(), 1);
        assert_eq!(faults_of("a\n\u{e9}\n", true), vec![":2: Rust sources are ASCII; write an escape"]);
        assert!(faults_of("\u{e9}\n", false).is_empty());
    }
}
