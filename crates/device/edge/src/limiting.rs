//! Limits, and the look for drifting fields, from their configuration.

use config::{Config, SignalName};
use drift::Drift;
use filter::{Field, Filter};
use limit::{Most, RecordLimits, Rule, SeriesLimit, TraceLimits};
use model::Signal;

use crate::error::{StartError, start_error};

/// The limits of a configuration: of log records and data points, of series, and of traces where there are some.
///
/// # Errors
/// When a filter cannot be read.
pub(crate) fn limits(config: &Config) -> Result<(RecordLimits, SeriesLimit, Option<TraceLimits>), StartError> {
    let mut rules = Vec::with_capacity(config.limits.rules.len());
    for written in &config.limits.rules {
        let name = &written.name.value;
        let filter = match &written.filter {
            None => Filter::And(Vec::new()),
            Some(text) => {
                let fail = |error: filter::ParseError| start_error(format!("limits.rules {name}: {}", error.message()));
                filter::parse(&text.value, 0).map_err(fail)?.filter
            }
        };
        let signal = Signal::from(written.signal);
        let most = match (written.share, written.rate) {
            (Some(share), _) => Most::Share(share.0),
            (None, rate) => Most::Rate { per_second: rate.unwrap_or_default(), burst: written.burst() },
        };
        let by = written.by.iter().map(|field| Field::named(field)).collect();
        rules.push(Rule { name: name.clone(), signal, filter, by, most });
    }
    let device = &config.device.id;
    let series = SeriesLimit::new(config.limits.series_per_metric);
    Ok((RecordLimits::new(device.clone(), &rules), series, TraceLimits::new(device.clone(), &rules)))
}

/// What looks for drifting fields.
pub(crate) fn drift(config: &Config) -> Drift {
    if config.drift.enabled { Drift::on() } else { Drift::default() }
}

/// What limits take in memory at most: series that are known, and traces that were judged.
pub(crate) fn budget(config: &Config) -> u64 {
    let limits_traces = config.limits.rules.iter().any(|rule| rule.signal == SignalName::Traces);
    let traces = if limits_traces { TraceLimits::BYTES } else { 0 };
    traces + if config.limits.series_per_metric > 0 { SeriesLimit::BYTES } else { 0 }
}
