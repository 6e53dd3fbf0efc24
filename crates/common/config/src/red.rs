//! Rate, error and duration metrics of every span, before sampling.

use std::time::Duration;

use serde::Deserialize;

use crate::units::Span;

/// Rate, error and duration metrics of every span, before sampling.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Red {
    /// Whether they are made.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// How often they are written.
    #[serde(default = "default_interval")]
    pub interval: Span,
    /// The most series (service, span name, kind, status, dimensions); more go to one overflow series.
    #[serde(default = "default_series")]
    pub max_series: u16,
    /// Attributes of spans, or else of their resource, that tell series apart, at most 8.
    #[serde(default)]
    pub dimensions: Vec<Dimension>,
    /// The form of the durations.
    #[serde(default)]
    pub histogram: HistogramKind,
    /// Upper bounds of explicit buckets, milliseconds, ascending, at most 31; absent: 16 from 5 ms to 10 s.
    #[serde(default)]
    pub buckets_ms: Vec<f64>,
    /// Whether each export counts since the start, or since the last one.
    #[serde(default)]
    pub temporality: Temporality,
    /// Exemplars of kept traces for each bucket and interval: 0, 1 or 2.
    #[serde(default = "default_exemplars")]
    pub exemplars_per_bucket: u8,
}

/// One attribute.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Dimension {
    /// Its key.
    pub name: String,
    /// What stands where it is missing; absent: the attribute is left out.
    pub default: Option<String>,
}

/// The forms of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum HistogramKind {
    /// Fixed bounds.
    #[default]
    Explicit,
    /// Bounds that are powers of a base, with a scale that fits the data.
    Exponential,
}

/// What a point counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Temporality {
    /// Since the start.
    #[default]
    Cumulative,
    /// Since the last export.
    Delta,
}

fn yes() -> bool {
    true
}
fn default_interval() -> Span {
    Span(Duration::from_secs(10))
}
fn default_series() -> u16 {
    128
}
fn default_exemplars() -> u8 {
    1
}

impl Default for Red {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: default_interval(),
            max_series: default_series(),
            dimensions: Vec::new(),
            histogram: HistogramKind::default(),
            buckets_ms: Vec::new(),
            temporality: Temporality::default(),
            exemplars_per_bucket: default_exemplars(),
        }
    }
}

/// The most dimensions.
const MAX_DIMENSIONS: usize = 8;
/// The most bounds.
const MAX_BOUNDS: usize = 31;

/// Checks what the types alone do not say.
pub(crate) fn check(red: &Red) -> Result<(), String> {
    if red.dimensions.len() > MAX_DIMENSIONS {
        return Err(format!("red.dimensions: at most {MAX_DIMENSIONS}; each one multiplies the series"));
    }
    let ascend = red.buckets_ms.windows(2).all(|pair| pair[0] < pair[1]);
    if red.buckets_ms.len() > MAX_BOUNDS || !ascend || red.buckets_ms.iter().any(|bound| !bound.is_finite()) {
        return Err(format!("red.buckets_ms: at most {MAX_BOUNDS} ascending bounds in milliseconds"));
    }
    if red.exemplars_per_bucket > 2 {
        return Err("red.exemplars_per_bucket: 0, 1 or 2".into());
    }
    Ok(())
}
