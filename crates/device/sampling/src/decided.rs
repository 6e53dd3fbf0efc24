//! Decisions as they come out of the sampler.

use model::TraceId;

use crate::decisions::Verdict;
use crate::index::Entries;

/// A decision, to be applied to the recorder. Every entry named loses one pin, unless it was recalled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The trace.
    pub trace: TraceId,
    /// Keep or drop; `None` for a trace of which no span came: its log records stand alone, its exemplars are dead.
    pub verdict: Option<Verdict>,
    /// Position of the policy that kept it (or dropped it, for a drop policy); see [`crate::Sampler::policy_name`].
    pub policy: Option<u16>,
    /// With which probability such traces are kept (see [`crate::threshold`]).
    pub threshold: u64,
    /// The recorder entries that hold its parts.
    pub entries: Entries,
    /// The bytes of its parts, as they came.
    pub bytes: u64,
    /// It was dropped before; the parts in the recorder are to be kept after all.
    pub recalled: bool,
    /// Parts that were released when no span had come; what went alone then has been delivered.
    pub released: bool,
}

/// What asking for a trace comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetch {
    /// It was dropped, and is kept after all.
    Recalled,
    /// It waits for its decision.
    Undecided,
    /// It was kept before.
    Kept,
    /// Nothing of it is held any more.
    Gone,
}

/// Where a trace stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It waits for its decision.
    Undecided,
    /// It was kept.
    Kept,
    /// It was dropped.
    Dropped,
    /// No decision is remembered.
    Unknown,
}

impl Standing {
    /// `undecided`, `kept`, `dropped` or `unknown`.
    pub fn name(self) -> &'static str {
        match self {
            Standing::Undecided => "undecided",
            Standing::Kept => "kept",
            Standing::Dropped => "dropped",
            Standing::Unknown => "unknown",
        }
    }
}
