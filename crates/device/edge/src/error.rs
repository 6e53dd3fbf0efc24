//! Why an agent does not start, or ends in disorder.

/// Why the agent does not start or ends, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct StartError {
    what: String,
    /// Whether it ran, and could not put everything on disk at its end.
    pub ran: bool,
}

impl StartError {
    pub(crate) fn at_end(what: String) -> Self {
        Self { what, ran: true }
    }
}

pub(crate) fn start_error(what: impl Into<String>) -> StartError {
    StartError { what: what.into(), ran: false }
}
