//! The licence texts of everything inside the programs, each text once.

use crate::dist::inputs::RUST;
use crate::dist::packages::Linked;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Beginnings of the names of files that hold a licence or a notice.
const NAMES: [&str; 6] = ["licen", "copying", "copyright", "notice", "unlicense", "authors"];

/// Whose texts are gathered.
#[derive(Default)]
pub(crate) struct Licences {
    /// By name and version: the expression and the directory.
    packages: BTreeMap<String, (String, PathBuf)>,
}

impl Licences {
    pub(crate) fn add(&mut self, package: &Linked) {
        let licence = package.licence.clone().unwrap_or_else(|| "see the text".to_owned());
        let directory = package.directory.clone();
        // Packages of this repository have its licence, whose text is the first.
        if package.checksum.is_some() {
            self.packages.insert(format!("{} {}", package.name, package.version), (licence, directory));
        }
    }

    pub(crate) fn add_other(&mut self, name: &str, licence: &str, directory: PathBuf) {
        self.packages.insert(name.to_owned(), (licence.to_owned(), directory));
    }

    /// One text: the list, then each licence text with the packages that it stands in.
    pub(crate) fn text(&self, own: &str) -> Result<String> {
        let mut texts: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        let mut without = BTreeSet::new();
        let mut list = String::new();
        for (name, (licence, directory)) in &self.packages {
            // Writing to a String cannot fail.
            let _ = writeln!(list, "  {name}: {licence}");
            let found = texts_in(directory)?;
            if found.is_empty() {
                without.insert(name.as_str());
            }
            for text in found {
                texts.entry(text).or_default().insert(name);
            }
        }
        let mut all = format!(
            "Lightship is under the Apache License 2.0, whose text comes first. What is linked in, with its licence:\n\n\
             {list}\n"
        );
        if !without.is_empty() {
            let names = without.into_iter().collect::<Vec<_>>().join(", ");
            let _ = writeln!(all, "Published without a text, under the licence that the list names: {names}\n");
        }
        let _ = writeln!(all, "{}\nLightship\n\n{own}", "=".repeat(80));
        // Ordered by who has it, not by its first letters.
        let mut texts: Vec<_> = texts.into_iter().map(|(text, names)| (names, text)).collect();
        texts.sort();
        for (names, text) in texts {
            let names = names.into_iter().collect::<Vec<_>>().join(", ");
            let _ = writeln!(all, "{}\n{names}\n\n{}\n", "=".repeat(80), text.trim_end());
        }
        Ok(all)
    }
}

fn texts_in(directory: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
            path.is_file() && NAMES.iter().any(|start| name.starts_with(start))
        })
        .collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(String::from_utf8_lossy(&bytes).replace("\r\n", "\n"))
    };
    paths.iter().map(read).collect()
}

/// The name under which the standard library is listed.
pub(crate) fn standard_library() -> String {
    format!("Rust standard library {RUST}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: two packages with one text, and one without any. Guarantees: the text is there once, under both names,
    /// and the third is named.
    #[test]
    fn a_text_is_told_once() {
        let directory = tempfile::tempdir().unwrap();
        let mut licences = Licences::default();
        for (name, text) in [("one", Some("words\r\n")), ("two", Some("words\n")), ("three", None)] {
            let own = directory.path().join(name);
            fs::create_dir(&own).unwrap();
            if let Some(text) = text {
                fs::write(own.join("LICENSE-MIT"), text).unwrap();
            }
            licences.add_other(name, "MIT", own);
        }
        let all = licences.text("own text").unwrap();
        assert_eq!(all.matches("words").count(), 1, "{all}");
        assert!(all.contains("\none, two\n\nwords\n") && all.contains("names: three\n"), "{all}");
    }
}
