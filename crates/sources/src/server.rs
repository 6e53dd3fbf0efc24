//! Accepting connections, never more than allowed.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;

use crate::Limits;

/// How long to wait when the system has no socket to give.
const NO_SOCKET: Duration = Duration::from_millis(100);

/// The next connection and its place in the count. While all places are taken, producers wait in the kernel's queue.
pub(crate) async fn accept(listener: &TcpListener, limits: &Limits) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed: without a place there is only waiting.
    let place = Arc::clone(&limits.places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Small answers must not wait for more; a socket that cannot do it still works.
                let _nagle_stays_on = stream.set_nodelay(true);
                return (stream, place);
            }
            // Out of file descriptors, or the peer is gone: neither ends the source.
            Err(_) => tokio::time::sleep(NO_SOCKET).await,
        }
    }
}
