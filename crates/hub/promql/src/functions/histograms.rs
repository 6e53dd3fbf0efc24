//! Functions over histograms, native and classic, at one step.

use crate::annotations::{Annotations, for_metric};
use crate::histogram::{
    ClassicBucket, Exact, Histogram, NanEffect, classic_fraction, classic_quantile, fraction, quantile,
};
use crate::labels::{BUCKET, Labels};
use crate::points::{Point, Result, Series, fault};
use crate::syntax::ast::Span;
use crate::text::{label_value, quote};
use std::collections::HashMap;

/// A function from a native histogram to a number.
pub(crate) fn find(name: &str) -> Option<fn(&Histogram) -> f64> {
    Some(match name {
        "histogram_count" => |h| h.count,
        "histogram_sum" => |h| h.sum,
        "histogram_avg" => |h| h.sum / h.count,
        "histogram_stddev" => |h| variance(h).sqrt(),
        "histogram_stdvar" => variance,
        _ => return None,
    })
}

fn variance(histogram: &Histogram) -> f64 {
    let mean = histogram.sum / histogram.count;
    let mut sum = Exact::default();
    for bucket in histogram.buckets().iter().filter(|bucket| bucket.count != 0.0) {
        let middle = if histogram.is_custom() {
            f64::midpoint(bucket.upper, bucket.lower)
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            let size = (bucket.upper * bucket.lower).sqrt();
            if bucket.upper < 0.0 { -size } else { size }
        };
        let delta = middle - mean;
        sum = sum.plus(bucket.count * delta * delta);
    }
    sum.total() / histogram.count
}

/// What is asked of histograms.
pub(crate) enum Asked<'a> {
    /// A quantile per step.
    Quantile(&'a [f64]),
    /// Quantiles per step, told apart by a label.
    Quantiles(&'a str, &'a [Vec<f64>]),
    /// The share between two values per step.
    Fraction(&'a [f64], &'a [f64]),
}

impl Asked<'_> {
    /// The quantiles or bounds of a step, each with the label's value.
    fn at(&self, step: usize) -> Vec<(f64, f64, String)> {
        let value = |all: &[f64]| all.get(step).copied().unwrap_or(f64::NAN);
        match self {
            Asked::Quantile(q) => vec![(value(q), 0.0, String::new())],
            Asked::Quantiles(_, all) => all.iter().map(|q| (value(q), 0.0, label_value(value(q)))).collect(),
            Asked::Fraction(lower, upper) => vec![(value(lower), value(upper), String::new())],
        }
    }
}

/// The series of one classic histogram, or a native one.
struct Group {
    labels: Labels,
    drop_name: bool,
    /// Upper bounds and which series.
    classic: Vec<(f64, usize)>,
    native: Option<usize>,
}

/// The group of a label set, made where there is none.
fn place<'a>(
    all: &'a mut Vec<Group>,
    places: &mut HashMap<Labels, usize>,
    labels: Labels,
    drop_name: bool,
) -> &'a mut Group {
    let at = *places.entry(labels.clone()).or_insert(all.len());
    if at == all.len() {
        all.push(Group { labels, drop_name, classic: Vec::new(), native: None });
    }
    &mut all[at]
}

fn groups(series: &[Series], span: Span, annotations: &mut Annotations) -> Vec<Group> {
    let mut places: HashMap<Labels, usize> = HashMap::new();
    let mut out: Vec<Group> = Vec::new();
    for (at, own) in series.iter().enumerate() {
        let has_histogram = own.points.iter().any(|point| matches!(point, Point::Histogram(_)));
        let has_float = own.points.iter().any(|point| matches!(point, Point::Float(_)));
        let mut bound = None;
        if has_float {
            let text = own.labels.get(BUCKET);
            bound = parse_bound(text);
            if bound.is_none() {
                let what = format!("bucket label \"le\" is missing or has a malformed value of {}", quote(text));
                annotations.warn(span, for_metric(&what, own.labels.name()));
            }
        }
        if has_histogram {
            place(&mut out, &mut places, own.labels.clone(), own.drop_name).native = Some(at);
        }
        if let Some(bound) = bound {
            let labels = own.labels.with(BUCKET, "");
            place(&mut out, &mut places, labels, own.drop_name).classic.push((bound, at));
        }
    }
    out
}

