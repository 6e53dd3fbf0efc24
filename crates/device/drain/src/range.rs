//! Stretches of a lane.

use std::fmt;

use journal::StoredBlock;
use model::Lane;

/// A stretch of a lane that a destination has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The lane.
    pub lane: Lane,
    /// First sequence.
    pub first: u64,
    /// Last sequence, inclusive.
    pub last: u64,
}

impl Range {
    /// What a block holds.
    pub fn of(block: &StoredBlock) -> Self {
        Self { lane: block.lane, first: block.first, last: block.last }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}-{}", self.lane, self.first, self.last)
    }
}
