//! From series to points: what belongs together is gathered, and written once its family is over.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use model::proto::{put_fixed64, put_message, put_uint, put_varint, zigzag};
use prometheus::put_float;

use crate::distribution::{Distribution, whole};
use crate::group::Group;
use crate::kind::{Family, Kind, Part};
use crate::labels::{Labels, METRIC_NAME};
use crate::line::Scratch;
use crate::stale::Known;
use crate::writer::{Exemplars, INSTANCE, JOB, Metric, Shape, Times, Writer};

/// `DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK`
const NO_RECORDED_VALUE: u64 = 1;

/// What became of the samples of a scrape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Samples that the target has: `scrape_samples_scraped`.
    pub scraped: u64,
    /// What is left of them after relabelling: `scrape_samples_post_metric_relabeling`.
    pub kept: u64,
    /// Series that were not there at the last scrape: `scrape_series_added`.
    pub added: u64,
    /// Samples of a series that came a second time with the same time, and are left out.
    pub duplicates: u64,
    /// Native histograms that OTLP has no place for, and are left out.
    pub unsupported: u64,
}

/// A series with a sample, after relabelling.
pub(crate) struct Series<'a> {
    pub(crate) family: &'a Family,
    /// Whether its own name is that of the family.
    pub(crate) part: Part,
    /// What its name has behind the base.
    pub(crate) suffix: &'static str,
    /// Whether all series of the same labels come one after the other.
    pub(crate) contiguous: bool,
    /// Unix nanoseconds; and whether it is the target's own.
    pub(crate) time: (u64, bool),
    pub(crate) start: Option<u64>,
}

/// Points while they are gathered and written.
pub(crate) struct Assembler<'k> {
    writer: Writer,
    known: &'k Known,
    track_own_times: bool,
    identities: HashSet<u64, FixedState>,
    tracked: Vec<u64>,
    matched: usize,
    groups: Vec<Group>,
    used: usize,
    /// Where the groups of the family are, by what they have in common.
    places: HashMap<u64, usize, FixedState>,
    /// Of the family that the groups are of.
    help: String,
    unit: String,
    name: String,
    counts: Vec<u64>,
    no_exemplars: Exemplars,
    pub(crate) totals: Counts,
}

impl<'k> Assembler<'k> {
    pub(crate) fn new(writer: Writer, known: &'k Known, track_own_times: bool) -> Self {
        Self {
            writer,
            known,
            track_own_times,
            identities: HashSet::with_capacity_and_hasher(known.len(), FixedState::default()),
            tracked: Vec::with_capacity(known.len()),
            matched: 0,
            groups: Vec::new(),
            used: 0,
            places: HashMap::with_hasher(FixedState::default()),
            help: String::new(),
            unit: String::new(),
            name: String::new(),
            counts: Vec::new(),
            no_exemplars: Exemplars::default(),
            totals: Counts::default(),
        }
    }

    /// The memory that it holds, roughly.
    pub(crate) fn capacity(&self) -> usize {
        let groups: usize = self.groups.iter().map(Group::capacity).sum();
        self.writer.capacity()
            + groups
            + (self.identities.capacity() + 2 * self.places.capacity()) * 9
            + self.tracked.capacity() * size_of::<u64>()
    }

    /// Takes a number. The labels are sorted, the name among them.
    pub(crate) fn number(&mut self, series: &Series<'_>, scratch: &mut Scratch, value: f64) {
        let Scratch { labels, .. } = &*scratch;
        let Some(name) = labels.get(METRIC_NAME) else { return };
        if name == "target_info" && value == 1.0 {
            self.writer.take_info(labels);
            return;
        }
        let simple = series.part == Part::Single && (series.family.kind != Kind::Counter || !series.contiguous);
        if simple {
            self.simple(series, scratch, value);
            return;
        }
        let Some(base) = name.strip_suffix(series.suffix) else { return };
        let bound_name = match series.part {
            Part::Bucket => "le",
            Part::Quantile => "quantile",
            _ => "",
        };
        let bound = labels.get(bound_name).and_then(crate::number::value).unwrap_or(f64::NAN);
        let key = key(base, labels, bound_name, series.time);
        let at = match self.place(key) {
            Some(at) => at,
            None => {
                if series.contiguous {
                    self.finish_family();
                }
                self.name.clear();
                self.name.push_str(base);
                self.begin(key, series, &mut scratch.labels, bound_name)
            }
        };
        let Some(group) = self.groups.get_mut(at) else { return };
        group.add(series.part, bound, value);
        if series.part == Part::Single {
            group.suffix = series.suffix;
        }
        group.start = series.start.or(group.start);
        let Scratch { exemplars, exemplar_labels, .. } = scratch;
        for one in exemplars.iter() {
            group.exemplars.push(one, exemplar_labels.range(one.labels.0..one.labels.1), series.time.0);
        }
    }

