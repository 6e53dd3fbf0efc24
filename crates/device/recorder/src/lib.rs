//! The recorder: what came in and is not decided yet (docs/journal.md, "Recorder").
//!
//! - in memory: [`Recorder`], a bounded ring; entries that hold parts of undecided traces are pinned
//! - in files: [`RecorderFiles`], a ring of requests and one of decisions, which survive the end of the program. Its head rides
//!   in each commit of the journal, so that frames, decisions and head become valid together
//! - read without owning it: [`read_requests`]

mod compressed;
mod content;
mod decisions;
mod error;
mod files;
mod memory;
#[cfg(feature = "mutants")]
pub mod mutants;
#[cfg(not(feature = "mutants"))]
mod mutants;
mod reader;
mod renewal;
mod requests;
mod ring;

pub use compressed::Compressed;
pub use content::{Content, EntryId};
pub use decisions::{Decisions, DecisionsRead};
pub use error::RecorderError;
pub use files::{FileOptions, HEAD_LEN, Progress, RecorderFiles};
pub use memory::Recorder;
pub use reader::{FoundRequest, RequestsRead, read_requests};
pub use renewal::carry_over;
pub use requests::{REQUEST_CAP, Recording};
