//! Why a request is not taken.

use std::time::Duration;

use model::Refusal as Reason;
use store::{FrameRefused, StoreError, TooHeavy};

/// How long a sender may take for one body: 1 MiB over a link of 4 KB/s.
pub(crate) const BODY_TIME: Duration = Duration::from_secs(300);
/// How long a sender may send nothing of a body.
pub(crate) const BODY_SILENCE: Duration = Duration::from_secs(30);

/// Why a request is not taken, by its status.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// 400: it cannot be read.
    Malformed(String),
    /// 400: it can be read and is not what belongs here.
    Bad(Reason, String),
    /// 401: no token, or the wrong one.
    Token,
    /// 403: known, and not allowed to do this.
    Forbidden(String),
    /// 408: the body took too long.
    Slow,
    /// 409: the identity is refused.
    Identity(Reason, String),
    /// 413: larger than `limit`.
    TooLarge { limit: usize },
    /// 413: what it holds would take too much memory.
    TooHeavy(String),
    /// 415: a type or encoding that is not read here.
    MediaType(Reason, String),
    /// 503: try again later.
    Busy(Reason, String),
}

impl Refusal {
    pub(crate) fn status(&self) -> u16 {
        match self {
            Refusal::Malformed(_) | Refusal::Bad(..) => 400,
            Refusal::Token => 401,
            Refusal::Forbidden(_) => 403,
            Refusal::Slow => 408,
            Refusal::Identity(..) => 409,
            Refusal::TooLarge { .. } | Refusal::TooHeavy(_) => 413,
            Refusal::MediaType(..) => 415,
            Refusal::Busy(..) => 503,
        }
    }

    /// The reason, as counters and log lines name it.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Refusal::Malformed(_) => Reason::Malformed,
            Refusal::Token | Refusal::Forbidden(_) => Reason::Unauthorized,
            Refusal::Slow => Reason::TooSlow,
            Refusal::TooLarge { .. } => Reason::TooLarge,
            Refusal::TooHeavy(_) => Reason::TooManyRecords,
            Refusal::Bad(reason, _)
            | Refusal::Identity(reason, _)
            | Refusal::MediaType(reason, _)
            | Refusal::Busy(reason, _) => *reason,
        }
    }

    /// Seconds to wait, where waiting helps.
    pub(crate) fn retry_after(&self) -> Option<u32> {
        matches!(self, Refusal::Busy(..)).then_some(1)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::Malformed(what)
            | Refusal::Forbidden(what)
            | Refusal::TooHeavy(what)
            | Refusal::Bad(_, what)
            | Refusal::Identity(_, what)
            | Refusal::MediaType(_, what)
            | Refusal::Busy(_, what) => f.write_str(what),
            Refusal::Token => {
                f.write_str("this hub wants a token: send the header `authorization: Bearer TOKEN` with the right one")
            }
            Refusal::Slow => write!(
                f,
                "the body took longer than {} s, or nothing of it came for {} s",
                BODY_TIME.as_secs(),
                BODY_SILENCE.as_secs()
            ),
            Refusal::TooLarge { limit } => {
                write!(f, "larger than the limit of {limit} bytes; send smaller requests")
            }
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let reason = match error {
            StoreError::Poisoned(_) => Reason::DiskFull,
            _ => Reason::NoRoom,
        };
        Refusal::Busy(reason, error.to_string())
    }
}

impl From<FrameRefused> for Refusal {
    fn from(error: FrameRefused) -> Self {
        match error {
            FrameRefused::TooHeavy { source: TooHeavy::Memory, .. } => {
                Refusal::TooHeavy(format!("{error}; send smaller requests"))
            }
            error => Refusal::Malformed(error.to_string()),
        }
    }
}
