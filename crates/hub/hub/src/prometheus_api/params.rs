//! Parameters of a request: those of the address, and of a posted form.

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use store::query::Scope;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::answer::Failure;
use crate::app::App;
use crate::clock;
use crate::form::Form;

/// The parameters of a request; names may repeat.
pub(super) struct Params(Form);

impl FromRequest<Arc<App>> for Params {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Failure> {
        Ok(Self(Form::read(request, app).await?))
    }
}

/// A time: seconds since the epoch, or RFC 3339. Milliseconds.
fn time_ms(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        let ms = (seconds * 1000.0).round();
        return (ms.abs() <= promql::MAX_TIME as f64).then_some(ms as i64);
    }
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).ok()
}

/// A length: seconds, or a duration. Milliseconds.
fn length_ms(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        let ms = seconds * 1000.0;
        return (ms.abs() <= promql::MAX_TIME as f64).then_some(ms as i64);
    }
    promql::parse_duration(text).ok()
}

impl Params {
    /// What may be seen by whoever asks.
    pub(super) fn scope(&self) -> Scope {
        self.0.scope()
    }

    /// The value of a parameter; an empty one counts as not given.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)
    }

    /// All values of a parameter that may repeat.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        self.0.all(name)
    }

    fn read<T>(&self, name: &str, what: &str, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Failure> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let failed = || {
            let text = promql::quote(text);
            Failure::bad_data(format!("invalid parameter \"{name}\": cannot parse {text} to a valid {what}"))
        };
        read(text).map(Some).ok_or_else(failed)
    }

    /// A time in milliseconds.
    pub(super) fn time(&self, name: &str) -> Result<Option<i64>, Failure> {
        self.read(name, "timestamp", time_ms)
    }

    /// A length in milliseconds, more than nothing.
    pub(super) fn length(&self, name: &str) -> Result<Option<i64>, Failure> {
        match self.read(name, "duration", length_ms)? {
            Some(ms) if ms <= 0 => {
                let what = "zero or negative query resolution step widths are not accepted. Try a positive integer";
                Err(Failure::bad_data(format!("invalid parameter \"{name}\": {what}")))
            }
            other => Ok(other),
        }
    }

    /// `limit`: how many entries at most; 0 and none mean all.
    pub(super) fn limit(&self) -> Result<usize, Failure> {
        let limit = self.read("limit", "number", |text| text.parse().ok())?;
        Ok(limit.filter(|limit| *limit > 0).unwrap_or(usize::MAX))
    }

    /// `start` and `end` in milliseconds, both inclusive; without them, the last so many.
    pub(super) fn range(&self, default_ms: i64) -> Result<(i64, i64), Failure> {
        let end = self.time("end")?.unwrap_or_else(now_ms);
        let start = self.time("start")?.unwrap_or_else(|| end.saturating_sub(default_ms));
        if end < start {
            let what = "end timestamp must not be before start time";
            return Err(Failure::bad_data(format!("invalid parameter \"end\": {what}")));
        }
        Ok((start, end))
    }

    /// `query`.
    pub(super) fn query(&self) -> Result<&str, Failure> {
        self.get("query").ok_or_else(|| Failure::bad_data("invalid parameter \"query\": it is missing"))
    }
}

/// Now, in milliseconds.
pub(super) fn now_ms() -> i64 {
    (clock::now_ns() / 1_000_000).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: times and lengths in all forms, good and bad. Promise: read as Prometheus reads them.
    #[test]
    fn times() {
        assert_eq!(time_ms("1435781451.781"), Some(1_435_781_451_781));
        assert_eq!(time_ms("2015-07-01T20:10:51.781Z"), Some(1_435_781_451_781));
        assert_eq!(time_ms("2015-07-01T22:10:51+02:00"), Some(1_435_781_451_000));
        assert_eq!(length_ms("15"), Some(15_000));
        assert_eq!(length_ms("1m30s"), Some(90_000));
        for bad in ["", "x", "1e300", "NaN", "inf", "2015-07-01"] {
            assert_eq!(time_ms(bad), None, "{bad}");
        }
    }
}
