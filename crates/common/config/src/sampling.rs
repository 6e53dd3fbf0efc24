//! Which traces and lines are kept.

use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use yaml::Spanned;

use crate::policy::{self, Policy, PolicyKind, SeverityLevel};
use crate::units::{ByteSize, Span};

/// What is wrong, and where: `:line:column`, or nothing.
pub(crate) type Placed = (String, String);

/// Which traces are kept.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// How long after a trace's first span it is decided. SDKs batch for 5 s: less than that may miss the root.
    #[serde(default = "default_decision_wait")]
    pub decision_wait: Span,
    /// How long after its root came a trace is decided, where that is earlier than the wait; 0: not earlier.
    #[serde(default = "no_time")]
    pub decision_wait_after_root_received: Span,
    /// A trace whose root came is decided when nothing more came for so long; 0: not earlier than the wait.
    #[serde(default = "no_time")]
    pub decision_when_quiet: Span,
    /// After how long the lines of a trace that sent no span stand alone; absent: twice the wait.
    pub log_wait: Option<Span>,
    /// A trace is kept when one of them says so. None: every trace is kept.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<Policy>"))]
    pub policies: Vec<Spanned<Policy>>,
    /// Whether the first policy that keeps a trace ends the asking. Rates of later ones are then not used up.
    #[serde(default)]
    pub sample_on_first_match: bool,
    /// For how long decisions are remembered, for what arrives late.
    #[serde(default = "default_remember")]
    pub remember: Span,
    /// The most memory for undecided traces' index and remembered decisions.
    #[serde(default = "default_sampling_memory")]
    pub memory: ByteSize,
    /// Whether the root of a kept trace says which policy kept it (`tailsampling.policy`).
    #[serde(default = "yes")]
    pub record_policy: bool,
    /// Whether consistent probability is read from `tracestate` and written into it (`ot=rv`, `th`).
    #[serde(default = "yes")]
    pub tracestate: bool,
    /// What becomes of lines that no trace decides.
    #[serde(default)]
    pub logs: LogRules,
    /// Low-risk routes: kept by a share of their own, whatever the policies say.
    #[serde(default)]
    pub route_shares: Vec<RouteShare>,
    /// For policies of `type: adaptive_latency`.
    pub adaptive_latency: Option<Adaptive>,
    /// The most bytes of kept records an hour, as they came in. Beyond it probabilistic policies keep less, then all
    /// others, but failed traces are always kept. Absent: no bound.
    pub bytes_per_hour: Option<ByteSize>,
    /// What an incident window changes, and what opens one beside a command.
    #[serde(default)]
    pub incident: Incident,
    /// Between which shares of spans the kept one is expected, from 0 to 1; shown beside the gauge.
    #[serde(default)]
    pub expected_kept_share: Option<(f64, f64)>,
    /// The processor's count of traces in memory; without meaning here, memory is counted in bytes.
    #[serde(default, rename = "num_traces")]
    _num_traces: u64,
    /// A hint to the processor; without meaning here.
    #[serde(default, rename = "expected_new_traces_per_sec")]
    _expected_new_traces_per_sec: u64,
    /// The processor's caches of decisions; without meaning here, see `remember`.
    #[serde(default, rename = "decision_cache")]
    _decision_cache: DecisionCache,
    /// The processor's shards; without meaning here.
    #[serde(default, rename = "num_shards")]
    _num_shards: u64,
    /// Whether producers wait when memory is full; here they always do.
    #[serde(default, rename = "block_on_overflow")]
    _block_on_overflow: bool,
    /// Only `trace-complete`.
    #[serde(default, rename = "sampling_strategy", deserialize_with = "trace_complete")]
    _sampling_strategy: (),
    /// Only false.
    #[serde(default, rename = "drop_pending_traces_on_shutdown", deserialize_with = "never_dropped")]
    _drop_pending_traces_on_shutdown: (),
    /// Only 0.
    #[serde(default, rename = "maximum_trace_size_bytes", deserialize_with = "any_size")]
    _maximum_trace_size_bytes: (),
}

/// The processor's caches.
#[derive(Debug, Clone, Deserialize, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct DecisionCache {
    #[serde(default, rename = "sampled_cache_size")]
    _sampled_cache_size: u64,
    #[serde(default, rename = "non_sampled_cache_size")]
    _non_sampled_cache_size: u64,
}

fn trace_complete<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "trace-complete" => Ok(()),
        other => Err(D::Error::custom(format!(
            "sampling_strategy {other} is not supported: a trace is judged when it is complete; remove the line"
        ))),
    }
}

