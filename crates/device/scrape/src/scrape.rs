//! One scrape: an exposition as its bytes come, read, relabelled, and written as an OTLP export request.

use std::time::Duration;

use model::otlp::messages;
use prometheus::put_float;

use crate::assemble::{Assembler, Counts, Series, target_labels};
use crate::distribution::Distribution;
use crate::families::{self, Head};
use crate::job::Job;
use crate::kind::{Family, Kind, Part};
use crate::labels::{Labels, METRIC_NAME};
use crate::line::{self, Grammar, Line, Sample, Scratch};
use crate::negotiate::{Form, Protocol};
use crate::relabel::RelabelScratch;
use crate::shown::shown;
use crate::stale::Known;
use crate::target::Target;
use crate::writer::{INSTANCE, JOB, Writer};

/// The longest line, bytes.
const MAX_LINE: usize = 1 << 20;

/// Why a scrape failed: nothing of it is taken, as in Prometheus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScrapeError {
    /// The line, from 1; 0 where it is about none.
    pub line: u64,
    /// What is wrong.
    pub what: String,
}

impl std::fmt::Display for ScrapeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => f.write_str(&self.what),
            line => write!(f, "line {line}: {}", self.what),
        }
    }
}

impl std::error::Error for ScrapeError {}

/// What a scrape gives.
#[derive(Debug, PartialEq, Eq)]
pub struct Scraped {
    /// OTLP export requests to hand over, in their order.
    pub requests: Vec<Vec<u8>>,
    /// How many points they have.
    pub points: u64,
    /// What became of the samples.
    pub counts: Counts,
}

/// What is known of a target between its scrapes.
#[derive(Debug, Default)]
pub struct TargetState {
    known: Known,
}

impl TargetState {
    /// The memory that it takes.
    pub fn bytes(&self) -> usize {
        self.known.bytes()
    }

    /// A scrape that failed at this time: `up` is 0, and the target's series have ended.
    pub fn failed(&mut self, target: &Target, time: u64, took: Duration) -> Scraped {
        let known = Known::default();
        let mut assembler = Assembler::new(Writer::new(&base(target, &mut String::new())), &known, false);
        put_reports(&mut assembler, target, time, took, Counts::default(), false);
        let assembled = assembler.finish();
        let markers = self.known.markers(time, |_| true);
        self.known.clear();
        let (mut requests, points) = (vec![assembled.request], assembled.points);
        requests.extend(markers);
        Scraped { requests, points, counts: Counts::default() }
    }

    /// What was there has ended, without a scrape that failed.
    pub fn ended(&mut self, time: u64) -> Option<Vec<u8>> {
        let markers = self.known.markers(time, |_| true);
        self.known.clear();
        markers
    }

    /// The target is not scraped any more: its series have ended, and those of its scrapes too.
    pub fn gone(&mut self, target: &Target, time: u64) -> Vec<Vec<u8>> {
        let known = Known::default();
        let mut assembler = Assembler::new(Writer::new(&base(target, &mut String::new())), &known, false);
        put_reports(&mut assembler, target, time, Duration::ZERO, Counts::default(), false);
        let reports = Known::of(&assembler.finish().request, vec![0], |_, _| true);
        let all = [self.known.markers(time, |_| true), reports.markers(time, |_| true)];
        self.known.clear();
        all.into_iter().flatten().collect()
    }
}

/// A scrape that goes on.
pub struct Scrape<'a> {
    job: &'a Job,
    target: &'a Target,
    form: Form,
    /// Unix nanoseconds, whole milliseconds: what samples have that tell no time.
    time: u64,
    assembler: Assembler<'a>,
    family: Family,
    /// Of series that no family says anything of.
    stranger: Family,
    scratch: Scratch,
    relabel: RelabelScratch,
    distribution: Distribution,
    /// What is not a whole line or message yet.
    pending: Vec<u8>,
    bytes: usize,
    line: u64,
    ended: bool,
}

impl<'a> Scrape<'a> {
    /// Begins to read an answer in this form; `time` is when the scrape began, Unix nanoseconds.
    pub fn new(job: &'a Job, target: &'a Target, state: &'a TargetState, protocol: Protocol, time: u64) -> Self {
        let writer = Writer::new(&base(target, &mut String::new()));
        Self {
            job,
            target,
            form: protocol.form(),
            time: time / 1_000_000 * 1_000_000,
            assembler: Assembler::new(writer, &state.known, job.track_timestamps_staleness),
            family: Family::default(),
            stranger: Family::default(),
            scratch: Scratch::default(),
            relabel: RelabelScratch::default(),
            distribution: Distribution::default(),
            pending: Vec::new(),
            bytes: 0,
            line: 0,
            ended: false,
        }
    }

