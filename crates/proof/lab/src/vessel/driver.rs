//! The running vessel: users take their turns on a clock, what they do is emitted and batched as an SDK would.

use crate::clock::{monotonic, nanoseconds, wall_ns};
use crate::otlp::{Pipe, Protocol, Tally, Target, logs_request, metrics_request, traces_request};
use crate::rng::Rng;
use crate::vessel::fate::{BoundaryEvery, Fate};
use crate::vessel::instruments::Instruments;
use crate::vessel::line::{Line, lines_of};
use crate::vessel::manifest::Manifest;
use crate::vessel::profile::Ramp;
use crate::vessel::span::{resource, scope, spans_of};
use anyhow::{Context, Result, anyhow};
use model::Signal;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Records of one export request at most, as in the SDKs.
const BATCH: usize = 512;
/// The share of requests whose spans and lines arrive apart from one another.
const SPREAD_SHARE: f64 = 0.25;

/// How the vessel runs.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) seed: u64,
    pub(crate) ramp: Ramp,
    pub(crate) boundary_every: BoundaryEvery,
    pub(crate) protocol: Protocol,
    /// The longest time that a record waits for its batch to fill.
    pub(crate) batch_delay: Duration,
    pub(crate) metrics_every: Duration,
    /// How far apart the parts of one trace may be emitted.
    pub(crate) spread: Duration,
    /// Where the JSON log records go as well.
    pub(crate) log_file: Option<PathBuf>,
    /// Whether to remember everything for a reconciliation.
    pub(crate) remember: bool,
    /// After how long a batch that is not taken is given up.
    pub(crate) patience: Duration,
}

/// What the vessel has done so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Totals {
    pub(crate) requests: u64,
    pub(crate) spans: u64,
    pub(crate) lines: u64,
    pub(crate) points: u64,
    pub(crate) users: u64,
    /// What became of spans, log records and points, in this order.
    pub(crate) tallies: [Tally; 3],
}

impl Totals {
    /// Records that the receiver did not take.
    pub(crate) fn not_taken(&self) -> u64 {
        self.tallies.iter().map(|tally| tally.not_taken).sum()
    }

    /// Attempts after the first one.
    pub(crate) fn retries(&self) -> u64 {
        self.tallies.iter().map(|tally| tally.retries).sum()
    }

    /// What the receiver said when it last did not take something.
    pub(crate) fn last_refusal(&self) -> Option<&str> {
        self.tallies.iter().find_map(|tally| tally.last_refusal.as_deref())
    }
}

enum Command {
    Pause(oneshot::Sender<()>),
    Resume,
    Deploy,
    Stop,
}

/// A running vessel.
pub(crate) struct Vessel {
    commands: mpsc::Sender<Command>,
    totals: Arc<Mutex<Totals>>,
    tallies: [Arc<Mutex<Tally>>; 3],
    task: JoinHandle<Result<Manifest>>,
}

impl Vessel {
    /// Starts it.
    pub(crate) fn start(options: Options, target: &Target) -> Result<Self> {
        let (commands, inbox) = mpsc::channel(4);
        let totals = Arc::new(Mutex::new(Totals::default()));
        let driver = Driver::new(options, target, Arc::clone(&totals))?;
        let tallies = [&driver.traces_pipe, &driver.logs_pipe, &driver.metrics_pipe].map(Pipe::tally);
        Ok(Self { commands, totals, tallies, task: tokio::spawn(driver.run(inbox)) })
    }

    /// Stops the users and waits until everything that they did was taken by the receiver.
    pub(crate) async fn pause(&self) -> Result<()> {
        let (paused, wait) = oneshot::channel();
        self.command(Command::Pause(paused)).await?;
        wait.await.context("the vessel ended while it was to pause")
    }

    /// Lets the users go on where they were.
    pub(crate) async fn resume(&self) -> Result<()> {
        self.command(Command::Resume).await
    }

