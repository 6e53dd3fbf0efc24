//! Delivery: requests out, answers back. A sink owns its protocol and nothing else: `drain` decides what is sent, what is split, and
//! what an answer means for the data.
//!
//! Everything runs on the caller's single-threaded runtime.

mod answer;
mod broker;
mod certificate;
mod connect;
mod credentials;
mod endpoint;
#[cfg(feature = "exporter")]
mod exporter;
#[cfg(feature = "file")]
mod file;
#[cfg(feature = "otlp-grpc")]
mod grpc;
#[cfg(any(feature = "otlp-http", feature = "otlp-grpc"))]
mod gzip;
mod http1;
mod hub;
#[cfg(feature = "nats")]
mod jetstream;
mod knock;
#[cfg(feature = "loki")]
mod loki_push;
#[cfg(feature = "mqtt")]
mod mqtt_publish;
#[cfg(any(feature = "otlp-http", feature = "otlp-grpc"))]
mod otlp;
mod proxy;
#[cfg(feature = "remote-write")]
mod remote_write;
#[cfg(any(feature = "loki", feature = "remote-write"))]
mod snappy;
mod text;
mod tls;

pub use broker::{BrokerAddress, BrokerKind, Login};
pub use certificate::valid_until;
pub use credentials::{CredentialFiles, Credentials};
pub use endpoint::{Endpoint, EndpointError};
#[cfg(feature = "exporter")]
pub use exporter::Exporter;
#[cfg(feature = "file")]
pub use file::{FileOptions, FileSink};
#[cfg(any(feature = "otlp-http", feature = "otlp-grpc"))]
pub use gzip::Gzip;
pub use hub::HubSink;
#[cfg(feature = "nats")]
pub use jetstream::NatsSink;
pub use knock::{Knock, Tls, knock};
#[cfg(feature = "loki")]
pub use loki_push::LokiSink;
#[cfg(feature = "mqtt")]
pub use mqtt_publish::MqttSink;
#[cfg(any(feature = "otlp-http", feature = "otlp-grpc"))]
pub use otlp::OtlpSink;
#[cfg(feature = "remote-write")]
pub use prometheus::{Options as PrometheusOptions, Translation};
pub use proxy::{Proxy, Route};
#[cfg(feature = "remote-write")]
pub use remote_write::PrometheusSink;
pub use tls::file_valid_until;

use drain::SendError;
use model::Refusal;

/// How a sink reaches its server.
#[derive(Clone)]
pub struct Access {
    /// Where it is.
    pub endpoint: Endpoint,
    /// By itself, or through a proxy.
    pub route: Route,
    /// What it is shown, and whom it is believed.
    pub credentials: std::rc::Rc<Credentials>,
    /// The longest time of one request, connection included.
    pub timeout: std::time::Duration,
}

impl Access {
    /// That nothing came within the timeout.
    fn no_answer(&self) -> SendError {
        let why = format!("no answer from {} in {:?}", self.endpoint.authority(), self.timeout);
        SendError::retry(Refusal::TimedOut, why)
    }
}
