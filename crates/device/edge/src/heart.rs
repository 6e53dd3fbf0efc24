//! What happens at every tick, and at every commit.

use std::rc::Rc;
use std::time::Duration;

use config::Config;
use guard::{Change, Exceptions};
use journal::Lost;
use ledger::PerSignal;
use limit::Tally;
use model::{RefusalCounts, Signal};
use pipeline::Pipeline;
use query::time::rfc3339;
use tokio::sync::Notify;

use crate::agent::Agent;
use crate::guarding::exception_file;
use crate::own_telemetry::Speaker;
use crate::remaining_file::Parts;
use crate::{log, memory};

/// How often waits are looked at.
pub(crate) const TICK: Duration = Duration::from_millis(100);
/// How often an idle agent looks whether its data directory is there.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often it is looked for an exception.
const EXCEPTION_EVERY: Duration = Duration::from_secs(5);
/// How often pages of code that lately did not run are given back.
const PAGES_EVERY: Duration = Duration::from_secs(1);

/// What happens at every tick.
pub(crate) struct Heart<'a> {
    config: &'a Config,
    agent: &'a Agent,
    wakes: &'a [Rc<Notify>],
    last_commit: u64,
    last_red: u64,
    last_own: u64,
    committed_ledger: Vec<u8>,
    committed_positions: Option<Vec<u8>>,
    last_drop: u64,
    /// When it was last looked whether the data directory is there.
    last_look: u64,
    /// When it was last looked for an exception, where there may be one.
    last_exception: Option<u64>,
    memory: memory::Watch,
    /// Records that went to the disk thread and are not known to be durable.
    unsaved: u64,
    /// Undecided records that the next life goes on with.
    kept: PerSignal,
    reported: Reported,
}

/// What of the intake was reported so far.
#[derive(Default)]
struct Reported {
    refused: RefusalCounts,
    rejected: RefusalCounts,
    lanes: u64,
    /// Rules of the guard, a bit each.
    masked: u64,
    /// Records that limits took out.
    limited: u64,
    /// Kinds of errors that each source that reads had.
    sources: Vec<usize>,
    /// Commits in which positions, or what is undecided behind them, had no room.
    positions: u64,
}

impl<'a> Heart<'a> {
    /// One that never beat; `wakes` tells the drains of new blocks.
    pub(crate) fn new(config: &'a Config, agent: &'a Agent, wakes: &'a [Rc<Notify>]) -> Self {
        Self {
            config,
            agent,
            wakes,
            last_commit: 0,
            last_red: 0,
            last_own: agent.shared().clock.now_ns(),
            committed_ledger: Vec::new(),
            committed_positions: None,
            last_drop: 0,
            last_look: 0,
            last_exception: None,
            memory: memory::Watch::default(),
            unsaved: 0,
            kept: PerSignal::default(),
            reported: Reported::default(),
        }
    }

    /// Records that are neither known to be durable nor kept for the next life, of those that are pending.
    pub(crate) fn left(&self, pending: u64) -> u64 {
        self.unsaved + pending.saturating_sub(self.kept.total())
    }

