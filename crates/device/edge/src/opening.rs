//! What a start opens: the data directory with its journal and the pipeline that goes on with it, and places for connections.

use std::path::Path;

use config::Config;
use disk::Disk;
use pipeline::{Pipeline, Resumed};
use red::Red;

use crate::build::{storage_options, thin_step, watermarks};
use crate::clock::Clock;
use crate::consumers::consumers;
use crate::descriptors::{self, Shares};
use crate::disk_state::DiskState;
use crate::disk_thread::{self, DiskThread};
use crate::error::{StartError, start_error};
use crate::guarding::guard;
use crate::log;
use crate::policies::{lanes, rules, sampler};
use crate::tell::report;

/// How many connections memory and the process's file descriptors leave.
pub(crate) fn connections(config: &Config) -> Result<Shares, StartError> {
    let wanted = Shares { producers: crate::build::connections(config), admin: usize::from(config.admin.connections) };
    // Files that are read stay open.
    let read: u64 = config.sources.files.iter().map(|source| u64::from(source.max_files) + 2).sum();
    let (limit, open) = (descriptors::limit(), descriptors::open() + read);
    let shares = descriptors::share(limit, open, consumers(config).len() as u64, wanted).map_err(|needed| {
        start_error(format!(
            "the system gives this program {limit} file descriptors, too few for the journal and connections: at least \
             {needed} (ulimit -n, or LimitNOFILE of the unit)"
        ))
    })?;
    let configured = config.sources.otlp.as_ref().map_or(0, |otlp| usize::from(otlp.connections));
    if wanted.producers < configured {
        log::info(&format!(
            "memory has room for {} connections of producers at once, of sources.otlp.connections: {configured}",
            wanted.producers
        ));
    }
    if shares != wanted {
        log::warn(&format!(
            "the system gives this program {limit} file descriptors: at most {} connections of producers instead of {}, {} \
             to the admin address and socket each; raise ulimit -n or LimitNOFILE",
            shares.producers, wanted.producers, shares.admin
        ));
    }
    Ok(shares)
}

/// Opens the data directory on the disk that `disk` makes of it.
pub(crate) fn open_disk<D>(
    config: &Config,
    clock: &Clock,
    disk: impl FnOnce(&Path) -> std::io::Result<D>,
) -> Result<(DiskThread, Pipeline), StartError>
where
    D: Disk + Send + 'static,
    D::File: Send,
{
    let data_dir = &config.data_dir;
    let fail = |why: String| start_error(format!("data_dir {}: {why}", data_dir.display()));
    disk::make_dir(data_dir).map_err(|error| fail(format!("{error}; make it, or choose another data_dir")))?;
    let disk = disk(data_dir).map_err(|error| fail(error.to_string()))?;
    let (sampler, lanes, guard) = (sampler(config)?, lanes(config)?, guard(config)?);
    let (records, series, traces) = crate::limiting::limits(config)?;
    let make = |ledger| {
        let red = config.red.enabled.then(|| Red::new(crate::policies::red(config), clock.wall_ns()));
        Pipeline::new(config.recorder.memory.0, sampler, red, ledger)
            .with_rules(rules(config))
            .with_guard(guard)
            .with_lanes(lanes)
            .with_limits(records, series, traces)
            .with_drift(crate::limiting::drift(config))
            .with_watermarks(watermarks(config))
    };
    let opened = DiskState::open(disk, &storage_options(config), clock.stamp(), clock.now_ns(), make)
        .map_err(|error| fail(error.to_string()))?;
    report(&opened.recovery);
    if let Some(error) = &opened.bad_ledger {
        log::error(&format!("{error}; counting starts anew"));
    }
    if opened.resumed != Resumed::default() {
        log::info(&format!(
            "{} undecided records wait again, {} decisions are remembered, {} requests came after the last commit",
            opened.resumed.undecided.total(),
            opened.resumed.decisions,
            opened.resumed.requests
        ));
    }
    if opened.resumed.set_aside > 0 {
        log::error(&format!(
            "the last starts died before they had taken in what is recorded: {} requests of it are set aside in dead-letters; look into \
             them, and import them where there is more memory",
            opened.resumed.set_aside
        ));
    }
    if opened.resumed.damaged > 0 {
        log::error(&format!("{} places of the recorder's files cannot be read", opened.resumed.damaged));
    }
    let mut disk = opened.disk;
    disk.thin_to(thin_step(config));
    let thread = disk_thread::start(disk).map_err(|error| fail(format!("cannot start the disk thread: {error}")))?;
    Ok((thread, opened.pipeline))
}
