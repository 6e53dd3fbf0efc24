//! Operators between two expressions.

use super::{Evaluator, Output};
use crate::histogram::{Histogram, Incompatible, ResetHint};
use crate::labels::Labels;
use crate::points::{Point, Result, Series, Steps, fault};
use crate::syntax::ast::{Binary, BinaryOp, Cardinality, Matching, Span};
use std::collections::HashMap;

/// The number that an operator makes of two.
fn arithmetic(op: BinaryOp, a: f64, b: f64) -> f64 {
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Mod => a % b,
        BinaryOp::Pow => a.powf(b),
        BinaryOp::Atan2 => a.atan2(b),
        _ => f64::NAN,
    }
}

fn holds(op: BinaryOp, a: f64, b: f64) -> bool {
    match op {
        BinaryOp::Equal => a == b,
        BinaryOp::NotEqual => a != b,
        BinaryOp::Greater => a > b,
        BinaryOp::Less => a < b,
        BinaryOp::GreaterEqual => a >= b,
        BinaryOp::LessEqual => a <= b,
        _ => false,
    }
}

/// What an operator makes of two points.
struct Made {
    point: Point,
    /// Whether a comparison held; true of all other operators.
    keep: bool,
}

impl Evaluator<'_> {
    pub(super) fn binary(&mut self, binary: &Binary, steps: &Steps) -> Result<Output> {
        let lhs = self.eval(&binary.lhs, steps)?;
        let rhs = self.eval(&binary.rhs, steps)?;
        let (op, span) = (binary.op, Span { start: binary.lhs.span().start, end: binary.rhs.span().end });
        match (lhs, rhs) {
            (Output::Scalar(a), Output::Scalar(b)) => {
                let of = |(a, b)| if op.compares() { f64::from(holds(op, a, b)) } else { arithmetic(op, a, b) };
                Ok(Output::Scalar(a.into_iter().zip(b).map(of).collect()))
            }
            (Output::Vector(series), Output::Scalar(values)) => self.with_scalar(binary, series, &values, false, span),
            (Output::Scalar(values), Output::Vector(series)) => self.with_scalar(binary, series, &values, true, span),
            (Output::Vector(lhs), Output::Vector(rhs)) => {
                let Some(matching) = &binary.matching else { return fault("vectors without matching") };
                let out = if op.is_set() {
                    set(op, lhs, rhs, matching, steps)
                } else {
                    self.match_vectors(binary, matching, lhs, rhs, steps)?
                };
                self.merge_same(out).map(Output::Vector)
            }
            _ => fault("binary expression must contain only scalar and instant vector types"),
        }
    }

    fn with_scalar(
        &mut self,
        binary: &Binary,
        mut series: Vec<Series>,
        values: &[f64],
        swapped: bool,
        span: Span,
    ) -> Result<Output> {
        let op = binary.op;
        for own in &mut series {
            for (point, value) in own.points.iter_mut().zip(values) {
                if !point.is_some() {
                    continue;
                }
                let scalar = Point::Float(*value);
                let (a, b) = if swapped { (&scalar, &*point) } else { (&*point, &scalar) };
                let Some(mut made) = self.make(op, a, b, span) else {
                    *point = Point::None;
                    continue;
                };
                if op.compares() && swapped {
                    made.point = point.clone();
                }
                *point = if binary.return_bool {
                    Point::Float(f64::from(made.keep))
                } else if made.keep {
                    made.point
                } else {
                    Point::None
                };
            }
            if op.changes_metric() || binary.return_bool {
                self.drop_name(own);
            }
        }
        series.retain(|own| own.points.iter().any(Point::is_some));
        self.merge_same(series).map(Output::Vector)
    }

    /// An operator between two points; nothing where they do not go together, which is told.
    fn make(&mut self, op: BinaryOp, a: &Point, b: &Point, span: Span) -> Option<Made> {
        let kept = |point| Some(Made { point, keep: true });
        match (a, b) {
            (Point::Float(a), Point::Float(b)) if op.compares() => {
                Some(Made { point: Point::Float(*a), keep: holds(op, *a, *b) })
            }
            (Point::Float(a), Point::Float(b)) if op.changes_metric() => kept(Point::Float(arithmetic(op, *a, *b))),
            (Point::Float(a), Point::Histogram(b)) if op == BinaryOp::Mul => {
                kept(Point::histogram(Histogram::clone(b).scaled(*a).compact()))
            }
            (Point::Histogram(a), Point::Float(b)) if op == BinaryOp::Mul => {
                kept(Point::histogram(Histogram::clone(a).scaled(*b).compact()))
            }
            (Point::Histogram(a), Point::Float(b)) if op == BinaryOp::Div => {
                kept(Point::histogram(Histogram::clone(a).divided(*b).compact()))
            }
            (Point::Histogram(a), Point::Float(b)) if matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower) => {
                kept(Point::histogram(Histogram::clone(a).trimmed(*b, op == BinaryOp::TrimUpper)))
            }
            (Point::Histogram(a), Point::Histogram(b)) if matches!(op, BinaryOp::Add | BinaryOp::Sub) => {
                self.add_histograms(op, a, b, span)
            }
            (Point::Histogram(own), Point::Histogram(b)) if matches!(op, BinaryOp::Equal | BinaryOp::NotEqual) => {
                Some(Made { point: a.clone(), keep: own.equals(b) == (op == BinaryOp::Equal) })
            }
            (a, b) => {
                let kind = |point: &Point| if matches!(point, Point::Histogram(_)) { "histogram" } else { "float" };
                let (symbol, a, b) = (op.symbol(), kind(a), kind(b));
                let what = "incompatible sample types encountered for binary operator";
                self.annotations.info(span, format!("{what} \"{symbol}\": {a} {symbol} {b}"));
                None
            }
        }
    }

    fn add_histograms(&mut self, op: BinaryOp, a: &Histogram, b: &Histogram, span: Span) -> Option<Made> {
        let (outcome, operation) =
            if op == BinaryOp::Add { (a.plus(b), "addition") } else { (a.minus(b), "subtraction") };
        let (mut sum, facts) = match outcome {
            Ok(outcome) => outcome,
            Err(Incompatible) => {
                let what = "incompatible bucket layout encountered for binary operator";
                self.annotations.warn(span, format!("{what} {}", op.symbol()));
                return None;
            }
        };
        if op == BinaryOp::Sub {
            sum.hint = ResetHint::Gauge;
        }
        if facts.hints_collide {
            self.annotations.hints_collide(span, operation);
        } else if facts.bounds_reconciled {
            self.annotations.reconciled(span, operation);
        }
        Some(Made { point: Point::histogram(sum), keep: true })
    }

    /// One side's series with those of the other that match.
    fn match_vectors(
        &mut self,
        binary: &Binary,
        matching: &Matching,
        lhs: Vec<Series>,
        rhs: Vec<Series>,
        steps: &Steps,
    ) -> Result<Vec<Series>> {
        // The right side is the one of which at most one series may match.
        let swapped = matching.cardinality == Cardinality::OneToMany;
        let (many, one) = if swapped { (rhs, lhs) } else { (lhs, rhs) };
        let (fill_many, fill_one) =
            if swapped { (matching.fill_right, matching.fill_left) } else { (matching.fill_left, matching.fill_right) };
        let signature = |series: &Series| signature(&series.labels, matching);
        let mut ones: HashMap<Labels, Vec<usize>> = HashMap::new();
        for (at, own) in one.iter().enumerate() {
            ones.entry(signature(own)).or_default().push(at);
        }
        let mut pairs: Vec<(Labels, Vec<usize>, Option<usize>)> = Vec::new();
        let mut places: HashMap<Labels, usize> = HashMap::new();
        for (at, own) in many.iter().enumerate() {
            let key = signature(own);
            let place = *places.entry(key.clone()).or_insert_with(|| {
                pairs.push((key, Vec::new(), None));
                pairs.len() - 1
            });
            pairs[place].1.push(at);
        }
        if fill_many.is_some() {
            for own in &one {
                let key = signature(own);
                places.entry(key.clone()).or_insert_with(|| {
                    pairs.push((key, Vec::new(), None));
                    pairs.len() - 1
                });
            }
        }
        self.charge_cells(many.len().max(one.len()), steps)?;
        let mut out = Joined { series: Vec::new(), places: HashMap::new(), steps: steps.count };
        let context = Context { binary, matching, swapped, fills: (fill_many, fill_one) };
        for (key, group, _) in pairs {
            let others = ones.get(&key).map_or(&[][..], Vec::as_slice);
            for step in 0..steps.count {
                self.match_step(&context, (&many, &group), (&one, others), &key, step, &mut out)?;
            }
        }
        // As the left side has them; what was filled in comes last.
        Ok(out.series)
    }

    fn match_step(
        &mut self,
        context: &Context<'_>,
        (many, group): (&[Series], &[usize]),
        (one, others): (&[Series], &[usize]),
        key: &Labels,
        step: usize,
        out: &mut Joined,
    ) -> Result<()> {
        let mut present = others.iter().map(|at| &one[*at]).filter(|own| own.points[step].is_some());
        let found = present.next();
        if let (Some(first), Some(second)) = (found, present.next()) {
            let side = if context.swapped { "left" } else { "right" };
            let (mut a, mut b) = (first.labels.to_string(), second.labels.to_string());
            if a > b {
                std::mem::swap(&mut a, &mut b);
            }
            return fault(format!(
                "found duplicate series for the match group {key} on the {side} hand-side of the operation: [{a}, {b}];many-to-many matching not allowed: matching labels must be unique on one side"
            ));
        }
        let filled = |value: f64| (key.clone(), Point::Float(value));
        let mut matched = false;
        for own in group.iter().map(|at| &many[*at]) {
            if !own.points[step].is_some() {
                continue;
            }
            let other = match (found, context.fills.1) {
                (Some(found), _) => (found.labels.clone(), found.points[step].clone()),
                (None, Some(value)) => filled(value),
                (None, None) => continue,
            };
            let own = (own.labels.clone(), own.points[step].clone());
            matched |= self.join(context, &own, &other, matched, step, out)?;
        }
        if let (false, Some(found), Some(value)) = (matched, found, context.fills.0) {
            let other = (found.labels.clone(), found.points[step].clone());
            self.join(context, &filled(value), &other, false, step, out)?;
        }
        Ok(())
    }

    /// Two points that match: what comes of them goes into the output. False where they do not go together.
    fn join(
        &mut self,
        context: &Context<'_>,
        own: &(Labels, Point),
        other: &(Labels, Point),
        matched: bool,
        step: usize,
        out: &mut Joined,
    ) -> Result<bool> {
        let binary = context.binary;
        let span = Span { start: binary.lhs.span().start, end: binary.rhs.span().end };
        let (a, b) = if context.swapped { (&other.1, &own.1) } else { (&own.1, &other.1) };
        let Some(made) = self.make(binary.op, a, b, span) else { return Ok(false) };
        let one_to_one = context.matching.cardinality == Cardinality::OneToOne;
        if one_to_one && matched {
            return fault(
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
            );
        }
        let rename = !self.options.delayed_name_removal && binary.return_bool;
        let labels = result_labels(&own.0, &other.0, context, rename);
        let place = out.place(labels, binary.return_bool);
        let point = if binary.return_bool {
            Point::Float(f64::from(made.keep))
        } else if made.keep {
            made.point
        } else {
            // It counts as matched: another at its place is an error all the same.
            Point::None
        };
        let slot = &mut out.series[place];
        if !one_to_one && out.steps > 0 && slot.points[step].is_some() {
            return fault("multiple matches for labels: grouping labels must ensure unique matches");
        }
        if point.is_some() {
            if slot.points[step].is_some() {
                return fault("vector cannot contain metrics with the same labelset");
            }
            slot.points[step] = point;
        }
        Ok(true)
    }
}

