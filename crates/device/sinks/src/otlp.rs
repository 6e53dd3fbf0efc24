//! OTLP (1.11) as a client: one export request out, its answer back.

#[cfg(feature = "otlp-http")]
use bytes::Bytes;
use drain::{PartialSuccess, SendError};
use model::{Refusal, Signal};

#[cfg(feature = "otlp-grpc")]
use crate::answer::partial_success;
#[cfg(feature = "otlp-http")]
use crate::answer::{export_response, failure};
use crate::compressor::Compressor;
#[cfg(feature = "otlp-grpc")]
use crate::grpc::GrpcClient;
#[cfg(feature = "otlp-http")]
use crate::http1::Client;
use client::Access;

enum Transport {
    #[cfg(feature = "otlp-http")]
    Http {
        client: Client,
        /// Whether the URL of the endpoint is the whole one, without a path for the signal.
        is_whole_url: bool,
        compressor: Option<Compressor>,
    },
    #[cfg(feature = "otlp-grpc")]
    Grpc(GrpcClient),
}

/// The connection to an OTLP endpoint.
pub struct OtlpSink {
    transport: Transport,
}

impl OtlpSink {
    /// A sink that speaks OTLP/HTTP and connects when it is first used. `is_whole_url`: nothing is put behind the endpoint's path;
    /// `compressor`: bodies are compressed.
    #[cfg(feature = "otlp-http")]
    pub fn http(access: Access, is_whole_url: bool, compressor: Option<Compressor>) -> Self {
        Self { transport: Transport::Http { client: Client::new(access), is_whole_url, compressor } }
    }

    /// A sink that speaks OTLP/gRPC and connects when it is first used.
    #[cfg(feature = "otlp-grpc")]
    pub fn grpc(access: Access, compressor: Option<Compressor>) -> Self {
        Self { transport: Transport::Grpc(GrpcClient::new(access, compressor)) }
    }

    /// There is nothing to send for now: gives back what only sending needs.
    pub fn rest(&mut self) {
        match &mut self.transport {
            #[cfg(feature = "otlp-http")]
            Transport::Http { compressor, .. } => {
                if let Some(compressor) = compressor {
                    compressor.release();
                }
            }
            #[cfg(feature = "otlp-grpc")]
            Transport::Grpc(client) => client.rest(),
        }
    }

    /// Sends one export request.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn export(&mut self, signal: Signal, request: &[u8]) -> Result<PartialSuccess, SendError> {
        match &mut self.transport {
            #[cfg(feature = "otlp-http")]
            Transport::Http { client, is_whole_url, compressor } => {
                let coding = compressor.as_ref().map_or("", |one| one.coding().name());
                let headers = [("content-type", "application/x-protobuf"), ("content-encoding", coding)];
                let headers = if compressor.is_some() { &headers[..] } else { &headers[..1] };
                let path = if *is_whole_url { String::new() } else { format!("/v1/{}", signal.name()) };
                let body = match compressor {
                    Some(compressor) => compressor
                        .compressed(request)
                        .ok_or_else(|| SendError::retry(Refusal::Unencodable, "the request cannot be compressed"))?,
                    None => request.to_vec(),
                };
                let answer = client.post(&path, headers, Bytes::from(body)).await?;
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
