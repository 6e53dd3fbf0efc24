//! A new epoch between two lives of the program.

use config::Config;
use disk::RealDisk;
use journal::Renewed;

use crate::build::storage_options;
use crate::clock::Clock;
use crate::{log, storage};

/// Begins a new epoch in the data directory. Without one the agent goes on in the old epoch, and its drain is blocked.
pub(crate) fn renew(config: &Config) -> Renewal {
    let renewed = RealDisk::new(&config.data_dir)
        .map_err(|error| error.to_string())
        .and_then(|disk| {
            let epoch = journal::fresh_epoch().map_err(|error| error.to_string())?;
            let renewed = storage::renew(&disk, &storage_options(config), Clock::start().stamp(), epoch);
            renewed.map_err(|error| error.to_string())
        })
        .inspect_err(|error| log::error(&format!("a new epoch could not begin: {error}")))
        .ok();
    if let Some(renewed) = &renewed {
        log::warn(&format!(
            "epoch {} ended and {} begins: {} frames that are still to be delivered were migrated",
            renewed.from, renewed.to, renewed.frames
        ));
    }
    Renewal(renewed)
}

/// That a new epoch was tried, and what came of it.
pub(crate) struct Renewal(Option<Renewed>);

impl Renewal {
    /// Records that could not be migrated, for each destination.
    pub(crate) fn lost(&self) -> impl Iterator<Item = u64> {
        self.0.iter().flat_map(|renewed| renewed.lost.iter().copied())
    }
}
