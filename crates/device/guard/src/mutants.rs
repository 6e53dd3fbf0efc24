//! Faults on purpose (cargo feature `mutants`): the proofs must notice each of them. `LIGHTSHIP_MUTANT` chooses one.

use model::otlp::schema::{Field, Message};

/// The chosen fault.
#[derive(Debug, Default)]
pub(crate) struct Mutant {
    skips_status: bool,
}

impl Mutant {
    /// What the environment asks for.
    pub(crate) fn from_environment() -> Self {
        Self { skips_status: std::env::var("LIGHTSHIP_MUTANT").is_ok_and(|name| name == "unmasked-field") }
    }

    /// Whether a field is passed over: the message of a span's status.
    pub(crate) fn skips(&self, schema: &Message, field: &Field) -> bool {
        self.skips_status && schema.name == "Status" && field.name == "message"
    }
}
