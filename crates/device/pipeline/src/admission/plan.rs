//! The plan of a request: where its records go. It is made once, at admission, and serves the live path, a restart, and a fetch.

use model::otlp::{SpanFacts, count_records, for_each_scope};
use model::proto::ProtoError;
use model::{Lane, RefusalCounts, Signal};
use sampling::{LogRecordFacts, LogRecordRule};

/// Where the records of a request go.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Requests of one lane each, none of them empty: they wait for no decision.
    pub(super) own: Vec<(Lane, Vec<u8>)>,
    /// What goes the usual way, where that is not the whole request; may be empty.
    pub(super) rest: Option<Vec<u8>>,
    /// What records put into mission and audit by their own attribute: service and bytes.
    pub(super) claims: Vec<(u64, u64)>,
    /// Records that name a lane that they may not choose.
    pub(super) not_allowed: u64,
    /// Records that the guard took out, by reason; `None` when it took none.
    pub(super) dropped: Option<Box<RefusalCounts>>,
    /// Of the spans of the whole request, where they are known and all of it goes the usual way.
    pub(super) facts: Option<SpanFacts>,
}

impl Plan {
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
        without_trace: &LogRecordRule,
    ) -> Result<[bool; Lane::ALL.len()], ProtoError> {
        let mut lanes = [false; Lane::ALL.len()];
        let mut wants = |lane: Lane| lanes[usize::from(lane.number())] = true;
        self.own.iter().for_each(|(lane, _)| wants(*lane));
        let rest = self.rest(request);
        match signal {
            Signal::Logs => for_each_scope::<ProtoError>(rest, |scope| {
                for item in scope.items() {
                    let record = LogRecordFacts::read(item?, &[*without_trace])?;
                    if record.trace_id.is_some() {
                        wants(Lane::Traces);
                    } else if without_trace.keeps(&record) {
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
