//! Which proxy stands between: as configured, or from the environment as curl and Go read it.

use std::fmt;
use std::net::IpAddr;

use http::HeaderValue;

use crate::endpoint::Endpoint;
use crate::text::{base64_of, percent_decoded};

/// How a server is reached.
#[derive(Debug, Clone, Default)]
pub enum Route {
    /// By itself.
    #[default]
    Direct,
    /// Through a proxy.
    Proxy(Proxy),
    /// A variable of the environment names a proxy that cannot be used; why, and what to do.
    Unusable(String),
}

/// A proxy that connects by HTTP CONNECT.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// Name or address of its host.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// What it is shown, where the address has a user and a password.
    pub(crate) authorization: Option<HeaderValue>,
    /// The user, without a password.
    user: Option<String>,
    /// What names it.
    source: String,
}

/// Without user and password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "http://[{}]:{} ({})", self.host, self.port, self.source),
            false => write!(f, "http://{}:{} ({})", self.host, self.port, self.source),
        }
    }
}

impl Proxy {
    /// Reads `http://[user[:password]@]host[:port]`, user and password percent-encoded. `source` is what names it, for messages.
    ///
    /// # Errors
    /// What is wrong; the text itself, which may have a password in it, is not repeated.
    pub fn parse(text: &str, source: &str) -> Result<Self, String> {
        let fail =
            |why: &str| format!("{source}: {why}; a proxy is http://host:port or http://user:password@host:port");
        match text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase()) {
            Some(scheme) if scheme != "http" => {
                return Err(fail(&format!("a proxy of the kind {} is not supported", scheme.escape_default())));
            }
            _ => {}
        }
        let text = text.split_once("://").map_or(text, |(_, rest)| rest).trim_end_matches('/');
        let (login, place) = text.rsplit_once('@').map_or((None, text), |(login, place)| (Some(login), place));
        let endpoint: Endpoint =
            format!("http://{place}").parse().map_err(|_| fail("this is no address of a proxy"))?;
        if !endpoint.base.is_empty() {
            return Err(fail("there is a path behind the address"));
        }
        let login = login.map(|login| login.split_once(':').map_or((login, None), |(user, word)| (user, Some(word))));
        let user = login.map(|(user, _)| String::from_utf8_lossy(&percent_decoded(user)).into_owned());
        let authorization = match (&user, login) {
            (Some(user), Some((_, Some(password)))) => {
                let password = String::from_utf8_lossy(&percent_decoded(password)).into_owned();
                Some(basic(user, &password))
            }
            _ => None,
        };
        Ok(Self { host: endpoint.host, port: endpoint.port, authorization, user, source: source.to_owned() })
    }

    /// The user that its address names without a password, which comes from elsewhere then.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref().filter(|_| self.authorization.is_none())
    }
}

/// What a proxy is shown.
pub(crate) fn basic(user: &str, password: &str) -> HeaderValue {
    let text = format!("Basic {}", base64_of(format!("{user}:{password}").as_bytes()));
    // Base64 is always a value.
    let mut value = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("Basic"));
    value.set_sensitive(true);
    value
}

impl Route {
    /// What the environment says of an endpoint: `https_proxy` or `http_proxy` by its scheme, else `all_proxy`, unless `no_proxy` names
    /// it, each also in capitals. This machine itself is reached without a proxy.
    pub fn from_environment(endpoint: &Endpoint, variable: impl Fn(&str) -> Option<String>) -> Self {
        let first = |name: &str| {
            let names = [name.to_owned(), name.to_ascii_uppercase()];
            names.into_iter().find_map(|name| {
                let value = variable(&name)?.trim().to_owned();
                (!value.is_empty()).then_some((name, value))
            })
        };
        let own = if endpoint.tls { "https_proxy" } else { "http_proxy" };
        let Some((name, value)) = first(own).or_else(|| first("all_proxy")) else { return Route::Direct };
        let host = endpoint.host.trim_end_matches('.').to_ascii_lowercase();
        let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if is_here || first("no_proxy").is_some_and(|(_, list)| is_named(&list, &host, endpoint.port)) {
            return Route::Direct;
        }
        match Proxy::parse(&value, &name) {
            Ok(proxy) => Route::Proxy(proxy),
            Err(why) => Route::Unusable(format!(
                "the environment names a proxy that cannot be used: {why}; `proxy: none` of the destination leaves it out"
            )),
        }
    }
}

/// Whether a list as in `no_proxy` names a host: `*`, names with all below them, addresses, networks (`10.0.0.0/8`), each with or
/// without a port.
fn is_named(list: &str, host: &str, port: u16) -> bool {
    let address: Option<IpAddr> = host.parse().ok();
    list.split([',', ' ', '\t']).map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        if entry == "*" {
            return true;
        }
        if let Some((network, length)) = entry.split_once('/') {
            let (network, length) = (network.parse::<IpAddr>(), length.parse::<u32>());
            return matches!((address, network, length), (Some(address), Ok(network), Ok(length)) if is_in(address, network, length));
        }
        let (name, wanted) = match entry.rsplit_once(':') {
            // An IPv6 address without brackets has colons of its own.
            Some((name, digits)) if !name.contains(':') || name.ends_with(']') => (name, digits.parse::<u16>().ok()),
            _ => (entry, None),
        };
        if wanted.is_some_and(|wanted| wanted != port) {
            return false;
        }
        let name = name.trim_start_matches('[').trim_end_matches(']');
        if let Some(address) = address {
            return name.parse() == Ok(address);
        }
        let name = name.trim_start_matches("*.").trim_matches('.').to_ascii_lowercase();
        host.strip_suffix(&name).is_some_and(|rest| !name.is_empty() && (rest.is_empty() || rest.ends_with('.')))
    })
}

