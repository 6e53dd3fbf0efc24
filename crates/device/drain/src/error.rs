//! What a failure to send means for the data.

use std::time::Duration;

use model::Refusal;

/// When a server wants to be asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// After so long.
    In(Duration),
    /// At this moment, seconds since the Unix epoch: whoever has a clock knows how long that is.
    At(u64),
}

/// Why something was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The link or the server cannot take it now: the same bytes again, not before `after` where the server said so.
    #[error("{why}")]
    Retry {
        /// The kind of it.
        reason: Refusal,
        /// What happened, for people.
        why: String,
        /// The server's own wish.
        after: Option<RetryAfter>,
        /// The server failed, and it may be because of these bytes.
        doubtful: bool,
    },
    /// Credentials, certificates or the address are wrong: nothing is dropped, an operator has to act.
    #[error("{why}")]
    Blocked {
        /// The kind of it.
        reason: Refusal,
        /// What happened and what to do.
        why: String,
    },
    /// The server will never take these bytes.
    #[error("{why}")]
    Rejected {
        /// The kind of it.
        reason: Refusal,
        /// The server's words.
        why: String,
    },
}

impl SendError {
    /// To be tried again.
    pub fn retry(reason: Refusal, why: impl Into<String>) -> Self {
        SendError::Retry { reason, why: why.into(), after: None, doubtful: false }
    }

    /// For a person to mend.
    pub fn blocked(reason: Refusal, why: impl Into<String>) -> Self {
        SendError::Blocked { reason, why: why.into() }
    }

    /// The kind of it.
    pub fn reason(&self) -> Refusal {
        match self {
            SendError::Retry { reason, .. }
            | SendError::Blocked { reason, .. }
            | SendError::Rejected { reason, .. } => *reason,
        }
    }
}
