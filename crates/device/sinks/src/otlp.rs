//! OTLP (1.11) as a client: one export request out, its answer back.

#[cfg(feature = "otlp-http")]
use bytes::Bytes;
use drain::{Delivered, Delivery, PartialSuccess, SendError};
use model::{Refusal, Signal};

use crate::Access;
#[cfg(feature = "otlp-grpc")]
use crate::answer::partial_success;
#[cfg(feature = "otlp-http")]
use crate::answer::{export_response, failure};
#[cfg(feature = "otlp-grpc")]
use crate::grpc::GrpcClient;
#[cfg(feature = "otlp-http")]
use crate::gzip::Gzip;
#[cfg(feature = "otlp-http")]
use crate::http1::Client;

enum Transport {
    #[cfg(feature = "otlp-http")]
    Http(Client, Gzip),
    #[cfg(feature = "otlp-grpc")]
    Grpc(GrpcClient),
}

/// The connection to an OTLP endpoint.
pub struct OtlpSink {
    transport: Transport,
}

impl OtlpSink {
    /// A sink that speaks OTLP/HTTP and connects when it is first used.
    #[cfg(feature = "otlp-http")]
    pub fn http(access: Access) -> Self {
        Self { transport: Transport::Http(Client::new(access), Gzip::new()) }
    }

    /// A sink that speaks OTLP/gRPC and connects when it is first used.
    #[cfg(feature = "otlp-grpc")]
    pub fn grpc(access: Access) -> Self {
        Self { transport: Transport::Grpc(GrpcClient::new(access)) }
    }

    /// Asks whether the server would take export requests of each signal, by an empty one.
    ///
    /// # Errors
    /// [`SendError`], of the first signal that it does not take.
    pub async fn probe(&mut self) -> Result<(), SendError> {
        for signal in Signal::ALL {
            self.export(signal, &[]).await?;
        }
        Ok(())
    }

    /// Sends the block that `delivery` has begun with as it says: its signals, and the parts of what is refused.
    ///
    /// # Errors
    /// [`SendError::Retry`] and [`SendError::Blocked`]: not everything is decided, the block is to be given again.
    pub async fn deliver(&mut self, delivery: &mut Delivery) -> Result<Delivered, SendError> {
        while let Some((signal, request)) = delivery.request() {
            let answer = self.export(signal, request).await;
            delivery.answered(answer);
        }
        delivery.finish()
    }

    /// There is nothing to send for now: gives back what only sending needs.
    pub fn rest(&mut self) {
        #[cfg(feature = "otlp-http")]
        #[cfg_attr(
            not(feature = "otlp-grpc"),
            allow(irrefutable_let_patterns, reason = "the only transport of this build")
        )]
        if let Transport::Http(_, gzip) = &mut self.transport {
            gzip.release();
        }
    }

    /// Sends one export request.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn export(&mut self, signal: Signal, request: &[u8]) -> Result<PartialSuccess, SendError> {
        match &mut self.transport {
            #[cfg(feature = "otlp-http")]
            Transport::Http(client, gzip) => {
                let headers = [("content-type", "application/x-protobuf"), ("content-encoding", "gzip")];
                let path = format!("/v1/{}", signal.name());
                let body = gzip.compressed(request);
                let body =
                    body.ok_or_else(|| SendError::retry(Refusal::Unencodable, "the request cannot be compressed"))?;
                let answer = client.post(&path, &headers, Bytes::from(body)).await?;
                if !answer.status.is_success() {
                    return Err(failure(&answer, true));
                }
                export_response(&answer)
            }
            #[cfg(feature = "otlp-grpc")]
            Transport::Grpc(client) => {
                let message = client.export(signal, request).await?;
                partial_success(&message).ok_or_else(|| {
                    SendError::retry(Refusal::NotAnExportResponse, "the answer's message is no export response")
                })
            }
        }
    }
}
