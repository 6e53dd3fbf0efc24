//! A look at the way to a server, step by step, for `lightship doctor`.

use drain::SendError;

use crate::connect::{encrypt, reach};
use client::Access;
use client::Route;
use client::valid_until;

/// How far it goes.
#[derive(Debug)]
pub struct Knock {
    /// The host whose name is looked up: the server, or the proxy in front of it.
    pub host: String,
    /// Its addresses, or why there are none.
    pub addresses: Result<Vec<String>, String>,
    /// Whether a connection comes about, through the proxy where there is one; `None`: not tried.
    pub connected: Option<Result<(), SendError>>,
    /// What TLS came to; `None`: not tried.
    pub tls: Option<Result<Tls, SendError>>,
}

/// What TLS came to.
#[derive(Debug)]
pub struct Tls {
    /// The version.
    pub version: String,
    /// Until when each certificate that the server shows is valid, Unix seconds, the server's own first.
    pub valid_until: Vec<Option<u64>>,
}

/// Looks up the name, connects, and does TLS, as far as that goes; each step within the timeout.
pub async fn knock(access: &Access) -> Knock {
    let (host, port) = match &access.route {
        Route::Proxy(proxy) => (proxy.host.clone(), proxy.port),
        Route::Direct | Route::Unusable(_) => (access.endpoint.host.clone(), access.endpoint.port),
    };
    let found = tokio::time::timeout(access.timeout, tokio::net::lookup_host((host.as_str(), port))).await;
    let addresses = match found {
        Ok(Ok(found)) => Ok(found.map(|address| address.ip().to_string()).collect()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(crate::connect::no_answer(access).to_string()),
    };
    let mut all = Knock { host: host.clone(), addresses, connected: None, tls: None };
    if all.addresses.is_err() {
        return all;
    }
    let stream = match tokio::time::timeout(access.timeout, reach(access))
        .await
        .unwrap_or_else(|_| Err(crate::connect::no_answer(access)))
    {
        Ok(stream) => stream,
        Err(error) => {
            all.connected = Some(Err(error));
            return all;
        }
    };
    all.connected = Some(Ok(()));
    if access.endpoint.tls {
        let done = tokio::time::timeout(access.timeout, encrypt(access, b"http/1.1", stream)).await;
        all.tls = Some(done.unwrap_or_else(|_| Err(crate::connect::no_answer(access))).map(|stream| {
            let (_, session) = stream.get_ref();
            let version = session.protocol_version().map_or_else(String::new, |version| format!("{version:?}"));
            let shown = session.peer_certificates().unwrap_or_default();
            Tls { version, valid_until: shown.iter().map(|one| valid_until(one)).collect() }
        }));
    }
    all
}
