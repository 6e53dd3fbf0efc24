//! An OTLP destination as the agent has it: the protocol, and what is delivered over it.

use drain::{Delivered, Delivery, SendError};
use sinks::OtlpSink;

/// A sink with its delivery.
pub(crate) struct Endpoint {
    sink: OtlpSink,
    pub(crate) delivery: Delivery,
}

impl Endpoint {
    /// Over this connection.
    pub(crate) fn new(sink: OtlpSink) -> Self {
        Self { sink, delivery: Delivery::default() }
    }

    /// Sends a block.
    pub(crate) async fn deliver(&mut self, block: &[u8]) -> Result<Delivered, SendError> {
        self.sink.deliver(&mut self.delivery, block).await
    }
}
