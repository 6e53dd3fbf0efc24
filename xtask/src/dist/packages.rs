//! Which packages are linked into a program: one list, from which the list inside the program, the SBOM and the licence
//! texts are made.

use crate::dist::job::{Job, cargo};
use crate::dist::place::Place;
use crate::dist::toolchain::Toolchain;
use crate::tools::output;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One package inside a program.
#[derive(Debug, Clone)]
pub(crate) struct Linked {
    pub(crate) name: String,
    pub(crate) version: String,
    /// An SPDX expression.
    pub(crate) licence: Option<String>,
    /// SHA-256 of the published archive, in hexadecimal; none for a package of this repository.
    pub(crate) checksum: Option<String>,
    /// Where its files are while it is built.
    pub(crate) directory: PathBuf,
    /// Places in the list.
    pub(crate) dependencies: Vec<usize>,
    /// Whether it is the program's own.
    pub(crate) root: bool,
}

/// A package as cargo prints it: name and version.
type Key = (String, String);

/// The list, sorted by name and version. Build scripts and procedural macros run while building and are not in it.
pub(crate) fn linked(place: &Place, toolchain: &Toolchain, job: &Job) -> Result<Vec<Linked>> {
    let mut tree = cargo(place, toolchain);
    tree.args(["tree", "--locked", "--package", job.program.name(), "--target", &toolchain.target(job.arch)]);
    tree.args(["--edges", "normal,no-proc-macro", "--prefix", "depth", "--format", " {p}"]);
    let edges = edges(&output(tree.args(job.feature_arguments()))?)?;
    let mut metadata = cargo(place, toolchain);
    metadata.args(["metadata", "--locked", "--format-version", "1"]);
    let metadata = serde_json::from_str(&output(&mut metadata)?).context("cargo metadata did not print JSON")?;
    let lock = place.source.join("Cargo.lock");
    let lock = std::fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    describe(&edges, &metadata, &checksums(&lock), job.program.name())
}

/// Reads `cargo tree --prefix depth`: what each package depends on.
fn edges(tree: &str) -> Result<BTreeMap<Key, Vec<Key>>> {
    let mut edges: BTreeMap<Key, Vec<Key>> = BTreeMap::new();
    let mut path: Vec<Key> = Vec::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let mut words = line.split(' ');
        let (Some(depth), Some(name), Some(version)) = (words.next(), words.next(), words.next()) else {
            bail!("cargo tree printed a line without depth, name and version: {line}");
        };
        let depth: usize = depth.parse().with_context(|| format!("cargo tree printed no depth: {line}"))?;
        let key = (name.to_owned(), version.trim_start_matches('v').to_owned());
        path.truncate(depth);
        if let Some(parent) = path.last() {
            let needs = edges.entry(parent.clone()).or_default();
            if !needs.contains(&key) {
                needs.push(key.clone());
            }
        }
        edges.entry(key.clone()).or_default();
        path.push(key);
    }
    Ok(edges)
}

/// The checksums that Cargo.lock pins.
fn checksums(lock: &str) -> BTreeMap<Key, String> {
    let mut checksums = BTreeMap::new();
    for package in lock.split("[[package]]") {
        let field = |name: &str| {
            let lines =
                package.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(" = \"")?.strip_suffix('"'));
            lines.map(str::to_owned).next()
        };
        if let (Some(name), Some(version), Some(checksum)) = (field("name"), field("version"), field("checksum")) {
            checksums.insert((name, version), checksum);
        }
    }
    checksums
}

fn describe(
    edges: &BTreeMap<Key, Vec<Key>>,
    metadata: &Value,
    checksums: &BTreeMap<Key, String>,
    root: &str,
) -> Result<Vec<Linked>> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let known: BTreeMap<Key, &Value> = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|package| Some(((text(&package["name"])?, text(&package["version"])?), package)))
        .collect();
    let places: BTreeMap<&Key, usize> = edges.keys().enumerate().map(|(place, key)| (key, place)).collect();
    let packages = edges.iter().map(|(key, needs)| {
        let package = known.get(key).with_context(|| format!("cargo metadata does not know {} {}", key.0, key.1))?;
        let manifest = package["manifest_path"].as_str().unwrap_or_default();
        let mut dependencies: Vec<usize> = needs.iter().filter_map(|need| places.get(need).copied()).collect();
        dependencies.sort_unstable();
        Ok(Linked {
            name: key.0.clone(),
            version: key.1.clone(),
            licence: text(&package["license"]),
            checksum: checksums.get(key).cloned(),
            directory: Path::new(manifest).parent().map(Path::to_path_buf).unwrap_or_default(),
            dependencies,
            root: key.0 == root,
        })
    });
    packages.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a tree in which a package is needed twice, and printed without its needs the second time. Guarantees:
    /// every edge is there once, and a path behind the version does not matter.
    #[test]
    fn the_tree_becomes_edges() {
        let tree = "0 top v1.0.0 (/somewhere)\n1 left v2.0.0\n2 low v3.1.0\n1 low v3.1.0 (*)\n1 right v0.1.0+x\n2 left v2.0.0 (*)\n";
        let edges = edges(tree).unwrap();
        let needs = |name: &str| {
            let (_, needs) = edges.iter().find(|((found, _), _)| found == name).unwrap();
            needs.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(needs("top"), ["left", "low", "right"]);
        assert_eq!(needs("left"), ["low"]);
        assert_eq!(needs("right"), ["left"]);
        assert!(needs("low").is_empty());
        assert!(edges.contains_key(&("right".to_owned(), "0.1.0+x".to_owned())));
    }

    /// Scenario: a lock file with a package of this repository and a published one. Guarantees: only the published one
    /// has a checksum.
    #[test]
    fn checksums_come_from_the_lock_file() {
        let lock = "version = 4\n\n[[package]]\nname = \"own\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"other\"\nversion = \"1.2.3\"\nsource = \"x\"\nchecksum = \"abc\"\n";
        let expected = BTreeMap::from([(("other".to_owned(), "1.2.3".to_owned()), "abc".to_owned())]);
        assert_eq!(checksums(lock), expected);
    }
}
