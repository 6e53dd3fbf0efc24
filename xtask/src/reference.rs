//! `cargo xtask reference`: the pages that are made of the types of the configuration.

use crate::tools::{cargo, output, root};
use anyhow::{Context, Result, bail};
use std::fs;

/// (page, options of the program that prints it).
const PAGES: [(&str, &[&str]); 2] =
    [("docs/configuration.md", &[]), ("docs/configuration.schema.json", &["--", "--schema"])];

fn pages() -> Result<Vec<(&'static str, String)>> {
    let print = ["run", "--locked", "--quiet", "--package", "config", "--features", "schema", "--example", "reference"];
    PAGES.iter().map(|(page, options)| Ok((*page, output(cargo()?.args(print).args(*options))?))).collect()
}

/// Writes them.
pub(crate) fn task() -> Result<()> {
    for (page, text) in pages()? {
        fs::write(root()?.join(page), text).with_context(|| format!("cannot write {page}"))?;
    }
    Ok(())
}

/// An error when one is not what its types say.
pub(crate) fn check() -> Result<()> {
    for (page, text) in pages()? {
        if fs::read_to_string(root()?.join(page)).unwrap_or_default() != text {
            bail!("{page} is not what the types of the configuration say: run cargo xtask reference");
        }
    }
    Ok(())
}
