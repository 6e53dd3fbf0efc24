//! From a configuration to a running agent: sockets, tasks, the disk thread, and an orderly end.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use config::Config;
use disk::{Disk, RealDisk};
use journal::Renewed;
use ledger::PerSignal;
use model::RefusalCounts;
use red::Red;
use sources::{Intake, Limits};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::access::access;
use crate::agent::Agent;
use crate::build::{check_memory, destination, settings, sink, storage_options, thin_step, watermarks};
use crate::clock::Clock;
use crate::commits::Commits;
use crate::delivery::DrainTask;
use crate::descriptors::{self, Shares};
use crate::disk_state::DiskState;
use crate::disk_thread::{self, DiskThread};
use crate::error::{StartError, start_error};
use crate::gate::Gate;
use crate::memory::ProgramPages;
use crate::policies::{lanes, rules, sampler};
use crate::remaining_file::Parts;
use crate::shared::Shared;
use crate::tell::{report, write_addresses};
use crate::{admin, intake, log, memory, storage};
use pipeline::Pipeline;
use pipeline::Resumed;

/// The Unix socket for operators, in the data directory.
pub const SOCKET: &str = "lightship.sock";
/// How often waits are looked at.
const TICK: Duration = Duration::from_millis(100);
/// How often an idle agent looks whether its data directory is there.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often pages of code that lately did not run are given back.
const PAGES_EVERY: Duration = Duration::from_secs(1);
/// How long requests that are inside may take when the program ends, and how often they are looked for.
const EMPTY: Duration = Duration::from_secs(3);
const STEP: Duration = Duration::from_millis(10);
/// How long the last commit may take when the program ends.
const LAST_COMMIT: Duration = Duration::from_secs(10);
/// How long drains may take to tell that the program stops.
const GOODBYE: Duration = Duration::from_secs(2);

/// Runs an agent until the program is told to end (SIGTERM or SIGINT).
///
/// # Errors
/// [`StartError`] when it cannot start; once it runs, it goes on.
pub fn run(config: &Config) -> Result<(), StartError> {
    memory::limit_allocator();
    let mut renewal = None;
    loop {
        let pages = ProgramPages::find();
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

/// Begins a new epoch in the data directory. Without one the agent goes on in the old epoch, and its drain is blocked.
fn renew(config: &Config) -> Renewal {
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
            "epoch {} ended and {} begins: {} frames that are still to be delivered went over",
            renewed.from, renewed.to, renewed.frames
        ));
    }
    Renewal(renewed)
}

/// That a new epoch was tried, and what came of it.
pub(crate) struct Renewal(Option<Renewed>);

impl Renewal {
    /// Records that could not go over, for each destination.
    fn lost(&self) -> impl Iterator<Item = u64> {
        self.0.iter().flat_map(|renewed| renewed.lost.iter().copied())
    }
}

async fn bind(what: &str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let fail = |error: std::io::Error| {
        start_error(format!(
            "{what}: cannot listen on {address}: {error}; is another program there? choose another port"
        ))
    };
    let listener = TcpListener::bind(address).await.map_err(fail)?;
    let bound = listener.local_addr().map_err(fail)?;
    Ok((listener, bound))
}

#[cfg(feature = "source-otlp-grpc")]
fn serve_grpc(listener: TcpListener, intake: &Intake, limits: &Rc<Limits>) -> Result<JoinHandle<()>, StartError> {
    Ok(tokio::task::spawn_local(sources::serve_grpc(listener, Rc::clone(intake), Rc::clone(limits))))
}

#[cfg(not(feature = "source-otlp-grpc"))]
fn serve_grpc(_: TcpListener, _: &Intake, _: &Rc<Limits>) -> Result<JoinHandle<()>, StartError> {
    Err(start_error("sources.otlp.grpc: this build has no OTLP/gRPC intake (cargo feature source-otlp-grpc)"))
}

#[cfg(feature = "source-otlp-http")]
fn serve_http(listener: TcpListener, intake: &Intake, limits: &Rc<Limits>) -> Result<JoinHandle<()>, StartError> {
    Ok(tokio::task::spawn_local(sources::serve_http(listener, Rc::clone(intake), Rc::clone(limits))))
}

