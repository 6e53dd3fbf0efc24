//! Why there is no connection.

use model::Refusal;

/// Why there is no connection, or why it broke.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct ConnectError {
    /// What kind of thing went wrong.
    pub reason: Refusal,
    /// In words, with what to do.
    pub why: String,
    /// Whether it needs a person; else time may mend it.
    pub blocked: bool,
}

impl ConnectError {
    /// Time may mend it.
    pub fn retry(reason: Refusal, why: impl Into<String>) -> Self {
        Self { reason, why: why.into(), blocked: false }
    }

    /// It needs a person.
    pub fn blocked(reason: Refusal, why: impl Into<String>) -> Self {
        Self { reason, why: why.into(), blocked: true }
    }
}
