//! From a configuration to a running agent: sockets, tasks, the disk thread, and an orderly end.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use config::Config;
use disk::{Disk, RealDisk};
use sources::Limits;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::access::access;
use crate::agent::Agent;
use crate::build::{check_memory, settings};
use crate::clock::Clock;
use crate::commits::Commits;
use crate::consumers::consumers;
use crate::core_dumps::forbid_unless_wanted;
use crate::delivery::{DrainTask, exemplar_holds};
use crate::destinations::Destinations;
use crate::error::{StartError, start_error};
use crate::gate::Gate;
use crate::heart::{Heart, TICK};
use crate::listeners::{Listeners, Serving};
use crate::memory::ProgramPages;
use crate::opening::{connections, open_disk};
use crate::outlets::outlets;
use crate::renewal::{Renewal, renew};
use crate::shared::Shared;
use crate::sockets::Sockets;
use crate::tell::write_addresses;
use crate::{admin, intake, log, memory, reading, remote_writing};

/// The Unix socket for operators, in the data directory.
pub const SOCKET: &str = "lightship.sock";
/// How long requests that are inside may take when the program ends, and how often they are looked for.
const EMPTY: Duration = Duration::from_secs(3);
const STEP: Duration = Duration::from_millis(10);
/// How long the last commit may take when the program ends.
const LAST_COMMIT: Duration = Duration::from_secs(10);
/// How long drains may take to tell that the program stops.
const GOODBYE: Duration = Duration::from_secs(2);
/// How long answers are waited for before a new epoch: producers wait meanwhile.
const ANSWERS: Duration = Duration::from_millis(300);

/// Runs an agent until the program is told to end (SIGTERM or SIGINT).
///
/// # Errors
/// [`StartError`] when it cannot start; once it runs, it goes on.
pub fn run(config: &Config) -> Result<(), StartError> {
    forbid_unless_wanted(config)?;
    memory::limit_allocator();
    let mut renewal = None;
    loop {
        let pages = ProgramPages::find();
        pages.cut();
        // Reading the configuration needed much code that never runs again.
        pages.give_back();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| start_error(format!("cannot start: {error}")))?;
        let life = main(config, pages, renewal.as_ref(), |path| RealDisk::new(path));
        match tokio::task::LocalSet::new().block_on(&runtime, life)? {
            Ended::Told => return Ok(()),
            Ended::NewEpoch => renewal = Some(renew(config)),
        }
    }
}

/// Why a life of the agent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was told to.
    Told,
    /// A hub wants a new epoch.
    NewEpoch,
}