#[cfg(not(feature = "source-otlp-http"))]
fn serve_http(_: TcpListener, _: &Intake, _: &Rc<Limits>) -> Result<JoinHandle<()>, StartError> {
    Err(start_error("sources.otlp.http: this build has no OTLP/HTTP intake (cargo feature source-otlp-http)"))
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
    let (admin_listener, admin_address) = bind("admin.listen", config.admin.listen).await?;
    let (mut grpc, mut http) = (None, None);
    if let Some(otlp) = &config.sources.otlp {
        if let Some(address) = otlp.grpc {
            grpc = Some(bind("sources.otlp.grpc", address).await?);
        }
        if let Some(address) = otlp.http {
            http = Some(bind("sources.otlp.http", address).await?);
        }
    }
    let mut sinks = Vec::with_capacity(config.destinations.len());
    for destination in &config.destinations {
        sinks.push(sink(destination)?);
    }
    let (disk_thread, mut pipeline) = open_disk(config, &clock, disk)?;
    for (destination, lost) in config.destinations.iter().zip(renewal.iter().flat_map(|one| one.lost())) {
        pipeline.books_mut().delivered_are_lost(&destination.name, lost);
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
        incidents: RefCell::default(),
        destinations: RefCell::new(config.destinations.iter().map(destination).collect()),
        resumed: config.destinations.iter().map(|_| Rc::default()).collect(),
    });
    let limits = Limits::with(settings(config));
    let shares = connections(config)?;
    limits.places.set_most(shares.producers);
    shared.watch_growth(&limits, config.memory.map(|limit| limit.0));
    let share = config.sampling.expected_kept_share;
    let agent = Rc::new(Agent::new(Rc::clone(&shared), Rc::clone(&limits), share, access(config)?, shares.admin));

    let (mut wakes, mut drains) = (Vec::with_capacity(sinks.len()), Vec::with_capacity(sinks.len()));
    for (index, (destination, sink)) in config.destinations.iter().zip(sinks).enumerate() {
        let wake = Rc::new(Notify::new());
        wakes.push(Rc::clone(&wake));
        let drain = DrainTask::new(&shared, index, &destination.name, sink, wake);
        drains.push(tokio::task::spawn_local(drain.run()));
    }
    let mut heart = Heart {
        config,
        agent: &agent,
        wakes: &wakes,
        last_commit: 0,
        last_red: 0,
        committed_record: Vec::new(),
        last_drop: 0,
        last_look: 0,
        unsaved: 0,
        kept: PerSignal::default(),
        told: RefusalCounts::default(),
        told_records: RefusalCounts::default(),
        told_lanes: 0,
    };
    // Before anything is answered: a restart after a kill has to know of this life.
    heart.commit().await;
    let intake = intake::intake(&shared, config.ack());
    let mut sources = Vec::new();
    let addresses = (grpc.as_ref().map(|(_, address)| *address), http.as_ref().map(|(_, address)| *address));
    if let Some((listener, _)) = grpc {
        sources.push(serve_grpc(listener, &intake, &limits)?);
    }
    if let Some((listener, _)) = http {
        sources.push(serve_http(listener, &intake, &limits)?);
    }
    tokio::task::spawn_local(admin::serve(admin_listener, Rc::clone(&agent)));
    if let Some(listener) = admin::socket(&config.data_dir.join(SOCKET)) {
        tokio::task::spawn_local(admin::serve_socket(listener, Rc::clone(&agent)));
    }
    write_addresses(&config.data_dir, addresses.0, addresses.1, admin_address)
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
    shared.pipeline.borrow_mut().close_books();
    // Also when there seems to be nothing: the disk is asked once more.
    shared.commits.force();
    let ended = tokio::time::timeout(LAST_COMMIT, async {
        heart.commit().await;
        if config.recorder.files.is_none() {
            heart.keep_undecided().await;
        }
        if why == Ended::Told {
            say_goodbye(&shared, drains).await;
        }
        shared.disk.stop().await;
    });
    let failed = match ended.await {
        Ok(()) => agent.disk_error(),
        Err(_) => Some("the disk does not answer".to_owned()),
    };
    // Undecided records that are recorded in files are on disk too.
    let pending = if config.recorder.files.is_none() { pending(&shared).total() } else { 0 };
    let left = heart.unsaved + pending.saturating_sub(heart.kept.total());
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

fn pending(shared: &Shared) -> PerSignal {
    shared.pipeline.borrow().ledger().pending
}

