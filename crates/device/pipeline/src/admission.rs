//! The way in, up to where records wait or go on: the look at a request, the guard, repeats by their key, limits, lanes, and the
//! metrics of every span. It owns nothing that waits for a decision.

mod lanes;
mod look;
mod permits;
mod plan;
mod repeats;
mod shares;

use guard::{Denied, Guard, Passed};
use limit::{Limited, Overflowed, RecordLimits, SeriesLimit};
use model::otlp::{Inspection, Pieces, ScopeGroup, SpanFacts};
use model::proto::ProtoError;
use model::{Answer, Lane, Position, Refusal, Signal};
use recorder::{Compressed, Content, Recording};
use red::Red;

use crate::books::NotAdmitted;
use crate::positions::recorded;

pub use lanes::LaneRules;
pub use look::{Looked, Piece};
pub use permits::MAX_RECORDING;
pub(crate) use permits::Needs;
pub(crate) use plan::Plan;

use permits::{Permit, Permits};
use repeats::{Repeats, digest};
use shares::LaneShares;

/// Guard, repeats, limits, lanes and span metrics.
#[derive(Default)]
pub(crate) struct Admission {
    guard: Guard,
    limits: RecordLimits,
    series: SeriesLimit,
    repeats: Repeats,
    permits: Permits,
    lanes: LaneRules,
    shares: LaneShares,
    red: Option<Red>,
    /// Wall time, for records that came without one.
    wall_ns: u64,
}

/// A request that may be taken in. Dropped, it gives its room back.
#[derive(Debug)]
pub struct Admitted {
    signal: Signal,
    body: Vec<u8>,
    key: Option<Box<[u8]>>,
    plan: Plan,
    /// The body as the recorder has it, once it is compressed.
    compressed: Option<Compressed>,
    /// Where the source that read it stands behind it.
    position: Option<Box<Covering>>,
    /// The answer once it is taken.
    answer: Answer,
    permit: Permit,
}

/// What a source had read for a request, and how it is recorded.
#[derive(Debug)]
pub(crate) struct Covering {
    pub(crate) position: Position,
    /// Whether the request is whole, or the last piece of one.
    pub(crate) is_last: bool,
    recorded: Vec<u8>,
}

/// A request that is taken in now.
pub(crate) struct Entering {
    pub(crate) signal: Signal,
    pub(crate) body: Vec<u8>,
    pub(crate) key: Option<Box<[u8]>>,
    pub(crate) plan: Plan,
    pub(crate) compressed: Option<Compressed>,
    pub(crate) position: Option<Box<Covering>>,
    pub(crate) answer: Answer,
}

impl Admitted {
    /// What is to be recorded.
    pub fn recording(&self) -> Recording<'_> {
        Recording {
            content: Content::Request(self.signal),
            key: self.key.as_deref().unwrap_or_default(),
            position: self.position.as_ref().map_or(&[], |covering| &covering.recorded),
            bytes: &self.body,
            compressed: self.compressed.as_ref(),
        }
    }

    /// The lanes that are never evicted for which it has something, with about how many bytes. Such a request is answered once it is
    /// synced.
    pub fn urgent(&self) -> impl Iterator<Item = (Lane, usize)> + use<> {
        [Lane::Mission, Lane::Audit].into_iter().zip(self.plan.urgent()).filter(|(_, bytes)| *bytes > 0)
    }

    /// Whether it has something for a lane that is never evicted.
    pub fn is_urgent(&self) -> bool {
        self.urgent().next().is_some()
    }

    /// The same of a source that reads: where it stands behind it. `is_last`: it is whole, or the last piece of a request.
    #[must_use]
    pub fn covering(self, position: Position, is_last: bool) -> Self {
        let recorded = recorded(&position, is_last);
        Self { position: Some(Box::new(Covering { position, is_last, recorded })), ..self }
    }

    /// The same with another answer.
    pub(crate) fn answering(self, answer: Answer) -> Self {
        Self { answer, ..self }
    }

    /// What of it goes into the recorder, where that is all of it.
    pub(crate) fn waits_whole(&self) -> Option<&[u8]> {
        (self.signal != Signal::Metrics && self.plan.own().is_empty()).then_some(&self.body)
    }

    /// The same with its body compressed for the recorder.
    pub(crate) fn with_compressed(self, compressed: Option<Compressed>) -> Self {
        Self { compressed, ..self }
    }

    /// Its signal and bytes.
    pub(crate) fn request(&self) -> (Signal, &[u8]) {
        (self.signal, &self.body)
    }

    /// Gives its room back: it is taken in now.
    pub(crate) fn enter(self) -> Entering {
        let Self { signal, body, key, plan, compressed, position, answer, permit } = self;
        drop(permit);
        Entering { signal, body, key, plan, compressed, position, answer }
    }
}

