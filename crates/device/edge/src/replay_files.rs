//! The recorder in files, for the replay: a real data directory, committed at every tick, that a restart finds as a kill
//! leaves it.

use config::Config;
use journal::RealDisk;
use model::Stamp;
use sources::{Answer, Request};

use crate::batch::Batch;
use crate::build::{journal_options, thin_step};
use crate::error::{StartError, start_error};
use crate::pipeline::Pipeline;
use crate::vault::Vault;

/// A data directory of the replay.
pub(crate) struct Files {
    vault: Vault<RealDisk>,
    note: Vec<u8>,
}

fn stamp(now_ns: u64, wall_ns: u64) -> Stamp {
    Stamp { boot_id: [0; 16], uptime_ns: now_ns, wall_ns, synchronised: true }
}

impl Files {
    /// Opens the configured directory; `make` builds the pipeline that goes on with its books.
    pub(crate) fn open(
        config: &Config,
        now_ns: u64,
        wall_ns: u64,
        make: impl FnOnce(ledger::Ledger) -> Pipeline,
    ) -> Result<(Self, Pipeline), StartError> {
        let fail = |why: String| start_error(format!("data_dir {}: {why}", config.data_dir.display()));
        let disk = RealDisk::new(&config.data_dir).map_err(|error| fail(error.to_string()))?;
        let opened = Vault::open(disk, journal_options(config), stamp(now_ns, wall_ns), now_ns, make);
        let opened = opened.map_err(|error| fail(error.to_string()))?;
        let mut vault = opened.vault;
        vault.thin_to(thin_step(config));
        Ok((Self { vault, note: Vec::new() }, opened.pipeline))
    }

    /// Records a request, then takes it in.
    pub(crate) fn take(&mut self, pipeline: &mut Pipeline, request: Request, now_ns: u64, wall_ns: u64) -> Answer {
        let admitted = match pipeline.admit(request, now_ns) {
            Ok(admitted) => admitted,
            Err(answer) => return answer,
        };
        match self.vault.record(&[admitted.recording()], wall_ns, false) {
            Ok(sequence) => pipeline.take(admitted, Some(sequence), now_ns),
            Err(_) => pipeline.refuse(&admitted),
        }
    }

    /// Commits what is ready, and gives it: it may be delivered.
    pub(crate) fn commit(
        &mut self,
        pipeline: &mut Pipeline,
        now_ns: u64,
        wall_ns: u64,
    ) -> Result<Vec<Batch>, StartError> {
        let batches = pipeline.take_batches();
        let rider = pipeline.rider(now_ns);
        if batches.is_empty() && rider.note == self.note {
            return Ok(batches);
        }
        let committed = self.vault.commit(batches.clone(), stamp(now_ns, wall_ns), &rider);
        if let Some(error) = committed.error {
            return Err(start_error(format!("the data directory takes nothing: {error}")));
        }
        pipeline.committed(&rider);
        self.note = rider.note;
        Ok(batches)
    }

    /// Records that a destination would still have to get.
    pub(crate) fn queued(&mut self) -> u64 {
        self.vault.state().depths.first().map_or(0, |depth| depth.records)
    }
}
