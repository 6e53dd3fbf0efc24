//! Whether fields that change are looked for.

use serde::Deserialize;

/// Fields of records that change while a service runs (docs/drift.md): a few records are looked at each second. Nothing is dropped by it.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Drift {
    /// Whether they are looked for, and told as log records of the agent, in its log, and in `/metrics`.
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn yes() -> bool {
    true
}

impl Default for Drift {
    fn default() -> Self {
        Self { enabled: true }
    }
}
