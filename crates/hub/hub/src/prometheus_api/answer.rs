//! Answers and errors as Prometheus' API writes them.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use promql::{Error, Histogram, Labels, Samples, Value as Found, sample_value};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::api_error::ApiError;
use crate::json::{Json, rows};
use crate::refusal::Refusal;

/// A question that has no answer.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    kind: &'static str,
    error: String,
}

impl Failure {
    fn new(status: StatusCode, kind: &'static str, error: impl Into<String>) -> Self {
        Self { status, kind, error: error.into() }
    }

    /// A parameter that cannot be read.
    pub(super) fn bad_data(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_data", error)
    }

    pub(super) fn not_found(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Execution(_) | Error::TooMuch(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "execution", text),
            Error::Timeout => Self::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", text),
            Error::Canceled => Self::new(StatusCode::SERVICE_UNAVAILABLE, "canceled", text),
            Error::Source(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", text),
        }
    }
}

impl From<promql::ParseError> for Failure {
    fn from(error: promql::ParseError) -> Self {
        Self::bad_data(format!("invalid parameter \"query\": {error}"))
    }
}

impl From<store::query::QueryError> for Failure {
    fn from(error: store::query::QueryError) -> Self {
        ApiError::from(error).into()
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let (status, text) = error.parts();
        let kind = match status {
            StatusCode::SERVICE_UNAVAILABLE => "timeout",
            StatusCode::UNPROCESSABLE_ENTITY => "execution",
            StatusCode::BAD_REQUEST => "bad_data",
            _ => "internal",
        };
        Self::new(status, kind, text)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        ApiError::from(refusal).into()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = json!({"status": "error", "errorType": self.kind, "error": self.error});
        let mut response = (self.status, axum::Json(body)).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(1));
        }
        response
    }
}

/// What a handler gives.
pub(super) type Answer = Result<Json, Failure>;

/// An answer with what is to be told beside it.
pub(super) fn success(data: impl Serialize, warnings: Vec<String>, infos: Vec<String>) -> Json {
    #[derive(Serialize)]
    struct Success<D> {
        status: &'static str,
        data: D,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        infos: Vec<String>,
    }
    Json::of(&Success { status: "success", data, warnings, infos })
}

/// Milliseconds as seconds.
pub(super) fn seconds(ms: i64) -> Value {
    if ms % 1000 == 0 { json!(ms / 1000) } else { json!(ms as f64 / 1000.0) }
}

fn sample((time, value): &(i64, f64)) -> Value {
    json!([seconds(*time), sample_value(*value)])
}

fn histogram(own: &Histogram) -> Value {
    let buckets: Vec<Value> = own
        .buckets()
        .iter()
        .filter(|bucket| bucket.count != 0.0)
        .map(|bucket| {
            let rule = match (bucket.lower_inclusive, bucket.upper_inclusive) {
                (false, true) => 0,
                (true, false) => 1,
                (false, false) => 2,
                (true, true) => 3,
            };
            json!([rule, sample_value(bucket.lower), sample_value(bucket.upper), sample_value(bucket.count)])
        })
        .collect();
    let mut out = Map::new();
    out.insert("count".into(), sample_value(own.count).into());
    out.insert("sum".into(), sample_value(own.sum).into());
    if !buckets.is_empty() {
        out.insert("buckets".into(), buckets.into());
    }
    Value::Object(out)
}

/// Labels as an object.
pub(super) fn metric(labels: &Labels) -> Value {
    labels.iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect::<Map<_, _>>().into()
}

/// A series of an instant vector: its one sample.
fn instant_series((labels, samples): &(Labels, Samples)) -> Value {
    let mut out = Map::new();
    out.insert("metric".into(), metric(labels));
    if let Some(value) = samples.floats.first() {
        out.insert("value".into(), sample(value));
    }
    if let Some((time, own)) = samples.histograms.first() {
        out.insert("histogram".into(), json!([seconds(*time), histogram(own)]));
    }
    Value::Object(out)
}

/// A series of a range vector: there may be millions of samples.
fn range_series((labels, samples): &(Labels, Samples)) -> impl Serialize {
    #[derive(Serialize)]
    struct Series<F, H> {
        metric: Value,
        #[serde(skip_serializing_if = "Option::is_none")]
        values: Option<F>,
        #[serde(skip_serializing_if = "Option::is_none")]
        histograms: Option<H>,
    }
    let histograms = || rows(samples.histograms.iter().map(|(time, own)| json!([seconds(*time), histogram(own)])));
    Series {
        metric: metric(labels),
        values: (!samples.floats.is_empty()).then(|| rows(samples.floats.iter().map(sample))),
        histograms: (!samples.histograms.is_empty()).then(histograms),
    }
}

#[derive(Serialize)]
struct Typed<R> {
    #[serde(rename = "resultType")]
    kind: &'static str,
    result: R,
}

/// A query's value as an answer, with up to `limit` series.
pub(super) fn value(found: &Found, limit: usize, mut warnings: Vec<String>, infos: Vec<String>) -> Json {
    let series = match found {
        Found::Vector(all) | Found::Matrix(all) => all.len(),
        Found::Scalar(..) | Found::String(..) => 0,
    };
    if series > limit {
        warnings.push("results truncated due to limit".into());
    }
    match found {
        Found::Scalar(time, value) => {
            success(Typed { kind: "scalar", result: sample(&(*time, *value)) }, warnings, infos)
        }
        Found::String(time, text) => {
            success(Typed { kind: "string", result: json!([seconds(*time), text]) }, warnings, infos)
        }
        Found::Vector(all) => {
            let result = rows(all.iter().take(limit).map(instant_series));
            success(Typed { kind: "vector", result }, warnings, infos)
        }
        Found::Matrix(all) => {
            let result = rows(all.iter().take(limit).map(range_series));
            success(Typed { kind: "matrix", result }, warnings, infos)
        }
    }
}
