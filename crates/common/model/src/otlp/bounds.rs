//! How much a record, what stands around it, and a piece of a request may be.

/// The most bytes of one record.
pub const MAX_RECORD: usize = 240 << 10;
/// The most bytes that stand around records: a resource, a scope and what a metric has besides its points.
pub const MAX_AROUND: usize = 64 << 10;
/// The most messages, values and numbers in one record, and around it.
pub const MAX_PARTS: usize = 16 << 10;

/// Records of so many bytes go together; a larger one goes alone.
pub const PIECE_BYTES: usize = 48 << 10;
/// So many records go together at most.
pub const PIECE_RECORDS: u64 = 1024;
/// So many messages, values and numbers go together at most, unless a single record has more.
pub const PIECE_PARTS: usize = 8 << 10;
