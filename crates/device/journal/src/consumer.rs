//! Who reads the journal, and what of it.

use model::{Lane, Signals};

/// The most that a destination which is not required may keep waiting for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimit {
    /// Bytes of its queue; the rest is released, whole segments at a time, in the order in which lanes yield.
    pub bytes: u64,
    /// Age of the newest record of a segment, nanoseconds; looked at only while the clock is synchronised.
    pub age_ns: u64,
}

/// One who reads the journal from a cursor of its own: a destination, or one signal of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// Its name, 1 to 80 bytes; no two have the same one.
    pub name: String,
    /// The name whose cursor it goes on from where it has none of its own yet.
    pub formerly: Option<String>,
    /// The signals that it takes: it is passed by blocks without any of them, and by gap records. `None` for everything.
    pub signals: Option<Signals>,
    /// The lanes that it takes, by their number; it is passed by the others.
    pub lanes: [bool; Lane::ALL.len()],
    /// What may wait for it at most; `None` for as much as there is room for.
    pub queue_limit: Option<QueueLimit>,
}

impl Consumer {
    /// One that takes everything.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), formerly: None, signals: None, lanes: [true; Lane::ALL.len()], queue_limit: None }
    }

    /// Those of these names, each of which takes everything.
    pub fn all(names: &[&str]) -> Vec<Self> {
        names.iter().map(|name| Self::new(name)).collect()
    }
}
