//! What there is: series, labels and their values, metadata.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::Uri;
use prometheus::{NamedAs, Translation, unit_name};
use promql::ast::Expr;
use promql::{Labels, Matcher, NAME, parse};
use serde_json::{Map, Value, json};
use store::query::{Label, QueryError, Scoped, TimeRange};

use super::answer::{self, Answer, Failure, success};
use super::naming::{self, DEVICE, PROMOTED, TARGET_INFO};
use super::params::Params;
use super::source::{StoreSource, range as store_range};
use crate::app::App;
use crate::json::rows;

/// The time without `start` and `end`: a day.
const DEFAULT_MS: i64 = 86_400_000;

/// The conditions of `match[]`, one list for each.
fn matches(params: &Params) -> Result<Vec<Vec<Matcher>>, Failure> {
    params
        .all("match[]")
        .into_iter()
        .map(|text| {
            let invalid = |what: String| Failure::bad_data(format!("invalid parameter \"match[]\": {what}"));
            match parse(text).map_err(|error| invalid(error.to_string()))? {
                Expr::Vector(selector) => Ok(selector.matchers),
                _ => Err(invalid(format!("{} is no selector of series", promql::quote(text)))),
            }
        })
        .collect()
}

fn found(store: Scoped<'_>, matches: &[Vec<Matcher>], time: TimeRange) -> Result<BTreeSet<Labels>, QueryError> {
    let source = StoreSource::new(store);
    let mut out = BTreeSet::new();
    for matchers in matches {
        out.extend(source.find(matchers, time)?.into_keys());
    }
    Ok(out)
}

fn limited(mut all: Vec<Value>, limit: usize) -> (Vec<Value>, Vec<String>) {
    let cut = all.len() > limit;
    all.truncate(limit);
    (all, cut_warning(cut))
}

fn cut_warning(cut: bool) -> Vec<String> {
    if cut { vec!["results truncated due to limit".into()] } else { Vec::new() }
}

pub(super) async fn series(State(app): State<Arc<App>>, params: Params) -> Answer {
    let matches = matches(&params)?;
    if matches.is_empty() {
        return Err(Failure::bad_data("no match[] parameter provided"));
    }
    let (start, end) = params.range(DEFAULT_MS)?;
    let limit = params.limit()?;
    let answer = app.query(params.scope(), move |store| {
        let all = found(store, &matches, store_range(start, end))?;
        let warnings = cut_warning(all.len() > limit);
        Ok::<_, QueryError>(success(rows(all.iter().take(limit).map(answer::metric)), warnings, Vec::new()))
    });
    Ok(answer.await??)
}

/// The names of all metrics, as far as the list of metrics tells.
fn metric_names(store: Scoped<'_>, time: TimeRange) -> BTreeSet<String> {
    let mut out: BTreeSet<String> = BTreeSet::new();
    let metrics = store.metrics(time);
    let some = !metrics.is_empty();
    for metric in metrics {
        let names = naming::possible_names(&metric.name, &metric.unit, metric.kind, Translation::default());
        // Of a sum the first is that of one which only grows, the other that of one which does not.
        let (skip, take) = if metric.kind == "sum" { (usize::from(!metric.monotonic), 1) } else { (0, names.len()) };
        out.extend(names.into_iter().skip(skip).take(take));
    }
    if some {
        out.insert(TARGET_INFO.into());
    }
    out
}

/// All labels, without looking at series.
fn label_names(store: Scoped<'_>, time: TimeRange) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    let mut name = String::new();
    let mut add = |key: &str, out: &mut BTreeSet<String>| {
        if Translation::default().label_name(key, &mut name) {
            out.insert(name.clone());
        }
    };
    for label in store.metric_labels(time) {
        match label {
            Label::Name => drop(out.insert(NAME.into())),
            Label::Device => drop(out.insert(DEVICE.into())),
            Label::Attribute(key) => add(&key, &mut out),
            Label::Resource(key) => match key.as_str() {
                "service.name" => drop(out.insert("job".into())),
                "service.instance.id" => drop(out.insert("instance".into())),
                // Those of `target_info` too.
                _ => add(&key, &mut out),
            },
        }
    }
    if store.metrics(time).iter().any(|metric| metric.kind == "histogram") {
        out.insert(promql::BUCKET.into());
    }
    out
}

pub(super) async fn labels(State(app): State<Arc<App>>, params: Params) -> Answer {
    let matches = matches(&params)?;
    let (start, end) = params.range(DEFAULT_MS)?;
    let limit = params.limit()?;
    let names = app.query(params.scope(), move |store| {
        let time = store_range(start, end);
        if matches.is_empty() {
            return Ok::<_, QueryError>(label_names(store, time));
        }
        let found = found(store, &matches, time)?;
        Ok(found.iter().flat_map(|labels| labels.iter().map(|(name, _)| name.to_owned())).collect())
    });
    let (data, warnings) = limited(names.await??.into_iter().map(Value::from).collect(), limit);
    Ok(success(data, warnings, Vec::new()))
}

