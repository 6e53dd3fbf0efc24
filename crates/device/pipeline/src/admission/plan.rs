//! The plan of a request: where its records go. It is made once, at admission, and serves the live path, a restart, and a fetch.

use limit::Overflow;
use model::otlp::{ScopeGroup, Selection, SpanFacts, count_records, for_each_scope};
use model::proto::ProtoError;
use model::{Lane, RefusalCounts, Signal};
use sampling::LogRecordFacts;

use crate::undecided::Rules;

/// Where the records of a request go.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Requests of one lane each, none of them empty: they wait for no decision.
    own: Vec<(Lane, Vec<u8>)>,
    /// What goes the usual way, where that is not the whole request; may be empty.
    rest: Option<Vec<u8>>,
    /// What records put into mission and audit by their own attribute: service and bytes.
    claims: Vec<(u64, u64)>,
    /// Records that name a lane that they may not choose.
    not_allowed: u64,
    /// Records that the guard took out, by reason; `None` when it took none.
    dropped: Option<Box<RefusalCounts>>,
    /// Records that limits took out, by the rule's position.
    limited: Vec<(u16, u64)>,
    /// Points of series beyond what their metrics may have.
    overflow: Option<Box<Overflow>>,
    /// Of the spans of the whole request, where they are known and all of it goes the usual way.
    facts: Option<SpanFacts>,
}

/// A plan in the making: it takes the records of a request one by one.
#[derive(Default)]
pub(super) struct Sorting {
    own: Vec<(Lane, Selection)>,
    rest: Selection,
    claims: Vec<(u64, u64)>,
    not_allowed: u64,
}

impl Sorting {
    /// A record goes the usual way.
    pub(super) fn usual(&mut self, scope: &ScopeGroup<'_>, item: &[u8]) {
        self.rest.push(scope, item);
    }

    /// A record goes into a lane of its own.
    pub(super) fn own(&mut self, lane: Lane, scope: &ScopeGroup<'_>, item: &[u8]) {
        let position = self.own.iter().position(|(other, _)| *other == lane).unwrap_or_else(|| {
            self.own.push((lane, Selection::default()));
            self.own.len() - 1
        });
        self.own[position].1.push(scope, item);
    }

    /// A record of this service claims bytes of mission or audit by its own attribute.
    pub(super) fn claim(&mut self, service: u64, bytes: usize) {
        match self.claims.iter_mut().find(|(other, _)| *other == service) {
            Some((_, claimed)) => *claimed += bytes as u64,
            None => self.claims.push((service, bytes as u64)),
        }
    }

    /// A record names a lane that it may not choose.
    pub(super) fn not_allowed(&mut self) {
        self.not_allowed += 1;
    }

    /// The plan.
    pub(super) fn finish(self) -> Plan {
        let Self { own, rest, claims, not_allowed } = self;
        let written = |selection: &Selection| {
            let mut bytes = Vec::with_capacity(selection.bytes());
            selection.write(&mut bytes);
            bytes
        };
        Plan {
            rest: (!own.is_empty()).then(|| written(&rest)),
            own: own.iter().map(|(lane, selection)| (*lane, written(selection))).collect(),
            claims,
            not_allowed,
            ..Plan::default()
        }
    }
}

impl Plan {
    /// The same of a request that guard and limits let pass: without the records that they took out, and with the facts of its spans where
    /// they still are what they were.
    pub(super) fn guarded(self, dropped: RefusalCounts, limited: Vec<(u16, u64)>, facts: Option<SpanFacts>) -> Self {
        let dropped = (dropped.total() > 0).then(|| Box::new(dropped));
        Self { facts: facts.filter(|_| self.rest.is_none()), dropped, limited, ..self }
    }

    /// The same without these points.
    pub(super) fn overflowing(self, overflow: Option<Overflow>) -> Self {
        Self { overflow: overflow.map(Box::new), ..self }
    }

    /// What records put into mission and audit by their own attribute: service and bytes.
    pub(super) fn claims(&self) -> &[(u64, u64)] {
        &self.claims
    }

    /// Requests of one lane each, that wait for no decision.
    pub(crate) fn own(&self) -> &[(Lane, Vec<u8>)] {
        &self.own
    }

    /// What of `request` goes the usual way.
    pub(crate) fn rest<'a>(&'a self, request: &'a [u8]) -> &'a [u8] {
        self.rest.as_deref().unwrap_or(request)
    }

    /// Records that name a lane that they may not choose.
    pub(crate) fn not_allowed(&self) -> u64 {
        self.not_allowed
    }

    /// Records that the guard took out, by reason; `None` when it took none.
    pub(crate) fn dropped(&self) -> Option<&RefusalCounts> {
        self.dropped.as_deref()
    }

    /// Records that limits took out, by the rule's position.
    pub(crate) fn limited(&self) -> &[(u16, u64)] {
        &self.limited
    }

    /// Points of series beyond what their metrics may have; they are given once.
    pub(crate) fn take_overflow(&mut self) -> Option<Box<Overflow>> {
        self.overflow.take()
    }

    /// Facts of the spans that go the usual way, where they are known.
    pub(crate) fn facts(&self) -> Option<&SpanFacts> {
        self.facts.as_ref()
    }

    /// Bytes that it holds itself.
    pub(super) fn bytes(&self) -> usize {
        let own: usize = self.own.iter().map(|(_, bytes)| bytes.len()).sum();
        own + self.rest.as_ref().map_or(0, Vec::len) + self.facts.as_ref().map_or(0, SpanFacts::bytes)
    }

    /// Bytes for the lanes that are never evicted, mission and audit.
    pub(super) fn urgent(&self) -> [usize; 2] {
        [Lane::Mission, Lane::Audit]
            .map(|wanted| self.own.iter().filter(|(lane, _)| *lane == wanted).map(|(_, bytes)| bytes.len()).sum())
    }

    /// The lanes for which `request` has something, by their number. A log record of a trace is for the trace's lane, and one that
    /// the rule for those without a trace leaves out is for none.
    ///
    /// # Errors
    /// Where the bytes do not walk.
    pub(crate) fn lanes(
        &self,
        signal: Signal,
        request: &[u8],
        rules: &Rules,
    ) -> Result<[bool; Lane::ALL.len()], ProtoError> {
        let mut lanes = [false; Lane::ALL.len()];
        let mut wants = |lane: Lane| lanes[usize::from(lane.number())] = true;
        self.own.iter().for_each(|(lane, _)| wants(*lane));
        let rest = self.rest(request);
        match signal {
            Signal::Logs => for_each_scope::<ProtoError>(rest, |scope| {
                for item in scope.items() {
                    let record = LogRecordFacts::read_with(item?, &[rules.without_trace], &rules.fields)?;
                    if record.trace_id.is_some() {
                        wants(Lane::Traces);
                    } else if rules.without_trace.keeps(&record) {
                        wants(Lane::Logs);
                    }
                }
                Ok(())
            })?,
            _ if count_records(signal, rest)? == 0 => {}
            Signal::Traces => wants(Lane::Traces),
            Signal::Metrics => wants(Lane::Metrics),
        }
        Ok(lanes)
    }
}
