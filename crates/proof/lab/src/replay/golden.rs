//! A golden: what comes when, and what must be kept of it. Written by hand; nothing of the agent is asked.

use crate::program::path_text;
use anyhow::{Context, Result, bail};
use model::TraceId;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// One file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Golden {
    /// What happens, for people.
    pub(crate) scenario: String,
    /// The block `sampling:` of the agent's configuration.
    pub(crate) sampling: String,
    /// `recorder.memory`.
    #[serde(default = "default_recorder")]
    pub(crate) recorder: String,
    /// `recorder.files`.
    pub(crate) files: Option<String>,
    pub(crate) steps: Vec<Step>,
    pub(crate) expect: Expected,
}

/// What comes at one time.
#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Step {
    /// After the start.
    pub(crate) at: String,
    /// The same again, with traces and line ids counted up by one each time.
    pub(crate) repeat: Option<Repeat>,
    pub(crate) service: Option<String>,
    /// Attributes of the resource.
    pub(crate) resource: Map<String, Value>,
    pub(crate) spans: Vec<SpanStep>,
    pub(crate) lines: Vec<LineStep>,
    /// Points with an exemplar of each of these traces.
    pub(crate) exemplars: Vec<Id>,
    /// A file of OTLP/JSON, one request in a line, as the Collector's file exporter writes it.
    pub(crate) otlp: Option<String>,
    /// A file of an application's JSON log records.
    pub(crate) log: Option<String>,
    /// The program ends and begins anew.
    pub(crate) restart: bool,
}

/// How often, and how far apart.
#[derive(Debug, Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Repeat {
    pub(crate) count: u64,
    pub(crate) every: String,
}

/// A trace: a small number, or 32 hex digits.
#[derive(Debug, Deserialize, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[serde(untagged)]
pub(crate) enum Id {
    Number(u64),
    Hex(String),
}

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SpanStep {
    pub(crate) trace: Option<Id>,
    /// Counted from 1 where it is missing.
    pub(crate) span: Option<u64>,
    /// 0: a root.
    pub(crate) parent: u64,
    pub(crate) name: Option<String>,
    /// OTLP's number.
    pub(crate) kind: i32,
    /// After the step's time; below zero it began before.
    pub(crate) start: Option<String>,
    pub(crate) length: Option<String>,
    /// OK or ERROR.
    pub(crate) status: Option<String>,
    pub(crate) attributes: Map<String, Value>,
    pub(crate) state: String,
    pub(crate) flags: u32,
}

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LineStep {
    /// By this the line is found again.
    pub(crate) id: String,
    /// In the record's own field.
    pub(crate) trace: Option<Id>,
    pub(crate) severity: i32,
    pub(crate) severity_text: String,
    /// `$hex:N`, `$base64:N` and `$traceparent:N` stand for the id of trace N.
    pub(crate) attributes: Map<String, Value>,
    pub(crate) body: String,
    /// Before the step's time.
    pub(crate) age: Option<String>,
}

/// What must come out.
#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Expected {
    /// Every kept trace, with the policy that its root names; `""`: it names none, or it does not matter.
    pub(crate) kept: BTreeMap<String, String>,
    /// Instead of `kept`: how many, from and to.
    pub(crate) kept_count: Option<(usize, usize)>,
    /// Every delivered line.
    pub(crate) lines: Option<Vec<String>>,
    /// The traces of every delivered exemplar of a point.
    pub(crate) exemplars: Option<Vec<Id>>,
    /// Kept traces of which not every span is there: what came before cannot be had any more.
    pub(crate) partial: Vec<Id>,
    /// Counters of the agent.
    pub(crate) status: BTreeMap<String, u64>,
    /// Counters of the agent that must not be zero.
    pub(crate) happened: Vec<String>,
    /// `tracestate` of every span of these traces.
    pub(crate) tracestate: BTreeMap<String, String>,
}

fn default_recorder() -> String {
    "1MiB".to_owned()
}

impl Golden {
    /// One that is not in a file: a block of sampling alone.
    pub(crate) fn of_sampling(sampling: String, recorder: &str) -> Self {
        Self {
            scenario: String::new(),
            sampling,
            recorder: recorder.to_owned(),
            files: None,
            steps: Vec::new(),
            expect: Expected::default(),
        }
    }

    /// The agent's configuration, with its data in this directory.
    pub(crate) fn configuration(&self, directory: &Path) -> Result<String> {
        let files = self.files.as_ref().map(|size| format!(", files: {size}")).unwrap_or_default();
        let block: Vec<String> = self.sampling.lines().map(|line| format!("  {line}")).collect();
        Ok(format!(
            "version: 0\ndevice: {{ id: golden }}\ndata_dir: {}\nsampling:\n{}\nrecorder: {{ memory: {}{files} }}\n\
             destinations:\n  - {{ name: none, type: otlp, url: \"http://127.0.0.1:1\" }}\n",
            path_text(directory)?,
            block.join("\n"),
            self.recorder
        ))
    }

    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_saphyr::from_str(&text).with_context(|| format!("{} is no golden", path.display()))
    }
}

impl Id {
    /// The id, `offset` further.
    pub(crate) fn trace(&self, offset: u64) -> Result<TraceId> {
        match self {
            Id::Number(number) => {
                // The second half is the number, the first one is spread, as ids are.
                let spread = (number + offset).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x6c69_6768_7473_6869;
                let mut id = [0; 16];
                id[..8].copy_from_slice(&spread.to_be_bytes());
                id[8..].copy_from_slice(&(number + offset).to_be_bytes());
                Ok(TraceId(id))
            }
            Id::Hex(text) => TraceId::from_hex(text).with_context(|| format!("'{text}' is no trace id")),
        }
    }

    /// From a key of a map.
    pub(crate) fn of_key(key: &str) -> Self {
        key.parse().map_or_else(|_| Id::Hex(key.to_owned()), Id::Number)
    }
}

/// Nanoseconds of a time with its unit, which may be below zero and have a fraction.
pub(crate) fn nanos(text: &str) -> Result<i64> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit: i64 = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => bail!("'{text}' is no time such as 199.999ms or -2s"),
    };
    let (sign, digits) = number.strip_prefix('-').map_or((1, number), |digits| (-1, digits));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let mut nanos = whole.parse::<i64>().with_context(|| format!("'{text}' is no time"))? * unit;
    let mut place = unit;
    for digit in part.bytes() {
        place /= 10;
        nanos += i64::from(digit - b'0') * place;
    }
    Ok(sign * nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: times at the boundary of a policy. Guarantees: exact to the nanosecond.
    #[test]
    fn times_are_exact() {
        for (text, expected) in [
            ("199.999ms", 199_999_000),
            ("-2s", -2_000_000_000),
            ("0.000001ms", 1),
            ("1.5s", 1_500_000_000),
            ("7ns", 7),
        ] {
            assert_eq!(nanos(text).unwrap(), expected, "{text}");
        }
        assert!(nanos("5").is_err() && nanos("x ms").is_err());
    }
}