/// Everything, on the disk that `disk` makes of the data directory.
pub(crate) async fn main<D>(
    config: &Config,
    pages: ProgramPages,
    renewal: Option<&Renewal>,
    disk: impl FnOnce(&Path) -> std::io::Result<D>,
) -> Result<Ended, StartError>
where
    D: Disk + Send + 'static,
    D::File: Send,
{
    let clock = Clock::start();
    check_memory(config)?;
    // Sockets first: a port in use is found before the disk is touched.
    let listeners = Listeners::bind(config).await?;
    let sockets = Sockets::bind(config).await?;
    let addresses = sockets.addresses();
    let consumers = consumers(config);
    let outlets = outlets(config)?;
    let mut exemplars = exemplar_holds(config, &consumers);
    let (disk_thread, mut pipeline) = open_disk(config, &clock, disk)?;
    for (consumer, lost) in consumers.iter().zip(renewal.iter().flat_map(|one| one.lost())) {
        pipeline.books_mut().delivered_are_lost(&consumer.name, lost);
    }
    let shared = Rc::new(Shared {
        pages,
        device: config.device.id.clone(),
        clock: clock.clone(),
        disk: disk_thread,
        pipeline: Rc::new(RefCell::new(pipeline)),
        commits: Commits::default(),
        new_epoch: Notify::new(),
        gate: Rc::new(Gate::default()),
        first_life: renewal.is_none(),
        watermarks: Cell::default(),
        settles: config.sampling.longest_wait().saturating_add(config.journal.commit_delay.0).saturating_add(TICK),
        leaving: watch::Sender::new(false),
        destinations: Destinations::of(config),
    });
    let limits = Limits::with(settings(config));
    let shares = connections(config)?;
    limits.places.set_most(shares.producers);
    shared.watch_growth(&limits, config.memory.map(|limit| limit.0));
    let share = config.sampling.expected_kept_share;
    let agent = Rc::new(Agent::new(Rc::clone(&shared), Rc::clone(&limits), share, access(config)?, shares.admin));

    let (mut wakes, mut drains) = (Vec::with_capacity(outlets.len()), Vec::with_capacity(outlets.len()));
    for (index, (consumer, outlet)) in consumers.iter().zip(outlets).enumerate() {
        let wake = Rc::new(Notify::new());
        wakes.push(Rc::clone(&wake));
        let drain =
            DrainTask::new(&shared, (index, consumer), outlet, wake, exemplars.get_mut(index).and_then(Option::take));
        drains.push(tokio::task::spawn_local(drain.run()));
    }
    let mut heart = Heart::new(config, &agent, &wakes);
    // Before anything is answered: a restart after a kill has to know of this life.
    heart.commit().await;
    let intake = intake::intake(&shared, config.ack());
    let (beside, remote_write) = remote_writing::beside(config, &clock)?;
    let Serving { tasks: mut sources, grpc, http, admin: (admin_listener, admin_address) } =
        listeners.serve(&intake, &limits, beside)?;
    let read_to: Vec<_> = shared.pipeline.borrow().read_to().collect();
    let recorded = intake::intake(&shared, config.recorded());
    let reading = reading::start(config, &clock, &recorded, &limits, sockets, &read_to)?;
    sources.extend(reading.tasks);
    agent.set_sources(reading.states.into_iter().chain(remote_write).collect());
    tokio::task::spawn_local(admin::serve(admin_listener, Rc::clone(&agent)));
    if let Some(listener) = admin::socket(&config.data_dir.join(SOCKET)) {
        tokio::task::spawn_local(admin::serve_socket(listener, Rc::clone(&agent)));
    }
    write_addresses(&config.data_dir, grpc, http, admin_address, &addresses)
        .map_err(|error| start_error(format!("{}: {error}", config.data_dir.display())))?;
    log::info(&format!(
        "lightship {} runs as {}; admin on {admin_address}",
        env!("CARGO_PKG_VERSION"),
        config.device.id
    ));

    shared.pages.give_back();
    let fail = |error: std::io::Error| start_error(format!("cannot listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(fail)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(fail)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(fail)?;
    let why = loop {
        tokio::select! {
            () = tokio::time::sleep(TICK) => heart.beat().await,
            () = shared.commits.wanted() => heart.commit().await,
            () = shared.new_epoch.notified() => break Ended::NewEpoch,
            _ = terminate.recv() => break Ended::Told,
            _ = hangup.recv() => log::info("SIGHUP: the configuration is read at start only; restart to change it"),
            _ = interrupt.recv() => break Ended::Told,
        }
    };
    // Nothing more comes in, and everything is made durable. Connections that are open get to hear that they are to come again; what
    // they had sent comes to its end before the last commit, which it may wait for. Undecided traces wait on in the next life, with what comes of them then.
    shared.gate.close();
    sources.iter().for_each(JoinHandle::abort);
    let until = shared.clock.now_ns().saturating_add(EMPTY.as_nanos() as u64);
    while shared.gate.inside() > 0 && shared.clock.now_ns() < until {
        heart.commit().await;
        tokio::time::sleep(STEP).await;
    }
    // What is on its way is answered and booked, or its destination would get it again under the new epoch.
    let drains = match why {
        Ended::Told => drains,
        Ended::NewEpoch => {
            say_goodbye(&shared, drains, ANSWERS).await;
            Vec::new()
        }
    };
    shared.pipeline.borrow_mut().close_books();
    // Also when there seems to be nothing: the disk is asked once more.
    shared.commits.force();
    let ended = tokio::time::timeout(LAST_COMMIT, async {
        heart.commit().await;
        if config.recorder.files.is_none() {
            heart.keep_undecided().await;
        }
        say_goodbye(&shared, drains, GOODBYE).await;
        shared.disk.stop().await;
    });
    let failed = match ended.await {
        Ok(()) => agent.disk_error(),
        Err(_) => Some("the disk does not answer".to_owned()),
    };
    // Undecided records that are recorded in files are on disk too.
    let pending = if config.recorder.files.is_none() { shared.pipeline.borrow().ledger().pending.total() } else { 0 };
    let left = heart.left(pending);
    match failed {
        None if left == 0 => log::info("ended; everything accepted is on disk"),
        failed => {
            let reason = failed.map_or(String::new(), |reason| format!(": {reason}"));
            let what = format!("ended with {left} accepted records that are not on disk{reason}");
            log::error(&what);
            // A new epoch ends a life, not the program.
            if why == Ended::Told {
                return Err(StartError::at_end(what));
            }
        }
    }
    Ok(why)
}

/// Lets drains come to the end of what they are sending, and tell their hubs that the program stops; who does not answer within `most` is not
/// waited for.
async fn say_goodbye(shared: &Shared, drains: Vec<JoinHandle<()>>, most: Duration) {
    shared.leaving.send_replace(true);
    let all = async {
        for drain in drains {
            // A drain that is gone has nobody to tell.
            let _gone = drain.await;
        }
    };
    let _told = tokio::time::timeout(most, all).await;
}
