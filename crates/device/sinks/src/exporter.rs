//! The protocols of destinations that take requests of one signal: the one place that names them all.

use drain::{Delivered, Delivery, PartialSuccess, RequestId, SendError};
use model::Signal;

#[cfg(feature = "file")]
use crate::file::FileSink;
#[cfg(feature = "nats")]
use crate::jetstream::NatsSink;
#[cfg(feature = "loki")]
use crate::loki_push::LokiSink;
#[cfg(feature = "mqtt")]
use crate::mqtt_publish::MqttSink;
#[cfg(any(feature = "otlp-http", feature = "otlp-grpc"))]
use crate::otlp::OtlpSink;
#[cfg(feature = "remote-write")]
use crate::remote_write::PrometheusSink;

/// A connection to a server that takes one signal a request.
pub enum Exporter {
    /// OTLP over gRPC or HTTP.
    #[cfg(any(feature = "otlp-http", feature = "otlp-grpc"))]
    Otlp(OtlpSink),
    /// Prometheus remote write: metrics.
    #[cfg(feature = "remote-write")]
    Prometheus(Box<PrometheusSink>),
    /// Loki's push: log records.
    #[cfg(feature = "loki")]
    Loki(Box<LokiSink>),
    /// NATS JetStream: OTLP export requests as messages of a stream.
    #[cfg(feature = "nats")]
    Nats(Box<NatsSink>),
    /// MQTT 5 with QoS 1: OTLP export requests as messages.
    #[cfg(feature = "mqtt")]
    Mqtt(Box<MqttSink>),
    /// OTLP JSON lines, into files or to standard output.
    #[cfg(feature = "file")]
    File(FileSink),
}

impl Exporter {
    /// Sends one OTLP export request of this signal, in the server's own form. An empty one asks whether it would take any.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn export(&mut self, signal: Signal, request: &[u8]) -> Result<PartialSuccess, SendError> {
        self.send(signal, request, None).await
    }

    /// Sends a request, under its name where the server can tell by it what it has already.
    async fn send(
        &mut self,
        signal: Signal,
        request: &[u8],
        id: Option<RequestId>,
    ) -> Result<PartialSuccess, SendError> {
        #[cfg(not(feature = "nats"))]
        let _only_for_nats = id;
        match self {
            #[cfg(any(feature = "otlp-http", feature = "otlp-grpc"))]
            Exporter::Otlp(sink) => sink.export(signal, request).await,
            #[cfg(feature = "remote-write")]
            Exporter::Prometheus(sink) => sink.export(signal, request).await,
            #[cfg(feature = "loki")]
            Exporter::Loki(sink) => sink.export(signal, request).await,
            #[cfg(feature = "nats")]
            Exporter::Nats(sink) => sink.export(signal, request, id).await,
            #[cfg(feature = "mqtt")]
            Exporter::Mqtt(sink) => sink.export(signal, request).await,
            #[cfg(feature = "file")]
            Exporter::File(sink) => sink.export(signal, request).await,
        }
    }

    /// Sends the block that `delivery` has begun with as it says: its records of one signal, and the parts of what is refused.
    ///
    /// # Errors
    /// [`SendError::Retry`] and [`SendError::Blocked`]: not everything is decided, the block is to be given again.
    pub async fn deliver(&mut self, delivery: &mut Delivery) -> Result<Delivered, SendError> {
        let signal = delivery.signal();
        loop {
            let id = delivery.request_id();
            let Some(request) = delivery.request() else { break };
            let answer = self.send(signal, request, id).await;
            delivery.answered(answer);
        }
        delivery.finish()
    }

    /// There is nothing to send for now: gives back what only sending needs.
    pub fn rest(&mut self) {
        match self {
            #[cfg(any(feature = "otlp-http", feature = "otlp-grpc"))]
            Exporter::Otlp(sink) => sink.rest(),
            #[cfg(feature = "remote-write")]
            Exporter::Prometheus(sink) => sink.rest(),
            #[cfg(feature = "loki")]
            Exporter::Loki(sink) => sink.rest(),
            #[cfg(feature = "nats")]
            Exporter::Nats(_) => {}
            #[cfg(feature = "mqtt")]
            Exporter::Mqtt(_) => {}
            #[cfg(feature = "file")]
            Exporter::File(_) => {}
        }
    }
}