    /// A tick: decisions whose time has come, metrics of spans, and a commit when it is due.
    pub(crate) async fn beat(&mut self) {
        let shared = self.agent.shared();
        let now = shared.clock.now_ns();
        let due = |last: u64, every: Duration| now.saturating_sub(last) >= every.as_nanos() as u64;
        self.look_for_exception(now);
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
        if self.config.own_interval().is_some_and(|interval| due(self.last_own, interval)) {
            self.last_own = now;
            let points = self.agent.own_metrics().await;
            shared.pipeline.borrow_mut().take_own(Signal::Metrics, &points);
        }
        self.report_refusals(now);
        self.report_masked();
        self.report_limited(now);
        self.report_drift();
        self.report_sources();
        self.report_positions(now);
        let short = self.memory.is_short(self.agent.limits(), self.config.memory.map(|limit| limit.0), now);
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
    fn report_refusals(&mut self, now_ns: u64) {
        let counts = self.agent.refusals();
        for (reason, count) in counts.iter().filter(|(reason, count)| *count > self.reported.refused.get(*reason)) {
            let news = count - self.reported.refused.get(reason);
            let text = format!("intake: {news} requests or connections refused ({reason}), {count} since start");
            log::warn_limited(reason.as_str(), now_ns, &text);
        }
        self.reported.refused = counts;
        let (rejected, lanes) = {
            let counters = self.agent.shared().pipeline.borrow().counters();
            (counters.rejected, counters.rejected_lanes)
        };
        for (reason, count) in rejected.iter().filter(|(reason, count)| *count > self.reported.rejected.get(*reason)) {
            let text =
                format!("intake: {count} records since start are not taken ({reason}); their producers are told");
            log::warn_limited(&format!("record {reason}"), now_ns, &text);
        }
        self.reported.rejected = rejected;
        if lanes > self.reported.lanes {
            let text = format!(
                "intake: {lanes} records since start name a lane that sources.otlp.lanes does not let them choose; they stay \
                 in their usual one"
            );
            log::warn_limited("lanes", now_ns, &text);
        }
        self.reported.lanes = lanes;
    }

    /// One line for each rule of the guard that masked its first value.
    fn report_masked(&mut self) {
        let pipeline = self.agent.shared().pipeline.borrow();
        for (index, (rule, _)) in pipeline.guard().counts().enumerate().filter(|(_, (_, count))| *count > 0) {
            if self.reported.masked & 1 << index == 0 {
                self.reported.masked |= 1 << index;
                log::info(&format!(
                    "guard: rule {rule} masks; said once, /metrics counts (lightship_guard_masked_total)"
                ));
            }
        }
    }

    /// Looks for an exception from what production leaves out: a line where one begins, ends or is refused.
    fn look_for_exception(&mut self, now_ns: u64) {
        let Some(exception) = &self.config.guard.exception else { return };
        let is_due = |last: u64| now_ns.saturating_sub(last) >= EXCEPTION_EVERY.as_nanos() as u64;
        if !self.last_exception.is_none_or(is_due) {
            return;
        }
        self.last_exception = Some(now_ns);
        let shared = self.agent.shared();
        let file = exception_file(&exception.file);
        let mut pipeline = shared.pipeline.borrow_mut();
        let change = pipeline.guard_mut().look_for_exception(file.as_deref(), &shared.clock.stamp());
        let holding = pipeline.guard().exceptions().and_then(Exceptions::holding);
        let shown = exception.file.display();
        match (change, holding) {
            (Some(Change::Begun), Some(holding)) => log::warn(&format!(
                "exception {shown} begins: {} leave this device until {} ({})",
                holding.what,
                rfc3339(holding.until_s * 1_000_000_000, 0),
                if holding.why.is_empty() { "it does not say why" } else { &holding.why },
            )),
            (Some(Change::Ended(fault)), _) => {
                let why = fault.map_or_else(|| "its file is gone".to_owned(), |fault| fault.to_string());
                log::warn(&format!("exception {shown} ends: {why}"));
            }
            (Some(Change::Refused(fault)), _) => log::warn(&format!("exception {shown} does not hold: {fault}")),
            _ => {}
        }
    }

    /// One line a minute for each rule of the limits that took something out since the last look.
    fn report_limited(&mut self, now_ns: u64) {
        let pipeline = self.agent.shared().pipeline.borrow();
        let overflow = pipeline.overflow();
        let (added, left_out) = (overflow.added(), overflow.left_out());
        let sum = pipeline.limit_tallies().map(|one| one.records).sum::<u64>() + added + left_out;
        if sum == self.reported.limited {
            return;
        }
        self.reported.limited = sum;
        if added + left_out > 0 {
            let (most, newest) = (self.config.limits.series_per_metric, overflow.newest());
            let text = format!(
                "limits: metrics have more than {most} series (limits.series_per_metric): {added} points since start are in their \
                 overflow series, {left_out} are left out; last of {newest}"
            );
            log::warn_limited("series", now_ns, &text);
        }
        for Tally { rule, signal, records } in pipeline.limit_tallies().filter(|one| one.records > 0) {
            let text = format!("limits: rule {rule} took out {records} records of {} since start", signal.name());
            log::warn_limited(&format!("limit {rule}"), now_ns, &text);
        }
    }

    /// Fields that changed: a line for each, and a log record where the agent tells of itself.
    fn report_drift(&self) {
        let shared = self.agent.shared();
        let mut pipeline = shared.pipeline.borrow_mut();
        let found = pipeline.take_drift();
        if found.is_empty() {
            return;
        }
        for one in &found {
            log::warn(&format!("drift: {} ({})", one.sentence(), one.kind.id()));
        }
        if self.config.own_interval().is_none() {
            return;
        }
        let wall_ns = shared.clock.wall_ns();
        let masks = pipeline.guard().version();
        let records = Speaker { device: &shared.device, masks, started_ns: 0, wall_ns }.drift(&found);
        pipeline.take_own(Signal::Logs, &records);
    }

    /// One line for each new kind of error of a source that reads; status tells of the others.
    fn report_sources(&mut self) {
        let sources = self.agent.sources();
        self.reported.sources.resize(sources.len(), 0);
        for (source, reported) in sources.iter().zip(&mut self.reported.sources) {
            if source.kinds() > *reported {
                for error in &source.errors()[*reported..] {
                    let (name, reason) = (source.name(), error.reason);
                    log::warn(&format!("source {name}: {} ({reason}; said once, status counts)", error.last));
                }
                *reported = source.kinds();
            }
        }
    }

    /// Positions of sources that have no room in commits.
    fn report_positions(&mut self, now: u64) {
        let left_out = self.agent.shared().pipeline.borrow().positions_left_out();
        let count = left_out.without_undecided + left_out.without_any;
        if count > self.reported.positions {
            let what = if left_out.without_any > 0 {
                "none of them is committed, and with a kill what was read since comes again"
            } else {
                "what is undecided behind them is left out, and lost with a kill"
            };
            let text = format!(
                "positions of sources take {} KiB, more than a commit has room for: {what}; read fewer files (max_files), or let traces of log \
                 records be decided sooner (sampling.decision_wait)",
                left_out.bytes / 1024
            );
            log::error_limited("positions", now, &text);
            self.reported.positions = count;
        }
    }

    /// Hands everything that is ready to the journal, the ledger with it, and waits until it is durable.
    pub(crate) async fn commit(&mut self) {
        let shared = self.agent.shared();
        let wall = shared.clock.wall_ns();
        let (batches, attachment, decided) = {
            let mut pipeline = shared.pipeline.borrow_mut();
            let batches = pipeline.take_batches();
            let now = shared.clock.now_ns();
            (batches, pipeline.attachment(now), pipeline.decided_to(now, wall))
        };
        let number = attachment.number;
        let same = attachment.ledger == self.committed_ledger && attachment.positions == self.committed_positions;
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
        for lost in &committed.lost {
            pipeline.books_mut().lost(&shared.destinations.name(lost.destination), lost.records);
        }
        if self.config.own_interval().is_some() {
            self.tell_losses(&mut pipeline, &committed.lost);
        }
        shared.destinations.skipped(&committed.passed, pipeline.books_mut());
        let not_taken = committed.left.iter().map(|batch| batch.records.total()).sum::<u64>()
            + committed.unfit.iter().map(|(_, records)| records.total()).sum::<u64>();
        self.unsaved += records.saturating_sub(not_taken);
        if committed.error.is_none() {
            self.unsaved = 0;
            shared.commits.done(number);
            shared.watermarks.set((wall, decided));
            pipeline.committed(&attachment);
            (self.committed_ledger, self.committed_positions) = (attachment.ledger, attachment.positions);
        }
        for (lane, records) in &committed.unfit {
            pipeline.unfit(records);
            let text =
                format!("lane {lane}: {} records are larger than a frame can be and are left out", records.total());
            log::error_limited("unfit", shared.clock.now_ns(), &text);
        }
        pipeline.put_back(committed.left);
        drop(pipeline);
        self.report_disk(committed.error);
        self.wakes.iter().for_each(|wake| wake.notify_one());
    }

    /// Has what is lost told to the destinations, as log records.
    fn tell_losses(&self, pipeline: &mut Pipeline, lost: &[Lost]) {
        let shared = self.agent.shared();
        let wall_ns = shared.clock.wall_ns();
        let masks = pipeline.guard().version();
        let speaker = Speaker { device: &shared.device, masks, started_ns: 0, wall_ns };
        let records = speaker.losses(lost, &shared.destinations.all());
        pipeline.take_own(Signal::Logs, &records);
    }

    /// Writes what is undecided, and the decisions, for the next life. Where that cannot be, what is known decides them now.
    pub(crate) async fn keep_undecided(&mut self) {
        let shared = self.agent.shared();
        let mut parts = Parts::of(&shared.pipeline.borrow(), &self.committed_ledger, shared.clock.now_ns());
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

    fn report_disk(&self, error: Option<String>) {
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
            self.report_disk(found);
        }
    }
}
