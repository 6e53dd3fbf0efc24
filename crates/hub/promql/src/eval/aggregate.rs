//! Aggregations that make one series of a group.

use super::Evaluator;
use crate::functions::math::quantile;
use crate::functions::over_time::{Hints, HistogramMean, Mean};
use crate::histogram::{Exact, Incompatible, Sum};
use crate::labels::{Labels, NAME};
use crate::points::{Point, Result, Series, Steps, fault};
use crate::syntax::ast::{Aggregate, AggregateOp as Op, Expr};
use crate::text::plain;
use std::collections::HashMap;

/// The labels of a series' group.
pub(super) fn group_labels(labels: &Labels, aggregate: &Aggregate) -> Labels {
    if aggregate.without {
        labels.without_metadata().without(&aggregate.grouping)
    } else {
        labels.only(&aggregate.grouping)
    }
}

/// Groups in the order they are met, and the group of each series.
pub(super) fn grouped(series: &[Series], aggregate: &Aggregate) -> (Vec<Labels>, Vec<usize>) {
    let mut places: HashMap<Labels, usize> = HashMap::new();
    let mut groups = Vec::new();
    let of = series
        .iter()
        .map(|own| {
            let labels = group_labels(&own.labels, aggregate);
            *places.entry(labels).or_insert_with_key(|labels| {
                groups.push(labels.clone());
                groups.len() - 1
            })
        })
        .collect();
    (groups, of)
}

/// What has been seen of a group at a step.
#[derive(Clone, Default)]
struct Seen {
    count: f64,
    floats: usize,
    histograms: usize,
    sum: Exact,
    mean: Mean,
    extreme: Option<f64>,
    /// Mean and sum of squares about it.
    spread: (f64, f64),
    values: Vec<f64>,
    histogram_sum: Option<Sum>,
    histogram_mean: Option<HistogramMean>,
    hints: Hints,
    incompatible: bool,
}

