//! Fields of the newest lines: their structured metadata, and what JSON or logfmt make of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Path, State};
use logql::{LogQuery, Order, detect, evaluate_logs, parse_bytes, parse_duration, parse_logs};
use model::Signal;
use serde_json::{Value, json};

use super::answer::{Answer, Failure, told};
use super::params::Params;
use super::queries::options;
use super::source::StoreLogs;
use crate::app::App;
use crate::clock;

/// Lines that are looked at without `line_limit`, and the most of it.
const LINES: usize = 100;
const MAX_LINES: usize = 5000;
/// Fields, and values of one, without `limit`.
const LIMIT: usize = 1000;

#[derive(Default)]
struct Field {
    values: BTreeSet<String>,
    parsers: BTreeSet<&'static str>,
}

/// What the values of a field are like.
fn kind(values: &BTreeSet<String>) -> &'static str {
    let all = |is: fn(&str) -> bool| values.iter().all(|value| is(value));
    if all(|value| value.parse::<i64>().is_ok()) {
        "int"
    } else if all(|value| value.parse::<f64>().is_ok()) {
        "float"
    } else if all(|value| matches!(value, "true" | "false")) {
        "boolean"
    } else if all(|value| parse_duration(value).is_some()) {
        "duration"
    } else if all(|value| parse_bytes(value).is_some()) {
        "bytes"
    } else {
        "string"
    }
}

/// Finds the fields of the lines of `query`, and makes an answer of them.
async fn of_lines(
    app: Arc<App>,
    params: Params,
    make: impl FnOnce(&BTreeMap<String, Field>, usize) -> Value + Send + 'static,
) -> Answer {
    let times = params.times()?;
    let expr = parse_logs(params.query()?)?;
    let limit = params.number("limit", LIMIT, LIMIT)?;
    let lines = params.number("line_limit", LINES, MAX_LINES)?;
    let query = LogQuery { from: times.start, to: times.end.saturating_add(1), order: Order::Backward, limit: lines };
    let answer = app.query(params.scope(), move |store| {
        let found = evaluate_logs(&StoreLogs(store), &expr, query, &options())?;
        let mut fields: BTreeMap<String, Field> = BTreeMap::new();
        for entry in &found.entries {
            let mut add = |name: &str, value: &str, parser: Option<&'static str>| {
                if !name.starts_with("__") {
                    let field = fields.entry(name.to_owned()).or_default();
                    field.values.insert(value.to_owned());
                    field.parsers.extend(parser);
                }
            };
            entry.metadata.iter().for_each(|(name, value)| add(name, value, None));
            entry.made.iter().for_each(|(name, value)| add(name, value, None));
            if let Some((parser, pairs)) = detect(&entry.line) {
                pairs.iter().for_each(|(name, value)| add(name, value, Some(parser)));
            }
        }
        let completeness = store.completeness(&[Signal::Logs], times.closed(), clock::now_ns());
        Ok::<_, Failure>(told(&make(&fields, limit), &completeness))
    });
    answer.await?
}

/// `GET|POST /loki/api/v1/detected_fields`.
pub(super) async fn fields(State(app): State<Arc<App>>, params: Params) -> Answer {
    let make = |fields: &BTreeMap<String, Field>, limit: usize| {
        let field = |(name, own): (&String, &Field)| {
            let parsers = if own.parsers.is_empty() { Value::Null } else { json!(own.parsers) };
            json!({"label": name, "type": kind(&own.values), "cardinality": own.values.len(), "parsers": parsers})
        };
        json!({"fields": fields.iter().take(limit).map(field).collect::<Value>(), "limit": limit})
    };
    of_lines(app, params, make).await
}

/// `GET|POST /loki/api/v1/detected_field/{name}/values`.
pub(super) async fn values(State(app): State<Arc<App>>, Path(name): Path<String>, params: Params) -> Answer {
    let make = move |fields: &BTreeMap<String, Field>, limit: usize| {
        let values: Vec<&String> = fields.get(&name).into_iter().flat_map(|own| &own.values).take(limit).collect();
        json!({"values": values, "limit": limit})
    };
    of_lines(app, params, make).await
}