/// Lets drains tell their hubs that the program stops; a hub that cannot be reached is not waited for.
async fn say_goodbye(shared: &Shared, drains: Vec<JoinHandle<()>>) {
    shared.leaving.send_replace(true);
    let all = async {
        for drain in drains {
            // A drain that is gone has nobody to tell.
            let _gone = drain.await;
        }
    };
    let _told = tokio::time::timeout(GOODBYE, all).await;
}

/// How many connections memory and the process's file descriptors leave.
fn connections(config: &Config) -> Result<Shares, StartError> {
    let wanted = Shares { producers: crate::build::connections(config), admin: usize::from(config.admin.connections) };
    let (limit, open) = (descriptors::limit(), descriptors::open());
    let shares = descriptors::share(limit, open, config.destinations.len() as u64, wanted).map_err(|needed| {
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

fn open_disk<D>(
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
    let (sampler, lanes) = (sampler(config)?, lanes(config)?);
    let make = |ledger| {
        let red = config.red.enabled.then(|| Red::new(crate::policies::red(config), clock.wall_ns()));
        Pipeline::new(config.recorder.memory.0, sampler, red, ledger)
            .with_rules(rules(config))
            .with_lanes(lanes)
            .with_watermarks(watermarks(config))
    };
    let opened = DiskState::open(disk, &storage_options(config), clock.stamp(), clock.now_ns(), make)
        .map_err(|error| fail(error.to_string()))?;
    report(&opened.recovery);
    if let Some(error) = &opened.bad_commit_record {
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

/// What happens at every tick.
struct Heart<'a> {
    config: &'a Config,
    agent: &'a Agent,
    wakes: &'a [Rc<Notify>],
    last_commit: u64,
    last_red: u64,
    committed_record: Vec<u8>,
    last_drop: u64,
    /// When it was last looked whether the data directory is there.
    last_look: u64,
    /// Records that went to the disk thread and are not known to be durable.
    unsaved: u64,
    /// Undecided records that the next life goes on with.
    kept: PerSignal,
    told: RefusalCounts,
    told_records: RefusalCounts,
    told_lanes: u64,
}

impl Heart<'_> {
    async fn beat(&mut self) {
        let shared = self.agent.shared();
        let now = shared.clock.now_ns();
        let due = |last: u64, every: Duration| now.saturating_sub(last) >= every.as_nanos() as u64;
        let commit = {
            let mut pipeline = shared.pipeline.borrow_mut();
            pipeline.set_clocks(now, shared.clock.wall_ns());
            pipeline.tick(now);
            for raised in pipeline.take_raised() {
                log::warn(&format!(
                    "alert {}: {:.1} % of its spans failed; an incident window is open, more traces are kept",
                    raised.alert,
                    raised.share * 100.0
                ));
            }
            if due(self.last_red, self.config.red.interval.0) {
                self.last_red = now;
                pipeline.write_red(shared.clock.wall_ns());
            }
            pipeline.is_full() || due(self.last_commit, self.config.journal.commit_delay.0)
        };
        self.tell_refusals(now);
        let short = memory::look(self.agent.limits(), self.config.memory.map(|limit| limit.0), now);
        // A commit is about to need memory, and little of the code that ran before it.
        if commit || short || due(self.last_drop, PAGES_EVERY) {
            self.last_drop = now;
            shared.pages.give_back();
        }
        if commit {
            self.last_commit = now;
            self.commit().await;
        }
    }

    /// One line for each reason for which requests were refused since the last look.
    fn tell_refusals(&mut self, now_ns: u64) {
        let counts = self.agent.refusals();
        for (reason, count) in counts.iter().filter(|(reason, count)| *count > self.told.get(*reason)) {
            let news = count - self.told.get(reason);
            let text = format!("intake: {news} requests or connections refused ({reason}), {count} since start");
            log::warn_limited(reason.as_str(), now_ns, &text);
        }
        self.told = counts;
        let (rejected, lanes) = {
            let counters = self.agent.shared().pipeline.borrow().counters();
            (counters.rejected, counters.rejected_lanes)
        };
        for (reason, count) in rejected.iter().filter(|(reason, count)| *count > self.told_records.get(*reason)) {
            let text =
                format!("intake: {count} records since start are not taken ({reason}); their producers are told");
            log::warn_limited(&format!("record {reason}"), now_ns, &text);
        }
        self.told_records = rejected;
        if lanes > self.told_lanes {
            let text = format!(
                "intake: {lanes} records since start name a lane that sources.otlp.lanes does not let them choose; they stay \
                 in their usual one"
            );
            log::warn_limited("lanes", now_ns, &text);
        }
        self.told_lanes = lanes;
    }

    /// Hands everything that is ready to the journal, the ledger with it, and waits until it is durable.
    async fn commit(&mut self) {
        let shared = self.agent.shared();
        let wall = shared.clock.wall_ns();
        let (batches, attachment, decided) = {
            let mut pipeline = shared.pipeline.borrow_mut();
            let batches = pipeline.take_batches();
            let now = shared.clock.now_ns();
            (batches, pipeline.attachment(now), pipeline.decided_to(now, wall))
        };
        let number = attachment.number;
        let same = attachment.commit_record == self.committed_record;
        if !shared.commits.take_forced() && batches.is_empty() && same {
            shared.pipeline.borrow_mut().nothing_to_commit(&attachment);
            shared.commits.done(number);
            shared.watermarks.set((wall, decided));
            self.look().await;
            return;
        }
        let records: u64 = batches.iter().map(|batch| batch.records.total()).sum();
        let (committed, attachment) = match shared.disk.commit(batches, shared.clock.stamp(), attachment).await {
            Ok(committed) => committed,
            Err(error) => {
                self.unsaved += records;
                self.agent.set_disk_error(Some(error.to_string()));
                return;
            }
        };
        shared.set_backlog(committed.backlog);
        let mut pipeline = shared.pipeline.borrow_mut();
        for (position, records) in &committed.lost {
            if let Some(destination) = self.config.destinations.get(*position) {
                pipeline.books_mut().lost(&destination.name, *records);
            }
        }
        let not_taken = committed.left.iter().map(|batch| batch.records.total()).sum::<u64>()
            + committed.unfit.iter().map(|(_, records)| records.total()).sum::<u64>();
        self.unsaved += records.saturating_sub(not_taken);
        if committed.error.is_none() {
            self.unsaved = 0;
            shared.commits.done(number);
            shared.watermarks.set((wall, decided));
            pipeline.committed(&attachment);
            self.committed_record = attachment.commit_record;
        }
        for (lane, records) in &committed.unfit {
            pipeline.unfit(records);
            let text =
                format!("lane {lane}: {} records are larger than a frame can be and are left out", records.total());
            log::error_limited("unfit", shared.clock.now_ns(), &text);
        }
        pipeline.put_back(committed.left);
        drop(pipeline);
        self.tell_disk(committed.error);
        self.wakes.iter().for_each(|wake| wake.notify_one());
    }

    /// Writes what is undecided, and the decisions, for the next life. Where that cannot be, what is known decides them now.
    async fn keep_undecided(&mut self) {
        let shared = self.agent.shared();
        let mut parts = Parts::of(&shared.pipeline.borrow(), &self.committed_record, shared.clock.now_ns());
        let failed = loop {
            let part = parts.next(&mut shared.pipeline.borrow_mut());
            let is_last = part.is_none();
            match shared.disk.write_remaining(part).await.map_err(|error| error.to_string()).and_then(|done| done) {
                Ok(()) if is_last => break None,
                Ok(()) => {}
                Err(error) => break Some(error),
            }
        };
        let Some(error) = failed else {
            self.kept = parts.records();
            return;
        };
        let traces = shared.pipeline.borrow().sampling().pending_traces;
        log::error(&format!(
            "{traces} undecided traces cannot be kept for the next start ({error}): they are judged now, by what came"
        ));
        shared.pipeline.borrow_mut().tick(u64::MAX);
        shared.commits.force();
        self.commit().await;
    }

    fn tell_disk(&self, error: Option<String>) {
        let before = self.agent.set_disk_error(error.clone());
        if let Some(error) = error.filter(|error| before.as_ref() != Some(error)) {
            log::error(&format!("{error}; producers are told to wait once the queue in memory is full"));
        }
    }

    /// Now and then while there is nothing to commit: is the data directory still there?
    async fn look(&mut self) {
        let shared = self.agent.shared();
        let now = shared.clock.now_ns();
        if now.saturating_sub(self.last_look) < LOOK_EVERY.as_nanos() as u64 {
            return;
        }
        self.last_look = now;
        if let Ok(found) = shared.disk.look().await {
            self.tell_disk(found);
        }
    }
}
