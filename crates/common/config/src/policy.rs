//! Policies, in the form of OpenTelemetry's `tail_sampling` processor, so that its block can be pasted.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use yaml::Spanned;

use crate::fault::Fault;

/// One policy. The block of the same name as its type says what it asks for.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Shown in metrics, and on the root of a trace, as the reason of a keep. Parts of `and`, `not` and `drop` need none.
    #[serde(default)]
    pub name: String,
    /// Which of the blocks below applies.
    #[serde(rename = "type")]
    pub kind: PolicyKind,
    /// For `type: latency`.
    pub latency: Option<Latency>,
    /// For `type: numeric_attribute`.
    pub numeric_attribute: Option<NumericAttribute>,
    /// For `type: probabilistic`.
    pub probabilistic: Option<Probabilistic>,
    /// For `type: status_code`.
    pub status_code: Option<StatusCodes>,
    /// For `type: string_attribute`.
    pub string_attribute: Option<StringAttribute>,
    /// For `type: rate_limiting`.
    pub rate_limiting: Option<RateLimiting>,
    /// For `type: bytes_limiting`.
    pub bytes_limiting: Option<BytesLimiting>,
    /// For `type: span_count`.
    pub span_count: Option<SpanCount>,
    /// For `type: trace_state`.
    pub trace_state: Option<TraceState>,
    /// For `type: boolean_attribute`.
    pub boolean_attribute: Option<BooleanAttribute>,
    /// For `type: log_severity`.
    pub log_severity: Option<LogSeverity>,
    /// For `type: and`.
    pub and: Option<And>,
    /// For `type: not`.
    pub not: Option<Not>,
    /// For `type: drop`.
    pub drop: Option<Drop>,
    /// For `type: composite`.
    pub composite: Option<Composite>,
}

/// The types of policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyKind {
    /// Keeps every trace.
    AlwaysSample,
    /// Keeps traces that last at least so long, from earliest start to latest end.
    Latency,
    /// Keeps traces that last at least the adaptive threshold (`sampling.adaptive_latency`). Ours.
    AdaptiveLatency,
    /// Keeps traces with a span, or a resource, whose number lies in a range.
    NumericAttribute,
    /// Keeps a share of the traces, by their id.
    Probabilistic,
    /// Keeps traces with a span of one of these statuses.
    StatusCode,
    /// Keeps traces with a span, or a resource, whose text is one of these.
    StringAttribute,
    /// Keeps traces up to so many spans a second.
    RateLimiting,
    /// Keeps traces up to so many bytes a second.
    BytesLimiting,
    /// Keeps traces of so many spans.
    SpanCount,
    /// Keeps traces with a member of their `tracestate`.
    TraceState,
    /// Keeps traces with a span whose `sampled` flag is set.
    TraceFlags,
    /// Keeps traces with a span, or a resource, whose truth value is this.
    BooleanAttribute,
    /// Keeps traces with a log record of at least this level. Ours.
    LogSeverity,
    /// Keeps what all parts keep.
    And,
    /// Keeps what the part does not.
    Not,
    /// Drops what all parts keep, whatever other policies say.
    Drop,
    /// Parts in an order, each with its share of spans a second.
    Composite,
}

pub(crate) const KINDS: [(&str, PolicyKind); 18] = [
    ("always_sample", PolicyKind::AlwaysSample),
    ("latency", PolicyKind::Latency),
    ("adaptive_latency", PolicyKind::AdaptiveLatency),
    ("numeric_attribute", PolicyKind::NumericAttribute),
    ("probabilistic", PolicyKind::Probabilistic),
    ("status_code", PolicyKind::StatusCode),
    ("string_attribute", PolicyKind::StringAttribute),
    ("rate_limiting", PolicyKind::RateLimiting),
    ("bytes_limiting", PolicyKind::BytesLimiting),
    ("span_count", PolicyKind::SpanCount),
    ("trace_state", PolicyKind::TraceState),
    ("trace_flags", PolicyKind::TraceFlags),
    ("boolean_attribute", PolicyKind::BooleanAttribute),
    ("log_severity", PolicyKind::LogSeverity),
    ("and", PolicyKind::And),
    ("not", PolicyKind::Not),
    ("drop", PolicyKind::Drop),
    ("composite", PolicyKind::Composite),
];

impl PolicyKind {
    /// As it stands in the file.
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

impl<'de> Deserialize<'de> for PolicyKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Kinds;
        impl Visitor<'_> for Kinds {
            type Value = PolicyKind;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a policy type")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<PolicyKind, E> {
                if let Some((_, kind)) = KINDS.iter().find(|(name, _)| *name == text) {
                    return Ok(*kind);
                }
                if text == "ottl_condition" {
                    return Err(E::custom(
                        "ottl_condition is not supported; use status_code, latency, string_attribute, numeric_attribute \
                         or boolean_attribute, combined by and, not and drop",
                    ));
                }
                let known: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
                Err(E::custom(format!("'{text}' is no policy type; one of {}", known.join(", "))))
            }
        }
        deserializer.deserialize_str(Kinds)
    }
}

