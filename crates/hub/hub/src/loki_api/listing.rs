//! Labels, their values and streams: of blocks that overlap the time, of which no record is read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Path, State};
use logql::{Labels, Matcher};
use model::Signal;
use serde_json::{Value, json};
use store::query::{Scoped, TimeRange, hold};

use super::answer::{self, Answer, success, told};
use super::params::Params;
use super::source::{Streams, fits};
use crate::app::App;
use crate::clock;

/// What a stream or a value of an answer takes beside its text.
const ENTRY_BYTES: usize = 128;

/// Streams of a time, each once, that fulfil one of the selectors (none: all).
pub(super) fn streams(store: Scoped<'_>, range: TimeRange, selectors: &[Vec<Matcher>]) -> BTreeSet<Labels> {
    let mut known = Streams::default();
    let mut found = BTreeSet::new();
    store.log_groups(range, |group| {
        group.origins.iter().all(|origin| {
            let stream = known.of(origin);
            let is_asked = selectors.is_empty() || selectors.iter().any(|own| fits(&stream, own));
            if !is_asked || found.contains(&stream.labels) {
                return true;
            }
            let text: usize = stream.labels.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
            found.insert(stream.labels.clone()) && hold(ENTRY_BYTES + text)
        })
    });
    found
}

async fn of_streams<T: serde::Serialize>(
    app: Arc<App>,
    params: Params,
    make: impl FnOnce(&BTreeSet<Labels>) -> T + Send + 'static,
) -> Answer {
    let (range, selectors) = (params.times()?.closed(), params.selectors()?);
    let answer = app.query(params.scope(), move |store| {
        let found = streams(store, range, &selectors);
        let completeness = store.completeness(&[Signal::Logs], range, clock::now_ns());
        told(&make(&found), &completeness)
    });
    Ok(answer.await?)
}

/// `GET|POST /loki/api/v1/labels`.
pub(super) async fn labels(State(app): State<Arc<App>>, params: Params) -> Answer {
    let names = |found: &BTreeSet<Labels>| {
        let names: BTreeSet<&str> = found.iter().flat_map(|labels| labels.iter().map(|(name, _)| name)).collect();
        success(json!(names), Vec::new())
    };
    of_streams(app, params, names).await
}

/// `GET|POST /loki/api/v1/label/{name}/values`.
pub(super) async fn values(State(app): State<Arc<App>>, Path(name): Path<String>, params: Params) -> Answer {
    let values = move |found: &BTreeSet<Labels>| {
        let values: BTreeSet<&str> = found.iter().map(|labels| labels.get(&name)).filter(|v| !v.is_empty()).collect();
        success(json!(values), Vec::new())
    };
    of_streams(app, params, values).await
}

/// `GET|POST /loki/api/v1/series`.
pub(super) async fn series(State(app): State<Arc<App>>, params: Params) -> Answer {
    let all = |found: &BTreeSet<Labels>| success(found.iter().map(answer::metric).collect::<Value>(), Vec::new());
    of_streams(app, params, all).await
}

/// `GET|POST /loki/api/v1/detected_labels`.
pub(super) async fn detected_labels(State(app): State<Arc<App>>, params: Params) -> Answer {
    let counted = |found: &BTreeSet<Labels>| {
        let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (name, value) in found.iter().flat_map(Labels::iter) {
            values.entry(name).or_default().insert(value);
        }
        let one = |(name, values): (&&str, &BTreeSet<&str>)| json!({"label": name, "cardinality": values.len()});
        json!({"detectedLabels": values.iter().map(one).collect::<Value>()})
    };
    of_streams(app, params, counted).await
}

/// `GET|POST /loki/api/v1/index/stats`: about as much as a query would look at. Blocks that hold a stream that is asked for count as a
/// whole.
pub(super) async fn stats(State(app): State<Arc<App>>, params: Params) -> Answer {
    let (range, selectors) = (params.times()?.closed(), params.selectors()?);
    let answer = app.query(params.scope(), move |store| {
        let mut known = Streams::default();
        let mut found = BTreeSet::new();
        let (mut groups, mut entries, mut bytes) = (0_u64, 0_u64, 0_u64);
        store.log_groups(range, |group| {
            let mut is_asked = false;
            for origin in group.origins {
                let stream = known.of(origin);
                if selectors.is_empty() || selectors.iter().any(|own| fits(&stream, own)) {
                    is_asked = true;
                    if found.insert(stream.labels.clone()) && !hold(ENTRY_BYTES) {
                        return false;
                    }
                }
            }
            if is_asked {
                groups += 1;
                entries += group.rows;
                bytes += group.bytes;
            }
            true
        });
        let completeness = store.completeness(&[Signal::Logs], range, clock::now_ns());
        told(&json!({"streams": found.len(), "chunks": groups, "entries": entries, "bytes": bytes}), &completeness)
    });
    Ok(answer.await?)
}
