//! How complete an answer is, where the format of another tool has no field for it: a sentence for its warnings, and a header.

use axum::http::{HeaderName, HeaderValue};
use store::query::Completeness;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Stretches of incomplete time that a sentence lists.
const LISTED: usize = 5;
/// The header's name.
const NAME: HeaderName = HeaderName::from_static("x-lightship-completeness");

/// What of the time asked for is not there, in words; nothing where all is.
pub(crate) fn sentence(completeness: &Completeness) -> Option<String> {
    if completeness.complete {
        return None;
    }
    let time = |ns: u64| {
        let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ns / 1_000_000) * 1_000_000).ok();
        time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| ns.to_string())
    };
    let mut parts: Vec<String> = Vec::new();
    for own in completeness.devices.iter().take(LISTED) {
        let interval = &own.interval;
        let reason = interval.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let state = interval.state.name().replace('_', " ");
        parts.push(format!("{} {state}{reason} {} to {}", own.device, time(interval.from), time(interval.to)));
    }
    let more = completeness.devices.len().saturating_sub(LISTED);
    if more > 0 {
        parts.push(format!("{more} more stretches"));
    }
    let percent = (completeness.fraction * 10_000.0).floor() / 100.0;
    Some(format!("lightship: {percent} % of what is known of this time is here; {}", parts.join("; ")))
}

/// The header of an answer over a time: a dictionary of RFC 9651, `complete=?0, fraction=0.934, stretches=2`. The fraction is rounded
/// down, so that 1 means all.
pub(crate) fn header(completeness: &Completeness) -> [(HeaderName, HeaderValue); 1] {
    let fraction = (completeness.fraction * 1000.0).floor() / 1000.0;
    let fraction = if completeness.complete { fraction } else { fraction.min(0.999) };
    let text = format!(
        "complete=?{}, fraction={fraction:?}, stretches={}",
        u8::from(completeness.complete),
        completeness.devices.len()
    );
    // Digits, letters and signs of ASCII are always a header's value.
    [(NAME, HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("complete=?0")))]
}

#[cfg(test)]
mod tests {
    use model::Signal;
    use store::query::Incomplete;
    use store::{Interval, State};

    use super::*;

    /// Scenario: an answer that is whole, and one that lacks a little. Guarantees: what lacks anything is never told as 1 (P5).
    #[test]
    fn completeness_is_never_rounded_up() {
        let whole = Completeness { fraction: 1.0, complete: true, devices: Vec::new() };
        assert_eq!(header(&whole)[0].1, "complete=?1, fraction=1.0, stretches=0");
        assert_eq!(sentence(&whole), None);
        let interval = Interval {
            from: 0,
            to: 1_000_000_000,
            state: State::HeldOnDevice,
            late: false,
            reason: None,
            records: None,
        };
        let devices = vec![Incomplete { device: "vessel-1".into(), signal: Signal::Logs, interval }];
        let partial = Completeness { fraction: 1.0 - f64::EPSILON, complete: false, devices };
        assert_eq!(header(&partial)[0].1, "complete=?0, fraction=0.999, stretches=1");
        let said = sentence(&partial).unwrap();
        assert!(said.contains("99.99 %") && said.contains("vessel-1 held on device 1970-01-01T00:00:00Z"), "{said}");
    }
}
