//! The index of undecided traces, and the decision.

mod waiting;

use std::collections::VecDeque;
use std::num::NonZeroU64;

use model::TraceId;

use crate::alarm::{Alarm, Raised};
use crate::conditions::Conditions;
use crate::decided::{Decided, Fetch, Standing};
use crate::decisions::{Decisions, NewDecisions, Remembered, Verdict};
use crate::index::EntryId;
use crate::index::{Index, Place, State, push_grown, queue_bytes};
use crate::judge::{Judge, Judgement};
use crate::options::Options;
use crate::parts::{Part, Route};
use crate::policy::{Evidence, STATUS_MASK_ERROR};
use crate::probability::NEVER;
use crate::released::Released;
use crate::stats::Stats;

/// A trace with a root is quiet when nothing came for this part of the wait.
const QUIET_PART: u64 = 4;

/// This part of the memory remembers where log records stand whose trace sent no span in time.
const RELEASED_PART: u64 = 32;

/// Alerts that wait to be told.
const MAX_RAISED: usize = 16;

type Deadlines = VecDeque<(u64, Place)>;

/// The index of undecided traces.
#[derive(Debug)]
pub struct Sampler {
    pub(crate) options: Options,
    pub(crate) judge: Judge,
    alarms: Vec<Alarm>,
    raised: Vec<Raised>,
    pub(crate) index: Index,
    /// Traces by deadline. A deadline that moved stands in two; only the one that the trace agrees with counts.
    after_span: Deadlines,
    after_root: Deadlines,
    after_line: Deadlines,
    /// Traces with a root, by the moment when they would be quiet if nothing more came.
    quiet: Deadlines,
    /// Dropped traces that the recorder may still hold, in the order of their decision.
    dropped: VecDeque<Place>,
    recalls: Vec<Place>,
    released: Released,
    pending: u64,
    decisions: Decisions,
    /// From monotonic to wall time; `None` until it is told.
    wall_offset_ns: Option<i64>,
    stats: Stats,
}

impl Sampler {
    /// An empty sampler.
    pub fn new(mut options: Options) -> Self {
        let judge = Judge::new(&mut options);
        let decisions = Decisions::new(options.remember_ns, options.memory / 2);
        let alarms = std::mem::take(&mut options.alerts).into_iter().map(Alarm::new).collect();
        Self {
            options,
            judge,
            alarms,
            raised: Vec::new(),
            index: Index::new(),
            after_span: VecDeque::new(),
            after_root: VecDeque::new(),
            after_line: VecDeque::new(),
            quiet: VecDeque::new(),
            dropped: VecDeque::new(),
            recalls: Vec::new(),
            released: Released::default(),
            pending: 0,
            decisions,
            wall_offset_ns: None,
            stats: Stats::default(),
        }
    }

    /// What the policies ask of single spans.
    pub fn conditions(&self) -> &Conditions {
        self.judge.conditions()
    }

    /// Tells how both clocks stand, so that parts from before the memory of decisions are known as such.
    pub fn set_clocks(&mut self, now_ns: u64, wall_ns: u64) {
        self.wall_offset_ns = Some((wall_ns as i64).wrapping_sub(now_ns as i64));
    }