/// A bound as Go reads a float; NaN is none.
fn parse_bound(text: &str) -> Option<f64> {
    let plain = text.trim_start_matches(['+', '-']);
    if plain.is_empty() || text.starts_with("+-") || text.starts_with("-+") {
        return None;
    }
    text.parse::<f64>().ok().filter(|bound| !bound.is_nan())
}

/// Where the arguments stand.
pub(crate) struct Spans {
    pub(crate) vector: Span,
    pub(crate) quantiles: Vec<Span>,
}

/// `histogram_quantile` and its kind over all steps.
pub(crate) fn ask(
    asked: &Asked<'_>,
    series: &[Series],
    times: &[i64],
    spans: &Spans,
    annotations: &mut Annotations,
) -> Result<Vec<Series>> {
    if !matches!(asked, Asked::Fraction(..)) {
        for step in 0..times.len() {
            for ((q, ..), span) in asked.at(step).iter().zip(&spans.quantiles) {
                if !(0.0..=1.0).contains(q) {
                    annotations.invalid_quantile(*span, *q);
                }
            }
        }
    }
    let mut out: Vec<Series> = Vec::new();
    let mut places: HashMap<Labels, usize> = HashMap::new();
    for group in groups(series, spans.vector, annotations) {
        for (step, time) in times.iter().enumerate() {
            let native = match group.native.map(|at| &series[at].points[step]) {
                Some(Point::Histogram(histogram)) => Some(histogram),
                _ => None,
            };
            let classic: Vec<ClassicBucket> = group
                .classic
                .iter()
                .filter_map(|(upper, at)| match series[*at].points[step] {
                    Point::Float(count) => Some(ClassicBucket { upper: *upper, count }),
                    _ => None,
                })
                .collect();
            if native.is_some() && !classic.is_empty() {
                let what = "vector contains a mix of classic and native histograms";
                annotations.warn(spans.vector, for_metric(what, group.labels.name()));
                continue;
            }
            if native.is_none() && classic.is_empty() {
                continue;
            }
            for (a, b, label) in asked.at(step) {
                let metric = group.labels.name();
                let value = match native {
                    Some(histogram) => of_native(asked, (a, b), histogram, metric, spans.vector, annotations),
                    None if matches!(asked, Asked::Fraction(..)) => classic_fraction(a, b, classic.clone()),
                    None => {
                        let (value, forced) = classic_quantile(a, classic.clone());
                        if let Some(forced) = forced {
                            annotations.forced_monotonic(spans.vector, metric, *time, &forced);
                        }
                        value
                    }
                };
                let labels = match asked {
                    Asked::Quantiles(name, _) => group.labels.with(name, &label),
                    _ => group.labels.clone(),
                };
                let place = *places.entry(labels.clone()).or_insert_with(|| {
                    let points = vec![Point::None; times.len()];
                    out.push(Series { labels, drop_name: group.drop_name, points });
                    out.len() - 1
                });
                if out[place].points[step].is_some() {
                    return fault("vector cannot contain metrics with the same labelset");
                }
                out[place].points[step] = Point::Float(value);
            }
        }
    }
    Ok(out)
}

fn of_native(
    asked: &Asked<'_>,
    (a, b): (f64, f64),
    histogram: &Histogram,
    metric: &str,
    span: Span,
    annotations: &mut Annotations,
) -> f64 {
    if matches!(asked, Asked::Fraction(..)) {
        let (value, without_nan) = fraction(a, b, histogram);
        if without_nan {
            let what = "input to histogram_fraction has NaN observations, which are excluded from all fractions";
            annotations.info(span, for_metric(what, metric));
        }
        return value;
    }
    let (value, effect) = quantile(a, histogram);
    let what = "input to histogram_quantile has NaN observations, result is";
    match effect {
        NanEffect::None => {}
        NanEffect::Result => annotations.info(span, for_metric(&format!("{what} NaN"), metric)),
        NanEffect::Skewed => annotations.info(span, for_metric(&format!("{what} skewed higher"), metric)),
    }
    value
}
