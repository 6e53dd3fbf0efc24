//! The way of a record from a source's hand to the journal's. No IO, no clock: `now_ns` is monotonic, `wall_ns` is data.
//!
//! [`Pipeline`] only passes a record from one part to the next:
//!
//! 1. [`Pipeline::look`]: is it new, is it valid?
//! 2. [`Pipeline::admit_looked`], [`Pipeline::admit_piece`]: mended, guarded, planned, with room reserved
//! 3. (the disk thread records it, where the acknowledgement level asks for it)
//! 4. [`Pipeline::take`]: its records wait for their traces' decisions, or go on
//! 5. [`Pipeline::tick`]: decisions whose time has come are applied
//! 6. [`Pipeline::take_batches`], [`Pipeline::attachment`]: what is ready goes to the journal, and what rides with it
//! 7. [`Pipeline::committed`]: it is on disk, and tickets are settled

mod commands;
mod fetch;
mod pieces;
mod reading;
mod resume;
mod view;

use drift::Drift;
use guard::Guard;
use ledger::{Ledger, PerSignal};
use limit::{Overflow, RecordLimits, SeriesLimit, TraceLimits};
use model::otlp::{count_records, for_each_scope};
use model::proto::ProtoError;
use model::{Answer, Lane, Refusal, RefusalCounts, Request, Signal};
use recorder::{Compressed, Progress};
use red::Red;
use sampling::{Decided, Sampler};

use crate::admission::{Admission, Admitted, Entering, LaneRules, Looked, Piece, Plan};
use crate::books::{Books, Incoming, NotAdmitted, WAIT};
use crate::exemplars;
use crate::limited::LimitedGaps;
use crate::outbox::{Batch, LaneStanding, Outbox, Pressure, Watermarks};
use crate::positions::Positions;
use crate::ticket::{Ticket, Tickets};
use crate::undecided::{Coming, Rules, Undecided, groups};

pub use fetch::{Fetched, NotTaken, Source, Standing};
pub use resume::{Remaining, Resume, Resumed};

/// How often what overflowed is written.
const OVERFLOW_EVERY_NS: u64 = 10_000_000_000;

/// Everything between a source and the journal.
pub struct Pipeline {
    admission: Admission,
    undecided: Undecided,
    outbox: Outbox,
    books: Books,
    tickets: Tickets,
    positions: Positions,
    drift: Drift,
    limited: LimitedGaps,
    overflow: Overflow,
    /// When what overflowed was written last.
    overflow_ns: u64,
}

/// What became of a request that was admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// What its producer is told.
    pub answer: Answer,
    /// When that is true.
    pub ticket: Ticket,
}

/// What rides with the batches of a commit.
#[derive(Debug, Clone, Default)]
pub struct CommitAttachment {
    /// The commit's number: it settles tickets.
    pub number: u64,
    /// The ledger, as bytes.
    pub ledger: Vec<u8>,
    /// Decisions since the last commit, as [`recorder::Decisions`] has them.
    pub decided: Vec<u64>,
    /// Traces released without a decision, because no span of them came.
    pub without_spans: Vec<u64>,
    /// How far sources that read are; `None` where none does.
    pub positions: Option<Vec<u8>>,
    /// How far the recorder is taken over; `None` without a recorder in files.
    pub progress: Option<Progress>,
}

impl Pipeline {
    /// A pipeline that goes on with a ledger.
    pub fn new(recorder_bytes: u64, sampler: Sampler, red: Option<Red>, ledger: Ledger) -> Self {
        Self {
            admission: Admission::new(red),
            undecided: Undecided::new(recorder_bytes, sampler),
            outbox: Outbox::new(),
            books: Books::new(ledger),
            tickets: Tickets::default(),
            positions: Positions::default(),
            drift: Drift::default(),
            limited: LimitedGaps::default(),
            overflow: Overflow::default(),
            overflow_ns: 0,
        }
    }

    /// Sets other rules than the usual ones.
    #[must_use]
    pub fn with_rules(mut self, rules: Rules) -> Self {
        self.undecided.set_rules(rules);
        self
    }

    /// Sets the guard; without, the usual rules hold.
    #[must_use]
    pub fn with_guard(mut self, guard: Guard) -> Self {
        self.admission.set_guard(guard);
        self
    }

    /// Sets what looks for drifting fields; without, nothing does.
    #[must_use]
    pub fn with_drift(mut self, drift: Drift) -> Self {
        self.drift = drift;
        self
    }

