//! What happened, over all seeds.

use disk::model::FaultCounts;
use serde::Serialize;

/// How often things happened in one run, or in how many runs.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Counts {
    pub(crate) operations: u64,
    pub(crate) power_cuts: u64,
    pub(crate) kills: u64,
    pub(crate) torn_and_reordered_writes: u64,
    pub(crate) lost_sectors: u64,
    pub(crate) lost_directory_entries: u64,
    pub(crate) failed_syncs: u64,
    pub(crate) full_disk: u64,
    pub(crate) short_reads: u64,
    pub(crate) flipped_bits: u64,
    pub(crate) old_copies: u64,
    pub(crate) quarantined: u64,
    pub(crate) new_epochs: u64,
    pub(crate) hub_restores: u64,
    pub(crate) hub_failures: u64,
    /// Records given up because of their age, for each destination.
    pub(crate) aged_records: u64,
    pub(crate) thinned_points: u64,
    /// Files, lanes or whole directories that somebody removed.
    pub(crate) removed: u64,
    /// Stretches that were found to be missing because of that.
    pub(crate) found_missing: u64,
    /// Records that a hub turned out to have at a hello.
    pub(crate) skipped_records: u64,
}

impl Counts {
    pub(crate) fn add_disk(&mut self, faults: &FaultCounts) {
        self.torn_and_reordered_writes += faults.torn_files;
        self.lost_sectors += faults.lost_sectors;
        self.lost_directory_entries += faults.lost_names;
        self.failed_syncs += faults.failed_syncs;
        self.full_disk += faults.full;
        self.short_reads += faults.short_reads;
    }

    fn fields(&mut self) -> [&mut u64; 20] {
        [
            &mut self.operations,
            &mut self.power_cuts,
            &mut self.kills,
            &mut self.torn_and_reordered_writes,
            &mut self.lost_sectors,
            &mut self.lost_directory_entries,
            &mut self.failed_syncs,
            &mut self.full_disk,
            &mut self.short_reads,
            &mut self.flipped_bits,
            &mut self.old_copies,
            &mut self.quarantined,
            &mut self.new_epochs,
            &mut self.hub_restores,
            &mut self.hub_failures,
            &mut self.aged_records,
            &mut self.thinned_points,
            &mut self.removed,
            &mut self.found_missing,
            &mut self.skipped_records,
        ]
    }

    pub(crate) fn add(&mut self, mut other: Self) {
        for (sum, more) in self.fields().into_iter().zip(other.fields()) {
            *sum += *more;
        }
    }

    /// 1 where something happened.
    pub(crate) fn happened(mut self) -> Self {
        for field in self.fields() {
            *field = u64::from(*field > 0);
        }
        self
    }
}
