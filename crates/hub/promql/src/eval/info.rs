//! `info`: labels of an info metric, joined to the series of the same job and instance.

use super::Evaluator;
use super::select::Reference;
use crate::labels::{Labels, NAME, is_metadata};
use crate::matcher::{MatchOp, Matcher};
use crate::points::{Point, Result, Series, Steps, fault};
use crate::syntax::ast::{Call, Expr};
use std::collections::{BTreeMap, BTreeSet, HashMap};

const TARGET_INFO: &str = "target_info";
const INSTANCE: &str = "instance";
const JOB: &str = "job";

/// Conditions on the name of info metrics; by default `target_info`.
fn name_matchers(own: Vec<Matcher>) -> Result<Vec<Matcher>> {
    if own.is_empty() {
        return Ok(vec![Matcher::equal(NAME, TARGET_INFO)]);
    }
    if own.iter().any(|matcher| matches!(matcher.op, MatchOp::Equal | MatchOp::Regex)) {
        return Ok(own);
    }
    let all = Matcher::new(NAME, MatchOp::Regex, ".+_info").or_else(fault)?;
    Ok([all].into_iter().chain(own).collect())
}

/// The times that selectors of an expression look at, where they all look at the same.
struct References {
    first: Option<(Option<i64>, i64)>,
    uniform: bool,
    free: bool,
}

impl Evaluator<'_> {
    pub(super) fn info(&mut self, call: &Call, steps: &Steps) -> Result<Vec<Series>> {
        let Some(base) = call.args.first() else { return fault("info lacks an argument") };
        let series = self.vector(base, steps)?;
        let mut names = Vec::new();
        let mut data: BTreeMap<&str, Vec<Matcher>> = BTreeMap::new();
        if let Some(Expr::Vector(selector)) = call.args.get(1).map(Expr::bare) {
            for matcher in &selector.matchers {
                if matcher.name == NAME {
                    names.push(matcher.clone());
                } else {
                    data.entry(&matcher.name).or_default().push(matcher.clone());
                }
            }
        }
        let names = name_matchers(names)?;
        let ignored: Vec<bool> =
            series.iter().map(|own| names.iter().all(|matcher| matcher.matches(own.labels.name()))).collect();
        let reference = self.info_reference(base)?;
        let mut infos = Vec::new();
        for identity in identities(&series, &ignored)? {
            let mut matchers = identity;
            matchers.extend(data.values().flatten().cloned());
            matchers.extend(names.iter().cloned());
            infos.extend(self.sample_origins(&matchers, reference, steps)?);
        }
        let out = self.join_infos(&series, &ignored, &infos, &data, steps)?;
        self.merge_same(out)
    }

    /// When info metrics are looked at: as the selectors inside, where these agree.
    fn info_reference(&self, base: &Expr) -> Result<Reference> {
        let mut found = References { first: None, uniform: true, free: false };
        self.inspect(base, (None, 0), &mut found)?;
        match found.first {
            Some((fixed, offset)) if found.uniform && !found.free => Ok(Reference { fixed, offset }),
            _ => Ok(Reference { fixed: None, offset: 0 }),
        }
    }

    /// Whether there is a selector in an expression; notes what each looks at.
    fn inspect(&self, expr: &Expr, around: (Option<i64>, i64), found: &mut References) -> Result<bool> {
        let selector = match expr {
            Expr::Vector(selector) => Some(selector),
            Expr::Matrix(matrix) => Some(&matrix.selector),
            _ => None,
        };
        if let Some(selector) = selector {
            let own = self.fixed(selector.at);
            let mut reference = (own, self.length(&selector.offset, true)?);
            if own.is_none() {
                reference = (around.0, reference.1.saturating_add(around.1));
            }
            let same = |a: (Option<i64>, i64), b: (Option<i64>, i64)| match (a.0, b.0) {
                (Some(x), Some(y)) => x.saturating_sub(a.1) == y.saturating_sub(b.1),
                (None, None) => a.1 == b.1,
                _ => false,
            };
            match found.first {
                None => found.first = Some(reference),
                Some(first) if !same(first, reference) => found.uniform = false,
                Some(_) => {}
            }
            return Ok(true);
        }
        use crate::syntax::ast::ValueType::{Matrix, Vector};
        if !matches!(expr.value_type(), Vector | Matrix) {
            return Ok(false);
        }
        let mut inside = around;
        if let Expr::Subquery(subquery) = expr {
            let offset = self.length(&subquery.offset, true)?;
            let fixed = self.fixed(subquery.at);
            inside = if fixed.is_some() { (fixed, offset) } else { (around.0, around.1.saturating_add(offset)) };
        }
        if let Expr::Call(call) = expr
            && call.function.name == "info"
            && let Some(first) = call.args.first()
        {
            return self.inspect(first, inside, found);
        }
        let mut any = false;
        for child in expr.children() {
            any |= self.inspect(child, inside, found)?;
        }
        found.free |= !any;
        Ok(any)
    }

    fn join_infos(
        &mut self,
        series: &[Series],
        ignored: &[bool],
        infos: &[Series],
        data: &BTreeMap<&str, Vec<Matcher>>,
        steps: &Steps,
    ) -> Result<Vec<Series>> {
        let identity = |labels: &Labels| labels.only(&[INSTANCE.to_owned(), JOB.to_owned()]);
        let mut by_identity: HashMap<Labels, Vec<usize>> = HashMap::new();
        for (at, info) in infos.iter().enumerate() {
            by_identity.entry(identity(&info.labels)).or_default().push(at);
        }
        let needed = data.values().flatten().any(|matcher| !matcher.matches(""));
        let mut out: Vec<Series> = Vec::new();
        let mut places: HashMap<Labels, usize> = HashMap::new();
        for (own, ignored) in series.iter().zip(ignored) {
            let around = by_identity.get(&identity(&own.labels)).map_or(&[][..], Vec::as_slice);
            for (step, point) in own.points.iter().enumerate().filter(|(_, point)| point.is_some()) {
                let mut labels = own.labels.clone();
                if !ignored {
                    let chosen = newest(infos, around, step)?;
                    if chosen.is_empty() && needed {
                        continue;
                    }
                    labels = joined(&own.labels, &chosen, data)?;
                }
                let place = match places.get(&labels) {
                    Some(place) => *place,
                    None => {
                        self.charge_cells(1, steps)?;
                        let points = vec![Point::None; steps.count];
                        out.push(Series { labels: labels.clone(), drop_name: own.drop_name, points });
                        places.insert(labels, out.len() - 1);
                        out.len() - 1
                    }
                };
                if out[place].points[step].is_some() {
                    return fault("vector cannot contain metrics with the same labelset");
                }
                out[place].points[step] = point.clone();
            }
        }
        Ok(out)
    }
}

