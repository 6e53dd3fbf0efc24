//! What the store counts of its own work.

use std::sync::atomic::{AtomicU64, AtomicUsize};

/// Counters of the store's own work.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// Place in the order of intake for the next frame.
    pub(crate) next_order: AtomicU64,
    /// Number of the next pack; never given out twice, so that no reader's file is overwritten.
    pub(crate) next_pack: AtomicU64,
    /// Synchronous commits.
    pub(crate) commits: AtomicU64,
    /// Frames known only by their claim: whether the content was the same cannot be told.
    pub(crate) unverified: AtomicU64,
    /// Intake rows that this version cannot read; kept, claimed, not shown.
    pub(crate) unreadable_frames: AtomicU64,
    /// Blocks of packs that are damaged; left out of answers.
    pub(crate) damaged_blocks: AtomicU64,
    /// Frames with texts that are not UTF-8, which were replaced in their rows.
    pub(crate) replaced_texts: AtomicU64,
    /// Compactor runs that packed something.
    pub(crate) compactions: AtomicU64,
    /// Packs merged into others.
    pub(crate) merged_packs: AtomicU64,
    /// Packs deleted by retention.
    pub(crate) expired_packs: AtomicU64,
    /// Cost of frames that wait for the writer.
    pub(crate) queued_cost: AtomicUsize,
    /// Cost of the largest request that was refused for want of room since the compactor last ran.
    pub(crate) refused_cost: AtomicUsize,
    /// Frames with spans that were stored since the start; only counted for the mutants.
    #[cfg(feature = "mutants")]
    pub(crate) trace_frames: AtomicU64,
}
