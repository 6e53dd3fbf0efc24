//! The sampler, the rules of log records and the RED metrics, from their configuration.

use std::sync::Arc;

use config::{Config, OwnLane, Policy as Written, PolicyKind, StatusCode};
use model::Lane;
use sampling::{
    Adaptive, Alert, Condition, Conditions, DEFAULT_SALT, FieldNames, LogRecordRule, MAX_CONDITIONS, Means, Policy,
    PolicyRule, Regex, RouteShare, STATUS_MASK_ERROR, STATUS_MASK_OK, STATUS_MASK_UNSET, Sampler, Share, TokenBucket,
};

use crate::error::{StartError, start_error};
use pipeline::LaneRules;
use pipeline::Rules;

fn nanos(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// The sampler of a configuration.
pub(crate) fn sampler(config: &Config) -> Result<Sampler, StartError> {
    let sampling = &config.sampling;
    let mut conditions = Conditions::default();
    let mut policies = Vec::with_capacity(sampling.policies.len());
    for written in &sampling.policies {
        let rule = rule(&written.value, &mut conditions)?;
        policies.push(Policy { name: written.value.name.clone(), rule });
    }
    let mut route_shares = Vec::with_capacity(sampling.route_shares.len());
    for route in &sampling.route_shares {
        let bit = add(&mut conditions, Condition::Route(vec![route.route.clone()]))?;
        route_shares.push(RouteShare { bit, share: route.percentage / 100.0, keep_errors: route.keep_errors });
    }
    let mut alerts = Vec::with_capacity(sampling.incident.when.len());
    for written in &sampling.incident.when {
        alerts.push(alert(written, nanos(sampling.incident.longest.0), &mut conditions)?);
    }
    Ok(Sampler::new(sampling::Options {
        policies,
        conditions,
        first_match: sampling.sample_on_first_match,
        decision_wait_ns: nanos(sampling.decision_wait.0),
        after_root_ns: nanos(sampling.decision_wait_after_root_received.0),
        quiet_ns: nanos(sampling.decision_when_quiet.0),
        log_wait_ns: nanos(sampling.log_wait()),
        remember_ns: nanos(sampling.remember.0),
        memory: sampling.memory.0,
        adaptive: sampling.adaptive_latency.as_ref().map(|latency| Adaptive {
            start_ns: nanos(latency.threshold.0),
            floor_ns: nanos(latency.floor.0),
            ceiling_ns: nanos(latency.ceiling.0),
            step_ns: nanos(latency.step.0),
            interval_ns: nanos(latency.interval.0),
        }),
        bytes_per_hour: sampling.bytes_per_hour.map_or(0, |bytes| bytes.0),
        route_shares,
        incident_share: sampling.incident.percentage / 100.0,
        longest_incident_ns: nanos(sampling.incident.longest.0),
        alerts,
        reads_tracestate: sampling.tracestate,
    }))
}

fn alert(written: &config::IncidentAlert, longest_ns: u64, conditions: &mut Conditions) -> Result<Alert, StartError> {
    let service = |service: &String| Condition::Text { key: "service.name".into(), values: vec![service.clone()] };
    let route = |route: &String| Condition::Route(vec![route.clone()]);
    let mut bits = 0;
    for condition in [written.service.as_ref().map(service), written.route.as_ref().map(route)].into_iter().flatten() {
        bits |= add(conditions, condition)?;
    }
    Ok(Alert {
        name: written.name.clone(),
        bits,
        error_share: written.error_share,
        clear_share: written.clear_share.unwrap_or(written.error_share / 2.0),
        over_ns: nanos(written.over.0),
        least_spans: u64::from(written.min_spans),
        open_ns: nanos(written.open.0),
        longest_ns,
    })
}

/// What happens to log records that no trace decides, and what is written on kept records.
pub(crate) fn rules(config: &Config) -> Rules {
    let line = |rule: &config::LogRecordRule| LogRecordRule {
        min_severity: if rule.all { Some(0) } else { rule.min_severity.map(config::SeverityLevel::number) },
        min_duration_ms: rule.min_duration.map(|span| span.0.as_secs_f64() * 1e3),
    };
    let means = |field: &config::MeantField| match field.means {
        config::Meaning::Duration => Means::Duration(field.unit.map_or(1.0, config::DurationUnit::milliseconds)),
        config::Meaning::Level => {
            Means::Level(field.values.iter().map(|(value, level)| (value.clone(), level.number())).collect())
        }
    };
    let fields = config.drift.fields.iter().map(|field| (field.field.value.clone(), means(field)));
    Rules {
        fields: Arc::new(FieldNames::new(fields)),
        without_trace: line(&config.sampling.logs.untraced),
        without_spans: line(&config.sampling.logs.spanless),
        record_policy: config.sampling.record_policy,
        tracestate: config.sampling.tracestate,
    }
}

fn lane(own: OwnLane) -> Lane {
    match own {
        OwnLane::Mission => Lane::Mission,
        OwnLane::Audit => Lane::Audit,
        OwnLane::Debug => Lane::Debug,
    }
}

/// Who goes into lanes of their own.
pub(crate) fn lanes(config: &Config) -> Result<LaneRules, StartError> {
    let mut rules = Vec::with_capacity(config.lanes.rules.len());
    for (index, rule) in config.lanes.rules.iter().enumerate() {
        let query = filter::parse(&rule.filter.value, 0)
            .map_err(|error| start_error(format!("lanes.rules[{index}].filter: {}", error.message())))?;
        rules.push((query.filter, lane(rule.lane)));
    }
    let source = config.sources.otlp.as_ref().and_then(|otlp| otlp.lane).map(lane);
    let otlp = config.sources.otlp.as_ref();
    let producers = otlp.map_or(&[][..], |otlp| &otlp.lanes).iter().map(|one| lane(*one)).collect();
    let bytes_per_minute = otlp.map_or(0, |otlp| otlp.lane_bytes_per_minute.0);
    let device = config.device.id.clone();
    Ok(LaneRules { device, source, rules, producers, bytes_per_minute })
}

/// How RED metrics are made.
pub(crate) fn red(config: &Config) -> red::Options {
    let written = &config.red;
    let bounds = if written.buckets_ms.is_empty() { red::BOUNDS_MS.to_vec() } else { written.buckets_ms.clone() };
    red::Options {
        max_series: usize::from(written.max_series),
        dimensions: written
            .dimensions
            .iter()
            .map(|one| red::Dimension { key: one.name.clone(), default: one.default.clone() })
            .collect(),
        bounds_ms: (written.histogram == config::HistogramKind::Explicit).then_some(bounds),
        delta: written.temporality == config::Temporality::Delta,
        exemplars_per_bucket: written.exemplars_per_bucket,
    }
}

fn add(conditions: &mut Conditions, condition: Condition) -> Result<u64, StartError> {
    conditions.add(condition).ok_or_else(|| {
        start_error(format!("sampling: at most {MAX_CONDITIONS} conditions on attributes, routes and tracestate"))
    })
}

/// A block that the configuration's check has found to be there.
fn block<'a, T>(policy: &Written, block: Option<&'a T>) -> Result<&'a T, StartError> {
    block.ok_or_else(|| start_error(format!("sampling.policies: '{}' lacks its block", policy.name)))
}