fn is_in(address: IpAddr, network: IpAddr, length: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) if length <= 32 => {
            (address.to_bits() ^ network.to_bits()).checked_shr(32 - length).unwrap_or(0) == 0
        }
        (IpAddr::V6(address), IpAddr::V6(network)) if length <= 128 => {
            (address.to_bits() ^ network.to_bits()).checked_shr(128 - length).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(url: &str, variables: &[(&str, &str)]) -> String {
        let find =
            |name: &str| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned());
        match Route::from_environment(&url.parse().unwrap(), find) {
            Route::Direct => String::new(),
            Route::Proxy(proxy) => proxy.to_string(),
            Route::Unusable(why) => why,
        }
    }

    /// Scenario: addresses of proxies with and without scheme, port, user and password, and texts that are none. Guarantees: read, or
    /// refused without repeating a password (D9).
    #[test]
    fn d9_addresses_of_proxies_are_read() {
        let proxy = Proxy::parse("http://us%40er:p%3Aw@proxy.example:3128/", "proxy").unwrap();
        assert_eq!(proxy.to_string(), "http://proxy.example:3128 (proxy)");
        assert_eq!(proxy.authorization.unwrap(), format!("Basic {}", base64_of(b"us@er:p:w")).as_str());
        let proxy = Proxy::parse("user@[fd00::1]:8080", "proxy").unwrap();
        assert_eq!((proxy.user(), proxy.to_string().as_str()), (Some("user"), "http://[fd00::1]:8080 (proxy)"));
        assert_eq!(Proxy::parse("proxy", "x").unwrap().port, 80);
        for bad in [
            "socks5://u:secret@p:1",
            "https://u:secret@p:1",
            "http://u:secret@",
            "u:secret@p:port",
            "http://u:secret@p/x",
            "",
        ] {
            let why = Proxy::parse(bad, "https_proxy").unwrap_err();
            assert!(why.starts_with("https_proxy: ") && !why.contains("secret"), "{why}");
        }
    }

    /// Scenario: the variables one by one and together, in both spellings, empty, for addresses of both schemes. Guarantees: the one that
    /// curl and Go would take; this machine needs none; what cannot be used is told (D9).
    #[test]
    fn d9_the_environment_is_read() {
        let (http, https) = ("http://backend:4318", "https://backend:4318");
        assert_eq!(route(https, &[]), "");
        assert_eq!(route(https, &[("HTTPS_PROXY", "p:1")]), "http://p:1 (HTTPS_PROXY)");
        assert_eq!(route(http, &[("HTTPS_PROXY", "p:1")]), "");
        assert_eq!(route(http, &[("HTTP_PROXY", "p:1"), ("http_proxy", "q:2")]), "http://q:2 (http_proxy)");
        assert_eq!(route(http, &[("ALL_PROXY", "p:1")]), "http://p:1 (ALL_PROXY)");
        assert_eq!(route(https, &[("https_proxy", " "), ("all_proxy", "q:2")]), "http://q:2 (all_proxy)");
        for here in ["http://localhost:1", "http://127.0.0.9:1", "http://[::1]:1"] {
            assert_eq!(route(here, &[("all_proxy", "p:1")]), "", "{here}");
        }
        assert!(route(https, &[("ALL_PROXY", "socks5h://p:1")]).contains("`proxy: none`"));
    }

    /// Scenario: lists of exceptions with names, parts of names, addresses, networks and ports. Guarantees: as curl and Go read them (D9).
    #[test]
    fn d9_exceptions_are_read() {
        let is_direct = |list: &str, url: &str| route(url, &[("all_proxy", "p:1"), ("NO_PROXY", list)]).is_empty();
        for (list, url) in [
            ("*", "http://x"),
            ("a, example.com", "http://example.com"),
            ("example.com", "http://SUB.example.com."),
            (".example.com", "http://sub.example.com"),
            ("*.example.com", "http://sub.example.com"),
            ("example.com:4318", "http://example.com:4318"),
            ("10.1.2.3", "http://10.1.2.3"),
            ("10.0.0.0/8", "http://10.200.0.1"),
            ("0.0.0.0/0", "http://10.200.0.1"),
            ("fd00::/8", "http://[fd12::1]"),
            ("[fd12::1]:80", "http://[fd12::1]"),
            ("fd12::1", "http://[fd12::1]"),
        ] {
            assert!(is_direct(list, url), "{list} {url}");
        }
        for (list, url) in [
            ("", "http://x"),
            (".", "http://x"),
            ("example.com", "http://badexample.com"),
            ("sub.example.com", "http://example.com"),
            ("example.com:1", "http://example.com:4318"),
            ("10.0.0.0/8", "http://11.0.0.1"),
            ("10.0.0.0/99", "http://10.0.0.1"),
            ("10.0.0.0/8", "http://backend"),
            ("10.1.2", "http://10.1.2.3"),
        ] {
            assert!(!is_direct(list, url), "{list} {url}");
        }
    }
}
