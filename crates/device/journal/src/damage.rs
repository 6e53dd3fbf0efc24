//! What was found when a journal was opened.

use model::{Lane, Signal};
use segment::Extent;

use crate::attachment::AttachmentKind;

/// A place where bytes were lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// The lane.
    pub lane: Lane,
    /// First sequence of the segment (its file name).
    pub segment: u64,
    /// Offset in the segment's file behind which it begins.
    pub offset: u64,
    /// First sequence that is missing.
    pub first: u64,
    /// Last sequence that is missing, inclusive; for a torn tail, which was never committed, one less than `first`.
    pub last: u64,
    /// Records that are missing, as far as is known.
    pub records: u64,
}

/// Frames of one lane that the last ledger does not know of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unbooked {
    /// The lane.
    pub lane: Lane,
    /// Frames.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
    /// How many of them are spans, log records and points, in the order of [`Signal::ALL`].
    pub by_signal: [u64; Signal::ALL.len()],
}

/// What was found when the journal was opened.
#[derive(Debug, Clone, Default)]
pub struct Recovery {
    /// Whether the data directory was empty: this is a new epoch.
    pub created: bool,
    /// Frames held.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
    /// What rode in the last commit that can be read.
    pub attachments: Vec<(AttachmentKind, Vec<u8>)>,
    /// Whether the recorder's attachment surely is the last one: no commit record was damaged since.
    pub is_last: bool,
    /// Frames that are on disk and not in the ledger that is attached: they were synced, and the power went before it was.
    pub unbooked: Vec<Unbooked>,
    /// Records that destinations, by their positions, lost in earlier lives, and that the ledger that is attached does not know of: a
    /// crash came before the next one was committed.
    pub lost: Vec<(usize, u64)>,
    /// Tails that a crash tore. They were never committed, and their sequences are given out again.
    pub torn: Vec<Damage>,
    /// What was committed and cannot be read any more. Each has a gap record.
    pub corrupt: Vec<Damage>,
    /// What was there at the last commit, undelivered, and whose files are gone: somebody removed them. Each has a gap record.
    pub missing: Vec<Damage>,
    /// Destinations whose cursor's last state may be lost: they go on from the one before, or from the oldest frame held.
    pub damaged_cursors: Vec<String>,
    /// Files that are none of this epoch's; they were set aside under another name.
    pub foreign: Vec<String>,
    /// Segments whose eviction a crash had interrupted.
    pub evictions_finished: u64,
    /// Why the state that was found could not be committed yet; the next commit tries again.
    pub not_committed: Option<String>,
}

impl Recovery {
    /// What rode in the last commit, of one kind.
    pub fn attachment(&self, kind: AttachmentKind) -> Option<&[u8]> {
        self.attachments.iter().find(|(other, _)| *other == kind).map(|(_, bytes)| &bytes[..])
    }
}

/// What a lane lost, as it is reported to the caller.
pub(crate) fn span_damage(lane: Lane, segment: u64, offset: u64, span: &Extent) -> Damage {
    Damage { lane, segment, offset, first: span.first, last: span.last, records: span.records() }
}
