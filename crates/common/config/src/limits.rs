//! How much of each kind comes in.

use serde::Deserialize;
use yaml::{Place, Spanned};

use crate::destination::SignalName;
use crate::units::Share;

/// How much of each kind comes in (docs/limiting.md). What is beyond it is taken out, counted by rule, and told to the hub as lost by
/// `limited`; records of mission and audit never are.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The rules, at most 32. A record passes when every rule that means it lets it pass.
    #[serde(default)]
    pub rules: Vec<LimitRule>,
    /// So many series may a metric of one resource have: points of further ones end in its series `otel.metric.overflow=true`. 0: any
    /// number.
    #[serde(default = "default_series")]
    pub series_per_metric: u32,
}

fn default_series() -> u32 {
    2000
}

impl Default for Limits {
    fn default() -> Self {
        Self { rules: Vec::new(), series_per_metric: default_series() }
    }
}

/// A rule: which records, and how many of them.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LimitRule {
    /// Its name in counters and log lines: 1 to 32 small letters, digits and `_`.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub name: Spanned<String>,
    /// What it limits: data points (`metrics`), log records (`logs`), or whole traces (`traces`).
    pub signal: SignalName,
    /// Which of them, in the filter language (docs/filter.md), without a time range or pipes; of traces those of which a span passes it.
    /// Absent: all.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub filter: Option<Spanned<String>>,
    /// Fields of the filter language: records that differ in one of them are counted apart, each with a rate of its own. `[service]`,
    /// `[name]` (of a metric), `[device.type]`.
    #[serde(default)]
    pub by: Vec<String>,
    /// So many a second: data points, log records or traces.
    pub rate: Option<f64>,
    /// Of a rate that is not used, so much may pass at once later. Absent: what comes in 60 s for metrics, in 10 s for logs and traces.
    pub burst: Option<f64>,
    /// This part of the traces, by their id: `1%`. For traces.
    pub share: Option<Share>,
}

/// The most rules.
const MAX_RULES: usize = 32;
/// The most fields by which records are counted apart.
const MAX_BY: usize = 4;

impl LimitRule {
    /// What gathers at most of a rate that is not used.
    pub fn burst(&self) -> f64 {
        let seconds = if self.signal == SignalName::Metrics { 60.0 } else { 10.0 };
        self.burst.unwrap_or(self.rate.unwrap_or_default() * seconds).max(1.0)
    }
}

/// Checks what the types alone do not say, as (place, what).
pub(crate) fn check(limits: &Limits) -> Result<(), (String, String)> {
    if limits.rules.len() > MAX_RULES {
        return Err((String::new(), format!("limits.rules: at most {MAX_RULES}")));
    }
    for (index, rule) in limits.rules.iter().enumerate() {
        let at = |where_: Place, what: String| (where_.to_string(), format!("limits.rules[{index}]{what}"));
        check_rule(rule).map_err(|what| at(rule.name.place, what.to_owned()))?;
        if limits.rules.iter().take(index).any(|other| other.name.value == rule.name.value) {
            return Err(at(rule.name.place, format!(".name: two rules are named {}", rule.name.value)));
        }
        let Some(filter) = &rule.filter else { continue };
        let query = filter::parse(&filter.value, 0);
        let query = query.map_err(|error| at(filter.place, format!(".filter: {}", error.message())))?;
        if !query.pipes.is_empty() || query.range != filter::Range::default() {
            let what = ".filter: a record is meant by what it is: no time range, and nothing after '|'";
            return Err(at(filter.place, what.to_owned()));
        }
    }
    Ok(())
}

fn check_rule(rule: &LimitRule) -> Result<(), &'static str> {
    let name = &rule.name.value;
    let is_name = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
    if !(1..=32).contains(&name.len()) || !name.bytes().all(is_name) {
        return Err(".name: use 1 to 32 small letters, digits and '_'");
    }
    let is_number = |number: f64| number.is_finite() && number > 0.0 && number <= 1e9;
    match (rule.rate, rule.share) {
        (None, None) => return Err(": needs a rate, or for traces a share"),
        (Some(_), Some(_)) => return Err(": has both rate and share; make two rules of it"),
        (Some(rate), None) if !is_number(rate) => return Err(".rate: a number above 0, at most 1000000000"),
        (None, Some(_)) if rule.signal != SignalName::Traces => {
            return Err(".share: is for traces; logs and metrics have a rate");
        }
        _ => {}
    }
    if rule.burst.is_some_and(|burst| !is_number(burst) || burst < 1.0 || rule.rate.is_none()) {
        return Err(".burst: goes with a rate, and is at least 1");
    }
    if rule.by.len() > MAX_BY {
        return Err(".by: at most 4 fields");
    }
    if rule.share.is_some() && !rule.by.is_empty() {
        return Err(".by: goes with a rate; a share is the same for all");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(section: &str) -> Result<Limits, String> {
        crate::tests::with_section(section).map(|config| config.limits).map_err(|error| error.to_string())
    }

    /// Scenario: no section; ten samples a second and one in a hundred traces, a line each; every key. Guarantees: nothing is limited
    /// unless somebody says so; values arrive.
    #[test]
    fn two_lines_say_ten_samples_and_one_percent() {
        assert!(read("").unwrap().rules.is_empty());
        assert_eq!(read("limits: {}").unwrap().series_per_metric, 2000, "as OpenTelemetry's SDKs");
        let limits = read(
            "limits:\n  rules:\n    - { name: samples, signal: metrics, rate: 10 }\n\
             \x20   - { name: traces, signal: traces, share: 1% }\n\
             \x20   - { name: loud, signal: logs, filter: 'level<warn service=api', by: [service], rate: 0.5, burst: 7 }\n",
        )
        .unwrap();
        assert_eq!((limits.rules[0].rate, limits.rules[0].burst()), (Some(10.0), 600.0));
        assert_eq!(limits.rules[1].share, Some(Share(0.01)));
        assert_eq!((limits.rules[2].burst(), limits.rules[2].by.len()), (7.0, 1));
    }

    /// Scenario: rules that say too little, too much or what cannot be. Guarantees: each is refused with its place and what to do.
    #[test]
    fn bad_rules_are_refused_with_their_place() {
        for (rule, expected) in [
            ("name: A, signal: logs, rate: 1", ":7:15: limits.rules[0].name: use 1 to 32"),
            ("name: a, signal: logs", "needs a rate"),
            ("name: a, signal: logs, rate: 0", ".rate: a number above 0"),
            ("name: a, signal: logs, share: 1%", ".share: is for traces"),
            ("name: a, signal: traces, share: 1%, rate: 1", "has both rate and share"),
            ("name: a, signal: traces, share: 101%", "'101%' is not a share"),
            ("name: a, signal: traces, share: 1%, by: [service]", ".by: goes with a rate"),
            ("name: a, signal: traces, share: 1%, burst: 2", ".burst: goes with a rate"),
            ("name: a, signal: logs, rate: 1, by: [a, b, c, d, e]", ".by: at most 4"),
            ("name: a, signal: logs, rate: 1, filter: 'level>='", ":7:49: limits.rules[0].filter: "),
            ("name: a, signal: logs, rate: 1, filter: 'a | stats count'", "nothing after '|'"),
            ("name: a, signal: logs, rate: 1 }\n    - { name: a, signal: logs, rate: 2", "two rules are named a"),
        ] {
            let error = read(&format!("limits:\n  rules:\n    - {{ {rule} }}")).unwrap_err();
            assert!(error.contains(expected), "{rule}: {error}");
        }
    }
}