    fn place(&self, key: u64) -> Option<usize> {
        let last = self.used.checked_sub(1)?;
        // Nearly always they come one after the other.
        if self.groups.get(last).is_some_and(|group| group.key == key) {
            return Some(last);
        }
        self.places.get(&key).copied()
    }

    fn begin(&mut self, key: u64, series: &Series<'_>, labels: &mut Labels, bound_name: &str) -> usize {
        if self.used == self.groups.len() {
            self.groups.push(Group::default());
        }
        let at = self.used;
        self.used += 1;
        self.places.insert(key, at);
        self.help.clone_from(&series.family.help);
        self.unit.clone_from(&series.family.unit);
        labels.set(bound_name, "");
        if let Some(group) = self.groups.get_mut(at) {
            group.begin(key, &self.name, labels, series.family.kind, series.time);
        }
        at
    }

    /// A number that is a point by itself.
    fn simple(&mut self, series: &Series<'_>, scratch: &Scratch, value: f64) {
        let shape = match series.family.kind {
            Kind::Counter => Shape::Counter,
            Kind::Info | Kind::StateSet => Shape::UpDown,
            _ => Shape::Gauge,
        };
        self.alone(series, shape, scratch, Some(value));
    }

    /// A number that is a point of this shape by itself; without one it says that its series has ended.
    pub(crate) fn alone(&mut self, series: &Series<'_>, shape: Shape, scratch: &Scratch, value: Option<f64>) {
        let Scratch { labels, exemplars, exemplar_labels, .. } = scratch;
        let mut written = Exemplars::default();
        for one in exemplars {
            written.push(one, exemplar_labels.range(one.labels.0..one.labels.1), series.time.0);
        }
        let name = labels.get(METRIC_NAME).unwrap_or_default();
        let Family { kind, help, unit, .. } = series.family;
        let metric = Metric { name, kind: *kind, shape, help, unit };
        let times = Times { start: series.start.filter(|_| shape == Shape::Counter), time: series.time.0 };
        if self.go_to(metric, labels, series.time, 1) {
            self.writer.point(times, &written, |out| match value {
                Some(value) => put_fixed64(out, 4, value.to_bits()),
                None => put_uint(out, 8, NO_RECORDED_VALUE),
            });
        }
    }

    /// A native histogram that says that its series has ended.
    pub(crate) fn native_ended(&mut self, series: &Series<'_>, scratch: &Scratch) {
        let Family { kind, help, unit, .. } = series.family;
        let name = scratch.labels.get(METRIC_NAME).unwrap_or_default();
        let metric = Metric { name, kind: *kind, shape: Shape::Exponential, help, unit };
        if self.go_to(metric, &scratch.labels, series.time, 1) {
            let times = Times { start: series.start, time: series.time.0 };
            self.writer.point(times, &Exemplars::default(), |out| put_uint(out, 10, NO_RECORDED_VALUE));
        }
    }

    /// A native histogram with bounds of its own: a histogram of OTLP.
    pub(crate) fn bounded(&mut self, series: &Series<'_>, bounds: &[f64], scratch: &Scratch) {
        let Scratch { labels, exemplars, exemplar_labels, distribution, .. } = scratch;
        let mut counts = Vec::new();
        let first = distribution.native.positive.dense(&mut counts);
        let told = (whole(distribution.count), first.and_then(|first| usize::try_from(first).ok()));
        let (Some(count), Some(first)) = told else {
            self.totals.unsupported += 1;
            return;
        };
        if first + counts.len() > bounds.len() + 1 {
            self.totals.unsupported += 1;
            return;
        }
        let mut written = Exemplars::default();
        for one in exemplars {
            written.push(one, exemplar_labels.range(one.labels.0..one.labels.1), series.time.0);
        }
        let name = labels.get(METRIC_NAME).unwrap_or_default();
        let Family { kind, help, unit, .. } = series.family;
        let metric = Metric { name, kind: *kind, shape: Shape::Histogram, help, unit };
        if self.go_to(metric, labels, series.time, 1) {
            let times = Times { start: series.start, time: series.time.0 };
            self.writer.point(times, &written, |out| {
                put_fixed64(out, 4, count);
                put_fixed64(out, 5, distribution.sum.to_bits());
                let all =
                    (0..=bounds.len()).map(|at| at.checked_sub(first).and_then(|at| counts.get(at)).unwrap_or(&0));
                put_message(out, 6, |out| all.for_each(|count| out.extend_from_slice(&count.to_le_bytes())));
                put_message(out, 7, |out| {
                    bounds.iter().for_each(|bound| out.extend_from_slice(&bound.to_bits().to_le_bytes()));
                });
            });
        }
    }