/// `latency` of a policy.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Kept when the trace lasts at least this many milliseconds.
    pub threshold_ms: u64,
    /// Not kept when it lasts more than this many milliseconds; absent or 0: no upper bound.
    #[serde(default)]
    pub upper_threshold_ms: u64,
}

/// `numeric_attribute` of a policy.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NumericAttribute {
    /// The attribute's key.
    pub key: String,
    /// The least that matches; absent or 0, as in the processor: no bound.
    #[serde(default)]
    pub min_value: i64,
    /// The most that matches; absent or 0, as in the processor: no bound.
    #[serde(default)]
    pub max_value: i64,
    /// Keep traces in which nothing matches.
    #[serde(default)]
    pub invert_match: bool,
}

/// `probabilistic` of a policy.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Probabilistic {
    /// Hashed before the trace id; absent or empty: the processor's own.
    #[serde(default)]
    pub hash_salt: String,
    /// From 0 to 100; more is 100.
    pub sampling_percentage: f64,
}

/// `status_code` of a policy.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StatusCodes {
    /// One or more of `OK`, `ERROR`, `UNSET`.
    pub status_codes: Vec<StatusCode>,
}

/// A span's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum StatusCode {
    /// Nothing was said.
    Unset,
    /// The operation went well.
    Ok,
    /// The operation failed.
    Error,
}

/// `string_attribute` of a policy.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StringAttribute {
    /// The attribute's key.
    pub key: String,
    /// What matches; empty texts never do.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    pub values: Vec<Spanned<String>>,
    /// Whether `values` are regular expressions. They are not anchored.
    #[serde(default)]
    pub enabled_regex_matching: bool,
    /// The processor's cache of matches; without meaning here.
    #[serde(default)]
    pub cache_max_size: u64,
    /// Keep traces in which nothing matches.
    #[serde(default)]
    pub invert_match: bool,
}

/// `rate_limiting` of a policy.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RateLimiting {
    /// The most spans a second.
    pub spans_per_second: u64,
    /// The most spans at once; absent or 0: twice the rate. A larger trace never passes.
    #[serde(default)]
    pub burst_capacity: u64,
}

/// `bytes_limiting` of a policy.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BytesLimiting {
    /// The most bytes a second, as they came in.
    pub bytes_per_second: u64,
    /// The most bytes at once; absent or 0: twice the rate. A larger trace never passes.
    #[serde(default)]
    pub burst_capacity: u64,
}

/// `span_count` of a policy.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SpanCount {
    /// At least so many spans.
    #[serde(default)]
    pub min_spans: u32,
    /// At most so many; absent or 0: no bound.
    #[serde(default)]
    pub max_spans: u32,
}

/// `trace_state` of a policy.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TraceState {
    /// The member's key.
    pub key: String,
    /// What matches.
    pub values: Vec<String>,
}

/// `boolean_attribute` of a policy.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BooleanAttribute {
    /// The attribute's key.
    pub key: String,
    /// What matches.
    pub value: bool,
    /// Keep traces in which nothing matches.
    #[serde(default)]
    pub invert_match: bool,
}

/// `log_severity` of a policy.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LogSeverity {
    /// Lines of this level and above vote for their whole trace.
    pub min_severity: SeverityLevel,
}

/// The levels of OpenTelemetry's log data model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum SeverityLevel {
    /// 1 to 4.
    Trace,
    /// 5 to 8.
    Debug,
    /// 9 to 12.
    Info,
    /// 13 to 16.
    Warn,
    /// 17 to 20.
    Error,
    /// 21 to 24.
    Fatal,
}

impl SeverityLevel {
    /// The lowest `SeverityNumber` of the level.
    pub fn number(self) -> u8 {
        1 + 4 * self as u8
    }
}

/// `and` of a policy.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct And {
    /// All of them have to keep the trace.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<Policy>"))]
    pub and_sub_policy: Vec<Spanned<Policy>>,
}

/// `not` of a policy.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Not {
    /// What it would keep is not kept, and the other way round.
    #[cfg_attr(feature = "schema", schemars(with = "Box<Policy>"))]
    pub not_sub_policy: Box<Spanned<Policy>>,
}

/// `drop` of a policy.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Drop {
    /// What all of them would keep is dropped.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<Policy>"))]
    pub drop_sub_policy: Vec<Spanned<Policy>>,
}

/// `composite` of a policy.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Composite {
    /// Of all parts together; none passes more.
    pub max_total_spans_per_second: u64,
    /// The processor reads this list and goes by the order of the parts; so do we, and where both differ it is an error.
    #[serde(default)]
    pub policy_order: Vec<String>,
    /// In the order in which they are asked.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<Policy>"))]
    pub composite_sub_policy: Vec<Spanned<Policy>>,
    /// The parts' shares; those that are not named get equal ones.
    #[serde(default)]
    pub rate_allocation: Vec<RateAllocation>,
}

/// A part's share.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RateAllocation {
    /// The part's name.
    pub policy: String,
    /// Of `max_total_spans_per_second`.
    pub percent: u64,
}

