//! Why an agent does not start.

/// Why the agent does not start, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub(crate) String);

pub(crate) fn start_error(what: impl Into<String>) -> StartError {
    StartError(what.into())
}
