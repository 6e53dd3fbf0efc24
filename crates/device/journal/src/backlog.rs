//! How much of what each lane may take is still to be delivered: for those who tell producers to wait before it is full.

use disk::Disk;
use model::Lane;
use segment::MIN_SEGMENT;

use crate::journal::Journal;
use crate::space::{MAX_BRISK_SEGMENT, MAX_SEGMENT};

/// The largest segment that a lane makes which may take `lane_bytes` of a journal's `total_bytes`, unless a single frame
/// needs more.
pub fn largest_segment(total_bytes: u64, lane_bytes: u64) -> u64 {
    let of_lane = (lane_bytes / 8).max(MAX_BRISK_SEGMENT);
    (total_bytes / 256).clamp(MIN_SEGMENT, MAX_SEGMENT).min(of_lane)
}

impl<D: Disk> Journal<D> {
    /// Bytes of each lane, by its number, that some destination has not confirmed. Whole segments, since room comes back by
    /// whole segments; of the one that is being written, what is in it. History is not counted: it goes before anything is
    /// refused.
    pub fn backlog(&self) -> [u64; Lane::ALL.len()] {
        std::array::from_fn(|index| {
            let lane = &self.lanes[index];
            let done = self.destinations.iter().map(|one| one.done_with(index)).min().unwrap_or(u64::MAX);
            let waiting = lane.segments.iter().rev().take_while(|segment| segment.last > done);
            let bytes = waiting.enumerate().map(|(from_newest, segment)| match from_newest == 0 && lane.is_open() {
                true => segment.data_end,
                false => segment.disk_bytes,
            });
            bytes.sum::<u64>() + lane.unsynced_bytes()
        })
    }
}
