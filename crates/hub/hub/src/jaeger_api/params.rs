//! Parameters of a request, as Jaeger reads them; what it does not know is passed over.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use filter::{Comparison, Field, Filter, Test};
use model::TraceId;
use store::query::{Scope, TimeRange};

use super::answer::Failure;
use crate::app::App;
use crate::form::Form;
use crate::{clock, duration};

/// Without `start`: two days, as Jaeger has it.
const LOOKBACK_NS: u64 = 2 * 86_400 * 1_000_000_000;
/// Traces of an answer without `limit`, and the most of it.
const LIMIT: usize = 100;
const MAX_LIMIT: usize = 10_000;

/// The parameters of a request.
pub(super) struct Params(Form);

impl FromRequest<Arc<App>> for Params {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Failure> {
        Ok(Self(Form::read(request, app).await?))
    }
}

/// A Go duration: numbers with units, one after the other (`1h30m`, `1.5s`, `2d`), in nanoseconds.
fn duration_ns(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut sum: u64 = 0;
    while !rest.is_empty() {
        let number = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let unit = rest[number..].find(|letter: char| letter.is_ascii_digit() || letter == '.');
        let (part, after) = rest.split_at(unit.map_or(rest.len(), |unit| number + unit));
        let part = part.replace(['\u{b5}', '\u{3bc}'], "u");
        sum = sum.checked_add(duration::parse_ns(&part)?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(sum)
}

/// A trace id of up to 32 hex digits; leading zeros may be left out.
pub(super) fn trace_id(text: &str) -> Result<TraceId, Failure> {
    let padded = format!("{text:0>32}");
    TraceId::from_hex(&padded.to_ascii_lowercase())
        .ok_or_else(|| Failure::bad_request(format!("{text} is no trace id: 1 to 32 hex digits, not all 0")))
}

impl Params {
    /// What may be seen by whoever asks.
    pub(super) fn scope(&self) -> Scope {
        self.0.scope()
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).map(str::to_owned)
    }

    fn read<T>(&self, name: &str, what: &str, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Failure> {
        let Some(text) = self.0.get(name) else { return Ok(None) };
        let failed = || Failure::bad_request(format!("unable to parse param '{name}': {text} is no {what}"));
        read(text).map(Some).ok_or_else(failed)
    }

    /// A time in units of so many nanoseconds since the epoch.
    fn time(&self, name: &str, unit_ns: u64) -> Result<Option<u64>, Failure> {
        self.read(name, "time: a whole number since the epoch", |text| text.parse::<u64>().ok()?.checked_mul(unit_ns))
    }

    /// `start` and `end` in microseconds; without `start`, `lookback` (microseconds, or a duration) before `end`.
    pub(super) fn range(&self) -> Result<TimeRange, Failure> {
        let end = self.time("end", 1000)?.unwrap_or_else(clock::now_ns);
        let lookback = self.read("lookback", "duration", |text| {
            text.parse::<u64>().ok().and_then(|us| us.checked_mul(1000)).or_else(|| duration_ns(text))
        });
        // Jaeger's page sends `lookback=custom` beside its times.
        let start = match self.time("start", 1000)? {
            Some(start) => start,
            None => end.saturating_sub(lookback?.unwrap_or(LOOKBACK_NS)),
        };
        if start > end {
            return Err(Failure::bad_request("param 'start' is after 'end'"));
        }
        // Both ends belong to it, to the microsecond.
        Ok(TimeRange { from: start, to: end.saturating_add(1000) })
    }

    /// `endTs` and `lookback` of dependencies, in milliseconds; a day without it.
    pub(super) fn dependency_range(&self) -> Result<TimeRange, Failure> {
        let end = self.time("endTs", 1_000_000)?.unwrap_or_else(clock::now_ns);
        let lookback = self.time("lookback", 1_000_000)?.unwrap_or(86_400 * 1_000_000_000);
        Ok(TimeRange { from: end.saturating_sub(lookback), to: end })
    }

    /// `limit`, from 1 on.
    pub(super) fn limit(&self) -> Result<usize, Failure> {
        let what = format!("number between 1 and {MAX_LIMIT}");
        let limit = self.read("limit", &what, |text| text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit)));
        Ok(limit?.unwrap_or(LIMIT))
    }

    /// All `traceID`.
    pub(super) fn trace_ids(&self) -> Result<Vec<TraceId>, Failure> {
        self.0.all("traceID").into_iter().map(trace_id).collect()
    }

    /// What a span has to pass: `tags` (a JSON object of texts), `tag` (`key:value`), `minDuration` and `maxDuration` (Go's durations).
    pub(super) fn filter(&self) -> Result<Filter, Failure> {
        let mut all = Vec::new();
        let mut add = |name: &str, comparison: Comparison| -> Result<Option<u64>, Failure> {
            let bound = self.read(name, "duration, like 100ms or 1.2s", duration_ns)?;
            // Exact up to 2^53 ns, which is 104 days.
            all.extend(bound.map(|ns| Filter::Field(Field::Duration, Test::Number(comparison, ns as f64))));
            Ok(bound)
        };
        let least = add("minDuration", Comparison::GreaterOrEqual)?;
        let most = add("maxDuration", Comparison::LessOrEqual)?;
        if least.zip(most).is_some_and(|(least, most)| most < least) {
            return Err(Failure::bad_request("'maxDuration' should be greater than 'minDuration'"));
        }
        for tag in self.0.all("tag") {
            let malformed = || Failure::bad_request(format!("malformed 'tag' parameter {tag}: expecting key:value"));
            let (key, value) = tag.split_once(':').ok_or_else(malformed)?;
            all.push(tag_filter(key, value));
        }
        for tags in self.0.all("tags") {
            let malformed = |error| {
                Failure::bad_request(format!("malformed 'tags' parameter, expecting a JSON object of texts: {error}"))
            };
            let tags: BTreeMap<String, String> = serde_json::from_str(tags).map_err(malformed)?;
            all.extend(tags.iter().map(|(key, value)| tag_filter(key, value)));
        }
        Ok(Filter::And(all))
    }
}

