//! Fields of records that change while a service runs: what they mean whatever their name, and whether changes are looked for.

use std::collections::BTreeMap;

use serde::Deserialize;
use yaml::Spanned;

use crate::policy::SeverityLevel;

/// Fields of records that change while a service runs (docs/drift.md): a few records are looked at each second. Nothing is dropped by it.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Drift {
    /// Whether they are looked for, and told as log records of the agent, in its log, and in `/metrics`.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Fields of log records that mean a level or a duration, beside the ready-made names, at most 32: rules and policies on levels and durations
    /// read them.
    #[serde(default)]
    pub fields: Vec<MeantField>,
}

/// A field of log records, and what it means.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MeantField {
    /// Its name in attributes, structured bodies and bodies that are JSON objects; without case, and with `_`, `.`, `-` in it or not.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub field: Spanned<String>,
    /// What it means.
    pub means: Meaning,
    /// With `means: duration`: the unit of numbers, and of texts that have none; absent: milliseconds.
    pub unit: Option<DurationUnit>,
    /// With `means: level`: what its values mean where their words are none of the usual ones. Values are compared without case.
    #[serde(default)]
    pub values: BTreeMap<String, SeverityLevel>,
}

/// What a field means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Meaning {
    /// How bad it is.
    Level,
    /// How long it took.
    Duration,
}

/// The unit of a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum DurationUnit {
    /// Nanoseconds.
    Ns,
    /// Microseconds.
    Us,
    /// Milliseconds.
    Ms,
    /// Seconds.
    S,
    /// Minutes.
    Min,
}

impl DurationUnit {
    /// How many milliseconds one is.
    pub fn milliseconds(self) -> f64 {
        match self {
            Self::Ns => 1e-6,
            Self::Us => 1e-3,
            Self::Ms => 1.0,
            Self::S => 1e3,
            Self::Min => 6e4,
        }
    }
}

fn yes() -> bool {
    true
}

impl Default for Drift {
    fn default() -> Self {
        Self { enabled: true, fields: Vec::new() }
    }
}

/// The most fields of an operator, and the most values of one.
const MAX_FIELDS: usize = 32;
/// The longest name of a field.
const MAX_NAME: usize = 64;

/// Checks what the types alone do not say, as (place, what).
pub(crate) fn check(drift: &Drift) -> Result<(), (String, String)> {
    let plain = |name: &str| name.replace(['_', '.', '-'], "").to_ascii_lowercase();
    let fail = |field: &MeantField, what: &str| Err((field.field.place.to_string(), format!("drift.fields: {what}")));
    for (index, field) in drift.fields.iter().enumerate() {
        let name = plain(&field.field.value);
        if index >= MAX_FIELDS || field.values.len() > MAX_FIELDS {
            return fail(field, &format!("at most {MAX_FIELDS} fields, and as many values of each"));
        }
        if name.is_empty() || field.field.value.len() > MAX_NAME {
            return fail(field, &format!("field: use 1 to {MAX_NAME} bytes"));
        }
        if drift.fields.iter().take(index).any(|other| plain(&other.field.value) == name) {
            return fail(field, &format!("{} stands there twice", field.field.value));
        }
        if field.unit.is_some() && field.means != Meaning::Duration {
            return fail(field, "unit: belongs to means: duration");
        }
        if !field.values.is_empty() && field.means != Meaning::Level {
            return fail(field, "values: belongs to means: level");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &str) -> Result<Drift, String> {
        crate::tests::with_section(&format!("drift: {{ fields: [{fields}] }}"))
            .map(|config| config.drift)
            .map_err(|error| error.to_string())
    }

    /// Scenario: fields that mean a level and a duration; fields that say too much, stand there twice or mean nothing. Guarantees: values arrive;
    /// what cannot be is refused with its place and what to do.
    #[test]
    fn fields_are_read_and_checked() {
        let drift =
            read("{ field: took, means: duration, unit: s }, { field: ernst, means: level, values: { arg: ERROR } }")
                .unwrap();
        assert!(drift.enabled && drift.fields[0].unit.unwrap().milliseconds() == 1e3);
        assert_eq!(drift.fields[1].values["arg"].number(), 17);
        for (fields, expected) in [
            ("{ field: a, means: level, unit: s }", "unit: belongs to means: duration"),
            ("{ field: a, means: duration, values: { x: WARN } }", "values: belongs to means: level"),
            ("{ field: a_b, means: level }, { field: A.b, means: duration }", "A.b stands there twice"),
            ("{ field: '-', means: level }", "use 1 to 64 bytes"),
            ("{ field: a, means: size }", "unknown variant"),
        ] {
            let error = read(fields).unwrap_err();
            assert!(error.contains(expected), "{fields}: {error}");
        }
    }
}
