//! Which records go into a lane of their own, and how much each lane may take on disk.

use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use crate::units::ByteSize;

/// Lanes beside the usual three.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lanes {
    /// The first rule whose filter a record passes decides; a record's own `lightship.lane` attribute (or its resource's)
    /// goes before all rules.
    #[serde(default)]
    pub rules: Vec<LaneRule>,
    /// The most bytes that each lane may take on disk, within `journal.budget`; absent: no bound of its own.
    #[serde(default)]
    pub budgets: LaneBudgets,
}

/// Records that go into a lane of their own.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaneRule {
    /// Which records, in the filter language (docs/filter.md), without a time range or pipes.
    pub filter: Spanned<String>,
    /// Their lane.
    pub lane: OwnLane,
}

/// A lane that records enter because somebody says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnLane {
    /// Sent first, never sampled, never given up; answered when it is synced.
    Mission,
    /// As mission, after it.
    Audit,
    /// The first to yield. For points and for lines without a trace.
    Debug,
}

/// Bytes of each lane.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaneBudgets {
    /// Beyond it requests with records for this lane are refused.
    pub mission: Option<ByteSize>,
    /// Beyond it requests with records for this lane are refused.
    pub audit: Option<ByteSize>,
    /// Beyond it the oldest traces yield.
    pub traces: Option<ByteSize>,
    /// Beyond it the oldest lines yield.
    pub logs: Option<ByteSize>,
    /// Beyond it the oldest points yield.
    pub metrics: Option<ByteSize>,
    /// Beyond it the oldest records yield.
    pub debug: Option<ByteSize>,
}

impl LaneBudgets {
    /// In the order of the lanes' numbers: mission, audit, traces, logs, metrics, debug.
    pub fn in_order(&self) -> [Option<ByteSize>; 6] {
        [self.mission, self.audit, self.traces, self.logs, self.metrics, self.debug]
    }
}

/// The least that a lane can work with: one segment that is written and one that is sent.
const LEAST: u64 = 128 << 10;

pub(crate) fn check(lanes: &Lanes, journal: u64) -> Result<(), (String, String)> {
    for (index, rule) in lanes.rules.iter().enumerate() {
        let fail = |what: String| (place(rule.filter.referenced), format!("lanes.rules[{index}].filter: {what}"));
        let query = filter::parse(&rule.filter.value, 0).map_err(|error| fail(error.message().to_owned()))?;
        if !query.pipes.is_empty() || query.range != filter::Range::default() {
            return Err(fail("a lane is chosen by what a record is: no time range, and nothing after '|'".to_owned()));
        }
    }
    for (name, budget) in
        ["mission", "audit", "traces", "logs", "metrics", "debug"].iter().zip(lanes.budgets.in_order())
    {
        if budget.is_some_and(|budget| budget.0 < LEAST || budget.0 > journal) {
            let what = format!("lanes.budgets.{name}: must be at least 128KiB and at most journal.budget");
            return Err((String::new(), what));
        }
    }
    Ok(())
}

fn place(location: Location) -> String {
    match location.line() {
        0 => String::new(),
        line => format!(":{line}:{}", location.column()),
    }
}