    /// Takes note of a part of a trace, of so many bytes, that stands in a recorder entry. `now_ns` is monotonic.
    ///
    /// Log records and exemplars do not start a trace's wait: it runs from the first span.
    pub fn part(&mut self, trace: TraceId, part: Part, bytes: u64, entry: EntryId, now_ns: u64) -> Route {
        if let Part::Span(span) = part {
            let failed = span.status == STATUS_MASK_ERROR;
            self.alarms.iter_mut().for_each(|alarm| alarm.observe(span.root, span.conditions, failed, now_ns));
        }
        let mut old = false;
        let place = match self.index.find(&trace) {
            Some(place) => place,
            None => {
                if let Some(verdict) = self.decisions.get(&trace) {
                    self.stats.late_parts += 1;
                    return Route::Decided(verdict);
                }
                old = self.is_older_than_memory(&part);
                self.stats.late_unknown += u64::from(old);
                self.pending += 1;
                self.index.insert(trace)
            }
        };
        let new_pin = self.index.add_entry(place, entry);
        let Some(slot) = self.index.get_mut(place) else { return Route::Waits { new_pin } };
        let first_part = slot.deadline_ns == 0;
        slot.last_ns = now_ns;
        let evidence = &mut slot.evidence;
        evidence.bytes += bytes;
        if let Part::LogRecord { severity, .. } = part {
            evidence.severity = evidence.severity.max(severity);
        }
        if let Part::Span(span) = part {
            evidence.bytes += if new_pin { u64::from(span.around) } else { 0 };
            evidence.spans += 1;
            evidence.start_ns = evidence.start_ns.min(span.start_ns);
            evidence.end_ns = evidence.end_ns.max(span.end_ns);
            evidence.statuses |= span.status;
            evidence.conditions |= span.conditions;
            evidence.limit = evidence.limit.max(span.limit);
            evidence.sampled_before |= span.sampled_before && self.options.reads_tracestate;
            let explicit = span.randomness.and_then(|one| NonZeroU64::new(one + 1));
            evidence.randomness = [evidence.randomness, explicit].into_iter().flatten().min();
        }
        match slot.state {
            State::Dropped => {
                self.stats.late_parts += 1;
                if part != Part::Exemplar && self.judge.would_keep(&slot.evidence, now_ns) {
                    slot.state = State::Recalled;
                    self.recalls.push(place);
                }
                return Route::Decided(Verdict::Drop);
            }
            State::Recalled => {
                self.stats.late_parts += 1;
                return Route::Decided(Verdict::Drop);
            }
            State::Free | State::Pending => {}
        }
        match part {
            Part::Span(span) => self.span_deadlines(place, span.root, now_ns),
            _ if first_part => {
                // Whatever the spans of an old line were, they are not waited for.
                let wait = if old { 0 } else { self.options.log_wait_ns };
                let deadline = now_ns.saturating_add(wait).max(1);
                slot.deadline_ns = deadline;
                self.push(|sampler| &mut sampler.after_line, deadline, place);
            }
            _ => {}
        }
        Route::Waits { new_pin }
    }

    fn is_older_than_memory(&self, part: &Part) -> bool {
        let Some(offset) = self.wall_offset_ns else { return false };
        let time = match part {
            Part::Span(span) => span.end_ns,
            Part::LogRecord { time_ns, .. } => *time_ns,
            Part::Exemplar => 0,
        };
        time != 0 && i64::try_from(time).unwrap_or(i64::MAX) < self.decisions.known_since_ns().saturating_add(offset)
    }

    fn span_deadlines(&mut self, place: Place, root: bool, now_ns: u64) {
        let (wait, after_root, quiet) =
            (self.options.decision_wait_ns, self.options.after_root_ns, self.options.quiet_ns);
        let part_ns = self.ahead_part_ns();
        let Some(slot) = self.index.get_mut(place) else { return };
        let (mut first, mut root_deadline) = (None, None);
        if !slot.has_span {
            slot.has_span = true;
            if slot.deadline_ns > 0 {
                let since = slot.deadline_ns.saturating_sub(self.options.log_wait_ns);
                slot.ahead = u8::try_from(now_ns.saturating_sub(since).div_ceil(part_ns)).unwrap_or(u8::MAX);
            }
            slot.deadline_ns = now_ns.saturating_add(wait).max(1);
            first = Some(slot.deadline_ns);
        }
        let first_root = root && !slot.root_seen;
        slot.root_seen |= root;
        if first_root && after_root > 0 && now_ns.saturating_add(after_root) < slot.deadline_ns {
            slot.deadline_ns = now_ns.saturating_add(after_root).max(1);
            root_deadline = Some(slot.deadline_ns);
        }
        if let Some(deadline) = first {
            self.push(|sampler| &mut sampler.after_span, deadline, place);
        }
        if let Some(deadline) = root_deadline {
            self.push(|sampler| &mut sampler.after_root, deadline, place);
        }
        if first_root && quiet > 0 {
            self.push(|sampler| &mut sampler.quiet, now_ns.saturating_add(quiet), place);
        }
    }