    /// Sets how many records, series and traces may come in; without, all do.
    #[must_use]
    pub fn with_limits(mut self, records: RecordLimits, series: SeriesLimit, traces: Option<TraceLimits>) -> Self {
        self.admission.set_limits(records, series);
        self.undecided.set_limits(traces);
        self
    }

    /// Sets who goes into lanes of their own.
    #[must_use]
    pub fn with_lanes(mut self, lanes: LaneRules) -> Self {
        self.admission.set_lanes(lanes);
        self
    }

    /// Sets between which backlogs lanes refuse, by the lane's number; without, none does.
    #[must_use]
    pub fn with_watermarks(mut self, marks: [Option<Watermarks>; Lane::ALL.len()]) -> Self {
        self.outbox.set_pressure(Pressure::new(marks));
        self
    }

    /// Tells how both clocks stand.
    pub fn set_clocks(&mut self, now_ns: u64, wall_ns: u64) {
        self.undecided.sampler_mut().set_clocks(now_ns, wall_ns);
        if let Some(red) = self.admission.red() {
            red.set_now(wall_ns);
        }
        self.admission.set_wall(wall_ns);
        self.limited.set_wall(wall_ns);
    }

    /// Tells the wall time that records without one get.
    pub fn set_wall(&mut self, wall_ns: u64) {
        self.admission.set_wall(wall_ns);
        self.limited.set_wall(wall_ns);
    }
}

/// In.
impl Pipeline {
    /// Takes a request in at once: it is held in memory only.
    pub fn accept(&mut self, request: Request, now_ns: u64) -> Answer {
        match self.admit(request, now_ns) {
            Ok(admitted) => self.take(admitted, None, now_ns).answer,
            Err(answer) => answer,
        }
    }

    /// Looks at a request and admits it whole.
    ///
    /// # Errors
    /// The answer, when there is nothing to take in: it came before, it is bad, or there is no room.
    pub fn admit(&mut self, request: Request, now_ns: u64) -> Result<Admitted, Answer> {
        let looked = self.look(&request)?;
        self.admit_looked(request.signal, request.body, looked, now_ns)
    }

    /// Looks at a request.
    ///
    /// # Errors
    /// The answer, when there is nothing to take in: it came before, or it is bad.
    pub fn look(&mut self, request: &Request) -> Result<Looked, Answer> {
        let most = self.undecided.most_together(request.signal);
        self.admission.look(request, most).map_err(|why| self.not_admitted(why))
    }

    /// Admits a request that was looked at: mended, guarded, planned, with room reserved. It is given to [`Pipeline::take`] or to
    /// [`Pipeline::refuse`]; dropped, it gives its room back.
    ///
    /// # Errors
    /// The answer, when there is no room; its records are booked as refused then.
    pub fn admit_looked(
        &mut self,
        signal: Signal,
        body: Vec<u8>,
        mut looked: Looked,
        now_ns: u64,
    ) -> Result<Admitted, Answer> {
        let facts = looked.take_facts();
        let found = looked.found();
        let piece = self.admission.mended(signal, body, found, facts);
        let admitted = self.admit_piece(signal, piece, looked.key(), &looked, now_ns).inspect_err(|answer| {
            if let Answer::Wait(_) = answer {
                self.books.refused(signal, found.records);
            }
        })?;
        self.books.looked_at(found);
        Ok(admitted.answering(looked.answer()))
    }

    /// Admits a clean request, or a piece of one that was looked at; `key` when it is the last one. What it refuses is not booked.
    ///
    /// # Errors
    /// The answer, when there is no room.
    pub fn admit_piece(
        &mut self,
        signal: Signal,
        piece: Piece,
        key: Option<&[u8]>,
        looked: &Looked,
        now_ns: u64,
    ) -> Result<Admitted, Answer> {
        let admitted = self.reserve(signal, piece, key, looked.found().names_lane, now_ns);
        admitted.map_err(|why| {
            self.admission.limits_mut().give_back();
            self.not_admitted(why)
        })
    }

    fn reserve(
        &mut self,
        signal: Signal,
        piece: Piece,
        key: Option<&[u8]>,
        names_lane: bool,
        now_ns: u64,
    ) -> Result<Admitted, NotAdmitted> {
        let (body, plan) = self.admission.plan(signal, piece, names_lane, Some(now_ns))?;
        let traces = self.undecided.traces_of(signal, &body, plan.facts());
        if !self.undecided.could_hold(traces) {
            let why = format!(
                "the request holds {traces} traces, more than sampling.memory has place for; send fewer at once, or raise it"
            );
            return Err(NotAdmitted::Bad { reason: Refusal::TooManyRecords, why });
        }
        if let Some(lane) = self.refusing_lane(signal, &body, &plan) {
            return Err(NotAdmitted::Later { reason: None, lane: Some(lane) });
        }
        let needs = self.admission.needs(signal, &body, &plan, traces)?;
        if !self.has_room(needs.together.waiting, needs.together.traces, now_ns) {
            return Err(NotAdmitted::NO_ROOM);
        }
        self.admission.reserve((signal, body), plan, key.map(Into::into), needs.own, now_ns)
    }