    /// The memory that it holds, roughly.
    pub fn capacity(&self) -> usize {
        self.assembler.capacity() + self.pending.capacity() + self.scratch.capacity()
    }

    /// How many bytes of the exposition came.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the next bytes of the body, inflated.
    ///
    /// # Errors
    /// [`ScrapeError`]: the scrape has failed.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), ScrapeError> {
        self.bytes += bytes.len();
        let most = self.job.limits.body_bytes;
        if most > 0 && self.bytes > most {
            return Err(
                self.fault(format!("body size limit exceeded: it is larger than {most} bytes (body_size_limit)"))
            );
        }
        if self.form == Form::Protobuf {
            self.pending.extend_from_slice(bytes);
            return self.families();
        }
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (head, rest) = (bytes.get(..end).unwrap_or_default(), bytes.get(end + 1..).unwrap_or_default());
            if self.pending.is_empty() {
                self.whole_line(head)?;
            } else {
                self.pending.extend_from_slice(head);
                let line = std::mem::take(&mut self.pending);
                let read = self.whole_line(&line);
                self.pending = line;
                self.pending.clear();
                read?;
            }
            bytes = rest;
        }
        self.pending.extend_from_slice(bytes);
        match self.pending.len() > MAX_LINE {
            true => Err(self.fault(format!("longer than {MAX_LINE} bytes"))),
            false => Ok(()),
        }
    }

    /// The body is over: what it gives, with the series of the scrape itself. `state` is that of the target, with which it began.
    ///
    /// # Errors
    /// [`ScrapeError`]: the scrape has failed.
    pub fn finish(mut self, took: Duration) -> Result<Finished, ScrapeError> {
        match self.form {
            Form::Protobuf if !self.pending.is_empty() => return Err(self.fault("the last family is cut off".into())),
            Form::Lines(_) if !self.pending.is_empty() => {
                let line = std::mem::take(&mut self.pending);
                self.whole_line(&line)?;
            }
            _ => {}
        }
        if !self.ended && matches!(self.form, Form::Lines(Grammar::OpenMetrics | Grammar::OpenMetrics2)) {
            self.line = 0;
            return Err(self.fault("the exposition does not end with '# EOF': it is cut off".into()));
        }
        self.assembler.finish_family();
        let mut counts = self.assembler.totals;
        counts.kept = counts.kept.min(counts.scraped);
        if self.job.reports {
            put_reports(&mut self.assembler, self.target, self.time, took, counts, true);
        }
        Ok(Finished {
            time: self.time,
            track_own_times: self.job.track_timestamps_staleness,
            counts,
            assembled: self.assembler.finish(),
        })
    }

    fn fault(&self, what: String) -> ScrapeError {
        ScrapeError { line: self.line, what }
    }

    fn whole_line(&mut self, bytes: &[u8]) -> Result<(), ScrapeError> {
        self.line += 1;
        let Form::Lines(grammar) = self.form else { return Ok(()) };
        if self.ended {
            return Err(self.fault("something stands behind '# EOF'".into()));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| self.fault("it is not UTF-8".into()))?;
        let read = line::read(text, grammar, &mut self.scratch).map_err(|what| self.fault(what))?;
        match read {
            Line::Nothing => {}
            Line::End => self.ended = true,
            Line::Type(name, kind) => self.family_of(&name).kind = kind,
            Line::Help(name, help) => self.family_of(&name).help = help.into_owned(),
            Line::Unit(name, unit) => self.family_of(&name).unit = unit.to_owned(),
            Line::Sample(sample) => self.sample(sample, grammar != Grammar::Text).map_err(|what| self.fault(what))?,
        }
        Ok(())
    }

    /// The family of this name, which a line of metadata tells of.
    fn family_of(&mut self, name: &str) -> &mut Family {
        if self.family.name != name {
            self.assembler.finish_family();
            self.family.begin(name);
        }
        &mut self.family
    }

    fn sample(&mut self, sample: Sample, openmetrics: bool) -> Result<(), String> {
        let Some(value) = sample.value else { return self.composite(sample, openmetrics) };
        let name = self.scratch.labels.get(METRIC_NAME).unwrap_or_default();
        let part = self.family.part(name, openmetrics);
        let is_counter = self.family.kind == Kind::Counter;
        self.series(part, sample, value, openmetrics && (!is_counter || sample.start.is_none()))
    }

    /// A histogram or summary in one value.
    fn composite(&mut self, sample: Sample, openmetrics: bool) -> Result<(), String> {
        std::mem::swap(&mut self.distribution, &mut self.scratch.distribution);
        let name = self.scratch.labels.get(METRIC_NAME).unwrap_or_default().to_owned();
        if name != self.family.name {
            self.family_of(&name);
        }
        let classic = !self.distribution.buckets.is_empty();
        self.distributed(sample, classic, openmetrics)
    }

    /// The series of a distribution: the native histogram, or buckets, quantiles, sum and count, each relabelled by itself.
    fn distributed(&mut self, sample: Sample, has_classic: bool, contiguous: bool) -> Result<(), String> {
        let distribution = std::mem::take(&mut self.distribution);
        let is_native = distribution.is_native && self.job.native_histograms;
        let mut labels = Labels::default();
        labels.copy(&self.scratch.labels);
        let mut done = Ok(());
        if is_native {
            self.scratch.distribution = distribution;
            done = self.native(sample);
            self.distribution = std::mem::take(&mut self.scratch.distribution);
        } else {
            self.distribution = distribution;
        }
        if done.is_ok() && (!is_native || (self.job.always_classic && has_classic)) {
            done = self.classic(sample, &labels, contiguous);
        }
        done
    }

    fn native(&mut self, sample: Sample) -> Result<(), String> {
        self.assembler.totals.scraped += 1;
        if !self.relabelled()? {
            return Ok(());
        }
        let series = Series {
            family: &self.family,
            part: Part::Single,
            suffix: "",
            contiguous: false,
            time: self.time_of(sample.time),
            start: sample.start,
        };
        self.assembler.native(&series, &self.scratch);
        Ok(())
    }

    fn classic(&mut self, sample: Sample, labels: &Labels, contiguous: bool) -> Result<(), String> {
        let distribution = std::mem::take(&mut self.distribution);
        let gauge = self.family.kind == Kind::GaugeHistogram;
        let (sum, count) = if gauge { ("_gsum", "_gcount") } else { ("_sum", "_count") };
        let numbers = [(sum, Part::Sum, distribution.sum), (count, Part::Count, distribution.count)];
        let lists = [
            ("_bucket", "le", Part::Bucket, &distribution.buckets),
            ("", "quantile", Part::Quantile, &distribution.quantiles),
        ];
        let infinite = distribution.buckets.last().is_none_or(|(bound, _)| *bound != f64::INFINITY);
        // Protobuf may leave the last bucket out: it is the count.
        let added = infinite && self.family.kind != Kind::Summary;
        let last = [(f64::INFINITY, distribution.count)];
        let mut done = Ok(());
        'all: for (suffix, bound_name, part, list) in lists {
            let more = if part == Part::Bucket && added { &last[..] } else { &[] };
            for (bound, value) in list.iter().chain(more) {
                self.scratch.labels.copy(labels);
                self.rename(suffix);
                self.scratch.labels.push_with(|out| out.push_str(bound_name), |out| put_float(out, *bound));
                done = self.series(Some(if gauge { Part::Single } else { part }), sample, *value, contiguous);
                if done.is_err() {
                    break 'all;
                }
                // All of a point's exemplars go with its first series.
                self.scratch.exemplars.clear();
            }
        }
        for (suffix, part, value) in numbers {
            if done.is_ok() {
                self.scratch.labels.copy(labels);
                self.rename(suffix);
                done = self.series(Some(if gauge { Part::Single } else { part }), sample, value, contiguous);
                self.scratch.exemplars.clear();
            }
        }
        self.distribution = distribution;
        done
    }

    fn rename(&mut self, suffix: &str) {
        let name = [self.family.name.as_str(), suffix].concat();
        self.scratch.labels.set(METRIC_NAME, &name);
    }

    /// A series with a number, as the target has it; `part` is what it is of the family, where it is of it.
    fn series(&mut self, part: Option<Part>, sample: Sample, value: f64, contiguous: bool) -> Result<(), String> {
        self.assembler.totals.scraped += 1;
        let bound_name = match part {
            Some(Part::Bucket) => "le",
            Some(Part::Quantile) => "quantile",
            _ => "",
        };
        let mut part = part;
        if !bound_name.is_empty() {
            // Prometheus stores one form of each number.
            match self.scratch.labels.get(bound_name).and_then(crate::number::value) {
                Some(bound) if !self.job.metric_relabel.is_empty() => {
                    let mut text = String::new();
                    put_float(&mut text, bound);
                    self.scratch.labels.set(bound_name, &text);
                }
                Some(_) => {}
                None => part = None,
            }
        }
        let name = self.scratch.labels.get(METRIC_NAME).unwrap_or_default();
        let suffix = part.map_or("", |_| suffix_of(name.strip_prefix(self.family.name.as_str()).unwrap_or_default()));
        if !self.relabelled()? {
            return Ok(());
        }
        let name = self.scratch.labels.get(METRIC_NAME).unwrap_or_default();
        // A rule may have given the series another name: then it stands for itself.
        let is_of = part.is_some() && (suffix.is_empty() || name.ends_with(suffix));
        let keeps_bound = bound_name.is_empty() || self.scratch.labels.get(bound_name).is_some();
        let (family, part) = match part {
            Some(part) if is_of && keeps_bound => (&self.family, part),
            Some(Part::Created) => return Ok(()),
            _ => (&self.stranger, Part::Single),
        };
        let series = Series { family, part, suffix, contiguous, time: self.time_of(sample.time), start: sample.start };
        self.assembler.number(&series, &mut self.scratch, value);
        Ok(())
    }

    fn time_of(&self, told: Option<u64>) -> (u64, bool) {
        match told.filter(|_| self.job.honor_timestamps) {
            Some(time) => (time, true),
            None => (self.time, false),
        }
    }

    /// Puts the target's labels in and applies the rules; false where the series is dropped. The labels are sorted then.
    fn relabelled(&mut self) -> Result<bool, String> {
        let labels = &mut self.scratch.labels;
        for (name, value) in &self.target.labels {
            match labels.get(name) {
                None => labels.push(name, value),
                // An empty one of its own means that there is to be none.
                Some(_) if self.job.honor_labels => {}
                Some(_) => {
                    let mut other = format!("exported_{name}");
                    while labels.get(&other).is_some() {
                        other.insert_str(0, "exported_");
                    }
                    labels.rename(name, &other);
                    labels.push(name, value);
                }
            }
        }
        labels.retain(|_, value| !value.is_empty());
        if !self.job.metric_relabel.is_empty() && !self.job.metric_relabel.apply(labels, &mut self.relabel) {
            return Ok(false);
        }
        labels.sort();
        if let Some(twice) = labels.duplicate() {
            return Err(format!("label {} stands twice", shown(twice)));
        }
        let Some(name) = labels.get(METRIC_NAME) else {
            return Err("relabelling left no name of the metric".into());
        };
        labels_fit(labels, self.job).map_err(|what| format!("{what} (metric: {})", shown(name)))?;
        let totals = &mut self.assembler.totals;
        totals.kept += 1;
        let most = self.job.limits.samples;
        if most > 0 && totals.kept > most {
            return Err(format!("sample limit exceeded: there are more than {most} (sample_limit)"));
        }
        Ok(true)
    }

    /// Reads the families that are whole.
    fn families(&mut self) -> Result<(), ScrapeError> {
        let pending = std::mem::take(&mut self.pending);
        let mut rest = pending.as_slice();
        loop {
            let (length, used) = match model::proto::read_varint(rest) {
                Ok(read) => read,
                Err(model::proto::VarintError::Short) => break,
                Err(model::proto::VarintError::Long) => return Err(self.fault("the length of a family is none".into())),
            };
            let end = usize::try_from(length).ok().and_then(|length| length.checked_add(used));
            let Some(end) = end.filter(|end| *end < isize::MAX as usize) else {
                return Err(self.fault("the length of a family is none".into()));
            };
            let Some(message) = rest.get(used..end) else { break };
            self.line += 1;
            self.read_family(message)
                .map_err(|what| ScrapeError { line: 0, what: format!("family {}: {what}", self.line) })?;
            rest = rest.get(end..).unwrap_or_default();
        }
        let left = rest.len();
        self.pending = pending;
        self.pending.drain(..self.pending.len() - left);
        Ok(())
    }

    fn read_family(&mut self, message: &[u8]) -> Result<(), String> {
        let head = Head::read(message)?;
        self.assembler.finish_family();
        self.family.begin(head.name);
        self.family.kind = head.kind;
        self.family.help.push_str(head.help);
        self.family.unit.push_str(head.unit);
        for metric in messages(message, 4) {
            let metric = metric.map_err(|error| error.to_string())?;
            self.scratch.clear();
            self.scratch.labels.push(METRIC_NAME, head.name);
            let Scratch { labels, exemplars, exemplar_labels, .. } = &mut self.scratch;
            let mut into = families::Into { labels, exemplars, exemplar_labels, distribution: &mut self.distribution };
            let read = into.metric(metric)?;
            let sample = Sample { value: read.value, time: read.time, start: read.start };
            match read.value {
                Some(value) => self.series(Some(Part::Single), sample, value, false)?,
                None => self.distributed(sample, read.classic, true)?,
            }
        }
        Ok(())
    }
}