    /// Goes to the place of a point that is not there yet.
    fn go_to(&mut self, metric: Metric<'_>, labels: &Labels, time: (u64, bool), series: u64) -> bool {
        let identity = self.writer.go_to(metric, labels);
        // With a time of its own a series may come several times.
        let at = if time.1 { identity ^ time.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) } else { identity };
        if !self.identities.insert(at) {
            self.totals.duplicates += series;
            return false;
        }
        if time.1 && !self.track_own_times {
            return true;
        }
        match self.known.has(identity) {
            true => self.matched += 1,
            false => self.totals.added += series,
        }
        self.tracked.push(identity);
        true
    }

    /// Takes a native histogram.
    pub(crate) fn native(&mut self, series: &Series<'_>, scratch: &Scratch) {
        let Scratch { labels, exemplars, exemplar_labels, distribution, .. } = scratch;
        let Distribution { count, sum, native, .. } = distribution;
        let (mut positive, mut negative) = (Vec::new(), Vec::new());
        let sides = (native.positive.dense(&mut positive), native.negative.dense(&mut negative));
        let told = (whole(*count), whole(native.zero_count), sides);
        let ((Some(count), Some(zero_count), (Some(from), Some(below))), -4..=8, Kind::Histogram) =
            (told, native.schema, series.family.kind)
        else {
            self.totals.unsupported += 1;
            return;
        };
        let mut written = Exemplars::default();
        for one in exemplars {
            written.push(one, exemplar_labels.range(one.labels.0..one.labels.1), series.time.0);
        }
        let name = labels.get(METRIC_NAME).unwrap_or_default();
        let Family { kind, help, unit, .. } = series.family;
        let metric = Metric { name, kind: *kind, shape: Shape::Exponential, help, unit };
        if !self.go_to(metric, labels, series.time, 1) {
            return;
        }
        let times = Times { start: series.start, time: series.time.0 };
        self.writer.point(times, &written, |out| {
            put_fixed64(out, 4, count);
            put_fixed64(out, 5, sum.to_bits());
            put_uint(out, 6, zigzag(native.schema));
            put_fixed64(out, 7, zero_count);
            // Bucket i of Prometheus is bucket i - 1 of OTLP.
            for (number, first, counts) in [(8, from, &positive), (9, below, &negative)] {
                if !counts.is_empty() {
                    put_message(out, number, |out| {
                        put_uint(out, 1, zigzag(first - 1));
                        put_message(out, 2, |out| counts.iter().for_each(|count| put_varint(out, *count)));
                    });
                }
            }
            put_fixed64(out, 14, native.zero_threshold.to_bits());
        });
    }

    /// Writes what is gathered: its family is over.
    pub(crate) fn finish_family(&mut self) {
        let mut groups = std::mem::take(&mut self.groups);
        for group in groups.iter_mut().take(self.used) {
            self.write_group(group);
        }
        self.groups = groups;
        self.used = 0;
        self.places.clear();
    }

    fn write_group(&mut self, group: &mut Group) {
        self.totals.duplicates += group.duplicates;
        let series = group.series();
        let times = Times { start: group.start, time: group.time.0 };
        match group.kind {
            Kind::Counter => {
                if let Some(number) = group.number {
                    let name = [group.base.as_str(), group.suffix].concat();
                    if self.go_to_group(group, &name, Shape::Counter, 1) {
                        self.writer.point(times, &group.exemplars, |out| put_fixed64(out, 4, number.to_bits()));
                    }
                }
            }
            Kind::Summary => match group.summary() {
                Some((count, sum)) => {
                    let base = group.base.clone();
                    if self.go_to_group(group, &base, Shape::Summary, series) {
                        self.writer.point(times, &group.exemplars, |out| {
                            put_fixed64(out, 4, count);
                            put_fixed64(out, 5, sum.to_bits());
                            for (quantile, value) in &group.quantiles {
                                put_message(out, 6, |out| {
                                    put_fixed64(out, 1, quantile.to_bits());
                                    put_fixed64(out, 2, value.to_bits());
                                });
                            }
                        });
                    }
                }
                None => self.write_apart(group),
            },
            _ => {
                let mut counts = std::mem::take(&mut self.counts);
                match group.histogram(&mut counts) {
                    Some(count) => {
                        let base = group.base.clone();
                        if self.go_to_group(group, &base, Shape::Histogram, series) {
                            self.writer.point(times, &group.exemplars, |out| put_histogram(out, group, count, &counts));
                        }
                    }
                    None => self.write_apart(group),
                }
                self.counts = counts;
            }
        }
    }

    fn go_to_group(&mut self, group: &Group, name: &str, shape: Shape, series: u64) -> bool {
        let (help, unit) = (std::mem::take(&mut self.help), std::mem::take(&mut self.unit));
        let metric = Metric { name, kind: group.kind, shape, help: &help, unit: &unit };
        let is_new = self.go_to(metric, &group.labels, group.time, series);
        (self.help, self.unit) = (help, unit);
        is_new
    }

    /// Writes the series of a group that is not whole each by itself, so that none is lost or made up.
    fn write_apart(&mut self, group: &mut Group) {
        let mut exemplars = std::mem::take(&mut group.exemplars);
        let (count, sum) = (group.count, group.sum);
        let (buckets, quantiles) = (std::mem::take(&mut group.buckets), std::mem::take(&mut group.quantiles));
        let lists = [("_bucket", "le", &buckets), ("", "quantile", &quantiles)];
        for (suffix, bound_name, list) in lists {
            for (bound, value) in list {
                let mut text = String::new();
                put_float(&mut text, *bound);
                group.labels.set(bound_name, &text);
                group.labels.sort();
                self.write_one(group, suffix, *value, &exemplars);
                exemplars.clear();
            }
            group.labels.set(bound_name, "");
        }
        for (suffix, value) in [("_sum", sum), ("_count", count)] {
            if let Some(value) = value {
                self.write_one(group, suffix, value, &exemplars);
                exemplars.clear();
            }
        }
        (group.buckets, group.quantiles, group.exemplars) = (buckets, quantiles, exemplars);
    }

    fn write_one(&mut self, group: &Group, suffix: &str, value: f64, exemplars: &Exemplars) {
        let name = [group.base.as_str(), suffix].concat();
        if self.go_to_group(group, &name, Shape::Gauge, 1) {
            let times = Times { start: None, time: group.time.0 };
            self.writer.point(times, exemplars, |out| put_fixed64(out, 4, value.to_bits()));
        }
    }

    /// Adds a number of the scraper itself, which is not among the target's series.
    pub(crate) fn report(&mut self, labels: &Labels, (name, help, unit): (&str, &str, &str), time: u64, value: f64) {
        let metric = Metric { name, kind: Kind::Gauge, shape: Shape::Gauge, help, unit };
        self.writer.go_to(metric, labels);
        let times = Times { start: None, time };
        self.writer.point(times, &self.no_exemplars, |out| put_fixed64(out, 4, value.to_bits()));
    }

    /// The request, and the identities of its series where they are not those that were known.
    pub(crate) fn finish(self) -> Assembled {
        let changed = self.totals.added > 0 || self.matched != self.known.len();
        Assembled { points: self.writer.points(), request: self.writer.finish(), tracked: self.tracked, changed }
    }
}

