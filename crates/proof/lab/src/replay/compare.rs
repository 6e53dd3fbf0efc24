//! What the agent delivered, against what it should have.

use crate::replay::golden::{Golden, Id};
use crate::replay::script::{LINE, Script};
use anyhow::{Context, Result};
use model::TraceId;
use model::proto::{Reader, Value};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogsData;
use opentelemetry_proto::tonic::metrics::v1::Exemplar;
use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};

/// The attribute of a root that names the policy.
const POLICY: &str = "tailsampling.policy";
/// The metric of the agent's own exemplars, which are not in the golden.
const OWN_METRIC: &[u8] = b"traces.span.metrics.duration";
/// Of each kind of fault so many are named.
const EXAMPLES: usize = 5;

/// What came out.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Spans of each delivered trace.
    pub(crate) spans: BTreeMap<TraceId, u64>,
    policies: BTreeMap<TraceId, String>,
    states: BTreeMap<TraceId, BTreeSet<String>>,
    /// How often each line was delivered, and under which trace.
    lines: BTreeMap<String, (u64, Option<TraceId>)>,
    exemplars: BTreeSet<TraceId>,
    status: BTreeMap<String, u64>,
    bad: Vec<String>,
}

fn text_of(attributes: &[KeyValue], key: &str) -> Option<String> {
    let value = attributes.iter().find(|pair| pair.key == key)?.value.as_ref()?.value.as_ref()?;
    match value {
        any_value::Value::StringValue(text) => Some(text.clone()),
        _ => None,
    }
}

fn from_hex(text: &str) -> Result<Vec<u8>> {
    let pairs = (0..text.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(text.get(at..at + 2).unwrap_or("?"), 16).context("not hex")).collect()
}

impl Outcome {
    /// Reads the agent's output.
    pub(crate) fn read(output: &str) -> Result<Self> {
        let mut outcome = Self::default();
        for line in output.lines() {
            let words: Vec<&str> = line.splitn(3, ' ').collect();
            match words.as_slice() {
                ["batch", _, hex] => outcome.batch(&from_hex(hex)?)?,
                ["status", name, value] => {
                    outcome.status.insert((*name).to_owned(), value.parse()?);
                }
                ["bad", _, why] => outcome.bad.push((*why).to_owned()),
                _ => {}
            }
        }
        Ok(outcome)
    }

    /// A counter that the agent told.
    pub(crate) fn status(&self, name: &str) -> Option<u64> {
        self.status.get(name).copied()
    }