impl Evaluator<'_> {
    pub(super) fn aggregate(&mut self, aggregate: &Aggregate, steps: &Steps) -> Result<Vec<Series>> {
        if aggregate.op == Op::CountValues {
            return self.count_values(aggregate, steps);
        }
        let param = match &aggregate.param {
            Some(param) => self.scalar(param, steps)?,
            None => Vec::new(),
        };
        let series = self.vector(&aggregate.expr, steps)?;
        if matches!(aggregate.op, Op::Topk | Op::Bottomk | Op::Limitk | Op::LimitRatio) {
            return self.ranked(aggregate, series, &param, steps);
        }
        if aggregate.op == Op::Quantile
            && let Some(expr) = &aggregate.param
        {
            for q in &param {
                if !(0.0..=1.0).contains(q) {
                    self.annotations.invalid_quantile(expr.bare().span(), *q);
                }
            }
        }
        let (groups, of) = grouped(&series, aggregate);
        self.charge_cells(groups.len(), steps)?;
        let mut out: Vec<Series> = groups
            .into_iter()
            .map(|labels| Series { labels, drop_name: false, points: Vec::with_capacity(steps.count) })
            .collect();
        for (own, group) in series.iter().zip(&of) {
            out[*group].drop_name |= own.drop_name;
        }
        for step in 0..steps.count {
            self.go_on()?;
            let mut seen = vec![Seen::default(); out.len()];
            for (own, group) in series.iter().zip(&of) {
                self.see(aggregate, &mut seen[*group], &own.points[step], own.labels.name());
            }
            for (own, seen) in out.iter_mut().zip(seen) {
                let point = self.total(aggregate, seen, param.get(step).copied().unwrap_or(f64::NAN));
                own.points.push(point);
            }
        }
        out.retain(|own| own.points.iter().any(Point::is_some));
        Ok(out)
    }

    /// One point more of a group.
    fn see(&mut self, aggregate: &Aggregate, seen: &mut Seen, point: &Point, metric: &str) {
        let op = aggregate.op;
        match point {
            Point::None => {}
            Point::Float(value) => {
                seen.floats += 1;
                seen.count += 1.0;
                match op {
                    Op::Sum => seen.sum = if seen.floats == 1 { (*value).into() } else { seen.sum.plus(*value) },
                    Op::Avg => seen.mean.add(*value),
                    Op::Min => take_extreme(&mut seen.extreme, *value, |now, best| best > now),
                    Op::Max => take_extreme(&mut seen.extreme, *value, |now, best| best < now),
                    Op::Stddev | Op::Stdvar => spread(&mut seen.spread, *value, seen.count),
                    Op::Quantile => seen.values.push(*value),
                    _ => {}
                }
            }
            Point::Histogram(histogram) => match op {
                Op::Sum | Op::Avg => {
                    seen.histograms += 1;
                    seen.count += 1.0;
                    if seen.incompatible {
                        return;
                    }
                    seen.hints.see(histogram);
                    let added = match (op, &mut seen.histogram_sum, &mut seen.histogram_mean) {
                        (Op::Sum, Some(sum), _) => sum.add(histogram, 1.0).map(|facts| facts.bounds_reconciled),
                        (Op::Sum, none, _) => {
                            *none = Some(Sum::from(&**histogram));
                            Ok(false)
                        }
                        (_, _, Some(mean)) => mean.add(histogram),
                        (_, _, none) => {
                            *none = Some(HistogramMean::new(histogram));
                            Ok(false)
                        }
                    };
                    let span = aggregate.expr.bare().span();
                    match added {
                        Ok(true) => self.annotations.reconciled(span, "aggregation"),
                        Ok(false) => {}
                        Err(Incompatible) => {
                            self.annotations.mixed_buckets(span, metric);
                            seen.incompatible = true;
                        }
                    }
                }
                Op::Count | Op::Group => seen.count += 1.0,
                _ => self.annotations.ignored_in_aggregation(aggregate.expr.bare().span(), op.name()),
            },
        }
    }

    /// What a group comes to.
    fn total(&mut self, aggregate: &Aggregate, mut seen: Seen, param: f64) -> Point {
        if seen.count == 0.0 {
            return Point::None;
        }
        let span = aggregate.expr.bare().span();
        match aggregate.op {
            Op::Sum | Op::Avg => {
                if seen.floats > 0 && seen.histograms > 0 {
                    self.annotations.warn(span, "encountered a mix of histograms and floats for aggregation");
                    return Point::None;
                }
                if seen.incompatible {
                    return Point::None;
                }
                if seen.hints.collide() {
                    self.annotations.hints_collide(span, "aggregation");
                }
                match (seen.histogram_sum, seen.histogram_mean) {
                    (Some(sum), _) => Point::histogram(sum.total()),
                    (_, Some(mean)) => Point::histogram(mean.total().compact()),
                    _ if aggregate.op == Op::Sum => Point::Float(seen.sum.total()),
                    _ => Point::Float(seen.mean.total()),
                }
            }
            Op::Count => Point::Float(seen.count),
            Op::Group => Point::Float(1.0),
            Op::Min | Op::Max => seen.extreme.map_or(Point::None, Point::Float),
            Op::Stdvar => Point::Float(seen.spread.1 / seen.count),
            Op::Stddev => Point::Float((seen.spread.1 / seen.count).sqrt()),
            Op::Quantile => Point::Float(quantile(param, &mut seen.values)),
            _ => Point::None,
        }
    }

    fn count_values(&mut self, aggregate: &Aggregate, steps: &Steps) -> Result<Vec<Series>> {
        let label = match aggregate.param.as_ref().map(Expr::bare) {
            Some(Expr::String(label, _)) if !label.is_empty() && !label.contains('\u{fffd}') => label.clone(),
            Some(Expr::String(label, _)) => return fault(format!("invalid label name {}", crate::text::quote(label))),
            _ => return fault("count_values lacks a label's name"),
        };
        let series = self.vector(&aggregate.expr, steps)?;
        let mut out: Vec<Series> = Vec::new();
        let mut places: HashMap<Labels, usize> = HashMap::new();
        for own in &series {
            let group = group_labels(&own.labels, aggregate);
            for (step, point) in own.points.iter().enumerate() {
                let value = match point {
                    Point::None => continue,
                    Point::Float(value) => plain(*value),
                    Point::Histogram(histogram) => histogram.to_string(),
                };
                let mut labels = group.with(&label, &value);
                if aggregate.without {
                    // A label that is left out is left out though the values are to be in it.
                    labels = labels.without(&aggregate.grouping).without(&[NAME.to_owned()]);
                }
                let place = match places.get(&labels) {
                    Some(place) => *place,
                    None => {
                        self.charge_cells(1, steps)?;
                        let points = vec![Point::None; steps.count];
                        out.push(Series { labels: labels.clone(), drop_name: false, points });
                        places.insert(labels, out.len() - 1);
                        out.len() - 1
                    }
                };
                let slot = &mut out[place].points[step];
                *slot = Point::Float(if let Point::Float(count) = slot { *count + 1.0 } else { 1.0 });
            }
        }
        Ok(out)
    }
}

fn take_extreme(extreme: &mut Option<f64>, value: f64, replace: fn(f64, f64) -> bool) {
    match extreme {
        Some(best) if !(replace(value, *best) || best.is_nan()) => {}
        _ => *extreme = Some(value),
    }
}

/// Mean and squares about it, with one value more (Welford).
fn spread((mean, squares): &mut (f64, f64), value: f64, count: f64) {
    if count == 1.0 {
        *mean = value;
        *squares = if value.is_finite() { 0.0 } else { f64::NAN };
        return;
    }
    let delta = value - *mean;
    *mean += delta / count;
    *squares += delta * (value - *mean);
}
