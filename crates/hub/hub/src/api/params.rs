//! Query parameters: strict, with messages that say what is read.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use model::{SpanId, TraceId};
use store::query::{Scope, Steps, TimeRange};

use super::ApiError;
use crate::clock;
use crate::duration;

/// The range without `start` and `end`: the last hour.
const DEFAULT_RANGE_NS: u64 = 3_600_000_000_000;
/// Steps of an answer when `step` is not given.
const DEFAULT_STEPS: u64 = 120;
/// Most steps of an answer.
const MAX_STEPS: u64 = 11_000;
const SECOND_NS: u64 = 1_000_000_000;

/// The parameters of a request, in order; names may repeat. Whoever asks sees what the scope allows.
pub(super) struct Params {
    pairs: Vec<(String, String)>,
    scope: Scope,
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let Query(pairs) =
            query.map_err(|error| ApiError::bad_request(error.to_string(), "use name=value&name=value"))?;
        // The one place where a question gets its scope: who may ask at all sees everything.
        Ok(Self { pairs, scope: Scope::whole_store() })
    }
}

impl Params {
    /// What may be seen by whoever asks.
    pub(super) fn scope(&self) -> Scope {
        self.scope.clone()
    }

    /// Refuses names that the request does not have, so that a typing error is not a wrong answer.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), ApiError> {
        match self.pairs.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) if known.is_empty() => {
                Err(ApiError::bad_request(format!("no such parameter: {name}"), "this request has no parameters"))
            }
            Some((name, _)) => Err(ApiError::bad_request(
                format!("no such parameter: {name}"),
                format!("this request has {}", known.join(", ")),
            )),
            None => Ok(()),
        }
    }

    /// The value of a parameter; an empty one counts as not given.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// All values of a parameter that may repeat.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.pairs.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }

    fn parse<T: FromStr>(&self, name: &str, hint: &str) -> Result<Option<T>, ApiError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let parsed = value.parse().map_err(|_| ApiError::bad_request(format!("{name}={value} cannot be read"), hint));
        parsed.map(Some)
    }

    /// `start` and `end`.
    pub(super) fn range(&self) -> Result<TimeRange, ApiError> {
        let hint = "times are nanoseconds since the Unix epoch, as a decimal number";
        let to = self.parse("end", hint)?.unwrap_or_else(clock::now_ns);
        let from = self.parse("start", hint)?.unwrap_or_else(|| to.saturating_sub(DEFAULT_RANGE_NS));
        if from >= to {
            return Err(ApiError::bad_request("start is not before end", "the range is [start, end)"));
        }
        Ok(TimeRange { from, to })
    }

    /// `start`, `end` and `step`: the first step begins at `start`.
    pub(super) fn steps(&self) -> Result<Steps, ApiError> {
        let TimeRange { from, to } = self.range()?;
        let length = to - from;
        let step_ns = match self.get("step") {
            Some(step) => {
                step.parse().ok().or_else(|| duration::parse_ns(step)).filter(|step| *step > 0).ok_or_else(|| {
                    ApiError::bad_request(
                        format!("step={step} cannot be read"),
                        "nanoseconds, or a duration like 10s or 500ms",
                    )
                })?
            }
            None => (length / DEFAULT_STEPS).div_ceil(SECOND_NS).max(1) * SECOND_NS,
        };
        let count = length.div_ceil(step_ns);
        if count > MAX_STEPS {
            return Err(ApiError::bad_request(
                format!("{count} steps are more than {MAX_STEPS}"),
                "ask for a longer step or a shorter time",
            ));
        }
        Ok(Steps { from, step_ns, count: count as usize })
    }

    /// `q`: the filter language without times, which have parameters of their own: the filter, and the pipes.
    pub(super) fn filter(&self) -> Result<(Option<filter::Filter>, Vec<filter::Pipe>), ApiError> {
        let Some(text) = self.text("q") else { return Ok((None, Vec::new())) };
        let fail = |what: String| ApiError::bad_request(what, "docs/filter.md describes the language");
        let query = filter::parse(&text, 0)
            .map_err(|error| fail(format!("q, character {}: {}", error.column(), error.message())))?;
        if query.range != filter::Range::default() {
            return Err(fail("q: the time stands in start and end".to_owned()));
        }
        Ok((Some(query.filter), query.pipes))
    }

    /// Refuses parameters that mean nothing beside the pipes of `q`.
    pub(super) fn without(&self, names: &[&str]) -> Result<(), ApiError> {
        match names.iter().find(|name| self.get(name).is_some()) {
            None => Ok(()),
            Some(name) => Err(ApiError::bad_request(
                format!("{name} says nothing about a table"),
                "say it in q: status=error, dur>=200ms, | sort body, | limit 100",
            )),
        }
    }

    /// `limit`, between 1 and 10,000.
    pub(super) fn limit(&self, default: usize) -> Result<usize, ApiError> {
        let limit = self.parse("limit", "a number between 1 and 10000")?.unwrap_or(default);
        match limit {
            1..=10_000 => Ok(limit),
            _ => Err(ApiError::bad_request(format!("limit={limit} is out of range"), "a number between 1 and 10000")),
        }
    }

    /// A duration, like `200ms`.
    pub(super) fn duration_ns(&self, name: &str) -> Result<Option<u64>, ApiError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let parsed = duration::parse_ns(value);
        parsed.map(Some).ok_or_else(|| {
            ApiError::bad_request(format!("{name}={value} cannot be read"), "a duration, like 200ms, 1.5s or 10m")
        })
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        Ok(self.parse(name, "true or false")?.unwrap_or(false))
    }

    pub(super) fn trace_id(&self) -> Result<Option<TraceId>, ApiError> {
        self.get("trace_id").map(trace_id).transpose()
    }

    pub(super) fn span_id(&self) -> Result<Option<SpanId>, ApiError> {
        let Some(id) = self.get("span_id") else { return Ok(None) };
        let parsed = SpanId::from_hex(id);
        parsed
            .map(Some)
            .ok_or_else(|| ApiError::bad_request(format!("span_id={id} is none"), "16 hex digits, not all 0"))
    }
}

/// Reads a trace id.
pub(super) fn trace_id(text: &str) -> Result<TraceId, ApiError> {
    TraceId::from_hex(text)
        .ok_or_else(|| ApiError::bad_request(format!("{text} is no trace id"), "32 hex digits, not all 0"))
}
