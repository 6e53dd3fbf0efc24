//! Reading back from a hub that answers in the documented form (docs/hub-api.md).

use super::*;
use crate::vessel::PlannedPoint;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::convert::Infallible;
use tokio::net::TcpListener;

const A: &str = "000000000000000000000000000000aa";
const B: &str = "000000000000000000000000000000bb";

/// What the documented hub answers to a path with its query.
fn answer(target: &str) -> Option<Value> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let has = |parameter: &str| query.split('&').any(|given| given == parameter);
    let row = |id: &str, trace: Option<&str>| {
        let mut row = json!({"time": "5", "body": "x", "attributes": [{"key": "vessel.line", "value": id}]});
        if let Some(trace) = trace {
            row["trace_id"] = trace.into();
        }
        row
    };
    Some(match path {
        // Two pages.
        "/api/v0/traces" if has("after=p2") => json!({"traces": [{"trace_id": B}], "completeness": {}}),
        "/api/v0/traces" => json!({"traces": [{"trace_id": A}], "next": "p2"}),
        "/api/v0/traces/000000000000000000000000000000aa" => {
            json!({"spans": [{"span_id": "0000000000000001"}, {"span_id": "0000000000000002"}], "stored_spans": 3})
        }
        "/api/v0/traces/000000000000000000000000000000bb" => json!({"spans": [], "stored_spans": 0}),
        "/api/v0/logs" if has("after=l2") => json!({"logs": [row("loose-0", None)], "stored": 1}),
        "/api/v0/logs" => json!({"logs": [row("0-0", Some(A))], "stored": 1, "next": "l2"}),
        "/api/v0/exemplars" => json!({"exemplars": [{"trace_id": A, "span_id": null, "state": "missing"}]}),
        "/api/v0/metrics/range" if has("name=traces.span.metrics.calls") => {
            let series = |name: &str, values: Value| json!({"attributes": {"span.name": name}, "values": values});
            let of_a = [series("a", json!([3, 4, null, 2])), series("a", json!([null, 5, 1, null]))];
            json!({"series": [of_a[0], of_a[1], series("b", json!([null, null, null, 7]))],
                "times": ["100", "200", "300", "400"]})
        }
        "/api/v0/metrics/range" if has("name=m") && has("func=value") && has("step=1ms") => {
            json!({"series": [{"attributes": {"code": 200, "service.name": "x"}, "values": [7.0, null]}],
                "times": ["990000", "1990000"]})
        }
        "/api/v0/ledger" => json!({"devices": [{"records": {"spans": 3, "logs": 2, "points": 6, "exemplars": 1}}]}),
        _ => return None,
    })
}

async fn documented_hub() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = service_fn(async |request: Request<Incoming>| {
        let body = answer(&request.uri().to_string());
        let status = if body.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
        let mut response = Response::new(Full::new(Bytes::from(body.unwrap_or_default().to_string())));
        *response.status_mut() = status;
        Ok::<_, Infallible>(response)
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        }
    });
    address
}

/// Scenario: a hub with two pages of traces and of lines, a span stored twice, an exemplar, a metric, and a ledger.
/// Guarantees: all pages are read; rows and ids, states, values and the ledger's points are what the hub says.
#[tokio::test]
async fn all_pages_and_results_are_read() {
    let hub = documented_hub().await;
    let mut manifest = Manifest::default();
    for (time_ns, value) in [(1_000_000, 7.0), (2_000_000, 8.0)] {
        let attributes = vec![("code", "200".to_owned())];
        manifest.points.push(PlannedPoint { metric: "m", is_histogram: false, attributes, time_ns, value });
    }
    let window = Window { start_ns: 1, end_ns: 9_000_000 };
    let found = read_hub(hub, window, &manifest, 1).await.unwrap();

    let trace = |hex: &str| &found.traces[&TraceId::from_hex(hex).unwrap()];
    assert_eq!((trace(A).spans.len(), trace(A).rows, trace(B).rows), (2, 3, 0));
    let lines: Vec<_> = found.lines.iter().map(|line| (line.id.as_deref(), line.trace.is_some())).collect();
    assert_eq!(lines, [(Some("0-0"), true), (Some("loose-0"), false)]);
    assert_eq!(found.exemplars[0].state, "missing");
    assert!(found.has_point(&manifest.points[0]) && !found.has_point(&manifest.points[1]));
    assert_eq!(stored_points(hub).await.unwrap(), 6);
}

/// Scenario: the RED metric has two series of one span name and one of another, before and after a kill at 250.
/// Guarantees: the last count of each series before and after it adds up, by name (P6).
#[tokio::test]
async fn red_calls_add_up_over_lives() {
    let hub = documented_hub().await;
    let calls = red_calls(hub, Window { start_ns: 100, end_ns: 500 }, 250).await.unwrap();
    assert_eq!(calls, BTreeMap::from([("a".to_owned(), 4 + 2 + 5 + 1), ("b".to_owned(), 7)]));
}
