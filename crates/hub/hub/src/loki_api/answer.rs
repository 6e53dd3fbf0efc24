//! Answers as Loki's API writes them; errors are text, as Loki's.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use logql::{Entry, Labels, Pairs, Stats};
use promql::{Samples, Value as Found, sample_value};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use store::query::{Completeness, QueryError};

use crate::api_error::ApiError;
use crate::json::{Json, rows};
use crate::refusal::Refusal;
use crate::told;

/// The version of Loki whose API this is, as far as it goes.
const VERSION: &str = "3.5.3";
/// The flag by which labels come apart into those of streams, metadata, and what stages made.
pub(super) const CATEGORIZED: &str = "categorize-labels";

/// A question that has no answer.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    text: String,
}

impl Failure {
    /// A parameter or a query that cannot be read.
    pub(super) fn bad_request(text: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, text: text.into() }
    }
}

impl From<logql::ParseError> for Failure {
    fn from(error: logql::ParseError) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<logql::Error> for Failure {
    fn from(error: logql::Error) -> Self {
        let status = match &error {
            logql::Error::Execution(_) | logql::Error::TooMuch(_) => StatusCode::BAD_REQUEST,
            logql::Error::Timeout | logql::Error::Canceled => StatusCode::SERVICE_UNAVAILABLE,
            logql::Error::Source(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, text: error.to_string() }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let (status, text) = error.parts();
        Self { status, text }
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        ApiError::from(error).into()
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        ApiError::from(refusal).into()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.text).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(1));
        }
        response
    }
}

/// What a handler gives: how complete it is stands in a header, and in `warnings` where there are some.
pub(super) type Answer = Result<([(HeaderName, HeaderValue); 1], Json), Failure>;

/// An answer over a time, with its header.
pub(super) fn told(answer: &impl Serialize, completeness: &Completeness) -> ([(HeaderName, HeaderValue); 1], Json) {
    (told::header(completeness), Json::of(answer))
}

/// `{"status": "success", "data": ..}`
#[derive(Serialize)]
pub(super) struct Success<D> {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    data: D,
}

/// Data with what is to be told of it.
pub(super) fn success<D: Serialize>(data: D, warnings: Vec<String>) -> Success<D> {
    Success { status: "success", warnings, data }
}

/// What of the time is not there.
pub(super) fn warnings(completeness: &Completeness) -> Vec<String> {
    told::sentence(completeness).into_iter().collect()
}

#[derive(Serialize)]
struct Data<R> {
    #[serde(rename = "resultType")]
    kind: &'static str,
    #[serde(rename = "encodingFlags", skip_serializing_if = "Option::is_none")]
    flags: Option<[&'static str; 1]>,
    result: R,
    stats: Value,
}

fn statistics(stats: Stats, seconds: f64, returned: usize) -> Value {
    let per_second = |count: u64| if seconds > 0.0 { (count as f64 / seconds) as u64 } else { 0 };
    json!({"summary": {
        "bytesProcessedPerSecond": per_second(stats.bytes),
        "linesProcessedPerSecond": per_second(stats.lines),
        "totalBytesProcessed": stats.bytes,
        "totalLinesProcessed": stats.lines,
        "totalPostFilterLines": stats.passed,
        "totalEntriesReturned": returned,
        "execTime": seconds,
        "queueTime": 0,
        "subqueries": 0,
        "splits": 0,
        "shards": 0,
    }})
}

/// Labels as an object.
pub(super) fn metric(labels: &Labels) -> Value {
    labels.iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect::<Map<_, _>>().into()
}

fn object(pairs: &Pairs) -> Value {
    pairs.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect::<Map<_, _>>().into()
}

/// A line with its time, and what is its own where that is asked for.
struct Line<'a>(&'a Entry, bool);

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Line(entry, categorized) = self;
        let time = entry.time.to_string();
        if !categorized {
            return (time, &entry.line).serialize(serializer);
        }
        let mut own = Map::new();
        if !entry.metadata.is_empty() {
            own.insert("structuredMetadata".into(), object(&entry.metadata));
        }
        if !entry.made.is_empty() {
            own.insert("parsed".into(), object(&entry.made));
        }
        (time, &entry.line, own).serialize(serializer)
    }
}