    /// Deadlines of traces that were decided early stay behind; they go when they are as many as the others.
    fn push(&mut self, queue: impl Fn(&mut Self) -> &mut Deadlines, deadline: u64, place: Place) {
        let live = self.index.len();
        let mut list = std::mem::take(queue(self));
        if list.len() >= 2 * live + 64 {
            list.retain(|(_, place)| self.index.get(*place).is_some_and(|slot| slot.state == State::Pending));
        }
        push_grown(&mut list, (deadline, place));
        *queue(self) = list;
    }

    /// Whether there is memory for so many traces more, as things are, beside decisions of half the memory.
    pub fn has_room(&self, traces: usize) -> bool {
        self.fits(traces, self.options.memory / 8 * 3)
    }

    /// Whether tables stay under a bound. An eighth of the memory stays for lists of entries, which grow trace by trace.
    fn fits(&self, traces: usize, most: u64) -> bool {
        let grown = self.tables_with(traces);
        let fits = grown == self.tables_with(0) || grown <= most;
        fits && grown + self.index.lists_with(traces) + self.decisions.bytes() + self.released.bytes()
            <= self.options.memory
    }

    /// Asks for a trace whatever the policies say: what was dropped is kept with the next [`Sampler::recall`], if the recorder
    /// still holds all of it.
    pub fn fetch(&mut self, trace: &TraceId) -> Fetch {
        let place = self.index.find(trace);
        let Some((place, slot)) = place.and_then(|place| Some((place, self.index.get_mut(place)?))) else {
            return if self.decisions.get(trace) == Some(Verdict::Keep) { Fetch::Kept } else { Fetch::Gone };
        };
        match slot.state {
            State::Dropped => {
                slot.state = State::Recalled;
                self.recalls.push(place);
                Fetch::Recalled
            }
            State::Recalled => Fetch::Recalled,
            _ => Fetch::Undecided,
        }
    }

    /// A limit takes a whole trace out, whatever policies say: what waits of it goes when its wait is over, and what comes later goes too.
    /// False when it was kept before, which is final.
    pub fn limit(&mut self, trace: TraceId, now_ns: u64) -> bool {
        match self.index.find(&trace).and_then(|place| self.index.get_mut(place)) {
            Some(slot) if slot.state == State::Recalled => false,
            Some(slot) => {
                slot.evidence.limit = NEVER;
                true
            }
            None => match self.decisions.get(&trace) {
                Some(verdict) => verdict == Verdict::Drop,
                None => {
                    self.remember(trace, Verdict::Drop, now_ns);
                    true
                }
            },
        }
    }

    /// Where a trace stands.
    pub fn standing(&self, trace: &TraceId) -> Standing {
        match self.index.find(trace).and_then(|place| self.index.get(place)).map(|slot| slot.state) {
            Some(State::Pending) => Standing::Undecided,
            _ => match self.decisions.get(trace) {
                Some(Verdict::Keep) => Standing::Kept,
                Some(Verdict::Drop) => Standing::Dropped,
                None => Standing::Unknown,
            },
        }
    }