    /// The lane above its watermark for which a request has something.
    fn refusing_lane(&self, signal: Signal, body: &[u8], plan: &Plan) -> Option<Lane> {
        let pressure = self.outbox.pressure();
        if !pressure.is_raised() {
            return None;
        }
        let lanes = plan.lanes(signal, body, self.undecided.rules());
        lanes.ok().and_then(|lanes| pressure.refuses(lanes))
    }

    /// Whether there is room for so many bytes and traces that may wait for decisions; complete, quiet traces are decided early for it.
    fn has_room(&mut self, waiting: usize, traces: usize, now_ns: u64) -> bool {
        if self.outbox.is_full() {
            return false;
        }
        while waiting > 0 && !self.undecided.make_room(traces, waiting) {
            let decided = self.undecided.decided_early(now_ns);
            if decided.is_empty() {
                return false;
            }
            self.apply(&decided, None);
        }
        true
    }

    fn not_admitted(&mut self, why: NotAdmitted) -> Answer {
        self.books.not_admitted(&why);
        why.answer()
    }

    /// Takes an admitted request in. `sequence` is its place in the recorder's files, when it was recorded: then what its answer says is
    /// true already.
    pub fn take(&mut self, admitted: Admitted, sequence: Option<u64>, now_ns: u64) -> Receipt {
        let urgent = admitted.is_urgent();
        let Entering { signal, body, key, mut plan, compressed, position, answer } = admitted.enter();
        let entry = self.undecided.recorder_end();
        self.books.lanes_not_allowed(plan.not_allowed());
        if let Some(dropped) = plan.dropped() {
            self.books.dropped_by_guard(signal, dropped);
        }
        self.drift.look(signal, &body, now_ns);
        self.take_out(signal, plan.limited());
        if let Some(overflow) = plan.take_overflow() {
            self.take_in_sums(*overflow);
        }
        let (facts, taken) = self.take_planned((signal, &body), &plan, compressed, sequence, now_ns);
        self.books.answered(&facts);
        if let Err(error) = taken {
            // Validation has walked these very bytes; if it is wrong, say so rather than lose a request in silence.
            self.books.unreadable_request();
            return Receipt { answer: Answer::Bad(error.to_string()), ticket: Ticket::Settled };
        }
        if let Some(key) = &key {
            self.admission.remember(key);
        }
        if let Some(covering) = position {
            // What is recorded in files comes again from there.
            let is_in_memory = sequence.is_none() && facts.waiting > 0;
            let waiting = is_in_memory.then(|| (entry, self.undecided.waiting_in(signal, plan.rest(&body), entry)));
            self.positions.took(&covering.position, covering.is_last, waiting);
        }
        let waits = sequence.is_none() && (urgent || self.must_commit());
        Receipt { answer, ticket: if waits { self.tickets.next() } else { Ticket::Settled } }
    }

    /// Limits took these out of a request that is taken in.
    fn take_out(&mut self, signal: Signal, by_rule: &[(u16, u64)]) {
        if by_rule.is_empty() {
            return;
        }
        self.admission.limits_mut().count(by_rule);
        let mut dropped = RefusalCounts::default();
        dropped.add(Refusal::Limited, by_rule.iter().map(|(_, records)| records).sum());
        self.books.dropped_by_guard(signal, &dropped);
        self.limited.add(signal, dropped.total());
    }

    /// Points of a request that is taken in are only in the sums of their metrics, and some not even there.
    fn take_in_sums(&mut self, overflow: Overflow) {
        let mut dropped = RefusalCounts::default();
        dropped.add(Refusal::OverSeries, overflow.added() + overflow.left_out());
        self.books.dropped_by_guard(Signal::Metrics, &dropped);
        self.limited.add(Signal::Metrics, overflow.left_out());
        self.overflow.merge(overflow);
    }

