//! Which records go into a lane of their own, and how much each lane may take on disk.

use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use crate::units::{ByteSize, Percent};

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
    /// When a lane refuses, before it is full. Absent for mission and audit: 95% and 90% where they have a budget of their own;
    /// absent for another lane: never.
    #[serde(default)]
    pub watermarks: LaneWatermarks,
}

impl Lanes {
    /// The watermarks that hold, in the order of the lanes' numbers: mission, audit, traces, logs, metrics, debug.
    pub fn watermarks_in_order(&self) -> [Option<Watermarks>; 6] {
        let LaneWatermarks { mission, audit, traces, logs, metrics, debug } = &self.watermarks;
        let mut marks = [mission, audit, traces, logs, metrics, debug].map(|marks| marks.as_ref().map(|one| one.value));
        for (marks, budget) in marks.iter_mut().zip(self.budgets.in_order()).take(NEVER_YIELD) {
            *marks = marks.or(budget.map(|_| Watermarks { high: Percent(95), low: Percent(90) }));
        }
        marks
    }
}

/// The first so many lanes are never given up: mission and audit.
const NEVER_YIELD: usize = 2;

/// Watermarks of each lane.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaneWatermarks {
    /// Of the lane `mission`.
    pub mission: Option<Spanned<Watermarks>>,
    /// Of the lane `audit`.
    pub audit: Option<Spanned<Watermarks>>,
    /// Of the lane `traces`.
    pub traces: Option<Spanned<Watermarks>>,
    /// Of the lane `logs`.
    pub logs: Option<Spanned<Watermarks>>,
    /// Of the lane `metrics`.
    pub metrics: Option<Spanned<Watermarks>>,
    /// Of the lane `debug`.
    pub debug: Option<Spanned<Watermarks>>,
}

/// Between which backlogs a lane refuses, in hundredths of what it may take: its own budget, else `journal.budget`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watermarks {
    /// While more than this waits on disk for some destination, requests with records for the lane are refused.
    pub high: Percent,
    /// They are taken again when less than this waits; smaller than `high`.
    pub low: Percent,
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
    let LaneWatermarks { mission, audit, traces, logs, metrics, debug } = &lanes.watermarks;
    for (name, marks) in LANES.iter().zip([mission, audit, traces, logs, metrics, debug]) {
        if let Some(marks) = marks.as_ref().filter(|marks| marks.value.high <= marks.value.low) {
            let Watermarks { high, low } = marks.value;
            let what = format!("lanes.watermarks.{name}: high ({}%) must be above low ({}%)", high.0, low.0);
            return Err((place(marks.referenced), what));
        }
    }
    for (name, budget) in LANES.iter().zip(lanes.budgets.in_order()) {
        if budget.is_some_and(|budget| budget.0 < LEAST || budget.0 > journal) {
            let what = format!("lanes.budgets.{name}: must be at least 128KiB and at most journal.budget");
            return Err((String::new(), what));
        }
    }
    Ok(())
}

const LANES: [&str; 6] = ["mission", "audit", "traces", "logs", "metrics", "debug"];

fn place(location: Location) -> String {
    match location.line() {
        0 => String::new(),
        line => format!(":{line}:{}", location.column()),
    }
}