struct Context<'a> {
    binary: &'a Binary,
    matching: &'a Matching,
    swapped: bool,
    /// What a series counts as that the many side lacks, and that the one side lacks.
    fills: (Option<f64>, Option<f64>),
}

/// Series that come out of a match.
struct Joined {
    series: Vec<Series>,
    places: HashMap<Labels, usize>,
    steps: usize,
}

impl Joined {
    fn place(&mut self, labels: Labels, drop_name: bool) -> usize {
        let next = self.series.len();
        let place = *self.places.entry(labels.clone()).or_insert(next);
        if place == next {
            self.series.push(Series { labels, drop_name, points: vec![Point::None; self.steps] });
        }
        place
    }
}

/// The labels that two series have to share.
fn signature(labels: &Labels, matching: &Matching) -> Labels {
    if matching.on { labels.only(&matching.labels) } else { labels.without_metadata().without(&matching.labels) }
}

fn result_labels(own: &Labels, other: &Labels, context: &Context<'_>, rename: bool) -> Labels {
    let matching = context.matching;
    let mut labels = own.clone();
    if rename || context.binary.op.changes_metric() {
        labels = labels.without_metadata();
    }
    if matching.cardinality == Cardinality::OneToOne {
        labels = if matching.on { labels.only(&matching.labels) } else { labels.without(&matching.labels) };
    }
    for name in &matching.include {
        labels = labels.with(name, other.get(name));
    }
    labels
}