    /// What is known of a trace that is in the index, and how each policy votes on it: `keep`, `drop` or `pass`.
    pub fn votes(&mut self, trace: &TraceId, now_ns: u64) -> Option<(Evidence, Vec<(String, &'static str)>)> {
        let evidence = self.index.find(trace).and_then(|place| self.index.get(place))?.evidence;
        Some((evidence, self.judge.votes(&evidence, now_ns)))
    }

    /// Makes room for so many traces more, if that can be. Traces that were dropped, and are only there to be recalled, make
    /// room first; then undecided ones may take what decisions do not use.
    pub fn make_room(&mut self, traces: usize) -> bool {
        while !self.has_room(traces) {
            if !self.forget_oldest_dropped() {
                let rest = (self.options.memory - self.options.memory / 8).saturating_sub(self.decisions.bytes());
                return self.fits(traces, rest);
            }
        }
        true
    }

    /// Whether so many traces could have room if the index were empty.
    pub fn could_hold(&self, traces: usize) -> bool {
        Index::least_bytes(traces) + 5 * (traces * size_of::<(u64, Place)>()) as u64 <= self.options.memory / 4 * 3
    }

    /// The bytes of slots, table and queues, when so many traces more have come.
    fn tables_with(&self, traces: usize) -> u64 {
        let deadlines = [&self.after_span, &self.after_root, &self.after_line, &self.quiet];
        let queues: usize = deadlines.map(|queue| queue_bytes(queue, traces)).iter().sum();
        let places = queue_bytes(&self.dropped, traces) + self.recalls.capacity() * size_of::<Place>();
        (self.index.tables_with(traces) + queues + places) as u64
    }

    fn forget_oldest_dropped(&mut self) -> bool {
        while let Some(place) = self.dropped.pop_front() {
            if self.index.get(place).is_some_and(|slot| slot.state == State::Dropped) {
                self.index.remove(place);
                return true;
            }
        }
        false
    }

    /// Tells that the recorder holds nothing before this entry any more: dropped traces from before cannot be recalled.
    pub fn overwritten_before(&mut self, oldest: EntryId) {
        self.released.overwritten_before(oldest);
        while let Some(place) = self.dropped.front().copied() {
            match self.index.get(place) {
                Some(slot) if slot.state == State::Dropped => {
                    if slot.entries.first().is_none_or(|first| *first >= oldest) {
                        break;
                    }
                    self.index.remove(place);
                }
                _ => {}
            }
            self.dropped.pop_front();
        }
    }

    /// Decides every trace whose wait is over, oldest first.
    pub fn tick(&mut self, now_ns: u64, mut each: impl FnMut(Decided)) {
        self.look_at_alarms(now_ns);
        self.judge.tick(now_ns);
        let queues: [fn(&mut Self) -> &mut Deadlines; 4] = [
            |sampler| &mut sampler.after_span,
            |sampler| &mut sampler.after_root,
            |sampler| &mut sampler.after_line,
            |sampler| &mut sampler.quiet,
        ];
        if self.index.len() == 0 {
            self.give_back();
        }
        for (position, queue) in queues.into_iter().enumerate() {
            while let Some((deadline, place)) = queue(self).front().copied().filter(|(deadline, _)| *deadline <= now_ns)
            {
                queue(self).pop_front();
                let Some(slot) = self.index.get(place).filter(|slot| slot.state == State::Pending) else { continue };
                if position < 3 {
                    if slot.deadline_ns == deadline {
                        self.decide(place, now_ns, &mut each);
                    }
                    continue;
                }
                let quiet_at = slot.last_ns.saturating_add(self.options.quiet_ns);
                if quiet_at <= now_ns {
                    self.decide(place, now_ns, &mut each);
                } else {
                    push_grown(&mut self.quiet, (quiet_at, place));
                }
            }
        }
    }

    /// An index that was large once does not stay so.
    fn give_back(&mut self) {
        if self.tables_with(0) > 16 << 10 {
            self.index = Index::new();
            for queue in [&mut self.after_span, &mut self.after_root, &mut self.after_line, &mut self.quiet] {
                *queue = VecDeque::new();
            }
            self.dropped = VecDeque::new();
        }
    }

    /// Decides, before their time, traces whose root was seen and that are quiet: at most `most`, oldest first. An
    /// incomplete trace is never decided early.
    pub fn decide_early(&mut self, now_ns: u64, most: usize, mut each: impl FnMut(Decided)) -> usize {
        let quiet = self.options.decision_wait_ns / QUIET_PART;
        let is_quiet = |place: &Place| {
            self.index.get(*place).is_some_and(|slot| {
                slot.state == State::Pending && slot.root_seen && now_ns.saturating_sub(slot.last_ns) >= quiet
            })
        };
        let early: Vec<Place> = self.after_span.iter().map(|(_, place)| *place).filter(is_quiet).take(most).collect();
        for place in &early {
            self.stats.decided_early += 1;
            self.decide(*place, now_ns, &mut each);
        }
        early.len()
    }

    fn decide(&mut self, place: Place, now_ns: u64, each: &mut impl FnMut(Decided)) {
        let Some(slot) = self.index.get(place) else { return };
        self.pending -= 1;
        let evidence = slot.evidence;
        let decided = |judgement: Judgement, entries| Decided {
            trace: evidence.trace,
            verdict: judgement.verdict,
            policy: judgement.policy,
            threshold: judgement.threshold,
            entries,
            bytes: evidence.bytes,
            recalled: false,
            released: false,
        };
        if !slot.has_span && evidence.limit < NEVER {
            self.stats.spanless_traces += 1;
            let judgement = Judgement { verdict: None, policy: None, threshold: crate::probability::ALWAYS };
            let entries = self.index.remove(place);
            self.released.add(evidence.trace, &entries, self.options.memory / RELEASED_PART);
            return each(decided(judgement, entries));
        }
        let judgement = self.judge.decide(&evidence, now_ns);
        let verdict = judgement.verdict.unwrap_or(Verdict::Drop);
        self.remember(evidence.trace, verdict, now_ns);
        match verdict {
            Verdict::Keep => {
                self.stats.kept_traces += 1;
                self.stats.log_records_recalled_too_late += u64::from(self.released.keep(&evidence.trace));
                each(decided(judgement, self.index.remove(place)));
            }
            Verdict::Drop => {
                self.stats.dropped_traces += 1;
                let Some(slot) = self.index.get_mut(place) else { return };
                slot.state = State::Dropped;
                let entries = slot.entries.clone();
                push_grown(&mut self.dropped, place);
                each(decided(judgement, entries));
            }
        }
    }

    /// Keeps dropped traces after all for which something worth it came since the last call. `holds` tells whether the
    /// recorder still holds all these entries, and pins them.
    pub fn recall(&mut self, now_ns: u64, mut holds: impl FnMut(&[EntryId]) -> bool, mut each: impl FnMut(Decided)) {
        for place in std::mem::take(&mut self.recalls) {
            let Some(slot) = self.index.get(place).filter(|slot| slot.state == State::Recalled) else { continue };
            let evidence = slot.evidence;
            let entries = self.index.remove(place);
            if !holds(&entries) {
                self.stats.recalled_too_late += 1;
                continue;
            }
            let mut judgement = self.judge.recall(&evidence, now_ns);
            if judgement.verdict != Some(Verdict::Keep) {
                // Fetched: it stands for no other trace.
                judgement.threshold = crate::probability::ALWAYS;
            }
            self.remember(evidence.trace, Verdict::Keep, now_ns);
            self.stats.recalled_traces += 1;
            self.stats.kept_traces += 1;
            self.stats.log_records_recalled_too_late += u64::from(self.released.keep(&evidence.trace));
            each(Decided {
                trace: evidence.trace,
                verdict: Some(Verdict::Keep),
                policy: judgement.policy,
                threshold: judgement.threshold,
                entries,
                bytes: evidence.bytes,
                recalled: true,
                released: false,
            });
        }
        for (trace, entries) in self.released.take_wanted() {
            if !holds(&entries) {
                self.stats.log_records_recalled_too_late += 1;
                continue;
            }
            self.stats.log_records_recalled += 1;
            each(Decided {
                trace,
                verdict: Some(Verdict::Keep),
                policy: None,
                threshold: crate::probability::ALWAYS,
                entries,
                bytes: 0,
                recalled: true,
                released: true,
            });
        }
    }

    /// Whether a dropped trace is to be kept after all.
    pub fn has_recalls(&self) -> bool {
        !self.recalls.is_empty() || self.released.has_wanted()
    }

    /// Remembers a decision that was not made here: by an earlier life whose undecided requests are taken in again, or by
    /// someone up the line.
    pub fn remember(&mut self, trace: TraceId, verdict: Verdict, now_ns: u64) {
        let others = self.tables_with(0);
        let tables = self.options.memory - self.options.memory / 8;
        self.decisions.set_most(tables.saturating_sub(others).min(self.options.memory / 2));
        self.decisions.remember(Remembered::new(&trace, verdict), now_ns);
    }

    /// What was decided for a trace, as far as it is remembered.
    pub fn verdict(&self, trace: &TraceId) -> Option<Verdict> {
        self.decisions.get(trace)
    }

    /// Takes the decisions that were made since the last call, to be persisted with what they let through.
    pub fn take_new_decisions(&mut self) -> NewDecisions {
        self.decisions.take_new()
    }

    /// All remembered decisions with their age in nanoseconds, oldest first.
    pub fn decisions(&self, now_ns: u64) -> impl Iterator<Item = (Remembered, u64)> {
        self.decisions.all(now_ns)
    }

    /// Takes back decisions of an earlier life that were made `age_ns` ago; the oldest ones come first.
    pub fn restore(&mut self, decisions: impl IntoIterator<Item = Remembered>, age_ns: u64, now_ns: u64) {
        self.decisions.restore(decisions.into_iter(), age_ns, now_ns);
    }

    /// Every decision that was made after this moment is remembered: monotonic nanoseconds, below zero before the start.
    pub fn known_since_ns(&self) -> i64 {
        self.decisions.known_since_ns()
    }

    /// The name of a policy, as [`Decided::policy`] numbers them.
    pub fn policy_name(&self, position: u16) -> Option<&str> {
        self.judge.name(position)
    }

    fn look_at_alarms(&mut self, now_ns: u64) {
        let mut until = 0;
        for alarm in &mut self.alarms {
            let (open, raised) = alarm.tick(now_ns);
            until = until.max(open);
            self.stats.incidents_by_alert += u64::from(raised.is_some());
            // Whom nobody asks for them has the counter.
            self.raised.extend(raised.filter(|_| self.raised.len() < MAX_RAISED));
        }
        self.judge.incident().alert = until;
    }

    /// Opens an incident window until this moment (monotonic). When that has passed, it closes whatever window is open, and
    /// an alert that held it open stays quiet until its errors were gone.
    pub fn set_incident(&mut self, until_ns: u64, now_ns: u64) {
        if self.judge.incident().order(until_ns, now_ns) {
            self.alarms.iter_mut().for_each(Alarm::close);
        }
    }

    /// The hub wants an incident window open for so long from now, or none when that is 0. It may say so again and again;
    /// what it wants at once is bounded as alerts are.
    pub fn set_remote_incident(&mut self, for_ns: u64, now_ns: u64) {
        self.judge.incident().want(for_ns, self.options.longest_incident_ns, now_ns);
    }

    /// The alerts that opened an incident window since the last call, to be told to people.
    pub fn take_raised(&mut self) -> Vec<Raised> {
        std::mem::take(&mut self.raised)
    }

    /// Keeps every trace of a route until this moment (monotonic); a `*` at the end of the route stands for anything.
    /// Traces whose spans came before are judged without it. False when there are too many such routes.
    pub fn keep_route(&mut self, route: &str, until_ns: u64, now_ns: u64) -> bool {
        self.judge.keep_route(route, until_ns, now_ns)
    }

    /// Counters since start.
    pub fn stats(&self) -> Stats {
        Stats {
            pending_traces: self.pending,
            recallable_traces: (self.index.len() as u64).saturating_sub(self.pending),
            forgotten_early: self.decisions.forgotten_early,
            bytes: self.bytes(),
            kept_share: self.judge.kept_share(),
            latency_ns: self.judge.latency_ns(),
            tightened: self.judge.tightened(),
            incident_open: self.judge.incident_open(),
            ..self.stats
        }
    }

    /// The bytes that are allocated.
    fn bytes(&self) -> u64 {
        self.tables_with(0) + self.index.lists_with(0) + self.decisions.bytes() + self.released.bytes()
    }
}

#[cfg(test)]
#[path = "sampler_tests.rs"]
mod tests;
