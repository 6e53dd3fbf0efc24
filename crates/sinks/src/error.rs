//! What a sink's failure means for the data.

use std::time::Duration;

/// Why something was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// The link or the server cannot take it now: the same bytes again, not before `after` where the server said so.
    #[error("{why}")]
    Retry {
        /// What happened, for people.
        why: String,
        /// The server's own wish.
        after: Option<Duration>,
    },
    /// Credentials, certificates or the address are wrong: nothing is dropped, an operator has to act.
    #[error("{why}")]
    Blocked {
        /// What happened and what to do.
        why: String,
    },
    /// The server will never take these bytes.
    #[error("{why}")]
    Rejected {
        /// The server's words.
        why: String,
    },
}

impl SinkError {
    pub(crate) fn retry(why: impl Into<String>) -> Self {
        SinkError::Retry { why: why.into(), after: None }
    }
}
