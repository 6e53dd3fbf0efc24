//! What the model disk counts.

/// How often each fault happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FaultCounts {
    /// Files of which a power cut lost some unsynced sectors and kept others.
    pub torn_files: u64,
    /// Unsynced sectors lost in power cuts.
    pub lost_sectors: u64,
    /// Unsynced names lost in power cuts.
    pub lost_names: u64,
    /// Syncs that failed.
    pub failed_syncs: u64,
    /// Calls that found the disk full.
    pub full: u64,
    /// Reads that gave less than was asked for.
    pub short_reads: u64,
}