    /// From now on records are those of the next version of the application: [`Line::of_next_version`], and durations in seconds.
    pub(crate) async fn deploy(&self) -> Result<()> {
        self.command(Command::Deploy).await
    }

    /// Stops for good, hands over what is left, and gives what was generated and what became of it.
    pub(crate) async fn stop(mut self) -> Result<(Manifest, Totals)> {
        self.command(Command::Stop).await?;
        let manifest = (&mut self.task).await.context("the vessel broke")??;
        Ok((manifest, self.totals()))
    }

    /// What it has done so far.
    pub(crate) fn totals(&self) -> Totals {
        let totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let tally = |shared: &Arc<Mutex<Tally>>| shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Totals { tallies: self.tallies.each_ref().map(tally), ..totals }
    }

    async fn command(&self, command: Command) -> Result<()> {
        self.commands.send(command).await.map_err(|_| anyhow!("the vessel has ended"))
    }
}

enum What {
    UserBegins,
    RequestEnds(Box<Fate>),
    Emit(Piece),
}

enum Piece {
    Span(Box<Span>),
    Line(Box<LogRecord>),
}

struct Event {
    /// Nanoseconds of load time: the monotonic time since the start without pauses.
    due_ns: u64,
    order: u64,
    what: What,
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        (self.due_ns, self.order) == (other.due_ns, other.order)
    }
}

impl Eq for Event {}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due_ns, self.order).cmp(&(other.due_ns, other.order))
    }
}

/// Records that wait for their batch to fill, and since when (load time).
struct Waiting<T> {
    records: Vec<T>,
    since_ns: u64,
}

impl<T> Waiting<T> {
    fn new() -> Self {
        Self { records: Vec::new(), since_ns: 0 }
    }

    fn push(&mut self, record: T, now_ns: u64) {
        if self.records.is_empty() {
            self.since_ns = now_ns;
        }
        self.records.push(record);
    }

    /// When it has to go even if it is not full.
    fn due_ns(&self, delay_ns: u64) -> Option<u64> {
        (!self.records.is_empty()).then(|| self.since_ns + delay_ns)
    }
}

struct Driver {
    options: Options,
    start: Instant,
    paused: Duration,
    events: BinaryHeap<Reverse<Event>>,
    order: u64,
    next_number: u64,
    rng: Rng,
    spans: Waiting<Span>,
    lines: Waiting<LogRecord>,
    instruments: Instruments,
    is_next_version: bool,
    metrics_due_wall_ns: u64,
    loose_lines: u64,
    manifest: Manifest,
    totals: Arc<Mutex<Totals>>,
    log_file: Option<BufWriter<File>>,
    traces_pipe: Pipe,
    logs_pipe: Pipe,
    metrics_pipe: Pipe,
}

impl Driver {
    fn new(options: Options, target: &Target, totals: Arc<Mutex<Totals>>) -> Result<Self> {
        let open = |path: &PathBuf| {
            let file = File::options().create(true).append(true).open(path);
            file.map(BufWriter::new).with_context(|| format!("cannot write the log file {}", path.display()))
        };
        let log_file = options.log_file.as_ref().map(open).transpose()?;
        let pipe = |signal| Pipe::start(options.protocol, signal, target.clone(), options.patience, options.seed);
        let now = wall_ns();
        let mut driver = Self {
            start: monotonic(),
            paused: Duration::ZERO,
            events: BinaryHeap::new(),
            order: 0,
            next_number: 0,
            rng: Rng::new(options.seed, u64::MAX),
            spans: Waiting::new(),
            lines: Waiting::new(),
            instruments: Instruments::new(now),
            is_next_version: false,
            metrics_due_wall_ns: now + nanoseconds(options.metrics_every),
            loose_lines: 0,
            manifest: Manifest::default(),
            totals,
            log_file,
            traces_pipe: pipe(Signal::Traces),
            logs_pipe: pipe(Signal::Logs),
            metrics_pipe: pipe(Signal::Metrics),
            options,
        };
        for beginning in driver.options.ramp.beginnings() {
            driver.at(nanoseconds(beginning), What::UserBegins);
        }
        Ok(driver)
    }

