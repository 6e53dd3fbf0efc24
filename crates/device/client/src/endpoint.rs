//! Where a server is.

use std::str::FromStr;

/// An `http(s)://host:port/path` address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Name or address of the host, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path in front of every request's own, without a slash at its end.
    pub base: String,
}

/// A text that is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not an address of the form {form}: {why}")]
pub struct EndpointError {
    text: String,
    form: String,
    why: String,
}

impl EndpointError {
    /// Why it is none.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// Why a text is no address of this form.
    pub fn new(text: &str, form: &str, why: &str) -> Self {
        Self { text: text.to_owned(), form: form.to_owned(), why: why.to_owned() }
    }
}

impl Endpoint {
    /// The value of the `host` header.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |why: &str| EndpointError::new(text, "https://host:port", why);
        let uri: http::Uri = text.parse().map_err(|error: http::uri::InvalidUri| fail(&error.to_string()))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(fail("it must start with https:// or http://")),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| fail("it names no host"))?;
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if authority.contains('@') {
            let host = uri.host().unwrap_or_default();
            let why = "it must not have a user; use token_file or headers";
            return Err(EndpointError::new(host, "https://host:port", why));
        }
        // What is no number is no port for the library either.
        let behind = authority.rsplit_once(']').map_or(authority, |(_, behind)| behind);
        if behind.contains(':') && uri.port_u16().is_none() {
            return Err(fail("the port is no number up to 65535"));
        }
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        if uri.query().is_some() {
            return Err(fail("it must not have a query"));
        }
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { tls, host, port, base: uri.path().trim_end_matches('/').to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: addresses with and without port and path, IPv6, and texts that are none. Guarantees: read or refused.
    #[test]
    fn endpoints_are_read() {
        let endpoint: Endpoint = "https://hub.example:7443/in/".parse().unwrap();
        assert_eq!((endpoint.tls, endpoint.port, endpoint.base.as_str()), (true, 7443, "/in"));
        let endpoint: Endpoint = "http://[::1]:4318".parse().unwrap();
        assert_eq!((endpoint.host.as_str(), endpoint.authority().as_str()), ("::1", "[::1]:4318"));
        for bad in
            ["hub:7443", "ftp://x", "https://", "https://x/?a=b", "", "http://x:port", "http://x:99999", "http://u:p@x"]
        {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }
}
