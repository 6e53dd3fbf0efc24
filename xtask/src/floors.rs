//! The floor rule: a crate depends only on crates below it, as docs/architecture.md draws them, and lies in the folder that
//! the page says. The page is the text of record; this check reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::tools::root;

/// Crates that must not reach one another, even through others, with the reason.
const KEPT_APART: &[(&str, &[&str], &str)] = &[(
    "lab",
    &["sampling", "edge", "journal", "recorder", "segment", "disk", "red", "sources"],
    "the lab judges the agent by its own plan, so it shares no code with what it judges",
)];

/// Crates that link no async runtime, not even through others: whoever embeds them brings none or its own.
const WITHOUT_RUNTIME: &[&str] = &["drain", "journal", "pipeline"];

/// What brings a runtime, or is of use in one only.
const RUNTIMES: &[&str] =
    &["async-std", "futures-executor", "hyper", "hyper-util", "mio", "smol", "tokio", "tokio-rustls"];

/// Where a crate stands: the floor first, then the place on it from the left.
type Place = (u32, usize);

/// Checks the page against the workspace, and the workspace's dependencies against the page.
pub(crate) fn check(metadata: &Value) -> Result<()> {
    let page = root()?.join("docs/architecture.md");
    let text = fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
    let crates = dependencies(metadata);
    let mut faults = faults(&text, &crates)?;
    faults.extend(folder_faults(&text, &folders(metadata)));
    faults.extend(runtime_faults(WITHOUT_RUNTIME, &crates, &linked(metadata)));
    if !faults.is_empty() {
        bail!("{} faults against docs/architecture.md:\n{}", faults.len(), faults.join("\n"));
    }
    Ok(())
}

/// The packages of `cargo metadata`.
pub(crate) fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata["packages"].as_array().into_iter().flatten()
}

/// For each crate under `crates/`, by the name of its directory, the names of those it depends on in any way.
fn dependencies(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let directory = |manifest: &str| {
        let (_, inside) = manifest.rsplit_once("/crates/")?;
        inside.split('/').nth(1).map(str::to_owned)
    };
    packages(metadata)
        .filter_map(|package| {
            let name = directory(package["manifest_path"].as_str()?)?;
            let needs = package["dependencies"].as_array().into_iter().flatten();
            let paths = needs.filter_map(|need| need["path"].as_str());
            Some((name, paths.filter_map(|path| directory(&format!("{path}/"))).collect()))
        })
        .collect()
}

/// For each crate under `crates/`, the names of everything that its library or program links directly, features switched on.
fn linked(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    packages(metadata)
        .filter_map(|package| {
            let (_, inside) = package["manifest_path"].as_str()?.rsplit_once("/crates/")?;
            let name = inside.split('/').nth(1)?.to_owned();
            let needs = package["dependencies"].as_array().into_iter().flatten();
            let linked = needs.filter(|need| need["kind"].is_null()).filter_map(|need| need["name"].as_str());
            Some((name, linked.map(str::to_owned).collect()))
        })
        .collect()
}

/// Crates of the list that reach a runtime by what they and the crates below them link.
fn runtime_faults(
    without: &[&str],
    crates: &BTreeMap<String, BTreeSet<String>>,
    linked: &BTreeMap<String, BTreeSet<String>>,
) -> Vec<String> {
    let mut faults = Vec::new();
    for name in without {
        if !crates.contains_key(*name) {
            faults.push(format!("{name}: is to link no runtime, and is not there"));
        }
        let mut reached = reach(name, linked);
        reached.insert(name);
        for one in reached {
            for need in linked.get(one).into_iter().flatten().filter(|need| RUNTIMES.contains(&need.as_str())) {
                faults.push(format!("{name} links {need} (through {one}): it is to link no async runtime"));
            }
        }
    }
    faults
}

/// For each crate, the folder under `crates/` in which its directory lies.
fn folders(metadata: &Value) -> BTreeMap<String, String> {
    packages(metadata)
        .filter_map(|package| {
            let (_, inside) = package["manifest_path"].as_str()?.rsplit_once("/crates/")?;
            let mut parts = inside.split('/');
            let folder = parts.next()?.to_owned();
            Some((parts.next()?.to_owned(), folder))
        })
        .collect()
}

/// Compares the folders with the lines `crates/FOLDER/ name name` of the page.
fn folder_faults(page: &str, folders: &BTreeMap<String, String>) -> Vec<String> {
    let mut drawn = BTreeMap::new();
    for line in page.lines() {
        let Some((folder, names)) = line.trim_start().strip_prefix("crates/").and_then(|rest| rest.split_once('/'))
        else {
            continue;
        };
        drawn.extend(names.split_whitespace().map(|name| (name, folder)));
    }
    let unlike = folders.iter().filter(|(name, folder)| drawn.get(name.as_str()) != Some(&folder.as_str()));
    unlike
        .map(|(name, folder)| format!("{name}: lies in crates/{folder}, which the page's folders do not say"))
        .collect()
}

