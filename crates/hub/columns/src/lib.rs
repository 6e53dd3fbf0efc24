//! Metrics as columns: the points of one series as a chunk of bytes, and many series with their chunks as the content of
//! a pack file (docs/hub.md, "Metric packs"). Sans-IO: bytes in, bytes out; whoever has the file hands it in as a
//! [`Source`].
//!
//! | module | concept |
//! |---|---|
//! | `bytes` | varints and a reader that never leaves its bytes |
//! | `column` | one column of whole or floating-point numbers |
//! | [`points`] | what a point holds beside its time, by kind |
//! | [`chunk`] | at most [`MAX_POINTS`] points of one series: times, and apart from them everything else |
//! | `block` | checksummed, compressed pieces of a file |
//! | `labels` | which series have a label's value: posting lists |
//! | [`join`](mod@join) | chunks of one series joined, the latest intake first |
//! | [`directory`] | what stays in memory of a pack, and reading by it |
//! | [`writer`] | writing a pack, series by series |

mod block;
mod bytes;
pub mod chunk;
mod column;
pub mod directory;
pub mod join;
mod labels;
pub mod points;
pub mod writer;

pub use block::Source;
pub use chunk::{Chunk, MAX_POINTS};
pub use directory::{ChunkRef, Directory, Entry, Matcher};
pub use join::join;
pub use points::{Buckets, Exponential, Histogram, Number, Summary, Values};
pub use roaring::RoaringBitmap;
pub use writer::{Unsorted, Writer};

/// Bytes that are not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Damaged(pub &'static str);