/// All points of a scrape.
pub(crate) struct Assembled {
    pub(crate) request: Vec<u8>,
    pub(crate) points: u64,
    pub(crate) tracked: Vec<u64>,
    pub(crate) changed: bool,
}

fn put_histogram(out: &mut Vec<u8>, group: &Group, count: u64, counts: &[u64]) {
    put_fixed64(out, 4, count);
    if let Some(sum) = group.sum {
        put_fixed64(out, 5, sum.to_bits());
    }
    put_message(out, 6, |out| counts.iter().for_each(|count| out.extend_from_slice(&count.to_le_bytes())));
    let bounds = group.buckets.split_last().map_or(&[][..], |(_, bounds)| bounds);
    if !bounds.is_empty() {
        put_message(out, 7, |out| {
            bounds.iter().for_each(|(bound, _)| out.extend_from_slice(&bound.to_bits().to_le_bytes()));
        });
    }
}

/// What is the same of series that are one point.
fn key(base: &str, labels: &Labels, but: &str, time: (u64, bool)) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    hasher.write(base.as_bytes());
    for (name, value) in labels.iter() {
        if name != but && name != METRIC_NAME {
            hasher.write(name.as_bytes());
            hasher.write_u8(0xff);
            hasher.write(value.as_bytes());
            hasher.write_u8(0xff);
        }
    }
    if time.1 {
        hasher.write_u64(time.0);
    }
    hasher.finish()
}

/// Labels that tell of which target a series is.
pub(crate) fn target_labels(job: &str, instance: &str) -> Labels {
    Labels::of([(INSTANCE, instance), (JOB, job)])
}
