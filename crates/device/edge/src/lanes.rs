//! Records that go into a lane of their own: because they say so, because of their source, or by a rule.

use std::cell::Cell;

use filter::{Field, Filter, Record, Value};
use model::otlp::{
    LANE_ATTRIBUTE, LogView, PointView, ScopeGroup, Selection, SpanView, for_each_scope, inspect, string_attribute,
};
use model::proto::ProtoError;
use model::{Lane, Signal};
use query::{View, What};
use sampling::LineFacts;

/// Producers whose share of mission and audit is told apart; what others put there is counted together.
const PRODUCERS: usize = 64;
const MINUTE_NS: u64 = 60_000_000_000;

/// Who goes where.
#[derive(Debug, Default)]
pub struct LaneRules {
    /// The device's name, for rules that ask for it.
    pub device: String,
    /// Where everything goes that says nothing else.
    pub source: Option<Lane>,
    /// The first that a record passes decides.
    pub rules: Vec<(Filter, Lane)>,
    /// Which of mission and audit records may choose themselves.
    pub producers: Vec<Lane>,
    /// What the records of one service may put there in a minute, bytes; 0: without a bound.
    pub bytes_per_minute: u64,
    /// Records of the last request that named a lane they may not choose.
    pub not_allowed: Cell<u64>,
}

/// What each producer put into mission and audit lately.
#[derive(Debug, Default)]
pub(crate) struct LaneShares {
    /// Service, since when, and how many bytes since then.
    shares: Vec<(u64, u64, u64)>,
}

impl LaneShares {
    /// Takes a request's claims; nothing of it when one of them is beyond its share.
    pub(crate) fn take(&mut self, claims: &[(u64, u64)], most: u64, now_ns: u64) -> bool {
        if most == 0 || claims.is_empty() {
            return true;
        }
        self.shares.retain(|(_, since, _)| now_ns.saturating_sub(*since) < MINUTE_NS);
        for (service, bytes) in claims {
            let at = self.position(*service, now_ns);
            let used = self.shares.get(at).map_or(0, |share| share.2);
            // One that used nothing gets in also when it is large.
            if used > 0 && used + bytes > most {
                return false;
            }
        }
        for (service, bytes) in claims {
            let at = self.position(*service, now_ns);
            if let Some(share) = self.shares.get_mut(at) {
                share.2 += bytes;
            }
        }
        true
    }

    fn position(&mut self, service: u64, now_ns: u64) -> usize {
        // The last place is for all that found none.
        let service = if self.shares.len() < PRODUCERS { service } else { u64::MAX };
        let found = self.shares.iter().position(|(other, ..)| *other == service);
        found.unwrap_or_else(|| {
            self.shares.push((service, now_ns, 0));
            self.shares.len() - 1
        })
    }
}

/// A request, taken apart.
#[derive(Debug, Default)]
pub(crate) struct Split {
    /// Requests of one lane each, none of them empty.
    pub(crate) own: Vec<(Lane, Vec<u8>)>,
    /// What goes the usual way; may be empty.
    pub(crate) rest: Vec<u8>,
    /// What records put into mission and audit by their own attribute: service and bytes.
    pub(crate) claims: Vec<(u64, u64)>,
}

impl Split {
    /// Bytes for the lanes that are never given up, mission and audit.
    pub(crate) fn urgent(&self) -> [usize; 2] {
        [Lane::Mission, Lane::Audit]
            .map(|wanted| self.own.iter().filter(|(lane, _)| *lane == wanted).map(|(_, bytes)| bytes.len()).sum())
    }
}

/// The lanes that records can choose.
fn own_lane(name: &str) -> Option<Lane> {
    name.parse().ok().filter(|lane| matches!(lane, Lane::Mission | Lane::Audit | Lane::Debug))
}

impl LaneRules {
    /// Takes a request apart that was taken in before; `None` when all of it goes the usual way.
    pub(crate) fn split(&self, signal: Signal, request: &[u8]) -> Result<Option<Split>, ProtoError> {
        self.split_named(signal, request, inspect(signal, request)?.names_lane)
    }

    /// Records of the last request that named a lane they may not choose.
    pub(crate) fn not_allowed(&self) -> u64 {
        self.not_allowed.take()
    }

