//! The walk over an OTLP request of metrics.

use model::otlp::{PointView, attribute, attributes, messages, string_attribute};
use model::proto::{ProtoError, Reader, Value};

use crate::batch::{Batch, Exemplar, Family};
use crate::encode::{self, Message};
use crate::float::put_float;
use crate::histogram;
use crate::labels::{IDENTIFYING, Labels, METRIC_NAME, ResourceLabels};
use crate::names::{NamedAs, TYPE, Translation, own_name, unit_name};
use crate::points::{self, Common, ExemplarView, Head, Temporality};

/// The most memory of a request while it is translated, and the longest message.
const MAX_SIZE: usize = 1 << 20;
/// The value of a sample that ends its series, Prometheus' `StaleNaN`.
const STALE: u64 = 0x7ff0_0000_0000_0002;
/// `target_info` comes again after so long, half of what Prometheus looks back.
const TARGET_INFO_INTERVAL_MS: i64 = 150_000;
/// The most samples of `target_info` for one resource in one request; beyond that they are farther apart.
const TARGET_INFO_SAMPLES: i64 = 64;
/// `MetricType` of remote write.
const COUNTER: u8 = 1;
const GAUGE: u8 = 2;
const HISTOGRAM: u8 = 3;
const SUMMARY: u8 = 5;

/// How OTLP becomes Prometheus.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What becomes of names.
    pub translation: Translation,
    /// Resource attributes that every series gets as labels, by their OTLP names; `service.name`, `service.namespace` and
    /// `service.instance.id` are in `job` and `instance` anyway.
    pub promote_resource_attributes: Vec<String>,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Data points that are in the message.
    pub points: u64,
    /// Data points that Prometheus has no place for.
    pub rejected: u64,
    /// Why the first of these is not in the message; empty where none is missing.
    pub why: String,
    /// Numbers in the message: several for a classic histogram or a summary, and `target_info`.
    pub samples: u64,
    /// Native histograms in the message.
    pub histograms: u64,
    /// Exemplars in the message.
    pub exemplars: u64,
    /// Exemplars without a value.
    pub exemplars_left_out: u64,
}

/// Why a request is not translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TranslateError {
    /// It is no OTLP.
    #[error("the request cannot be read: {0}")]
    Unreadable(#[from] ProtoError),
    /// Labels and buckets of its points multiply: less of it at a time.
    #[error("as remote write the request is larger than 1 MiB")]
    TooLarge,
}

/// Makes remote write messages of OTLP requests.
#[derive(Default)]
pub struct Translator {
    options: Options,
    work: Work,
}

/// What lives as long as one request.
#[derive(Default)]
struct Work {
    batch: Batch,
    labels: Labels,
    exemplar_labels: Labels,
    counts: Counts,
    buckets: Vec<u64>,
    bounds: Vec<f64>,
    bucket_series: Vec<Option<u32>>,
    native: Vec<u8>,
}

/// A metric whose points are walked.
struct Metric<'a> {
    name: String,
    family: u32,
    /// Whether start times mean something.
    cumulative: bool,
    /// Whether it came from Prometheus: names and labels stay as they are, and bounds are written as Prometheus stores them.
    own: bool,
    head: Head<'a>,
}

impl Translator {
    /// One that takes no memory yet.
    pub fn new(options: Options) -> Self {
        Self { options, work: Work::default() }
    }

    /// Reads the bytes of an `ExportMetricsServiceRequest`; [`Translator::write`] then writes it.
    ///
    /// # Errors
    /// [`TranslateError`]; a request that passed the door is readable.
    pub fn read(&mut self, request: &[u8]) -> Result<&Counts, TranslateError> {
        let Self { options, work } = self;
        work.batch.clear();
        work.counts = Counts::default();
        for group in messages(request, 1) {
            work.resource(options, group?)?;
        }
        work.batch.sort();
        (work.counts.samples, work.counts.histograms) = work.batch.sample_counts();
        work.counts.exemplars = work.batch.exemplars.len() as u64;
        Ok(&work.counts)
    }

    /// Writes the message of the request that was read last over `out`; what is sent again has the same bytes.
    ///
    /// # Errors
    /// [`TranslateError::TooLarge`]; version 1.0 tells the labels of each series anew.
    pub fn write(&self, message: Message, out: &mut Vec<u8>) -> Result<(), TranslateError> {
        out.clear();
        // A message of version 2.0 takes about half of what it is made of.
        out.reserve(self.work.batch.size() / 2);
        if encode::put(&self.work.batch, message, MAX_SIZE, out) { Ok(()) } else { Err(TranslateError::TooLarge) }
    }