fn rule(policy: &Written, conditions: &mut Conditions) -> Result<PolicyRule, StartError> {
    let mut condition = |condition, invert| Ok(PolicyRule::Condition { bit: add(conditions, condition)?, invert });
    Ok(match policy.kind {
        PolicyKind::AlwaysSample => PolicyRule::Always,
        PolicyKind::AdaptiveLatency => PolicyRule::AdaptiveLatency,
        PolicyKind::Latency => {
            let block = block(policy, policy.latency.as_ref())?;
            PolicyRule::Latency {
                from_ns: block.threshold_ms.saturating_mul(1_000_000),
                to_ns: (block.upper_threshold_ms > 0).then(|| block.upper_threshold_ms.saturating_mul(1_000_000)),
            }
        }
        PolicyKind::StatusCode => {
            let codes = &block(policy, policy.status_code.as_ref())?.status_codes;
            PolicyRule::Status(codes.iter().fold(0, |mask, code| {
                mask | match code {
                    StatusCode::Unset => STATUS_MASK_UNSET,
                    StatusCode::Ok => STATUS_MASK_OK,
                    StatusCode::Error => STATUS_MASK_ERROR,
                }
            }))
        }
        PolicyKind::NumericAttribute => {
            let block = block(policy, policy.numeric_attribute.as_ref())?;
            // As in the processor, 0 stands for no bound.
            let bound = |value: i64| (value != 0).then_some(value as f64);
            let (min, max) = (bound(block.min_value), bound(block.max_value));
            condition(Condition::Number { key: block.key.clone(), min, max }, block.invert_match)?
        }
        PolicyKind::StringAttribute => {
            let block = block(policy, policy.string_attribute.as_ref())?;
            let key = block.key.clone();
            let values = block.values.iter().map(|value| value.value.clone());
            let matches = if block.enabled_regex_matching {
                let patterns: Result<Vec<Regex>, _> = values.map(|value| Regex::new(&value)).collect();
                let patterns = patterns.map_err(|error| start_error(format!("policy {}: {error}", policy.name)))?;
                Condition::Pattern { key, patterns }
            } else {
                Condition::Text { key, values: values.collect() }
            };
            condition(matches, block.invert_match)?
        }
        PolicyKind::BooleanAttribute => {
            let block = block(policy, policy.boolean_attribute.as_ref())?;
            condition(Condition::Boolean { key: block.key.clone(), value: block.value }, block.invert_match)?
        }
        PolicyKind::TraceState => {
            let block = block(policy, policy.trace_state.as_ref())?;
            condition(Condition::TraceState { key: block.key.clone(), values: block.values.clone() }, false)?
        }
        PolicyKind::TraceFlags => condition(Condition::Sampled, false)?,
        PolicyKind::Probabilistic => {
            let block = block(policy, policy.probabilistic.as_ref())?;
            let salt = if block.hash_salt.is_empty() { DEFAULT_SALT } else { &block.hash_salt };
            PolicyRule::Probabilistic { salt: salt.as_bytes().into(), share: block.sampling_percentage / 100.0 }
        }
        PolicyKind::RateLimiting => {
            let block = block(policy, policy.rate_limiting.as_ref())?;
            PolicyRule::SpanRate(TokenBucket::new(block.spans_per_second, block.burst_capacity))
        }
        PolicyKind::BytesLimiting => {
            let block = block(policy, policy.bytes_limiting.as_ref())?;
            PolicyRule::ByteRate(TokenBucket::new(block.bytes_per_second, block.burst_capacity))
        }
        PolicyKind::SpanCount => {
            let block = block(policy, policy.span_count.as_ref())?;
            PolicyRule::SpanCount { min: block.min_spans, max: (block.max_spans > 0).then_some(block.max_spans) }
        }
        PolicyKind::LogSeverity => {
            PolicyRule::LogSeverity(block(policy, policy.log_severity.as_ref())?.min_severity.number())
        }
        PolicyKind::And => PolicyRule::And(list(&block(policy, policy.and.as_ref())?.and_sub_policy, conditions)?),
        PolicyKind::Drop => PolicyRule::Drop(list(&block(policy, policy.drop.as_ref())?.drop_sub_policy, conditions)?),
        PolicyKind::Not => {
            let part = &block(policy, policy.not.as_ref())?.not_sub_policy.value;
            PolicyRule::Not(Box::new(rule(part, conditions)?))
        }
        PolicyKind::Composite => {
            let block = block(policy, policy.composite.as_ref())?;
            let mut parts = Vec::with_capacity(block.composite_sub_policy.len());
            for part in &block.composite_sub_policy {
                parts.push(Share::new(rule(&part.value, conditions)?, block.share_of(&part.value.name)));
            }
            PolicyRule::Composite { parts, max_spans_per_second: block.max_total_spans_per_second }
        }
    })
}

fn list(parts: &[config::Spanned<Written>], conditions: &mut Conditions) -> Result<Vec<PolicyRule>, StartError> {
    parts.iter().map(|part| rule(&part.value, conditions)).collect()
}
