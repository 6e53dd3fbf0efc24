//! The journal of a device: lanes of segments on disk, group commit, a cursor for each destination, recovery.
//!
//! Plain synchronous code over a [`disk::Disk`]; one thread owns it. docs/journal.md is the text of record for files and rules.
//!
//! - in: [`Journal::append`], [`Journal::commit`]
//! - out: [`Journal::next_blocks`], [`Journal::confirm`], [`Journal::rewind`], [`Journal::depth`]
//! - without owning it: [`reader`], [`verify()`]; when it is damaged: [`repair()`]
//! - after a crash: [`Journal::open`] and its [`Recovery`]

mod attachment;
mod commit_parts;
mod commit_record;
mod consumer;
mod cursor_file;
mod cursors;
mod damage;
mod error;
mod gap_log;
mod identity;
mod journal;
mod known_gaps;
mod lane;
mod lanes;
mod log;
#[cfg(feature = "mutants")]
pub mod mutants;
#[cfg(not(feature = "mutants"))]
mod mutants;
pub mod reader;
mod renew;
mod repair;
mod replacement;
mod shared;
mod space;
mod stats;
#[cfg(test)]
mod tests;
mod verify;
mod yielding;

pub use attachment::{ATTACHMENT_CAP, Attachment, AttachmentKind, RECORDER_LEN};
pub use consumer::{Consumer, QueueLimit};
pub use cursors::{Confirmed, Depth, Lost, StoredBlock};
pub use damage::{Damage, Recovery, Unbooked};
pub use error::{AppendError, JournalError};
pub use identity::{fresh_epoch, set_epoch};
pub use journal::{Commit, Journal, LaneEnds, MIN_TOTAL_BYTES, Opening, Options};
pub use lane::FrameMeta;
pub use renew::{CarryOver, Renewed, renew};
pub use repair::{Repaired, repair};
pub use segment::MIN_SEGMENT;
pub use space::{Stretch, largest_segment};
pub use stats::Stats;
pub use verify::{Finding, Verified, verify};
