//! Where a message broker is, and as whom it is asked.

use client::text::percent_decoded;
use client::{Endpoint, EndpointError};

/// The brokers' protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerKind {
    /// `mqtt://`, port 1883, and `mqtts://`, port 8883.
    Mqtt,
    /// `nats://` and `tls://`, port 4222.
    Nats,
}

impl BrokerKind {
    /// The scheme without and with TLS, and the port of each.
    fn schemes(self) -> [(&'static str, u16); 2] {
        match self {
            BrokerKind::Mqtt => [("mqtt", 1883), ("mqtts", 8883)],
            BrokerKind::Nats => [("nats", 4222), ("tls", 4222)],
        }
    }
}

/// As whom a broker is asked. Secrets are not shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// The user's name, where there is one.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<String>,
}

/// A broker's address: `scheme://user:password@host:port`.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerAddress {
    /// Where it is.
    pub endpoint: Endpoint,
    /// As whom.
    pub login: Login,
}

impl BrokerAddress {
    /// Reads an address. User and password may have `%XX` in place of characters.
    ///
    /// # Errors
    /// [`EndpointError`], which shows no password.
    pub fn parse(kind: BrokerKind, text: &str) -> Result<Self, EndpointError> {
        let [(plain, _), (encrypted, _)] = kind.schemes();
        let (scheme, behind) = text.split_once("://").unwrap_or_default();
        let (said, place) = behind.rsplit_once('@').map_or((None, behind), |(said, place)| (Some(said), place));
        let fail = |why: &str| EndpointError::new(place, &format!("{plain}://host:port"), why);
        let (tls, port) = match kind.schemes() {
            [(plain, port), _] if scheme == plain => (false, port),
            [_, (encrypted, port)] if scheme == encrypted => (true, port),
            _ => return Err(fail(&format!("it must start with {plain}:// or {encrypted}://"))),
        };
        let endpoint: Endpoint = format!("http://{place}").parse().map_err(|error: EndpointError| fail(error.why()))?;
        if !endpoint.base.is_empty() {
            return Err(fail("it must not have a path"));
        }
        let behind_brackets = place.rsplit_once(']').map_or(place, |(_, behind)| behind);
        let port = if behind_brackets.contains(':') { endpoint.port } else { port };
        let login = match said.map(|said| said.split_once(':').map_or((said, None), |(user, word)| (user, Some(word))))
        {
            None => Login::default(),
            Some((user, password)) => {
                let read =
                    |part: &str| String::from_utf8(percent_decoded(part)).map_err(|_| fail("its user is no text"));
                Login { user: Some(read(user)?), password: password.map(read).transpose()? }
            }
        };
        Ok(Self { endpoint: Endpoint { tls, port, ..endpoint }, login })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: addresses of brokers with and without port, user and password, IPv6, and texts that are none. Guarantees: read or
    /// refused; no error shows a password.
    #[test]
    fn addresses_are_read() {
        let read = |text: &str| BrokerAddress::parse(BrokerKind::Nats, text);
        let address = read("nats://nats.example").ok().unwrap();
        assert_eq!((address.endpoint.tls, address.endpoint.port, address.login.user), (false, 4222, None));
        let address = read("tls://d%40x:p%3aw@[::1]:4223/").ok().unwrap();
        assert_eq!((address.endpoint.tls, address.endpoint.authority().as_str()), (true, "[::1]:4223"));
        assert_eq!((address.login.user.as_deref(), address.login.password.as_deref()), (Some("d@x"), Some("p:w")));
        let mqtt = |text: &str| BrokerAddress::parse(BrokerKind::Mqtt, text).ok().map(|one| one.endpoint);
        let ports = ["mqtt://h", "mqtts://h", "mqtts://h:1"].map(|text| mqtt(text).map(|one| (one.tls, one.port)));
        assert_eq!(ports, [Some((false, 1883)), Some((true, 8883)), Some((true, 1))]);
        assert_eq!(mqtt("nats://h"), None);
        let address = read("nats://user@host").ok().unwrap();
        assert_eq!((address.login.user.as_deref(), address.login.password), (Some("user"), None));
        for bad in [
            "host:4222",
            "https://host",
            "nats://",
            "nats://u:secret@host/path",
            "nats://u:secret@host?a=b",
            "nats://u:secret%ff@host",
            "nats://u:secret@ho st",
            "http://u:secret@host",
            "nats://u:secret@host:99999",
            "",
        ] {
            let error = read(bad).err().unwrap().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
