//! Listening, accepting with a cap on connections, TLS, timeouts, and a graceful stop. Both ports use it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

/// Connections of one port at one time; further ones wait in the system's queue.
const CONNECTIONS: usize = 1024;
/// How long a request's head may take; also how long an idle connection is kept.
const HEAD_TIME: Duration = Duration::from_secs(75);
/// How long a TLS handshake may take, on a slow link.
const HANDSHAKE_TIME: Duration = Duration::from_secs(30);
/// How long requests in flight may take after a stop was asked for.
const STOP_TIME: Duration = Duration::from_secs(10);
/// Between two tries to accept after the system refused one (it is out of descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` until `stop` turns true, then lets requests in flight end.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<Arc<rustls::ServerConfig>>,
    mut stop: watch::Receiver<bool>,
) {
    let acceptor = tls.map(TlsAcceptor::from);
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        let next = async {
            let permit = Arc::clone(&room).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            next = next => next,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let (Ok(permit), Ok((stream, _))) = (permit, accepted) else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // A connection whose delays cannot be set works all the same.
        let _ = stream.set_nodelay(true);
        let connection = Connection { router: router.clone(), watcher: graceful.watcher(), _permit: permit };
        tokio::spawn(connection.run(stream, acceptor.clone(), stop.clone()));
    }
    drop(listener);
    // What is not done by then is cut off: its sender got no answer and sends it again.
    let _ = tokio::time::timeout(STOP_TIME, graceful.shutdown()).await;
}

struct Connection {
    router: Router,
    watcher: Watcher,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    async fn run(self, stream: TcpStream, acceptor: Option<TlsAcceptor>, mut stop: watch::Receiver<bool>) {
        let Some(acceptor) = acceptor else { return self.talk(stream).await };
        let handshake = tokio::select! {
            handshake = tokio::time::timeout(HANDSHAKE_TIME, acceptor.accept(stream)) => handshake,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        // A peer that does not get through the handshake is none of ours.
        if let Ok(Ok(stream)) = handshake {
            self.talk(stream).await;
        }
    }

    async fn talk(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(HEAD_TIME)
            .max_concurrent_streams(64)
            .max_header_list_size(16 << 10);
        let Self { router, watcher, _permit } = self;
        let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).into_owned();
        // How a connection ends is the peer's business; what it brought was answered.
        let _ = watcher.watch(connection).await;
    }
}