/// `and`, `or` and `unless`, step by step.
fn set(op: BinaryOp, mut lhs: Vec<Series>, mut rhs: Vec<Series>, matching: &Matching, steps: &Steps) -> Vec<Series> {
    let presence = |series: &[Series]| {
        let mut all: HashMap<Labels, Vec<bool>> = HashMap::new();
        for own in series {
            let slots = all.entry(signature(&own.labels, matching)).or_insert_with(|| vec![false; steps.count]);
            for (slot, point) in slots.iter_mut().zip(&own.points) {
                *slot |= point.is_some();
            }
        }
        all
    };
    let mask = |series: &mut Vec<Series>, other: &HashMap<Labels, Vec<bool>>, want: bool| {
        for own in series.iter_mut() {
            let there = other.get(&signature(&own.labels, matching));
            for (at, point) in own.points.iter_mut().enumerate() {
                if there.is_some_and(|slots| slots[at]) != want {
                    *point = Point::None;
                }
            }
        }
        series.retain(|own| own.points.iter().any(Point::is_some));
    };
    match op {
        BinaryOp::And => mask(&mut lhs, &presence(&rhs), true),
        BinaryOp::Unless => mask(&mut lhs, &presence(&rhs), false),
        _ => {
            mask(&mut rhs, &presence(&lhs), false);
            lhs.append(&mut rhs);
        }
    }
    lhs
}