    /// Gives the memory back, until there is something to translate again.
    pub fn release(&mut self) {
        self.work = Work::default();
    }
}

impl Work {
    fn resource(&mut self, options: &Options, group: &[u8]) -> Result<(), TranslateError> {
        let mut resource = &[][..];
        for bytes in messages(group, 1) {
            resource = bytes?;
        }
        let translation = options.translation;
        let promote = &options.promote_resource_attributes;
        let labels = ResourceLabels::read(&mut self.batch.symbols, translation, resource, promote);
        let mut times: Option<(i64, i64)> = None;
        for scope in messages(group, 2) {
            let scope = scope?;
            for metric in messages(scope, 2) {
                let metric = metric?;
                let mut reader = Reader::new(metric);
                while let Some(field) = reader.next_field()? {
                    let (kind @ (5 | 7 | 9 | 10 | 11), Value::Bytes(data)) = field else { continue };
                    self.data(translation, (&labels, scope), metric, (kind, data), &mut times)?;
                }
            }
        }
        if let Some(times) = times {
            self.target_info(translation, resource, &labels, times);
        }
        Ok(())
    }

    /// The points of a metric.
    fn data(
        &mut self,
        translation: Translation,
        (resource, scope): (&ResourceLabels, &[u8]),
        metric: &[u8],
        (kind, data): (u32, &[u8]),
        times: &mut Option<(i64, i64)>,
    ) -> Result<(), TranslateError> {
        let head = Head::read(metric)?;
        let (temporality, monotonic) = points::beside_points(kind, data)?;
        let (name, unit) = (String::from_utf8_lossy(head.name), String::from_utf8_lossy(head.unit));
        let named_as = match kind {
            points::GAUGE => NamedAs::Gauge,
            points::SUM if monotonic => NamedAs::Counter,
            _ => NamedAs::Other,
        };
        let own_type = string_attribute(metric, 12, TYPE);
        let own = own_type.is_some() && !name.is_empty();
        let translated = if own {
            let mut kept = String::new();
            own_name(translation, &name, &mut kept);
            Some(kept)
        } else {
            translation.metric_name(&name, &unit, named_as)
        };
        let refused = match (temporality, &translated) {
            (Temporality::Delta, _) => Some(
                "has delta temporality, and Prometheus takes what counts since its start; set its producer to cumulative",
            ),
            (Temporality::Unspecified, _) => Some("has no temporality"),
            (Temporality::Taken, None) => Some("has a name of which nothing is left for Prometheus"),
            (Temporality::Taken, Some(_)) => None,
        };
        if let Some(why) = refused {
            for point in messages(data, 1) {
                point?;
                self.refuse(&head, why);
            }
            return Ok(());
        }
        let name = translated.unwrap_or_default();
        let prometheus_type = match kind {
            _ if own_type.and_then(type_number).is_some() => own_type.and_then(type_number).unwrap_or(GAUGE),
            points::SUM if monotonic => COUNTER,
            points::GAUGE | points::SUM => GAUGE,
            points::SUMMARY => SUMMARY,
            _ => HISTOGRAM,
        };
        let symbols = &mut self.batch.symbols;
        let family = Family {
            kind: prometheus_type,
            name: symbols.add(name.as_bytes()),
            help: symbols.add(head.description),
            unit: symbols.add(unit_name(&unit).as_bytes()),
        };
        let family = self.batch.family(family);
        let cumulative = !matches!(kind, points::GAUGE) && (kind != points::SUM || monotonic);
        let metric = Metric { name, family, cumulative, own, head };
        let bytes_of = |number| Reader::new(scope).last_bytes(number).map(Option::unwrap_or_default);
        let (scope, schema_url) = (bytes_of(1)?, bytes_of(3)?);
        for bytes in messages(data, 1) {
            let point = PointView { kind, bytes: bytes? };
            self.labels.clear();
            let attributes = (point.bytes, point.field_numbers().0);
            let symbols = &mut self.batch.symbols;
            if self.labels.add_attributes(symbols, (translation, own), attributes, &[METRIC_NAME]).is_err() {
                self.refuse(&metric.head, "has an attribute of whose name nothing is left for Prometheus");
                continue;
            }
            if own && !(scope.is_empty() && schema_url.is_empty()) {
                self.labels.add_scope(symbols, scope, schema_url);
            }
            resource.add_to(&mut self.labels);
            self.check_size()?;
            let common = match kind {
                points::HISTOGRAM => self.histogram(&metric, point)?,
                points::EXPONENTIAL_HISTOGRAM => self.exponential(&metric, point)?,
                points::SUMMARY => self.summary(&metric, point)?,
                _ => self.number(&metric, point)?,
            };
            if let Some(common) = common {
                self.counts.points += 1;
                let time = common.time_ms();
                *times = Some(times.map_or((time, time), |(first, last)| (first.min(time), last.max(time))));
            }
        }
        Ok(())
    }

