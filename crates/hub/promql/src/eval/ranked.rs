//! Aggregations that choose series: `topk`, `bottomk`, `limitk`, `limit_ratio`.

use super::Evaluator;
use super::aggregate::grouped;
use crate::points::{Point, Result, Series, Steps, fault};
use crate::syntax::ast::{Aggregate, AggregateOp as Op, Expr, Span};
use crate::text::short;
use std::cmp::Ordering;

/// Where the best come first: NaN is worse than all.
fn order(a: f64, b: f64, top: bool) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        _ if top => b.partial_cmp(&a).unwrap_or(Ordering::Equal),
        _ => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
    }
}

/// Whether a series is among so large a share; a negative one takes the others.
fn in_ratio(series: &Series, ratio: f64) -> bool {
    let place = series.labels.hash_of_prometheus() as f64 / u64::MAX as f64;
    if ratio >= 0.0 { place < ratio } else { place >= 1.0 + ratio }
}

impl Evaluator<'_> {
    pub(super) fn ranked(
        &mut self,
        aggregate: &Aggregate,
        series: Vec<Series>,
        param: &[f64],
        steps: &Steps,
    ) -> Result<Vec<Series>> {
        let most = param.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let least = param.iter().copied().fold(f64::INFINITY, f64::min);
        let nan = param.iter().any(|value| value.is_nan());
        if aggregate.op == Op::LimitRatio {
            if nan {
                return fault("Ratio value is NaN");
            }
            let span = aggregate.param.as_ref().map(|param| param.bare().span()).unwrap_or_default();
            self.check_ratio(span, least, most);
        } else {
            if !nan && most < 1.0 {
                return Ok(Vec::new());
            }
            if nan {
                return fault("Parameter value is NaN");
            }
            if least <= i64::MIN as f64 {
                return fault(format!("Scalar value {} underflows int64", short(least)));
            }
            if most >= i64::MAX as f64 {
                return fault(format!("Scalar value {} overflows int64", short(most)));
            }
        }
        let (groups, of) = grouped(&series, aggregate);
        self.charge_cells(series.len(), steps)?;
        let mut kept: Vec<Vec<bool>> = vec![vec![false; steps.count]; series.len()];
        let mut instant_order: Vec<usize> = Vec::new();
        for step in 0..steps.count {
            let mut members: Vec<Vec<usize>> = vec![Vec::new(); groups.len()];
            for (at, group) in of.iter().enumerate() {
                if series[at].points[step].is_some() {
                    members[*group].push(at);
                }
            }
            for group in members {
                let chosen = self.choose(aggregate, &series, group, step, param[step]);
                for at in &chosen {
                    kept[*at][step] = true;
                }
                if steps.count == 1 {
                    instant_order.extend(chosen);
                }
            }
        }
        let mut out: Vec<Option<Series>> = series.into_iter().map(Some).collect();
        for (own, kept) in out.iter_mut().zip(&kept) {
            if let Some(own) = own {
                for (point, keep) in own.points.iter_mut().zip(kept) {
                    if !keep {
                        *point = Point::None;
                    }
                }
            }
        }
        if steps.count == 1 {
            return Ok(instant_order.into_iter().filter_map(|at| out[at].take()).collect());
        }
        Ok(out.into_iter().flatten().filter(|own| own.points.iter().any(Point::is_some)).collect())
    }

    fn check_ratio(&mut self, span: Span, least: f64, most: f64) {
        for (value, limit) in [(most, 1.0), (least, -1.0)] {
            if (limit > 0.0 && value > limit) || (limit < 0.0 && value < limit) {
                let (value, limit) = (short(value), short(limit));
                let text = format!("ratio value should be between -1 and 1, got {value}, capping to {limit}");
                self.annotations.warn(span, text);
            }
        }
    }

    /// The series of a group that are kept at a step, in order.
    fn choose(
        &mut self,
        aggregate: &Aggregate,
        series: &[Series],
        mut group: Vec<usize>,
        step: usize,
        param: f64,
    ) -> Vec<usize> {
        let op = aggregate.op;
        if op == Op::LimitRatio {
            let ratio = param.clamp(-1.0, 1.0);
            group.retain(|at| ratio != 0.0 && in_ratio(&series[*at], ratio));
            return group;
        }
        // Wider than any group is wide enough.
        let k = if param < 1.0 { 0 } else { param.min(group.len() as f64) as usize };
        if op != Op::Limitk {
            let value = |at: usize| match series[at].points[step] {
                Point::Float(value) => Some(value),
                _ => None,
            };
            if group.iter().any(|at| value(*at).is_none()) {
                self.annotations.ignored_in_aggregation(aggregate_span(aggregate), op.name());
            }
            group.retain(|at| value(*at).is_some());
            let number = |at: usize| value(at).unwrap_or(f64::NAN);
            group.sort_by(|a, b| order(number(*a), number(*b), op == Op::Topk));
        }
        group.truncate(k);
        group
    }
}

fn aggregate_span(aggregate: &Aggregate) -> Span {
    debug_assert!(!matches!(aggregate.expr, Expr::String(..)));
    aggregate.span
}
