//! Which web pages may send (Fetch Standard, "CORS protocol").

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Headers that every OTLP exporter needs.
const ALWAYS: &str = "content-type, content-encoding, idempotency-key, traceparent, tracestate";
/// How long a browser may remember the answer to its preflight, seconds.
const MAX_AGE: &str = "7200";

/// Which web pages may send, and with which headers of their own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cors {
    /// Origins; one `*` in each stands for any text.
    pub origins: Vec<String>,
    /// Request headers beyond the usual ones.
    pub headers: Vec<String>,
}

impl Cors {
    /// The origin of a request, when it may send.
    pub(crate) fn allowed<'h>(&self, headers: &'h HeaderMap) -> Option<&'h HeaderValue> {
        let value = headers.get(header::ORIGIN)?;
        let origin = value.to_str().ok()?;
        self.origins.iter().any(|pattern| matches(pattern, origin)).then_some(value)
    }

    /// What every answer to an origin that may send says.
    pub(crate) fn mark(headers: &mut HeaderMap, origin: HeaderValue) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    }

    /// What the answer to a preflight says besides.
    pub(crate) fn permit(&self, headers: &mut HeaderMap) {
        let all = self.headers.iter().fold(ALWAYS.to_owned(), |all, name| all + ", " + name);
        let mut set = |name: HeaderName, value: Result<HeaderValue, _>| value.map(|value| headers.insert(name, value));
        // The configuration was checked: all of them are names of headers.
        let _set = set(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_str(&all));
        let _set = set(header::ACCESS_CONTROL_ALLOW_METHODS, Ok(HeaderValue::from_static("POST")));
        let _set = set(header::ACCESS_CONTROL_MAX_AGE, Ok(HeaderValue::from_static(MAX_AGE)));
    }
}

fn matches(pattern: &str, origin: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern.eq_ignore_ascii_case(origin),
        Some((before, after)) => {
            origin.len() >= before.len() + after.len()
                && origin.get(..before.len()).is_some_and(|start| start.eq_ignore_ascii_case(before))
                && origin.get(origin.len() - after.len()..).is_some_and(|end| end.eq_ignore_ascii_case(after))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: origins that are named, that fit a pattern, and that only look like it. Guarantees: the first two may
    /// send.
    #[test]
    fn i5_origins_are_matched() {
        let cors =
            Cors { origins: vec!["https://shop.example".into(), "https://*.shop.example".into()], headers: vec![] };
        let of = |origin: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            cors.allowed(&headers).is_some()
        };
        assert!(of("https://shop.example") && of("https://a.shop.example") && of("https://A.Shop.example"));
        assert!(!of("http://shop.example") && !of("https://shop.example.evil") && !of("https://evilshop.example"));
        assert!(!of("null"));
    }
}
