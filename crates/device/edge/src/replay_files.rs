//! The recorder in files, for the replay: a real data directory, committed at every tick, that a restart finds as a kill
//! leaves it.

use config::Config;
use disk::RealDisk;
use model::Stamp;
use sources::{Answer, Request};

use crate::build::{storage_options, thin_step};
use crate::destinations::Destinations;
use crate::disk_state::DiskState;
use crate::error::{StartError, start_error};
use pipeline::Batch;
use pipeline::Pipeline;

/// A data directory of the replay.
pub(crate) struct Files {
    disk: DiskState<RealDisk>,
    destinations: Destinations,
    committed_ledger: Vec<u8>,
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
        let opened = DiskState::open(disk, &storage_options(config), stamp(now_ns, wall_ns), now_ns, make);
        let opened = opened.map_err(|error| fail(error.to_string()))?;
        let mut disk = opened.disk;
        disk.thin_to(thin_step(config));
        let destinations = Destinations::of(config);
        Ok((Self { disk, destinations, committed_ledger: Vec::new() }, opened.pipeline))
    }

    /// Records a request, then takes it in.
    pub(crate) fn take(&mut self, pipeline: &mut Pipeline, request: Request, now_ns: u64, wall_ns: u64) -> Answer {
        let admitted = match pipeline.admit(request, now_ns) {
            Ok(admitted) => pipeline.compress(admitted),
            Err(answer) => return answer,
        };
        match self.disk.record(&[admitted.recording()], wall_ns, false) {
            Ok(sequence) => pipeline.take(admitted, Some(sequence), now_ns).answer,
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
        let attachment = pipeline.attachment(now_ns);
        if batches.is_empty() && attachment.ledger == self.committed_ledger {
            return Ok(batches);
        }
        let committed = self.disk.commit(batches.clone(), stamp(now_ns, wall_ns), &attachment);
        if let Some(error) = committed.error {
            return Err(start_error(format!("the data directory takes nothing: {error}")));
        }
        pipeline.committed(&attachment);
        self.destinations.skipped(&committed.passed, pipeline.books_mut());
        self.committed_ledger = attachment.ledger;
        Ok(batches)
    }

    /// By how many records the books miss, once what consumers were passed by is booked.
    pub(crate) fn difference(&mut self, pipeline: &mut Pipeline) -> u64 {
        let status = self.disk.status();
        self.destinations.skipped(&status.passed, pipeline.books_mut());
        let depth_of = |name: &str| self.destinations.positions(name).first().map(|position| status.depths[*position]);
        pipeline.ledger().difference(|name| depth_of(name).map_or(0, |depth| depth.records))
    }
}