    fn check_size(&self) -> Result<(), TranslateError> {
        if self.batch.size() > MAX_SIZE { Err(TranslateError::TooLarge) } else { Ok(()) }
    }

    fn refuse(&mut self, head: &Head<'_>, why: &str) {
        if self.counts.rejected == 0 {
            self.counts.why = format!("metric '{}' {why}", String::from_utf8_lossy(head.name));
        }
        self.counts.rejected += 1;
    }

    fn number(&mut self, metric: &Metric<'_>, point: PointView<'_>) -> Result<Option<Common>, TranslateError> {
        let (common, value) = points::number_point(point.bytes)?;
        let Some(value) = value.or_else(|| common.is_stale().then_some(0.0)) else {
            self.refuse(&metric.head, "has a point without a value");
            return Ok(None);
        };
        let series = self.series(metric, "", None, false);
        self.sample(metric, series, common, value);
        self.exemplars(point, common, |_| series)?;
        Ok(Some(common))
    }

    fn histogram(&mut self, metric: &Metric<'_>, point: PointView<'_>) -> Result<Option<Common>, TranslateError> {
        let (common, count, sum) = points::histogram_point(point.bytes, &mut self.buckets, &mut self.bounds)?;
        if let Some(sum) = sum {
            let series = self.series(metric, "_sum", None, false);
            self.sample(metric, series, common, sum);
        }
        let series = self.series(metric, "_count", None, false);
        self.sample(metric, series, common, count as f64);
        let mut below = 0_u64;
        self.bucket_series.clear();
        for place in 0..self.bounds.len().min(self.buckets.len()) {
            let (bound, count) = (self.bounds[place], self.buckets[place]);
            below = below.wrapping_add(count);
            self.check_size()?;
            // What lies below infinity is the count.
            let series = (bound != f64::INFINITY).then(|| {
                let series = self.series(metric, "_bucket", Some(("le", &number_text(metric, bound))), false);
                self.sample(metric, series, common, below as f64);
                series
            });
            self.bucket_series.push(series);
        }
        let all = self.series(metric, "_bucket", Some(("le", "+Inf")), false);
        self.sample(metric, all, common, count as f64);
        let (bounds, bucket_series) = (std::mem::take(&mut self.bounds), std::mem::take(&mut self.bucket_series));
        let place_of = |value: f64| bounds.partition_point(|bound| *bound < value);
        let series_of = |value: f64| bucket_series.get(place_of(value)).copied().flatten().unwrap_or(all);
        let done = self.exemplars(point, common, series_of);
        (self.bounds, self.bucket_series) = (bounds, bucket_series);
        done?;
        Ok(Some(common))
    }

    fn exponential(&mut self, metric: &Metric<'_>, point: PointView<'_>) -> Result<Option<Common>, TranslateError> {
        let (common, histogram) = points::exponential_point(point.bytes)?;
        self.native.clear();
        if common.is_stale() {
            histogram::put_stale(&mut self.native, STALE);
        } else if let Err(why) = histogram.put(&mut self.native) {
            self.refuse(&metric.head, &format!("has a histogram that Prometheus has no place for: {why}"));
            return Ok(None);
        }
        let series = self.series(metric, "", None, true);
        self.batch.histogram(series, common.times_ms(), |out| out.extend_from_slice(&self.native));
        self.exemplars(point, common, |_| series)?;
        Ok(Some(common))
    }

    fn summary(&mut self, metric: &Metric<'_>, point: PointView<'_>) -> Result<Option<Common>, TranslateError> {
        let (common, count, sum) = points::summary_point(point.bytes)?;
        for (suffix, value) in [("_sum", sum), ("_count", count as f64)] {
            let series = self.series(metric, suffix, None, false);
            self.sample(metric, series, common, value);
        }
        for message in messages(point.bytes, 6) {
            let (quantile, value) = points::quantile(message?)?;
            self.check_size()?;
            let series = self.series(metric, "", Some(("quantile", &number_text(metric, quantile))), false);
            self.sample(metric, series, common, value);
        }
        Ok(Some(common))
    }