    fn batch(&mut self, body: &[u8]) -> Result<()> {
        for section in wire::decode_body(body)? {
            match section {
                wire::Section::Traces(bytes) => self.traces(&TracesData::decode(bytes.as_slice())?),
                wire::Section::Logs(bytes) => self.logs(&LogsData::decode(bytes.as_slice())?),
                wire::Section::Exemplars(bytes) => self.exemplars(&bytes)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn traces(&mut self, data: &TracesData) {
        for span in data.resource_spans.iter().flat_map(|group| &group.scope_spans).flat_map(|scope| &scope.spans) {
            let Some(trace) = TraceId::from_bytes(&span.trace_id) else { continue };
            *self.spans.entry(trace).or_default() += 1;
            self.states.entry(trace).or_default().insert(span.trace_state.clone());
            if let Some(policy) = text_of(&span.attributes, POLICY) {
                self.policies.insert(trace, policy);
            }
        }
    }

    fn logs(&mut self, data: &LogsData) {
        let scopes = data.resource_logs.iter().flat_map(|group| &group.scope_logs);
        for line in scopes.flat_map(|scope| &scope.log_records) {
            let id = text_of(&line.attributes, LINE).unwrap_or_else(|| "a line without id".to_owned());
            let entry = self.lines.entry(id).or_default();
            *entry = (entry.0 + 1, TraceId::from_bytes(&line.trace_id));
        }
    }

    /// `ExemplarsData` (docs/wire.md): series of a name (3) and exemplars (6).
    fn exemplars(&mut self, bytes: &[u8]) -> Result<()> {
        let mut reader = Reader::new(bytes);
        while let Some((_, value)) = reader.next_field()? {
            let Value::Bytes(series) = value else { continue };
            let (mut own, mut traces) = (false, Vec::new());
            let mut fields = Reader::new(series);
            while let Some((number, value)) = fields.next_field()? {
                match (number, value) {
                    (3, Value::Bytes(name)) => own = name == OWN_METRIC,
                    (6, Value::Bytes(exemplar)) => {
                        traces.extend(TraceId::from_bytes(&Exemplar::decode(exemplar)?.trace_id));
                    }
                    _ => {}
                }
            }
            if !own {
                self.exemplars.extend(traces);
            }
        }
        Ok(())
    }
}

/// A set that should be another one, in words.
fn differ<T: Ord + std::fmt::Debug>(what: &str, found: &BTreeSet<T>, expected: &BTreeSet<T>) -> Vec<String> {
    let name = |how: &str, set: Vec<&T>| {
        let examples: Vec<String> = set.iter().take(EXAMPLES).map(|one| format!("{one:?}")).collect();
        (!set.is_empty()).then(|| format!("{} {what} {how}: {}", set.len(), examples.join(", ")))
    };
    let missing = name("missing", expected.difference(found).collect());
    let astray = name("not expected", found.difference(expected).collect());
    missing.into_iter().chain(astray).collect()
}

/// Everything that is not as expected, in words.
pub(crate) fn compare(golden: &Golden, script: &Script, outcome: &Outcome) -> Result<Vec<String>> {
    let expected = &golden.expect;
    let ids = |list: &[Id]| list.iter().map(|id| id.trace(0)).collect::<Result<BTreeSet<TraceId>>>();
    let mut faults: Vec<String> =
        outcome.bad.iter().map(|why| format!("a request was refused for good: {why}")).collect();
    let kept: BTreeSet<TraceId> = outcome.spans.keys().copied().collect();
    match expected.kept_count {
        Some((low, high)) if !(low..=high).contains(&kept.len()) => {
            faults.push(format!("{} traces kept, not {low} to {high}", kept.len()));
        }
        Some(_) => {}
        None => {
            let wanted: Result<BTreeSet<TraceId>> = expected.kept.keys().map(|key| Id::of_key(key).trace(0)).collect();
            faults.extend(differ("traces", &kept, &wanted?));
        }
    }
    for (key, policy) in expected.kept.iter().filter(|(_, policy)| !policy.is_empty()) {
        let found = outcome.policies.get(&Id::of_key(key).trace(0)?).map_or("no policy", String::as_str);
        if found != policy {
            faults.push(format!("trace {key} was kept by {found}, not by {policy}"));
        }
    }
    let partial = ids(&expected.partial)?;
    for (trace, spans) in &outcome.spans {
        let sent = script.spans.get(trace).copied().unwrap_or_default();
        if *spans > sent || (*spans != sent && !partial.contains(trace)) {
            faults.push(format!("trace {trace}: {spans} spans of {sent}"));
        }
    }
    if let Some(lines) = &expected.lines {
        faults.extend(differ("lines", &outcome.lines.keys().cloned().collect(), &lines.iter().cloned().collect()));
    }
    let twice = outcome.lines.iter().filter(|(_, (count, _))| *count > 1);
    faults.extend(twice.map(|(id, (count, _))| format!("line {id} was delivered {count} times")));
    if let Some(exemplars) = &expected.exemplars {
        faults.extend(differ("exemplars", &outcome.exemplars, &ids(exemplars)?));
    }
    for dead in outcome.exemplars.difference(&kept) {
        faults.push(format!("dead exemplar of trace {dead}"));
    }
    for (key, state) in &expected.tracestate {
        let found = outcome.states.get(&Id::of_key(key).trace(0)?);
        if found != Some(&BTreeSet::from([state.clone()])) {
            faults.push(format!("tracestate of trace {key} is {found:?}, not '{state}'"));
        }
    }
    let zero = ["pending", "difference"].map(|name| (name.to_owned(), 0));
    for (name, value) in zero.iter().map(|(name, value)| (name, value)).chain(&expected.status) {
        let found = outcome.status.get(name).copied();
        if found != Some(*value) {
            faults.push(format!("{name} is {found:?}, not {value}"));
        }
    }
    for name in &expected.happened {
        if outcome.status.get(name).is_none_or(|value| *value == 0) {
            faults.push(format!("{name} did not happen"));
        }
    }
    Ok(faults)
}
