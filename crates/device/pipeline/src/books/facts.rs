//! What the parts hand to the books.

use std::time::Duration;

use ledger::PerSignal;
use model::{Answer, Lane, Refusal};

/// How long a producer is told to wait.
pub const WAIT: Duration = Duration::from_secs(1);

/// Why a request is not admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotAdmitted {
    /// It was accepted before.
    Repeated,
    /// The same request is on its way to the disk.
    OnItsWay,
    /// It can never be taken.
    Bad {
        /// The kind of it.
        reason: Refusal,
        /// What is wrong, for the producer.
        why: String,
    },
    /// There is no room for it now.
    Later {
        /// The kind of it, where it has a counter.
        reason: Option<Refusal>,
        /// The lane whose watermarks refuse it.
        lane: Option<Lane>,
    },
}

impl NotAdmitted {
    /// There is no room for it now.
    pub(crate) const NO_ROOM: Self = NotAdmitted::Later { reason: None, lane: None };

    /// What the producer is told.
    pub(crate) fn answer(self) -> Answer {
        match self {
            NotAdmitted::Repeated => Answer::Accepted,
            NotAdmitted::OnItsWay | NotAdmitted::Later { .. } => Answer::Wait(WAIT),
            NotAdmitted::Bad { reason: Refusal::KeyReused, why } => Answer::Conflict(why),
            NotAdmitted::Bad { why, .. } => Answer::Bad(why),
        }
    }
}

/// What became of the records of a request, all of one signal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Incoming {
    /// They wait for the decision of their trace.
    pub(crate) waiting: u64,
    /// They go on to the journal without one.
    pub(crate) passing: u64,
    /// A rule leaves them out, or they are spans without a trace.
    pub(crate) filtered: u64,
    /// A limit takes their trace out.
    pub(crate) limited: u64,
    /// Their trace is dropped.
    pub(crate) sampled_out: u64,
    /// Log records whose trace id stood in a field of another name.
    pub(crate) trace_ids_from_fields: u64,
    /// Exemplars that go on with their kept trace; no records.
    pub(crate) exemplars: u64,
    /// Exemplars that find no room to wait for their trace; no records.
    pub(crate) exemplars_without_room: u64,
}

impl Incoming {
    /// How many records they are.
    pub(crate) fn records(&self) -> u64 {
        self.waiting + self.passing + self.filtered + self.limited + self.sampled_out
    }
}

/// What decisions did to the records in the recorder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) kept_traces: u64,
    pub(crate) dropped_traces: u64,
    /// The policies that kept them, by position.
    pub(crate) policies: Vec<u16>,
    /// Records that were booked as sampled out, and are delivered after all.
    pub(crate) recalled: PerSignal,
    /// Records that waited and are left out.
    pub(crate) left_out: PerSignal,
    /// Exemplars that go with their kept trace.
    pub(crate) exemplars: u64,
    /// Entries that could not be read.
    pub(crate) unreadable: u64,
}

/// What encoding found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Encoded {
    /// Records that could not be encoded.
    pub(crate) unencodable: PerSignal,
    pub(crate) unknown_fields: u64,
    pub(crate) invalid_utf8: u64,
}

/// What was fetched, all of one signal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Fetched {
    /// How many records.
    pub(crate) records: u64,
    /// So many of them were booked as sampled out.
    pub(crate) sampled_out: u64,
    /// So many of them were booked as filtered.
    pub(crate) filtered: u64,
}
