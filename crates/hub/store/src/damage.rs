//! What stored data cannot be read any more, so that no answer without it calls itself complete.

use std::sync::{Mutex, PoisonError};

use model::Signal;

use crate::pack::Pack;

/// Most damages that are kept one by one; what is found beyond them widens the last of its pack.
const MOST: usize = 10_000;

/// Why stored data cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The pack's file is gone or cannot be opened.
    PackMissing,
    /// The file is there, its content is not what was written.
    PackDamaged,
    /// The pack is there, but the manifest does not name it.
    PackUnlisted,
    /// A row of the intake that this version cannot decode.
    FrameUnreadable,
}

impl Reason {
    /// The word of the API.
    pub fn name(self) -> &'static str {
        match self {
            Reason::PackMissing => "hub-pack-missing",
            Reason::PackDamaged => "hub-pack-damaged",
            Reason::PackUnlisted => "hub-pack-unlisted",
            Reason::FrameUnreadable => "hub-frame-unreadable",
        }
    }
}

/// A stretch of event time whose stored records cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The pack's number; 0 for a frame that is not packed.
    pub pack: u64,
    /// The block, where only one is damaged.
    pub block: Option<usize>,
    /// The signal; `None` when it is not known, which stands for all of them.
    pub signal: Option<Signal>,
    /// First nanosecond.
    pub from: u64,
    /// First nanosecond after it.
    pub to: u64,
    /// The devices; empty when they are not known, which stands for all of them.
    pub devices: Vec<String>,
    /// Why.
    pub reason: Reason,
    /// Where and what, for people.
    pub what: String,
    /// An operator knows of it: answers stay incomplete, health does not mind.
    pub accepted: bool,
}

impl Damage {
    /// Whether an answer over `[from, to)` from `signal` may lack something by it.
    pub(crate) fn touches(&self, signal: Signal, from: u64, to: u64) -> bool {
        self.signal.is_none_or(|of| of == signal) && self.from < to && self.to > from
    }
}

/// All damage that is known.
#[derive(Debug, Default)]
pub(crate) struct Damages(Mutex<Vec<Damage>>);

impl Damages {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Damage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one in; whether it was not known yet.
    pub(crate) fn add(&self, damage: Damage) -> bool {
        let mut known = self.lock();
        let same = |other: &&mut Damage| {
            other.pack == damage.pack && (other.block.is_none() || other.block == damage.block) && damage.pack != 0
        };
        if known.iter_mut().find(same).is_some() {
            return false;
        }
        if known.len() >= MOST
            && let Some(last) = known.iter_mut().rfind(|other| other.pack == damage.pack)
        {
            last.from = last.from.min(damage.from);
            last.to = last.to.max(damage.to);
            return false;
        }
        known.push(damage);
        true
    }

    /// Forgets the damage of packs that are gone on purpose.
    pub(crate) fn forget(&self, is_gone: impl Fn(u64) -> bool) {
        self.lock().retain(|damage| damage.pack == 0 || !is_gone(damage.pack));
    }

    pub(crate) fn all(&self) -> Vec<Damage> {
        self.lock().clone()
    }

    /// Those that touch an answer.
    pub(crate) fn of(&self, signals: &[Signal], from: u64, to: u64) -> Vec<Damage> {
        let known = self.lock();
        let touching = known.iter().filter(|damage| signals.iter().any(|signal| damage.touches(*signal, from, to)));
        touching.cloned().collect()
    }

    /// Whether a pack that is not `pack` and may hold records of its kind and time cannot be read as a whole.
    pub(crate) fn is_missing_beside(&self, pack: &Pack) -> bool {
        let signal = pack.kind.signal();
        let is_beside = |damage: &Damage| {
            let touches = damage.touches(signal, pack.index.min_time, pack.index.max_time.saturating_add(1));
            damage.block.is_none() && damage.pack != 0 && damage.pack != pack.number && touches
        };
        self.lock().iter().any(is_beside)
    }

    /// How many packs cannot be read as a whole.
    pub(crate) fn packs(&self) -> usize {
        self.lock().iter().filter(|damage| damage.pack != 0 && damage.block.is_none()).count()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }
}
