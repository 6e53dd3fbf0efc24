//! Faults on purpose (cargo feature `mutants`), for the crash model, which must notice each of them.
#![cfg_attr(not(feature = "mutants"), allow(unreachable_pub, reason = "public for the crash model only"))]

#[cfg(feature = "mutants")]
use std::cell::Cell;

/// The faults of the recorder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// Decisions are written after their frames are committed.
    DecisionsLate,
}

#[cfg(feature = "mutants")]
impl Mutant {
    /// All of them, with their names.
    pub const ALL: [(Mutant, &'static str); 1] = [(Mutant::DecisionsLate, "decisions-late")];
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