    /// The series of the point's labels under a name, with one more label.
    fn series(&mut self, metric: &Metric<'_>, suffix: &str, more: Option<(&str, &str)>, native: bool) -> u32 {
        let symbols = &mut self.batch.symbols;
        let name = symbols.add(METRIC_NAME.as_bytes());
        let value = if suffix.is_empty() {
            symbols.add(metric.name.as_bytes())
        } else {
            symbols.add([metric.name.as_str(), suffix].concat().as_bytes())
        };
        self.labels.set(name, value);
        let more = more.map(|(name, value)| (symbols.add(name.as_bytes()), symbols.add(value.as_bytes())));
        // Of a point's own label under the same name, what was there comes back for the next series.
        let before = more.and_then(|(name, _)| self.labels.pairs().iter().find(|pair| pair.0 == name).copied());
        if let Some((name, value)) = more {
            self.labels.set(name, value);
        }
        self.labels.sort(symbols);
        let series = self.batch.series(self.labels.pairs().iter().copied(), metric.family, native);
        if let Some((name, _)) = more {
            self.labels.set(name, before.map_or(0, |pair| pair.1));
        }
        series
    }

    fn sample(&mut self, metric: &Metric<'_>, series: u32, common: Common, value: f64) {
        let (start, time) = common.times_ms();
        let value = if common.is_stale() { f64::from_bits(STALE) } else { value };
        self.batch.number(series, (if metric.cumulative { start } else { 0 }, time), value);
    }

    /// Adds the exemplars of a point to the series that their values belong to.
    fn exemplars(
        &mut self,
        point: PointView<'_>,
        common: Common,
        series_of: impl Fn(f64) -> u32,
    ) -> Result<(), ProtoError> {
        let Some(number) = point.field_numbers().1 else { return Ok(()) };
        for exemplar in messages(point.bytes, number) {
            let exemplar = exemplar?;
            let view = ExemplarView::read(exemplar)?;
            let Some(value) = view.value else {
                self.counts.exemplars_left_out += 1;
                continue;
            };
            let symbols = &mut self.batch.symbols;
            self.exemplar_labels.of_exemplar(symbols, view.trace_id, view.span_id, (exemplar, 7));
            let labels = self.batch.keep_exemplar_labels(self.exemplar_labels.pairs());
            let time = if view.time == 0 { common.time_ms() } else { view.time };
            self.batch.exemplars.push(Exemplar { series: series_of(value), time, value: value.to_bits(), labels });
        }
        Ok(())
    }

    /// Adds `target_info`, whose labels are what the resource's series do not have, where there is more than `job` and `instance`.
    fn target_info(
        &mut self,
        translation: Translation,
        resource: &[u8],
        labels: &ResourceLabels,
        (first, last): (i64, i64),
    ) {
        let known = IDENTIFYING.iter().filter(|key| attribute(resource, 1, key).is_some()).count();
        if attributes(resource, 1).count() <= known {
            return;
        }
        self.labels.clear();
        let symbols = &mut self.batch.symbols;
        if self.labels.add_attributes(symbols, (translation, false), (resource, 1), &IDENTIFYING).is_err() {
            return;
        }
        labels.add_identity_to(&mut self.labels);
        if !self.labels.are_identified(symbols) {
            return;
        }
        let family = Family {
            kind: GAUGE,
            name: symbols.add(b"target_info"),
            help: symbols.add(b"Target metadata"),
            unit: symbols.add(b""),
        };
        let family = self.batch.family(family);
        let metric =
            Metric { name: "target_info".into(), family, cumulative: false, own: false, head: Head::default() };
        let series = self.series(&metric, "", None, false);
        let apart = TARGET_INFO_INTERVAL_MS.max(last.saturating_sub(first) / TARGET_INFO_SAMPLES + 1);
        let mut time = first;
        while time < last {
            self.batch.number(series, (0, time), 1.0);
            time = time.saturating_add(apart);
        }
        self.batch.number(series, (0, last), 1.0);
    }
}

/// The number of a type that Prometheus tells, in remote write.
fn type_number(word: &[u8]) -> Option<u8> {
    Some(match word {
        b"unknown" => 0,
        b"counter" => COUNTER,
        b"gauge" => GAUGE,
        b"histogram" => HISTOGRAM,
        b"gaugehistogram" => 4,
        b"summary" => SUMMARY,
        b"info" => 6,
        b"stateset" => 7,
        _ => return None,
    })
}

/// A number as the value of a label.
fn number_text(metric: &Metric<'_>, number: f64) -> String {
    if metric.own {
        let mut text = String::new();
        put_float(&mut text, number);
        return text;
    }
    if number == f64::INFINITY {
        "+Inf".into()
    } else if number == f64::NEG_INFINITY {
        "-Inf".into()
    } else {
        number.to_string()
    }
}
