//! Points written as an OTLP export request, nested messages opened and closed as the series come.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use model::proto::{
    begin_message, end_message, put_bytes, put_fixed64, put_message, put_uint, put_varint, read_varint,
};

use crate::kind::Kind;
use crate::labels::{Labels, METRIC_NAME};
use crate::line::Exemplar;
use crate::unit::ucum;

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`
const CUMULATIVE: u64 = 2;
/// Labels that are the scope of a series.
const SCOPE: &str = "otel_scope_";

/// What tells targets apart.
pub(crate) const JOB: &str = "job";
pub(crate) const INSTANCE: &str = "instance";

/// What data a metric has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Gauge,
    /// A sum that only grows.
    Counter,
    /// A sum that does not only grow.
    UpDown,
    Histogram,
    Exponential,
    Summary,
}

impl Shape {
    /// The field of `Metric` that holds it.
    fn data(self) -> u32 {
        match self {
            Self::Gauge => 5,
            Self::Counter | Self::UpDown => 7,
            Self::Histogram => 9,
            Self::Exponential => 10,
            Self::Summary => 11,
        }
    }

    /// The fields of a point that hold attributes and exemplars; summaries have no exemplars.
    fn fields(self) -> (u32, Option<u32>) {
        match self {
            Self::Gauge | Self::Counter | Self::UpDown => (7, Some(5)),
            Self::Histogram => (9, Some(8)),
            Self::Exponential => (1, Some(11)),
            Self::Summary => (7, None),
        }
    }
}

/// The metric that a point belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Metric<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: Kind,
    pub(crate) shape: Shape,
    pub(crate) help: &'a str,
    pub(crate) unit: &'a str,
}

/// When a point is of, Unix nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) start: Option<u64>,
    pub(crate) time: u64,
}

/// An export request while it is written.
#[derive(Debug)]
pub(crate) struct Writer {
    out: Vec<u8>,
    /// Attributes of every resource, as `Resource` has them.
    base: Vec<u8>,
    /// Attributes of the target's own resource, from `target_info`.
    info: Vec<u8>,
    job: String,
    instance: String,
    group: Option<usize>,
    group_hash: u64,
    scope: Option<usize>,
    scope_bytes: Vec<u8>,
    scope_url: String,
    metric: Option<(usize, usize)>,
    metric_name: String,
    metric_tail: (Kind, Shape),
    attributes: Vec<u8>,
    next_scope: Vec<u8>,
    next_url: String,
    points: u64,
}

impl Writer {
    /// An empty request; `base` are resource attributes beside job and instance.
    pub(crate) fn new(base: &[(&str, &str)]) -> Self {
        let mut bytes = Vec::new();
        base.iter().for_each(|(key, value)| put_attribute(&mut bytes, 1, key, value));
        Self {
            out: Vec::new(),
            base: bytes,
            info: Vec::new(),
            job: String::new(),
            instance: String::new(),
            group: None,
            group_hash: 0,
            scope: None,
            scope_bytes: Vec::new(),
            scope_url: String::new(),
            metric: None,
            metric_name: String::new(),
            metric_tail: (Kind::Unknown, Shape::Gauge),
            attributes: Vec::new(),
            next_scope: Vec::new(),
            next_url: String::new(),
            points: 0,
        }
    }

    /// The memory that it holds, roughly.
    pub(crate) fn capacity(&self) -> usize {
        self.out.capacity()
    }

    /// How many points there are.
    pub(crate) fn points(&self) -> u64 {
        self.points
    }

    /// Takes the labels of `target_info` for the resource.
    pub(crate) fn take_info(&mut self, labels: &Labels) {
        self.info.clear();
        for (name, value) in labels.iter().filter(|(name, _)| ![METRIC_NAME, JOB, INSTANCE].contains(name)) {
            put_attribute(&mut self.info, 1, name, value);
        }
    }

    /// Goes to the place of a point with these sorted labels: the identity of the point's series there.
    pub(crate) fn go_to(&mut self, metric: Metric<'_>, labels: &Labels) -> u64 {
        let (job, instance) = (labels.get(JOB).unwrap_or_default(), labels.get(INSTANCE).unwrap_or_default());
        if self.group.is_none() || self.job != job || self.instance != instance {
            self.close_group();
            self.job.clear();
            self.job.push_str(job);
            self.instance.clear();
            self.instance.push_str(instance);
            self.group_hash = group_hash(job.as_bytes(), instance.as_bytes());
            self.group = Some(begin_message(&mut self.out, 1));
        }
        self.go_to_scope(labels);
        let tail = (metric.kind, metric.shape);
        if self.metric.is_none() || self.metric_name != metric.name || self.metric_tail != tail {
            self.close_metric();
            self.metric_name.clear();
            self.metric_name.push_str(metric.name);
            self.metric_tail = tail;
            let start = begin_message(&mut self.out, 2);
            put_bytes(&mut self.out, 1, metric.name.as_bytes());
            if !metric.help.is_empty() {
                put_bytes(&mut self.out, 2, metric.help.as_bytes());
            }
            if !metric.unit.is_empty() {
                put_bytes(&mut self.out, 3, ucum(metric.unit).as_bytes());
            }
            let data = begin_message(&mut self.out, metric.shape.data());
            self.metric = Some((start, data));
        }
        self.attributes.clear();
        let number = metric.shape.fields().0;
        for (name, value) in labels.iter().filter(|(name, _)| !is_apart(name)) {
            put_attribute(&mut self.attributes, number, name, value);
        }
        identity(self.group_hash, &self.scope_bytes, metric.name.as_bytes(), &self.attributes)
    }

    /// Writes the point there; `rest` writes what it has beside attributes, times and exemplars.
    pub(crate) fn point(&mut self, times: Times, exemplars: &Exemplars, rest: impl FnOnce(&mut Vec<u8>)) {
        let (shape, Self { out, attributes, .. }) = (self.metric_tail.1, &mut *self);
        put_message(out, 1, |out| {
            out.extend_from_slice(attributes);
            if let Some(start) = times.start.filter(|start| *start <= times.time) {
                put_fixed64(out, 2, start);
            }
            put_fixed64(out, 3, times.time);
            rest(out);
            if let Some(number) = shape.fields().1 {
                exemplars.write(out, number);
            }
        });
        self.points += 1;
    }

    /// The bytes.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.close_group();
        self.out
    }

    fn go_to_scope(&mut self, labels: &Labels) {
        self.next_scope.clear();
        self.next_url.clear();
        for (name, value) in labels.iter() {
            match name.strip_prefix(SCOPE) {
                None => {}
                Some("name") => put_bytes(&mut self.next_scope, 1, value.as_bytes()),
                Some("version") => put_bytes(&mut self.next_scope, 2, value.as_bytes()),
                Some("schema_url") => self.next_url.push_str(value),
                Some(key) => put_attribute(&mut self.next_scope, 3, key, value),
            }
        }
        if self.scope.is_some() && self.next_scope == self.scope_bytes && self.next_url == self.scope_url {
            return;
        }
        self.close_scope();
        std::mem::swap(&mut self.scope_bytes, &mut self.next_scope);
        std::mem::swap(&mut self.scope_url, &mut self.next_url);
        self.scope = Some(begin_message(&mut self.out, 2));
        if !self.scope_bytes.is_empty() {
            put_bytes(&mut self.out, 1, &self.scope_bytes);
        }
    }

    fn close_metric(&mut self) {
        let Some((start, data)) = self.metric.take() else { return };
        let (kind, shape) = self.metric_tail;
        if matches!(shape, Shape::Counter | Shape::UpDown | Shape::Histogram | Shape::Exponential) {
            put_uint(&mut self.out, 2, CUMULATIVE);
        }
        if shape == Shape::Counter {
            put_uint(&mut self.out, 3, 1);
        }
        end_message(&mut self.out, data);
        put_attribute(&mut self.out, 12, prometheus::TYPE, kind.word());
        end_message(&mut self.out, start);
    }

    fn close_scope(&mut self) {
        self.close_metric();
        let Some(start) = self.scope.take() else { return };
        if !self.scope_url.is_empty() {
            put_bytes(&mut self.out, 3, self.scope_url.as_bytes());
        }
        end_message(&mut self.out, start);
    }

    fn close_group(&mut self) {
        self.close_scope();
        let Some(start) = self.group.take() else { return };
        let Self { out, job, instance, base, info, .. } = self;
        put_message(out, 1, |out| {
            for (key, value) in [("service.name", job), ("service.instance.id", instance)] {
                // A series that was written, not scraped, need not have them.
                if !value.is_empty() {
                    put_attribute(out, 1, key, value);
                }
            }
            out.extend_from_slice(base);
            out.extend_from_slice(info);
        });
        end_message(out, start);
    }
}

/// Exemplars, as bodies of `Exemplar` with their lengths.
#[derive(Debug, Default)]
pub(crate) struct Exemplars(Vec<u8>);

impl Exemplars {
    /// Begins anew, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds one of these labels; `time` is that of its point.
    pub(crate) fn push<'a>(
        &mut self,
        exemplar: &Exemplar,
        labels: impl Iterator<Item = (&'a str, &'a str)>,
        time: u64,
    ) {
        let mut body = Vec::with_capacity(64);
        put_fixed64(&mut body, 2, exemplar.time.unwrap_or(time));
        put_fixed64(&mut body, 3, exemplar.value.to_bits());
        for (name, value) in labels {
            match (name, unhex::<16>(value), unhex::<8>(value)) {
                ("trace_id", Some(id), _) => put_bytes(&mut body, 5, &id),
                ("span_id", _, Some(id)) => put_bytes(&mut body, 4, &id),
                _ => put_attribute(&mut body, 7, name, value),
            }
        }
        put_varint(&mut self.0, body.len() as u64);
        self.0.extend_from_slice(&body);
    }

    fn write(&self, out: &mut Vec<u8>, number: u32) {
        let mut rest = self.0.as_slice();
        while let Ok((length, used)) = read_varint(rest) {
            let end = used + usize::try_from(length).unwrap_or(0);
            put_bytes(out, number, rest.get(used..end).unwrap_or_default());
            rest = rest.get(end..).unwrap_or_default();
        }
    }
}

/// Bytes of an id in hexadecimal; `None` where a text is none, or all zeros, which is no id.
fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut out = [0; N];
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    if text.len() != 2 * N {
        return None;
    }
    for (place, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *place = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    out.iter().any(|byte| *byte != 0).then_some(out)
}

/// Appends an attribute with a text, as a field of this number.
pub(crate) fn put_attribute(out: &mut Vec<u8>, number: u32, key: &str, value: &str) {
    put_message(out, number, |out| {
        put_bytes(out, 1, key.as_bytes());
        put_message(out, 2, |out| put_bytes(out, 1, value.as_bytes()));
    });
}

/// What tells the series of one group from those of another.
pub(crate) fn group_hash(job: &[u8], instance: &[u8]) -> u64 {
    hash(0, &[job, instance])
}

/// What tells one series of a target from another.
pub(crate) fn identity(group: u64, scope: &[u8], name: &[u8], attributes: &[u8]) -> u64 {
    hash(group, &[scope, name, attributes])
}

fn hash(seed: u64, parts: &[&[u8]]) -> u64 {
    let mut hasher = FixedState::with_seed(seed).build_hasher();
    for part in parts {
        hasher.write_usize(part.len());
        hasher.write(part);
    }
    hasher.finish()
}

/// Whether a label is no attribute of a point.
fn is_apart(name: &str) -> bool {
    name == METRIC_NAME || name == JOB || name == INSTANCE || name.starts_with(SCOPE)
}
