//! The web page: built by npm into `ui/dist`, which the hub embeds. Nothing of it is committed.

use crate::tools::{have, root, run};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

/// `cargo xtask ui`: builds the page when it is stale; an error where it cannot be built.
pub(crate) fn task() -> Result<()> {
    if !have("npm") {
        bail!("npm is not installed; it comes with Node, version 20 or newer");
    }
    build()
}

/// Builds the page when it is stale and npm is there; says so when it is not, since the hub runs without it.
pub(crate) fn build_if_possible() -> Result<()> {
    if !have("npm") {
        eprintln!("npm is not installed: the hub will have no web page (install Node 20 or newer, then run again)");
        return Ok(());
    }
    build()
}

/// Installs what the page is built with.
pub(crate) fn install() -> Result<()> {
    install_in(&root()?.join("ui"))
}

/// Installs exactly what a directory's lock file says, when that is not what is there.
pub(crate) fn install_in(directory: &Path) -> Result<()> {
    let lock = directory.join("package-lock.json");
    let wanted = modified(&lock).with_context(|| format!("{} is not there", lock.display()))?;
    if modified(&directory.join("node_modules/.package-lock.json")).is_some_and(|installed| installed >= wanted) {
        return Ok(());
    }
    run(Command::new("npm").current_dir(directory).args(["ci", "--no-audit", "--no-fund"]))
}

fn build() -> Result<()> {
    build_in(&root()?.join("ui"))
}

/// Builds the page of a source when it is stale.
pub(crate) fn build_in(ui: &Path) -> Result<()> {
    if !is_stale(ui)? {
        eprintln!("ui/dist is up to date");
        return Ok(());
    }
    install_in(ui)?;
    run(Command::new("npm").current_dir(ui).args(["run", "build"]))
}

/// Whether any source of the page is newer than what was built of it.
fn is_stale(ui: &Path) -> Result<bool> {
    match modified(&ui.join("dist/index.html")) {
        None => Ok(true),
        Some(built) => Ok(newest(ui)?.is_some_and(|source| source > built)),
    }
}

fn newest(directory: &Path) -> Result<Option<SystemTime>> {
    let mut newest = None;
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let time = if entry.file_type()?.is_dir() {
            if ["node_modules", "dist", "coverage"].iter().any(|skipped| name == *skipped) {
                continue;
            }
            self::newest(&entry.path())?
        } else {
            modified(&entry.path())
        };
        newest = newest.max(time);
    }
    Ok(newest)
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Scenario: a page that was never built, then built, then changed deep inside, with newer files among what npm
    /// installed. Guarantees: it is stale before it was built and after the change, and not in between.
    #[test]
    fn the_page_is_stale_when_a_source_is_newer() {
        let ui = tempfile::tempdir().unwrap();
        let touch = |path: &str, seconds: u64| {
            let path = ui.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let file = fs::File::create(&path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        };
        touch("src/deep/page.ts", 10);
        assert!(is_stale(ui.path()).unwrap());
        touch("dist/index.html", 20);
        touch("node_modules/library.js", 30);
        assert!(!is_stale(ui.path()).unwrap());
        touch("src/deep/page.ts", 40);
        assert!(is_stale(ui.path()).unwrap());
    }
}
