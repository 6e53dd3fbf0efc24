//! Options that commands share.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::clock::wall_ns;
use crate::rng::Rng;

/// Where the results go.
#[derive(Debug, Args)]
pub(crate) struct OutputOptions {
    /// Print the results as JSON on standard output; without it, a table
    #[arg(long)]
    json: bool,
    /// Also write the JSON to this file
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl OutputOptions {
    /// Prints and writes the results as asked for.
    pub(crate) fn write(&self, results: &serde_json::Value) -> Result<()> {
        let json = serde_json::to_string_pretty(results)?;
        if let Some(path) = &self.output {
            std::fs::write(path, format!("{json}\n")).with_context(|| format!("cannot write {}", path.display()))?;
        }
        if self.json {
            println!("{json}");
        } else {
            print_table("", results);
        }
        Ok(())
    }
}

/// One line for each figure, with the names of what it stands in before it.
fn print_table(name: &str, results: &serde_json::Value) {
    match results {
        serde_json::Value::Object(fields) => {
            for (field, value) in fields {
                print_table(&if name.is_empty() { field.clone() } else { format!("{name}.{field}") }, value);
            }
        }
        value => println!("{name:36} {value}"),
    }
}

/// A seed for who names none.
pub(crate) fn fresh_seed() -> u64 {
    // Small enough to be typed again.
    Rng::new(wall_ns(), u64::from(std::process::id())).between(1, 999_999)
}
