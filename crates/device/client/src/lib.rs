//! The way to a server, for whoever asks one: address, proxy, TLS, credentials. Sinks deliver over it, sources that fetch ask over it.
//!
//! | module | concept |
//! |---|---|
//! | [`Access`] | all of it together |
//! | [`Endpoint`] | where a server is |
//! | [`Route`], [`Proxy`] | what stands between |
//! | [`Credentials`] | what a server is shown and whom it is believed, read again when files change |
//! | [`connect()`] | a connection: TCP, the proxy, TLS |
//! | [`text`] | texts of HTTP: percent signs, base64, times |
//!
//! Everything runs on the caller's single-threaded runtime (`spawn_local`).

mod certificate;
mod connect;
mod credentials;
mod endpoint;
mod error;
mod proxy;
pub mod text;
mod tls;

use std::rc::Rc;
use std::time::Duration;

pub use certificate::valid_until;
pub use connect::{Stream, USER_AGENT, broken, came, connect, encrypt, reach};
pub use credentials::{CredentialFiles, Credentials};
pub use endpoint::{Endpoint, EndpointError};
pub use error::ConnectError;
pub use proxy::{Proxy, Route};
pub use tls::file_valid_until;

/// How a server is reached.
#[derive(Clone)]
pub struct Access {
    /// Where it is.
    pub endpoint: Endpoint,
    /// By itself, or through a proxy.
    pub route: Route,
    /// What it is shown, and whom it is believed.
    pub credentials: Rc<Credentials>,
    /// The longest time of one request, connection included.
    pub timeout: Duration,
}

impl Access {
    /// That nothing came within the timeout.
    pub fn no_answer(&self) -> ConnectError {
        let why = format!("no answer from {} in {:?}", self.endpoint.authority(), self.timeout);
        ConnectError::retry(model::Refusal::TimedOut, why)
    }
}