/// A tag as the span or its resource has it; some are made of other fields of OTLP.
fn tag_filter(key: &str, value: &str) -> Filter {
    let equals = |field: Field, value: &str| Filter::Field(field, Test::Equals(value.to_owned()));
    let own = equals(Field::Attribute(key.to_owned()), value);
    let made = match key {
        "error" if value == "true" => equals(Field::Status, "error"),
        "otel.status_code" => equals(Field::Status, &value.to_ascii_lowercase()),
        "span.kind" => equals(Field::Kind, value),
        "device" => equals(Field::Device, value),
        _ => return own,
    };
    Filter::Or(vec![own, made])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: durations as Go writes them, right and wrong. Guarantees: none is taken for something else.
    #[test]
    fn durations_of_go_are_read() {
        for (text, ns) in [
            ("1h30m", 5_400_000_000_000),
            ("1.5s", 1_500_000_000),
            ("100ms", 100_000_000),
            ("5\u{b5}s", 5000),
            ("2d", 172_800_000_000_000),
        ] {
            assert_eq!(duration_ns(text), Some(ns), "{text}");
        }
        for wrong in ["", "5", "h", "1h30", "-1s", "1x", "1s ", "..s"] {
            assert_eq!(duration_ns(wrong), None, "{wrong}");
        }
    }

    /// Scenario: trace ids with and without leading zeros. Guarantees: both are the same trace.
    #[test]
    fn short_trace_ids_are_padded() {
        assert_eq!(trace_id("AB").unwrap(), trace_id("000000000000000000000000000000ab").unwrap());
        for wrong in ["", "0", "xyz", "1234567890123456789012345678901234"] {
            assert!(trace_id(wrong).is_err(), "{wrong}");
        }
    }
}
