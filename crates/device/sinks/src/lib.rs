//! Delivery: requests out, answers back. A sink owns its protocol and nothing else: `drain` decides what is sent, what is split, and
//! what an answer means for the data.
//!
//! Everything runs on the caller's single-threaded runtime.

mod answer;
mod broker;
#[cfg(any(feature = "otlp-http", feature = "otlp-grpc"))]
mod compressor;
mod connect;
#[cfg(feature = "exporter")]
mod exporter;
#[cfg(feature = "file")]
mod file;
#[cfg(feature = "otlp-grpc")]
mod grpc;
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
#[cfg(feature = "remote-write")]
mod remote_write;
#[cfg(any(feature = "loki", feature = "remote-write"))]
mod snappy;

pub use broker::{BrokerAddress, BrokerKind, Login};
pub use client::{
    Access, CredentialFiles, Credentials, Endpoint, EndpointError, Proxy, Route, file_valid_until, valid_until,
};
#[cfg(any(feature = "otlp-http", feature = "otlp-grpc"))]
pub use compressor::{Coding, Compressor};
#[cfg(feature = "exporter")]
pub use exporter::Exporter;
#[cfg(feature = "file")]
pub use file::{FileOptions, FileSink};
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
#[cfg(feature = "remote-write")]
pub use remote_write::PrometheusSink;