    /// Takes a request in by its plan: what has a lane of its own goes there, the rest waits or goes on. `sequence` as in
    /// [`Pipeline::take`].
    fn take_planned(
        &mut self,
        (signal, body): (Signal, &[u8]),
        plan: &Plan,
        compressed: Option<Compressed>,
        sequence: Option<u64>,
        now_ns: u64,
    ) -> (Incoming, Result<(), ProtoError>) {
        if let Some(sequence) = sequence {
            self.undecided.set_sequence(sequence);
            self.undecided.took(sequence);
        }
        let mut facts = Incoming::default();
        let own = plan.own().iter().map(|(lane, request)| (Some(*lane), Coming::of(request)));
        let rest = Coming { facts: plan.facts(), compressed, ..Coming::of(plan.rest(body)) };
        let taken = own
            .chain([(None, rest)])
            .try_for_each(|(lane, coming)| self.take_into(signal, lane, coming, now_ns, &mut facts));
        self.books.came_in(signal, &facts);
        self.limited.add(signal, facts.limited);
        self.recall(None, now_ns);
        (facts, taken)
    }

    fn take_into(
        &mut self,
        signal: Signal,
        lane: Option<Lane>,
        coming: Coming<'_>,
        now_ns: u64,
        facts: &mut Incoming,
    ) -> Result<(), ProtoError> {
        let request = coming.request;
        let Self { admission, undecided, outbox, .. } = self;
        let passing = outbox.passing();
        match (signal, lane) {
            (Signal::Metrics, lane) => {
                let mut parked = Vec::new();
                facts.passing += exemplars::split(request, passing.points(lane), &mut parked)?;
                undecided.admit_exemplars(&parked, now_ns, passing, facts)
            }
            (_, Some(lane)) => passing.own_lane(lane).route(signal, request, admission.red(), facts),
            (Signal::Traces, None) => undecided.admit_spans(coming, now_ns, admission.red(), passing, facts),
            (Signal::Logs, None) => undecided.admit_log_records(coming, now_ns, passing, facts),
        }
    }

    /// Compresses what of an admitted request goes into the recorder, before it is recorded in files: both then have it, and it was
    /// compressed once.
    pub fn compress(&mut self, admitted: Admitted) -> Admitted {
        let compressed = admitted.waits_whole().and_then(|body| self.undecided.compressed(body));
        admitted.with_compressed(compressed)
    }

    /// Books an admitted request as refused: it could not be recorded. Its room is given back when it is dropped.
    pub fn refuse(&mut self, admitted: &Admitted) -> Answer {
        let (signal, body) = admitted.request();
        self.books.refused(signal, count_records(signal, body).unwrap_or(0));
        Answer::Wait(WAIT)
    }
}

/// Decisions.
impl Pipeline {
    /// Applies the decisions whose time has come.
    pub fn tick(&mut self, now_ns: u64) {
        let decided = self.undecided.due(now_ns);
        self.apply(&decided, None);
        self.recall(None, now_ns);
        self.undecided.forget_overwritten();
        if self.overflow.is_full() || now_ns.saturating_sub(self.overflow_ns) >= OVERFLOW_EVERY_NS {
            self.overflow_ns = now_ns;
            self.write_overflow();
        }
    }

    /// Adds what overflowed since the last time. While the journal takes nothing, it gathers.
    fn write_overflow(&mut self) {
        let wall_ns = self.limited.wall_ns();
        if !self.outbox.is_full()
            && let Some(points) = self.overflow.write(wall_ns)
        {
            self.take_own(Signal::Metrics, &points);
        }
    }

    /// Applies decisions, a frame at a time: what is kept goes on, to another lane than that of traces where one is named.
    fn apply(&mut self, decided: &[Decided], lane: Option<Lane>) {
        for group in groups(decided) {
            let (frames, facts) = self.undecided.apply(group, self.admission.red());
            self.books.applied(&facts);
            let (batches, encoded) = frames.finish();
            self.books.encoded(&encoded);
            self.outbox.add(batches, lane);
        }
    }

    /// Keeps dropped traces after all for which something worth it came, where the recorder still holds them.
    fn recall(&mut self, lane: Option<Lane>, now_ns: u64) {
        if self.undecided.has_recalls() {
            let (dropped, released) = self.undecided.recalled(now_ns);
            self.apply(&dropped, lane);
            self.apply(&released, lane);
        }
    }
}

/// Out.
impl Pipeline {
    /// Adds the span metrics of now. They are cumulative: while the journal takes nothing, the next ones will say it all.
    pub fn write_red(&mut self, wall_ns: u64) {
        if self.outbox.is_full() {
            return;
        }
        let Some(red) = self.admission.red() else { return };
        let points = red.write(wall_ns, self.outbox.passing().points(None));
        self.books.generated(Signal::Metrics, points);
    }