impl Admission {
    /// One that counts spans in `red`.
    pub(crate) fn new(red: Option<Red>) -> Self {
        Self { red, ..Self::default() }
    }

    /// Sets the guard.
    pub(crate) fn set_guard(&mut self, guard: Guard) {
        self.guard = guard;
    }

    /// The guard.
    pub(crate) fn guard(&self) -> &Guard {
        &self.guard
    }

    /// The guard, to be told of an exception.
    pub(crate) fn guard_mut(&mut self) -> &mut Guard {
        &mut self.guard
    }

    /// Sets how many log records and points may come in, and how many series.
    pub(crate) fn set_limits(&mut self, limits: RecordLimits, series: SeriesLimit) {
        (self.limits, self.series) = (limits, series);
    }

    /// How many series may come in.
    pub(crate) fn series(&self) -> &SeriesLimit {
        &self.series
    }

    /// How many log records and points may come in.
    pub(crate) fn limits(&self) -> &RecordLimits {
        &self.limits
    }

    /// The same, to be told what came in of it.
    pub(crate) fn limits_mut(&mut self) -> &mut RecordLimits {
        &mut self.limits
    }

    /// Sets who goes into lanes of their own.
    pub(crate) fn set_lanes(&mut self, lanes: LaneRules) {
        self.lanes = lanes;
    }

    /// The device's name.
    pub(crate) fn device(&self) -> &str {
        &self.lanes.device
    }

    /// Sets the wall time: records without one get it, and series of span metrics begin then.
    pub(crate) fn set_wall(&mut self, wall_ns: u64) {
        self.wall_ns = wall_ns;
    }

    /// The metrics of every span.
    pub(crate) fn red(&mut self) -> Option<&mut Red> {
        self.red.as_mut()
    }

    /// Spans with odd times.
    pub(crate) fn odd_times(&self) -> u64 {
        self.red.as_ref().map_or(0, Red::odd_times)
    }
}

/// The plan of a request.
impl Admission {
    /// A request as it goes on: mended, without what is not taken.
    pub(crate) fn mended(&self, signal: Signal, body: Vec<u8>, found: &Inspection, facts: Option<SpanFacts>) -> Piece {
        match found.is_clean() {
            true => Piece::new(body, facts),
            // Requests one after the other are one request.
            false => Pieces::new(signal, &body, self.wall_ns).flatten().collect::<Vec<u8>>().into(),
        }
    }

