//! The store as PromQL's source of series. All that this API reads of series goes through [`StoreSource::find`].

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use prometheus::Translation;
use promql::{Labels, MatchOp, Matcher, NAME, Samples, Select, SeriesSource, SourceError, SourceSeries};
use store::query::{Label, LabelMatcher, QueryError, Scoped, TimeRange};

use super::naming::{self, DEVICE, PROMOTED, TARGET_INFO};

/// The series of a store, as one query sees them.
pub(super) struct StoreSource<'a> {
    store: Scoped<'a>,
    /// Series that were left out because they count from point to point.
    deltas: Cell<usize>,
    /// The labels there are, by time.
    known: RefCell<Vec<(TimeRange, BTreeSet<Label>)>>,
}

/// Milliseconds, both inclusive, as the store has them.
pub(super) fn range(start: i64, end: i64) -> TimeRange {
    let ns = |ms: i64| u64::try_from(ms).unwrap_or(0).saturating_mul(1_000_000);
    TimeRange { from: ns(start), to: ns(end.saturating_add(1)) }
}

/// Whether a name is one that Prometheus has always had.
fn is_plain(name: &str) -> bool {
    name.chars().all(|c| c == '_' || c == ':' || c.is_ascii_alphanumeric())
}

/// Names stay as they are where a name is asked for that only OpenTelemetry has.
pub(super) fn translation(matchers: &[Matcher]) -> Translation {
    let foreign = |matcher: &Matcher| matcher.name == NAME && matcher.op == MatchOp::Equal && !is_plain(&matcher.value);
    if matchers.iter().any(foreign) { Translation::NoTranslation } else { Translation::default() }
}

impl<'a> StoreSource<'a> {
    pub(super) fn new(store: Scoped<'a>) -> Self {
        Self { store, deltas: Cell::new(0), known: RefCell::default() }
    }

    /// What is to be told of series that are not in the answer.
    pub(super) fn left_out(&self) -> Option<String> {
        let count = self.deltas.get();
        (count > 0).then(|| {
            format!("lightship: {count} series of delta temporality are left out: PromQL counts since a start; set their producer to cumulative")
        })
    }

    /// All series that fulfil the matchers, with their samples in the time.
    pub(super) fn find(&self, matchers: &[Matcher], time: TimeRange) -> Result<BTreeMap<Labels, Samples>, QueryError> {
        let translation = translation(matchers);
        let named = |name: &str| matchers.iter().filter(|m| m.name == NAME).all(|matcher| matcher.matches(name));
        let mut out: BTreeMap<Labels, Samples> = BTreeMap::new();
        let wanted = |labels: &Labels| matchers.iter().all(|matcher| matcher.matches_labels(labels));
        let mut names: BTreeSet<String> = BTreeSet::new();
        for metric in self.store.metrics(time) {
            let possible = naming::possible_names(&metric.name, &metric.unit, metric.kind, translation);
            if possible.iter().any(|name| named(name)) {
                names.insert(metric.name);
            }
        }
        let narrowed = self.narrowed(matchers, translation, time);
        if !names.is_empty() {
            let exact = if names.len() == 1 { names.first().cloned() } else { None };
            let fits = Box::new(move |name: &str| names.contains(name));
            let mut all = vec![LabelMatcher { labels: vec![Label::Name], exact, fits }];
            all.extend(narrowed.into_iter().map(Narrowed::into_matcher));
            for found in self.store.select(&all, time)? {
                if naming::is_delta(found.series.kind) {
                    self.deltas.set(self.deltas.get() + 1);
                    continue;
                }
                for (labels, samples) in naming::expand(&found.series, &found.points, translation, wanted) {
                    merge(out.entry(labels).or_default(), samples);
                }
            }
        }
        if named(TARGET_INFO) {
            self.find_target_info(matchers, translation, time, &mut out)?;
        }
        Ok(out)
    }

    /// Resources as series: each has its attributes as labels while it has points.
    fn find_target_info(
        &self,
        matchers: &[Matcher],
        translation: Translation,
        time: TimeRange,
        out: &mut BTreeMap<Labels, Samples>,
    ) -> Result<(), QueryError> {
        let identity = |matcher: &&Matcher| matcher.name == "job" || matcher.name == "instance";
        let own: Vec<Matcher> = matchers.iter().filter(identity).cloned().collect();
        let all: Vec<LabelMatcher> =
            self.narrowed(&own, translation, time).into_iter().map(Narrowed::into_matcher).collect();
        let mut times: BTreeMap<Labels, BTreeSet<i64>> = BTreeMap::new();
        for found in self.store.select(&all, time)? {
            let Some(labels) = naming::target_info(&found.series.origin, translation) else { continue };
            if matchers.iter().all(|matcher| matcher.matches_labels(&labels)) {
                times.entry(labels).or_default().extend(naming::target_info_times(&found.points));
            }
        }
        for (labels, times) in times {
            let floats: Vec<(i64, f64)> = times.into_iter().map(|time| (time, 1.0)).collect();
            let float_starts = vec![0; floats.len()];
            merge(out.entry(labels).or_default(), Samples { floats, float_starts, ..Samples::default() });
        }
        Ok(())
    }

