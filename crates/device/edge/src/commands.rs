//! What a person, an alert or a script may ask of the running sampler: `POST` to the admin endpoint.

use std::time::Duration;

use crate::agent::Agent;

/// The longest that a command may last.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The value of a query parameter, with `+` and percent signs resolved.
pub(crate) fn parameter(query: &str, name: &str) -> Option<String> {
    let value = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)?.1;
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Opens an incident window, or keeps a route for a time; what was done, or what is wrong with the command.
pub(crate) fn run(path: &str, query: &str, agent: &Agent) -> Option<Result<String, String>> {
    let time = || match parameter(query, "for").map(|text| text.parse::<config::Span>()) {
        Some(Ok(span)) => Ok(span.0.min(LONGEST)),
        Some(Err(error)) => Err(format!("for: {error}")),
        None => Err("say for how long: ?for=10m; 0s ends it".to_owned()),
    };
    let (now, pipeline) = (agent.shared().clock.now_ns(), &agent.shared().pipeline);
    let until = |time: Duration| now.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    Some(match path {
        "/sampling/incident" => time().map(|time| {
            pipeline.borrow_mut().set_incident(until(time), now);
            format!("the incident window is open for {} s", time.as_secs())
        }),
        "/sampling/keep-route" => time().and_then(|time| {
            let route = parameter(query, "route").ok_or("say which: ?route=/api/orders*&for=10m")?;
            match pipeline.borrow_mut().keep_route(&route, until(time), now) {
                true => Ok(format!("every trace of {route} is kept for {} s", time.as_secs())),
                false => Err("too many routes are kept already".to_owned()),
            }
        }),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: queries with escapes, and broken ones. Guarantees: values as meant, and nothing from what is broken.
    #[test]
    fn parameters_are_read() {
        let query = "route=%2Fapi%2Fa+b*&for=10m";
        assert_eq!(parameter(query, "route").as_deref(), Some("/api/a b*"));
        assert_eq!(parameter(query, "for").as_deref(), Some("10m"));
        for broken in ["", "route", "route=%2", "route=%zz", "route=%ff"] {
            assert_eq!(parameter(broken, "route"), None, "{broken}");
        }
    }
}
