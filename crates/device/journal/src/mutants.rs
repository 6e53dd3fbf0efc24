//! Faults on purpose (cargo feature `mutants`), for the crash model, which must notice each of them.
#![cfg_attr(not(feature = "mutants"), allow(unreachable_pub, reason = "public for the crash model only"))]

#[cfg(feature = "mutants")]
use std::cell::Cell;

/// The faults of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// A commit does not sync the lanes' files.
    NoFsync,
    /// Cursors are written before the destination has confirmed: what is handed out counts as confirmed.
    CursorEarly,
    /// Directories are not synced.
    NoDirSync,
    /// Frames are sent as soon as they are written, before the sync.
    SentEarly,
    /// After a cut the lane begins again at a sequence that was sent.
    SequenceReused,
    /// The gap record of an eviction is not written.
    GapLost,
    /// A segment with frames on their way is evicted.
    EvictInFlight,
    /// What one destination confirms counts for the next one.
    WrongCursor,
    /// A commit does not look whether the data directory is still there.
    PlaceUnseen,
    /// Where a lane should begin is not looked at when it is opened.
    StartForgotten,
    /// Commit records do not say what destinations lost since the last ledger.
    LossesForgotten,
}

#[cfg(feature = "mutants")]
impl Mutant {
    /// All of them, with their names.
    pub const ALL: [(Mutant, &'static str); 11] = [
        (Mutant::NoFsync, "no-fsync"),
        (Mutant::CursorEarly, "cursor-early"),
        (Mutant::NoDirSync, "no-dir-sync"),
        (Mutant::SentEarly, "sent-early"),
        (Mutant::SequenceReused, "sequence-reused"),
        (Mutant::GapLost, "gap-lost"),
        (Mutant::EvictInFlight, "evict-in-flight"),
        (Mutant::WrongCursor, "wrong-cursor"),
        (Mutant::PlaceUnseen, "place-unseen"),
        (Mutant::StartForgotten, "start-forgotten"),
        (Mutant::LossesForgotten, "losses-forgotten"),
    ];
}

#[cfg(feature = "mutants")]
thread_local! {
    static CHOSEN: Cell<Option<Mutant>> = const { Cell::new(None) };
}

/// Chooses the fault of this thread.
#[cfg(feature = "mutants")]
pub fn choose(mutant: Option<Mutant>) {
    CHOSEN.set(mutant);
}

/// Whether a fault is on; never in a build without the feature.
#[cfg(feature = "mutants")]
pub(crate) fn is_on(mutant: Mutant) -> bool {
    CHOSEN.get() == Some(mutant)
}

/// Whether a fault is on; never in a build without the feature.
#[cfg(not(feature = "mutants"))]
pub(crate) const fn is_on(_: Mutant) -> bool {
    false
}