fn faults(page: &str, crates: &BTreeMap<String, BTreeSet<String>>) -> Result<Vec<String>> {
    let places = places(page, crates)?;
    let mut faults = Vec::new();
    for (name, needs) in crates {
        let Some(place) = places.get(name.as_str()) else {
            faults.push(format!("{name}: stands on no floor"));
            continue;
        };
        for need in needs {
            match places.get(need.as_str()) {
                // On one floor a crate may use those that stand left of it.
                Some(other) if other < place => {}
                Some(other) => faults.push(format!(
                    "{name} (floor {}, place {}) depends on {need} (floor {}, place {}), which is not below or left of it",
                    place.0, place.1, other.0, other.1
                )),
                None => {}
            }
        }
    }
    for (name, others, reason) in KEPT_APART {
        let reached = reach(name, crates);
        for other in others.iter().filter(|other| reached.contains(**other)) {
            faults.push(format!("{name} reaches {other}: {reason}"));
        }
    }
    Ok(faults)
}

/// Reads the drawing under "## The house": a line that begins with a floor's number lists its crates.
fn places<'a>(page: &str, crates: &'a BTreeMap<String, BTreeSet<String>>) -> Result<BTreeMap<&'a str, Place>> {
    let (_, after) = page.split_once("## The house").context("the page has no part \"The house\"")?;
    let drawing = after.split("```").nth(1).context("\"The house\" has no drawing")?;
    let mut places = BTreeMap::new();
    for line in drawing.lines() {
        let Some((number, listed)) = line.trim_start().split_once(' ') else { continue };
        let Ok(floor) = number.parse() else { continue };
        let listed = listed.split(':').next().unwrap_or_default();
        for (place, word) in listed.split_whitespace().enumerate() {
            let Some((name, _)) = crates.get_key_value(word) else { continue };
            if places.insert(name.as_str(), (floor, place)).is_some() {
                bail!("the drawing lists {name} twice");
            }
        }
    }
    Ok(places)
}

fn reach<'a>(from: &str, crates: &'a BTreeMap<String, BTreeSet<String>>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&str> = crates.get(from).into_iter().flatten().map(String::as_str).collect();
    while let Some(name) = open.pop() {
        if reached.insert(name) {
            open.extend(crates.get(name).into_iter().flatten().map(String::as_str));
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "## The house\n```\n 2  parts  link  sinks\n 1  ground   model  wire: the bytes of sinks\n```\n";

    fn crates(needs: &[(&str, &[&str])]) -> BTreeMap<String, BTreeSet<String>> {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        needs.iter().map(|(name, needs)| ((*name).to_owned(), set(needs))).collect()
    }

    /// Scenario: crates depend on lower floors and on those left of them, then one looks up, one to its right, and one
    /// stands nowhere. Guarantees: exactly the last three are faults.
    #[test]
    fn only_what_is_below_or_left_may_be_used() {
        let good = crates(&[("model", &[]), ("wire", &["model"]), ("link", &["wire"]), ("sinks", &["link", "model"])]);
        assert_eq!(faults(PAGE, &good).unwrap(), Vec::<String>::new());
        let bad = crates(&[("model", &["link"]), ("wire", &[]), ("link", &["sinks"]), ("sinks", &[]), ("extra", &[])]);
        let found = faults(PAGE, &bad).unwrap();
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].contains("extra: stands on no floor"), "{found:?}");
    }

    /// Scenario: one crate lies where the page says, one elsewhere, one is not on it. Guarantees: the last two are faults.
    #[test]
    fn folders_are_as_drawn() {
        let page = "text\n    crates/common/   model wire\n    crates/device/   sinks\n";
        let lies = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, folder)| ((*name).to_owned(), (*folder).to_owned())).collect()
        };
        assert!(folder_faults(page, &lies(&[("model", "common"), ("sinks", "device")])).is_empty());
        let found = folder_faults(page, &lies(&[("wire", "device"), ("extra", "hub")]));
        assert_eq!(found.len(), 2, "{found:?}");
    }

    /// Scenario: a crate links no runtime, one links it itself, one through another crate, one is not there. Guarantees: the last three are
    /// faults.
    #[test]
    fn sans_io_crates_link_no_runtime() {
        let linked = crates(&[
            ("model", &["bytes"]),
            ("pipeline", &["model"]),
            ("sources", &["tokio", "model"]),
            ("drain", &["model", "sources"]),
        ]);
        assert!(runtime_faults(&["pipeline", "model"], &linked, &linked).is_empty());
        let found = runtime_faults(&["sources", "drain", "tap"], &linked, &linked);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[1].contains("through sources"), "{found:?}");
    }

    /// Scenario: the lab reaches the sampler through another crate. Guarantees: it is a fault.
    #[test]
    fn the_lab_shares_no_code_with_what_it_judges() {
        let page = "## The house\n```\n 4 programs lab\n 2 parts sampling sinks\n```\n";
        let found = faults(page, &crates(&[("lab", &["sinks"]), ("sinks", &["sampling"]), ("sampling", &[])])).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
    }
}