    /// Takes in what the agent says of itself: points (`MetricsData`), or log records (`LogsData`) without a trace. Points are left out
    /// while the journal takes nothing: they are cumulative, and the next ones will say it all.
    pub fn take_own(&mut self, signal: Signal, request: &[u8]) {
        let passing = match signal {
            Signal::Metrics if !self.outbox.is_full() => {
                let passing = self.outbox.passing();
                passing.points(None).extend_from_slice(request);
                count_records(signal, request)
            }
            Signal::Logs => {
                let (passing, mut records) = (self.outbox.passing(), 0);
                let each = for_each_scope::<ProtoError>(request, |scope| {
                    for record in scope.items() {
                        passing.log_record(&scope, record?);
                        records += 1;
                    }
                    Ok(())
                });
                each.map(|()| records)
            }
            _ => return,
        };
        self.books.generated(signal, passing.unwrap_or(0));
    }

    /// Makes a frame of what goes on without a decision. Each piece of a large request is about one: few bytes may be many
    /// records, and encoding them needs memory for each.
    pub fn seal(&mut self) {
        let encoded = self.outbox.seal();
        self.books.encoded(&encoded);
    }

    /// Whether what is ready is enough for a frame of its own.
    pub fn is_full(&self) -> bool {
        self.outbox.has_a_frame()
    }

    /// Whether so much waits for the journal that the next piece of a large request is to wait, too.
    pub fn is_crowded(&self) -> bool {
        self.outbox.is_crowded()
    }

    /// Hands over everything that is ready for the journal, and books it as routed.
    pub fn take_batches(&mut self) -> Vec<Batch> {
        self.seal();
        let mut batches = self.outbox.take();
        batches.append(&mut self.limited.take(self.books.is_closed()));
        batches.iter().for_each(|batch| self.books.routed(&batch.records));
        #[cfg(feature = "mutants")]
        let batches = {
            let mut batches = batches;
            self.outbox.lose_a_frame(&mut batches);
            batches
        };
        batches
    }

    /// A commit begins: what rides with the batches that [`Pipeline::take_batches`] gave at the same moment. Decisions are given again
    /// until [`Pipeline::committed`].
    pub fn attachment(&mut self, now_ns: u64) -> CommitAttachment {
        let number = self.tickets.begin();
        let part = self.undecided.recorder_part(now_ns);
        // What is recorded in files comes back after a crash.
        let ledger = self.books.encoded_ledger(part.is_some());
        let progress = part.as_ref().map(|part| part.progress);
        let part = part.unwrap_or_default();
        let Self { positions, undecided, .. } = self;
        let positions = positions.encode(|trace, entry| undecided.sampler().is_waiting(trace, entry));
        CommitAttachment {
            number,
            ledger,
            decided: part.decided,
            without_spans: part.without_spans,
            positions,
            progress,
        }
    }

    /// A commit is on disk, with all its batches.
    pub fn committed(&mut self, attachment: &CommitAttachment) {
        self.tickets.settle(attachment.number);
        self.books.committed();
        self.undecided.committed(attachment.decided.len(), attachment.without_spans.len());
    }

    /// A commit that began has nothing that is not on disk: tickets are settled by it.
    pub fn nothing_to_commit(&mut self, attachment: &CommitAttachment) {
        self.tickets.settle(attachment.number);
    }

    /// Takes batches back that the journal had no room for.
    pub fn put_back(&mut self, batches: Vec<Batch>) {
        batches.iter().for_each(|batch| self.books.put_back(&batch.records));
        self.outbox.put_back(batches);
    }

    /// Books what the journal will never take, because it is larger than any frame can be.
    pub fn unfit(&mut self, records: &PerSignal) {
        self.books.unfit(records);
    }

    /// The ticket for all that is taken in now: it is settled by the next commit.
    pub fn ticket(&self) -> Ticket {
        self.tickets.next()
    }

    /// Whether a ticket is settled.
    pub fn is_settled(&self, ticket: Ticket) -> bool {
        self.tickets.is_settled(ticket)
    }

    /// Whether what was taken in last has to be committed before it is answered, because a restart after a kill would not
    /// know of it at all.
    pub fn must_commit(&self) -> bool {
        !self.undecided.is_recorded() && self.books.is_beyond_allowance()
    }

    /// Nothing more is answered.
    pub fn close_books(&mut self) {
        self.write_overflow();
        self.books.close();
    }

    /// Tells what each lane has on disk that some destination has not confirmed, by the lane's number; gives the lanes that begin
    /// or end to refuse by that.
    pub fn set_backlog(&mut self, bytes: [u64; Lane::ALL.len()]) -> Vec<LaneStanding> {
        self.outbox.pressure_mut().set_backlog(bytes)
    }
}
