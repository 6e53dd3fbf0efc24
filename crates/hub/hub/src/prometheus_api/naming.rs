//! A stored series as Prometheus names it ([docs/promql.md](../../../../../docs/promql.md#names)): its labels, and of each series that
//! it becomes the samples. Names of metrics, labels and units are translated by the crate `prometheus`, as on the way to remote
//! write.

use std::collections::BTreeMap;
use std::sync::Arc;

use columns::{Chunk, Number, Values};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use prometheus::{NamedAs, Translation};
use promql::{BUCKET, Histogram, Labels, NAME, STALE, Samples};
use prost::Message;
use store::OTLP_DEVICE;
use store::rows::{Kind, Origin, Series, find_text};

/// Resource attributes that every series has as labels; all others are in `target_info`.
pub(super) const PROMOTED: [&str; 6] =
    ["deployment.environment.name", "host.name", "k8s.namespace.name", "k8s.pod.name", "site", "fleet"];
/// Resource attributes that are in `job` and `instance`.
const IDENTIFYING: [&str; 3] = ["service.name", "service.namespace", "service.instance.id"];
/// The device that a series came from, where it came from one.
pub(super) const DEVICE: &str = "device";
/// The metric of resource attributes.
pub(super) const TARGET_INFO: &str = "target_info";
/// `target_info` comes again after so long.
const TARGET_INFO_MS: i64 = 150_000;
/// The breadth of a native histogram's zero bucket where a point tells none, as in Prometheus' OTLP endpoint.
const ZERO_THRESHOLD: f64 = 1e-128;
/// The scales of native histograms.
const SCALES: std::ops::RangeInclusive<i32> = -4..=8;

/// An attribute's value as text.
fn text(attribute: &KeyValue) -> String {
    let mut out = String::new();
    if let Some(value) = &attribute.value {
        otlp::json::put_value_text(&mut out, &value.encode_to_vec());
    }
    out
}

/// Attributes under their translated names; those that become the same share a label.
fn attributes<'a>(
    attributes: impl Iterator<Item = &'a KeyValue>,
    translation: Translation,
    out: &mut BTreeMap<String, String>,
) {
    let mut all: Vec<&KeyValue> = attributes.collect();
    all.sort_by(|a, b| a.key.cmp(&b.key));
    let mut name = String::new();
    for attribute in all {
        if !translation.label_name(&attribute.key, &mut name) {
            continue;
        }
        let value = text(attribute);
        match out.get_mut(&name) {
            Some(before) if translation.escapes() => {
                before.push(';');
                before.push_str(&value);
            }
            _ => drop(out.insert(name.clone(), value)),
        }
    }
}

/// `job` and `instance` of a resource.
fn identity(origin: &Origin) -> [(&'static str, Option<String>); 2] {
    let of = |key: &str| find_text(&origin.resource.attributes, key).filter(|text| !text.is_empty());
    let job = of("service.name").map(|name| match of("service.namespace") {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    });
    [("job", job), ("instance", of("service.instance.id").map(str::to_owned))]
}

/// The labels of attributes and their origin, without a name.
pub(super) fn labels_of(origin: &Origin, own: &[KeyValue], translation: Translation) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    attributes(own.iter().filter(|attribute| attribute.key != NAME), translation, &mut out);
    let mut promoted = BTreeMap::new();
    let wanted = |attribute: &&KeyValue| PROMOTED.contains(&attribute.key.as_str());
    attributes(origin.resource.attributes.iter().filter(wanted), translation, &mut promoted);
    if &*origin.device != OTLP_DEVICE {
        promoted.insert(DEVICE.into(), origin.device.to_string());
    }
    for (name, value) in promoted {
        out.entry(name).or_insert(value);
    }
    for (name, value) in identity(origin) {
        if let Some(value) = value {
            out.insert(name.into(), value);
        }
    }
    out
}

/// The labels of `target_info`; nothing where the resource has no more than `job` and `instance`, or none of them.
pub(super) fn target_info(origin: &Origin, translation: Translation) -> Option<Labels> {
    let more = |attribute: &&KeyValue| !IDENTIFYING.contains(&attribute.key.as_str());
    origin.resource.attributes.iter().find(more)?;
    let mut out = BTreeMap::new();
    attributes(origin.resource.attributes.iter().filter(more), translation, &mut out);
    if &*origin.device != OTLP_DEVICE {
        out.entry(DEVICE.into()).or_insert_with(|| origin.device.to_string());
    }
    let mut identified = false;
    for (name, value) in identity(origin) {
        if let Some(value) = value {
            identified = true;
            out.insert(name.into(), value);
        }
    }
    out.insert(NAME.into(), TARGET_INFO.into());
    identified.then(|| Labels::new(out))
}

