//! The bytes of one segment file: header, entries, index, footer (docs/journal.md, "Segment"); read, checked and repaired.
//!
//! A row of such files is a lane of the journal, or one of the recorder's rings. What a row means, and when its files come and
//! go, is for those above.

mod error;
mod fields;
mod file;
mod format;
mod gap;
mod index;
mod key;
pub mod lz4;
mod repair;
mod seal;
mod search;
mod summary;
mod verify;

pub use error::SegmentError;
pub use fields::{FieldReader, FieldWriter};
pub use file::{SegmentFile, Step, block_of, stated_epoch};
pub use format::{Entry, EntryKind, Footer, GAP_PREFIX_LEN, PAYLOAD_CAP, SEQUENCES_PER_SEGMENT, SegmentHeader};
pub use gap::{Extent, GapRecord};
pub use index::reserve as index_reserve;
pub use key::{FIXED, FIXED_LEN};
pub use key::{MOST, Row, SegmentKey, VERSION, first_of_name, firsts, lane_dir};
pub use repair::{MIN_SEGMENT, rewrite, totals_after};
pub use seal::{seal, seal_indexed};
pub use search::Search;
pub use summary::{Segment, earliest};
pub use verify::{SegmentWalk, walk};
