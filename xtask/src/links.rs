//! Relative links of Markdown pages lead to files that are there.

use crate::tools::{files, root};
use anyhow::{Context, Result, bail};
use std::fs;

/// Looks at every page.
pub(crate) fn check() -> Result<()> {
    let root = root()?;
    let mut faults = Vec::new();
    for page in files(&["md"])? {
        let text = fs::read_to_string(root.join(&page)).with_context(|| format!("cannot read {}", page.display()))?;
        let directory = root.join(&page).parent().map(ToOwned::to_owned).unwrap_or_default();
        for (line, target) in relative_links(&text) {
            if fs::metadata(directory.join(&target)).is_err() {
                faults.push(format!("{}:{line}: {target} is not there", page.display()));
            }
        }
    }
    if !faults.is_empty() {
        bail!("{} links lead nowhere:\n{}", faults.len(), faults.join("\n"));
    }
    Ok(())
}

/// Line numbers and targets of the links to files, outside code.
fn relative_links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code || line.starts_with("    ") {
            continue;
        }
        // What stands between backticks is code: every second piece.
        for piece in line.split('`').step_by(2) {
            for after in piece.split("](").skip(1) {
                let target = after.split([')', ' ', '#']).next().unwrap_or_default();
                let elsewhere = target.contains("://") || target.starts_with("mailto:");
                if !target.is_empty() && !elsewhere {
                    links.push((index + 1, target.to_owned()));
                }
            }
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a page with links to files, to the web, to a heading, and text in code that looks like one.
    /// Guarantees: only the links to files are looked up, without their heading.
    #[test]
    fn only_links_to_files_are_looked_up() {
        let page = "see [a](docs/a.md#top) and [b](https://example.org/b), [c](#c)\n```\n[d](d.md)\n```\n`[e](e.md)` ![f](f.png)\n";
        assert_eq!(relative_links(page), vec![(1, "docs/a.md".to_owned()), (5, "f.png".to_owned())]);
    }
}