/// Log records by streams; all of them are written within the query.
pub(super) fn streams(
    answer: logql::LogAnswer,
    categorized: bool,
    seconds: f64,
    completeness: &Completeness,
) -> ([(HeaderName, HeaderValue); 1], Json) {
    #[derive(Serialize)]
    struct Stream<V> {
        stream: Value,
        values: V,
    }
    let stats = statistics(answer.stats, seconds, answer.entries.len());
    let found = answer.by_stream(categorized);
    let stream = |(labels, entries): (&Labels, &Vec<Entry>)| {
        let lines: Vec<Value> =
            entries.iter().filter_map(|entry| serde_json::to_value(Line(entry, categorized)).ok()).collect();
        Stream { stream: metric(labels), values: lines }
    };
    let data = Data {
        kind: "streams",
        flags: categorized.then_some([CATEGORIZED]),
        result: rows(found.iter().map(stream)),
        stats,
    };
    told(&success(data, warnings(completeness)), completeness)
}

/// Milliseconds as seconds.
fn seconds_of(ms: i64) -> Value {
    if ms % 1000 == 0 { json!(ms / 1000) } else { json!(ms as f64 / 1000.0) }
}

fn sample((time, value): &(i64, f64)) -> Value {
    json!([seconds_of(*time), sample_value(*value)])
}

/// Numbers, as a scalar, a vector or a matrix.
pub(super) fn numbers(
    answer: &logql::MetricAnswer,
    is_range: bool,
    seconds: f64,
    completeness: Option<&Completeness>,
) -> ([(HeaderName, HeaderValue); 1], Json) {
    #[derive(Serialize)]
    struct Series<V> {
        metric: Value,
        values: V,
    }
    let whole = Completeness { fraction: 1.0, complete: true, devices: Vec::new() };
    let completeness = completeness.unwrap_or(&whole);
    let stats = statistics(answer.stats, seconds, 0);
    let warnings = warnings(completeness);
    let instant = |(labels, samples): &(Labels, Samples)| json!({"metric": metric(labels), "value": samples.floats.first().map(sample)});
    match &answer.value {
        Found::Scalar(time, value) => {
            let data = Data { kind: "scalar", flags: None, result: sample(&(*time, *value)), stats };
            told(&success(data, warnings), completeness)
        }
        Found::Vector(all) if !is_range => {
            let data = Data { kind: "vector", flags: None, result: rows(all.iter().map(instant)), stats };
            told(&success(data, warnings), completeness)
        }
        Found::Vector(all) | Found::Matrix(all) => {
            let series = |(labels, samples): &(Labels, Samples)| Series {
                metric: metric(labels),
                values: samples.floats.iter().map(sample).collect::<Vec<Value>>(),
            };
            let data = Data { kind: "matrix", flags: None, result: rows(all.iter().map(series)), stats };
            told(&success(data, warnings), completeness)
        }
        Found::String(..) => {
            let data = Data { kind: "vector", flags: None, result: json!([]), stats };
            told(&success(data, warnings), completeness)
        }
    }
}

/// `GET /loki/api/v1/status/buildinfo`.
pub(super) async fn build() -> axum::Json<Value> {
    axum::Json(json!({
        "version": VERSION, "revision": "", "branch": "", "buildUser": "", "buildDate": "",
        "goVersion": concat!("lightship-hub ", env!("CARGO_PKG_VERSION")),
    }))
}

/// `GET /ready`.
pub(super) async fn ready() -> &'static str {
    "ready\n"
}

/// In the hub's own form: whoever asks knows no Loki here.
pub(super) async fn no_such_path() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "no such path", "docs/logql.md lists those of Loki's API that there are")
}
