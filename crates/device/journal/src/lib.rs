//! The journal of a device: lanes of segments on disk, group commit, a cursor for each destination, recovery.
//!
//! Plain synchronous code over a [`disk::Disk`]; one thread owns it. docs/journal.md is the text of record for files and rules.
//!
//! - in: [`Journal::append`], [`Journal::commit`]
//! - out: [`Journal::next_blocks`], [`Journal::confirm`], [`Journal::rewind`], [`Journal::depth`]
//! - without owning it: [`reader`], [`verify()`]; when it is damaged: [`repair()`]
//! - after a crash: [`Journal::open`] and its [`Recovery`]

mod attachment;
mod backlog;
mod commit_record;
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
pub mod reader;
mod recovery;
mod renew;
mod repair;
mod skip;
mod space;
mod stats;
#[cfg(test)]
mod tests;
mod thinning;
mod verify;
mod window;

pub use attachment::{ATTACHMENT_CAP, Attachment, AttachmentKind, RECORDER_LEN};
pub use backlog::largest_segment;
pub use drain::{Confirmed, Depth, StoredBlock};
pub use error::{AppendError, JournalError};
pub use hold::Hold;
pub use identity::{fresh_epoch, set_epoch};
pub use journal::{Commit, Journal, LaneEnds, Lost, MIN_TOTAL_BYTES, Options};
pub use lane::FrameMeta;
pub use recovery::{Damage, Opening, Recovery, Unbooked};
pub use renew::{CarryOver, Renewed, renew};
pub use repair::{Repaired, repair};
pub use segment::MIN_SEGMENT;
pub use stats::Stats;
pub use thinning::Stretch;
pub use verify::{Finding, Verified, verify};