/// Of each info metric the series with the newest sample at a step.
fn newest<'a>(infos: &'a [Series], around: &[usize], step: usize) -> Result<Vec<&'a Labels>> {
    let mut best: BTreeMap<&str, (f64, &Labels)> = BTreeMap::new();
    for info in around.iter().map(|at| &infos[*at]) {
        let Point::Float(time) = info.points[step] else { continue };
        let own = (time, &info.labels);
        match best.get(info.labels.name()) {
            Some((other, labels)) if *other == time => {
                return fault(format!(
                    "found duplicate series for info metric: existing {labels} @ {other}, new {} @ {time}",
                    info.labels
                ));
            }
            Some((other, _)) if *other > time => {}
            _ => {
                best.insert(info.labels.name(), own);
            }
        }
    }
    Ok(best.into_values().map(|(_, labels)| labels).collect())
}

/// A series' labels with those of info metrics that it does not have.
fn joined(own: &Labels, infos: &[&Labels], data: &BTreeMap<&str, Vec<Matcher>>) -> Result<Labels> {
    let mut more: BTreeMap<&str, &str> = BTreeMap::new();
    for info in infos {
        for (name, value) in info.iter().filter(|(name, _)| !is_metadata(name)) {
            if !data.is_empty() && !data.contains_key(name) {
                continue;
            }
            if more.get(name).is_some_and(|other| *other != value) {
                return fault(format!("conflicting label: {name}"));
            }
            if own.get(name).is_empty() {
                more.insert(name, value);
            }
        }
    }
    Ok(Labels::new(own.iter().chain(more)))
}

/// Conditions that find the info series of all series, by which of job and instance these have.
fn identities(series: &[Series], ignored: &[bool]) -> Result<Vec<Vec<Matcher>>> {
    let mut groups: BTreeMap<(bool, bool), [BTreeSet<&str>; 2]> = BTreeMap::new();
    for (own, _) in series.iter().zip(ignored).filter(|(_, ignored)| !**ignored) {
        let values = [own.labels.get(INSTANCE), own.labels.get(JOB)];
        let key = (!values[0].is_empty(), !values[1].is_empty());
        if key != (false, false) {
            let group = groups.entry(key).or_default();
            for (set, value) in group.iter_mut().zip(values) {
                set.insert(value);
            }
        }
    }
    let mut out = Vec::with_capacity(groups.len());
    for group in groups.into_values() {
        let mut matchers = Vec::with_capacity(2);
        for (name, values) in [INSTANCE, JOB].into_iter().zip(group) {
            let any: Vec<String> = values.into_iter().map(regex::escape).collect();
            matchers.push(Matcher::new(name, MatchOp::Regex, &any.join("|")).or_else(fault)?);
        }
        out.push(matchers);
    }
    Ok(out)
}