    fn known_labels(&self, time: TimeRange) -> BTreeSet<Label> {
        let mut known = self.known.borrow_mut();
        if let Some((_, labels)) = known.iter().find(|(own, _)| *own == time) {
            return labels.clone();
        }
        let labels = self.store.metric_labels(time);
        known.push((time, labels.clone()));
        labels
    }

    /// What of the matchers the store can look for: those that a series without the label does not fulfil, and whose label is
    /// made of one attribute. What it finds is looked at again.
    fn narrowed(&self, matchers: &[Matcher], translation: Translation, time: TimeRange) -> Vec<Narrowed> {
        let own = [NAME, promql::BUCKET, "quantile"];
        let mut out = Vec::new();
        for matcher in matchers.iter().filter(|m| !own.contains(&m.name.as_str()) && !m.matches("")) {
            let labels = match matcher.name.as_str() {
                "job" if matcher.op != MatchOp::Equal => continue,
                "job" => vec![Label::Resource("service.name".into()), Label::Attribute("job".into())],
                "instance" => vec![Label::Resource("service.instance.id".into()), Label::Attribute("instance".into())],
                name => {
                    let mut found = self.labels_named(name, translation, time);
                    if name == DEVICE {
                        found.push(Label::Device);
                    }
                    let attributes = found.iter().filter(|label| matches!(label, Label::Attribute(_))).count();
                    // Several attributes of one name are put together: each alone may not fit.
                    if found.len() > 3 || attributes > 1 {
                        continue;
                    }
                    if found.is_empty() { vec![Label::Attribute(name.to_owned())] } else { found }
                }
            };
            out.push(Narrowed { labels, matcher: matcher.clone() });
        }
        out
    }

    /// The attributes of points, and those of resources that are promoted, that become a label.
    fn labels_named(&self, name: &str, translation: Translation, time: TimeRange) -> Vec<Label> {
        let mut translated = String::new();
        let mut becomes = |key: &str| translation.label_name(key, &mut translated) && translated == name;
        let known = self.known_labels(time);
        let fits = known.into_iter().filter(|label| match label {
            Label::Attribute(key) => becomes(key),
            Label::Resource(key) => PROMOTED.contains(&key.as_str()) && becomes(key),
            Label::Name | Label::Device => false,
        });
        fits.collect()
    }
}

/// A matcher that the store can look for.
struct Narrowed {
    labels: Vec<Label>,
    matcher: Matcher,
}

impl Narrowed {
    fn into_matcher(self) -> LabelMatcher {
        let Self { labels, matcher } = self;
        let one = labels.len() == 1 && matcher.op == MatchOp::Equal;
        let exact = one.then(|| matcher.value.clone());
        let is_job = matcher.name == "job";
        let fits = move |value: &str| {
            // The namespace stands before a service's name.
            matcher.matches(value)
                || (is_job && matcher.value.strip_suffix(value).is_some_and(|rest| rest.ends_with('/')))
        };
        LabelMatcher { labels, exact, fits: Box::new(fits) }
    }
}

/// Samples of two stored series that are one to Prometheus, by time; of two at one time the first stays.
fn merge(into: &mut Samples, more: Samples) {
    fn joined<T>(all: &mut Vec<(i64, T)>, starts: &mut Vec<i64>, more: Vec<(i64, T)>, more_starts: Vec<i64>) {
        if all.is_empty() {
            (*all, *starts) = (more, more_starts);
            return;
        }
        let own = std::mem::take(all).into_iter().zip(std::mem::take(starts));
        let mut both: Vec<((i64, T), i64)> = own.chain(more.into_iter().zip(more_starts)).collect();
        both.sort_by_key(|((time, _), _)| *time);
        both.dedup_by_key(|((time, _), _)| *time);
        (*all, *starts) = both.into_iter().unzip();
    }
    joined(&mut into.floats, &mut into.float_starts, more.floats, more.float_starts);
    joined(&mut into.histograms, &mut into.histogram_starts, more.histograms, more.histogram_starts);
}

impl SeriesSource for StoreSource<'_> {
    fn select(&self, select: &Select<'_>) -> Result<Vec<SourceSeries>, SourceError> {
        let found = self.find(select.matchers, range(select.start, select.end));
        let found = found.map_err(|error| match error.ended {
            Some(_) => SourceError::Stopped,
            None => SourceError::TooMuch(format!("{}: {}", error.what, error.hint)),
        })?;
        Ok(found.into_iter().map(|(labels, samples)| SourceSeries { labels, samples }).collect())
    }
}