    /// Takes a request apart; `None` when all of it goes the usual way, which is told without a look at its records
    /// where nothing asks for more. `named`: whether a record or resource of it names a lane.
    pub(crate) fn split_named(&self, signal: Signal, request: &[u8], named: bool) -> Result<Option<Split>, ProtoError> {
        self.not_allowed.set(0);
        if self.source.is_none() && self.rules.is_empty() && !named {
            return Ok(None);
        }
        let mut claims: Vec<(u64, u64)> = Vec::new();
        let mut own: Vec<(Lane, Selection)> = Vec::new();
        let mut rest = Selection::default();
        for_each_scope::<ProtoError>(request, |scope| {
            for item in scope.items() {
                let item = item?;
                let view = |what| View {
                    device: &self.device,
                    resource: scope.resource.resource,
                    scope: scope.scope,
                    item,
                    what,
                };
                let lane = match signal {
                    // A span is never debug: its trace is one decision.
                    Signal::Traces => {
                        self.lane_of(&view(What::Span(SpanView::read(item)?))).filter(|(lane, _)| *lane != Lane::Debug)
                    }
                    Signal::Logs => {
                        let lane = self.lane_of(&view(What::Log(LogView::read(item)?)));
                        match lane {
                            // A line of a trace follows it.
                            Some((Lane::Debug, _)) if LineFacts::read(item, &[])?.trace_id.is_some() => None,
                            lane => lane,
                        }
                    }
                    Signal::Metrics => {
                        let mut lane = None;
                        PointView::for_each::<ProtoError>(item, |point| {
                            lane = lane.or_else(|| self.lane_of(&view(What::Point(point))));
                            Ok(())
                        })?;
                        lane
                    }
                };
                let Some((lane, claimed)) = lane else {
                    rest.push(&scope, item);
                    continue;
                };
                if claimed && matches!(lane, Lane::Mission | Lane::Audit) {
                    let service = service_of(&scope);
                    match claims.iter_mut().find(|(other, _)| *other == service) {
                        Some((_, bytes)) => *bytes += item.len() as u64,
                        None => claims.push((service, item.len() as u64)),
                    }
                }
                match own.iter_mut().find(|(other, _)| *other == lane) {
                    Some((_, selection)) => selection.push(&scope, item),
                    None => {
                        let mut selection = Selection::default();
                        selection.push(&scope, item);
                        own.push((lane, selection));
                    }
                }
            }
            Ok(())
        })?;
        if own.is_empty() {
            return Ok(None);
        }
        let written = |selection: &Selection| {
            let mut bytes = Vec::with_capacity(selection.bytes());
            selection.write(&mut bytes);
            bytes
        };
        let own = own.iter().map(|(lane, selection)| (*lane, written(selection))).collect();
        Ok(Some(Split { own, rest: written(&rest), claims }))
    }

    /// What a record says itself, also when that is one of the usual lanes; else the first rule; else the source. With
    /// whether it says so itself. A lane that it may not choose is as if it said nothing.
    fn lane_of(&self, view: &View<'_>) -> Option<(Lane, bool)> {
        if let Value::Text(name) = view.field(&Field::Attribute(LANE_ATTRIBUTE.to_owned())) {
            match name.parse() {
                Ok(lane @ (Lane::Mission | Lane::Audit)) if !self.producers.contains(&lane) => {
                    self.not_allowed.set(self.not_allowed.get() + 1);
                }
                _ => return own_lane(&name).map(|lane| (lane, true)),
            }
        }
        let rule = self.rules.iter().find(|(filter, _)| filter.matches(view)).map(|(_, lane)| *lane);
        rule.or(self.source).map(|lane| (lane, false))
    }
}

/// A number for the service whose records these are.
fn service_of(scope: &ScopeGroup<'_>) -> u64 {
    let name = string_attribute(scope.resource.resource, 1, "service.name").unwrap_or_default();
    // FNV-1a: only told apart, never stored.
    name.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: two services put records into audit, one of them more than its share, then a minute passes; and more
    /// services than are told apart. Guarantees: one's share is not another's; a request is taken whole or not at all;
    /// memory is bounded (P9, P11).
    #[test]
    fn i17_each_producer_has_its_share() {
        let mut shares = LaneShares::default();
        assert!(shares.take(&[(1, 60)], 100, 1) && !shares.take(&[(1, 60)], 100, 2));
        assert!(!shares.take(&[(2, 10), (1, 50)], 100, 3), "whole or not at all");
        assert!(shares.take(&[(2, 100)], 100, 4) && shares.take(&[(1, 40)], 100, 5));
        assert!(shares.take(&[(1, 60)], 100, MINUTE_NS + 1));
        assert!(shares.take(&[(3, 500)], 100, 6), "the first one gets in");
        for service in 10..500 {
            shares.take(&[(service, 60)], 100, MINUTE_NS + 2);
        }
        assert!(shares.shares.len() <= PRODUCERS + 1);
        assert!(!shares.take(&[(1000, 60)], 100, MINUTE_NS + 3), "those without a place share one");
        assert!(shares.take(&[(1000, u64::MAX / 2)], 0, 4), "without a bound");
    }
}
