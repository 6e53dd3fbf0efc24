//! The journal of a device: lanes of segments on disk, group commit, a cursor for each destination, recovery.
//!
//! Plain synchronous code over a [`Disk`]; one thread owns it. docs/journal.md is the text of record for files and rules.
//!
//! - in: [`Journal::append`], [`Journal::commit`]
//! - out: [`Journal::next_blocks`], [`Journal::confirm`], [`Journal::rewind`], [`Journal::depth`]
//! - without owning it: [`reader`], [`verify()`]; when it is damaged: [`repair()`]
//! - after a crash: [`Journal::open`] and its [`Recovery`]

mod cursor;
mod disk;
mod drain;
mod error;
mod format;
mod holes;
mod identity;
mod index;
mod journal;
mod lane;
mod lane_recovery;
mod lz4;
#[cfg(any(test, feature = "model"))]
pub mod model_disk;
mod note;
pub mod reader;
mod recorder;
mod recovery;
mod repair;
mod segment;
mod space;
mod stats;
#[cfg(test)]
mod tests;
mod verify;
mod window;

pub use disk::{Disk, RealDisk};
pub use drain::{Confirmed, Depth, StoredBlock};
pub use error::{AppendError, JournalError};
pub use journal::{Commit, Journal, LaneEnds, Lost, MIN_TOTAL_BYTES, Options};
pub use lane::FrameMeta;
pub use note::NOTE_CAP;
pub use recorder::{Content, EntryId, Recorder};
pub use recovery::{AfterNote, Damage, Recovery};
pub use repair::{Repaired, repair};
pub use stats::Stats;
pub use verify::{Finding, Verified, verify};
