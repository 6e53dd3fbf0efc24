//! Records that go into a lane of their own: because they say so, because of their source, or by a rule.

use filter::{Field, Filter, Record, Value};
use model::otlp::{LogView, PointView, Selection, SpanView, for_each_scope};
use model::proto::ProtoError;
use model::{Lane, Signal};
use query::{View, What};
use sampling::LineFacts;

/// Names the lane of a record, or of all records of a resource.
const ATTRIBUTE: &str = "lightship.lane";

/// Who goes where.
#[derive(Debug, Default)]
pub struct LaneRules {
    /// The device's name, for rules that ask for it.
    pub device: String,
    /// Where everything goes that says nothing else.
    pub source: Option<Lane>,
    /// The first that a record passes decides.
    pub rules: Vec<(Filter, Lane)>,
}

/// A request, taken apart.
#[derive(Debug, Default)]
pub(crate) struct Split {
    /// Requests of one lane each, none of them empty.
    pub(crate) own: Vec<(Lane, Vec<u8>)>,
    /// What goes the usual way; may be empty.
    pub(crate) rest: Vec<u8>,
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
    /// Takes a request apart; `None` when all of it goes the usual way, which is told without a look at its records
    /// where nothing asks for more.
    pub(crate) fn split(&self, signal: Signal, request: &[u8]) -> Result<Option<Split>, ProtoError> {
        let says_so = || request.windows(ATTRIBUTE.len()).any(|window| window == ATTRIBUTE.as_bytes());
        if self.source.is_none() && self.rules.is_empty() && !says_so() {
            return Ok(None);
        }
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
                        self.lane_of(&view(What::Span(SpanView::read(item)?))).filter(|lane| *lane != Lane::Debug)
                    }
                    Signal::Logs => {
                        let lane = self.lane_of(&view(What::Log(LogView::read(item)?)));
                        match lane {
                            // A line of a trace follows it.
                            Some(Lane::Debug) if LineFacts::read(item, &[])?.trace_id.is_some() => None,
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
                let Some(lane) = lane else {
                    rest.push(&scope, item);
                    continue;
                };
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
        Ok(Some(Split { own, rest: written(&rest) }))
    }

    /// What a record says itself, also when that is one of the usual lanes; else the first rule; else the source.
    fn lane_of(&self, view: &View<'_>) -> Option<Lane> {
        if let Value::Text(name) = view.field(&Field::Attribute(ATTRIBUTE.to_owned())) {
            return own_lane(&name);
        }
        let rule = self.rules.iter().find(|(filter, _)| filter.matches(view)).map(|(_, lane)| *lane);
        rule.or(self.source)
    }
}
