//! What is to be told beside an answer: warnings and infos, as Prometheus words them.

use crate::histogram::ForcedMonotonic;
use crate::syntax::ast::Span;
use crate::syntax::error::position;
use crate::text::{quote, short};

/// A detail that grows with each time something is told again.
#[derive(Clone, Debug, PartialEq)]
enum Detail {
    None,
    Monotonic { first: i64, last: i64, lowest: f64, highest: f64, most: f64, samples: usize },
    Times(usize),
}

/// One thing told.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotation {
    /// An info, else a warning.
    pub info: bool,
    text: String,
    /// Where in the query it came from.
    pub span: Span,
    detail: Detail,
}

/// What is told beside an answer, each thing once, in the order it was met.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Annotations {
    all: Vec<Annotation>,
}

/// How many different ones are kept; more of them tell nothing.
const MOST: usize = 100;

fn rfc3339(ms: i64) -> String {
    let format = time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    time::OffsetDateTime::from_unix_timestamp(ms.div_euclid(1000))
        .ok()
        .and_then(|time| time.format(format).ok())
        .unwrap_or_else(|| ms.to_string())
}

/// `%.2g`
fn two_digits(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return short(value);
    }
    let rounded: f64 = format!("{value:.1e}").parse().unwrap_or(value);
    let exponent = rounded.abs().log10().floor();
    if (-4.0..2.0).contains(&exponent) {
        return short(rounded);
    }
    let scientific = format!("{rounded:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

impl Annotation {
    /// The text, with line and column in the query.
    #[must_use]
    pub fn text(&self, query: &str) -> String {
        let (line, column) = position(query, self.span.start);
        let detail = match &self.detail {
            Detail::None | Detail::Times(1) => String::new(),
            Detail::Times(times) => format!(" ({times} occurrences)"),
            Detail::Monotonic { first, last, lowest, highest, most, samples } => format!(
                ", from buckets {} to {}, with a max diff of {}, over {samples} samples from {} to {}",
                short(*lowest),
                short(*highest),
                two_digits(*most),
                rfc3339(*first),
                rfc3339(*last),
            ),
        };
        format!("{}{detail} ({line}:{column})", self.text)
    }
}

impl Annotations {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Annotation> {
        self.all.iter()
    }

    /// The texts of the warnings, with positions.
    #[must_use]
    pub fn warnings(&self, query: &str) -> Vec<String> {
        self.all.iter().filter(|own| !own.info).map(|own| own.text(query)).collect()
    }

    /// The texts of the infos, with positions.
    #[must_use]
    pub fn infos(&self, query: &str) -> Vec<String> {
        self.all.iter().filter(|own| own.info).map(|own| own.text(query)).collect()
    }

    fn add(&mut self, info: bool, span: Span, text: String, detail: Detail) {
        let Some(own) = self.all.iter_mut().find(|own| own.text == text) else {
            if self.all.len() < MOST {
                self.all.push(Annotation { info, text, span, detail });
            }
            return;
        };
        match (&mut own.detail, detail) {
            (Detail::Times(times), Detail::Times(more)) => *times += more,
            (
                Detail::Monotonic { first, last, lowest, highest, most, samples },
                Detail::Monotonic { first: f, last: l, lowest: lo, highest: hi, most: m, samples: s },
            ) => {
                *first = (*first).min(f);
                *last = (*last).max(l);
                *lowest = lowest.min(lo);
                *highest = highest.max(hi);
                *most = most.max(m);
                *samples += s;
            }
            _ => {}
        }
    }

    pub(crate) fn warn(&mut self, span: Span, text: impl AsRef<str>) {
        self.add(false, span, format!("PromQL warning: {}", text.as_ref()), Detail::None);
    }

    pub(crate) fn info(&mut self, span: Span, text: impl AsRef<str>) {
        self.add(true, span, format!("PromQL info: {}", text.as_ref()), Detail::None);
    }

    pub(crate) fn start_overlap(&mut self, span: Span, metric: &str) {
        let text = format!(
            "PromQL warning: sample has start time that overlaps with previous sample timestamp for metric {}",
            quote(metric)
        );
        self.add(false, span, text, Detail::Times(1));
    }

    pub(crate) fn forced_monotonic(&mut self, span: Span, metric: &str, ts: i64, forced: &ForcedMonotonic) {
        let text = for_metric(
            "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)",
            metric,
        );
        let ForcedMonotonic { lowest, highest, most } = *forced;
        self.add(true, span, text, Detail::Monotonic { first: ts, last: ts, lowest, highest, most, samples: 1 });
    }

    pub(crate) fn invalid_quantile(&mut self, span: Span, q: f64) {
        self.warn(span, format!("quantile value should be between 0 and 1, got {}", short(q)));
    }

    pub(crate) fn mixed_floats_histograms(&mut self, span: Span, metric: &str) {
        self.warn(span, format!("encountered a mix of histograms and floats for metric name {}", quote(metric)));
    }

    pub(crate) fn mixed_buckets(&mut self, span: Span, metric: &str) {
        let what = "vector contains a mix of histograms with exponential and custom buckets schemas for metric name";
        self.warn(span, format!("{what} {}", quote(metric)));
    }

    pub(crate) fn not_counter(&mut self, span: Span, metric: &str) {
        self.warn(span, format!("this native histogram metric is not a counter: {}", quote(metric)));
    }

    pub(crate) fn not_gauge(&mut self, span: Span, metric: &str) {
        self.warn(span, format!("this native histogram metric is not a gauge: {}", quote(metric)));
    }

    pub(crate) fn ignored_in_range(&mut self, span: Span, metric: &str) {
        let what = "ignored histograms in a range containing both floats and histograms for metric name";
        self.info(span, format!("{what} {}", quote(metric)));
    }

    pub(crate) fn ignored_in_aggregation(&mut self, span: Span, aggregation: &str) {
        self.info(span, format!("ignored histogram in {aggregation} aggregation"));
    }

    pub(crate) fn reconciled(&mut self, span: Span, operation: &str) {
        self.info(span, format!("mismatched custom buckets were reconciled during {operation}"));
    }

    pub(crate) fn hints_collide(&mut self, span: Span, operation: &str) {
        self.warn(span, format!("conflicting counter resets during histogram {operation}"));
    }
}

/// A text with the metric's name, where there is one.
pub(crate) fn for_metric(text: &str, metric: &str) -> String {
    if metric.is_empty() { text.to_owned() } else { format!("{text} for metric name {}", quote(metric)) }
}