fn never_dropped<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    match bool::deserialize(deserializer)? {
        false => Ok(()),
        true => Err(D::Error::custom(
            "drop_pending_traces_on_shutdown is not supported: at the end what is known decides, or with recorder.files \
             traces wait on; remove the line",
        )),
    }
}

fn any_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    match u64::deserialize(deserializer)? {
        0 => Ok(()),
        _ => Err(D::Error::custom(
            "maximum_trace_size_bytes is not supported: memory is bounded by sampling.memory and recorder.memory; use \
             a drop policy with span_count to drop large traces",
        )),
    }
}

/// What becomes of lines that no trace decides.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LogRules {
    /// For lines without a trace id; absent: all are kept.
    #[serde(default = "LogRecordRule::all")]
    pub untraced: LogRecordRule,
    /// For lines whose trace sent no span within `log_wait`; absent: WARN and above.
    #[serde(default = "LogRecordRule::warnings")]
    pub spanless: LogRecordRule,
}

impl Default for LogRules {
    fn default() -> Self {
        Self { untraced: LogRecordRule::all(), spanless: LogRecordRule::warnings() }
    }
}

/// A line is kept when its level or its duration is high enough.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LogRecordRule {
    /// From this level on; absent: not by level.
    pub min_severity: Option<SeverityLevel>,
    /// From this duration on, told by a field such as `duration_ms` or `latency_ms`; absent: not by duration.
    pub min_duration: Option<Span>,
    /// Every line is kept.
    #[serde(default)]
    pub all: bool,
}

impl LogRecordRule {
    fn all() -> Self {
        Self { min_severity: None, min_duration: None, all: true }
    }

    fn warnings() -> Self {
        Self { min_severity: Some(SeverityLevel::Warn), min_duration: None, all: false }
    }
}

/// A low-risk route.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RouteShare {
    /// `http.route` or the name of a root or server span; a `*` at the end stands for anything.
    pub route: String,
    /// From 0 to 100.
    pub percentage: f64,
    /// Whether failed traces are kept all the same.
    #[serde(default = "yes")]
    pub keep_errors: bool,
}

/// The adaptive latency threshold.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Adaptive {
    /// Where it begins.
    #[serde(default = "default_threshold")]
    pub threshold: Span,
    /// Never below this.
    pub floor: Span,
    /// Never above this.
    pub ceiling: Span,
    /// How far it moves at once: 25 to 50 ms is usual.
    #[serde(default = "default_step")]
    pub step: Span,
    /// How often it is looked at; it moves when two looks in a row ask for the same.
    #[serde(default = "default_interval")]
    pub interval: Span,
}

/// What an incident window changes, and what opens one beside a command.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Incident {
    /// The share of all traces that is kept while it is open, from 0 to 100.
    #[serde(default = "all_of_it")]
    pub percentage: f64,
    /// The longest that an alert or the hub may keep one open at once.
    #[serde(default = "default_longest")]
    pub longest: Span,
    /// Alerts that open one.
    #[serde(default)]
    pub when: Vec<IncidentAlert>,
}

impl Default for Incident {
    fn default() -> Self {
        Self { percentage: all_of_it(), longest: default_longest(), when: Vec::new() }
    }
}

/// Opens an incident window when too many spans fail; counted from every span, before any decision.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct IncidentAlert {
    /// Names it in logs.
    pub name: String,
    /// Only spans of this `service.name`; absent: of any.
    pub service: Option<String>,
    /// Only root and server spans of this `http.route` or name, a `*` at the end stands for anything; absent: with
    /// `service` every span of it, else root spans.
    pub route: Option<String>,
    /// It opens when more than this share of them failed, from 0 to 1.
    pub error_share: f64,
    /// It stays open while at least this share fails; absent: half of `error_share`.
    pub clear_share: Option<f64>,
    /// Over which time the share is taken.
    #[serde(default = "default_interval")]
    pub over: Span,
    /// Fewer spans than this in that time say nothing.
    #[serde(default = "default_least_spans")]
    pub min_spans: u32,
    /// For how long the window stays open after that.
    #[serde(rename = "for", default = "default_open")]
    pub open: Span,
}

/// The most alerts.
const MAX_ALERTS: usize = 16;