/// A label's name as Prometheus writes one that is none of its own into an address: `U__service_2e_name`.
fn unescaped(name: &str) -> String {
    let Some(escaped) = name.strip_prefix("U__") else { return name.to_owned() };
    let mut out = String::new();
    let mut rest = escaped;
    while let Some(at) = rest.find('_') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(more) = rest.strip_prefix('_') {
            out.push('_');
            rest = more;
            continue;
        }
        let Some((code, more)) = rest.split_once('_') else { return name.to_owned() };
        let Some(c) = u32::from_str_radix(code, 16).ok().and_then(char::from_u32) else { return name.to_owned() };
        out.push(c);
        rest = more;
    }
    out + rest
}

/// The values of a label without looking at series, where one attribute makes it.
fn values_of(store: Scoped<'_>, name: &str, time: TimeRange) -> Option<BTreeSet<String>> {
    if name == NAME {
        return Some(metric_names(store, time));
    }
    if matches!(name, "job" | "instance" | promql::BUCKET | "quantile" | DEVICE) {
        return None;
    }
    let mut translated = String::new();
    let mut becomes = |key: &str| Translation::default().label_name(key, &mut translated) && translated == name;
    let known = store.metric_labels(time);
    let mut keys = known.iter().filter(|label| match label {
        Label::Attribute(key) => becomes(key),
        Label::Resource(key) => PROMOTED.contains(&key.as_str()) && becomes(key),
        Label::Name | Label::Device => false,
    });
    let (first, second) = (keys.next()?, keys.next());
    second.is_none().then(|| store.metric_label_values(first, time))
}

pub(super) async fn values(State(app): State<Arc<App>>, Path(name): Path<String>, params: Params) -> Answer {
    let name = unescaped(&name);
    let mut matches = matches(&params)?;
    let (start, end) = params.range(DEFAULT_MS)?;
    let limit = params.limit()?;
    let values = app.query(params.scope(), move |store| {
        let time = store_range(start, end);
        if matches.is_empty() {
            if let Some(values) = values_of(store, &name, time) {
                return Ok::<_, QueryError>(values);
            }
            let any = Matcher::new(&name, promql::MatchOp::NotEqual, "");
            matches.push(any.into_iter().collect());
        }
        let found = found(store, &matches, time)?;
        let values = found.iter().map(|labels| labels.get(&name).to_owned()).filter(|value| !value.is_empty());
        Ok(values.collect())
    });
    let (data, warnings) = limited(values.await??.into_iter().map(Value::from).collect(), limit);
    Ok(success(data, warnings, Vec::new()))
}

pub(super) async fn metadata(State(app): State<Arc<App>>, params: Params) -> Answer {
    let wanted = params.get("metric").map(str::to_owned);
    let (start, end) = params.range(DEFAULT_MS)?;
    let limit = params.limit()?;
    let all = app.query(params.scope(), move |store| {
        let time = store_range(start, end);
        let mut out: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for metric in store.metrics(time) {
            let (named, kind) = match metric.kind {
                "sum" if metric.monotonic => (NamedAs::Counter, "counter"),
                "sum" => (NamedAs::Other, "gauge"),
                "gauge" => (NamedAs::Gauge, "gauge"),
                "summary" => (NamedAs::Other, "summary"),
                _ => (NamedAs::Other, "histogram"),
            };
            let name = Translation::default().metric_name(&metric.name, &metric.unit, named);
            let Some(name) = name.filter(|name| wanted.as_ref().is_none_or(|wanted| wanted == name)) else { continue };
            let entry = json!({"type": kind, "help": metric.description, "unit": unit_name(&metric.unit)});
            out.entry(name).or_default().push(entry);
        }
        out
    });
    let data: Map<String, Value> = all.await?.into_iter().take(limit).map(|(name, all)| (name, all.into())).collect();
    Ok(success(data, Vec::new(), Vec::new()))
}

pub(super) async fn build(State(_): State<Arc<App>>) -> Answer {
    // A version of Prometheus that has what is here; no features, by which other stores are told apart.
    let data = json!({
        "version": "3.16.0",
        "revision": "",
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
        "application": format!("lightship-hub {}", env!("CARGO_PKG_VERSION")),
    });
    Ok(success(data, Vec::new(), Vec::new()))
}

pub(super) async fn rules(State(_): State<Arc<App>>) -> Answer {
    Ok(success(json!({"groups": []}), Vec::new(), Vec::new()))
}

pub(super) async fn alerts(State(_): State<Arc<App>>) -> Answer {
    Ok(success(json!({"alerts": []}), Vec::new(), Vec::new()))
}

pub(super) async fn no_such_path(uri: Uri) -> Failure {
    Failure::not_found(format!("{} is not part of this API; docs/hub-api.md lists what is", uri.path()))
}

#[cfg(test)]
mod tests {
    use super::unescaped;

    /// Scenario: names of labels in an address. Promise: escaped ones are read as Prometheus reads them.
    #[test]
    fn names_in_addresses() {
        assert_eq!(unescaped("job"), "job");
        assert_eq!(unescaped("U__service_2e_name"), "service.name");
        assert_eq!(unescaped("U__a__b_20ac_"), "a_b\u{20ac}");
        assert_eq!(unescaped("U__a_zz_"), "U__a_zz_");
    }
}