impl Composite {
    /// The spans a second of a part.
    pub fn share_of(&self, name: &str) -> u64 {
        let named = self.rate_allocation.iter().rev().find(|one| one.policy == name && one.percent > 0);
        match named {
            Some(one) => self.max_total_spans_per_second.saturating_mul(one.percent) / 100,
            None => self.max_total_spans_per_second / (self.composite_sub_policy.len() as u64).max(1),
        }
    }
}

/// How deep policies may stand in one another.
const MAX_DEPTH: u32 = 8;

/// Checks what the types alone do not say; `depth` is 0 for the policies of the list itself.
pub(crate) fn check(policy: &Spanned<Policy>, depth: u32) -> Result<(), Fault> {
    let fail = |what: String| Err(Fault::at(policy.place, what));
    let one = &policy.value;
    if depth > MAX_DEPTH {
        return fail(format!("policies stand more than {MAX_DEPTH} deep in one another"));
    }
    let blocks: [(PolicyKind, bool); 15] = [
        (PolicyKind::Latency, one.latency.is_some()),
        (PolicyKind::NumericAttribute, one.numeric_attribute.is_some()),
        (PolicyKind::Probabilistic, one.probabilistic.is_some()),
        (PolicyKind::StatusCode, one.status_code.is_some()),
        (PolicyKind::StringAttribute, one.string_attribute.is_some()),
        (PolicyKind::RateLimiting, one.rate_limiting.is_some()),
        (PolicyKind::BytesLimiting, one.bytes_limiting.is_some()),
        (PolicyKind::SpanCount, one.span_count.is_some()),
        (PolicyKind::TraceState, one.trace_state.is_some()),
        (PolicyKind::BooleanAttribute, one.boolean_attribute.is_some()),
        (PolicyKind::LogSeverity, one.log_severity.is_some()),
        (PolicyKind::And, one.and.is_some()),
        (PolicyKind::Not, one.not.is_some()),
        (PolicyKind::Drop, one.drop.is_some()),
        (PolicyKind::Composite, one.composite.is_some()),
    ];
    let kind = one.kind.name();
    for (block, there) in blocks {
        if block == one.kind && !there {
            return fail(format!("type {kind} needs a block named '{kind}'"));
        }
        if block != one.kind && there {
            return fail(format!(
                "type {kind} has a block named '{}', which would be ignored; remove it",
                block.name()
            ));
        }
    }
    if depth == 0 && one.name.is_empty() {
        return fail("a policy needs a name; it is shown as the reason of a keep".into());
    }
    if depth > 0 && matches!(one.kind, PolicyKind::Drop | PolicyKind::Composite) {
        return fail(format!("{kind} stands in the list of policies only"));
    }
    if one.numeric_attribute.as_ref().is_some_and(|block| block.min_value == 0 && block.max_value == 0) {
        return fail("numeric_attribute: set min_value, max_value or both; 0 stands for no bound".into());
    }
    if one.status_code.as_ref().is_some_and(|block| block.status_codes.is_empty()) {
        return fail("status_code: name at least one of OK, ERROR, UNSET".into());
    }
    if one.probabilistic.as_ref().is_some_and(|block| !(0.0..).contains(&block.sampling_percentage)) {
        return fail("probabilistic: sampling_percentage goes from 0 to 100".into());
    }
    if let Some(block) = one.string_attribute.as_ref().filter(|block| block.enabled_regex_matching) {
        for value in &block.values {
            if let Err(error) = regex_lite::Regex::new(&value.value) {
                return Err(Fault::at(
                    value.place,
                    format!("'{}' is no regular expression here: {error}", value.value),
                ));
            }
        }
    }
    parts(one).into_iter().try_for_each(|part| check(part, depth + 1))?;
    if let Some(composite) = &one.composite {
        let names: Vec<&str> = composite.composite_sub_policy.iter().map(|part| part.value.name.as_str()).collect();
        if !composite.policy_order.is_empty() && composite.policy_order != names {
            return fail(
                "composite: policy_order is not the order of composite_sub_policy, and the processor goes by the \
                         latter; write both in the order that you mean"
                    .into(),
            );
        }
        if let Some(one) = composite.rate_allocation.iter().find(|one| !names.contains(&one.policy.as_str())) {
            return fail(format!("composite: rate_allocation names '{}', which is no part of it", one.policy));
        }
    }
    for (name, list) in [
        ("and", one.and.as_ref().map(|and| &and.and_sub_policy)),
        ("drop", one.drop.as_ref().map(|drop| &drop.drop_sub_policy)),
    ] {
        if list.is_some_and(Vec::is_empty) {
            return fail(format!("{name}: name at least one part"));
        }
    }
    Ok(())
}

/// The policies inside a policy.
fn parts(policy: &Policy) -> Vec<&Spanned<Policy>> {
    let lists = [
        policy.and.as_ref().map(|and| &and.and_sub_policy),
        policy.drop.as_ref().map(|drop| &drop.drop_sub_policy),
        policy.composite.as_ref().map(|composite| &composite.composite_sub_policy),
    ];
    let mut parts: Vec<_> = lists.into_iter().flatten().flatten().collect();
    parts.extend(policy.not.as_ref().map(|not| &*not.not_sub_policy));
    parts
}