    async fn run(mut self, mut inbox: mpsc::Receiver<Command>) -> Result<Manifest> {
        self.loose_line("vessel application started");
        loop {
            self.take_due().await?;
            let wait = Duration::from_nanos(self.next_due_ns().saturating_sub(self.now_ns()).min(100_000_000));
            tokio::select! {
                command = inbox.recv() => match command {
                    Some(Command::Pause(paused)) => {
                        self.settle().await?;
                        let since = monotonic();
                        // Whoever asked may have gone.
                        let _ = paused.send(());
                        let Some(Command::Resume) = inbox.recv().await else { break };
                        self.paused += monotonic().duration_since(since);
                    }
                    Some(Command::Resume) => {}
                    Some(Command::Deploy) => {
                        self.is_next_version = true;
                        self.instruments.count_seconds();
                    }
                    Some(Command::Stop) | None => break,
                },
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.settle().await?;
        Ok(self.manifest)
    }

    fn now_ns(&self) -> u64 {
        nanoseconds(monotonic().duration_since(self.start).saturating_sub(self.paused))
    }

    fn at(&mut self, due_ns: u64, what: What) {
        self.order += 1;
        self.events.push(Reverse(Event { due_ns, order: self.order, what }));
    }

    fn next_due_ns(&self) -> u64 {
        let delay = nanoseconds(self.options.batch_delay);
        let event = self.events.peek().map(|Reverse(event)| event.due_ns);
        let metrics = self.now_ns() + self.metrics_due_wall_ns.saturating_sub(wall_ns());
        [event, self.spans.due_ns(delay), self.lines.due_ns(delay), Some(metrics)]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(0)
    }

    async fn take_due(&mut self) -> Result<()> {
        loop {
            let now = self.now_ns();
            let Some(Reverse(event)) = self.events.peek() else { break };
            if event.due_ns > now {
                break;
            }
            let Some(Reverse(event)) = self.events.pop() else { break };
            match event.what {
                What::UserBegins => {
                    self.note(|totals| totals.users += 1);
                    self.next_request(event.due_ns);
                }
                What::RequestEnds(fate) => {
                    self.request_ended(&fate)?;
                    self.next_request(event.due_ns + fate.rest_ns);
                }
                What::Emit(piece) => self.emit(piece, now),
            }
            self.send_full().await?;
        }
        self.send_due().await?;
        if wall_ns() >= self.metrics_due_wall_ns {
            self.export_metrics().await?;
        }
        if let Some(file) = &mut self.log_file {
            file.flush().context("cannot write the log file")?;
        }
        Ok(())
    }

    /// Decides the next request of a user that begins it at `begin_ns`; it is emitted when it has ended.
    fn next_request(&mut self, begin_ns: u64) {
        let fate = Fate::decide(self.options.seed, self.next_number, self.options.boundary_every);
        self.next_number += 1;
        self.at(begin_ns + fate.length_ns(), What::RequestEnds(Box::new(fate)));
    }

    fn request_ended(&mut self, fate: &Fate) -> Result<()> {
        let end_ns = wall_ns();
        let now = self.now_ns();
        self.instruments.count(fate, end_ns);
        let mut lines = lines_of(fate, end_ns);
        if self.is_next_version {
            lines = lines.into_iter().map(Line::of_next_version).collect();
        }
        if let Some(file) = &mut self.log_file {
            for line in &lines {
                writeln!(file, "{}", line.json()).context("cannot write the log file")?;
            }
        }
        let spans = spans_of(fate, end_ns);
        self.note(|totals| {
            totals.requests += 1;
            totals.spans += spans.len() as u64;
            totals.lines += lines.len() as u64;
        });
        if self.options.remember {
            self.manifest.note(fate);
        }
        let spread = nanoseconds(self.options.spread);
        let apart = spread > 0 && self.rng.chance(SPREAD_SHARE);
        let spans = spans.into_iter().map(|span| Piece::Span(Box::new(span)));
        let lines = lines.iter().map(|line| Piece::Line(Box::new(line.record())));
        for piece in spans.chain(lines) {
            if apart {
                let due = now + self.rng.between(0, spread);
                self.at(due, What::Emit(piece));
            } else {
                self.emit(piece, now);
            }
        }
        Ok(())
    }

    fn emit(&mut self, piece: Piece, now_ns: u64) {
        match piece {
            Piece::Span(span) => self.spans.push(*span, now_ns),
            Piece::Line(line) => self.lines.push(*line, now_ns),
        }
    }

    fn loose_line(&mut self, message: &'static str) {
        let line = Line::loose(self.loose_lines, wall_ns(), message);
        self.loose_lines += 1;
        self.manifest.loose_lines = self.loose_lines;
        self.note(|totals| totals.lines += 1);
        let now = self.now_ns();
        self.lines.push(line.record(), now);
    }

    /// Exports on a grid of wall time, so that each point has a time of its own even after a pause.
    async fn export_metrics(&mut self) -> Result<()> {
        let every = nanoseconds(self.options.metrics_every);
        let now = wall_ns();
        let on_grid = now - now % every;
        self.metrics_due_wall_ns = on_grid + every;
        let (metrics, points) = self.instruments.export(on_grid);
        let count = points.len() as u64;
        self.note(|totals| totals.points += count);
        if self.options.remember {
            self.manifest.points.extend(points);
        }
        self.loose_line("sensor sweep completed");
        self.metrics_pipe.send(metrics_request(resource(), scope(), metrics), count).await
    }

    async fn send_full(&mut self) -> Result<()> {
        if self.spans.records.len() >= BATCH {
            self.send_spans().await?;
        }
        if self.lines.records.len() >= BATCH {
            self.send_lines().await?;
        }
        Ok(())
    }

    async fn send_due(&mut self) -> Result<()> {
        let delay = nanoseconds(self.options.batch_delay);
        let now = self.now_ns();
        if self.spans.due_ns(delay).is_some_and(|due| due <= now) {
            self.send_spans().await?;
        }
        if self.lines.due_ns(delay).is_some_and(|due| due <= now) {
            self.send_lines().await?;
        }
        Ok(())
    }

    async fn send_spans(&mut self) -> Result<()> {
        let spans = std::mem::take(&mut self.spans.records);
        let count = spans.len() as u64;
        self.traces_pipe.send(traces_request(resource(), scope(), spans), count).await
    }

    async fn send_lines(&mut self) -> Result<()> {
        let lines = std::mem::take(&mut self.lines.records);
        let count = lines.len() as u64;
        self.logs_pipe.send(logs_request(resource(), scope(), lines), count).await
    }

    /// Emits what is still to come of requests that have ended, sends everything, and waits until it was taken.
    async fn settle(&mut self) -> Result<()> {
        let now = self.now_ns();
        let (pieces, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.events)
            .into_sorted_vec()
            .into_iter()
            .rev()
            .partition(|Reverse(event)| matches!(event.what, What::Emit(_)));
        self.events = rest.into();
        for Reverse(event) in pieces {
            if let What::Emit(piece) = event.what {
                self.emit(piece, now);
                self.send_full().await?;
            }
        }
        if !self.spans.records.is_empty() {
            self.send_spans().await?;
        }
        if !self.lines.records.is_empty() {
            self.send_lines().await?;
        }
        for pipe in [&self.traces_pipe, &self.logs_pipe, &self.metrics_pipe] {
            pipe.settled().await?;
        }
        Ok(())
    }

    fn note(&self, change: impl FnOnce(&mut Totals)) {
        change(&mut self.totals.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