fn yes() -> bool {
    true
}
fn all_of_it() -> f64 {
    100.0
}
fn no_time() -> Span {
    Span(Duration::ZERO)
}
fn default_decision_wait() -> Span {
    Span(Duration::from_secs(10))
}
fn default_remember() -> Span {
    Span(Duration::from_secs(3600))
}
fn default_sampling_memory() -> ByteSize {
    ByteSize(512 << 10)
}
fn default_threshold() -> Span {
    Span(Duration::from_millis(200))
}
fn default_step() -> Span {
    Span(Duration::from_millis(50))
}
fn default_longest() -> Span {
    Span(Duration::from_secs(3600))
}
fn default_open() -> Span {
    Span(Duration::from_secs(600))
}
fn default_least_spans() -> u32 {
    50
}
fn default_interval() -> Span {
    Span(Duration::from_secs(60))
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            decision_wait: default_decision_wait(),
            decision_wait_after_root_received: no_time(),
            decision_when_quiet: no_time(),
            log_wait: None,
            policies: Vec::new(),
            sample_on_first_match: false,
            remember: default_remember(),
            memory: default_sampling_memory(),
            record_policy: true,
            tracestate: true,
            logs: LogRules::default(),
            route_shares: Vec::new(),
            adaptive_latency: None,
            bytes_per_hour: None,
            incident: Incident::default(),
            expected_kept_share: None,
            _num_traces: 0,
            _expected_new_traces_per_sec: 0,
            _decision_cache: DecisionCache::default(),
            _num_shards: 0,
            _block_on_overflow: false,
            _sampling_strategy: (),
            _drop_pending_traces_on_shutdown: (),
            _maximum_trace_size_bytes: (),
        }
    }
}

impl Sampling {
    /// After how long the lines of a trace that sent no span stand alone.
    pub fn log_wait(&self) -> Duration {
        self.log_wait.map_or(self.decision_wait.0.saturating_mul(2), |wait| wait.0)
    }

    /// The latest moment at which anything of a trace is decided, after its first part.
    pub fn longest_wait(&self) -> Duration {
        self.log_wait().max(self.decision_wait.0).saturating_add(self.decision_wait.0)
    }
}

/// Checks what the types alone do not say.
pub(crate) fn check(sampling: &Sampling) -> Result<(), Placed> {
    let everywhere = |what: String| Err((String::new(), what));
    for (index, one) in sampling.policies.iter().enumerate() {
        policy::check(one, 0).map_err(|fault| {
            let place = format!(":{}:{}", fault.place.line(), fault.place.column());
            (place, format!("sampling.policies[{index}]: {fault}"))
        })?;
        if sampling.policies.iter().take(index).any(|other| other.value.name == one.value.name) {
            let place = format!(":{}:{}", one.place.line(), one.place.column());
            return Err((
                place,
                format!("sampling.policies[{index}]: '{}' stands twice; counters need different names", one.value.name),
            ));
        }
    }
    let adaptive = sampling.policies.iter().any(|one| one.value.kind == PolicyKind::AdaptiveLatency);
    if adaptive && sampling.adaptive_latency.is_none() {
        return everywhere(
            "sampling.adaptive_latency: a policy of type adaptive_latency needs it; set floor and ceiling".into(),
        );
    }
    if let Some(latency) = &sampling.adaptive_latency
        && !(latency.floor.0 <= latency.threshold.0 && latency.threshold.0 <= latency.ceiling.0)
    {
        return everywhere("sampling.adaptive_latency: floor, threshold and ceiling must ascend".into());
    }
    if sampling.memory.0 < 64 << 10 {
        return everywhere("sampling.memory: at least 64KiB".into());
    }
    if let Some((low, high)) = sampling.expected_kept_share
        && !(0.0 <= low && low <= high && high <= 1.0)
    {
        return everywhere("sampling.expected_kept_share: two shares from 0 to 1, the lower one first".into());
    }
    if let Err(what) = check_incident(&sampling.incident) {
        return everywhere(format!("sampling.incident{what}"));
    }
    for (index, route) in sampling.route_shares.iter().enumerate() {
        if !(0.0..=100.0).contains(&route.percentage) {
            return everywhere(format!("sampling.route_shares[{index}].percentage: from 0 to 100"));
        }
    }
    Ok(())
}

fn check_incident(incident: &Incident) -> Result<(), String> {
    if incident.when.len() > MAX_ALERTS {
        return Err(format!(".when: at most {MAX_ALERTS} alerts"));
    }
    for (index, alert) in incident.when.iter().enumerate() {
        let fault = |what: &str| Err(format!(".when[{index}].{what}"));
        if !(alert.error_share > 0.0 && alert.error_share < 1.0) {
            return fault("error_share: above 0 and below 1");
        }
        if alert.clear_share.is_some_and(|clear| !(0.0..=alert.error_share).contains(&clear)) {
            return fault("clear_share: from 0 to error_share");
        }
        if alert.over.0 < Duration::from_secs(1) {
            return fault("over: at least 1s");
        }
        if incident.when.iter().take(index).any(|other| other.name == alert.name) {
            return fault("name: it stands twice; logs need different names");
        }
    }
    Ok(())
}
