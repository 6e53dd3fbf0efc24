//! Parameters of a request, as Loki reads them; what it does not know is passed over.

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use logql::{Matcher, Order, parse_duration, parse_selector};
use store::query::{Scope, TimeRange};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::answer::{CATEGORIZED, Failure};
use crate::app::App;
use crate::clock;
use crate::form::Form;

/// Without `start`: an hour.
const SINCE_NS: i64 = 3_600_000_000_000;
/// Entries of an answer without `limit`, and the most of it.
const LIMIT: usize = 100;
const MAX_LIMIT: usize = 5000;
/// Steps of an answer without `step`.
const DEFAULT_STEPS: i64 = 250;
const SECOND: i64 = 1_000_000_000;

/// The parameters of a request, and what its headers say of them.
pub(super) struct Params {
    form: Form,
    /// Labels are asked for by where they come from.
    pub(super) categorized: bool,
}

impl FromRequest<Arc<App>> for Params {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Failure> {
        let flags = request.headers().get("x-loki-response-encoding-flags").and_then(|flags| flags.to_str().ok());
        let categorized = flags.is_some_and(|flags| flags.split(',').any(|flag| flag.trim() == CATEGORIZED));
        Ok(Self { form: Form::read(request, app).await?, categorized })
    }
}

/// A time: seconds (up to ten digits, or with a point) or nanoseconds since the epoch, or RFC 3339. Nanoseconds.
fn time_ns(text: &str) -> Option<i64> {
    if let Ok(whole) = text.parse::<i64>() {
        return if text.len() <= 10 { whole.checked_mul(SECOND) } else { Some(whole) };
    }
    if let Ok(seconds) = text.parse::<f64>() {
        let ns = seconds * 1e9;
        return (ns.abs() < i64::MAX as f64).then_some(ns.round() as i64);
    }
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos()).ok()
}

/// A length: seconds, or a duration. Nanoseconds, more than nothing.
fn length_ns(text: &str) -> Option<i64> {
    let ns = match text.parse::<f64>() {
        Ok(seconds) => Some(seconds * 1e9).filter(|ns| ns.is_finite() && *ns < i64::MAX as f64).map(|ns| ns as i64),
        Err(_) => parse_duration(text),
    };
    ns.filter(|ns| *ns > 0)
}

/// A stretch of time, in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) start: i64,
    pub(super) end: i64,
}

impl Times {
    /// As the store has it: its end does not belong to it.
    pub(super) fn range(self) -> TimeRange {
        TimeRange { from: u64::try_from(self.start).unwrap_or(0), to: u64::try_from(self.end).unwrap_or(0) }
    }

    /// The same with its end.
    pub(super) fn closed(self) -> TimeRange {
        Self { end: self.end.saturating_add(1), ..self }.range()
    }
}

impl Params {
    /// What may be seen by whoever asks.
    pub(super) fn scope(&self) -> Scope {
        self.form.scope()
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.form.get(name)
    }

    fn read<T>(&self, name: &str, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Failure> {
        let Some(text) = self.form.get(name) else { return Ok(None) };
        read(text).map(Some).ok_or_else(|| Failure::bad_request(format!("could not parse '{name}': {text}")))
    }

    /// `time`; without it, now.
    pub(super) fn time(&self) -> Result<i64, Failure> {
        Ok(self.read("time", time_ns)?.unwrap_or_else(now_ns))
    }

    /// `start` and `end`; without `start`, `since` before the end.
    pub(super) fn times(&self) -> Result<Times, Failure> {
        let end = self.read("end", time_ns)?.unwrap_or_else(now_ns);
        let since = self.read("since", length_ns)?.unwrap_or(SINCE_NS);
        let start = self.read("start", time_ns)?.unwrap_or_else(|| end.saturating_sub(since));
        if end < start {
            return Err(Failure::bad_request("end timestamp must not be before or equal to start time"));
        }
        Ok(Times { start, end })
    }

    /// `step` in nanoseconds; without it, so that there are about 250.
    pub(super) fn step(&self, times: Times) -> Result<i64, Failure> {
        let step = self.read("step", length_ns)?;
        let usual = || ((times.end - times.start) / SECOND / DEFAULT_STEPS).max(1) * SECOND;
        Ok(step.unwrap_or_else(usual))
    }

    /// `limit`, from 1 on.
    pub(super) fn limit(&self) -> Result<usize, Failure> {
        let limit = self.read("limit", |text| text.parse::<usize>().ok())?.unwrap_or(LIMIT);
        match limit {
            0 => Err(Failure::bad_request("limit must be a positive value")),
            limit if limit > MAX_LIMIT => Err(Failure::bad_request(format!(
                "max entries limit per query exceeded, limit > max_entries_limit ({limit} > {MAX_LIMIT})"
            ))),
            limit => Ok(limit),
        }
    }

    /// A number that is not a bound of records, like `line_limit`.
    pub(super) fn number(&self, name: &str, default: usize, most: usize) -> Result<usize, Failure> {
        Ok(self.read(name, |text| text.parse::<usize>().ok())?.filter(|own| *own > 0).unwrap_or(default).min(most))
    }

    /// `direction`: the newest first, unless it says otherwise.
    pub(super) fn order(&self) -> Result<Order, Failure> {
        match self.form.get("direction").map(str::to_ascii_lowercase).as_deref() {
            None | Some("backward") => Ok(Order::Backward),
            Some("forward") => Ok(Order::Forward),
            Some(other) => Err(Failure::bad_request(format!("invalid direction '{other}'"))),
        }
    }

    /// `query`.
    pub(super) fn query(&self) -> Result<&str, Failure> {
        self.form
            .get("query")
            .ok_or_else(|| Failure::bad_request("parse error : syntax error: unexpected $end: query is missing"))
    }

    /// The selectors of `match[]` and `match`, or of `query`; none: all streams.
    pub(super) fn selectors(&self) -> Result<Vec<Vec<Matcher>>, Failure> {
        let mut texts = self.form.all("match[]");
        texts.extend(self.form.all("match"));
        texts.extend(self.form.all("query"));
        let all = texts.into_iter().filter(|text| !matches!(text.trim(), "{}" | ""));
        all.map(|text| parse_selector(text).map_err(Failure::from)).collect()
    }
}

fn now_ns() -> i64 {
    i64::try_from(clock::now_ns()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: times and lengths in all forms, good and bad. Guarantees: read as Loki reads them.
    #[test]
    fn times_are_read() {
        assert_eq!(time_ns("1435781451"), Some(1_435_781_451_000_000_000));
        assert_eq!(time_ns("1435781451.5"), Some(1_435_781_451_500_000_000));
        assert_eq!(time_ns("1435781451781000000"), Some(1_435_781_451_781_000_000));
        assert_eq!(time_ns("2015-07-01T20:10:51.781Z"), Some(1_435_781_451_781_000_000));
        assert_eq!(length_ns("15"), Some(15 * SECOND));
        assert_eq!(length_ns("1m30s"), Some(90 * SECOND));
        for bad in ["", "x", "1e300", "NaN", "inf", "2015-07-01"] {
            assert_eq!(time_ns(bad), None, "{bad}");
        }
        for bad in ["", "0", "-5", "x", "inf", "NaN"] {
            assert_eq!(length_ns(bad), None, "{bad}");
        }
    }
}