/// The times of `target_info` while a series has points.
pub(super) fn target_info_times(points: &Chunk) -> Vec<i64> {
    let mut out: Vec<i64> = Vec::new();
    for time in points.times.iter().map(|time| milliseconds(*time)) {
        if out.last().is_none_or(|last| time - last >= TARGET_INFO_MS) {
            out.push(time);
        }
    }
    out
}

/// How the name of a kind of metric is made.
pub(super) fn named_as(kind: Kind) -> NamedAs {
    match kind {
        Kind::Gauge => NamedAs::Gauge,
        Kind::Sum { monotonic: true, .. } => NamedAs::Counter,
        _ => NamedAs::Other,
    }
}

/// What names a metric may have, by its kind as the store lists it: bases with the suffixes of their series.
pub(super) fn possible_names(name: &str, unit: &str, kind: &str, translation: Translation) -> Vec<String> {
    let (bases, suffixes): (&[NamedAs], &[&str]) = match kind {
        "gauge" => (&[NamedAs::Gauge], &[""]),
        "sum" => (&[NamedAs::Counter, NamedAs::Other], &[""]),
        "histogram" => (&[NamedAs::Other], &["_bucket", "_count", "_sum"]),
        "summary" => (&[NamedAs::Other], &["", "_count", "_sum"]),
        _ => (&[NamedAs::Other], &[""]),
    };
    let bases = bases.iter().filter_map(|named| translation.metric_name(name, unit, *named));
    bases.flat_map(|base| suffixes.iter().map(move |suffix| format!("{base}{suffix}"))).collect()
}

fn milliseconds(ns: u64) -> i64 {
    (ns / 1_000_000).cast_signed()
}

/// Whether a metric counts from one point to the next: PromQL counts since a start.
pub(super) fn is_delta(kind: Kind) -> bool {
    use Kind::{ExponentialHistogram, Histogram as Explicit, Sum};
    matches!(
        kind,
        Sum { cumulative: false, .. } | Explicit { cumulative: false } | ExponentialHistogram { cumulative: false }
    )
}

/// The series that a stored one becomes, with their samples, as far as `wanted` asks for them by their labels.
pub(super) fn expand(
    series: &Series,
    points: &Chunk,
    translation: Translation,
    mut wanted: impl FnMut(&Labels) -> bool,
) -> Vec<(Labels, Samples)> {
    let Some(name) = translation.metric_name(&series.name, &series.unit, named_as(series.kind)) else {
        return Vec::new();
    };
    let labels = labels_of(&series.origin, &series.attributes, translation);
    let mut out = Expanded { name, labels, series: Vec::new(), wanted: &mut wanted };
    let stale = |at: usize| points.flags.get(at).is_some_and(|flags| flags & 1 != 0);
    let times = |at: usize| {
        let (time, start) = (points.times[at], points.starts.get(at).copied().unwrap_or(0));
        (milliseconds(time), if start < time { milliseconds(start) } else { 0 })
    };
    let marker = f64::from_bits(STALE);
    match &points.values {
        Values::Numbers(rows) => {
            for (at, row) in rows.iter().enumerate() {
                let value = match row {
                    _ if stale(at) => marker,
                    Number::None => continue,
                    Number::Int(value) => *value as f64,
                    Number::Float(value) => *value,
                };
                out.float("", None, times(at), value);
            }
        }
        Values::Histograms(rows) => {
            let mut bounds: Vec<f64> = Vec::new();
            for (at, row) in rows.iter().enumerate() {
                let or_marker = |value: f64| if stale(at) { marker } else { value };
                if let Some(sum) = row.sum {
                    out.float("_sum", None, times(at), or_marker(sum));
                }
                out.float("_count", None, times(at), or_marker(row.count as f64));
                // A point that ends the series may come without its buckets.
                if !stale(at) || !row.bounds.is_empty() {
                    bounds.clone_from(&row.bounds);
                }
                let mut below = 0_u64;
                for (place, bound) in bounds.iter().enumerate().filter(|(_, bound)| **bound != f64::INFINITY) {
                    below = below.wrapping_add(row.buckets.get(place).copied().unwrap_or(0));
                    out.float("_bucket", Some((BUCKET, *bound)), times(at), or_marker(below as f64));
                }
                out.float("_bucket", Some((BUCKET, f64::INFINITY)), times(at), or_marker(row.count as f64));
            }
        }
        Values::Exponentials(rows) => {
            for (at, row) in rows.iter().enumerate() {
                let histogram = if stale(at) { Some(Histogram::stale()) } else { native(row) };
                if let Some(histogram) = histogram {
                    out.histogram(times(at), histogram);
                }
            }
        }
        Values::Summaries(rows) => {
            for (at, row) in rows.iter().enumerate() {
                let or_marker = |value: f64| if stale(at) { marker } else { value };
                out.float("_sum", None, times(at), or_marker(row.sum));
                out.float("_count", None, times(at), or_marker(row.count as f64));
                for (quantile, value) in &row.quantiles {
                    out.float("", Some(("quantile", *quantile)), times(at), or_marker(*value));
                }
            }
        }
    }
    out.series.into_iter().filter_map(|(_, _, found)| found).filter(|(_, samples)| samples.weight() > 0).collect()
}

