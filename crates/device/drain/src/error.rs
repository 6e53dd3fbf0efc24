//! What a failure to send means for the data.

use std::time::Duration;

use model::Refusal;

/// The most characters of a server's words that are kept.
const WORDS: usize = 300;

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

/// A server's words, fit for a log line and a status page: no control characters, not endless.
pub fn words(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let clean = text.chars().map(|character| if character.is_control() { ' ' } else { character });
    let clean: String = clean.take(WORDS).collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: an answer with line breaks, escape sequences, bytes that are no text, without end. Guarantees: one short line
    /// that can be shown anywhere (P9).
    #[test]
    fn d2_words_of_a_server_are_fit_to_be_shown() {
        assert_eq!(words(b"no\r\nerror forged\x1b[2J  \xff"), "no error forged [2J \u{fffd}");
        assert_eq!(words(&vec![b'x'; 1 << 16]).len(), WORDS);
    }
}
