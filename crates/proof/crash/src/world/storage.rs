//! How journal and recorder of a seed work.

use edge::StorageOptions;
use journal::{Consumer, Options, QueueLimit};
use model::Lane;
use recorder::FileOptions;

use super::{DESTINATIONS, Level, SECOND, Setting};

/// `small` is a disk on which lanes have to yield; in a `long_outage` metrics have little room.
pub(super) fn options(
    setting: &Setting,
    level: Level,
    small: bool,
    long_outage: bool,
    history_bytes: u64,
) -> StorageOptions {
    let recorder = (level != Level::Received).then_some(FileOptions { bytes: 1 << 20, decision_bytes: 1 << 20 });
    let mut consumers = Consumer::all(&DESTINATIONS);
    if setting.seed.is_multiple_of(4) {
        // The second destination is not required.
        consumers[1].queue_limit = Some(QueueLimit { bytes: 96 << 10, age_ns: u64::MAX });
    }
    let journal = Options {
        device: "vessel".into(),
        consumers,
        total_bytes: if small { 512 << 10 } else { 4 << 20 },
        lane_ages: lane_ages(setting.seed),
        lane_bytes: Lane::ALL.map(|lane| if long_outage && lane == Lane::Metrics { 128 << 10 } else { u64::MAX }),
        history_bytes,
        free_space_floor: 0,
        cut_uncommitted: recorder.is_some(),
    };
    StorageOptions { journal, recorder }
}

/// Traces and logs have an age in one seed of three.
pub(super) fn lane_ages(seed: u64) -> [u64; 6] {
    let age = if seed % 3 == 1 { 8 * SECOND } else { u64::MAX };
    [u64::MAX, u64::MAX, age, age, u64::MAX, u64::MAX]
}
