//! Services, their operations, and who calls whom.

use std::sync::Arc;

use axum::extract::{Path, State};
use model::Signal;
use serde::Serialize;
use store::query::{Dependency, ServiceInfo, TimeRange};

use super::answer::{Answer, Failure, Names, success};
use super::params::Params;
use crate::app::App;
use crate::json::rows;
use crate::{clock, told};

/// Services that have spans: stored ones, or such that span metrics know. Names are of all time, as Jaeger's.
fn with_spans(all: Vec<ServiceInfo>) -> impl Iterator<Item = ServiceInfo> {
    all.into_iter().filter(|service| !service.operations.is_empty())
}

/// `GET /jaeger/api/services`.
pub(super) async fn services(State(app): State<Arc<App>>, params: Params) -> Names {
    let answer = app.query(params.scope(), |store| {
        let names: Vec<String> = with_spans(store.services(TimeRange::ALL)).map(|service| service.name).collect();
        success(&names, names.len(), &[])
    });
    Ok(answer.await?)
}

fn operations_of(all: Vec<ServiceInfo>, service: &str) -> Vec<String> {
    with_spans(all).filter(|own| own.name == service).flat_map(|own| own.operations).collect()
}

/// `GET /jaeger/api/services/{name}/operations`.
pub(super) async fn operation_names(State(app): State<Arc<App>>, Path(service): Path<String>, params: Params) -> Names {
    let answer = app.query(params.scope(), move |store| {
        let names = operations_of(store.services(TimeRange::ALL), &service);
        // As Jaeger says that there are none.
        success((!names.is_empty()).then_some(&names), names.len(), &[])
    });
    Ok(answer.await?)
}

#[derive(Serialize)]
struct Operation<'a> {
    name: &'a str,
    #[serde(rename = "spanKind")]
    kind: &'static str,
}

/// `GET /jaeger/api/operations`. The store lists operations without their kinds: `spanKind` is empty, as from those of Jaeger's
/// storages that do not know them, and names nothing that is left out.
pub(super) async fn operations(State(app): State<Arc<App>>, params: Params) -> Names {
    let service = params.text("service").ok_or_else(|| Failure::bad_request("parameter 'service' is required"))?;
    let answer = app.query(params.scope(), move |store| {
        let names = operations_of(store.services(TimeRange::ALL), &service);
        success(rows(names.iter().map(|name| Operation { name, kind: "" })), names.len(), &[])
    });
    Ok(answer.await?)
}

#[derive(Serialize)]
struct Link<'a> {
    parent: &'a str,
    child: &'a str,
    #[serde(rename = "callCount")]
    calls: u64,
}

/// `GET /jaeger/api/dependencies`.
pub(super) async fn dependencies(State(app): State<Arc<App>>, params: Params) -> Answer {
    let range = params.dependency_range()?;
    let service = params.text("service");
    let answer = app.query(params.scope(), move |store| {
        let found = store.dependencies(range);
        let asked =
            |own: &&Dependency| service.as_ref().is_none_or(|service| own.parent == *service || own.child == *service);
        let links = found.iter().filter(asked);
        let links = rows(links.map(|own| Link { parent: &own.parent, child: &own.child, calls: own.calls }));
        let completeness = store.completeness(&[Signal::Traces], range, clock::now_ns());
        (told::header(&completeness), success(links, 0, &[]))
    });
    Ok(answer.await?)
}
