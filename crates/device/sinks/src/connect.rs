//! Connections, and what went wrong with them as a sink tells it.

use client::{Access, ConnectError, Stream};
use drain::SendError;
use tokio_rustls::client::TlsStream;

/// What a failure to connect means for the data.
pub(crate) fn send_error(error: ConnectError) -> SendError {
    match error.blocked {
        true => SendError::blocked(error.reason, error.why),
        false => SendError::retry(error.reason, error.why),
    }
}

/// As [`client::connect`].
pub(crate) async fn connect(access: &Access, alpn: &[u8]) -> Result<Box<dyn Stream>, SendError> {
    client::connect(access, alpn).await.map_err(send_error)
}

/// As [`client::reach`].
pub(crate) async fn reach(access: &Access) -> Result<Box<dyn Stream>, SendError> {
    client::reach(access).await.map_err(send_error)
}

/// As [`client::encrypt`].
pub(crate) async fn encrypt(
    access: &Access,
    alpn: &[u8],
    stream: Box<dyn Stream>,
) -> Result<TlsStream<Box<dyn Stream>>, SendError> {
    client::encrypt(access, alpn, stream).await.map_err(send_error)
}

/// What it means that a connection broke.
pub(crate) fn broken(error: &(dyn std::error::Error + 'static)) -> SendError {
    send_error(client::broken(error))
}

/// That nothing came within the timeout.
pub(crate) fn no_answer(access: &Access) -> SendError {
    send_error(access.no_answer())
}
