//! Who may ask the admin endpoint, and who may change something there.

use std::net::IpAddr;

use config::Config;
use http::{HeaderMap, Method, StatusCode, header};
use model::Refusal;

use crate::error::{StartError, start_error};

/// What the network address lets pass. The Unix socket lets everything pass: its file's owner and mode say who may.
#[derive(Debug, Default)]
pub(crate) struct Access {
    /// Names of this machine, in lower case.
    pub(crate) hosts: Vec<String>,
    /// What has to come with requests that change something; without one, none pass.
    pub(crate) token: Option<String>,
}

/// Why a request does not pass: the reason, the status and the words.
pub(crate) type Denied = (Refusal, StatusCode, &'static str);

/// Who may ask on the admin address.
pub(crate) fn access(config: &Config) -> Result<Access, StartError> {
    let token = match &config.admin.token_file {
        None => None,
        Some(path) => {
            let fail = |why: String| start_error(format!("admin.token_file {}: {why}", path.display()));
            let token = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
            let token = token.trim().to_owned();
            if token.is_empty() {
                return Err(fail("it is empty".into()));
            }
            Some(token)
        }
    };
    let mut hosts: Vec<String> = config.admin.hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
    // Its own name, whole and without its domain.
    let name = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    hosts.extend(name.split('.').next().filter(|first| !first.is_empty()).map(str::to_owned));
    hosts.push(name);
    Ok(Access { hosts, token })
}

impl Access {
    /// Whether a request passes.
    pub(crate) fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), Denied> {
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
        let host = text(header::HOST);
        // A page in a browser of this machine can point a name of its own at this address (DNS rebinding).
        if host.is_some_and(|host| !self.is_host(host)) {
            let why = "this name is not one of this machine; name it in admin.hosts, or ask by address\n";
            return Err((Refusal::HostNotAllowed, StatusCode::FORBIDDEN, why));
        }
        let same = |origin: &str| origin.split_once("://").map(|(_, rest)| rest) == host;
        let site = text(header::HeaderName::from_static("sec-fetch-site"));
        if text(header::ORIGIN).is_some_and(|origin| !same(origin))
            || site.is_some_and(|site| !["same-origin", "none"].contains(&site))
        {
            let why = "web pages of other places may not ask here\n";
            return Err((Refusal::OriginNotAllowed, StatusCode::FORBIDDEN, why));
        }
        if [Method::GET, Method::HEAD].contains(method) {
            return Ok(());
        }
        let given = text(header::AUTHORIZATION).and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        });
        match (&self.token, given) {
            (Some(token), Some(given)) if is_same(token, given) => Ok(()),
            (Some(_), _) => {
                let why = "send the token of admin.token_file as a bearer token\n";
                Err((Refusal::Unauthorized, StatusCode::UNAUTHORIZED, why))
            }
            (None, _) => {
                let why = "only the Unix socket lightship.sock in data_dir takes this; with admin.token_file this address \
                           does too\n";
                Err((Refusal::Unauthorized, StatusCode::FORBIDDEN, why))
            }
        }
    }

    fn is_host(&self, host: &str) -> bool {
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => host.rsplit_once(':').map_or(host, |(name, _)| name),
        };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        name.parse::<IpAddr>().is_ok() || name == "localhost" || self.hosts.contains(&name)
    }
}

/// Whether two secrets are the same, without telling by time where they differ.
fn is_same(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.bytes().zip(other.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(token: Option<&str>, method: &Method, headers: &[(&'static str, &str)]) -> Option<Refusal> {
        let access = Access { hosts: vec!["vessel".into()], token: token.map(str::to_owned) };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        access.check(method, &map).err().map(|(reason, ..)| reason)
    }

    /// Scenario: requests by address, by names of this machine and by another name; from a page of the same place and of
    /// others. Guarantees: reading is for everyone who is no page of another place.
    #[test]
    fn i16_names_and_origins_are_checked() {
        let get = |headers: &[(&'static str, &str)]| check(None, &Method::GET, headers);
        for host in ["127.0.0.1:8888", "[::1]:8888", "localhost", "LOCALHOST:1", "vessel:8888", "10.0.0.1", "vessel."] {
            assert_eq!(get(&[("host", host)]), None, "{host}");
        }
        for host in ["evil.example", "evil.example:8888", "127.0.0.1.evil.example", ""] {
            assert_eq!(get(&[("host", host)]), Some(Refusal::HostNotAllowed), "{host}");
        }
        assert_eq!(get(&[]), None);
        let host = ("host", "127.0.0.1:8888");
        assert_eq!(get(&[host, ("origin", "http://127.0.0.1:8888")]), None);
        for origin in ["http://evil.example", "null", "http://127.0.0.1:9999"] {
            assert_eq!(get(&[host, ("origin", origin)]), Some(Refusal::OriginNotAllowed), "{origin}");
        }
        assert_eq!(get(&[host, ("sec-fetch-site", "cross-site")]), Some(Refusal::OriginNotAllowed));
        assert_eq!(get(&[host, ("sec-fetch-site", "none")]), None);
    }

    /// Scenario: requests that change something, without a token, with one where none is configured, with a wrong one.
    /// Guarantees: only the right token passes.
    #[test]
    fn i16_what_changes_something_needs_the_token() {
        let post = |token, headers: &[(&'static str, &str)]| check(token, &Method::POST, headers);
        assert_eq!(post(None, &[]), Some(Refusal::Unauthorized));
        assert_eq!(post(None, &[("authorization", "Bearer x")]), Some(Refusal::Unauthorized));
        assert_eq!(post(Some("x"), &[("authorization", "Bearer x")]), None);
        assert_eq!(post(Some("x"), &[("authorization", "bearer  x")]), None);
        for wrong in ["Bearer y", "Bearer xx", "Bearer ", "Basic x", "x"] {
            assert_eq!(post(Some("x"), &[("authorization", wrong)]), Some(Refusal::Unauthorized), "{wrong}");
        }
        assert_eq!(check(Some("x"), &Method::DELETE, &[]), Some(Refusal::Unauthorized));
        assert_eq!(
            post(Some("x"), &[("authorization", "Bearer x"), ("host", "evil.example")]),
            Some(Refusal::HostNotAllowed)
        );
    }
}