/// Which of a metric's series: its suffix, and the value of the label that tells them apart.
type Which = (&'static str, u64);
/// Which, where its samples end, and the series where it is wanted.
type Part = (Which, i64, Option<(Labels, Samples)>);

struct Expanded<'a, W> {
    name: String,
    labels: BTreeMap<String, String>,
    series: Vec<Part>,
    wanted: &'a mut W,
}

impl<W: FnMut(&Labels) -> bool> Expanded<'_, W> {
    /// The samples of a series, where it is wanted and the time is later than the last.
    fn samples(&mut self, suffix: &'static str, more: Option<(&str, f64)>, time: i64) -> Option<&mut Samples> {
        let which = (suffix, more.map_or(0, |(_, value)| value.to_bits()));
        let place = self.series.iter().position(|(own, ..)| *own == which);
        let place = place.unwrap_or_else(|| {
            let mut labels = self.labels.clone();
            labels.insert(NAME.into(), format!("{}{suffix}", self.name));
            if let Some((name, value)) = more {
                labels.insert(name.into(), bound_text(value));
            }
            let labels = Labels::new(labels);
            let found = (self.wanted)(&labels).then(|| (labels, Samples::default()));
            self.series.push((which, i64::MIN, found));
            self.series.len() - 1
        });
        let (_, last, found) = self.series.get_mut(place)?;
        if time <= *last {
            return None;
        }
        *last = time;
        found.as_mut().map(|(_, samples)| samples)
    }

    fn float(&mut self, suffix: &'static str, more: Option<(&str, f64)>, (time, start): (i64, i64), value: f64) {
        if let Some(samples) = self.samples(suffix, more, time) {
            samples.floats.push((time, value));
            samples.float_starts.push(start);
        }
    }

    fn histogram(&mut self, (time, start): (i64, i64), histogram: Histogram) {
        if let Some(samples) = self.samples("", None, time) {
            samples.histograms.push((time, Arc::new(histogram)));
            samples.histogram_starts.push(start);
        }
    }
}

/// A number as the value of a label.
fn bound_text(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".into()
    } else if value == f64::NEG_INFINITY {
        "-Inf".into()
    } else {
        value.to_string()
    }
}

/// An exponential histogram as a native one; nothing where its scale is below what these have.
fn native(row: &columns::Exponential) -> Option<Histogram> {
    if row.scale < *SCALES.start() {
        return None;
    }
    let schema = row.scale.min(*SCALES.end());
    let down = u32::try_from(row.scale - schema).unwrap_or(0).min(62);
    let side = |side: &Option<columns::Buckets>| {
        let mut out: Vec<(i32, f64)> = Vec::new();
        for (index, count) in side.iter().flat_map(|side| (i64::from(side.offset)..).zip(&side.counts)) {
            // OTLP's bucket i is i + 1 there.
            let Ok(index) = i32::try_from((index >> down) + 1) else { continue };
            match out.last_mut() {
                Some((last, sum)) if *last == index => *sum += *count as f64,
                _ if *count > 0 => out.push((index, *count as f64)),
                _ => {}
            }
        }
        out
    };
    let threshold = if row.zero_threshold > 0.0 { row.zero_threshold } else { ZERO_THRESHOLD };
    Some(Histogram {
        schema,
        count: row.count as f64,
        sum: row.sum.unwrap_or(0.0),
        zero_threshold: threshold,
        zero_count: row.zero_count as f64,
        positive: side(&row.positive),
        negative: side(&row.negative),
        ..Histogram::default()
    })
}
