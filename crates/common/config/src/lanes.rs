//! Which records go into a lane of their own, and how much each lane may take on disk.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use yaml::{Place, Spanned};

use crate::units::{ByteSize, Percent, Span};

/// Lanes beside the usual three.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Lanes {
    /// The first rule whose filter a record passes decides; a record's own `lightship.lane` attribute (or its resource's)
    /// goes before all rules.
    #[serde(default)]
    pub rules: Vec<LaneRule>,
    /// The most that each lane may take on disk, within `journal.budget`: bytes (`8MiB`), or `{ bytes: 8MiB, age: 6h }` with one of
    /// the two or both; absent: no bound of its own.
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
        for (marks, budget) in marks.iter_mut().zip(self.budgets.bytes_in_order()).take(NEVER_YIELD) {
            *marks = marks.or(budget.map(|_| Watermarks { high: Percent(95), low: Percent(90) }));
        }
        marks
    }
}

/// The first so many lanes are never given up: mission and audit.
const NEVER_YIELD: usize = 2;

/// Watermarks of each lane.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LaneWatermarks {
    /// Of the lane `mission`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Watermarks>"))]
    pub mission: Option<Spanned<Watermarks>>,
    /// Of the lane `audit`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Watermarks>"))]
    pub audit: Option<Spanned<Watermarks>>,
    /// Of the lane `traces`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Watermarks>"))]
    pub traces: Option<Spanned<Watermarks>>,
    /// Of the lane `logs`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Watermarks>"))]
    pub logs: Option<Spanned<Watermarks>>,
    /// Of the lane `metrics`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Watermarks>"))]
    pub metrics: Option<Spanned<Watermarks>>,
    /// Of the lane `debug`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Watermarks>"))]
    pub debug: Option<Spanned<Watermarks>>,
}

/// Between which backlogs a lane refuses, in hundredths of what it may take: its own budget, else `journal.budget`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Watermarks {
    /// While more than this waits on disk for some destination, requests with records for the lane are refused.
    pub high: Percent,
    /// They are taken again when less than this waits; smaller than `high`.
    pub low: Percent,
}

/// Records that go into a lane of their own.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LaneRule {
    /// Which records, in the filter language (docs/filter.md), without a time range or pipes.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub filter: Spanned<String>,
    /// Their lane.
    pub lane: OwnLane,
}

/// A lane that records enter because somebody says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OwnLane {
    /// Sent first, never sampled, never given up; answered when it is synced.
    Mission,
    /// As mission, after it.
    Audit,
    /// The first to yield. For points and for lines without a trace.
    Debug,
}

/// Bounds of each lane.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LaneBudgets {
    /// Beyond it requests with records for this lane are refused.
    #[cfg_attr(feature = "schema", schemars(with = "Option<LaneBudget>"))]
    pub mission: Option<Spanned<LaneBudget>>,
    /// Beyond it requests with records for this lane are refused.
    #[cfg_attr(feature = "schema", schemars(with = "Option<LaneBudget>"))]
    pub audit: Option<Spanned<LaneBudget>>,
    /// Beyond it the oldest traces yield.
    #[cfg_attr(feature = "schema", schemars(with = "Option<LaneBudget>"))]
    pub traces: Option<Spanned<LaneBudget>>,
    /// Beyond it the oldest lines yield.
    #[cfg_attr(feature = "schema", schemars(with = "Option<LaneBudget>"))]
    pub logs: Option<Spanned<LaneBudget>>,
    /// Beyond it the oldest points yield.
    #[cfg_attr(feature = "schema", schemars(with = "Option<LaneBudget>"))]
    pub metrics: Option<Spanned<LaneBudget>>,
    /// Beyond it the oldest records yield.
    #[cfg_attr(feature = "schema", schemars(with = "Option<LaneBudget>"))]
    pub debug: Option<Spanned<LaneBudget>>,
}

impl LaneBudgets {
    fn all(&self) -> [Option<&Spanned<LaneBudget>>; 6] {
        let Self { mission, audit, traces, logs, metrics, debug } = self;
        [mission, audit, traces, logs, metrics, debug].map(Option::as_ref)
    }

    /// Gives each of the lanes a bound that never yield, are named, and have none.
    pub(crate) fn bound(&mut self, lanes: &[OwnLane], bytes: ByteSize) {
        for lane in lanes {
            let budget = match lane {
                OwnLane::Mission => &mut self.mission,
                OwnLane::Audit => &mut self.audit,
                OwnLane::Debug => continue,
            };
            let bound = LaneBudget { bytes: Some(bytes), age: None };
            match budget {
                Some(budget) => budget.value.bytes = budget.value.bytes.or(Some(bytes)),
                None => {
                    *budget = Some(Spanned { value: bound, place: Place::UNKNOWN });
                }
            }
        }
    }

    /// Bytes in the order of the lanes' numbers: mission, audit, traces, logs, metrics, debug.
    pub fn bytes_in_order(&self) -> [Option<ByteSize>; 6] {
        self.all().map(|budget| budget?.value.bytes)
    }

    /// Ages in the same order.
    pub fn ages_in_order(&self) -> [Option<Span>; 6] {
        self.all().map(|budget| budget?.value.age)
    }
}

/// The bounds of one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneBudget {
    /// The most bytes.
    pub bytes: Option<ByteSize>,
    /// The greatest age of a segment's newest record, by the device's clock while it is synchronised; older segments are given
    /// up. Not for mission and audit.
    pub age: Option<Span>,
}

/// [`LaneBudget`] as a mapping.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Bounds {
    bytes: Option<ByteSize>,
    age: Option<Span>,
}

