//! The journal of a device: lanes of segments on disk, group commit, a cursor for each destination, recovery.
//!
//! Plain synchronous code over a [`disk::Disk`]; one thread owns it. docs/journal.md is the text of record for files and rules.
//!
//! - in: [`Journal::append`], [`Journal::commit`]
//! - what came in and is not decided yet: [`Recorder`] in memory, [`Journal::record`] in files
//! - out: [`Journal::next_blocks`], [`Journal::confirm`], [`Journal::rewind`], [`Journal::depth`]
//! - without owning it: [`reader`], [`verify()`]; when it is damaged: [`repair()`]
//! - after a crash: [`Journal::open`] and its [`Recovery`]

mod backlog;
mod cursor;
mod drain;
mod error;
mod hold;
mod holes;
mod identity;
mod journal;
mod lane;
mod lane_recovery;
#[cfg(feature = "mutants")]
pub mod mutants;
#[cfg(not(feature = "mutants"))]
mod mutants;
mod note;
pub mod reader;
mod recorder;
mod recording;
mod recovery;
mod renew;
mod repair;
mod requests;
mod skip;
mod space;
mod stats;
mod tape;
#[cfg(test)]
mod tests;
mod thinning;
mod verify;
mod window;

pub use backlog::largest_segment;
pub use drain::{Confirmed, Depth, StoredBlock};
pub use error::{AppendError, JournalError};
pub use hold::Hold;
pub use identity::set_epoch;
pub use journal::{Commit, Journal, LaneEnds, Lost, MIN_TOTAL_BYTES, Options};
pub use lane::FrameMeta;
pub use note::NOTE_CAP;
pub use recorder::{Content, EntryId, Recorder};
pub use recording::{Decisions, DecisionsRead, RECORDING_CAP, Recording, Taken};
pub use recovery::{AfterNote, Damage, Recovery};
pub use renew::{Renewed, renew, renew_as};
pub use repair::{Repaired, repair};
pub use requests::{FoundRequest, RequestsRead};
pub use segment::MIN_SEGMENT;
pub use stats::Stats;
pub use tape::TapeError;
pub use thinning::Stretch;
pub use verify::{Finding, Verified, verify};