/// A suffix that lives as long as the program.
fn suffix_of(text: &str) -> &'static str {
    match text {
        "_bucket" => "_bucket",
        "_sum" => "_sum",
        "_count" => "_count",
        "_created" => "_created",
        "_total" => "_total",
        "_info" => "_info",
        "_gsum" => "_gsum",
        "_gcount" => "_gcount",
        _ => "",
    }
}

fn labels_fit(labels: &Labels, job: &Job) -> Result<(), String> {
    let limits = &job.limits;
    let (count, most) = (labels.len() as u64, limits.labels);
    if most > 0 && count > most {
        return Err(format!("label_limit exceeded: it has {count} labels, more than {most}"));
    }
    for (most, what, part) in [(limits.label_name, "name", 0), (limits.label_value, "value", 1)] {
        let too_long = |pair: (&str, &str)| {
            let text = if part == 0 { pair.0 } else { pair.1 };
            text.len() as u64 > most
        };
        if most > 0 && labels.iter().any(too_long) {
            return Err(format!("label_{what}_length_limit exceeded: a label's {what} is longer than {most} bytes"));
        }
    }
    Ok(())
}

/// A scrape that was read whole.
pub struct Finished {
    time: u64,
    track_own_times: bool,
    counts: Counts,
    assembled: crate::assemble::Assembled,
}

