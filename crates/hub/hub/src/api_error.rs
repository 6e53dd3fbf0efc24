//! What the query API answers when it cannot answer.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use store::query::{Ended, QueryError};

use crate::refusal::Refusal;

/// An error with what to do about it.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    error: String,
    hint: String,
    retry_after: Option<u32>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status, error: error.into(), hint: hint.into(), retry_after: None }
    }

    /// Its status and what it says.
    pub(crate) fn parts(&self) -> (StatusCode, String) {
        let text = if self.hint.is_empty() { self.error.clone() } else { format!("{}: {}", self.error, self.hint) };
        (self.status, text)
    }

    pub(crate) fn bad_request(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, hint)
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let status = match error.ended {
            None => StatusCode::BAD_REQUEST,
            Some(Ended::Memory) => StatusCode::UNPROCESSABLE_ENTITY,
            Some(Ended::Deadline | Ended::Cancelled | Ended::Crowded) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.what, error.hint)
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let hint = if refusal.retry_after().is_some() { "try again in a second" } else { "" };
        Self { status, error: refusal.to_string(), hint: hint.to_owned(), retry_after: refusal.retry_after() }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({"error": self.error, "hint": self.hint}))).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
