//! Figures of the journal.

/// Figures since the journal was opened, and of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Bytes handed to the operating system to write (flash wear), since open.
    pub bytes_written: u64,
    /// Syncs of files and directories, since open.
    pub syncs: u64,
    /// Syncs or writes that failed, since open.
    pub failed_syncs: u64,
    /// Stretches of segments that could not be read, since open.
    pub corrupt_blocks: u64,
    /// Bytes of entries that went into each lane, by its number, since open.
    pub lane_bytes: [u64; model::Lane::ALL.len()],
    /// Segments held now.
    pub segments: u64,
    /// Bytes that all files of the journal take on disk now.
    pub disk_bytes: u64,
    /// Bytes of memory that the journal's buffers and tables hold now.
    pub resident_bytes: u64,
}