impl<'de> Deserialize<'de> for LaneBudget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BudgetVisitor)
    }
}

struct BudgetVisitor;

impl<'de> Visitor<'de> for BudgetVisitor {
    type Value = LaneBudget;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as 64KiB or 10MB, or { bytes: 10MB, age: 6h }")
    }

    fn visit_u64<E: Error>(self, bytes: u64) -> Result<LaneBudget, E> {
        Ok(LaneBudget { bytes: Some(ByteSize(bytes)), age: None })
    }

    fn visit_i64<E: Error>(self, bytes: i64) -> Result<LaneBudget, E> {
        self.visit_str(&bytes.to_string())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<LaneBudget, E> {
        let bytes = ByteSize::deserialize(serde::de::value::StrDeserializer::new(text))?;
        Ok(LaneBudget { bytes: Some(bytes), age: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<LaneBudget, A::Error> {
        let Bounds { bytes, age } = Bounds::deserialize(MapAccessDeserializer::new(map))?;
        if bytes.is_none() && age.is_none() {
            return Err(A::Error::custom("a lane's budget needs bytes, age or both"));
        }
        Ok(LaneBudget { bytes, age })
    }
}

/// The least that a lane can work with: one segment that is written and one that is sent.
const LEAST: u64 = 128 << 10;

pub(crate) fn check(lanes: &Lanes, journal: u64) -> Result<(), (String, String)> {
    for (index, rule) in lanes.rules.iter().enumerate() {
        let fail = |what: String| (rule.filter.place.to_string(), format!("lanes.rules[{index}].filter: {what}"));
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
            return Err((marks.place.to_string(), what));
        }
    }
    for (index, (name, budget)) in LANES.iter().zip(lanes.budgets.all()).enumerate() {
        let Some(budget) = budget else { continue };
        let fail = |what: &str| Err((budget.place.to_string(), format!("lanes.budgets.{name}: {what}")));
        if budget.value.bytes.is_some_and(|bytes| bytes.0 < LEAST || bytes.0 > journal) {
            return fail("must be at least 128KiB and at most journal.budget");
        }
        if budget.value.age.is_some() && index < NEVER_YIELD {
            return fail("has no age, since what it holds is never given up; remove it");
        }
    }
    Ok(())
}

const LANES: [&str; 6] = ["mission", "audit", "traces", "logs", "metrics", "debug"];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lanes: &str) -> Result<Lanes, String> {
        crate::tests::with_section(&format!("lanes: {{ {lanes} }}"))
            .map(|config| config.lanes)
            .map_err(|error| error.to_string())
    }

    /// Scenario: lanes with watermarks and budgets of their own, and without. Guarantees: what is written holds; mission and
    /// audit refuse a little before they are full where they have a budget of their own; nothing else has watermarks unasked.
    #[test]
    fn watermarks_are_what_is_written_or_what_is_safe() {
        let lanes =
            read("budgets: { audit: 1MiB, logs: 1MiB }, watermarks: { traces: { high: 90%, low: 70% } }").unwrap();
        let marks = lanes.watermarks_in_order().map(|marks| marks.map(|one| (one.high.0, one.low.0)));
        assert_eq!(marks, [None, Some((95, 90)), Some((90, 70)), None, None, None]);
        assert_eq!(read("").unwrap().watermarks_in_order(), [None; 6]);
    }

    /// Scenario: budgets of lanes as a size, as a plain number of bytes, with an age, with an age alone. Guarantees: each is read
    /// as meant.
    #[test]
    fn budgets_have_bytes_and_ages() {
        let budgets =
            read("budgets: { traces: 1MiB, logs: 262144, metrics: { age: 7d }, debug: { bytes: 2MiB, age: 6h } }");
        let budgets = budgets.unwrap().budgets;
        let bytes = budgets.bytes_in_order().map(|bytes| bytes.map(|bytes| bytes.0 >> 10));
        assert_eq!(bytes, [None, None, Some(1024), Some(256), None, Some(2048)]);
        let hours = budgets.ages_in_order().map(|age| age.map(|age| age.0.as_secs() / 3600));
        assert_eq!(hours, [None, None, None, None, Some(168), Some(6)]);
    }

    /// Scenario: watermarks in the wrong order, out of range, of half or of a lane that there is not; budgets with an age where
    /// nothing may be given up, with nothing, with something unknown, with bad units. Guarantees: each is refused with its place
    /// and a word on what to do.
    #[test]
    fn bad_lanes_are_refused_with_their_place() {
        for (lanes, expected) in [
            (
                "watermarks: { logs: { high: 70%, low: 90% } }",
                ":5:30: lanes.watermarks.logs: high (70%) must be above low (90%)",
            ),
            ("watermarks: { logs: { high: 100%, low: 90% } }", ":5:38: '100%' is not a share from 1% to 99%"),
            ("watermarks: { logs: { high: 70% } }", "missing field `low`"),
            ("watermarks: { log: { high: 70% } }", ":5:24: unknown field"),
            (
                "budgets: { audit: { bytes: 1MiB, age: 6h } }",
                ":5:28: lanes.budgets.audit: has no age, since what it holds is never given up",
            ),
            ("budgets: { debug: {} }", "needs bytes, age or both"),
            ("budgets: { debug: { size: 1MiB } }", ":5:30: unknown field"),
            ("budgets: { debug: { age: 6 } }", ":5:35: '6' is not a duration"),
            ("budgets: { debug: many }", ":5:28: 'many' is not a size"),
        ] {
            let error = read(lanes).unwrap_err();
            assert!(error.contains(expected), "{lanes}: {error}");
        }
    }
}
