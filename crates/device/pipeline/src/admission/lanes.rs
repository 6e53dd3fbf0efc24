//! Who goes into a lane of its own: records that say so, those of a source, those that pass a rule.

use filter::{Field, Filter, Record, Value};
use model::otlp::{LANE_ATTRIBUTE, LogView, PointView, ScopeGroup, SpanView, for_each_scope, string_attribute};
use model::proto::ProtoError;
use model::{Lane, Signal};
use query::{View, What};
use sampling::LogRecordFacts;

use super::plan::{Plan, Sorting};

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
}

/// The lane of its own that a record goes into.
enum Choice {
    /// By its own attribute.
    Claimed(Lane),
    /// By a rule, or by its source.
    Given(Lane),
}

impl Choice {
    fn lane(&self) -> Lane {
        match self {
            Choice::Claimed(lane) | Choice::Given(lane) => *lane,
        }
    }
}

/// The lanes that records can choose.
fn own_lane(name: &str) -> Option<Lane> {
    name.parse().ok().filter(|lane| matches!(lane, Lane::Mission | Lane::Audit | Lane::Debug))
}

impl LaneRules {
    /// Makes the plan of a request. All of it goes the usual way where nothing asks for more, which is told without a look at its
    /// records. `names_lane`: whether a record or resource of it names a lane.
    ///
    /// # Errors
    /// Where the bytes do not walk.
    pub(super) fn plan(&self, signal: Signal, request: &[u8], names_lane: bool) -> Result<Plan, ProtoError> {
        if self.source.is_none() && self.rules.is_empty() && !names_lane {
            return Ok(Plan::default());
        }
        let mut sorting = Sorting::default();
        for_each_scope::<ProtoError>(request, |scope| {
            for item in scope.items() {
                let item = item?;
                let Some(choice) = self.choice(signal, &scope, item, &mut sorting)? else {
                    sorting.usual(&scope, item);
                    continue;
                };
                if let Choice::Claimed(Lane::Mission | Lane::Audit) = choice {
                    sorting.claim(service_of(&scope), item.len());
                }
                sorting.own(choice.lane(), &scope, item);
            }
            Ok(())
        })?;
        Ok(sorting.finish())
    }

    /// Whether a record goes into a lane that is never given up. `names_lane` as in [`LaneRules::plan`].
    ///
    /// # Errors
    /// Where the bytes do not walk.
    pub(super) fn is_urgent(
        &self,
        signal: Signal,
        scope: &ScopeGroup<'_>,
        item: &[u8],
        names_lane: bool,
    ) -> Result<bool, ProtoError> {
        if self.source.is_none() && self.rules.is_empty() && !names_lane {
            return Ok(false);
        }
        // What it may not choose is counted with the plan.
        let choice = self.choice(signal, scope, item, &mut Sorting::default())?;
        Ok(choice.is_some_and(|choice| matches!(choice.lane(), Lane::Mission | Lane::Audit)))
    }

    /// The lane of its own that a record goes into; `None` when it goes the usual way.
    fn choice(
        &self,
        signal: Signal,
        scope: &ScopeGroup<'_>,
        item: &[u8],
        sorting: &mut Sorting,
    ) -> Result<Option<Choice>, ProtoError> {
        let mut of = |what| {
            let view = View { device: &self.device, resource: scope.resource.resource, scope: scope.scope, item, what };
            self.lane_of(&view, sorting)
        };
        Ok(match signal {
            // A span is never debug: its trace is one decision.
            Signal::Traces => of(What::Span(SpanView::read(item)?)).filter(|choice| choice.lane() != Lane::Debug),
            Signal::Logs => match of(What::Log(LogView::read(item)?)) {
                // A log record of a trace follows it.
                Some(choice) if choice.lane() == Lane::Debug && LogRecordFacts::read(item, &[])?.trace_id.is_some() => {
                    None
                }
                choice => choice,
            },
            Signal::Metrics => {
                let mut choice = None;
                PointView::for_each::<ProtoError>(item, |point| {
                    if choice.is_none() {
                        choice = of(What::Point(point));
                    }
                    Ok(())
                })?;
                choice
            }
        })
    }

    /// What a record says itself, also when that is one of the usual lanes; else the first rule; else the source. A lane that it may
    /// not choose is as if it said nothing.
    fn lane_of(&self, view: &View<'_>, sorting: &mut Sorting) -> Option<Choice> {
        if let Value::Text(name) = view.field(&Field::Attribute(LANE_ATTRIBUTE.to_owned())) {
            match name.parse() {
                Ok(lane @ (Lane::Mission | Lane::Audit)) if !self.producers.contains(&lane) => sorting.not_allowed(),
                _ => return own_lane(&name).map(Choice::Claimed),
            }
        }
        let rule = self.rules.iter().find(|(filter, _)| filter.matches(view)).map(|(_, lane)| *lane);
        rule.or(self.source).map(Choice::Given)
    }
}

/// A number for the service whose records these are.
fn service_of(scope: &ScopeGroup<'_>) -> u64 {
    let name = string_attribute(scope.resource.resource, 1, "service.name").unwrap_or_default();
    // FNV-1a: only told apart, never stored.
    name.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