impl Finished {
    /// What is handed over; the target's state becomes that of this scrape.
    pub fn settle(self, state: &mut TargetState) -> Scraped {
        let Self { time, track_own_times, counts, assembled } = self;
        let mut requests = Vec::with_capacity(2);
        if assembled.changed {
            let mut now = assembled.tracked;
            now.sort_unstable();
            let is_there = |identity: u64| now.binary_search(&identity).is_ok();
            requests.extend(state.known.markers(time, |identity| !is_there(identity)));
            let is_tracked = |identity, own| is_there(identity) && (track_own_times || own == time);
            let known = Known::of(&assembled.request, now.clone(), is_tracked);
            state.known = known;
        }
        requests.insert(0, assembled.request);
        Scraped { requests, points: assembled.points, counts }
    }
}

/// Resource attributes beside job and instance.
fn base<'t>(target: &'t Target, port: &'t mut String) -> [(&'static str, &'t str); 3] {
    let (host, number) = target.host_port();
    port.push_str(&number.to_string());
    [("server.address", host), ("server.port", port), ("url.scheme", &target.scheme)]
}

/// The series of the scrape itself.
fn put_reports(assembler: &mut Assembler<'_>, target: &Target, time: u64, took: Duration, counts: Counts, up: bool) {
    let mut labels = target_labels(target.label(JOB), target.label(INSTANCE));
    target.labels.iter().for_each(|(name, value)| labels.set(name, value));
    labels.sort();
    let time = time / 1_000_000 * 1_000_000;
    for (name, help, unit, value) in [
        ("up", "Whether the target could be scraped.", "", f64::from(u8::from(up))),
        ("scrape_duration_seconds", "How long the scrape took.", "seconds", took.as_secs_f64()),
        ("scrape_samples_scraped", "Samples that the target has.", "", counts.scraped as f64),
        ("scrape_samples_post_metric_relabeling", "Samples that are left after relabelling.", "", counts.kept as f64),
        ("scrape_series_added", "Series that were not there at the scrape before.", "", counts.added as f64),
    ] {
        assembler.report(&labels, (name, help, unit), time, value);
    }
}