    /// The guard's and the limits' work on a clean request, and the plan of what they let pass. Limits do not hold for what is asked for,
    /// which has no `now_ns`.
    pub(crate) fn plan(
        &mut self,
        signal: Signal,
        piece: Piece,
        names_lane: bool,
        now_ns: Option<u64>,
    ) -> Result<(Vec<u8>, Plan), NotAdmitted> {
        let (bytes, facts) = piece.into_parts();
        let denied = |Denied { reason, why }| NotAdmitted::Bad { reason, why };
        let Passed { request, rewritten, dropped } = self.guard.admit(signal, bytes).map_err(denied)?;
        let unreadable = |error: ProtoError| NotAdmitted::Bad { reason: Refusal::Malformed, why: error.to_string() };
        let Self { limits, series, lanes, .. } = self;
        let exempt = |scope: &ScopeGroup<'_>, item: &[u8]| lanes.is_urgent(signal, scope, item, names_lane);
        let (mut request, mut by_rule, mut overflow) = (request, Vec::new(), None);
        if let Some(now_ns) = now_ns {
            if let Some(Limited { request: left, by_rule: rules }) =
                limits.admit(signal, &request, now_ns, exempt).map_err(unreadable)?
            {
                (request, by_rule) = (left, rules);
            }
            if signal == Signal::Metrics
                && let Some(Overflowed { request: left, overflow: points }) =
                    series.admit(&request, now_ns, exempt).map_err(unreadable)?
            {
                (request, overflow) = (left, Some(points));
            }
        }
        let plan = self.plan_of_passed(signal, &request, names_lane).map_err(unreadable)?;
        let plan = plan.guarded(dropped, by_rule, facts.filter(|_| !rewritten));
        Ok((request, plan.overflowing(overflow)))
    }

    /// The plan of a request that passed the guard before: one of the recorder's files.
    ///
    /// # Errors
    /// Where the bytes do not walk.
    pub(crate) fn plan_of_passed(&self, signal: Signal, request: &[u8], names_lane: bool) -> Result<Plan, ProtoError> {
        self.lanes.plan(signal, request, names_lane)
    }

    /// What a request with this plan needs, with its traces, together with all that is on its way.
    pub(crate) fn needs(&self, signal: Signal, body: &[u8], plan: &Plan, traces: usize) -> Result<Both, NotAdmitted> {
        // Points never wait for a decision: a recorder full of undecided traces must not stop them. A request may split into what
        // waits and what goes on: it is counted whole.
        let waiting = if signal == Signal::Metrics { 0 } else { body.len() };
        let own = Needs { bytes: body.len() + plan.bytes(), waiting, traces };
        let together = self.permits.together(own).ok_or(NotAdmitted::NO_ROOM)?;
        Ok(Both { own, together })
    }

    /// Reserves what a request needs. What its producer may put into mission and audit is used up by it.
    pub(crate) fn reserve(
        &mut self,
        (signal, body): (Signal, Vec<u8>),
        plan: Plan,
        key: Option<Box<[u8]>>,
        needs: Needs,
        now_ns: u64,
    ) -> Result<Admitted, NotAdmitted> {
        if !self.shares.take(plan.claims(), self.lanes.bytes_per_minute, now_ns) {
            return Err(NotAdmitted::Later { reason: Some(Refusal::LaneOverBudget), lane: None });
        }
        let permit = self.permits.reserve(needs, key.clone());
        Ok(Admitted { signal, body, key, plan, compressed: None, position: None, answer: Answer::Accepted, permit })
    }
}

/// What a request needs, and what it needs with all others that are on their way.
pub(crate) struct Both {
    pub(crate) own: Needs,
    pub(crate) together: Needs,
}

/// Repeats.
impl Admission {
    /// A request with this key, behind its digest, is accepted.
    pub(crate) fn remember(&mut self, key: &[u8]) {
        self.repeats.remember(key);
    }

    /// How many pieces of a request are taken already; that is forgotten.
    pub(crate) fn pieces_taken(&mut self, signal: Signal, body: &[u8]) -> usize {
        if self.repeats.has_parts() { self.repeats.take_part(digest(signal, body)) } else { 0 }
    }

    /// Remembers that so many first pieces of a request were taken, when the room ended.
    pub(crate) fn remember_pieces(&mut self, signal: Signal, body: &[u8], pieces: usize) {
        self.repeats.remember_part(digest(signal, body), pieces);
    }
}
